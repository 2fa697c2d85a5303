"""One platform for all end-to-end tests, with the article's setup on it."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.platform import PRIVATE, PUBLIC, Platform, Stack, eventually, running_platform


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    yield from running_platform(tmp_path_factory.mktemp("e2e"))


@pytest.fixture(scope="session")
def article(platform: Platform) -> Stack:
    """Flux bootstrapped and three tenants, two of them neighbours on one private product."""
    stack = platform.stack("prod-eu")
    stack.interval = "1h"  # see fetch()
    stack.tenants({"alpha": PRIVATE, "beta": PRIVATE, "gamma": PUBLIC})
    stack.up()
    for tenant in ("alpha", "beta", "gamma"):
        eventually(lambda tenant=tenant: applied(platform, tenant))
    return stack


def fetch(platform: Platform) -> None:
    """Have Flux fetch all sources now, as `flux reconcile` does. To poll all the time takes a tenth of the machine."""
    sources = ("gitrepositories.source.toolkit.fluxcd.io", "--all", "--all-namespaces")
    platform.kubectl("annotate", "--overwrite", *sources, requested_now(), "--field-manager=flux-client")


def requested_now() -> str:
    return f"reconcile.fluxcd.io/requestedAt={time.time_ns()}"


def applied(platform: Platform, tenant: str) -> str:
    """The commit that Flux applied last for a tenant, or for flux-system; empty while it is not ready."""
    found = platform.get(f"/apis/kustomize.toolkit.fluxcd.io/v1/namespaces/{tenant}/kustomizations/{tenant}")
    status = (found or {}).get("status", {})
    ready = any(c["type"] == "Ready" and c["status"] == "True" for c in status.get("conditions", []))
    return status.get("lastAppliedRevision", "").rpartition(":")[2] if ready else ""
