"""Commits that would block other tenants, or keep their own tenant from being removed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psutil
import pytest
import yaml

from local import agent
from model.kubernetes.manifests import Manifest
from tests.isolation import objects as of
from tests.isolation.attack import OWN, Commit, product_of
from tests.isolation.attacks import helm
from tests.isolation.attacks.flux_values import with_values
from tests.isolation.commit_trial import Commits
from tests.isolation.defences import LOCKDOWN, admission_policy
from tests.isolation.flux_platform import HostilePlatform
from tests.isolation.runner import DEFENDED, UNDEFENDED, Attempt, Record
from tests.isolation.tenants import tenants_file
from tests.isolation.web import SECONDS, Web
from tests.platform import eventually


@dataclass(frozen=True)
class Endless:
    """A base for which kustomize-controller would wait, with all tenants behind it."""

    attack: str
    reason: str
    defence: str
    address: Callable[[HostilePlatform], str]
    begun: Callable[[HostilePlatform], bool]
    """Whether the controller waits for the server."""

    def record(self, record_property: Record, mode: str, answer: str) -> None:
        promise = "No tenant's commit holds up its neighbours'."
        Attempt(promise, self.defence, self.attack, mode, Commit.by, answer[:300]).record(record_property)


def _metrics(hostile: HostilePlatform) -> tuple[psutil.Process, int]:
    """kustomize-controller, and the port of its metrics and profiles."""
    programs = agent.programs(hostile.platform.home)
    deployments = {pod.rsplit("-", 2)[0]: pid for pod, pid in programs.items()}
    process = psutil.Process(deployments["kustomize-controller"])
    flag = next(item for item in process.cmdline() if item.startswith("--metrics-addr="))
    return process, int(flag.rpartition(":")[2])


def _profile(hostile: HostilePlatform) -> str:
    """The profiling URL of kustomize-controller, if it listened on localhost."""
    return f"http://localhost:{_metrics(hostile)[1]}/debug/pprof/trace?seconds=30"


def _profiles_itself(hostile: HostilePlatform) -> bool:
    process, port = _metrics(hostile)
    return any(item.raddr and item.raddr[1] == port for item in process.net_connections())


ENDLESS = (
    Endless(
        "a base is on a server that never answers",
        "proxyconnect",
        "Flux: kustomize-controller's proxy, which is not there",
        lambda hostile: f"{hostile.web}/slow",
        lambda _: Web.asked.is_set(),
    ),
    Endless(
        "a base is the controller's own profile",
        "connection refused",
        "Flux: kustomize-controller listens at its own address only",
        _profile,
        _profiles_itself,
    ),
)


@pytest.mark.parametrize("base", ENDLESS, ids=lambda base: base.attack)
def test_an_endless_base_does_not_hold_up_other_tenants(
    hostile: HostilePlatform, base: Endless, record_property: Record
) -> None:
    with _asking_for_ever(hostile, "hostile-basic-1", base) as commit:
        ready, said = hostile.settled("hostile-basic-1", commit)
        base.record(record_property, DEFENDED, said)
        assert not ready
        assert base.reason in said
        hostile.applied("hostile-basic-2", product_of("hostile-basic-2", str(time.time_ns())))
        assert not Web.asked.is_set()


@pytest.mark.parametrize("base", ENDLESS, ids=lambda base: base.attack)
def test_without_its_defence_an_endless_base_holds_up_everybody(
    hostile: HostilePlatform, hostile_commits: Commits, base: Endless, record_property: Record
) -> None:
    hostile_commits.defences.only_without(frozenset({LOCKDOWN}))
    try:
        with _asking_for_ever(hostile, "hostile-basic-1", base):
            eventually(lambda: base.begun(hostile), SECONDS)
            other = hostile.commit("hostile-basic-2", product_of("hostile-basic-2", str(time.time_ns())))
            hostile.reconcile("hostile-basic-2")
            with pytest.raises(AssertionError, match="not within"):
                eventually(lambda: hostile.attempted("hostile-basic-2", other), 10)
        base.record(record_property, UNDEFENDED, "no verdict about a neighbour's commit for 10 s")
    finally:
        hostile_commits.defences.only_without(frozenset())


@contextmanager
def _asking_for_ever(hostile: HostilePlatform, tenant: str, base: Endless) -> Iterator[str]:
    """While a tenant's commit names such a base; afterwards it is reverted, and the tenant is ready again."""
    Web.asked.clear()
    Web.answers.clear()
    action = Commit(kustomization={"resources": [base.address(hostile)]})
    commit = hostile.commit(tenant, action.contents(tenant, {}, "slow"))
    hostile.reconcile(tenant)
    try:
        yield commit
    finally:
        Web.answers.set()
    reverted = hostile.commit(tenant, product_of(tenant, str(time.time_ns())))
    hostile.reconcile(tenant)
    # The first verdict after the commit may still be that of the build which was under way.
    assert hostile.ready_with(tenant, reverted)


UNREADABLE = (
    with_values("HelmRelease", OWN, {"spec.install.strategy.retryInterval": "3000000h"}),
    with_values("HelmChart", OWN, {"spec.interval": "3000000h"}),
)
"""Objects that Flux cannot decode, of which each stops all of its kind."""


def test_a_duration_that_flux_cannot_read_stops_no_other_tenant(
    hostile: HostilePlatform, record_property: Record
) -> None:
    attacker, other = "hostile-helm-1", "hostile-helm-2"
    action = Commit(objects=tuple(map(of.evil, UNREADABLE)))
    commit = hostile.commit(attacker, action.contents(attacker, {}, "unreadable"))
    hostile.reconcile(attacker)
    ready, said = hostile.settled(attacker, commit)
    _unreadable(record_property, DEFENDED, said)
    assert not ready
    assert "Flux cannot read every duration" in said
    hostile.restart()
    assert _released(hostile, other, SECONDS)
    _revert(hostile, attacker, other)


def test_without_its_defence_such_a_duration_stops_every_tenant(
    hostile: HostilePlatform, hostile_commits: Commits, record_property: Record
) -> None:
    attacker, other, basic = "hostile-helm-1", "hostile-helm-2", "hostile-basic-2"
    hostile_commits.defences.only_without(frozenset({admission_policy("flux-values")}))
    paths = [f"{hostile.api.kinds.path(manifest).replace(OWN, attacker)}/attack" for manifest in UNREADABLE]
    try:
        eventually(lambda: hostile.api.send("create", _probe(attacker), dry_run=True, as_user=_reconciler(attacker)).ok)
        action = Commit(objects=tuple(map(of.evil, UNREADABLE)))
        hostile.commit(attacker, action.contents(attacker, {}, "unreadable"))
        hostile.reconcile(attacker)
        for path in paths:
            eventually(lambda path=path: hostile.get(path), SECONDS)
        assert not _released(hostile, other, 10)
        hostile.restart()
        unread = hostile.commit(basic, product_of(basic, str(time.time_ns())))
        hostile.reconcile(basic)
        with pytest.raises(AssertionError, match="not within"):
            eventually(lambda: hostile.attempted(basic, unread), 10)
        _unreadable(record_property, UNDEFENDED, "no tenant's source is read, no release is handled")
    finally:
        for path in paths:
            hostile.api.call("DELETE", path)
            hostile.api.call("PATCH", path, {"metadata": {"finalizers": None}}, kind="application/merge-patch+json")
        hostile_commits.defences.only_without(frozenset())
        hostile.restart()
    _revert(hostile, attacker, other, basic)


def _revert(hostile: HostilePlatform, *tenants: str) -> None:
    """Have the tenants' products without attacks applied again."""
    for tenant in tenants:
        commit = hostile.commit(tenant, product_of(tenant, str(time.time_ns())))
        hostile.reconcile(tenant)
        assert hostile.ready_with(tenant, commit)


def _unreadable(record_property: Record, mode: str, answer: str) -> None:
    promise, defence = "No tenant's commit holds up its neighbours'.", "admission: saas-tenant-flux-values"
    attack = "an object of Flux has a duration that overflows, and the controllers restart"
    Attempt(promise, defence, attack, mode, Commit.by, answer[:300]).record(record_property)


def _probe(tenant: str) -> Manifest:
    return of.evil(with_values("HelmChart", tenant, {"spec.interval": "3000000h"}))


def _reconciler(tenant: str) -> str:
    return f"system:serviceaccount:{tenant}:{tenant}"


def _released(hostile: HostilePlatform, tenant: str, seconds: float) -> bool:
    """Whether a release of a tenant becomes ready in time."""
    action = Commit(objects=(helm.release(),), files=helm.CHART)
    hostile.commit(tenant, action.contents(tenant, {}, str(time.time_ns())))
    hostile.reconcile(tenant)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if (verdict := hostile.verdict("HelmRelease", tenant, "attack")) and verdict[0]:
            return True
        time.sleep(0.2)
    return False


def test_objects_that_a_tenant_protects_are_removed_with_it(hostile: HostilePlatform, record_property: Record) -> None:
    leaver = "hostile-helm-3"
    kept = of.make("ConfigMap", OWN, name="kept", data={"x": "y"})
    kept["metadata"]["annotations"] = {"kustomize.toolkit.fluxcd.io/prune": "disabled"}
    quota = of.make("ResourceQuota", OWN, name="attack", spec={"hard": {"pods": "100000"}})
    files = {**helm.CHART, "/chart/templates/quota.yaml": yaml.safe_dump(quota)}
    action = Commit(objects=(kept, helm.release()), files=files)
    commit = hostile.commit(leaver, action.contents(leaver, {}, "leaving"))
    hostile.reconcile(leaver)
    assert hostile.ready_with(leaver, commit)
    release = f"/apis/helm.toolkit.fluxcd.io/v2/namespaces/{leaver}/helmreleases/attack"
    eventually(lambda: "quota" in str((hostile.get(release) or {}).get("status", {})))
    (hostile.platform.project / hostile.stack.tenants_file).write_text(tenants_file(leaver))
    hostile.stack.up()
    eventually(lambda: hostile.get(f"/api/v1/namespaces/{leaver}") is None)
    Attempt(
        "A tenant that is removed leaves nothing, whatever it prepared.",
        "order of removal: the Kustomization, then the namespace with all in it",
        "objects that are not to be pruned, and a release that cannot be uninstalled",
        DEFENDED,
        Commit.by,
        f"the namespace {leaver} is gone",
    ).record(record_property)
    assert not hostile.touched()
