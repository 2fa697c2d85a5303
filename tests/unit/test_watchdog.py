"""The watchdog's decisions: whom it suspends, whom it lets go on, and that no input stops it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from watchdog import watchdog as program
from watchdog.watchdog import (
    HELD,
    HOLDS,
    REASON,
    RESOURCES,
    SHARD,
    Ask,
    Explain,
    Hold,
    Item,
    Pod,
    Restart,
    Resume,
    Suspend,
    Watchdog,
    explanation,
    reduce,
    reduce_pod,
)

DEADLINE = 20.0
BEGIN = "2026-01-01T00:00:10Z"
BUILDING = "Building manifests for revision main@sha1:{} with a timeout of 50s"
KUSTOMIZE, SOURCE, HELM = (
    (name, "default") for name in ("kustomize-controller", "source-controller", "helm-controller")
)


def flux_object(tenant: str, phase: str = "", resource: str = "kustomizations", **more: Any) -> dict[str, Any]:
    """An object whose controller reports a phase."""
    condition = {"type": "Reconciling", "status": "True", "reason": "Progressing", "lastTransitionTime": BEGIN}
    spec: dict[str, Any] = {"sourceRef": {"kind": "GitRepository", "name": tenant}, **more.pop("spec", {})}
    if resource == "helmreleases":
        spec |= {"chartRef": {"kind": "OCIRepository", "name": tenant}}
    return {
        "metadata": {"namespace": tenant, "name": tenant, "uid": f"{resource}-{tenant}", "generation": 1, **more},
        "spec": spec,
        "status": {"conditions": [{**condition, "message": phase}] if phase else []},
    }


def item(tenant: str, phase: str = "", resource: str = "kustomizations", **more: Any) -> Item:
    found = reduce(resource, flux_object(tenant, phase, resource, **more))
    assert found
    return found


def builds(tenant: str, revision: str = "bad", **more: Any) -> Item:
    return item(tenant, BUILDING.format(revision), **more)


def source(tenant: str, revision: str = "", phase: str = "") -> Item:
    found = flux_object(tenant, phase, "gitrepositories")
    found["status"]["artifact"] = {"revision": f"main@sha1:{revision}"}
    reduced = reduce("gitrepositories", found)
    assert reduced
    return reduced


def pod(controller: tuple[str, str] = KUSTOMIZE, **changes: Any) -> Pod:
    given = {"started": "2026-01-01T00:00:00Z", "restarts": 0, "out_of_memory": False, "deleting": False}
    name = f"{controller[0]}-{controller[1]}"
    return Pod(
        **{"name": name, "uid": f"{name}-1", "version": 1, "controller": controller, "ready": True, **given, **changes}
    )


class Cluster:
    """A cluster in which the watchdog's actions have their effects."""

    def __init__(self, *items: Item, pods: Iterable[Pod] = (), deadline: float = DEADLINE) -> None:
        self.items = {one.uid: one for one in items}
        self.pods = {one.uid: one for one in pods or (pod(),)}
        self.watchdog = Watchdog(deadline)
        self.now = 1000.0

    def put(self, *items: Item) -> None:
        self.items |= {one.uid: one for one in items}

    def put_pod(self, found: Pod) -> None:
        self.pods[found.uid] = found

    def look(self, after: float = 1.0) -> list[program.Action]:
        self.now += after
        actions = self.watchdog.look(self.now, self.items.values(), self.pods.values())
        for action in actions:
            match action:
                case Suspend(one, hold):
                    changes = {"suspended": True, "hold": Hold.parse(hold.text()), "holds": (hold.count, hold.at)}
                    self.put(replace(one, generation=one.generation + 1, **changes))
                case Resume(one):
                    self.put(replace(one, suspended=False, hold=None, phase="", ready_reason=""))
                case Explain(one):
                    self.put(replace(one, ready_reason=REASON))
                case Restart(gone):
                    del self.pods[gone.uid]
                    again = replace(gone, uid=f"{gone.uid}+", started="2026-01-01T00:01:00Z")
                    self.pods[again.uid] = again
                case Ask():
                    pass
        return actions

    def until_action(self, limit: float = 100) -> Sequence[program.Action]:
        began = self.now
        while self.now - began < limit:
            if actions := [action for action in self.look() if not isinstance(action, Explain)]:
                return actions
        return []


def suspended(actions: Iterable[program.Action]) -> list[str]:
    return [action.item.key[1] for action in actions if isinstance(action, Suspend)]


def resumed(actions: Iterable[program.Action]) -> list[str]:
    return [action.item.key[1] for action in actions if isinstance(action, Resume)]


# Builds that do not end


def test_a_build_beyond_the_deadline_is_suspended_and_its_controller_restarted() -> None:
    cluster = Cluster(builds("hostile"))
    (action,) = cluster.until_action()
    assert isinstance(action, Suspend)
    assert cluster.now - 1000 == pytest.approx(DEADLINE + 1)
    assert action.hold.certain
    assert action.hold.revision == "main@sha1:bad"
    assert [type(action) for action in cluster.until_action()] == [Restart]
    assert not cluster.until_action()


def test_builds_that_end_in_time_are_left_alone() -> None:
    cluster = Cluster(builds("a"), builds("b"))
    for second in range(60):
        for name in ("a", "b"):
            cluster.put(builds(name, str(second // 15)))
        assert not cluster.look()


def test_the_build_that_began_first_is_the_cause() -> None:
    first = replace(builds("hostile"), since="2026-01-01T00:00:08Z")
    cluster = Cluster(builds("another"), first, builds("a-third"))
    assert suspended(cluster.until_action()) == ["hostile"]
    hold = cluster.items["kustomizations-hostile"].hold
    assert hold
    assert hold.certain


def test_a_build_that_waited_for_others_has_its_own_time() -> None:
    slow, fast = builds("slow"), replace(builds("fast"), since="2026-01-01T00:00:11Z")
    cluster = Cluster(slow, fast)
    for _ in range(19):
        assert not cluster.look()
    cluster.put(item("slow"))
    for _ in range(19):
        assert not cluster.look()
    assert suspended(cluster.until_action()) == ["fast"]


def test_a_wrong_suspicion_ends_once_the_right_one_is_found() -> None:
    cluster = Cluster(builds("innocent"), builds("hostile"))
    assert suspended(cluster.until_action()) == ["innocent"]
    cluster.until_action()  # the restart
    cluster.put(replace(builds("hostile"), since="2026-01-01T00:02:00Z"))
    actions = cluster.until_action()
    assert suspended(actions) == ["hostile"]
    assert resumed(actions) == ["innocent"]


def test_a_doubtful_suspicion_ends_by_itself() -> None:
    cluster = Cluster(builds("a"), builds("b"))
    assert suspended(cluster.until_action()) == ["a"]
    cluster.put(item("b"))
    cluster.until_action()
    assert resumed(cluster.until_action()) == ["a"]
    assert cluster.now < 1000 + DEADLINE + program.MINUTE + 10


def test_a_status_from_before_the_restart_is_nobodys_fault() -> None:
    cluster = Cluster(builds("a"), pods=[pod(started="2026-01-01T00:00:11Z")])
    assert not cluster.until_action()


def test_nobody_is_suspended_while_the_controller_is_not_ready() -> None:
    cluster = Cluster(builds("a"), pods=[pod(ready=False)])
    assert not cluster.until_action()


def test_the_platforms_own_objects_are_never_suspended() -> None:
    own = builds("flux-system", labels={SHARD: "platform"})
    assert not Cluster(own, pods=[pod(("kustomize-controller", "platform"))]).until_action()


def test_shards_are_judged_apart() -> None:
    mine, theirs = builds("a", labels={SHARD: "customers"}), builds("b")
    cluster = Cluster(mine, theirs, pods=[pod(("kustomize-controller", "customers")), pod()])
    assert sorted(suspended(cluster.until_action())) == ["a", "b"]


@pytest.mark.parametrize("phase", ["Running health checks for revision x with a timeout of 5m0s", "Fetching manifests"])
def test_waiting_is_not_computing(phase: str) -> None:
    assert not Cluster(item("a", phase)).until_action()


@pytest.mark.parametrize(("timeout", "seconds"), [("10s", 30), (None, 320), ("1m30s", 110)])
def test_a_release_may_wait_as_long_as_its_timeout(timeout: str | None, seconds: int) -> None:
    spec = {"timeout": timeout} if timeout else {}
    running = item("a", "Running 'install' action with timeout of 5m0s", "helmreleases", spec=spec)
    cluster = Cluster(running, pods=[pod(HELM)])
    assert suspended(cluster.until_action(400)) == ["a"]
    assert cluster.now - 1000 == pytest.approx(seconds + 1)


def test_a_tenants_other_releases_are_suspended_with_the_one_that_is_late() -> None:
    late = item("a", "Running 'install' action with timeout of 5m0s", "helmreleases", spec={"timeout": "1s"})
    more = {name: replace(late, uid=name, key=(*late.key[:2], name), phase="") for name in ("next", "installed")}
    neighbours = item("b", "", "helmreleases")
    cluster = Cluster(late, more["next"], replace(more["installed"], ready=True), neighbours, pods=[pod(HELM)])
    actions = [action for action in cluster.until_action() if isinstance(action, Suspend)]
    assert {action.item.key[2]: action.hold.certain for action in actions} == {"a": True, "next": False}


# Resuming


def held(**changes: Any) -> tuple[Cluster, Item]:
    """A cluster in which a tenant's Kustomization is held, and was explained."""
    cluster = Cluster(builds("a"), source("a", "bad"))
    cluster.until_action()
    cluster.until_action()
    cluster.look()
    found = replace(cluster.items["kustomizations-a"], **changes)
    cluster.put(found)
    return cluster, found


def test_another_revision_is_tried_at_once() -> None:
    cluster, _ = held()
    assert not cluster.look()
    cluster.put(source("a", "good"))
    assert resumed(cluster.look()) == ["a"]


def test_a_revision_that_came_during_the_build_is_tried() -> None:
    cluster = Cluster(builds("a"), source("a", "reverted-meanwhile"))
    assert suspended(cluster.until_action()) == ["a"]
    assert resumed(cluster.look()) == ["a"]


def test_a_changed_object_is_tried_at_once() -> None:
    cluster, found = held()
    cluster.put(replace(found, generation=found.generation + 1))
    assert resumed(cluster.look()) == ["a"]


def test_an_object_resumed_by_hand_is_forgiven() -> None:
    cluster, found = held()
    cluster.put(replace(found, suspended=False))
    assert resumed(cluster.look()) == ["a"]


def test_without_another_revision_it_is_tried_again_after_an_hour() -> None:
    cluster, _ = held()
    assert not cluster.look(3000)
    assert resumed(cluster.look(600)) == ["a"]


def test_who_is_held_again_and_again_waits_even_with_another_revision() -> None:
    waits: list[float] = []
    cluster = Cluster(builds("a", "0"), source("a", "0"))
    for turn in range(1, 7):
        assert suspended(cluster.until_action()) == ["a"]
        at = cluster.now
        cluster.put(source("a", str(turn)))
        while not resumed(cluster.look(60)):
            pass
        waits.append(cluster.now - at)
        fresh = f"2026-01-01T00:{turn + 10}:00Z"
        cluster.put(replace(builds("a", str(turn)), since=fresh, holds=cluster.items["kustomizations-a"].holds))
    assert waits[:3] == pytest.approx([60] * 3, abs=61)
    assert waits[3:] == pytest.approx([1200, 2400, 4800], abs=120)


def test_the_status_says_why_and_what_to_do() -> None:
    cluster = Cluster(builds("a"))
    cluster.until_action()
    actions = [action for action in cluster.look() if isinstance(action, Explain)]
    hold = cluster.items["kustomizations-a"].hold
    assert actions
    assert hold
    said = explanation(actions[0].item, hold)
    assert "did not end within 20 s: Building manifests for revision main@sha1:bad" in said
    assert "Push a commit that undoes the last one" in said
    assert "`flux resume kustomization a -n a`" in said


# Crashes


def test_a_source_that_takes_all_memory_is_asked_for_and_then_suspended() -> None:
    cluster = Cluster(source("a"), source("b"), pods=[pod(SOURCE)])
    cluster.look()
    crashed = pod(SOURCE, restarts=1, started="", ready=False, out_of_memory=True)
    cluster.put_pod(crashed)
    assert {type(action) for action in cluster.look()} == {Ask}
    # Read again, with the status of the first time: `since` is before the controller's start.
    cluster.put(replace(source("a", phase="reconciliation in progress"), requested=True))
    cluster.put_pod(replace(crashed, started="2026-01-01T00:00:20Z", ready=True))
    assert not cluster.look()
    cluster.put_pod(replace(crashed, restarts=2))
    actions = cluster.look()
    assert suspended(actions) == ["a"]
    (action,) = [action for action in actions if isinstance(action, Suspend)]
    assert action.hold.restart == (crashed.uid,), "a pod that waits for its next start would wait for minutes"


def test_one_crash_with_several_suspects_suspends_nobody() -> None:
    cluster = Cluster(builds("a"), builds("b"))
    cluster.look()
    cluster.put_pod(pod(restarts=1, started="", ready=False, out_of_memory=True))
    assert not cluster.look()
    cluster.put_pod(pod(restarts=1, started="2026-01-01T00:00:20Z"))
    cluster.put(replace(builds("b"), since="2026-01-01T00:00:30Z"), item("a"))
    assert not cluster.look()
    cluster.put_pod(pod(restarts=2, started="", ready=False))
    assert suspended(cluster.look()) == ["b"]


def test_a_pod_that_filled_its_disk_has_crashed() -> None:
    running = {"metadata": {"name": "p", "uid": "u", "labels": {"app": "source-controller"}}, "status": {}}
    message = 'Usage of EmptyDir volume "data" exceeds the limit "10Gi". '
    filled = {**running, "status": {"phase": "Failed", "reason": "Evicted", "message": message}}
    pressed = {**running, "status": {**filled["status"], "message": "The node was low on resource: memory."}}
    assert [one.restarts for one in map(reduce_pod, (running, filled, pressed)) if one] == [0, 1, 0]


def test_a_source_is_read_again_after_minutes() -> None:
    hold = Hold("", 2, 1000.0, True, 1, "it took all the memory")
    suspect = replace(source("a"), suspended=True, hold=hold, ready_reason=REASON, generation=2)
    cluster = Cluster(suspect, pods=[pod(SOURCE)])
    assert not cluster.look(100)
    assert resumed(cluster.look(30)) == ["a"]


# Whatever a tenant writes

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=15,
)


@st.composite
def mangled(draw: st.DrawFn) -> tuple[str, Any]:
    """An object with any JSON in one or more of its places."""
    resource = draw(st.sampled_from(sorted(RESOURCES)))
    found = flux_object("a", BUILDING.format("bad"), resource)
    found["metadata"] |= {"annotations": {HELD: draw(st.text() | JSON), HOLDS: draw(st.text() | JSON)}, "labels": {}}
    for _ in range(draw(st.integers(0, 3))):
        place = found
        while True:
            key = draw(st.sampled_from(sorted(place)))
            if not (isinstance(place[key], dict) and place[key] and draw(st.booleans())):
                break
            place = place[key]
        place[key] = draw(JSON)
        if place is found or not isinstance(found.get("metadata"), dict):
            break
    return resource, found


@settings(max_examples=300, deadline=None)
@given(st.lists(mangled(), max_size=4), st.lists(JSON, max_size=3))
def test_no_object_stops_the_watchdog(objects: list[tuple[str, Any]], pods: list[Any]) -> None:
    items = [found for resource, content in objects if (found := reduce(resource, content))]
    for place, one in enumerate(items):
        items[place] = replace(one, uid=f"{one.uid}{place}", key=(*one.key[:2], f"{one.key[2]}{place}"))
    others = [found for content in pods if (found := reduce_pod(content))]
    watchdog = Watchdog(DEADLINE)
    for second in range(0, 60, 10):
        for action in watchdog.look(1000.0 + second, items, [pod(), pod(SOURCE), pod(HELM), *others]):
            if isinstance(action, Suspend):
                explanation(action.item, Hold.parse(action.hold.text()))


@given(st.text())
def test_a_record_of_any_text_is_read(text: str) -> None:
    hold = Hold.parse(text)
    assert Hold.parse(hold.text()) == hold
    for resource in RESOURCES:
        assert hold.ends(resource) < 1e13


def test_nesting_that_python_cannot_follow_is_left_out() -> None:
    deep = '{"values":' * 100_000 + "1" + "}" * 100_000
    text = json.dumps({"metadata": {"namespace": "a", "name": "a", "uid": "1"}, "spec": {"suspend": True, "values": 1}})
    parsed = program._parsed(text.replace('"values": 1', f'"values": {deep}, "interval": "}}[\\""'))
    assert parsed["spec"]["suspend"] is True
    assert parsed["spec"]["interval"] == '}["'
    assert reduce("helmreleases", parsed)


@pytest.mark.parametrize("text", ["{", "[" * 200_000, '"' * 100_001, "null", "", '{"a": ' * 100_000])
def test_what_is_not_json_is_nothing(text: str) -> None:
    assert program._parsed(text) is None
