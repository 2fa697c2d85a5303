"""How the platform and its tenants are: what `make up` ends with and `make status` shows at any time."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from local import agent, controlplane, processes
from local.home import Home
from local.kubeapi import Api, ApiError
from model.config.names import FLUX_NAMESPACE
from model.kubernetes.manifests import TENANT_LABEL

SOURCES = "/apis/source.toolkit.fluxcd.io/v1/gitrepositories"
KUSTOMIZATIONS = "/apis/kustomize.toolkit.fluxcd.io/v1/kustomizations"


@dataclass(frozen=True)
class Reconciled:
    """What Flux says of one source and what it applies: a tenant, or the infra repository."""

    name: str
    ready: bool
    revision: str
    """What was applied last: branch@sha1:commit, shortened; empty before the first time."""
    objects: int
    reason: str
    """Why it is not ready; empty where it is."""


def reconciled(api: Api) -> list[Reconciled]:
    """The infra repository's sync first, then every tenant by name. Empty where Flux is not installed."""
    sources = _by_namespace(api.get(SOURCES))
    kustomizations = _by_namespace(api.get(KUSTOMIZATIONS))
    found = api.get(f"/api/v1/namespaces?labelSelector={TENANT_LABEL}") or {"items": []}
    tenants = sorted(item["metadata"]["name"] for item in found["items"])
    names = [FLUX_NAMESPACE, *tenants] if FLUX_NAMESPACE in kustomizations else tenants
    return [_one(name, sources.get(name), kustomizations.get(name)) for name in names]


class Watch:
    """Notes when each tenant is first seen ready, beside an update: some are while others are still being made."""

    def __init__(self, api: Api) -> None:
        """Begin to look."""
        self._api = api
        self._seen: dict[str, float] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def finish(self, timeout: float) -> dict[str, float]:
        """Once all are ready, or `timeout` seconds have passed: when (monotonic clock) each was first seen so."""
        deadline = time.monotonic() + timeout
        rows = reconciled(self._api)
        while not all(row.ready for row in rows) and time.monotonic() < deadline:
            time.sleep(0.25)
            rows = reconciled(self._api)
        self._ended.set()
        self._thread.join()
        self._note(rows)
        return self._seen

    def _look(self) -> None:
        while not self._ended.wait(0.25):
            # A kind that was defined a moment ago is not served yet: look again. `finish` reports what stays wrong.
            with contextlib.suppress(ApiError):
                self._note(reconciled(self._api))

    def _note(self, rows: list[Reconciled]) -> None:
        for row in rows:
            if row.ready:
                self._seen.setdefault(row.name, time.monotonic())


def remember(home: Home, seconds: Mapping[str, float]) -> None:
    """Keep how long each tenant took from `pulumi up` to ready; what was ready before keeps its number."""
    processes.write_atomically(_record(home), json.dumps({**remembered(home), **seconds}, indent=1, sort_keys=True))


def remembered(home: Home) -> dict[str, float]:
    """Seconds from `pulumi up` to ready, by name."""
    return json.loads(_record(home).read_text()) if _record(home).exists() else {}


def show(home: Home, console: Console) -> bool:
    """Print how things are and why something is not ready. Returns whether all is."""
    running = processes.running(home)
    lacking = [name for name in (*controlplane.COMPONENTS, "gitserver", "agent") if name not in running]
    if lacking:
        console.print(f"Not running: {', '.join(lacking)}. Start the platform with `make up`.")
        return False
    rows = reconciled(controlplane.administrator(home))
    if not rows:
        console.print("The platform runs, but Flux is not installed on it. Bootstrap it with `make up`.")
        return False
    console.print(table(rows, remembered(home)))
    for row in rows:
        if not row.ready:
            console.print(f"[yellow]{row.name}[/]: {row.reason}", highlight=False)
    controllers = agent.programs(home)
    console.print(f"Flux on this machine: {', '.join(sorted(controllers)) or 'nothing runs'}.", highlight=False)
    return all(row.ready for row in rows)


def table(rows: list[Reconciled], seconds: Mapping[str, float]) -> Table:
    """One line each: ready, revision, objects applied, seconds from `pulumi up` to ready."""
    drawn = Table()
    drawn.add_column("tenant")
    drawn.add_column("ready")
    drawn.add_column("revision")
    drawn.add_column("objects", justify="right")
    drawn.add_column("seconds", justify="right")
    for row in rows:
        name = f"{row.name} (infra)" if row.name == FLUX_NAMESPACE else row.name
        took = f"{seconds[row.name]:.1f}" if row.name in seconds else ""
        drawn.add_row(name, "[green]yes[/]" if row.ready else "[red]no[/]", row.revision, str(row.objects), took)
    return drawn


def _record(home: Home) -> Any:
    return home.path / "seconds-to-ready.json"


def _by_namespace(answer: dict[str, Any] | None) -> dict[str, dict[str, Any]]:
    """Objects that are called as their namespace: ours, not what a tenant may have added."""
    items = (answer or {"items": []})["items"]
    named = (
        (item["metadata"]["namespace"], item)
        for item in items
        if item["metadata"]["name"] == item["metadata"]["namespace"]
    )
    return dict(named)


def _one(name: str, source: dict[str, Any] | None, kustomization: dict[str, Any] | None) -> Reconciled:
    for kind, found in (("GitRepository", source), ("Kustomization", kustomization)):
        if found is None:
            return Reconciled(name, False, "", 0, f"its {kind} is missing: run `make up`")
    assert source is not None
    assert kustomization is not None
    status = kustomization.get("status", {})
    reasons = [reason for reason in (_why_not_ready(source), _why_not_ready(kustomization)) if reason]
    revision = str(status.get("lastAppliedRevision", ""))
    branch, _, commit = revision.partition("@sha1:")
    objects = len(status.get("inventory", {}).get("entries", []))
    return Reconciled(name, not reasons, f"{branch}@{commit[:8]}" if commit else revision, objects, "; ".join(reasons))


def _why_not_ready(reconciled: dict[str, Any]) -> str:
    if reconciled["spec"].get("suspend"):
        return f"its {reconciled['kind']} is suspended"
    status = reconciled.get("status", {})
    condition = next((c for c in status.get("conditions", []) if c["type"] == "Ready"), None)
    if condition is None or status.get("observedGeneration", 0) < reconciled["metadata"]["generation"]:
        return f"Flux has not looked at its {reconciled['kind']} yet"
    if condition["status"] == "True":
        return ""
    return f"{reconciled['kind']}: {condition['message']}"
