"""Objects that exist already: the stack takes over its own only."""

from __future__ import annotations

from typing import Any

import pytest

from model.config import tenants
from model.config.tenants import TenantList
from model.config.yaml_lines import YamlFile, parse
from model.kubernetes import ownership
from model.kubernetes.manifests import CLUSTER_LABEL, NOT_FLUX_BUSINESS, namespace
from model.kubernetes.stored_versions import stored_version_problems
from tests.unit.test_inputs import settings

SETTINGS = settings(cluster="prod-eu")


def listed(**entry: Any) -> TenantList:
    lines = "".join(f"\n    {key}: {value}" for key, value in entry.items())
    source = "{url: 'ssh://git@github.com/acme/shop', branch: main, private: true}"
    return tenants.merge_and_validate(
        parse(f"tenants:\n  - name: monitoring\n    source: {source}{lines}\n", "tenants.yaml")
    )


def problems(existing: dict[str, Any], tenant_list: TenantList) -> list[str]:
    stack_file = YamlFile("Pulumi.prod.yaml", {}, {})
    return [*map(str, ownership.namespace_problems(existing, SETTINGS, tenant_list, stack_file))]


def made(tenant_list: TenantList, cluster: str = "prod-eu") -> dict[str, Any]:
    return {"monitoring": namespace(tenant_list.tenants[0], cluster)["metadata"]}


def test_a_namespace_that_this_stack_did_not_make_is_refused_at_the_tenants_line() -> None:
    for labels in ({}, {"app": "x"}, {"toolkit.fluxcd.io/tenant": "monitoring"}):
        (said,) = problems({"monitoring": {"labels": labels}}, listed())
        assert said.startswith("tenants.yaml:2: tenants[0].name: the namespace monitoring exists already")
        assert "`adopt: true`" in said
    (without_metadata,) = problems({"monitoring": {}}, listed())
    assert "exists already" in without_metadata


def test_a_namespace_of_this_stack_of_any_release_and_a_missing_one_are_accepted() -> None:
    mine = listed()
    earlier = {"monitoring": {"labels": {"toolkit.fluxcd.io/tenant": "monitoring", "saas-in-eks.io/tier": "basic"}}}
    assert problems(made(mine), mine) == problems(earlier, mine) == problems({"other": {}}, mine) == []


def test_a_namespace_of_another_stack_is_refused_even_for_adoption() -> None:
    for entry in ({}, {"adopt": "true"}):
        (said,) = problems(made(listed(), "staging"), listed(**entry))
        assert "belongs to the stack whose `cluster` is staging" in said


def test_an_adopted_namespace_stays_adopted() -> None:
    adopted = listed(adopt="true")
    assert problems({"monitoring": {}}, adopted) == problems(made(adopted), adopted) == []
    (said,) = problems(made(adopted), listed())
    assert "Keep `adopt: true`." in said


def test_objects_of_others_in_an_adopted_namespace_are_not_taken_over() -> None:
    existing = [("ServiceAccount", "monitoring"), ("Secret", "monitoring"), ("ConfigMap", "identity"), ("Secret", "x")]
    found = [*ownership.object_problems(0, existing, SETTINGS, listed(adopt="true"))]
    assert [problem.message.partition(" exists")[0] for problem in found] == [
        "Secret monitoring",
        "ServiceAccount monitoring",
    ]


def test_a_flux_that_this_stack_did_not_install_is_refused_with_both_ways_out() -> None:
    none = tenants.merge_and_validate(parse("tenants: []\n", "tenants.yaml"))
    (said,) = problems({"flux-system": {"labels": {"app.kubernetes.io/part-of": "flux"}}}, none)
    assert said.startswith("Pulumi.prod.yaml: cluster: the cluster has a Flux already")
    assert "flux uninstall" in said
    assert "kubectl annotate namespace flux-system" in said
    assert problems({"flux-system": {"annotations": {**NOT_FLUX_BUSINESS, "other": "x"}}}, none) == []


DEPARTED = "tenants: []\ndeparted: [{{name: monitoring, since: 2026-11-26{more}}}]\n"


@pytest.mark.parametrize(
    ("text", "entry", "said"),
    [
        ("tenants: []\n", {}, "monitoring was deployed by an update that did not end, and is neither in tenants nor"),
        (DEPARTED.format(more=""), {}, "monitoring may not depart: an update that did not end has changed it"),
        (DEPARTED.format(more=""), {"suspended": "{since: 2026-11-26, reason: unpaid}"}, "it is not leaving"),
        (DEPARTED.format(more=""), {"leaving": "{since: 2026-11-26, until: 2026-11-26}"}, ""),
        (DEPARTED.format(more=", breakGlass: a test"), {}, ""),
        ("tenants: []\n", {"adopt": "true"}, ""),
    ],
)
def test_a_tenant_of_an_update_that_did_not_end_is_not_deleted(text: str, entry: dict[str, Any], said: str) -> None:
    everyone = tenants.merge_and_validate(parse(text, "tenants.yaml"))

    def found(namespaces: dict[str, Any], cluster: str = "prod-eu") -> str:
        return "".join(map(str, ownership.departure_problems(namespaces, cluster, everyone)))

    existing = made(listed(**entry))
    assert said in found(existing)
    assert bool(said) == bool(found(existing))
    # Those of other stacks and products, and namespaces that no stack made, are not this stack's to delete.
    others = {"product-shop": {"labels": {CLUSTER_LABEL: "prod-eu"}}, "default": {}}
    assert found(made(listed(**entry), "staging")) == found(others) == ""
    assert [*ownership.departure_problems(existing, "prod-eu", listed(**entry))] == []


def definition(*versions: str, stored: list[str] | None = None) -> dict[str, Any]:
    listed = [{"name": version, "storage": index == 0} for index, version in enumerate(versions)]
    head = {"kind": "CustomResourceDefinition", "metadata": {"name": "buckets.example.org"}}
    return {**head, "spec": {"versions": listed}, "status": {"storedVersions": stored or [versions[0]]}}


def test_a_stored_version_that_the_manifest_lacks_is_refused_with_the_way_out() -> None:
    ((message, remedy),) = stored_version_problems(
        [definition("v1", "v1beta2", stored=["v1beta2", "v1"])], [definition("v1")]
    )
    assert message.startswith("objects of buckets.example.org may be stored as v1beta2")
    assert "`flux migrate`" in remedy
    assert """-p '{"status":{"storedVersions":["v1"]}}'`""" in remedy
    ((_, remedy),) = stored_version_problems([definition("v1beta2", "v1beta1")], [definition("v1")])
    assert "by way of a release" in remedy
    for installed in ([], [definition("v1", "v1beta2")], [{**definition("v0"), "metadata": {"name": "other"}}]):
        assert [
            *stored_version_problems(installed, [definition("v1"), {"kind": "Namespace", "metadata": {"name": "x"}}])
        ] == []
