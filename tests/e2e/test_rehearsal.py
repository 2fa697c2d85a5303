"""`make rehearse`: the first month of prod-eu."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console

from local import aws, controlplane
from local.home import Home
from local.rehearsal import CORRECTED, Change, Rehearsal, rehearse
from standins.github.store import Store
from tests.unit.test_bootstrap import ADMINISTRATORS_ONLY, UNREHEARSED, Account, allowed, explicit

EVERYBODYS = {"sts:GetCallerIdentity", "ec2:DeleteNetworkInterface"}
"""Needs no permission; and what AWS itself does after a NAT gateway is deleted, but not the emulator."""
REPLACEMENTS = {"replace", "create-replacement", "delete-replaced"}


def kinds(changes: list[Change]) -> set[tuple[str, str]]:
    return {(change.operation, change.type) for change in changes}


def test_prod_eu_survives_its_first_month(tmp_path: Path) -> None:
    seen: dict[str, Any] = {}

    def then(rehearsal: Rehearsal, step: str) -> None:
        if step == "minor upgrade":
            # Another kubeconfig of the same cluster changes the provider, and nothing in the cluster.
            kubeconfig = rehearsal.project / "model" / "kubernetes" / "cluster.py"
            edited = rehearsal.edited(
                kubeconfig, lambda text: text.replace('"command": "aws",', '"command": "aws", "env": [],')
            )
            store = Store(rehearsal.home.git)
            store.set_organization("acme", hidden=True)
            with edited:
                seen["kubeconfig"] = rehearsal.run("preview")
            seen["said"] = rehearsal.output
            store.set_organization("acme")
            api = controlplane.administrator(rehearsal.home)
            seen["identity"] = api.get("/api/v1/namespaces/tenant-001/configmaps/identity")
            seen["classes"] = api.get("/apis/storage.k8s.io/v1/storageclasses")
        if step.startswith("platform"):
            return
        seen["calls"] = aws.program_calls(rehearsal.home)

    console = Console(record=True, width=120, quiet=True)
    steps = {step.name: step for step in rehearse(Rehearsal(Home(tmp_path)), console, then=then)}
    assert kinds(seen["kubeconfig"]) == {("update", "pulumi:providers:kubernetes")}
    # GitHub answered 403 meanwhile, which the real engine lets the program ask.
    assert "Not checked whether acme lets its repositories have deploy keys" in seen["said"]
    joined = kinds([*steps[CORRECTED].changes])
    assert joined >= {
        ("update", "kubernetes:karpenter.sh/v1:NodePool"),
        ("delete", "aws:eks/accessEntry:AccessEntry"),
        ("delete", "aws:eks/accessPolicyAssociation:AccessPolicyAssociation"),
        ("create", "aws:iam/role:Role"),
        ("create", "aws:eks/podIdentityAssociation:PodIdentityAssociation"),
        ("create", "aws:cloudwatch/logGroup:LogGroup"),
    }
    upgraded = kinds([*steps["minor upgrade"].changes])
    assert ("update", "aws:eks/cluster:Cluster") in upgraded
    # A tenant is leaving meanwhile.
    assert ("delete", "aws:eks/podIdentityAssociation:PodIdentityAssociation") in upgraded
    assert kinds([*steps["new AMI release, nodes scale out"].changes]) == {("update", "aws:eks/nodeGroup:NodeGroup")}
    assert not {change.operation for step in steps.values() for change in step.changes} & REPLACEMENTS
    assert seen["identity"]["data"]["OIDC_ISSUER"].startswith("https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_")
    policies = {item["metadata"]["name"]: item["reclaimPolicy"] for item in seen["classes"]["items"]}
    # "standard" is the embedded control plane's own.
    assert policies == {"gp3": "Delete", "gp3-retain": "Retain", "standard": "Delete"}

    # The deploy role may do what the program did, and nothing that no rehearsal needs.
    deploy = Account(PulumiOrganization="acme").permissions("deploy")
    calls = seen["calls"] - EVERYBODYS - ADMINISTRATORS_ONLY
    assert sorted(action for action in calls if not allowed(deploy, action)) == []
    assert sorted(explicit(deploy) - calls - UNREHEARSED) == []
    assert sorted(UNREHEARSED & calls) == []
    assert seen["calls"] >= ADMINISTRATORS_ONLY
