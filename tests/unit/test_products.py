"""Products that several tenants run: what tenants inherit and change, and the remedy for each problem."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from cli import effective
from model import checks
from model.config import tenants
from model.config.errors import InvalidConfigError
from model.config.mirrors import Mirror
from model.config.overrides import Patch
from model.config.tenants import TenantList
from model.config.yaml_lines import YamlFile, parse
from model.kubernetes import ownership, products
from model.kubernetes.shards import shards
from tests.unit.test_inputs import settings

SHOP = "products:\n  shop: {source: {url: 'https://github.com/acme/shop', branch: main, path: ./kustomize}}\n"
ALPHA = "tenants:\n  - {name: alpha, product: shop}\n"


def load(text: str) -> TenantList:
    return tenants.parse(parse(text, "tenants.yaml"))


def problems(text: str) -> list[str]:
    with pytest.raises(InvalidConfigError) as refused:
        load(text)
    return [str(problem) for problem in refused.value.problems]


def shown(listed: TenantList, name: str) -> dict[Any, tuple[Any, Any]]:
    """Value and source by setting, as `./saas tenant show` prints them."""
    settings, sources, values = (column.cells for column in effective.settings(listed, name).columns)
    return dict(zip(settings, zip(values, sources, strict=True), strict=True))


def of_alpha(**entry: Any) -> str:
    return SHOP + yaml.safe_dump({"tenants": [{"name": "alpha", "product": "shop", **entry}]})


def test_a_tenant_runs_a_product_whatever_source_the_defaults_have() -> None:
    listed = load("defaults: {source: {url: 'https://github.com/acme/other', tag: v1}}\n" + SHOP + ALPHA)
    (tenant,) = listed.tenants
    assert (tenant.product, tenant.source) == ("shop", None)
    assert [(placed.holder, placed.shared) for placed in listed.sources] == [("shop", True)]


def test_a_source_in_an_entry_wins_over_the_product_in_defaults() -> None:
    text = (
        "defaults: {product: shop, source: {path: ./deploy}}\n"
        + SHOP
        + "tenants:\n  - {name: alpha}\n"
        + "  - {name: beta, source: {url: 'https://github.com/acme/beta', branch: main}}\n"
    )
    alpha, beta = load(text).tenants
    assert (alpha.product, alpha.source) == ("shop", None)
    assert (beta.product, beta.own_source.path) == (None, "./deploy")


def test_a_product_without_tenants_is_valid() -> None:
    assert [*load(SHOP + "tenants: []\n").products] == ["shop"]


def test_values_are_merged_by_name_and_null_removes_one() -> None:
    text = f"""\
defaults: {{values: {{greeting: Hello}}}}
tiers:
  gold: {{values: {{replicas: "2", host: "{{tenant}}.example.com", greeting: Hi}}}}
{SHOP}tenants:
  - {{name: alpha, product: shop, tier: gold, values: {{replicas: null, colour: blue}}}}
  - {{name: beta, tier: gold, source: {{url: "https://github.com/acme/beta", branch: main}}}}
"""
    listed = load(text)
    alpha, beta = listed.tenants
    assert alpha.values == {"greeting": "Hello", "host": "alpha.example.com", "colour": "blue"}
    assert beta.values == {}
    rows = shown(listed, "alpha")
    assert rows["values greeting"][1] == "defaults, line 1"
    assert rows["values host"][1] == "tiers.gold, line 3"
    assert rows["values colour"][1] == "its entry, line 7"
    assert rows["product"][1] == "its entry, line 7"


def test_a_products_tenants_are_in_its_shard_whatever_their_tier_says() -> None:
    text = (
        "tiers: {gold: {shard: customers}}\ndefaults: {shard: others}\n"
        + SHOP.replace("}}\n", "}, shard: shops}\n")
        + "tenants:\n  - {name: alpha, product: shop, tier: gold}\n"
    )
    listed = load(text)
    assert [tenant.shard for tenant in listed.tenants] == ["shops"]
    assert [shard.name for shard in shards(listed, ["source-controller"])] == ["platform", "shops"]
    (problem,) = problems(text.replace("tier: gold}", "tier: gold, shard: customers}"))
    assert "tenants.yaml:6: tenants[0].shard: customers is not the shard of its product, shops" in problem
    assert "write `shard: customers` below products.shop" in problem
    nowhere = load(text.partition("tenants:")[0] + "tenants: []\n")
    assert [shard.name for shard in shards(nowhere, ["source-controller"])] == ["platform", "shops"]


@pytest.mark.parametrize(
    ("given", "tenant", "interval", "where"),
    [
        ("", "product: shop", "10m0s", "shared product (built in)"),
        ("", "product: shop, tier: premium", "10m0s", "shared product (built in)"),
        ("tiers: {gold: {interval: 5m}}\n", "product: shop, tier: gold", "5m", "tiers.gold, line 1"),
        ("defaults: {interval: 1m0s}\n", "product: shop", "1m0s", "defaults, line 1"),
        ("", "product: shop, interval: 20s", "20s", "its entry, line 4"),
        ("", "source: {url: 'https://github.com/acme/own', branch: main}", "1m0s", "basic (built in)"),
    ],
)
def test_a_products_tenants_are_reconciled_less_often_unless_their_interval_is_set(
    given: str, tenant: str, interval: str, where: str
) -> None:
    listed = load(f"{given}{SHOP}tenants:\n  - {{name: alpha, {tenant}}}\n")
    assert shown(listed, "alpha")["interval"] == (interval, where)


OWN = {"source": {"url": "https://github.com/acme/beta", "branch": "main"}}


@pytest.mark.parametrize(
    ("text", "line", "part"),
    [
        (of_alpha(**OWN), 6, "tenants[0].source: product and source exclude each other\n    Keep only one of them."),
        (SHOP + "tenants:\n  - {name: alpha, product: shp}\n", 4, "unknown product 'shp'\n    Did you mean shop?"),
        (ALPHA, 2, "unknown product 'shop'\n    This file has none. Define products below `products:`."),
        ("defaults: {product: shp}\n" + SHOP + "tenants: []\n", 1, "defaults.product: unknown product 'shp'"),
        (SHOP + "tenants:\n  - {name: alpha}\n", 4, "source: is missing\n    Add `source: …`, or `product: …`"),
        (SHOP.replace("shop:", "Shop:") + "tenants: []\n", 2, "'Shop' is not a valid product name"),
        (SHOP.replace("shop:", "s" * 56 + ":") + "tenants: []\n", 2, "Use up to 55 lower-case letters"),
        (SHOP.replace("}}", "}, shard: platform}") + ALPHA, 2, "products.shop.shard: the shard platform reconciles"),
        (SHOP.replace("}}", "}, intervall: 1m}") + ALPHA, 2, "Did you mean interval?"),
        (SHOP.replace("}}", "}, timeout: 1h}") + ALPHA, 2, "is not between 30s and 10m"),
        (SHOP.replace("branch: main, ", "") + ALPHA, 2, "products.shop.source: the revision is missing"),
        (SHOP.replace("branch", "tag: v1, branch") + ALPHA, 2, "products.shop.source.tag: branch and tag exclude"),
        (SHOP.replace("https:", "ssh:") + ALPHA, 2, "products.shop.source.url: SSH needs a deploy key"),
        (SHOP + "tenants:\n  - {name: product-x, product: shop}\n", 4, "'product-x' is reserved"),
        (of_alpha(values={"replicas": 2}), 7, "values.replicas: must be text, not 2\n    Put it in quotes"),
        (of_alpha(values={"debug": True}), 7, "must be text, not True"),
        (of_alpha(values={"a": ["b"]}), 7, "must be text\n    Write one value for each variable."),
        (of_alpha(values={"a-b": "c"}), 7, "'a-b' is not a valid name of a variable"),
        (of_alpha(values={1: "c"}), 7, "'1' is not a valid name of a variable"),
        (of_alpha(values={"a": "b\nc"}), 7, "has several lines, which Flux would join"),
        (of_alpha(values=[]), 6, "values: must be a mapping"),
        ("tiers: {gold: {values: {a: 1.10}}}\n" + SHOP + ALPHA, 1, "tiers.gold.values.a: must be text, not 1.1"),
        (
            yaml.safe_dump({"tenants": [{"name": "alpha", **OWN, "values": {"a": "b"}}]}),
            6,
            "values are for tenants of a shared product",
        ),
        (
            yaml.safe_dump({"tenants": [{"name": "alpha", **OWN, "patches": [{"patch": "{kind: A}"}]}]}),
            3,
            "patches are for tenants of a shared product",
        ),
        (of_alpha(images=[{"name": "app"}]), 5, "changes nothing of app"),
        (of_alpha(images=[{"name": "app:1", "newTag": "2"}]), 5, "'app:1' is not the name of an image"),
        (of_alpha(images=[{"name": "app", "newTag": 1.1}]), 6, "must be text, not 1.1"),
        (of_alpha(images=[{"name": "app", "newTag": "a:b"}]), 6, "is not a tag of an image"),
        (of_alpha(images=[{"name": "app", "digest": "sha256:1"}]), 5, "is not a digest"),
        (of_alpha(images=[{"name": "a", "newTag": "1"}, {"name": "a", "newTag": "2"}]), 7, "a is listed twice"),
        (of_alpha(patches=[{"patch": "a"}]), 6, "is neither a JSON patch nor a part of an object"),
        (of_alpha(patches=[{"patch": "[{op: set, path: /a}]"}]), 6, "operation 1 has no valid `op`"),
        (of_alpha(patches=[{"patch": "[{op: add, path: /a}]"}]), 6, "operation 1 has no `value`"),
        (of_alpha(patches=[{"patch": "[{op: remove, path: a}]"}]), 6, "Begin it with a slash"),
        (of_alpha(patches=[{"patch": "a: ["}]), 6, "is not YAML"),
        (of_alpha(patches=[{"patch": "[{op: remove, path: /a}]"}]), 6, "does not say which objects it changes"),
        (of_alpha(patches=[{"patch": "{spec: {}}"}]), 6, "does not say which object it changes"),
        (of_alpha(patches=[{"patch": "{spec: {}}", "target": {}}]), 7, "selects every object of the product"),
    ],
)
def test_a_problem_gets_its_line_and_remedy(text: str, line: int, part: str) -> None:
    (problem,) = problems(text)
    assert part in problem
    assert problem.startswith(f"tenants.yaml:{line}: "), (problem, text)


def test_patches_in_both_notations_are_accepted() -> None:
    for patch in (
        "{kind: Deployment, metadata: {name: app}, spec: {}}",
        "- {op: copy, from: /a, path: /b}",
        "[{op: test, path: /a, value: 2026-01-01}]",
    ):
        target = {} if patch.startswith("{") else {"target": {"kind": "Deployment"}}
        (tenant,) = load(of_alpha(patches=[{"patch": patch, **target}])).tenants
        # Kustomize reads what begins with a bracket as JSON.
        assert json.loads(tenant.patches[0].patch) == json.loads(json.dumps(yaml.safe_load(patch), default=str))
    with pytest.raises(ValidationError):
        Patch.model_validate({"patch": 1})


PRIVATE = SHOP.replace("https://github.com/acme", "ssh://git@git.example.com").replace("}}", ", private: true}}")


def test_a_private_product_is_held_to_the_rules_of_private_sources() -> None:
    listed = load(PRIVATE + ALPHA)
    (unknown,) = map(str, checks.unknown_hosts(listed, []))
    assert unknown.startswith("tenants.yaml:2: products.shop.source.url: the host keys of git.example.com are unknown")
    azure = load(PRIVATE.replace("git.example.com", "ssh.dev.azure.com") + ALPHA)
    (rsa,) = map(str, checks.rsa_only_servers(azure, []))
    assert rsa.startswith("tenants.yaml:2: products.shop.source.url: ssh.dev.azure.com takes RSA keys only")


ON_GITHUB = PRIVATE.replace("git.example.com", "github.com/acme") + ALPHA
OWN = "tenants: [{name: alpha, source: {url: ssh://git@github.com/acme/shop, branch: main, private: true}}]"
AUTOMATED = ON_GITHUB.replace(
    "}}", "}, images: {app: {repository: shop, semver: 1.x}}, automation: {writer: prod-eu, to: flux/images}}"
)


@pytest.mark.parametrize(
    ("text", "mirrors", "said"),
    [
        (
            OWN,
            [],
            r"tenants\[0\].source.url: a tenant's private repository .* needs a deploy key.*\n.*below `products:`",
        ),
        (ON_GITHUB.replace("acme", "globex"), [], "products.shop.source.url: githubApp is installed for acme"),
        (
            ON_GITHUB,
            [Mirror(prefix="https://github.com/acme/shop", url="https://git.example.com/shop")],
            "reads from GitHub only",
        ),
        (AUTOMATED, [], "products.shop.automation: image automation pushes with a deploy key"),
    ],
    ids=["a tenant's own", "of another owner", "a mirror", "image automation"],
)
def test_what_a_github_app_does_not_read_is_refused(text: str, mirrors: list[Mirror], said: str) -> None:
    stack = settings(deployKeys="app", githubApp={"id": "1", "installation": "2"}, cluster="prod-eu")
    infra = YamlFile("Pulumi.x.yaml", {}, {})
    found = "\n".join(map(str, checks.without_deploy_keys(stack, infra, load(text), mirrors)))
    assert re.search(said, found)


def test_a_github_app_reads_a_private_product_of_the_infra_repositorys_owner() -> None:
    stack = settings(deployKeys="app", githubApp={"id": "1", "installation": "2"})
    assert not [*checks.without_deploy_keys(stack, YamlFile("Pulumi.x.yaml", {}, {}), load(ON_GITHUB), [])]


def test_no_tenant_can_have_the_name_that_a_products_url_could_resolve_to() -> None:
    text = SHOP.replace("github.com/acme", "git.alpha/acme") + ALPHA
    (said,) = map(str, checks.trusted_namespaces(settings(), YamlFile("Pulumi.x.yaml", {}, {}), load(text), []))
    assert "the namespace alpha is trusted by source.url on line 2" in said


def test_a_products_namespace_that_this_stack_did_not_make_is_refused() -> None:
    listed, stack = load(SHOP + ALPHA), settings(cluster="prod-eu")

    def refused(metadata: dict[str, Any]) -> list[str]:
        found = ownership.namespace_problems({"product-shop": metadata}, stack, listed, YamlFile("x", {}, {}))
        return [*map(str, found)]

    assert refused(products.namespace("shop", "prod-eu")["metadata"]) == []
    (foreign,) = refused({"labels": {"app": "x"}})
    assert foreign.startswith("tenants.yaml:2: products.shop: the namespace product-shop exists already")
    (other,) = refused(products.namespace("shop", "staging")["metadata"])
    assert "belongs to the stack whose `cluster` is staging" in other
