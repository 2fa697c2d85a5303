"""Programs that no package registry ships, built from pinned Go modules into a cache that all checkouts share.

`ensure()` answers with a path for each program: the one on PATH if its version is good, else the one in the
cache, else one that it builds. Nothing is started, Go least of all, when everything is already there.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from local.toolchain import cache, installed
from local.toolchain.catalogue import ALL, GROUPS, PLATFORM, Group, versions
from local.toolchain.errors import ToolchainError

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["ALL", "PLATFORM", "ToolchainError", "ensure", "missing", "versions"]


def ensure(names: Iterable[str] = ALL, *, console: Console | None = None) -> dict[str, Path]:
    """Program name -> executable, for each of `names`; builds what is neither on PATH nor in the cache.

    A cold build of everything takes about a quarter of an hour on two cores; `console` (standard error if
    none is given) then shows what is being built and what is left. An interrupted build carries on where it
    was: groups that are complete stay, and Go remembers the packages that it has compiled.

    Raises ToolchainError, which says what to do, if a program cannot be built; ValueError for an unknown name.
    """
    wanted = _known(names)
    if lacking := missing(wanted):
        # Imported only here: showing progress and locking cost more than finding programs does.
        from local.toolchain import build

        build.build(lacking, console)
    found = {name: path for group in GROUPS for name, path in _find(group, wanted).items() if path is not None}
    return {name: found[name] for name in wanted}


def missing(names: Iterable[str] = ALL) -> list[Group]:
    """The groups of programs that `ensure(names)` would build."""
    wanted = _known(names)
    return [group for group in GROUPS if None in _find(group, wanted).values()]


def _known(names: Iterable[str]) -> list[str]:
    wanted = list(names)
    if unknown := sorted(set(wanted) - set(ALL)):
        raise ValueError(f"unknown programs: {', '.join(unknown)}; known are {', '.join(ALL)}")
    return wanted


def _find(group: Group, wanted: Iterable[str]) -> dict[str, Path | None]:
    return {
        program.name: installed.find(group, program) or cache.find(group, program)
        for program in group.programs
        if program.name in wanted
    }
