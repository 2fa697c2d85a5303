"""From `git push` to applied by all tenants, and from a restart of Flux until it has looked at all of them."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from model.status import KUSTOMIZATIONS
from tests.platform import CommandError, Platform

READY_SECONDS = 3600
TENANT = "toolkit.fluxcd.io/tenant"


def revision(item: Mapping[str, Any]) -> str | None:
    """The revision that a Kustomization has applied; None while it is not ready in its current generation."""
    status = item.get("status", {})
    current = status.get("observedGeneration") == item["metadata"]["generation"]
    ready = any(one["type"] == "Ready" and one["status"] == "True" for one in status.get("conditions", []))
    return status.get("lastAppliedRevision") if current and ready else None


def wait_until_ready(on: Platform, names: Sequence[str]) -> None:
    """Wait until all these tenants are ready."""
    _wait(on, names, lambda item: bool(revision(item)))


def _wait(on: Platform, names: Sequence[str], reached: Callable[[Mapping[str, Any]], bool]) -> None:
    """Wait for the Kustomizations of these tenants. A watch: repeated lists of many would keep the API server busy."""
    missing = {*names}
    query = f"{KUSTOMIZATIONS}?watch=true&labelSelector={TENANT}&timeoutSeconds={READY_SECONDS}"
    with subprocess.Popen(on.kubectl_command("get", "--raw", query), stdout=subprocess.PIPE, text=True) as watch:
        assert watch.stdout
        try:
            for line in watch.stdout:
                event = json.loads(line)
                tenant = event["object"]["metadata"]["labels"][TENANT]
                if event["type"] == "DELETED" or not reached(event["object"]):
                    missing |= {tenant} & {*names}
                else:
                    missing.discard(tenant)
                if not missing:
                    return
        finally:
            watch.kill()
    raise CommandError(f"not within {READY_SECONDS} s, or the watch ended: {', '.join(sorted(missing))}")


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
    _wait(on, names, lambda item: (revision(item) or "").endswith(commit))


def restart(on: Platform, names: Sequence[str]) -> float:
    """Seconds from the end of all of Flux's pods until new ones have reconciled these tenants."""
    before = {item["metadata"]["uid"]: _reconciled(item) for item in (on.get(KUSTOMIZATIONS) or {})["items"]}
    began = time.monotonic()
    on.kubectl("delete", "pods", "--all", "-n", "flux-system", "--wait=false")
    _wait(on, names, lambda item: bool(revision(item)) and _reconciled(item) > before[item["metadata"]["uid"]])
    return time.monotonic() - began


def _reconciled(item: Mapping[str, Any]) -> int:
    """How often Flux has reconciled a Kustomization."""
    return sum(entry.get("totalReconciliations", 0) for entry in item.get("status", {}).get("history", []))
