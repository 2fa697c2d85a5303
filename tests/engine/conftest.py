"""One platform for all engine tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.platform import PRIVATE, PUBLIC, Platform, Stack, running_platform


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    yield from running_platform(tmp_path_factory.mktemp("engine"))


@pytest.fixture(scope="session")
def up_stack(platform: Platform) -> Iterator[Stack]:
    """A stack that was brought up from nothing, with two tenants."""
    stack = platform.stack("engine")
    stack.interval = "1h"  # what Flux does is not looked at, and would slow down the engine
    stack.tenants({"alpha": PRIVATE, "beta": PUBLIC})
    stack.first_preview = stack.preview()  # type: ignore[attr-defined]
    stack.first_up = stack.up()  # type: ignore[attr-defined]
    yield stack
    stack.destroy()


@pytest.fixture
def stack(up_stack: Stack) -> Stack:
    """The same stack, brought back to its two tenants and its first configuration."""
    up_stack.tenants({"alpha": PRIVATE, "beta": PUBLIC})
    up_stack.configure(fluxManifest=".local/flux-install.yaml", kubeconfig=".local/kubeconfig", fluxLockdown=True)
    if up_stack.changed:
        up_stack.up()
    return up_stack
