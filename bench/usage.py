"""Memory and CPU of every process of the platform and of Pulumi, over time."""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from local import processes
from local.agent import programs
from local.home import Home

PERIOD = 1.0
PROGRAM = re.compile(r"run_module\('standins\.python|/run_program\.py\b|pulumi-language-python")
"""The Python program and its language host, in their command lines."""
FORKED = "program and stand-ins"
"""What the fork server started: their command lines are its own."""


@dataclass
class Usage:
    """Samples by process, each of seconds since the start, megabytes and CPU cores; and when each step began."""

    samples: dict[str, list[tuple[float, float, float]]] = field(
        default_factory=dict[str, list[tuple[float, float, float]]]
    )
    steps: list[tuple[float, str]] = field(default_factory=list[tuple[float, str]])


class Sampler:
    """Samples in the background from `with` to its end."""

    def __init__(self, home: Home) -> None:
        self.usage = Usage()
        self._home = home
        self._began, self._created = time.monotonic(), time.time()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._spent: dict[psutil.Process, float] = {}
        """CPU seconds of each process until the last sample."""
        self._last = self._began

    def __enter__(self) -> Sampler:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def step(self, name: str) -> None:
        """Note that a step begins."""
        self.usage.steps.append((time.monotonic() - self._began, name))

    def _run(self) -> None:
        while not self._ended.wait(PERIOD):
            self._sample()

    def _sample(self) -> None:
        now = time.monotonic()
        found: dict[str, tuple[float, float]] = {}
        spent: dict[psutil.Process, float] = {}
        for name, process in self._processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                spent[process] = times.user + times.system
                # One that ran before the measurement has spent what it has spent.
                earlier = 0.0 if process.create_time() > self._created else spent[process]
                cores = (spent[process] - self._spent.get(process, earlier)) / (now - self._last)
                memory, cpu = found.get(name, (0.0, 0.0))
                found[name] = memory + process.memory_info().rss / 1e6, cpu + cores
        for name, (memory, cpu) in found.items():
            self.usage.samples.setdefault(name, []).append((now - self._began, memory, cpu))
        self._spent, self._last = spent, now

    def _processes(self) -> list[tuple[str, psutil.Process]]:
        # Flux's controllers without their pods' suffix.
        flux = {pid: pod.rsplit("-", 2)[0] for pod, pid in programs(self._home).items()}
        known = {pid: name for name, pid in processes.running(self._home).items()} | flux
        found: list[tuple[str, psutil.Process]] = []
        for pid, name in known.items():
            with contextlib.suppress(psutil.NoSuchProcess):
                process = psutil.Process(pid)
                found.append((name, process))
                if name == "fork-server":
                    found += [(FORKED, child) for child in process.children()]
        for child in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                if child.pid not in known and (name := of_pulumi(child.cmdline())):
                    found.append((name, child))
        return found


def of_pulumi(command: list[str]) -> str | None:
    """The name of one of Pulumi's processes: the engine, a provider, or the program with its language host."""
    name = Path(command[0]).name if command else ""
    if name == "pulumi" or name.startswith("pulumi-resource-"):
        return name
    words = " ".join(command[:4])
    if PROGRAM.search(words):
        return "program"
    stand_in = re.search(r"run_module\('standins\.(\w+)'", words)
    return f"pulumi-resource-{stand_in[1]}" if stand_in else None


def peaks(usage: Usage) -> dict[str, float]:
    """The most megabytes of each process."""
    return {name: max(memory for _, memory, _ in samples) for name, samples in usage.samples.items()}


def spent(usage: Mapping[str, Any], step: str) -> dict[str, float]:
    """CPU seconds of each process in a step, from its samples."""
    ends = [at for at, _ in usage["steps"][1:]] + [float("inf")]
    spans = [(at, end) for (at, name), end in zip(usage["steps"], ends, strict=True) if name == step]
    if not spans:
        return {}
    began, ended = spans[0]
    found: dict[str, float] = {}
    for name, samples in usage["samples"].items():
        last = began
        for at, _, cores in samples:
            if began < at <= ended:
                found[name] = found.get(name, 0.0) + cores * (at - last)
                last = at
    return found
