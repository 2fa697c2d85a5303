"""The life of many tenants with the real engine and Flux on an embedded platform, each step beside its lower bound."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench import delivery, flat, workload
from bench.usage import Sampler, Usage, peaks
from bench.workload import OWN, SHARED, Key
from model.config import mirrors
from model.config.names import PRODUCT_LABEL
from model.status import SOURCES
from standins.github.store import Store
from tests.platform import Platform, Stack

WEBHOOKS = {"by": "none", "host": "flux.acme.example"}
POLLED = "1m"
REPOSITORIES = {SHARED: "acme/shop", OWN: "stefanprodan/podinfo"}
KEYS_OF = {SHARED: ("acme", "shop"), OWN: ("acme", "product")}
"""The private repository, whose deploy keys kubectl's run has to register."""

FIRST_UP, READY = "first up", "first up until all are ready"
PREVIEW, QUOTA, ADD, REMOVE = "no-op preview", "changing the quota of all", "adding one tenant", "removing one tenant"
PUSH, PUSH_POLLED = "push until applied by all", f"push until applied by all, polled every {POLLED}"
RESTART, DESTROY = "restart of Flux until all are reconciled", "destroy"


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
    state: dict[str, float] = field(default_factory=dict[str, float])
    """Kilobytes: the whole state, a tenant's part, and the largest Kubernetes object."""
    largest: str = ""
    clones: int = 0
    """Sources that Flux reads for the tenants."""
    memory: dict[str, float] = field(default_factory=dict[str, float])
    """The most megabytes of each process."""
    usage: Usage = field(default_factory=Usage)


def measure(on: Platform, kind: str, count: int, folder: Path, say: Callable[[str], None]) -> Measured:
    """All steps with an engine, for a number of tenants. Leaves the platform without tenants."""
    names, found = workload.names(count), Measured(kind, count)
    stack = on.stack(f"bench-{kind.partition(' ')[0]}-{count}", webhooks=WEBHOOKS)
    stack.kept = True
    with Sampler(on.home) as sampler:

        def step(name: str, action: Callable[[], object]) -> float:
            say(name)
            sampler.step(name)
            began = time.monotonic()
            action()
            return time.monotonic() - began

        step("bootstrapping Flux", lambda: _update(stack, kind, []))
        base = _registered(stack)
        began = time.monotonic()
        found.seconds[FIRST_UP] = step(FIRST_UP, lambda: _update(stack, kind, names))
        step("waiting until all are ready", lambda: delivery.wait_until_ready(on, names))
        found.seconds[READY] = time.monotonic() - began
        registered = _registered(stack)
        _describe(found, registered, base)
        found.clones = _sources(on)
        found.seconds[PREVIEW] = step(PREVIEW, lambda: stack.run("preview", "--expect-no-changes"))
        found.seconds[PUSH] = step(PUSH, lambda: _push(on, kind, names, folder))
        found.seconds[QUOTA] = step(QUOTA, lambda: _update(stack, kind, names, pods=21))
        more = [*names, "added"]
        found.seconds[ADD] = step(ADD, lambda: _update(stack, kind, more, pods=21))
        one = _custom(_registered(stack)) - _custom(registered)
        step("waiting for it", lambda: delivery.wait_until_ready(on, more))
        found.seconds[REMOVE] = step(REMOVE, lambda: _update(stack, kind, names, pods=21, departed=["added"]))
        found.seconds[RESTART] = step(RESTART, lambda: delivery.restart(on, names))
        if kind == SHARED:
            stack.configure(webhooks={})
            poll = {"pods": 21, "departed": ["added"], "interval": POLLED}
            step("without webhooks", lambda: _update(stack, kind, names, **poll))
            found.seconds[PUSH_POLLED] = step(PUSH_POLLED, lambda: _push(on, kind, names, folder))
        found.seconds[DESTROY] = step(DESTROY, lambda: stack.run("destroy", "--yes", "--skip-preview"))
    found.usage, found.memory = sampler.usage, peaks(sampler.usage)
    if kind == SHARED:
        say("the same objects by kubectl")
        found.kubectl = _kubectl(on, stack, kind, names)
        say("the flat program")
        quotas = 2 * count  # the ResourceQuota, and the namespace's annotation of the most replicas
        found.flat = flat.measure(on, count, _custom(base), _custom(registered) - _custom(base), one, quotas)
    return found


def _update(stack: Stack, kind: str, names: Sequence[str], **given: Any) -> None:
    file = stack.platform.project / stack.tenants_file
    file.write_text(workload.tenants_yaml(kind, names, **given))
    stack.run("up", "--yes", "--skip-preview")


def _push(on: Platform, kind: str, names: Sequence[str], folder: Path) -> float:
    """A push by which a webhook tells Flux of a shared product; of own sources Flux is told by annotations."""
    repository = REPOSITORIES[kind]
    asked = () if kind == SHARED else ("-A", "--all", "gitrepositories")
    return delivery.push(on, repository, workload.reading(kind, names, repository), folder, asked)


def _sources(on: Platform) -> int:
    items = (on.get(SOURCES) or {"items": []})["items"]
    return sum(item["metadata"]["namespace"] != "flux-system" for item in items)


def _kubectl(on: Platform, stack: Stack, kind: str, names: Sequence[str]) -> dict[str, float]:
    """`kubectl apply --server-side` of the same objects, until all are ready. They are removed again."""
    _update(stack, kind, [])
    made = workload.keys(kind, names)
    text = workload.objects(kind, names, mirrors.load(on.home.mirrors.parent, on.home.mirrors.name), made)
    with _deploy_keys(on, KEYS_OF[kind], made):
        began = time.monotonic()
        on.kubectl("apply", "--server-side", "-f", "-", stdin=text)
        applied = time.monotonic() - began
        delivery.wait_until_ready(on, names)
        until_ready = time.monotonic() - began
        on.kubectl("delete", "kustomizations", "-A", "--field-selector", "metadata.namespace!=flux-system")
        on.kubectl("delete", "namespaces", "-l", delivery.TENANT)
        on.kubectl("delete", "gitrepositories", "-A", "-l", PRODUCT_LABEL)
        on.kubectl("delete", "namespaces", "-l", PRODUCT_LABEL)
    stack.run("destroy", "--yes", "--skip-preview")
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


def _registered(stack: Stack) -> list[dict[str, Any]]:
    """The stack's resources, without the stack itself and the providers."""
    resources = json.loads(stack.run("stack", "export").stdout)["deployment"].get("resources", [])
    return [resource for resource in resources if not resource["type"].startswith("pulumi:")]


def _custom(resources: Sequence[dict[str, Any]]) -> int:
    return sum(bool(resource["custom"]) for resource in resources)


def _describe(found: Measured, resources: Sequence[dict[str, Any]], base: Sequence[dict[str, Any]]) -> None:
    """Sizes of the state, and what one tenant consists of."""
    whole, before = _kilobytes(resources), _kilobytes(base)
    of_kubernetes = [one for one in resources if one["type"].startswith("kubernetes:")]
    largest = max(of_kubernetes, key=lambda one: _kilobytes(one["inputs"]))
    found.state = {
        "whole": whole,
        "one tenant": (whole - before) / found.tenants,
        "largest object": _kilobytes(largest["inputs"]),
    }
    found.largest = f"{largest['type'].rpartition(':')[2]} {largest['urn'].rpartition('::')[2]}"
    samples = [name for name in ("tenant-0000", "tenant-0009") if name in workload.names(found.tenants)]
    found.resources = {name: _composition(resources, name) for name in samples[: 1 if found.kind == SHARED else 2]}


def _kilobytes(value: Any) -> float:
    return len(json.dumps(value, separators=(",", ":"))) / 1e3


def _composition(resources: Sequence[dict[str, Any]], tenant: str) -> str:
    """The number and kinds of a tenant's resources: those named TENANT or TENANT/NAME."""
    own = [resource for resource in resources if str(resource["urn"]).rpartition("::")[2].partition("/")[0] == tenant]
    kinds = ", ".join(str(resource["type"]).rpartition(":")[2] for resource in own if resource["custom"])
    return f"{_custom(own)} and {len(own) - _custom(own)} components: {kinds}"
