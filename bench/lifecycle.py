"""Measures the life of many tenants on an embedded platform, with lower bounds of each step."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench import delivery, flat, workload
from bench.fleet import Fleet, custom
from bench.usage import Sampler, Usage, peaks
from bench.workload import OWN, SHARED, Key
from model.config import mirrors
from model.config.names import PRODUCT_LABEL
from model.status import SOURCES
from standins.github import git
from standins.github.store import Store
from tests.platform import Platform

WEBHOOKS = {"by": "none", "host": "flux.acme.example"}
POLLED = "1m"
REPOSITORIES = {SHARED: "acme/shop", OWN: "stefanprodan/podinfo"}
KEYS_OF = {SHARED: ("acme", "shop"), OWN: ("acme", "product")}
"""The private repository, whose deploy keys kubectl's run has to register."""

FIRST_UP, READY = "first up", "first up until all are ready"
PREVIEW, QUOTA, ADD, REMOVE = "no-op preview", "changing the quota of all", "adding one tenant", "removing one tenant"
PUSH, PUSH_POLLED = "push until applied by all", f"push until applied by all, polled every {POLLED}"
PROMOTION = "promotion of a ring until applied by all"
RESTART, DESTROY = "restart of Flux until all are reconciled", "destroy"
BOOTSTRAP, WAIT, WITHOUT = "bootstrapping Flux", "waiting until all are ready", "without webhooks"
"""Steps between the measured ones."""
TAG = "v99.0.0"


@dataclass
class Measured:
    """What was measured with a number of tenants of one kind."""

    kind: str
    tenants: int
    seconds: dict[str, float] = field(default_factory=dict[str, float])
    flat: dict[str, float] = field(default_factory=dict[str, float])
    """Seconds of a flat program with as many resources."""
    kubectl: dict[str, float] = field(default_factory=dict[str, float])
    """Seconds of `kubectl apply --server-side` of the same objects."""
    resources: dict[str, str] = field(default_factory=dict[str, str])
    """Number and kinds of a tenant's resources."""
    stacks: int = 1
    state: dict[str, float] = field(default_factory=dict[str, float])
    """Kilobytes: of all stacks, of the largest one, a tenant's part, and the largest Kubernetes object."""
    largest: str = ""
    clones: int = 0
    """Sources that Flux reads for the tenants."""
    memory: dict[str, float] = field(default_factory=dict[str, float])
    """The most megabytes of each process."""
    usage: Usage = field(default_factory=Usage)


def measure(on: Platform, kind: str, count: int, folder: Path, say: Callable[[str], None]) -> Measured:
    """All steps with an engine, for a number of tenants. Several shards leave them on the platform."""
    names, found = workload.names(count), Measured(kind, count)
    fleet = Fleet(on, kind, count, webhooks=WEBHOOKS)
    few = fleet.shards < 2
    with Sampler(on.home) as sampler:

        def step(name: str, action: Callable[[], float | None]) -> None:
            """Some return their seconds without what they prepared."""
            say(name)
            sampler.step(name)
            began = time.monotonic()
            took = action()
            found.seconds[name] = time.monotonic() - began if took is None else took

        step(BOOTSTRAP, lambda: fleet.update([]))
        base = fleet.resources()
        began = time.monotonic()
        step(FIRST_UP, lambda: fleet.update(names))
        step(WAIT, lambda: delivery.wait_until_ready(on, names))
        found.seconds[READY] = time.monotonic() - began
        registered = fleet.resources()
        _describe(found, registered, base)
        found.clones = _sources(on)
        step(PREVIEW, fleet.preview)
        step(PUSH, lambda: _push(on, kind, names, folder))
        given: dict[str, Any] = {}
        if few:  # of more shards it is as many times one shard's
            given["pods"] = 21
            step(QUOTA, lambda: fleet.update(names, **given))
        more, place = [*names, "added"], fleet.place("added")
        step(ADD, lambda: fleet.update(more, only=place, **given))
        one = custom(fleet.resources()[place]) - custom(registered[place])
        step(WAIT, lambda: delivery.wait_until_ready(on, more))
        given["departed"] = ["added"]
        step(REMOVE, lambda: fleet.update(names, only=place, **given))
        step(RESTART, lambda: delivery.restart(on, names))
        if kind == SHARED:
            step(PROMOTION, lambda: _promote(on, fleet, names, given))
        if kind == SHARED and few:
            fleet.first.configure(webhooks={})
            step(WITHOUT, lambda: fleet.update(names, only=0, interval=POLLED, **given))
            step(PUSH_POLLED, lambda: _push(on, kind, names, folder, times=1))
        if few:  # else the platform's folder is thrown away
            step(DESTROY, fleet.destroy)
    for name in (BOOTSTRAP, WAIT, WITHOUT):
        found.seconds.pop(name, None)
    found.usage, found.memory = sampler.usage, peaks(sampler.usage)
    if kind == SHARED and few:
        say("the same objects by kubectl")
        found.kubectl = _kubectl(on, fleet, names)
    if kind == SHARED:
        say("the flat program")
        before, after = (custom(stacks[-1]) for stacks in (base, registered))
        # Of each tenant its ResourceQuota, and the namespace's annotation of the most replicas.
        changed = 2 * sum(fleet.place(name) == len(fleet.stacks) - 1 for name in names)
        found.flat = flat.measure(on, before, after, changed, one, max(1, fleet.shards))
    return found


def _promote(on: Platform, fleet: Fleet, names: Sequence[str], given: Mapping[str, Any]) -> None:
    """The ring of all tenants from its branch to a tag, until all have applied it."""
    repository = on.hosted(REPOSITORIES[SHARED]).path
    made = on.git("commit-tree", "main^{tree}", "-p", "main", "-m", "A release", folder=repository)
    commit = made.stdout.strip()
    git.run(repository, "tag", TAG, commit)
    fleet.update(names, only=0, tag=TAG, **given)
    delivery.wait_until_applied(on, names, commit)


def _push(on: Platform, kind: str, names: Sequence[str], folder: Path, times: int = 3) -> float:
    """Seconds of a push: the median of some. While the first one is applied, autoscalers may still make pods.

    Flux fetches a shared product because of its webhook, own sources because of an annotation.
    """
    repository = REPOSITORIES[kind]
    asked = () if kind == SHARED else ("-A", "--all", "gitrepositories")
    readers = workload.reading(kind, names, repository)
    return statistics.median(delivery.push(on, repository, readers, folder, asked) for _ in range(times))


def _sources(on: Platform) -> int:
    items = (on.get(SOURCES) or {"items": []})["items"]
    return sum(item["metadata"]["namespace"] != "flux-system" for item in items)


def _kubectl(on: Platform, fleet: Fleet, names: Sequence[str]) -> dict[str, float]:
    """`kubectl apply --server-side` of the same objects, until all are ready. They are removed again."""
    fleet.update([])
    made = workload.keys(fleet.kind, names)
    text = workload.objects(fleet.kind, names, mirrors.load(on.home.mirrors.parent, on.home.mirrors.name), made)
    with _deploy_keys(on, KEYS_OF[fleet.kind], made):
        began = time.monotonic()
        on.kubectl("apply", "--server-side", "-f", "-", stdin=text)
        applied = time.monotonic() - began
        delivery.wait_until_ready(on, names)
        until_ready = time.monotonic() - began
        on.kubectl("delete", "kustomizations", "-A", "--field-selector", "metadata.namespace!=flux-system")
        on.kubectl("delete", "namespaces", "-l", delivery.TENANT)
        on.kubectl("delete", "gitrepositories", "-A", "-l", PRODUCT_LABEL)
        on.kubectl("delete", "namespaces", "-l", PRODUCT_LABEL)
    fleet.destroy()
    return {FIRST_UP: applied, READY: until_ready}


@contextmanager
def _deploy_keys(on: Platform, repository: tuple[str, str], made: Sequence[Key]) -> Iterator[None]:
    """With these keys on a private repository. What kubectl takes does not include making them."""
    store = Store(on.home.git)
    found = store.get(*repository)
    assert found is not None, f"the platform's Git server has no {'/'.join(repository)}"
    try:
        for key in made:
            store.add_key(found, f"bench-{key.holder}", key.public, read_only=True)
        yield
    finally:
        for key in made:
            store.remove_key(key.public)


def _describe(found: Measured, stacks: Sequence[list[dict[str, Any]]], base: Sequence[list[dict[str, Any]]]) -> None:
    """Sizes of the state, and what one tenant consists of."""
    resources = [resource for stack in stacks for resource in stack]
    whole, before = _kilobytes(resources), sum(map(_kilobytes, base))
    of_kubernetes = [one for one in resources if one["type"].startswith("kubernetes:")]
    largest = max(of_kubernetes, key=lambda one: _kilobytes(one["inputs"]))
    found.state = {
        "whole": whole,
        "largest stack": max(map(_kilobytes, stacks)),
        "one tenant": (whole - before) / found.tenants,
        "largest object": _kilobytes(largest["inputs"]),
    }
    found.stacks = len(stacks)
    found.largest = f"{largest['type'].rpartition(':')[2]} {largest['urn'].rpartition('::')[2]}"
    samples = [name for name in ("tenant-0000", "tenant-0009") if name in workload.names(found.tenants)]
    found.resources = {name: _composition(resources, name) for name in samples[: 1 if found.kind == SHARED else 2]}


def _kilobytes(value: Any) -> float:
    return len(json.dumps(value, separators=(",", ":"))) / 1e3


def _composition(resources: Sequence[dict[str, Any]], tenant: str) -> str:
    """The number and kinds of a tenant's resources: those named TENANT or TENANT/NAME."""
    own = [resource for resource in resources if str(resource["urn"]).rpartition("::")[2].partition("/")[0] == tenant]
    kinds = ", ".join(str(resource["type"]).rpartition(":")[2] for resource in own if resource["custom"])
    return f"{custom(own)} and {len(own) - custom(own)} components: {kinds}"
