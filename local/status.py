"""The state of the platform and its tenants, as `make status` and the end of `make up` show it."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from local import agent, controlplane, files, processes
from local.home import Home
from local.kubeapi import Api, ApiError
from model.status import COLUMNS, Reconciliation, Workloads, cells, reconciliations, workloads


class Watch:
    """Notes when each tenant is first ready, in the background of an update: some are before the update ends."""

    def __init__(self, api: Api) -> None:
        """Start watching."""
        self._api = api
        self._ready_at: dict[str, float] = {}
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._poll, daemon=True)
        self._thread.start()

    def finish(self, timeout: float) -> dict[str, float]:
        """Wait until all are ready, for at most `timeout` seconds. Returns each tenant's time (monotonic clock)."""
        deadline = time.monotonic() + timeout
        rows = reconciliations(self._api)
        while not all(row.ready for row in rows) and time.monotonic() < deadline:
            time.sleep(0.25)
            rows = reconciliations(self._api)
        self._stopped.set()
        self._thread.join()
        self._note(rows)
        return self._ready_at

    def _poll(self) -> None:
        while not self._stopped.wait(0.25):
            # A kind that was defined a moment ago is not served yet. `finish` reports errors that stay.
            with contextlib.suppress(ApiError):
                self._note(reconciliations(self._api))

    def _note(self, rows: Sequence[Reconciliation]) -> None:
        for row in rows:
            if row.ready:
                self._ready_at.setdefault(row.name, time.monotonic())


def wait_for_workloads(api: Api, timeout: float) -> None:
    """Wait until no replica is missing, for at most `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not all(found.complete for found in workloads(api).values()) and time.monotonic() < deadline:
        time.sleep(0.25)


def remember(home: Home, seconds: Mapping[str, float]) -> None:
    """Save how long these tenants took from `pulumi up` to ready; the others' numbers stay."""
    files.write_atomically(_record(home), json.dumps({**remembered(home), **seconds}, indent=1, sort_keys=True))


def remembered(home: Home) -> dict[str, float]:
    """Seconds from `pulumi up` to ready, by name."""
    return json.loads(_record(home).read_text()) if _record(home).exists() else {}


def show(home: Home, console: Console) -> bool:
    """Print the state of the platform and its tenants. Returns whether everything is ready."""
    running = processes.running(home)
    missing = [name for name in (*controlplane.COMPONENTS, "gitserver", "registry", "agent") if name not in running]
    if missing:
        console.print(f"Not running: {', '.join(missing)}. Start the platform with `make up`.")
        return False
    api = controlplane.administrator(home)
    rows, pods = reconciliations(api), workloads(api)
    if not rows:
        console.print("The platform runs, but Flux is not installed. Install it with `make up`.")
        return False
    console.print(table(rows, pods, remembered(home)))
    for row in rows:
        if reason := row.reason or pods[row.name].reason:
            console.print(f"[yellow]{row.name}[/]: {reason}", highlight=False)
    controllers = agent.programs(home)
    console.print(f"Flux on this machine: {', '.join(sorted(controllers)) or 'nothing runs'}.", highlight=False)
    return all(row.ready and pods[row.name].complete for row in rows)


def table(rows: Sequence[Reconciliation], pods: Mapping[str, Workloads], seconds: Mapping[str, float]) -> Table:
    """A row for each tenant: its product, the applied revision, its images, and the running replicas."""
    drawn = Table(*COLUMNS, "seconds")
    for column in drawn.columns[6:]:
        column.justify = "right"
    for row in rows:
        found = pods[row.name]
        *first, ready, revision, image, replicas = cells(row, found)
        drawn.add_row(
            *first,
            f"[green]{ready}[/]" if row.ready else f"[red]{ready}[/]",
            revision,
            image,
            replicas if found.complete else f"[red]{replicas}[/]",
            f"{seconds[row.name]:.1f}" if row.name in seconds else "",
        )
    return drawn


def _record(home: Home) -> Path:
    return home.path / "seconds-to-ready.json"
