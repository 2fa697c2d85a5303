"""`make rehearse` of prod-eu, with an upgrade in the middle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console

from local import controlplane
from local.home import Home
from local.rehearsal import NEW_TENANT, Change, Rehearsal, rehearse

REPLACEMENTS = {"replace", "create-replacement", "delete-replaced"}


def begin_with_an_older_version(config: dict[str, Any]) -> None:
    cluster = config["aws"]["cluster"]
    cluster["version"] = "1.35"
    cluster["addons"]["kube-proxy"] = "v1.35.0-eksbuild.2"


def upgrade(config: dict[str, Any]) -> None:
    cluster = config["aws"]["cluster"]
    cluster["version"] = "1.36"
    cluster["addons"]["kube-proxy"] = "v1.36.0-eksbuild.2"


def take_the_viewers_off(config: dict[str, Any]) -> None:
    assert config["aws"].get("protection", True)
    config["aws"]["cluster"]["viewers"] = []


def kinds(changes: list[Change]) -> set[tuple[str, str]]:
    return {(change.operation, change.type) for change in changes}


def test_prod_eu_is_created_changed_in_place_and_destroyed(tmp_path: Path) -> None:
    seen: dict[str, Any] = {}

    def then(rehearsal: Rehearsal) -> None:
        # Another kubeconfig of the same cluster changes the provider, and nothing in the cluster.
        kubeconfig = rehearsal.project / "model" / "kubernetes" / "cluster.py"
        with rehearsal.edited(
            kubeconfig, lambda text: text.replace('"command": "aws",', '"command": "aws", "env": [],')
        ):
            seen["kubeconfig"] = rehearsal.run("preview")
        rehearsal.configure(upgrade)
        rehearsal.configure(take_the_viewers_off)
        rehearsal.tenants_file.write_text(rehearsal.tenants_file.read_text() + NEW_TENANT)
        seen["upgrade"] = rehearsal.run("up", "--yes", "--skip-preview")
        api = controlplane.administrator(rehearsal.home)
        seen["identity"] = api.get("/api/v1/namespaces/tenant-001/configmaps/identity")
        seen["types"] = {resource["type"] for resource in rehearsal.state()}

    console = Console(record=True, width=120, quiet=True)
    steps = rehearse(
        Rehearsal(Home(tmp_path)),
        console,
        first=begin_with_an_older_version,
        then=then,
    )
    assert kinds(seen["kubeconfig"]) == {("update", "pulumi:providers:kubernetes")}
    upgraded = kinds(seen["upgrade"])
    assert not {operation for operation, _ in upgraded} & REPLACEMENTS
    assert upgraded >= {
        ("update", "aws:eks/cluster:Cluster"),
        ("update", "aws:eks/nodeGroup:NodeGroup"),
        ("update", "aws:eks/addon:Addon"),
        ("delete", "aws:eks/accessEntry:AccessEntry"),
        ("delete", "aws:eks/accessPolicyAssociation:AccessPolicyAssociation"),
        ("create", "aws:iam/role:Role"),
        ("create", "aws:eks/podIdentityAssociation:PodIdentityAssociation"),
    }
    assert seen["identity"]["data"]["OIDC_ISSUER"].startswith("https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_")
    assert [step.name for step in steps][-1] == "pulumi destroy"
