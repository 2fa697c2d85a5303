"""From `git push` to applied by all tenants: of a shared product by its webhook, and by polling."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from local import status
from tests.platform import SHOP, CommandError, Platform, Stack, eventually

READY_SECONDS = 1800.0
REPOSITORY = "acme/shop"
WEBHOOKS = {"by": "none", "host": "flux.acme.example"}


def measure(on: Platform, count: int, folder: Path) -> dict[str, float]:
    """Seconds of a product that this number of tenants shares. Leaves the platform unchanged."""
    stack = on.stack(f"bench-shared-{count}", webhooks=WEBHOOKS)
    names = [f"tenant-{number:04}" for number in range(count)]
    found = {"shared product: first up": _update(stack, names, {})}
    eventually(lambda: _ready(on, names), timeout=READY_SECONDS)
    found["shared product: git push to applied by all, webhook"] = push(on, REPOSITORY, names, folder)
    stack.configure(webhooks={})
    _update(stack, names, {"interval": "1m"})
    found["shared product: git push to applied by all, polled every minute"] = push(on, REPOSITORY, names, folder)
    stack.run("destroy", "--yes", "--skip-preview")
    return found


def _update(stack: Stack, names: Sequence[str], product: dict[str, Any]) -> float:
    stack.interval = "10m0s"
    tenants: dict[str, dict[str, Any] | str] = dict.fromkeys(names, "shop")
    stack.tenants(tenants, products={"shop": {"source": SHOP, **product}})
    began = time.monotonic()
    stack.run("up", "--yes", "--skip-preview")
    return time.monotonic() - began


def _ready(on: Platform, names: Sequence[str]) -> bool:
    return {row.name for row in status.reconciliations(on.api) if row.ready} >= set(names)


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
    commit = git("rev-parse", "HEAD")[:8]

    def applied() -> bool:
        rows = status.reconciliations(on.api)
        return {row.name for row in rows if row.ready and row.revision.endswith(commit)} >= set(names)

    began = time.monotonic()
    git("push")
    if asked:
        on.kubectl("annotate", "--overwrite", *asked, f"reconcile.fluxcd.io/requestedAt={time.time_ns()}")
    eventually(applied, timeout=READY_SECONDS, every=0.05)
    return time.monotonic() - began
