"""Settings of unit tests: property tests without a deadline, commands that are built once."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import pytest
import typer.main
from hypothesis import settings

# How long an example takes depends on what else the machine does.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")


@pytest.fixture(autouse=True, scope="session")
def commands_built_once() -> Iterator[None]:
    """Typer reads the signatures of all commands at each call of `./saas`, which takes three quarters of its time."""
    with pytest.MonkeyPatch.context() as patch:
        built = functools.cache(typer.main.get_command)
        patch.setattr("typer.main.get_command", built)
        patch.setattr("typer.testing._get_command", built)
        yield
