"""The two clusters of the isolation tests, each started once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.isolation import control_plane, flux_platform
from tests.isolation.commit_trial import Commits
from tests.isolation.control_plane import Cluster
from tests.isolation.flux_platform import HostilePlatform


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A control plane without Flux' controllers."""
    with control_plane.running(tmp_path_factory.mktemp("isolation") / "home") as found:
        yield found


@pytest.fixture(scope="session")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostilePlatform]:
    """The platform with Flux and all tenants ready."""
    with flux_platform.running(tmp_path_factory.mktemp("hostile")) as found:
        yield found


@pytest.fixture(scope="session")
def hostile_commits(hostile: HostilePlatform) -> Commits:
    """The way to carry out attacks by commits there."""
    return Commits(hostile)
