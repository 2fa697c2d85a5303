"""Tenants are added while the API server, source-controller and the Git server are killed at random."""

from __future__ import annotations

import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import psutil
from rich.console import Console

from bench import delivery, workload
from bench.fleet import Fleet
from bench.workload import SHARED
from local import agent, platform, processes
from tests.platform import Platform, deploy_keys, eventually

PAUSE = (5.0, 20.0)
"""Seconds between two kills."""
VICTIMS = ("kube-apiserver", "source-controller", "gitserver")


@dataclass(frozen=True)
class Survived:
    """What the kills cost."""

    tenants: int
    kills: dict[str, int]
    updates: int
    """Runs of `pulumi up` until the last kill was over and one had succeeded."""
    seconds: float
    """Until all tenants were ready."""


def measure(on: Platform, count: int, kills: int, seed: int, say: Callable[[str], None]) -> Survived:
    """Add tenants during random kills, then check every object. Raises AssertionError if one is lost or made twice."""
    names = workload.names(count)
    fleet = Fleet(on, SHARED, count)
    fleet.update([])
    fleet.write(names)
    began, updates = time.monotonic(), 0
    with Killer(on, kills, random.Random(seed), say) as killer:
        for stack in fleet.stacks:
            succeeded = False
            # After the last kill once more, so that every kill lies before the end of an update.
            while not succeeded or (stack is fleet.stacks[-1] and killer.busy):
                updates += 1
                say(f"`pulumi up` number {updates}, of the stack {stack.name}")
                succeeded = stack.run("up", "--yes", "--skip-preview", check=False).returncode == 0
    delivery.wait_until_ready(on, names)
    took = time.monotonic() - began
    fleet.preview()
    _nothing_lost_or_twice(on, fleet, names)
    return Survived(count, dict(killer.killed), updates, took)


class Killer:
    """Kills in the background from `with` to its end."""

    def __init__(self, on: Platform, kills: int, chance: random.Random, say: Callable[[str], None]) -> None:
        self.killed: Counter[str] = Counter()
        self._on, self._kills, self._chance, self._say = on, kills, chance, say
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._error: Exception | None = None

    def __enter__(self) -> Killer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join()
        if self._error:
            raise self._error

    @property
    def busy(self) -> bool:
        """Whether more kills follow."""
        return self._thread.is_alive()

    def _run(self) -> None:
        try:
            while self.killed.total() < self._kills:
                time.sleep(self._chance.uniform(*PAUSE))
                self._kill(self._chance.choice(VICTIMS))
        except Exception as error:
            self._error = error

    def _kill(self, name: str) -> None:
        victim = psutil.Process(eventually(lambda: self._process(name)))
        victim.kill()
        victim.wait(10)
        self.killed[name] += 1
        self._say(f"killed {name} ({self.killed.total()} of {self._kills})")
        # As systemd or a kubelet would; the agent starts Flux's controllers by itself.
        platform.start(self._on.home, Console(quiet=True))

    def _process(self, name: str) -> int | None:
        pods = {pod.rsplit("-", 2)[0]: pid for pod, pid in agent.programs(self._on.home).items()}
        return (pods | processes.running(self._on.home)).get(name)


def _nothing_lost_or_twice(on: Platform, fleet: Fleet, names: Sequence[str]) -> None:
    """The states and the API server have the same objects of this program, and each tenant has as many."""
    items = [item for stack in fleet.resources() for item in stack if item["type"].startswith("kubernetes:")]
    recorded = {
        item["outputs"]["metadata"]["uid"]: str(item["urn"]).rpartition("::")[2]
        for item in items
        if item.get("outputs", {}).get("metadata")
    }
    kinds = {(item["outputs"]["apiVersion"], item["outputs"]["kind"]) for item in items if "kind" in item["outputs"]}
    existing = {uid: name for kind in kinds for uid, name in _made_by_pulumi(on, *kind)}
    assert recorded.keys() - existing.keys() == set(), "recorded in the state, and lost in the cluster"
    unknown = {uid: name for uid, name in existing.items() if uid not in recorded}
    assert not unknown, f"in the cluster, and unknown to the state: {unknown}"
    per_tenant = Counter(name.partition("/")[0] for name in recorded.values())
    assert len({per_tenant[name] for name in names}) == 1, per_tenant
    assert len(deploy_keys(on, "shop")) == 1


def _made_by_pulumi(on: Platform, version: str, kind: str) -> Iterator[tuple[str, str]]:
    """UID and name of each object of a kind that the provider applied."""
    group, _, short = version.rpartition("/")
    resource = f"{kind}.{short}.{group}" if group else kind
    found = on.kubectl("get", resource, "--all-namespaces", "--show-managed-fields", "-o", "json")
    for item in json.loads(found)["items"]:
        metadata = item["metadata"]
        if any(entry["manager"].startswith("pulumi-kubernetes") for entry in metadata.get("managedFields", [])):
            yield metadata["uid"], f"{kind} {metadata.get('namespace', '')}/{metadata['name']}"
