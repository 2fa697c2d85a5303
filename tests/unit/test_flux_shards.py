"""Shards of Flux's controllers, and the watchdog's manifests."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from model.config import tenants, yaml_lines
from model.kubernetes import flux, shards, watchdog
from model.kubernetes.admission import shards as admission
from watchdog import watchdog as program

MANIFEST = (Path(__file__).parents[1] / "program" / "install.yaml").read_text()
CONTROLLERS = ("source-controller", "kustomize-controller")
CRD_CONTROLLER = """
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: crd-controller-flux-system}
rules:
- {apiGroups: [''], resources: [secrets], verbs: [get]}
- {apiGroups: [''], resources: [serviceaccounts/token], verbs: [create]}
"""


@pytest.mark.parametrize(("shard", "name"), [("default", "helm-controller"), ("a-b", "helm-controller-a-b")])
def test_a_name_tells_controller_and_shard(shard: str, name: str) -> None:
    assert shards.name_in(shard, "helm-controller") == name
    assert shards.parts(name) == ("helm-controller", shard)


def test_controllers_have_no_right_to_tokens() -> None:
    for lockdown in (True, False):
        manifest = flux.parse(MANIFEST + CRD_CONTROLLER, "x", CONTROLLERS, lockdown=lockdown)
        (role,) = [one for one in manifest.permissions if one["metadata"]["name"].startswith("crd-controller")]
        resources = [resource for rule in role["rules"] for resource in rule["resources"]]
        assert resources == (["secrets"] if lockdown else ["secrets", "serviceaccounts/token"])


def test_no_controller_fills_its_nodes_disk() -> None:
    volumes = [{"name": "data", "emptyDir": {}}, {"name": "small", "emptyDir": {"sizeLimit": "1Gi"}}, {"name": "x"}]
    documents = list(yaml.safe_load_all(MANIFEST))
    for document in documents:
        if document["kind"] == "Deployment":
            document["spec"]["template"]["spec"]["volumes"] = volumes
    text = yaml.dump_all(documents)
    sharded = shards.with_shards(flux.parse(text, "x", CONTROLLERS, lockdown=False), [shards.Shard("a", CONTROLLERS)])
    for deployment in sharded.deployments:
        found = deployment["spec"]["template"]["spec"]["volumes"]
        assert [one.get("emptyDir", {}).get("sizeLimit") for one in found] == ["10Gi", "1Gi", None]


def test_host_names_in_a_shard_are_those_of_its_own_service() -> None:
    manifest = flux.parse(MANIFEST, "x", CONTROLLERS, lockdown=True)
    nobody = tenants.merge_and_validate(yaml_lines.parse("tenants: []", "tenants.yaml"))
    (shard,) = shards.shards(nobody, CONTROLLERS)
    deployment = next(
        one
        for one in shards.with_shards(manifest, [shard]).deployments
        if one["metadata"]["name"] == "source-controller-platform"
    )
    text = yaml.safe_dump(deployment)
    assert "storage-adv-addr=source-controller-platform.$(RUNTIME_NAMESPACE)" in text


def test_program_and_policies_use_the_same_names() -> None:
    """The watchdog is one file without imports, so it repeats them."""
    assert (program.HELD, program.HOLDS) == (admission.HELD, admission.HOLDS)
    assert program.MANAGER == "flux-watchdog"
    groups = {(version.partition("/")[0], name) for name, (version, _, _) in program.RESOURCES.items()}
    assert groups == {(group, name) for group, names in watchdog.GROUPS.items() for name in names}
    assert set(program.SOURCES) == set(watchdog.GROUPS["source.toolkit.fluxcd.io"])
