"""Shards of Flux's controllers: who is in which, and who is held up by whom."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
import yaml

from local import agent, controlplane, status
from model.kubernetes.admission.shards import HELM_CONTROLLER, WATCHDOGS_USER
from model.kubernetes.manifests import SHARD_LABEL, Manifest
from tests.isolation import objects as of
from tests.isolation.api import Answer
from tests.isolation.attack import OWN, product_of
from tests.isolation.attacks import helm
from tests.isolation.attacks.shards import labelled, with_chart_labels
from tests.isolation.control_plane import Cluster
from tests.isolation.flux_platform import DEADLINE, PATHS, HostilePlatform
from tests.isolation.runner import DEFENDED, UNDEFENDED, Attempt, Record
from tests.isolation.tenants import CUSTOMERS as TENANTS
from tests.platform import eventually

WATCHDOGS_RIGHTS: Manifest = {
    "apiVersion": f"{of.RBAC}/v1",
    "kind": "ClusterRoleBinding",
    "metadata": {"name": "watchdog-in-test"},
    "roleRef": {"apiGroup": of.RBAC, "kind": "ClusterRole", "name": "cluster-admin"},
    "subjects": [{"kind": "User", "apiGroup": of.RBAC, "name": WATCHDOGS_USER}],
}
"""RBAC is tested where Flux runs; here its account may do everything that admission permits."""

LABELS = {SHARD_LABEL: "customers"}


def test_a_tenants_objects_have_the_label_of_its_own_shard(cluster: Cluster) -> None:
    def answer(manifest: Manifest) -> str:
        return cluster.tenant("sharded").send("apply", manifest, dry_run=True).message

    release = of.release("sharded")
    assert "Write the label sharding.fluxcd.io/key: customers" in answer(release)
    assert "In spec.chart.metadata.labels: Write the label" in answer(labelled(release, LABELS))
    assert not answer(labelled(with_chart_labels(release, LABELS), LABELS))
    assert not answer(labelled(of.oci_repository("sharded"), LABELS))


@pytest.mark.parametrize(("tenant", "own"), [("sharded", LABELS), ("wide", {})])
def test_helm_controller_makes_no_chart_in_another_shard(cluster: Cluster, tenant: str, own: dict[str, str]) -> None:
    spec = {"chart": "x", "sourceRef": {"kind": "GitRepository", "name": tenant}, "interval": "1h"}
    chart = of.make("HelmChart", tenant, version=f"source.{of.FLUX}/v1", spec=spec)
    for labels in ({}, LABELS, {SHARD_LABEL: "platform"}):
        made = cluster.administrator.send("create", labelled(chart, labels), as_user=HELM_CONTROLLER, dry_run=True)
        assert made.ok == (labels == own), made.message


@pytest.mark.parametrize(
    ("namespace", "spec", "allowed"),
    [
        ("wide", {"suspend": True}, True),
        ("wide", {"suspend": None}, True),
        ("wide", {"path": "./other"}, False),
        ("wide", {"targetNamespace": None}, False),
        ("wide", {"postBuild": {"substitute": {"a": "b"}}}, False),
        ("flux-system", {"suspend": True}, False),
    ],
)
def test_the_watchdog_changes_nothing_but_suspend(
    cluster: Cluster, namespace: str, spec: dict[str, Any], allowed: bool
) -> None:
    source = {"kind": "GitRepository", "name": namespace}
    made = of.make("Kustomization", namespace, version=f"kustomize.{of.FLUX}/v1", name="watched")
    made["spec"] = {"interval": "1h", "prune": True, "sourceRef": source, "targetNamespace": namespace}
    cluster.administrator.apply(made, WATCHDOGS_RIGHTS)
    change = {"metadata": {"annotations": {"saas-in-eks.io/holds": "1 0"}}, "spec": spec}

    def permitted() -> Answer | None:
        answer = cluster.administrator.send("merge", made, body=change, as_user=WATCHDOGS_USER, dry_run=True)
        return None if "cannot patch resource" in answer.message else answer

    answer = eventually(permitted)  # the API server needs a moment to know the binding
    assert answer.ok == allowed, answer.message
    assert allowed or "the watchdog" in answer.message


# On real Flux

HOSTILE, SAME_SHARD = TENANTS
OTHER_SHARD = "hostile-basic-2"
PROMISE = "No tenant's commit holds up its neighbours'."
FREED = 60.0
"""Seconds after which the neighbours of a commit that holds up their shard are promised to go on."""
LEVELS = 40


def resources_tree() -> Mapping[str, str]:
    """Folders each of which names the next twice, by different paths: 2^40 times the last."""
    files = {"kustomization.yaml": "resources: [product.yaml, ../l0]\n"}
    for level in range(LEVELS):
        files[f"/l{level}/kustomization.yaml"] = "resources: [a, b]\n"
        for side in "ab":
            files[f"/l{level}/{side}/kustomization.yaml"] = f"resources: [../../l{level + 1}]\nnamePrefix: {side}\n"
    return {**files, f"/l{LEVELS}/kustomization.yaml": "resources: []\nnamePrefix: x\n"}


def components_tree() -> Mapping[str, str]:
    """The same with components, whose results take memory."""
    kind = "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\n"
    files = {"kustomization.yaml": "resources: [product.yaml]\ncomponents: [../l0]\n"}
    for level in range(LEVELS):
        next_twice = f"components: [../l{level + 1}, ../l{level + 1}]\n"
        files[f"/l{level}/kustomization.yaml"] = kind + next_twice
    return {**files, f"/l{LEVELS}/kustomization.yaml": kind}


def looping_charts() -> Mapping[str, str]:
    """A release for each worker of helm-controller, whose template loops for days."""
    loop = "{{ range until 1000 }}" * 5 + "{{ end }}" * 5
    releases = [helm.release(timeout="1s") for _ in range(4)]
    for number, release in enumerate(releases):
        release["metadata"]["name"] = f"loop-{number}"
    return with_releases(*releases, template=loop)


def with_releases(*releases: Manifest, template: str = "") -> Mapping[str, str]:
    """Releases of a chart with one more template."""
    text = yaml.safe_dump_all([with_chart_labels(release, LABELS) for release in releases])
    files = {**helm.CHART, "/chart/templates/more.yaml": template, "releases.yaml": text}
    return {**files, "kustomization.yaml": "resources: [product.yaml, releases.yaml]\n"}


def push(hostile: HostilePlatform, tenant: str, files: Mapping[str, str | int] | None = None) -> str:
    """Commit a tenant's product with a new ConfigMap and these files, and ask Flux to read it."""
    added = {name: text.replace(OWN, tenant) if isinstance(text, str) else text for name, text in (files or {}).items()}
    commit = hostile.commit(tenant, {**product_of(tenant, str(time.time_ns())), **added})
    hostile.reconcile(tenant)
    return commit


def phase(hostile: HostilePlatform, kind: str, name: str) -> str:
    """What a controller reports to do with an object of the hostile tenant."""
    conditions = (hostile.get(PATHS[kind].format(HOSTILE, name)) or {}).get("status", {}).get("conditions", [])
    found = {condition["type"]: condition for condition in conditions}
    return found.get("Reconciling", {}).get("message", "")


def held(hostile: HostilePlatform, kind: str, name: str) -> str:
    """The message of an object that the watchdog has suspended; empty for another."""
    found = hostile.get(PATHS[kind].format(HOSTILE, name)) or {}
    verdict = hostile.verdict(kind, HOSTILE, name)
    suspended = found.get("spec", {}).get("suspend") and verdict and not verdict[0]
    return verdict[1] if suspended and verdict and "suspended by the watchdog" in verdict[1] else ""


def applied(hostile: HostilePlatform, tenant: str, commit: str, within: float) -> float:
    """Seconds until a tenant's commit is applied; fails if that takes too long."""
    began = time.monotonic()
    ready, said = eventually(lambda: hostile.attempted(tenant, commit), within) or (False, "")
    assert ready, said
    return time.monotonic() - began


def handled_at_once(hostile: HostilePlatform, tenant: str) -> None:
    """Fails unless Flux reconciles another namespace's objects as usual."""
    asked = str(time.time_ns())
    stamp = {"metadata": {"annotations": {"reconcile.fluxcd.io/requestedAt": asked}}}
    for kind in ("GitRepository", "Kustomization"):
        path = PATHS[kind].format(tenant, tenant)
        assert hostile.api.call("PATCH", path, stamp, kind="application/merge-patch+json").ok
        eventually(lambda path=path: (hostile.get(path) or {})["status"].get("lastHandledReconcileAt") == asked)


@contextmanager
def without_watchdog(hostile: HostilePlatform) -> Iterator[None]:
    """While no watchdog runs."""
    path = "/apis/apps/v1/namespaces/flux-system/deployments/flux-watchdog"

    def scale(replicas: int) -> None:
        spec = {"spec": {"replicas": replicas}}
        assert hostile.api.call("PATCH", path, spec, kind="application/merge-patch+json").ok
        eventually(lambda: sum("watchdog" in pod for pod in agent.programs(hostile.platform.home)) == replicas)

    scale(0)
    try:
        yield
    finally:
        scale(1)


def record(into: Record, attack: str, answer: str, mode: str = DEFENDED) -> None:
    defence = "shards of Flux's controllers, and the watchdog"
    Attempt(PROMISE, defence, attack, mode, "commit reconciled by Flux", answer[:300]).record(into)


def test_an_endless_build_is_suspended_and_its_neighbours_go_on(
    hostile: HostilePlatform, record_property: Record
) -> None:
    attack = "folders name each other twice, 40 deep"
    with without_watchdog(hostile):
        commit = push(hostile, HOSTILE, resources_tree())
        eventually(lambda: commit in phase(hostile, "Kustomization", HOSTILE))
        eventually(lambda: phase(hostile, "Kustomization", HOSTILE).startswith("Building"))
        handled_at_once(hostile, "flux-system")
        handled_at_once(hostile, OTHER_SHARD)
        neighbours = push(hostile, SAME_SHARD)
        with pytest.raises(AssertionError, match="not within"):
            applied(hostile, SAME_SHARD, neighbours, 10)
        record(record_property, attack, "no verdict about a neighbour's commit for 10 s", UNDEFENDED)
    took = applied(hostile, SAME_SHARD, neighbours, FREED)
    said = eventually(lambda: held(hostile, "Kustomization", HOSTILE))
    record(record_property, attack, f"a neighbour's commit was applied {took:.0f} s after the watchdog started: {said}")
    assert f"did not end within {DEADLINE} s: Building manifests for revision {HOSTILE}@sha1:{commit}" in said
    rows = {row.name: row for row in status.reconciliations(controlplane.administrator(hostile.platform.home))}
    assert "suspended by the watchdog" in rows[HOSTILE].reason
    events = (hostile.get(f"/api/v1/namespaces/{HOSTILE}/events") or {})["items"]
    assert any(event["reason"] == "HeldByWatchdog" and event["type"] == "Warning" for event in events)
    assert hostile.stack.up() == [], "an update neither fails on the watchdog's changes nor undoes them"
    assert held(hostile, "Kustomization", HOSTILE)
    assert hostile.ready_with(HOSTILE, push(hostile, HOSTILE)), "a revert is tried at once"


def test_a_build_that_takes_all_memory_is_suspended(hostile: HostilePlatform, record_property: Record) -> None:
    commit = push(hostile, HOSTILE, components_tree())
    eventually(lambda: commit in phase(hostile, "Kustomization", HOSTILE))
    began = time.monotonic()
    said = eventually(lambda: held(hostile, "Kustomization", HOSTILE), FREED)
    applied(hostile, SAME_SHARD, push(hostile, SAME_SHARD), FREED)
    took = time.monotonic() - began
    record(record_property, "components name each other twice, 40 deep", f"others go on after {took:.0f} s: {said}")
    assert took < FREED
    assert hostile.ready_with(HOSTILE, push(hostile, HOSTILE))


def test_releases_that_compute_for_ever_are_suspended(hostile: HostilePlatform, record_property: Record) -> None:
    push(hostile, HOSTILE, looping_charts())
    names = [f"loop-{number}" for number in range(4)]
    eventually(lambda: all("Running" in phase(hostile, "HelmRelease", name) for name in names), FREED)
    began = time.monotonic()
    neighbours = push(hostile, SAME_SHARD, with_releases(helm.release()))
    eventually(lambda: (hostile.verdict("HelmRelease", SAME_SHARD, "attack") or (False,))[0], FREED)
    took = time.monotonic() - began
    said = [eventually(lambda name=name: held(hostile, "HelmRelease", name)) for name in names]
    record(record_property, "four charts loop for days", f"others go on after {took:.0f} s: {said[0]}")
    assert any("Running 'install' action" in text for text in said)
    assert applied(hostile, SAME_SHARD, neighbours, FREED) < FREED
    assert hostile.ready_with(HOSTILE, push(hostile, HOSTILE))
    assert hostile.ready_with(SAME_SHARD, push(hostile, SAME_SHARD))
    eventually(lambda: not any(hostile.get(PATHS["HelmRelease"].format(HOSTILE, name)) for name in names))


def test_a_source_that_takes_all_memory_is_suspended(hostile: HostilePlatform, record_property: Record) -> None:
    push(hostile, HOSTILE, {"/zeros": 350 * 2**20})
    began = time.monotonic()
    said = eventually(lambda: held(hostile, "GitRepository", HOSTILE), 4 * FREED)
    applied(hostile, SAME_SHARD, push(hostile, SAME_SHARD), FREED)
    took = time.monotonic() - began
    record(record_property, "a file of 350 MB of zeros", f"others go on after {took:.0f} s: {said}")
    assert "took all the memory of its controller" in said
    smaller = hostile.commit(HOSTILE, product_of(HOSTILE, "small again"))
    resume = {"spec": {"suspend": False}}
    path = PATHS["GitRepository"].format(HOSTILE, HOSTILE)
    assert hostile.api.call("PATCH", path, resume, kind="application/merge-patch+json").ok
    assert hostile.ready_with(HOSTILE, smaller), "as after `flux resume`"
