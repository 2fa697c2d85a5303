"""From `git push` to applied by all tenants, and from a restart of Flux until it has looked at all of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from model.status import KUSTOMIZATIONS
from tests.platform import CommandError, Platform, eventually

READY_SECONDS = 3600.0
TENANT = "toolkit.fluxcd.io/tenant"


def kustomizations(on: Platform) -> Mapping[str, dict[str, Any]]:
    """The tenants' Kustomizations by tenant."""
    items = (on.get(KUSTOMIZATIONS) or {"items": []})["items"]
    labelled = ((item["metadata"].get("labels", {}).get(TENANT), item) for item in items)
    return {tenant: item for tenant, item in labelled if tenant}


def revision(item: Mapping[str, Any]) -> str | None:
    """The revision that a Kustomization has applied; None while it is not ready in its current generation."""
    status = item.get("status", {})
    current = status.get("observedGeneration") == item["metadata"]["generation"]
    ready = any(one["type"] == "Ready" and one["status"] == "True" for one in status.get("conditions", []))
    return status.get("lastAppliedRevision") if current and ready else None


def ready(on: Platform, names: Sequence[str]) -> bool:
    """Whether exactly these tenants exist, and all are ready."""
    found = kustomizations(on)
    return found.keys() == {*names} and all(revision(item) for item in found.values())


def wait_until_ready(on: Platform, names: Sequence[str]) -> None:
    """Wait for it."""
    _wait(names, lambda: ready(on, names))


def _wait(names: Sequence[str], look: Callable[[], bool]) -> None:
    """Wait, and look less often at many tenants: a list of a thousand keeps the API server busy."""
    eventually(look, timeout=READY_SECONDS, every=max(0.05, len(names) / 1000))


def push(on: Platform, repository: str, names: Sequence[str], folder: Path, asked: Sequence[str] = ()) -> float:
    """Seconds from `git push` until these tenants run the commit. Flux is asked to fetch the sources `asked`."""
    clone = folder / f"product-{time.monotonic_ns()}"

    def git(*arguments: str, within: Path = clone) -> str:
        done = on.git(*arguments, folder=within)
        if done.returncode:
            raise CommandError(f"git {' '.join(arguments)}: {done.stderr}")
        return done.stdout.strip()

    git("clone", on.repository(repository), str(clone), within=folder)
    (clone / "kustomize/CHANGES.md").write_text(f"{time.time_ns()}\n")
    git("add", "--all")
    git("commit", "--message", "A change")
    commit = git("rev-parse", "HEAD")

    began = time.monotonic()
    git("push")
    if asked:
        on.kubectl("annotate", "--overwrite", *asked, f"reconcile.fluxcd.io/requestedAt={time.time_ns()}")
    wait_until_applied(on, names, commit)
    return time.monotonic() - began


def wait_until_applied(on: Platform, names: Sequence[str], commit: str) -> None:
    """Wait until these tenants run a commit."""

    def applied() -> bool:
        found = kustomizations(on)
        return all((revision(found[name]) or "").endswith(commit) for name in names)

    _wait(names, applied)


def restart(on: Platform, names: Sequence[str]) -> float:
    """Seconds from the end of all of Flux's pods until new ones have reconciled these tenants."""
    before = {name: _reconciled(item) for name, item in kustomizations(on).items()}
    began = time.monotonic()
    on.kubectl("delete", "pods", "--all", "-n", "flux-system", "--wait=false")

    def done() -> bool:
        found = kustomizations(on)
        return all(revision(found[name]) and _reconciled(found[name]) > before[name] for name in names)

    _wait(names, done)
    return time.monotonic() - began


def _reconciled(item: Mapping[str, Any]) -> int:
    """How often Flux has reconciled a Kustomization."""
    return sum(entry.get("totalReconciliations", 0) for entry in item.get("status", {}).get("history", []))
