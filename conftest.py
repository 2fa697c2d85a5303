"""Settings of all test runs: cheap garbage collection, and one worker for tests that share a platform."""

from __future__ import annotations

import gc

import pytest

PLATFORMS = ("hostile", "cluster", "platform", "isolation")
"""Fixtures that bring up a platform. With pytest-xdist, tests that use the same one run in one worker."""


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Name the group of each test for `--dist loadgroup`: its platform, else its file."""
    # The SDKs of Pulumi are a million objects that live until the end: looking through them again and again is slow.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    for item in items:
        used = getattr(item, "fixturenames", ())
        shared = next((f"{item.path.parent} {name}" for name in PLATFORMS if name in used), str(item.path))
        item.add_marker(pytest.mark.xdist_group(shared))
