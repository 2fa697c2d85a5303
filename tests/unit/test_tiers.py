"""What a tier gives, in which order the file is merged, and what a tier may not say."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from cli import effective
from model.config import tenants
from model.config.document import parse
from model.config.mistakes import MistakesError
from model.config.quantities import amount, canonical
from model.config.tenants import Tenant
from model.config.tiers import BASIC, PREMIUM, Tier, role_warnings

SOURCE = {"url": "https://github.com/acme/shop", "branch": "main"}


def file(*entries: Mapping[str, Any], **top: Any) -> str:
    """tenants.yaml with these tenants, each with a source, after what else is at the top."""
    given = [{"name": f"tenant-{index}", **one, "source": SOURCE} for index, one in enumerate(entries)]
    return yaml.safe_dump({**top, "tenants": given}, sort_keys=False)


def load(*entries: Mapping[str, Any], **top: Any) -> tuple[Tenant, ...]:
    return tenants.parse(parse(file(*entries, **top), "tenants.yaml"))


def mistakes(text: str) -> list[str]:
    with pytest.raises(MistakesError) as refused:
        tenants.parse(parse(text, "tenants.yaml"))
    return [str(mistake) for mistake in refused.value.mistakes]


def refused(*entries: Mapping[str, Any], **top: Any) -> str:
    (mistake,) = mistakes(file(*entries, **top))
    return mistake


def test_a_tenant_that_names_no_tier_is_basic_and_may_do_little() -> None:
    (tenant,) = load({})
    assert tenant.tier == "basic"
    assert (tenant.role, tenant.pod_security, tenant.helm) == ("saas-tenant-reconciler", "baseline", False)
    assert tenant.services == ["ClusterIP"]
    assert tenant.quota["services.loadbalancers"] == tenant.quota["services.nodeports"] == "0"
    assert tenant.hosts == tenant.priority_classes == tenant.network.egress == []


def test_premium_has_room_for_more_and_charts_but_no_more_rights() -> None:
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
def test_the_entry_comes_before_the_defaults_these_before_the_files_tier_and_that_before_the_built_in_one(
    own: Any, defaults: Any, tier: Any, name: str, named_by_default: bool
) -> None:
    named = {"tier": name}
    text = file(
        {**nested(own), **({} if named_by_default else named)},
        defaults={**nested(defaults), **(named if named_by_default else {})},
        tiers={name: nested(tier)},
    )
    source = parse(text, "tenants.yaml")
    (tenant,) = tenants.parse(source)
    found = tenant.model_dump(by_alias=True)
    shown = effective.settings(source, "tenant-0").splitlines()
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
        (row,) = [line for line in shown if line.startswith(f"{' '.join(path)}  ")]
        assert row.rpartition("  ")[2].startswith(wins), path


def test_null_lifts_a_limit_of_the_tier() -> None:
    (tenant,) = load({"quota": {"requests.cpu": None}})
    assert "requests.cpu" not in tenant.quota
    assert tenant.quota["requests.memory"] == "4Gi"


def test_each_tenants_name_stands_in_its_hosts() -> None:
    first, second = load({}, {"hosts": ["shop.example.com"]}, tiers={"basic": {"hosts": ["*.{tenant}.example.com"]}})
    assert (first.hosts, second.hosts) == (["*.tenant-0.example.com"], ["shop.example.com"])


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        ("shop.example.com", "shop.example.com", "tenants[1].hosts[0]: shop.example.com is tenant-0's already"),
        ("*.example.com", "a.b.example.com", "tenants[1].hosts[0]: a.b.example.com is tenant-0's already by *.example"),
        ("a.example.com", "*.example.com", "tenants[0].hosts[0]: a.example.com is tenant-1's already by *.example.com"),
    ],
)
def test_no_two_tenants_have_one_host(first: str, second: str, said: str) -> None:
    assert said in refused({"hosts": [first]}, {"hosts": [second]})


def test_hosts_beside_each_other_are_no_mistake() -> None:
    assert load({"hosts": ["*.a.example.com"]}, {"hosts": ["a.example.com", "b.example.com"]})


def test_a_host_that_all_tenants_inherit_is_told_where_it_stands() -> None:
    said = refused({}, {}, tiers={"basic": {"hosts": ["shop.example.com"]}})
    assert said.startswith("tenants.yaml:3: tiers.basic.hosts: shop.example.com would be tenant-0's and tenant-1's")
    assert "Write {tenant} in it" in said


@pytest.mark.parametrize(
    ("tier", "said"),
    [
        ({"quota": {"cpu": 2}}, "Write requests.cpu or limits.cpu."),
        ({"quota": {"request.cpu": 2}}, "Did you mean requests.cpu?"),
        ({"quota": {"count/deployments": 2}}, "Write count/deployments.apps."),
        ({"quota": {"requests.memory": "512m"}}, "Write 512Mi."),
        ({"quota": {"pods": 1.5}}, "is no whole number"),
        ({"quota": {"pods": True}}, "is no amount"),
        ({"quota": {"requests.cpu": "two"}}, "500m for half a CPU"),
        ({"limits": {"max": {"pods": 1}}}, "containers have no limit of 'pods'"),
        ({"limits": {"max": {"cpu": "1"}}}, "limits.default.cpu of 2 is above limits.max.cpu of 1"),
        ({"quota": {"limits.memory": "2Gi"}}, "quota.requests.memory of 4Gi is above quota.limits.memory of 2Gi"),
        ({"services": ["ClusterIP", "LoadBalancer"]}, "Write `services.loadbalancers: 1` or more"),
        ({"services": ["Headless"]}, "services[0]"),
        ({"registries": ["https://ghcr.io/acme"]}, "Write ghcr.io/acme/."),
        ({"priorityClasses": ["system-node-critical"]}, "before the cluster's own"),
        ({"hosts": ["https://shop.example.com/"]}, "is no host name"),
        ({"podSecurity": "strict"}, "podSecurity"),
        ({"interval": "1 m"}, "is not a duration"),
        ({"helmm": True}, "Did you mean helm?"),
        ({"source": {}}, "source"),
    ],
)
def test_a_tier_that_cannot_be_is_refused_even_if_no_tenant_has_it(tier: Mapping[str, Any], said: str) -> None:
    (told,) = mistakes(yaml.safe_dump({"tiers": {"gold": tier}, "tenants": []}))
    assert "tiers.gold" in told
    assert said in told


def test_an_unknown_tier_is_told_where_it_is_named() -> None:
    assert "tenants[0].tier: there is no tier 'premum'\n    Did you mean premium?" in refused({"tier": "premum"})
    assert "defaults.tier: there is no tier 'glod'\n    Did you mean gold?" in refused(
        {}, {}, defaults={"tier": "glod"}, tiers={"gold": {}}
    )


def test_values_that_contradict_each_other_across_layers_are_told_at_the_last_of_them() -> None:
    top = {"tiers": {"gold": {"limits": {"max": {"cpu": "8"}}}}}
    assert load({"tier": "gold", "limits": {"default": {"cpu": "6"}}}, **top)
    said = refused({"tier": "gold", "limits": {"default": {"cpu": "9"}}}, **top)
    assert "tenants[0].limits.default.cpu: limits.default.cpu of 9 is above limits.max.cpu of 8" in said


def test_a_role_that_permits_more_than_a_product_needs_is_warned_about() -> None:
    assert list(role_warnings({"alpha": "saas-tenant-reconciler", "beta": "acme-reconciler"})) == []
    many = {f"t-{index}": "cluster-admin" for index in range(8)}
    admin, cluster_admin = role_warnings({**many, "beta": "admin"})
    assert admin.startswith(
        "The role admin permits the reconcilers of beta more than a product usually needs: DaemonSets"
    )
    assert "t-0, t-1, t-2, t-3, t-4 and 3 more" in cluster_admin
    assert "Without `role:` they have saas-tenant-reconciler." in cluster_admin


QUANTITIES = st.one_of(
    st.tuples(st.integers(0, 10**6).map(str), st.sampled_from(["", "m", "k", "M", "G", "Ki", "Mi", "Gi", "Ti"])),
    st.tuples(st.decimals(0, 1000, places=3).map("{:f}".format), st.sampled_from(["", "M", "Gi"])),
).map("".join)


@given(QUANTITIES)
def test_an_amount_is_written_the_one_way_that_means_the_same(text: str) -> None:
    assert amount(canonical(text)) == amount(text)
    assert canonical(canonical(text)) == canonical(text)


@pytest.mark.parametrize(
    ("written", "by_the_api_server"),
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
def test_an_amount_is_written_as_the_api_server_writes_it_back(written: str, by_the_api_server: str) -> None:
    assert canonical(written) == by_the_api_server


DOCUMENTATION = (Path(__file__).parents[2] / "docs" / "tenants.md").read_text()


def test_the_documentations_example_is_a_good_one() -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", DOCUMENTATION, re.DOTALL)
    first, second = tenants.parse(parse(example, "docs/tenants.md"))
    assert (first.quota["requests.cpu"], first.quota["requests.memory"], first.helm) == ("6", "8Gi", True)
    assert second.hosts == ["tenant-002.example.com"]


def test_the_documentation_shows_what_the_built_in_tiers_give() -> None:
    basic, premium = load({}, {"tier": "premium"})
    _, _, table = DOCUMENTATION.partition("| quota | basic | premium |")
    rows = [line.split("|")[1:4] for line in table.partition("\n\n")[0].splitlines()[2:]]
    shown = {key: (low.strip(), high.strip()) for keys, low, high in rows for key in re.findall("`(.+?)`", keys)}
    assert shown == {key: (basic.quota[key], premium.quota[key]) for key in basic.quota}


def test_every_key_of_a_tier_is_documented() -> None:
    keys = {field.alias or name for name, field in Tier.model_fields.items()} - {"limits"}
    assert keys <= set(re.findall(r"^\| `(\w+)` \|", DOCUMENTATION, re.MULTILINE))
