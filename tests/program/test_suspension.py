"""Suspended and leaving tenants: what is stopped, closed and kept, and what only an update does."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
import yaml

from components.kubectl import KubectlError
from components.tenant import pods, volumes
from tests.program.conftest import UID, Run
from tests.program.recorder import ProgramError, Recording, record
from tests.program.test_prod_eu import production
from tests.program.test_tenant_space import BINDING, KUSTOMIZATION, NAMESPACE, POLICY, QUOTA, within

SOURCE = """source: {url: "https://github.com/acme/shop", branch: main}"""
ACTIVE = f"""\
products: {{shop: {{{SOURCE}}}}}
tenants:
  - {{name: alpha, {SOURCE}, helm: true, network: {{egress: [{{name: web, internet: true}}]}}}}
  - {{name: beta, product: shop, patches: [{{patch: "{{kind: Service, metadata: {{name: x}}}}"}}]}}
"""
SUSPENDED = ACTIVE.replace("helm: true,", "helm: true, suspended: {since: 2026-11-26, reason: unpaid},").replace(
    "product: shop,", "product: shop, leaving: {since: 2026-11-26, until: 2026-12-26},"
)
PODS = {f"/api/v1/namespaces/{name}/pods": {"items": []} for name in ("alpha", "beta")}
WITHOUT_PODS = {**PODS, "/api/v1/persistentvolumes": {"items": []}}


@pytest.fixture
def suspended(run: Run, cluster: Callable[..., str]) -> Recording:
    return run(SUSPENDED, kubeconfig=cluster("v1.36.4", WITHOUT_PODS))


def stopping(recording: Recording, tenant: str, name: str) -> dict[str, str]:
    patches = recording.resource(KUSTOMIZATION, name).inputs["spec"]["patches"]
    return {patch["target"]["kind"]: patch["patch"] for patch in patches if "target" in patch}


def test_a_suspended_tenants_product_is_applied_without_pods(suspended: Recording) -> None:
    for tenant, name in (("alpha", "alpha"), ("beta", "beta/product-shop")):
        patches = stopping(suspended, tenant, name)
        assert [*patches] == [
            "Deployment|ReplicaSet|ReplicationController",
            "StatefulSet",
            "DaemonSet",
            "CronJob|Job",
            "HelmRelease",
        ]
        (replicas,) = yaml.safe_load(patches["Deployment|ReplicaSet|ReplicationController"])
        assert replicas == {"op": "add", "path": "/spec/replicas", "value": 0}
        assert '"Delete"' not in patches["StatefulSet"]
        assert suspended.resource(QUOTA, tenant).inputs["spec"]["hard"]["pods"] == "0"
    # After the tenant's own patch, which could undo them.
    assert "target" not in suspended.resource(KUSTOMIZATION, "beta/product-shop").inputs["spec"]["patches"][0]


def test_a_suspended_tenants_network_is_closed(suspended: Recording) -> None:
    for tenant in ("alpha", "beta"):
        (policy,) = within(suspended, tenant, POLICY)
        assert policy.inputs["spec"] == {
            "podSelector": {},
            "ingress": [],
            "egress": [],
            "policyTypes": ["Ingress", "Egress"],
        }


def test_only_that_differs_from_an_active_tenant(suspended: Recording, run: Run) -> None:
    active = run(ACTIVE)
    before = {urn: each.inputs for urn, each in active.registrations.items() if "Provider" not in urn}
    after = {urn: each.inputs for urn, each in suspended.registrations.items() if "Provider" not in urn}
    assert {urn.rpartition("::")[2] for urn in before.keys() - after.keys()} == {
        "alpha/allow-dns",
        "alpha/egress-web",
        "beta/allow-dns",
    }
    assert after.keys() <= before.keys()
    changed = {urn.rpartition("$")[2].partition("::")[0] for urn in after if after[urn] != before[urn]}
    assert changed == {NAMESPACE, QUOTA, POLICY, KUSTOMIZATION}
    assert BINDING not in changed  # Flux needs its rights to stop the product


def test_the_outputs_say_who_is_suspended_and_until_when_one_leaves(suspended: Recording) -> None:
    tenants = suspended.outputs["tenants"]
    assert (tenants["alpha"]["state"], "until" in tenants["alpha"]) == ("suspended", False)
    assert (tenants["beta"]["state"], tenants["beta"]["until"]) == ("leaving", "2026-12-26")


def test_a_tenant_may_depart_only_if_the_last_update_had_it_leaving(run: Run, cluster: Callable[..., str]) -> None:
    today, backup = datetime.now(UTC).date(), "{id: x, restored: 2026-11-26}"
    departed = f"tenants: []\ndeparted: [{{name: alpha, since: {today}, backup: {backup}}}]"
    earlier: dict[str, Any] = {"cluster": {"uid": UID}, "tenants": {"alpha": {"state": "suspended"}}}
    with pytest.raises(ProgramError, match="alpha was suspended in the last update, not leaving"):
        run(departed, earlier=earlier)
    earlier["tenants"] = {"alpha": {"state": "leaving", "until": "2026-11-26"}}
    run(departed, earlier=earlier, kubeconfig=cluster("v1.36.4", WITHOUT_PODS))


def test_a_tenants_namespace_and_group_are_protected_until_it_leaves(run: Run) -> None:
    def protected(state: str, **aws: Any) -> set[bool]:
        tenants = f"tenants:\n  - {{name: alpha, {SOURCE}{state}}}\n"
        recording = run(tenants, config=production(**aws), stack_name="prod-eu", preview=True)
        found = [recording.resource(kind, "alpha") for kind in (NAMESPACE, "aws:cognito/userGroup:UserGroup")]
        return {resource.request.protect for resource in found}

    assert protected("") == protected(", suspended: {since: 2026-11-26, reason: unpaid}") == {True}
    assert protected(", leaving: {since: 2026-11-26, until: 2026-12-26}") == {False}
    assert protected("", protection=False) == {False}


def test_a_suspended_tenants_pods_get_no_aws_role(run: Run) -> None:
    access = "aws: {statements: [{actions: [s3:GetObject], resources: ['arn:aws:s3:::data/${tenant}/*']}]}"
    state = ", suspended: {since: 2026-11-26, reason: unpaid}"
    made: list[set[str]] = []
    for given in ("", state):
        tenants = f"tenants:\n  - {{name: alpha, {SOURCE}, {access}{given}}}\n"
        recording = run(tenants, config=production(), stack_name="prod-eu", preview=True)
        role = [each for each in recording.registrations.values() if "TenantRole$" in each.urn]
        made.append({each.type for each in role})
    assert made[0] - made[1] == {"aws:eks/podIdentityAssociation:PodIdentityAssociation"}
    assert made[1] == {"aws:iam/role:Role", "aws:iam/rolePolicy:RolePolicy"}


@pytest.mark.parametrize("preview", [True, False])
def test_only_an_update_ends_pods(preview: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(pods, "_end", lambda _, namespace: asked.append(namespace))
    record(lambda: pods.end_pods("kubeconfig", "shop", after=[]), preview=preview)
    assert asked == ([] if preview else ["shop"])


def test_pods_that_outlive_their_workload_are_deleted(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, ...]] = []

    def kubectl(_: str, *arguments: str) -> str:
        asked.append(arguments)
        return '{"items": [{}]}'

    monkeypatch.setattr(pods, "kubectl", kubectl)
    monkeypatch.setattr(pods, "ORDERLY_SECONDS", -1)
    pods._end("", "shop")
    path = "/api/v1/namespaces/shop/pods?fieldSelector=status.phase!=Succeeded,status.phase!=Failed"
    assert asked == [("get", "--raw", path), ("delete", "--raw", path)]


def test_an_update_that_cannot_see_the_pods_fails(
    run: Run, cluster: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def kubectl(*_: str) -> str:
        raise KubectlError("forbidden")

    monkeypatch.setattr(pods, "kubectl", kubectl)
    with pytest.raises(ProgramError, match="alpha is suspended, and whether its pods have ended is unknown: forbidden"):
        run(SUSPENDED.partition("  - {name: beta")[0], kubeconfig=cluster("v1.36.4", WITHOUT_PODS))


def volume(name: str, namespace: str, policy: str, **labels: str) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": name, "labels": {volumes.KEPT_FOR: labels["kept_for"]} if labels else {}}
    if labels:
        metadata["annotations"] = {volumes.RECLAIM_POLICY: labels["before"]}
    return {
        "metadata": metadata,
        "spec": {"claimRef": {"namespace": namespace}, "persistentVolumeReclaimPolicy": policy},
    }


def test_volumes_are_kept_for_exactly_the_tenants_that_leave() -> None:
    found = [
        volume("of-shop", "shop", "Delete"),
        volume("of-shop-orders", "shop-orders", "Delete"),
        volume("kept", "shop", "Retain", kept_for="shop", before="Delete"),
        volume("given-back", "cafe", "Retain", kept_for="cafe", before="Delete"),
        {"metadata": {"name": "free"}, "spec": {"persistentVolumeReclaimPolicy": "Delete"}},
    ]
    assert {
        name: patch["spec"]["persistentVolumeReclaimPolicy"] for name, patch in volumes.changes(found, {"shop"})
    } == {
        "of-shop": "Retain",
        "given-back": "Delete",
    }
