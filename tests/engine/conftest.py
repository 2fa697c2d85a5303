"""One platform for all engine tests."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.platform import PRIVATE, PUBLIC, Platform, Stack, Step, running_platform

CONFIGURATION: dict[str, Any] = {
    "fluxManifest": ".local/flux-install.yaml",
    "kubeconfig": ".local/kubeconfig",
    "fluxLockdown": True,
    "webhooks": {},
}
"""The first one, of the keys that tests change."""


@dataclass(frozen=True)
class BroughtUp:
    """A stack that was created by its first update, and the steps of that update."""

    stack: Stack
    first_preview: list[Step]
    first_up: list[Step]


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    yield from running_platform(tmp_path_factory.mktemp("engine"))


@pytest.fixture(scope="session")
def brought_up(platform: Platform) -> BroughtUp:
    """A stack with two tenants. It ends with the platform; tests/e2e destroys one."""
    stack = platform.stack("engine")
    stack.interval = "1h"  # these tests do not need Flux to poll, which would slow down the engine
    stack.tenants({"alpha": PRIVATE, "beta": PUBLIC})
    return BroughtUp(stack, first_preview=stack.preview(), first_up=stack.up())


@pytest.fixture
def reused(brought_up: BroughtUp) -> Stack:
    """The same stack with its first configuration, for tests that begin with an update of any tenants."""
    stack = brought_up.stack
    stack.tenants({"alpha": PRIVATE, "beta": PUBLIC})
    stack.configure(**CONFIGURATION)
    return stack


@pytest.fixture
def stack(reused: Stack) -> Stack:
    """The same stack, updated to its two tenants and its first configuration."""
    if reused.changed:
        reused.up()
    return reused
