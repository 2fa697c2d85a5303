"""Tiers: what they contain, how the layers are merged, and which values are refused."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from model import warnings
from model.config import tenants
from model.config.errors import InvalidConfigError
from model.config.quantities import amount, canonical
from model.config.tenants import Tenant
from model.config.tiers import BASIC, PREMIUM, Tier
from model.config.yaml_lines import parse
from model.kubernetes.roles import reconciler_roles
from tests.unit.test_products import shown

OTHERS = ("toolkit.fluxcd.io", "gateway.networking.k8s.io")
"""Groups of kinds that Kubernetes itself does not have."""
SOURCE = {"url": "https://github.com/acme/shop", "branch": "main"}


def file(*entries: Mapping[str, Any], **top: Any) -> str:
    """A tenants.yaml with these tenants, each with a source, and further keys at the top level."""
    given = [{"name": f"tenant-{index}", **one, "source": SOURCE} for index, one in enumerate(entries)]
    return yaml.safe_dump({**top, "tenants": given}, sort_keys=False)


def load(*entries: Mapping[str, Any], **top: Any) -> tuple[Tenant, ...]:
    return tenants.parse(parse(file(*entries, **top), "tenants.yaml")).tenants


def problems(text: str) -> list[str]:
    with pytest.raises(InvalidConfigError) as refused:
        tenants.parse(parse(text, "tenants.yaml"))
    return [str(problem) for problem in refused.value.problems]


def refused(*entries: Mapping[str, Any], **top: Any) -> str:
    (problem,) = problems(file(*entries, **top))
    return problem


def test_a_tenant_without_a_tier_is_basic_with_few_permissions() -> None:
    (tenant,) = load({})
    assert tenant.tier == "basic"
    assert (tenant.role, tenant.pod_security, tenant.helm) == ("saas-tenant-reconciler", "baseline", False)
    assert tenant.services == ["ClusterIP"]
    assert tenant.quota["services.loadbalancers"] == tenant.quota["services.nodeports"] == "0"
    assert tenant.hosts == tenant.priority_classes == tenant.network.egress == []


def test_premium_has_higher_quotas_and_charts_but_no_more_permissions() -> None:
    basic, premium = load({}, {"tier": "premium"})
    assert basic.quota.keys() == premium.quota.keys()
    assert all(amount(premium.quota[key]) >= amount(limit) for key, limit in basic.quota.items())
    assert amount(premium.quota["requests.cpu"]) > amount(basic.quota["requests.cpu"])
    assert premium.helm
    assert (premium.role, premium.pod_security) == (basic.role, basic.pod_security)


NAMESPACES = st.lists(st.sampled_from(["prometheus", "grafana"]), unique=True)
VALUES: dict[tuple[str, ...], st.SearchStrategy[Any]] = {
    ("interval",): st.sampled_from(["10s", "5m", "1h"]),
    ("prune",): st.booleans(),
    ("podSecurity",): st.sampled_from(["restricted", "baseline", "privileged"]),
    ("quota", "pods"): st.integers(1, 500).map(str),
    ("quota", "secrets"): st.integers(1, 500).map(str),
    ("limits", "defaultRequest", "cpu"): st.integers(1, 9).map("{}m".format),
    ("registries",): st.lists(st.sampled_from(["ghcr.io/acme/", "quay.io/"]), unique=True),
    ("network", "monitoring"): NAMESPACES,
}
NOTHING: dict[tuple[str, ...], st.SearchStrategy[Any]] = {}
LAYER = st.fixed_dictionaries(NOTHING, optional=VALUES)


def nested(layer: Mapping[tuple[str, ...], Any]) -> dict[str, Any]:
    whole: dict[str, Any] = {}
    for (*outer, key), value in layer.items():
        inner = whole
        for step in outer:
            inner = inner.setdefault(step, {})
        inner[key] = value
    return whole


def at(path: tuple[str, ...], values: Any) -> Any:
    for step in path:
        values = values.get(step) if isinstance(values, dict) else None
    return values


@given(LAYER, LAYER, LAYER, st.sampled_from(["basic", "premium", "gold"]), st.booleans())
def test_precedence_entry_defaults_tier_builtin(
    own: Any, defaults: Any, tier: Any, name: str, named_by_default: bool
) -> None:
    named = {"tier": name}
    text = file(
        {**nested(own), **({} if named_by_default else named)},
        defaults={**nested(defaults), **(named if named_by_default else {})},
        tiers={name: nested(tier)},
    )
    source = parse(text, "tenants.yaml")
    listed = tenants.parse(source)
    found = listed.tenants[0].model_dump(by_alias=True)
    sources = {setting: source for setting, (_, source) in shown(listed, "tenant-0").items()}
    for path in VALUES:
        layers = {"its entry": own, "defaults": defaults, f"tiers.{name}": tier}
        wins = next((layer for layer in layers if path in layers[layer]), None)
        if wins:
            expected = layers[wins][path]
        else:
            above = at(path, PREMIUM) if name == "premium" else None
            wins = "basic (built in)" if above is None else "premium (built in)"
            expected = at(path, BASIC) if above is None else above
        assert at(path, found) == expected, path
        assert sources[" ".join(path)].startswith(wins), path


def test_the_default_limit_refuses_nothing_that_the_maximum_allows() -> None:
    for tenant in load({}, {"tier": "premium"}):
        assert tenant.limits.default == {}, "Kubernetes uses the maximum"
        # As many pods as the quota has, each with a container that sets no limit.
        needed = amount(tenant.quota["pods"]) * amount(tenant.limits.max["memory"])
        assert amount(tenant.quota["limits.memory"]) == needed


def test_the_highest_replicas_are_the_pods_of_the_quota() -> None:
    basic, own, unlimited = load({}, {"quota": {"pods": "2k"}}, {"quota": {"pods": None, "count/pods": None}})
    assert (basic.max_replicas, basic.max_completions) == (20, 200)
    assert (own.max_replicas, own.max_completions) == (2000, 200)
    assert (unlimited.max_replicas, unlimited.max_completions) == (1000, 1000)


def test_every_kind_that_a_reconciler_may_create_is_counted() -> None:
    (tenant,) = load({})
    counted = {key.removeprefix("count/") for key in tenant.quota}
    kinds = {
        f"{resource}.{group}".rstrip(".")
        for role in reconciler_roles()
        for rule in role["rules"]
        if "create" in rule["verbs"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }
    # Events end by themselves; the API server counts objects of others' kinds only minutes after their definition.
    uncounted = {"events", "events.events.k8s.io"}
    assert {kind for kind in kinds if not kind.endswith(OTHERS)} - counted == uncounted


def test_null_removes_a_limit_of_the_tier() -> None:
    (tenant,) = load({"quota": {"requests.cpu": None}})
    assert "requests.cpu" not in tenant.quota
    assert tenant.quota["requests.memory"] == "4Gi"


def test_hosts_contain_the_name_of_each_tenant() -> None:
    first, second = load({}, {"hosts": ["shop.example.com"]}, tiers={"basic": {"hosts": ["*.{tenant}.example.com"]}})
    assert (first.hosts, second.hosts) == (["*.tenant-0.example.com"], ["shop.example.com"])


@pytest.mark.parametrize(
    ("first", "second", "part"),
    [
        ("shop.example.com", "shop.example.com", "tenants[1].hosts[0]: shop.example.com already belongs to tenant-0"),
        (
            "*.example.com",
            "a.b.example.com",
            "tenants[1].hosts[0]: a.b.example.com already belongs to tenant-0 through *.example",
        ),
        (
            "a.example.com",
            "*.example.com",
            "tenants[0].hosts[0]: a.example.com already belongs to tenant-1 through *.example.com",
        ),
    ],
)
def test_a_host_belongs_to_one_tenant_only(first: str, second: str, part: str) -> None:
    assert part in refused({"hosts": [first]}, {"hosts": [second]})


def test_sibling_hosts_do_not_conflict() -> None:
    assert load({"hosts": ["*.a.example.com"]}, {"hosts": ["a.example.com", "b.example.com"]})


def test_a_host_that_all_tenants_inherit_is_reported_at_its_line() -> None:
    said = refused({}, {}, tiers={"basic": {"hosts": ["shop.example.com"]}})
    assert said.startswith(
        "tenants.yaml:3: tiers.basic.hosts: shop.example.com would belong to both tenant-0 and tenant-1"
    )
    assert "Write {tenant} in it" in said


@pytest.mark.parametrize(
    ("tier", "part"),
    [
        ({"quota": {"cpu": 2}}, "Write requests.cpu or limits.cpu."),
        ({"quota": {"request.cpu": 2}}, "Did you mean requests.cpu?"),
        ({"quota": {"count/deployments": 2}}, "Write count/deployments.apps."),
        ({"quota": {"requests.memory": "512m"}}, "Write 512Mi."),
        ({"quota": {"pods": 1.5}}, "is not a whole number"),
        ({"quota": {"pods": True}}, "is not a Kubernetes quantity"),
        ({"quota": {"requests.cpu": "two"}}, "500m for half a CPU"),
        ({"limits": {"max": {"pods": 1}}}, "unknown container limit 'pods'"),
        ({"limits": {"default": {"cpu": "3"}}}, "limits.default.cpu of 3 is above limits.max.cpu of 2"),
        ({"quota": {"requests.memory": "90Gi"}}, "quota.requests.memory of 90Gi is above quota.limits.memory of 80Gi"),
        (
            {"quota": {"limits.memory": "2Gi", "requests.memory": "2Gi"}},
            "limits.max.memory of 4Gi is above quota.limits.memory of 2Gi",
        ),
        ({"limits": {"max": {"memory": None}}}, "quota.limits.memory refuses every container that sets no limit of me"),
        ({"runtimeClasses": ["gVisor"]}, "'gVisor' is not a valid name of a class"),
        ({"storageClasses": [""]}, "'' is not a valid name of a class"),
        ({"annotations": ["rewrite-target"]}, "Write DOMAIN/NAME such as nginx.ingress"),
        ({"annotations": ["*"]}, "or DOMAIN/* for all of a domain"),
        ({"annotations": ["nginx.ingress.kubernetes.io/server-snippet"]}, "is refused to every tenant"),
        ({"annotations": ["a.example.com/b"] * 2}, "annotations[1]"),
        ({"services": ["ClusterIP", "LoadBalancer"]}, "Write `services.loadbalancers: 1` or more"),
        ({"services": ["Headless"]}, "services[0]"),
        ({"registries": ["https://ghcr.io/acme"]}, "Write ghcr.io/acme/."),
        ({"priorityClasses": ["system-node-critical"]}, "above the cluster's own"),
        ({"hosts": ["https://shop.example.com/"]}, "is not a host name"),
        ({"podSecurity": "strict"}, "podSecurity"),
        ({"interval": "1 m"}, "is not a duration"),
        ({"retryInterval": "0s"}, "without a pause"),
        ({"timeout": "10s"}, "is not between 30s and 10m"),
        ({"timeout": "1h"}, "is not between 30s and 10m"),
        ({"interval": "1m", "timeout": "5m"}, "timeout of 5m is above interval of 1m"),
        ({"shard": "platform"}, "and no tenant"),
        ({"shard": "Customers"}, "not a valid name of a shard"),
        ({"shard": "c" * 31}, "up to 30"),
        ({"helmm": True}, "Did you mean helm?"),
        ({"source": {}}, "unknown key 'source'"),
    ],
)
def test_an_invalid_tier_is_refused_even_if_no_tenant_has_it(tier: Mapping[str, Any], part: str) -> None:
    (problem,) = problems(yaml.safe_dump({"tiers": {"gold": tier}, "tenants": []}))
    assert "tiers.gold" in problem
    assert part in problem


def test_a_tiers_timeout_is_compared_with_the_interval_that_each_of_its_tenants_has() -> None:
    head = "products: {shop: {source: {url: 'https://github.com/acme/shop', branch: main}}}\n"
    text = head + "tiers: {gold: {timeout: 5m}}\ntenants: [{name: alpha, tier: gold, %s}]\n"
    tenants.parse(parse(text % "product: shop", "tenants.yaml"))
    (problem,) = problems(text % "source: {url: 'https://github.com/acme/own', branch: main}")
    assert problem.startswith("tenants.yaml:2: tiers.gold.timeout: timeout of 5m is above interval of 1m0s")


def test_a_tier_name_must_be_a_label() -> None:
    (problem,) = problems("tiers:\n  Gold: {}\ntenants: []\n")
    assert problem.startswith("tenants.yaml:2: tiers.Gold: 'Gold' is not a valid tier name\n    Use lower-case")


def test_an_unknown_tier_is_reported_where_it_is_named() -> None:
    assert "tenants[0].tier: unknown tier 'premum'\n    Did you mean premium?" in refused({"tier": "premum"})
    assert "defaults.tier: unknown tier 'glod'\n    Did you mean gold?" in refused(
        {}, {}, defaults={"tier": "glod"}, tiers={"gold": {}}
    )


def test_a_contradiction_across_layers_is_reported_at_the_last_of_them() -> None:
    top = {"tiers": {"gold": {"limits": {"max": {"cpu": "8"}}}}}
    assert load({"tier": "gold", "limits": {"default": {"cpu": "6"}}}, **top)
    said = refused({"tier": "gold", "limits": {"default": {"cpu": "9"}}}, **top)
    assert "tenants[0].limits.default.cpu: limits.default.cpu of 9 is above limits.max.cpu of 8" in said


def with_roles(**roles: str) -> list[Tenant]:
    return [Tenant.model_validate({"name": name, "role": role, "source": SOURCE}) for name, role in roles.items()]


def test_a_role_with_wide_permissions_is_warned_about() -> None:
    assert list(warnings.wide_roles(with_roles(alpha="saas-tenant-reconciler", beta="acme-reconciler"))) == []
    many = {f"t{index}": "cluster-admin" for index in range(8)}
    admin, cluster_admin = warnings.wide_roles(with_roles(**many, beta="admin"))
    assert admin.startswith("The role admin gives the reconcilers of beta more permissions than a product usually")
    assert "DaemonSets" in admin
    assert "t0, t1, t2, t3, t4 and 3 more" in cluster_admin
    assert "Remove `role:` for the default, saas-tenant-reconciler." in cluster_admin


QUANTITIES = st.one_of(
    st.tuples(st.integers(0, 10**6).map(str), st.sampled_from(["", "m", "k", "M", "G", "Ki", "Mi", "Gi", "Ti"])),
    st.tuples(st.decimals(0, 1000, places=3).map("{:f}".format), st.sampled_from(["", "M", "Gi"])),
).map("".join)


@given(QUANTITIES)
def test_the_canonical_quantity_is_equal_and_stable(text: str) -> None:
    assert amount(canonical(text)) == amount(text)
    assert canonical(canonical(text)) == canonical(text)


@pytest.mark.parametrize(
    ("text", "by_the_api_server"),
    [
        ("1000m", "1"),
        ("0.5", "500m"),
        ("1024Mi", "1Gi"),
        ("1.5Gi", "1536Mi"),
        ("1000Mi", "1000Mi"),
        ("0Gi", "0"),
        ("1.0005Mi", "1049100288m"),
    ],
)
def test_the_canonical_quantity_is_the_api_servers(text: str, by_the_api_server: str) -> None:
    assert canonical(text) == by_the_api_server


DOCUMENTATION = (Path(__file__).parents[2] / "docs" / "tenants.md").read_text()


def test_the_example_in_the_documentation_is_valid() -> None:
    example, of_a_product = re.findall(r"```yaml\n(.*?)```", DOCUMENTATION, re.DOTALL)
    first, second = tenants.parse(parse(example, "docs/tenants.md")).tenants
    assert (first.quota["requests.cpu"], first.quota["requests.memory"], first.helm) == ("6", "8Gi", True)
    assert second.hosts == ["tenant-002.example.com"]
    third, fourth = tenants.parse(parse(of_a_product, "docs/tenants.md")).tenants
    assert third.values == {"replicas": "2", "greeting": "Guten Tag"}
    assert fourth.values == {}


def test_the_documentation_lists_the_quotas_of_the_built_in_tiers() -> None:
    basic, premium = load({}, {"tier": "premium"})
    _, _, table = DOCUMENTATION.partition("| quota | basic | premium |")
    rows = [line.split("|")[1:4] for line in table.partition("\n\n")[0].splitlines()[2:]]
    shown = {key: (low.strip(), high.strip()) for keys, low, high in rows for key in re.findall("`(.+?)`", keys)}
    assert shown == {key: (basic.quota[key], premium.quota[key]) for key in basic.quota}


def test_every_key_of_a_tier_is_documented() -> None:
    keys = {field.alias or name for name, field in Tier.model_fields.items()} - {"limits"}
    assert keys <= set(re.findall(r"^\| `(\w+)` \|", DOCUMENTATION, re.MULTILINE))
