"""The table of tenants, from the API server's answers."""

from __future__ import annotations

import io
from typing import Any

from rich.console import Console

from local.status import table
from model import status
from model.status import Reconciliation, Workloads

APPS = "/apis/apps/v1"
FAILED = "/api/v1/namespaces/alpha/events?fieldSelector=reason=FailedCreate"


class FakeApi:
    """Answers with objects by path, and with None elsewhere."""

    def __init__(self, objects: dict[str, list[dict[str, Any]]]) -> None:
        self.objects = objects

    def get(self, path: str) -> dict[str, Any] | None:
        return {"items": self.objects[path]} if path in self.objects else None


def api(**objects: list[dict[str, Any]]) -> Any:
    paths = {
        "sources": status.SOURCES,
        "kustomizations": status.KUSTOMIZATIONS,
        "namespaces": f"/api/v1/namespaces?labelSelector={status.TENANT_LABEL}",
        "products": f"/api/v1/namespaces?labelSelector={status.PRODUCT_LABEL}",
        "stopped": f"/api/v1/namespaces?labelSelector={status.STATE_LABEL}",
        "pods": "/api/v1/namespaces/alpha/pods",
        "events": FAILED,
        "jobs": "/apis/batch/v1/jobs",
        **{kind: f"{APPS}/{kind}" for kind in ("deployments", "statefulsets", "daemonsets")},
    }
    return FakeApi({paths[name]: items for name, items in objects.items()})


def flux(kind: str, name: str = "alpha", ready: str = "True", message: str = "", **spec: Any) -> dict[str, Any]:
    conditions = [{"type": "Ready", "status": ready, "message": message}]
    return {
        "kind": kind,
        "metadata": {"name": name, "namespace": "alpha", "generation": 1},
        "spec": spec,
        "status": {
            "observedGeneration": 1,
            "conditions": conditions,
            "lastAppliedRevision": "main@sha1:0123456789abcdef",
        },
    }


ALPHA = {"metadata": {"name": "alpha"}}


def only(**objects: list[dict[str, Any]]) -> Reconciliation:
    (row,) = status.reconciliations(api(namespaces=[ALPHA], **objects))
    return row


def deployment(available: int, desired: int) -> dict[str, Any]:
    return {
        "metadata": {"name": "web", "namespace": "alpha"},
        "spec": {"replicas": desired},
        "status": {"availableReplicas": available},
    }


def test_a_tenant_is_ready_if_its_source_and_its_kustomization_are() -> None:
    source, kustomization = flux("GitRepository"), flux("Kustomization")
    assert only(sources=[source], kustomizations=[kustomization]) == Reconciliation("alpha", True, "main@01234567", "")
    failed = flux("Kustomization", ready="False", message="path not found")
    assert only(sources=[source], kustomizations=[failed]).reason == "Kustomization: path not found"
    suspended = flux("GitRepository", suspend=True)
    assert only(sources=[suspended], kustomizations=[kustomization]).reason == "its GitRepository is suspended"
    late = {**kustomization, "metadata": {**kustomization["metadata"], "generation": 2}}
    assert "has not reconciled its Kustomization" in only(sources=[source], kustomizations=[late]).reason


def test_the_watchdogs_reason_is_shown() -> None:
    held = flux("Kustomization", ready="False", message="suspended by the watchdog, for others to go on", suspend=True)
    held["metadata"]["annotations"] = {"saas-in-eks.io/held": "{}"}
    reason = only(sources=[flux("GitRepository")], kustomizations=[held]).reason
    assert reason == "its Kustomization is suspended by the watchdog, for others to go on"


def test_an_object_that_the_tenant_added_does_not_count() -> None:
    source, theirs = flux("GitRepository"), flux("Kustomization", name="theirs")
    assert only(sources=[source], kustomizations=[theirs]).reason == "its Kustomization is missing: run `make up`"


def test_a_tenant_of_a_product_is_found_by_its_label() -> None:
    shop, kustomization = flux("GitRepository", name="shop"), flux("Kustomization", sourceRef={"name": "shop"})
    shop["metadata"]["namespace"] = kustomization["metadata"]["namespace"] = "product-shop"
    shop["status"]["artifact"] = {"revision": "main@sha1:fedcba9876543210"}
    labels = {status.TENANT_LABEL: "alpha", status.PRODUCT_LABEL: "shop"}
    kustomization["metadata"]["labels"] = labels
    everything = {"products": [{"metadata": {"name": "product-shop"}}], "namespaces": [ALPHA], "sources": [shop]}
    product, tenant = status.reconciliations(api(**everything, kustomizations=[kustomization]))
    assert product == Reconciliation("product-shop", True, "main@fedcba98", "", of="product")
    assert tenant == Reconciliation("alpha", True, "main@01234567", "", "shop")
    shop["status"]["conditions"] = [{"type": "Ready", "status": "False", "message": "no such branch"}]
    product, tenant = status.reconciliations(api(**everything, kustomizations=[kustomization]))
    assert (product.reason, tenant.reason) == ("GitRepository: no such branch", "")
    del kustomization["metadata"]["labels"]
    _, tenant = status.reconciliations(api(**everything, kustomizations=[kustomization]))
    assert tenant.reason == "its Kustomization is missing: run `make up`"


def test_a_product_has_a_row_for_each_ring_and_a_tenant_names_its_own() -> None:
    sources = [flux("GitRepository", name=f"shop-{name}") for name in ("canary", "early", "pin-v1", "write")]
    kustomization = flux("Kustomization", sourceRef={"name": "shop-early"})
    for item in (*sources, kustomization):
        item["metadata"] |= {"namespace": "product-shop", "labels": {status.PRODUCT_LABEL: "shop"}}
    for item, ring in zip((*sources[:2], kustomization), ("canary", "early", "early"), strict=True):
        item["metadata"]["labels"] |= {status.RING_LABEL: ring}
    kustomization["metadata"]["labels"][status.TENANT_LABEL] = "alpha"
    everything = {"products": [{"metadata": {"name": "product-shop"}}], "namespaces": [ALPHA], "sources": sources}
    rows = status.reconciliations(api(**everything, kustomizations=[kustomization]))
    assert [(row.name, row.ring) for row in rows] == [
        ("product-shop", "canary"),
        ("product-shop", "early"),
        ("alpha", "early"),
    ]
    assert status.cells(rows[2], Workloads())[2] == "early"
    sources[1]["metadata"]["name"] = "shop-early.20-40"
    _, batch, _ = status.reconciliations(api(**everything, kustomizations=[kustomization]))
    assert batch.ring == "early 20-40%"
    kustomization["spec"]["sourceRef"]["name"] = "shop-pin-v1"
    *_, tenant = status.reconciliations(api(**everything, kustomizations=[kustomization]))
    assert status.cells(tenant, Workloads())[2] == "early, pinned"


def test_no_pod_of_a_suspended_tenant_is_missing() -> None:
    elsewhere = {**deployment(0, 1), "metadata": {"name": "web", "namespace": "beta"}}
    events = [{"involvedObject": {"kind": "ReplicaSet", "name": "web-1"}, "message": "exceeded quota: tenant"}]
    found = status.workloads(api(deployments=[deployment(0, 1), elsewhere], stopped=[ALPHA], pods=[], events=events))
    assert (found["alpha"].complete, found["alpha"].reason) == (True, "")
    assert not found["beta"].complete


def test_replicas_of_all_kinds_are_added_up() -> None:
    scheduled = {"numberAvailable": 2, "desiredNumberScheduled": 3}
    daemon_set = {"metadata": {"name": "log", "namespace": "alpha"}, "spec": {}, "status": scheduled}
    elsewhere = {**deployment(0, 1), "metadata": {"name": "web", "namespace": "beta"}}
    found = status.workloads(
        api(deployments=[deployment(1, 1), elsewhere], statefulsets=[deployment(2, 2)], daemonsets=[daemon_set])
    )
    assert (found["alpha"].available, found["alpha"].desired) == (5, 6)
    assert not found["beta"].complete
    assert found["gamma"] == Workloads(0, 0, "")


def test_a_job_counts_until_it_has_ended() -> None:
    def job(*conditions: str, suspend: bool = False, **status: int) -> dict[str, Any]:
        return {
            "metadata": {"name": "migrate", "namespace": "alpha"},
            "spec": {"parallelism": 3, "completions": 4, "suspend": suspend},
            "status": {**status, "conditions": [{"type": kind, "status": "True"} for kind in conditions]},
        }

    running = status.workloads(api(jobs=[job(ready=1), job(ready=1, succeeded=2)]))["alpha"]
    assert (running.available, running.desired) == (2, 5)
    ended = [job("Complete", succeeded=4), job("FailureTarget", "Failed"), job(suspend=True)]
    assert status.workloads(api(jobs=ended))["alpha"] == Workloads(0, 0, "")


def test_the_first_pod_that_does_not_start_is_the_reason() -> None:
    def pod(name: str, **state: Any) -> dict[str, Any]:
        return {"metadata": {"name": name}, "status": {"containerStatuses": [{"state": state}]}}

    starting = pod("a", waiting={"reason": "ContainerCreating"})
    broken = pod("b", waiting={"reason": "ImagePullBackOff", "message": "no such image"})
    found = status.workloads(api(deployments=[deployment(1, 3)], pods=[starting, pod("r", running={}), broken]))
    assert found["alpha"].reason == "pod b: ImagePullBackOff: no such image"
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "too large"}
    large = {"metadata": {"name": "c"}, "status": {"conditions": [condition]}}
    found = status.workloads(api(deployments=[deployment(0, 1)], pods=[large]))
    assert found["alpha"].reason == "pod c: Unschedulable: too large"


def test_a_pod_that_can_not_be_created_is_the_reason_if_no_pod_is() -> None:
    def event(time: str, message: str) -> dict[str, Any]:
        return {
            "lastTimestamp": time,
            "involvedObject": {"kind": "ReplicaSet", "name": "web-1"},
            "message": message,
        }

    events = [event("2026-01-02T00:00:00Z", "exceeded quota"), event("2026-01-01T00:00:00Z", "old")]
    found = status.workloads(api(deployments=[deployment(0, 1)], pods=[], events=events))
    assert found["alpha"].reason == "ReplicaSet web-1: exceeded quota"
    assert status.workloads(api(deployments=[deployment(1, 1)], pods=[], events=events))["alpha"].reason == ""


def test_the_table_shows_revision_replicas_and_seconds() -> None:
    console = Console(width=140, file=io.StringIO(), record=True)
    rows = [
        Reconciliation("flux-system", True, "main@1", "", of="infra"),
        Reconciliation("product-shop", True, "main@2", "", of="product"),
        Reconciliation("alpha", False, "", "why", "shop"),
    ]
    images = ("registry.example.com/acme/shop:1.4.2@sha256:0123", "busybox:1")
    pods = {"flux-system": Workloads(4, 4), "product-shop": Workloads(), "alpha": Workloads(1, 2, "", images)}
    console.print(table(rows, pods, {"flux-system": 12.34}))
    lines = [[cell.strip() for cell in line.split("│")[1:-1]] for line in console.export_text().splitlines()]
    assert ["flux-system (infra)", "", "", "yes", "main@1", "", "4/4", "12.3"] in lines
    assert ["product-shop (product)", "", "", "yes", "main@2", "", "", ""] in lines
    assert ["alpha", "shop", "default", "no", "", "shop:1.4.2 +1", "1/2", ""] in lines
