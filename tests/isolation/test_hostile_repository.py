"""A hostile tenant's commits, each of which tries one thing, reconciled by Flux: what comes of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import psutil
import pytest
import yaml

from local import agent
from tests.isolation import (
    hostile_files,
    hostile_flux,
    hostile_helm,
    hostile_references,
    hostile_rights,
    hostile_workloads,
)
from tests.isolation import objects as of
from tests.isolation.hostile import ADMISSION, LOCKDOWN, OWN, RBAC, SECONDS, SPACE, Attack, product
from tests.isolation.hostile_defences import bring_back, take_away
from tests.isolation.hostile_platform import HostilePlatform
from tests.isolation.hostile_tenants import tenants_file
from tests.isolation.hostile_trial import Outcome, all_at_once, let_through, repelled
from tests.isolation.hostile_web import Web
from tests.platform import eventually

pytest_plugins = ["tests.isolation.hostile_fixture"]

ATTACKS = (
    *hostile_rights.ATTACKS,
    *hostile_workloads.ATTACKS,
    *hostile_files.ATTACKS,
    *hostile_flux.ATTACKS,
    *hostile_references.ATTACKS,
    *hostile_helm.ATTACKS,
)
NEEDED = tuple(attack for attack in ATTACKS if attack.without)
"""Those that one of our own defences repels: without it they get through."""

STAGES: tuple[frozenset[str], ...] = (
    frozenset(),
    frozenset({RBAC}),
    frozenset({RBAC, ADMISSION}),
    frozenset({ADMISSION}),
    frozenset({ADMISSION, SPACE}),
    frozenset({SPACE}),
    frozenset({LOCKDOWN}),
    frozenset({LOCKDOWN, ADMISSION}),
)
"""Which defences are away, in an order in which few have to be moved."""


Outcomes = dict[tuple[str, bool], Outcome | Exception]
"""By the attack's name, and whether its defence was there."""
Record = Callable[[str, object], None]


@pytest.fixture(scope="module")
def outcomes(request: pytest.FixtureRequest, hostile: HostilePlatform) -> Outcomes:
    """What came of the attacks that were selected: those of one stage at the same time."""
    selected = _selected(request)
    found: Outcomes = {}
    away: frozenset[str] = frozenset()
    for stage in (*STAGES, frozenset[str]()):
        refused = [a for a in ATTACKS if (a.name, True) in selected - set(found) and a.despite == stage]
        through = [a for a in NEEDED if (a.name, False) in selected - set(found) and a.without == stage]
        if not refused and not through and stage:
            continue
        for defence in away - stage:
            bring_back(hostile, defence)
        for defence in stage - away:
            take_away(hostile, defence)
        away = stage
        for attacks, how, defended in ((refused, repelled, True), (through, let_through, False)):
            found |= {(name, defended): one for name, one in all_at_once(hostile, attacks, how).items()}
    return found


def _selected(request: pytest.FixtureRequest) -> set[tuple[str, bool]]:
    found: set[tuple[str, bool]] = set()
    for item in request.session.items:
        if isinstance(item, pytest.Function) and item.module is request.module and "attack" in item.fixturenames:
            attack = cast("Attack", item.callspec.params["attack"])
            found.add((attack.name, item.originalname == test_a_hostile_commit_is_refused.__name__))
    return found


def _outcome(outcomes: Outcomes, attack: Attack, record_property: Record, *, defended: bool) -> Outcome:
    outcome = outcomes[attack.name, defended]
    record_property("promise", attack.promise)
    record_property("defence", attack.defence)
    record_property("attack", attack.name)
    record_property("mode", "defended" if defended else "without the defence")
    record_property("by", "commit reconciled by Flux")
    if isinstance(outcome, Exception):
        raise outcome
    record_property("answer", " ".join(outcome.answer.split())[:300])
    return outcome


def test_names_of_attacks_are_unique() -> None:
    names = [attack.name for attack in ATTACKS]
    assert sorted(names) == sorted(set(names))
    assert {attack.without for attack in NEEDED} | {attack.despite for attack in ATTACKS} <= set(STAGES)


def test_every_field_of_flux_that_names_a_namespace_is_attacked(hostile: HostilePlatform) -> None:
    found: dict[str, list[str]] = {}
    listed = hostile.get("/apis/apiextensions.k8s.io/v1/customresourcedefinitions") or {"items": []}
    for definition in listed["items"]:
        kind, group = definition["spec"]["names"]["kind"], definition["spec"]["group"]
        served = next(one for one in definition["spec"]["versions"] if one["storage"])
        spec = served["schema"]["openAPIV3Schema"].get("properties", {}).get("spec", {})
        if group.endswith("toolkit.fluxcd.io") and (fields := sorted(set(_namespaces(spec, "spec")))):
            found[kind] = fields
    assert found == {kind: sorted(fields) for kind, fields in hostile_references.CROSS_NAMESPACE.items()}


def _namespaces(schema: dict[str, Any], path: str) -> Iterator[str]:
    for name, field in schema.get("properties", {}).items():
        # What a patch is for is chosen among the tenant's own objects.
        if name == "namespace" and field.get("type") == "string" and not path.endswith(".target"):
            yield path
        elif name.endswith("Namespace") and field.get("type") == "string":
            yield f"{path}.{name}"
        yield from _namespaces(field.get("items", field), f"{path}.{name}")


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_a_hostile_commit_is_refused(outcomes: Outcomes, attack: Attack, record_property: Record) -> None:
    outcome = _outcome(outcomes, attack, record_property, defended=True)
    assert attack.reason.partition(OWN)[0] in outcome.answer
    assert outcome.answer
    assert not outcome.touched
    assert outcome.intact
    assert outcome.rest_applied is not attack.refused_whole
    assert outcome.ready_again


@pytest.mark.parametrize("attack", NEEDED, ids=lambda attack: attack.name)
def test_without_its_defence_a_hostile_commit_gets_through(
    outcomes: Outcomes, attack: Attack, record_property: Record
) -> None:
    outcome = _outcome(outcomes, attack, record_property, defended=False)
    assert outcome.answer
    assert outcome.ready_again


@dataclass(frozen=True)
class Endless:
    """A base for which kustomize-controller would wait, with all tenants behind it."""

    attack: str
    reason: str
    defence: str
    address: Callable[[HostilePlatform], str]
    begun: Callable[[HostilePlatform], bool]
    """Whether the controller waits for it."""

    def record(self, record_property: Record, mode: str, answer: str) -> None:
        record_property("promise", "No tenant's commit holds up its neighbours'.")
        record_property("defence", self.defence)
        record_property("attack", self.attack)
        record_property("mode", mode)
        record_property("by", "commit reconciled by Flux")
        record_property("answer", answer[:300])


def _metrics(hostile: HostilePlatform) -> tuple[psutil.Process, int]:
    """kustomize-controller, and the port of its metrics and profiles."""
    programs = agent.programs(hostile.platform.home)
    process = psutil.Process(next(pid for pod, pid in programs.items() if pod.startswith("kustomize-controller-")))
    flag = next(one for one in process.cmdline() if one.startswith("--metrics-addr="))
    return process, int(flag.rpartition(":")[2])


def _profile(hostile: HostilePlatform) -> str:
    """Where kustomize-controller would profile itself for a while, were it listening at localhost."""
    return f"http://localhost:{_metrics(hostile)[1]}/debug/pprof/trace?seconds=30"


def _profiles_itself(hostile: HostilePlatform) -> bool:
    process, port = _metrics(hostile)
    return any(one.raddr and one.raddr[1] == port for one in process.net_connections())


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
def test_a_base_that_never_comes_holds_up_nobody_else(
    hostile: HostilePlatform, base: Endless, record_property: Record
) -> None:
    with _asking_for_ever(hostile, "hostile-basic-1", base) as commit:
        ready, said = hostile.settled("hostile-basic-1", commit)
        base.record(record_property, "defended", said)
        assert not ready
        assert base.reason in said
        hostile.applied("hostile-basic-2", product_of("hostile-basic-2"))
        assert not Web.asked.is_set()


@pytest.mark.parametrize("base", ENDLESS, ids=lambda base: base.attack)
def test_without_the_defence_a_base_that_never_comes_holds_up_everybody(
    hostile: HostilePlatform, base: Endless, record_property: Record
) -> None:
    take_away(hostile, LOCKDOWN)
    try:
        with _asking_for_ever(hostile, "hostile-basic-1", base):
            eventually(lambda: base.begun(hostile), SECONDS)
            other = hostile.commit("hostile-basic-2", product_of("hostile-basic-2"))
            hostile.reconcile("hostile-basic-2")
            with pytest.raises(AssertionError, match="not within"):
                eventually(lambda: hostile.attempted("hostile-basic-2", other), 10)
        base.record(record_property, "without the defence", "no verdict about a neighbour's commit for 10 s")
    finally:
        bring_back(hostile, LOCKDOWN)


@contextmanager
def _asking_for_ever(hostile: HostilePlatform, tenant: str, base: Endless) -> Iterator[str]:
    """While a tenant's commit names such a base; afterwards it is reverted, and the tenant is ready again."""
    Web.asked.clear()
    Web.answers.clear()
    attack = Attack("", "", "", "", kustomization={"resources": [base.address(hostile)]})
    commit = hostile.commit(tenant, attack.written(tenant, {}, "slow"))
    hostile.reconcile(tenant)
    try:
        yield commit
    finally:
        Web.answers.set()
    assert hostile.ready_with(tenant, hostile.applied(tenant, product_of(tenant)))


def test_what_a_tenant_means_to_leave_goes_with_it(hostile: HostilePlatform, record_property: Record) -> None:
    leaver = "hostile-helm-3"
    record_property("promise", "A tenant that is removed leaves nothing, whatever it prepared.")
    record_property("defence", "order of removal: the Kustomization, then the namespace with all in it")
    record_property("attack", "objects that are not to be pruned, and a release that cannot be uninstalled")
    record_property("mode", "defended")
    record_property("by", "commit reconciled by Flux")
    kept = of.make("ConfigMap", OWN, name="kept", data={"x": "y"})
    kept["metadata"]["annotations"] = {"kustomize.toolkit.fluxcd.io/prune": "disabled"}
    quota = of.make("ResourceQuota", OWN, name="attack", spec={"hard": {"pods": "100000"}})
    files = {**hostile_helm.CHART, "/chart/templates/quota.yaml": yaml.safe_dump(quota)}
    attack = Attack("", "", "", "", objects=(kept, hostile_helm.release()), files=files)
    commit = hostile.commit(leaver, attack.written(leaver, {}, "leaving"))
    hostile.reconcile(leaver)
    assert hostile.ready_with(leaver, commit)
    release = f"/apis/helm.toolkit.fluxcd.io/v2/namespaces/{leaver}/helmreleases/attack"
    eventually(lambda: "quota" in str((hostile.get(release) or {}).get("status", {})))
    (hostile.platform.project / hostile.stack.tenants_file).write_text(tenants_file(leaver))
    hostile.stack.up()
    eventually(lambda: hostile.get(f"/api/v1/namespaces/{leaver}") is None)
    record_property("answer", f"the namespace {leaver} is gone")
    assert not hostile.touched()


def product_of(tenant: str) -> dict[str, str]:
    """Its product, at this moment's version."""
    return {name: text.replace(OWN, tenant) for name, text in product(str(time.time_ns())).items()}
