"""The real engine and Flux on an embedded platform, each step compared with its lower bound."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from bench import delivery, flat, workload
from bench.delivery import push
from bench.workload import Key
from local import processes, status
from local.agent import programs
from model.config import mirrors
from standins.github.store import Store
from tests.platform import PUBLIC, Platform, Stack, eventually

READY_SECONDS = 1800.0

PUBLIC_REPOSITORY = "stefanprodan/podinfo"
EVERYTHING = ("-A", "--all", "gitrepositories")
TO_READY = "until all are ready"
FROM_OBJECTS = "of that, after the objects exist"


@dataclass
class Measured:
    """Seconds, by what was measured; resources; and megabytes, by process."""

    tenants: int
    program: dict[str, float] = field(default_factory=dict[str, float])
    floor: dict[str, float] = field(default_factory=dict[str, float])
    memory: dict[str, float] = field(default_factory=dict[str, float])
    resources: dict[str, str] = field(default_factory=dict[str, str])


def seconds(action: Callable[[], object]) -> float:
    """The seconds that an action takes."""
    began = time.monotonic()
    action()
    return time.monotonic() - began


def measure(on: Platform, count: int, folder: Path, say: Callable[[str], None]) -> Measured:
    """Measurements with an engine, for a number of tenants. Leaves the platform unchanged."""
    found = Measured(count)
    sources = workload.sources(count)
    stack = on.stack(f"bench-{count}")
    stack.kept = True
    say("bootstrapping Flux")
    _update(stack, {})
    base = _registered(stack)
    say("first up")
    began = time.monotonic()
    found.program["first up"] = _update(stack, sources)
    found.program |= _until_ready(on, count, began)
    registered = _registered(stack)
    found.resources = {name: _composition(registered, name) for name in _samples(sources)}
    say("no-op preview")
    found.program["no-op preview"] = seconds(lambda: stack.run("preview", "--expect-no-changes"))
    say("git push")
    found.program |= _pushes(on, [name for name, source in sources.items() if source is PUBLIC], folder)
    found.memory = _memory(on)
    say("adding one tenant")
    found.program["adding one tenant"] = _update(stack, {**sources, "added": PUBLIC})
    more = _custom(_registered(stack)) - _custom(registered)
    eventually(lambda: _ready(on, count + 1), timeout=READY_SECONDS)
    say("destroy")
    found.program["destroy"] = seconds(lambda: stack.run("destroy", "--yes", "--skip-preview"))
    say("bootstrapping Flux again, for kubectl")
    _update(stack, {})
    say("kubectl")
    found.floor |= _kubectl(on, count)
    stack.run("destroy", "--yes", "--skip-preview")
    say("a shared product")
    found.program |= delivery.measure(on, count, folder)
    say("the flat program")
    found.floor |= flat.measure(on, count, _custom(base), _custom(registered) - _custom(base), more)
    return found


def _update(stack: Stack, sources: dict[str, dict[str, Any]]) -> float:
    stack.tenants(sources, interval=workload.INTERVAL)
    return seconds(lambda: stack.run("up", "--yes", "--skip-preview"))


def _ready(on: Platform, count: int) -> bool:
    rows = [row for row in status.reconciliations(on.api) if row.name != "flux-system"]
    return len(rows) == count and all(row.ready for row in rows)


def _until_ready(on: Platform, count: int, began: float) -> dict[str, float]:
    """Seconds until all tenants are ready, from `began` and from now, when the objects exist."""
    exist = time.monotonic()
    eventually(lambda: _ready(on, count), timeout=READY_SECONDS)
    end = time.monotonic()
    return {TO_READY: end - began, FROM_OBJECTS: end - exist}


def _pushes(on: Platform, names: Sequence[str], folder: Path) -> dict[str, float]:
    """Seconds from `git push` to applied; Flux is asked to reconcile right after the push."""
    first = names[:1]
    asked_first = ("-n", first[0], f"gitrepositories/{first[0]}")
    return {
        "git push to applied, one tenant": push(on, PUBLIC_REPOSITORY, first, folder, asked_first),
        "git push to applied, all its tenants": push(on, PUBLIC_REPOSITORY, names, folder, EVERYTHING),
    }


def _kubectl(on: Platform, count: int) -> dict[str, float]:
    """`kubectl apply --server-side` of the same objects, until all are ready. They are removed again."""
    made = workload.keys(count)
    text = workload.tenant_objects(count, mirrors.load(on.home.mirrors.parent, on.home.mirrors.name), made)
    with _deploy_keys(on, made):
        began = time.monotonic()
        on.kubectl("apply", "--server-side", "-f", "-", stdin=text)
        took = _until_ready(on, count, began)
        on.kubectl("delete", "kustomizations", "-A", "--field-selector", "metadata.namespace!=flux-system")
        on.kubectl("delete", "namespaces", "-l", "toolkit.fluxcd.io/tenant")
    return took


@contextmanager
def _deploy_keys(on: Platform, made: Sequence[Key]) -> Iterator[None]:
    """With these keys on the product's repository. What kubectl takes does not include making them."""
    store = Store(on.home.git)
    product = store.get("acme", "product")
    assert product is not None, "the platform's Git server has no acme/product"
    try:
        for key in made:
            store.add_key(product, f"bench-{key.tenant}", key.public, read_only=True)
        yield
    finally:
        for key in made:
            store.remove_key(key.public)


def _registered(stack: Stack) -> list[dict[str, Any]]:
    """The stack's resources, without the stack itself and the providers."""
    resources = json.loads(stack.run("stack", "export").stdout)["deployment"].get("resources", [])
    return [resource for resource in resources if not resource["type"].startswith("pulumi:")]


def _custom(resources: Sequence[dict[str, Any]]) -> int:
    return sum(bool(resource["custom"]) for resource in resources)


def _samples(sources: dict[str, dict[str, Any]]) -> list[str]:
    """The first public tenant and the first private one."""
    return [
        next(name for name, source in sources.items() if bool(source.get("private")) == private)
        for private in (False, True)
        if any(bool(source.get("private")) == private for source in sources.values())
    ]


def _composition(resources: Sequence[dict[str, Any]], tenant: str) -> str:
    """The number and kinds of a tenant's resources: those named TENANT or TENANT/NAME."""
    own = [resource for resource in resources if str(resource["urn"]).rpartition("::")[2].partition("/")[0] == tenant]
    kinds = ", ".join(str(resource["type"]).rpartition(":")[2] for resource in own if resource["custom"])
    return f"{_custom(own)} and {len(own) - _custom(own)} components: {kinds}"


def _memory(on: Platform) -> dict[str, float]:
    """Resident megabytes of each process of the platform, Flux's controllers without their pods' suffix."""
    flux = {pod.rsplit("-", 2)[0]: pid for pod, pid in programs(on.home).items()}
    running = {**processes.running(on.home), **flux}
    return {name: psutil.Process(pid).memory_info().rss / 1e6 for name, pid in running.items()}
