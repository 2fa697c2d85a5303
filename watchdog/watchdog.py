"""Suspends the Flux object that holds up a shard of Flux's controllers, and restarts the shard.

A commit can make a controller compute for ever, or take all its memory. A running build cannot be stopped, and after a
restart the controller would begin it again. So the watchdog first suspends the object, then restarts the controller,
and says why in the object's status, in an event and to Flux's alerts. It resumes the object when its source has another
revision, or after a while, or at once if another object turns out to be the cause.

It also reports rollouts: one message for each commit that some tenants cannot apply, instead of one for each of them
and at each try.

Only Python's standard library. `reduce` and `Watchdog` are free of I/O and accept whatever a tenant can write.
"""

from __future__ import annotations

import argparse
import http.client
import http.server
import itertools
import json
import os
import re
import ssl
import sys
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

Json = Any
Key = tuple[str, str, str]
"""Resource, namespace, name."""
Controller = tuple[str, str]
"""Its name without the shard, and the shard."""

HELD = "saas-in-eks.io/held"
"""Annotation of a suspended object: the watchdog's record, as JSON."""
HOLDS = "saas-in-eks.io/holds"
"""Annotation: how often an object was held, and when last."""
REPORTED = "saas-in-eks.io/reported"
"""Annotation of a source: the outcome that was reported last, and its revision."""
PRODUCT = "product-"
"""Begins the namespace of a product that tenants share. Other sources have the name of their tenant and namespace."""
SHARD = "sharding.fluxcd.io/key"
REQUESTED = "reconcile.fluxcd.io/requestedAt"
PLATFORM, DEFAULT = "platform", "default"
REASON = "HeldByWatchdog"
MANAGER = "flux-watchdog"
COMMIT = "event.toolkit.fluxcd.io/commit"
"""Key of an event's metadata by which notification-controller finds the commit that gets a status."""

COMMANDS = {
    "kustomizations": "kustomization",
    "helmreleases": "helmrelease",
    "gitrepositories": "source git",
    "ocirepositories": "source oci",
    "helmrepositories": "source helm",
    "helmcharts": "source chart",
}
"""How Flux's command line calls them."""
SOURCES = ("gitrepositories", "ocirepositories", "helmrepositories", "helmcharts")
RESOURCES: Mapping[str, tuple[str, str, str]] = {
    "kustomizations": ("kustomize.toolkit.fluxcd.io/v1", "Kustomization", "kustomize-controller"),
    "helmreleases": ("helm.toolkit.fluxcd.io/v2", "HelmRelease", "helm-controller"),
    "gitrepositories": ("source.toolkit.fluxcd.io/v1", "GitRepository", "source-controller"),
    "ocirepositories": ("source.toolkit.fluxcd.io/v1", "OCIRepository", "source-controller"),
    "helmrepositories": ("source.toolkit.fluxcd.io/v1", "HelmRepository", "source-controller"),
    "helmcharts": ("source.toolkit.fluxcd.io/v1", "HelmChart", "source-controller"),
}
"""API version, kind and controller of each resource that is watched."""
KINDS = {kind: resource for resource, (_, kind, _) in RESOURCES.items()}
WORKING: Mapping[str, tuple[str, ...]] = {
    "kustomizations": ("Fetching manifests", "Building manifests", "Detecting drift"),
    "helmreleases": ("Running '",),
}
"""Beginnings of the messages with which a controller reports that it works on an object. Other messages, such as that
of health checks, are those of waiting, which is bounded by timeouts. A source is worked on whatever its message."""
BUILDING = "Building manifests"
"""The phase in which kustomize-controller computes: one object at a time, the others wait in the same phase."""
TIMEOUTS = {"kustomizations": 0.0, "helmreleases": 300.0}
"""Seconds that a controller may take by its own rules, if the object sets no timeout."""
SOURCE_TIMEOUT = 60.0

LOOK_EVERY = 1.0
PAGE = 4
"""Objects that are listed at a time."""
LONGEST_ANSWER = 64 * 2**20
JSON, MERGE = "application/json", "application/merge-patch+json"
LEASES = "apis/coordination.k8s.io/v1"

MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0
MEMORY_OF_CRASHES = 15 * MINUTE
CERTAINTY = 2.0
"""Seconds by which a build has to have begun before the others to be the cause for certain."""
SETTLED = 20.0
"""Seconds that a failure has to last before it is reported: Flux tries again, and other tenants may follow."""
LONGEST_ROLLOUT = 5 * MINUTE
"""When failures are reported although some tenants have not tried yet."""
RETRY = 30.0
AT_ONCE = 4
"""Reports in one look: a notification-controller that does not answer must not keep the watchdog from its work."""
NOT_THE_COMMIT = ("ArtifactFailed", "DependencyNotReady", "Progressing", "ProgressingWithRetry")
"""Reasons for which a Kustomization is not ready that say nothing about the commit."""
SUMMARY = "tenants"
"""Message of the log line, once a minute, from which CloudWatch has its metric."""
FREE_REVISIONS = 3
"""Holds of one object after which another revision is not tried at once."""


# What is known of an object


@dataclass(frozen=True)
class Hold:
    """The record of a suspended object."""

    revision: str
    """What was tried; of a source, what it had before."""
    generation: int
    """Of the suspended object's spec."""
    at: float
    """Seconds since the epoch."""
    certain: bool
    """Whether no other object can have been the cause."""
    count: int
    why: str
    restart: tuple[str, ...] = ()
    """Uids of the pods that have to go."""

    def text(self) -> str:
        """The annotation's value."""
        return json.dumps({**self.__dict__, "restart": list(self.restart)}, sort_keys=True)

    @staticmethod
    def parse(text: str) -> Hold:
        """The record in an annotation; a blank one if it is unreadable, so that the object is resumed soon."""
        found = _mapping(_parsed(text))
        restart = found.get("restart")
        return Hold(
            revision=_text(found.get("revision")),
            generation=int(_number(found.get("generation"))),
            at=_number(found.get("at")),
            certain=found.get("certain") is True,
            count=max(1, min(int(_number(found.get("count"))), 1000)),
            why=_text(found.get("why")),
            restart=tuple(uid for uid in restart if isinstance(uid, str)) if isinstance(restart, list) else (),
        )

    def ends(self, resource: str) -> float:
        """When to try again although nothing changed. A wrong suspicion ends soon; a source shows no new revision."""
        first = HOUR if self.certain and resource not in SOURCES else 2 * MINUTE if self.certain else MINUTE
        return self.at + min(DAY, first * 2.0 ** min(self.count - 1, 20))

    def accepts_changes(self, now: float) -> bool:
        """Whether a change is tried at once: not if the object was held again and again."""
        waits = 10 * MINUTE * 2.0 ** min(self.count - FREE_REVISIONS, 10) if self.count > FREE_REVISIONS else 0.0
        return now >= self.at + min(DAY, waits)


@dataclass(frozen=True)
class Item:
    """A Flux object, reduced to what the watchdog needs."""

    key: Key
    uid: str
    version: int
    """Of the whole object; higher is later."""
    shard: str
    suspended: bool
    phase: str
    """What its controller works on; empty if it does not."""
    since: str
    """When that began, as the controller wrote it."""
    timeout: float
    generation: int
    revision: str
    """Of a source: its artifact's. Of others: the one that is worked on, as far as the phase names it."""
    source: Key | None
    """Whose revision decides whether it is tried again."""
    ready: bool
    ready_reason: str
    failure: str
    """Why it is not ready; empty while that is unknown."""
    attempted: str
    """The revision that its controller tried last."""
    applied: str
    """The revision that was applied last."""
    reported: str
    """Of a source: the outcome and revision that were reported last."""
    conditions: tuple[Json, ...] = field(compare=False)
    hold: Hold | None
    holds: tuple[int, float]
    """How often it was held, and when last."""
    requested: bool
    """Whether its controller was asked to reconcile it, and has not ended."""

    @property
    def resource(self) -> str:
        """The plural name of its kind."""
        return self.key[0]

    @property
    def controller(self) -> Controller:
        """Its controller and shard."""
        return RESOURCES[self.resource][2], self.shard


def reduce(resource: str, found: Json) -> Item | None:
    """An object of the API server as an Item; None for one without a name. Accepts any JSON."""
    found = _mapping(found)
    metadata, spec, status = (_mapping(found.get(part)) for part in ("metadata", "spec", "status"))
    namespace, name, uid = (_text(metadata.get(part)) for part in ("namespace", "name", "uid"))
    if not (namespace and name and uid):
        return None
    labels, annotations = _mapping(metadata.get("labels")), _mapping(metadata.get("annotations"))
    conditions = tuple(one for one in _list(status.get("conditions")) if isinstance(one, dict))
    by_type = {_text(one.get("type")): one for one in conditions}
    reconciling = by_type.get("Reconciling", {})
    message = _text(reconciling.get("message"))
    begun = reconciling.get("status") == "True" and reconciling.get("reason") == "Progressing"
    works = resource in SOURCES or message.startswith(WORKING[resource])
    held = annotations.get(HELD)
    requested = _text(annotations.get(REQUESTED))
    ready = by_type.get("Ready", {})
    return Item(
        key=(resource, namespace, name),
        uid=uid,
        version=_version(metadata),
        shard=_text(labels.get(SHARD)) or DEFAULT,
        suspended=spec.get("suspend") is True,
        phase=message if begun and works else "",
        since=_text(reconciling.get("lastTransitionTime")),
        timeout=_seconds(spec.get("timeout"), TIMEOUTS.get(resource, SOURCE_TIMEOUT)),
        generation=int(_number(metadata.get("generation"))),
        revision=_text(_mapping(status.get("artifact")).get("revision")) or _revision(message),
        source=_source(resource, namespace, spec, status),
        ready=ready.get("status") == "True",
        ready_reason=_text(ready.get("reason")),
        failure=_text(ready.get("message"))[:1000] if ready.get("status") == "False" else "",
        attempted=_text(status.get("lastAttemptedRevision")),
        applied=_text(status.get("lastAppliedRevision")),
        reported=_text(annotations.get(REPORTED)),
        conditions=conditions,
        hold=Hold.parse(held) if isinstance(held, str) else None,
        holds=_history(_text(annotations.get(HOLDS))),
        requested=requested != "" and requested != _text(status.get("lastHandledReconcileAt")),
    )


def _source(resource: str, namespace: str, spec: Json, status: Json) -> Key | None:
    if resource == "helmreleases" and not _mapping(spec.get("chartRef")):
        place, _, name = _text(status.get("helmChart")).partition("/")
        return ("helmcharts", place, name) if name else None
    reference = _mapping(spec.get("chartRef" if resource == "helmreleases" else "sourceRef"))
    kind = KINDS.get(_text(reference.get("kind")))
    if resource in SOURCES or kind is None:
        return None
    return kind, _text(reference.get("namespace")) or namespace, _text(reference.get("name"))


def _revision(message: str) -> str:
    found = re.search(r" for revision (\S{1,500}) with ", message)
    return found[1] if found else ""


def _history(text: str) -> tuple[int, float]:
    count, _, at = text.partition(" ")
    return (min(int(count), 1000), _number(_parsed(at))) if re.fullmatch("[0-9]{1,6}", count) else (0, 0.0)


def _seconds(text: Json, default: float) -> float:
    """A Go duration in seconds, at most a day."""
    units = {"h": HOUR, "m": MINUTE, "s": 1.0, "ms": 0.001}
    parts = re.findall(r"([0-9]{1,12}(?:\.[0-9]{1,12})?)(ms|h|m|s)", _text(text)[:60])
    return min(sum(float(number) * units[unit] for number, unit in parts), DAY) if parts else default


def _moment(text: str) -> float:
    """Seconds since the epoch."""
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError, OSError):
        return 0.0


def _version(metadata: Json) -> int:
    text = _text(metadata.get("resourceVersion"))
    return int(text) if re.fullmatch("[0-9]{1,20}", text) else 0


def _mapping(value: Json) -> dict[str, Json]:
    return value if isinstance(value, dict) else {}


def _list(value: Json) -> list[Json]:
    return value if isinstance(value, list) else []


def _text(value: Json) -> str:
    return value if isinstance(value, str) else ""


def _number(value: Json) -> float:
    real = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e12
    return float(value) if real else 0.0


def _parsed(text: str | bytes) -> Json:
    """JSON; None for anything else. Whatever is nested deeper than Python can follow is left out."""
    try:
        return json.loads(text)
    except RecursionError:
        return _parsed(_shallow(text.encode() if isinstance(text, str) else text))
    except ValueError:
        return None


TOKENS = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[\[\]{}]', re.DOTALL)
DEEPEST = 40


def _shallow(text: bytes) -> bytes:
    """The JSON with null in place of whatever is too deep: a tenant chooses how deep the values of a release are."""
    kept: list[bytes] = []
    depth = begin = 0
    for token in TOKENS.finditer(text):
        sign = token[0]
        if sign in (b"{", b"["):
            depth += 1
            if depth == DEEPEST:
                kept += [text[begin : token.start()], b"null"]
        elif sign in (b"}", b"]"):
            if depth == DEEPEST:
                begin = token.end()
            depth -= 1
    return b"".join([*kept, text[begin:]]) if depth == 0 else b"null"


@dataclass(frozen=True)
class Pod:
    """A pod of Flux's controllers."""

    name: str
    uid: str
    version: int
    controller: Controller
    ready: bool
    started: str
    """When its container began to run; empty if it does not run."""
    restarts: int
    """The eviction of a pod that filled its disk counts as one."""
    out_of_memory: bool
    """Whether its container was killed for that when it ended last."""
    deleting: bool


def reduce_pod(found: Json) -> Pod | None:
    """A pod of one of Flux's controllers; None for any other."""
    found = _mapping(found)
    metadata, status = _mapping(found.get("metadata")), _mapping(found.get("status"))
    app = _text(_mapping(metadata.get("labels")).get("app"))
    base = next((name for _, _, name in RESOURCES.values() if app == name or app.startswith(f"{name}-")), "")
    uid, name = _text(metadata.get("uid")), _text(metadata.get("name"))
    if not (base and uid and name):
        return None
    container = _mapping(next(iter(_list(status.get("containerStatuses"))), None))
    state, last = _mapping(container.get("state")), _mapping(container.get("lastState"))
    # Kubelet: Usage of EmptyDir volume "data" exceeds the limit "10Gi".
    filled_its_disk = status.get("reason") == "Evicted" and "EmptyDir" in _text(status.get("message"))
    ended = _mapping(state.get("terminated")) or _mapping(last.get("terminated"))
    return Pod(
        name=name,
        uid=uid,
        version=_version(metadata),
        controller=(base, app[len(base) + 1 :] or DEFAULT),
        ready=container.get("ready") is True,
        started=_text(_mapping(state.get("running")).get("startedAt")),
        restarts=int(_number(container.get("restartCount"))) + filled_its_disk,
        out_of_memory=ended.get("reason") == "OOMKilled",
        deleting="deletionTimestamp" in metadata,
    )


# What to do


@dataclass(frozen=True)
class Suspend:
    """Suspend an object, restart pods, and say why."""

    item: Item
    hold: Hold


@dataclass(frozen=True)
class Resume:
    """Let an object's controller try again."""

    item: Item
    why: str


@dataclass(frozen=True)
class Explain:
    """Write into the status why an object is suspended."""

    item: Item


@dataclass(frozen=True)
class Restart:
    """Delete a pod, whose controller starts another."""

    pod: Pod


@dataclass(frozen=True)
class Ask:
    """Have a source's controller report when it begins and ends to work on it."""

    item: Item


@dataclass(frozen=True)
class Report:
    """Report how many tenants of a source apply its revision."""

    source: Item
    failed: tuple[Item, ...]
    total: int

    @property
    def outcome(self) -> str:
        """What is remembered, so that it is reported once."""
        return f"{'failed' if self.failed else 'applied'} {self.source.revision}"

    @property
    def message(self) -> str:
        """One line. What tenants or commits wrote is in it without any markup."""
        _, namespace, name = self.source.key
        shared = namespace != name
        if not self.failed:
            who = f"{self.total} of {self.total} tenants of {name}" if shared else name
            return f"{self.source.revision} is applied: {who}."
        reasons = [item.ready_reason for item in self.failed]
        usual = max(sorted(set(reasons)), key=reasons.count)
        example = min((item for item in self.failed if item.ready_reason == usual), key=lambda item: item.key)
        why = f"{plain(usual)}: {plain(example.failure)}"
        if not shared:
            return f"{self.source.revision} cannot be applied: {name}. {why}"
        names = sorted(item.key[2] for item in self.failed)
        named = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
        who = f"{len(names)} of {self.total} tenants of {name} ({named})"
        return f"{self.source.revision} cannot be applied: {who}. {example.key[2]}: {why}"


@dataclass(frozen=True)
class Failure:
    """Report to a tenant of a shared product that it cannot apply the product's revision."""

    item: Item
    source: Item

    @property
    def message(self) -> str:
        """One line, as in a Report."""
        item = self.item
        why = f"{plain(item.ready_reason)}: {plain(item.failure)}"
        return f"{self.source.revision} cannot be applied: {item.key[2]}. {why}"


Action = Suspend | Resume | Explain | Restart | Ask | Report | Failure


@dataclass
class _Seen:
    phase: tuple[str, str]
    at: float
    revision: str
    """Of its source, when the phase began."""


class Watchdog:
    """Decides what to do, from one look at the cluster to the next."""

    def __init__(self, deadline: float) -> None:
        self._deadline = deadline
        self._seen: dict[str, _Seen] = {}
        """By uid: the phase of each object that a controller works on."""
        self._ready: dict[Controller, tuple[tuple[str, int], float]] = {}
        """The run of a controller that is ready, and since when."""
        self._building: dict[Controller, dict[str, str]] = {}
        """Uids of the objects that are being built, and since when."""
        self._progress: dict[Controller, float] = {}
        """When a build ended last."""
        self._started: dict[Controller, str] = {}
        self._restarts: dict[str, int] = {}
        self._working: dict[Controller, set[str]] = {}
        """Uids of the objects that each controller worked on at the last look."""
        self._strikes: dict[str, list[float]] = {}
        """By uid: when a controller crashed that worked on the object."""
        self._asked: dict[Controller, float] = {}

    def look(self, now: float, items: Iterable[Item], pods: Iterable[Pod]) -> list[Action]:
        """What to do now. `now` is in seconds since the epoch."""
        known = {item.key: item for item in items if item.shard != PLATFORM}
        running = [pod for pod in pods if pod.controller[1] != PLATFORM]
        due = {uid for item in known.values() if item.hold for uid in item.hold.restart}
        actions: list[Action] = [Restart(pod) for pod in running if pod.uid in due and not pod.deleting]
        restarting = {action.pod.controller for action in actions if isinstance(action, Restart)}
        controllers = {item.controller for item in known.values()} | {pod.controller for pod in running}
        for controller in sorted(controllers - restarting):
            own = [item for item in known.values() if item.controller == controller]
            sources = {item.uid: known[item.source].revision for item in own if item.source in known}
            these = [pod for pod in running if pod.controller == controller]
            actions += self._look_at(now, controller, own, sources, these)
        blamed = {action.item.controller for action in actions if isinstance(action, Suspend)}
        for item in known.values():
            if item.hold and not any(isinstance(action, Suspend) and action.item is item for action in actions):
                source = known.get(item.source) if item.source else None
                actions += _after(now, item, item.hold, source, blamed)
        self._forget(now, {item.uid for item in known.values()}, {pod.uid for pod in running})
        return actions

    def _look_at(
        self, now: float, controller: Controller, items: list[Item], sources: Mapping[str, str], pods: list[Pod]
    ) -> Iterator[Action]:
        alive = [pod for pod in pods if not pod.deleting]
        before, started = self._started.get(controller, ""), max((pod.started for pod in alive), default="")
        active = [item for item in items if item.phase and not item.suspended]
        # A status from before the controller's start: it does not work on that object now.
        current = [item for item in active if started and item.since >= started]
        crashed = [pod for pod in alive if pod.restarts > self._restarts.get(pod.uid, pod.restarts)]
        left = [item for item in active if item.uid in self._working.get(controller, ())]
        if controller[0] == "source-controller":
            # One that is read again after a crash has the same status as before. What was handled is not the cause.
            left = [item for item in active if item.requested]
        left += [item for item in active if item not in left and before and before <= item.since < (started or "~")]
        self._restarts |= {pod.uid: pod.restarts for pod in alive}
        self._working[controller] = {item.uid for item in current}
        self._started[controller] = started or before
        if crashed:
            yield from self._after_crash(now, controller, items, left, crashed)
            return
        self._note(now, controller, current, sources)
        ready = next((pod for pod in alive if pod.ready), None)
        if ready is None:
            self._ready.pop(controller, None)
            return
        run = (ready.uid, ready.restarts)
        if controller not in self._ready or self._ready[controller][0] != run:
            self._ready[controller] = run, now
        free = max(self._ready[controller][1], self._progress.get(controller, 0.0))
        yield from self._overdue(now, free, items, current, alive)

    def _note(self, now: float, controller: Controller, current: list[Item], sources: Mapping[str, str]) -> None:
        for item in current:
            if item.uid not in self._seen or self._seen[item.uid].phase != (item.phase, item.since):
                self._seen[item.uid] = _Seen((item.phase, item.since), now, sources.get(item.uid, ""))
        building = {item.uid: item.since for item in current if item.phase.startswith(BUILDING)}
        if self._building.get(controller, {}).items() - building.items():
            self._progress[controller] = now
        self._building[controller] = building

    def _overdue(
        self, now: float, free: float, items: list[Item], current: list[Item], pods: list[Pod]
    ) -> Iterator[Action]:
        """Objects whose time is over. `free` is when the controller had nothing else to build at the latest."""
        late = [item for item in current if now - max(self._seen[item.uid].at, free) >= self._allowed(item)]
        # One build at a time, in the order of arrival: only the first can be the cause, and the others wait for it.
        builds = sorted((item for item in current if item.phase.startswith(BUILDING)), key=lambda item: item.since)
        waiting = [item for item in builds[1:] if _moment(item.since) < _moment(builds[0].since) + CERTAINTY]
        for item in late:
            if item in builds[1:]:
                continue
            why = f"its controller did not end within {self._allowed(item):.0f} s: {item.phase}"
            yield self._suspend(now, item, item not in builds or not waiting, why, pods)
        # A tenant's other releases would be next, one for each worker.
        tenants = {item.key[1] for item in late if item.resource == "helmreleases"}
        for item in items:
            if item.key[1] in tenants and item not in late and not item.ready and not item.suspended:
                yield self._suspend(now, item, False, "another release of the same tenant held up the controller", pods)

    def _allowed(self, item: Item) -> float:
        if item.resource != "kustomizations":
            return self._deadline + item.timeout
        return self._deadline if item.phase.startswith(BUILDING) else float("inf")

    def _after_crash(
        self, now: float, controller: Controller, items: list[Item], suspects: list[Item], crashed: list[Pod]
    ) -> Iterator[Action]:
        if controller[0] == "source-controller" and now - self._asked.get(controller, 0.0) > MEMORY_OF_CRASHES:
            # A source that is read again by its interval reports nothing before it ends, unless asked.
            self._asked[controller] = now
            yield from (Ask(item) for item in items if not item.suspended)
            return
        memory = any(pod.out_of_memory for pod in crashed)
        what = "took all the memory of its controller" if memory else "ended its controller"
        for item in suspects:
            times = [at for at in self._strikes.get(item.uid, []) if now - at < MEMORY_OF_CRASHES] + [now]
            self._strikes[item.uid] = times[-10:]
            alone = len(suspects) == 1
            if len(times) >= 2 or (memory and alone):
                waiting = [pod for pod in crashed if not pod.started]
                yield self._suspend(now, item, alone, f"it {what}: {item.phase}", waiting)

    def _suspend(self, now: float, item: Item, certain: bool, why: str, pods: Iterable[Pod]) -> Suspend:
        count, last = item.holds
        again = count if 0 <= now - last < DAY else 0
        self._strikes.pop(item.uid, None)
        return Suspend(
            item,
            Hold(
                revision=item.revision or (self._seen[item.uid].revision if item.uid in self._seen else ""),
                generation=item.generation + 1,
                at=now,
                certain=certain or again >= 2,
                count=again + 1,
                why=why[:500],
                restart=tuple(pod.uid for pod in pods),
            ),
        )

    def _forget(self, now: float, uids: set[str], pods: set[str]) -> None:
        for known, kept in ((self._seen, uids), (self._strikes, uids), (self._restarts, pods)):
            for uid in known.keys() - kept:
                del known[uid]
        for uid in [uid for uid, times in self._strikes.items() if now - times[-1] > MEMORY_OF_CRASHES]:
            del self._strikes[uid]


@dataclass
class _Rollout:
    revision: str
    since: float = 0.0
    """When the first failure was seen."""
    failed: dict[str, Item] = field(default_factory=dict[str, Item])
    """By uid. A failed object stays in it while its controller tries again."""
    tried: float = 0.0
    """When it was reported last."""
    reported: str = ""
    """The outcome that was reported; the annotation has it after a restart."""
    due: dict[str, float] = field(default_factory=dict[str, float])
    """By uid of each failed object: when its tenant is notified, or notified again if that did not arrive."""
    tenants_notified: set[str] = field(default_factory=set[str])
    """Uids of the objects whose tenants were notified."""


class Rollouts:
    """Counts the tenants of each source that apply its newest revision, and reports the outcome once."""

    def __init__(self) -> None:
        self._rollouts: dict[str, _Rollout] = {}
        """By uid of the source."""

    def look(self, now: float, items: Iterable[Item]) -> list[Report | Failure]:
        """What to report now."""
        sources: dict[Key, Item] = {}
        tenants: dict[Key, list[Item]] = {}
        for item in items:
            resource, namespace, name = item.key
            if resource == "gitrepositories" and namespace in (name, PRODUCT + name) and item.revision:
                sources[item.key] = item
            elif resource == "kustomizations" and item.source and (item.hold or not item.suspended):
                tenants.setdefault(item.source, []).append(item)
        for uid in self._rollouts.keys() - {source.uid for source in sources.values()}:
            del self._rollouts[uid]
        counted = [(source, tenants.get(key, [])) for key, source in sources.items()]
        for source, own in counted:
            self._count(now, source, own)
        return list(itertools.islice(self._due(now, counted), AT_ONCE))

    def _due(self, now: float, counted: list[tuple[Item, list[Item]]]) -> Iterator[Report | Failure]:
        for source, own in counted:
            if report := self._report(now, source, self._rollouts[source.uid], own):
                yield report
        for source, _ in counted:
            if source.key[1] != source.key[2]:
                yield from self._failures(now, source, self._rollouts[source.uid])

    def _count(self, now: float, source: Item, tenants: list[Item]) -> None:
        rollout = self._rollouts.get(source.uid)
        if rollout is None or rollout.revision != source.revision:
            rollout = self._rollouts[source.uid] = _Rollout(source.revision)
        done = {item.uid for item in tenants if _applies(item, source)}
        for item in tenants:
            if item.failure and item.attempted == source.revision and item.ready_reason not in NOT_THE_COMMIT:
                rollout.failed[item.uid] = item
        for uid in rollout.failed.keys() - ({item.uid for item in tenants} - done):
            del rollout.failed[uid]
            rollout.due.pop(uid, None)
        rollout.since = (rollout.since or now) if rollout.failed else 0.0

    def _failures(self, now: float, source: Item, rollout: _Rollout) -> Iterator[Failure]:
        for uid, item in rollout.failed.items():
            if uid not in rollout.tenants_notified and now >= rollout.due.setdefault(uid, now + SETTLED):
                rollout.due[uid] = now + RETRY
                yield Failure(item, source)

    def _report(self, now: float, source: Item, rollout: _Rollout, tenants: list[Item]) -> Report | None:
        waiting = sum(item.uid not in rollout.failed and not _applies(item, source) for item in tenants)
        if rollout.failed:
            due = now - rollout.since >= (LONGEST_ROLLOUT if waiting else SETTLED)
        else:
            due = bool(tenants) and not waiting
        report = Report(source, tuple(rollout.failed.values()), len(tenants))
        # One that fails now and then is reported every ten minutes at most.
        reported = rollout.reported or source.reported
        again = 10 * MINUTE if reported.endswith(source.revision) else RETRY
        if not due or report.outcome == reported or (rollout.tried and now - rollout.tried < again):
            return None
        rollout.tried = now
        return report

    def sent(self, action: Report | Failure) -> None:
        """Remember what arrived."""
        rollout = self._rollouts.get(action.source.uid)
        if rollout and isinstance(action, Report):
            rollout.reported = action.outcome
        elif rollout and isinstance(action, Failure):
            rollout.tenants_notified.add(action.item.uid)


def _applies(item: Item, source: Item) -> bool:
    return item.ready and item.applied == source.revision


def plain(text: str) -> str:
    """A text of a commit or an object on one line, without what a chat reads as a mention, a link or a heading."""
    relative = re.sub(r"/[^\s']{0,200}/kustomization-[0-9]+/", "", text[:1000])
    return re.sub(r"[^\w.,:;/'()=+-]+", " ", relative).strip()[:300]


def failing_percent(items: Iterable[Item]) -> tuple[int, int]:
    """How many Kustomizations of tenants there are, and how many percent of them are not ready."""
    tenants = [item for item in items if item.resource == "kustomizations" and item.shard != PLATFORM]
    failing = sum(bool(item.failure) for item in tenants)
    return len(tenants), round(100 * failing / len(tenants)) if tenants else 0


def _after(now: float, item: Item, hold: Hold, source: Item | None, blamed: set[Controller]) -> Iterator[Action]:
    """What to do about an object that is held."""
    changed = item.generation > hold.generation
    revision = source.revision if source else ""
    if not item.suspended:
        yield Resume(item, "it was resumed by hand")
    elif (changed or (hold.revision and revision not in ("", hold.revision))) and hold.accepts_changes(now):
        yield Resume(item, "it was changed" if changed else f"its source has another revision, {revision}")
    elif not hold.certain and item.controller in blamed:
        yield Resume(item, "another object held up the controller")
    elif now >= hold.ends(item.resource):
        yield Resume(item, "it is tried again")
    elif item.ready_reason != REASON:
        yield Explain(item)


# The cluster


class Api:
    """Requests to the API server with the pod's own token."""

    def __init__(self, folder: Path, host: str, port: int) -> None:
        self._folder, self._host, self._port = folder, host, port
        self._tls = ssl.create_default_context(cafile=str(folder / "ca.crt"))
        # Python 3.13 refuses authorities without a key identifier, and clusters have such.
        self._tls.verify_flags &= ~ssl.VERIFY_X509_STRICT

    def open(self, method: str, path: str, body: Json = None, kind: str = MERGE, wait: float = 20.0) -> Response:
        """Send a request. Raises OSError, http.client.HTTPException or RequestError."""
        connection = http.client.HTTPSConnection(self._host, self._port, timeout=wait, context=self._tls)
        token = (self._folder / "token").read_text().strip()  # renewed while the pod runs
        headers = {"Authorization": f"Bearer {token}", "Content-Type": kind, "Accept": "application/json"}
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            response = connection.getresponse()
            if response.status >= 400:
                raise RequestError(response.status, response.read(2000).decode(errors="replace"))
        except BaseException:
            connection.close()
            raise
        return Response(connection, response)

    def request(self, method: str, path: str, body: Json = None, kind: str = MERGE) -> Json:
        """Send a request and return the answer's content."""
        with self.open(method, path, body, kind) as response:
            return _parsed(response.content.read(LONGEST_ANSWER))


@dataclass
class Response:
    """An open answer; closes its connection."""

    connection: http.client.HTTPSConnection
    content: http.client.HTTPResponse

    def __enter__(self) -> Response:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()


class RequestError(Exception):
    """The API server refused a request."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status


UNAVAILABLE = (OSError, http.client.HTTPException, RequestError)


class Store:
    """Follows collections of the API server, each in a thread; holds only what `reduce` keeps of an object."""

    def __init__(self, api: Api, namespace: str) -> None:
        self._api = api
        self._lock = threading.Lock()
        self._items: dict[str, dict[str, Any]] = {}
        self.contact: dict[str, float] = {}
        """When each collection was last heard of (monotonic clock)."""
        pods = f"/api/v1/namespaces/{namespace}/pods"
        places = {name: (f"/apis/{version}/{name}", name) for name, (version, _, _) in RESOURCES.items()}
        self._places: dict[str, tuple[str, Callable[[Json], Any]]] = {"pods": (pods, reduce_pod)}
        for name, (path, resource) in places.items():
            self._places[name] = path, lambda found, resource=resource: reduce(resource, found)

    def start(self) -> None:
        """Follow everything until the process ends."""
        for name in self._places:
            threading.Thread(target=self._follow, args=(name,), daemon=True).start()

    def look(self) -> tuple[list[Item], list[Pod]] | None:
        """All objects and pods; None until everything was listed once."""
        with self._lock:
            if self._items.keys() != self._places.keys():
                return None
            items = [item for name in RESOURCES for item in self._items[name].values()]
            return items, list(self._items["pods"].values())

    def put(self, name: str, found: Json) -> None:
        """Take over an object as the API server answered it, unless a later one came already."""
        item = self._places[name][1](found)
        if item is not None:
            with self._lock:
                items = self._items.setdefault(name, {})
                if item.uid not in items or items[item.uid].version <= item.version:
                    items[item.uid] = item

    def _follow(self, name: str) -> None:
        while True:
            try:
                version = self._list(name)
                self._watch(name, version)
            except RequestError as error:
                if error.status == 404:  # not installed
                    with self._lock:
                        self._items[name] = {}
                    self.contact[name] = time.monotonic()
                    time.sleep(30)
                elif error.status != 410:
                    log("cannot follow", resource=name, error=str(error))
                time.sleep(2)
            except Exception as error:  # the watchdog must not stop for any input
                log("cannot follow", resource=name, error=repr(error))
                time.sleep(2)

    def _list(self, name: str) -> str:
        path, reducing = self._places[name]
        found: dict[str, Any] = {}
        query, version = "", ""
        while True:
            # Few at a time: a tenant can make large objects, and each page is in memory as a whole.
            page = _mapping(self._api.request("GET", f"{path}?limit={PAGE}{query}"))
            metadata = _mapping(page.get("metadata"))
            items = (reducing(one) for one in _list(page.get("items")))
            found |= {item.uid: item for item in items if item is not None}
            version = _text(metadata.get("resourceVersion"))
            if not (more := _text(metadata.get("continue"))):
                break
            query = f"&continue={urllib.parse.quote(more)}"
        with self._lock:
            self._items[name] = found
        self.contact[name] = time.monotonic()
        return version

    def _watch(self, name: str, version: str) -> None:
        path, _ = self._places[name]
        query = f"watch=1&allowWatchBookmarks=true&timeoutSeconds=300&resourceVersion={version}"
        with self._api.open("GET", f"{path}?{query}", wait=120) as response:
            while line := response.content.readline(LONGEST_ANSWER):
                self.contact[name] = time.monotonic()
                event = _mapping(_parsed(line))
                if event.get("type") == "ERROR" or not line.endswith(b"\n"):
                    return
                if event.get("type") in ("ADDED", "MODIFIED"):
                    self.put(name, event.get("object"))
                elif event.get("type") == "DELETED":
                    uid = _text(_mapping(_mapping(event.get("object")).get("metadata")).get("uid"))
                    with self._lock:
                        self._items[name].pop(uid, None)


class Hand:
    """Carries out actions."""

    def __init__(self, api: Api, store: Store, namespace: str, alerts: str) -> None:
        self._api, self._store, self._namespace, self._alerts = api, store, namespace, alerts

    def carry_out(self, action: Action) -> None:
        """One action; a failed one is decided again at the next look."""
        match action:
            case Suspend(item, hold):
                annotations = {HELD: hold.text(), HOLDS: f"{hold.count} {hold.at:.0f}"}
                self._change(item, {"annotations": annotations}, {"suspend": True})
                self._tell(item, "Warning", REASON, explanation(item, hold))
            case Explain(item):
                self._explain(item)
            case Resume(item, why):
                asked = datetime.now(UTC).isoformat()
                self._change(item, {"annotations": {HELD: None, REQUESTED: asked}}, {"suspend": None})
                self._tell(item, "Normal", "ResumedByWatchdog", f"Resumed: {why}.")
            case Ask(item):
                asked = datetime.now(UTC).isoformat()
                self._change(item, {"annotations": {REQUESTED: asked}})
            case Restart(pod):
                log("restarts", pod=pod.name)
                self._delete(pod)
            case Report(source, failed):
                # Sent before it is remembered: one that did not arrive is sent again.
                kind, reason = ("Warning", "NotApplied") if failed else ("Normal", "Applied")
                self._alert(source, kind, reason, action.message, {COMMIT: source.revision})
                if source.shard != PLATFORM:  # whose objects the watchdog leaves alone
                    self._change(source, {"annotations": {REPORTED: action.outcome}})
                log(action.message, namespace=source.key[1], reason=reason)
            case Failure(item):
                self._alert(item, "Warning", "NotApplied", action.message)

    def _change(self, item: Item, metadata: Json, spec: Json = None) -> None:
        body = {"metadata": {"uid": item.uid, **metadata}, **({"spec": spec} if spec else {})}
        self._store.put(item.resource, self._api.request("PATCH", f"{_path(item)}?fieldManager={MANAGER}", body))

    def _explain(self, item: Item) -> None:
        assert item.hold
        ready = {"type": "Ready", "status": "False", "reason": REASON, "observedGeneration": item.generation}
        ready |= {"message": explanation(item, item.hold), "lastTransitionTime": _time(item.hold.at)}
        others = [one for one in item.conditions if one.get("type") not in ("Ready", "Reconciling")]
        body = {
            "metadata": {"uid": item.uid},
            "status": {"conditions": [*others, ready], "observedGeneration": item.generation},
        }
        path = f"{_path(item)}/status?fieldManager={MANAGER}"
        self._store.put(item.resource, self._api.request("PATCH", path, body))

    def _delete(self, pod: Pod) -> None:
        pods, leases = (f"/{part}/namespaces/{self._namespace}" for part in ("api/v1", LEASES))
        options = {"gracePeriodSeconds": 2, "preconditions": {"uid": pod.uid}}
        self._api.request("DELETE", f"{pods}/pods/{pod.name}", options, JSON)
        # A controller that hangs does not give its lease back, and its successor would wait until it runs out.
        for lease in _list(_mapping(self._api.request("GET", f"{leases}/leases")).get("items")):
            holder = _text(_mapping(_mapping(lease).get("spec")).get("holderIdentity"))
            if holder.startswith(f"{pod.name}_"):
                name = _text(_mapping(_mapping(lease).get("metadata")).get("name"))
                self._api.request("DELETE", f"{leases}/leases/{name}", {}, JSON)

    def _tell(self, item: Item, kind: str, reason: str, message: str) -> None:
        """In the log, as an event, and to Flux's alerts. Only the log is certain."""
        resource, namespace, name = item.key
        log(message, kind=RESOURCES[resource][1], namespace=namespace, name=name, reason=reason)
        now = _time(time.time())
        event = {
            "metadata": {"generateName": f"{name[:200]}.", "namespace": namespace},
            "involvedObject": _involved(item),
            "type": kind,
            "reason": reason,
            "message": message[:1000],
            "source": {"component": MANAGER},
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }
        try:
            self._api.request("POST", f"/api/v1/namespaces/{namespace}/events", event, JSON)
            self._alert(item, kind, reason, message)
        except UNAVAILABLE as error:
            log("cannot tell", error=str(error))

    def _alert(
        self, item: Item, kind: str, reason: str, message: str, metadata: Mapping[str, str] | None = None
    ) -> None:
        """To Flux's alerts, if its notification-controller is installed. Raises UNAVAILABLE."""
        if not self._alerts:
            return
        alert = {
            "involvedObject": _involved(item),
            "severity": "error" if kind == "Warning" else "info",
            "timestamp": _time(time.time()),
            "message": message,
            "reason": reason,
            "reportingController": MANAGER,
            **({"metadata": dict(metadata)} if metadata else {}),
        }
        request = urllib.request.Request(self._alerts, json.dumps(alert).encode(), {"Content-Type": JSON})  # noqa: S310
        with urllib.request.urlopen(request, timeout=3):  # noqa: S310 - the address is an argument
            pass


def explanation(item: Item, hold: Hold) -> str:
    """Why an object is suspended, and what to do."""
    resource, namespace, name = item.key
    until = _time(hold.ends(resource))
    if resource in SOURCES:
        remedy = f"Make it smaller; it is read again at {until}"
    else:
        remedy = f"Push a commit that undoes the last one, and it is tried at once; without one, at {until}"
    resume = f"flux resume {COMMANDS[resource]} {name} -n {namespace}"
    return f"suspended by the watchdog, for others to go on: {hold.why}. {remedy}, or after `{resume}`."


def _involved(item: Item) -> Json:
    resource, namespace, name = item.key
    version, kind, _ = RESOURCES[resource]
    return {"apiVersion": version, "kind": kind, "namespace": namespace, "name": name, "uid": item.uid}


def _path(item: Item) -> str:
    resource, namespace, name = item.key
    return f"/apis/{RESOURCES[resource][0]}/namespaces/{namespace}/{resource}/{name}"


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def log(message: str, **values: str | int) -> None:
    """One line of JSON, as Flux's controllers write."""
    record = {"ts": datetime.now(UTC).isoformat(), "msg": message, **values}
    sys.stdout.write(json.dumps(record) + "\n")
    sys.stdout.flush()


def serve_health(address: str, healthy: Callable[[], bool]) -> None:
    """Answer every GET with success while the watchdog works."""

    class Health(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if healthy() else 503)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Log nothing: probes come all the time."""

    host, _, port = address.rpartition(":")
    server = http.server.ThreadingHTTPServer((host, int(port)), Health)
    threading.Thread(target=server.serve_forever, daemon=True).start()


def main() -> None:
    """Watch until the process is ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--deadline", type=float, required=True, help="seconds that a controller may compute")
    parser.add_argument("--namespace", default="flux-system", help="where the controllers are")
    parser.add_argument("--service-account", type=Path, required=True, help="folder of token and ca.crt")
    parser.add_argument("--events-addr", default="", help="where Flux's alerts are sent to")
    parser.add_argument("--health-addr", default=":9440", help="where probes are answered")
    arguments = parser.parse_args()
    host, port = os.environ["KUBERNETES_SERVICE_HOST"], int(os.environ["KUBERNETES_SERVICE_PORT"])
    api = Api(arguments.service_account, host, port)
    store = Store(api, arguments.namespace)
    hand = Hand(api, store, arguments.namespace, arguments.events_addr)
    watchdog, rollouts = Watchdog(arguments.deadline), Rollouts()
    looked, summarized = time.monotonic(), 0.0

    def healthy() -> bool:
        late = time.monotonic() - 600
        return (
            time.monotonic() - looked < 60
            and store.look() is not None
            and min(store.contact.values(), default=0.0) > late
        )

    serve_health(arguments.health_addr, healthy)
    store.start()
    while True:
        if found := store.look():
            if time.monotonic() - summarized >= MINUTE:
                summarized = time.monotonic()
                total, percent = failing_percent(found[0])
                log(SUMMARY, total=total, failingPercent=percent)
            now = time.time()
            for action in (*watchdog.look(now, *found), *rollouts.look(now, found[0])):
                try:
                    hand.carry_out(action)
                    if isinstance(action, Report | Failure):
                        rollouts.sent(action)
                except UNAVAILABLE as error:
                    log("failed", action=repr(action)[:500], error=str(error)[:500])
        looked = time.monotonic()
        time.sleep(LOOK_EVERY)


if __name__ == "__main__":
    main()
