"""Showing what is being built, for how long, and what is left: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Sequence
from types import TracebackType

from rich import progress as rich_progress
from rich.console import Console

from local.toolchain.catalogue import Group

QUIET = 30.0
"""Seconds between plain lines about the same group."""

LINKING = 0.1
"""The part of a group's time that goes by after its last package began to compile."""


class Progress:
    """The progress of a build of several groups, each weighing as much as its known build seconds."""

    def __init__(self, groups: Sequence[Group], console: Console) -> None:
        self._left = list(groups)
        self._console = console
        self._total = sum(group.seconds for group in groups)
        self._done = 0.0
        """Known seconds of the groups that are finished."""
        self._began = time.monotonic()
        self._group_began = self._began
        self._last_line = 0.0
        self._bar = rich_progress.Progress(
            rich_progress.TextColumn("{task.description}"),
            rich_progress.BarColumn(),
            rich_progress.TaskProgressColumn(),
            rich_progress.TimeElapsedColumn(),
            rich_progress.TextColumn("{task.fields[left]}"),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("", total=self._total or 1, left="")

    def __enter__(self) -> Progress:
        self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None):
        self._bar.stop()

    def start(self, group: Group) -> None:
        """A group's turn has come."""
        self._group_began = time.monotonic()
        programs = ", ".join(f"{program.name} {group.version(program)}" for program in group.programs)
        self._console.print(f"building {programs}", highlight=False, soft_wrap=True)
        self._say("looking for modules", 0, line=False)

    def downloading(self, count: int, module: str) -> None:
        """The group's `count`th module that is not in Go's cache is being downloaded."""
        self._say(f"downloading modules: {count} ({module})", 0)

    def compiling(self, package: int, packages: int) -> None:
        """Go began to compile the group's `package`th of `packages` that are not in its cache."""
        self._say(f"compiling package {package} of {packages}", (1 - LINKING) * min(1.0, package / (packages or 1)))

    def finish(self, group: Group) -> None:
        """The group's programs are in the cache."""
        self._left.remove(group)
        self._done += group.seconds
        took = time.monotonic() - self._group_began
        self._console.print(f"built {group.name} in {took:.0f} s{self._what_is_left()}", highlight=False)
        self._bar.update(self._task, completed=self._done, left="")

    def _say(self, what: str, part: float, *, line: bool = True) -> None:
        group = self._left[0]
        done = self._done + part * group.seconds
        after = ", ".join(other.name for other in self._left[1:])
        left = _duration(self._seconds_left(done)) + (f", then {after}" if after else "")
        self._bar.update(self._task, description=f"{group.name}: {what}", completed=done, left=left)
        now = time.monotonic()
        if line and self._bar.disable and now - max(self._last_line, self._group_began) >= QUIET:
            self._last_line = now
            took = now - self._group_began
            self._console.print(f"{group.name}: {what}, {took:.0f} s so far, {left}", highlight=False, soft_wrap=True)

    def _seconds_left(self, done: float) -> float:
        """The known seconds that are left, corrected by how fast this machine is once that can be told."""
        pace = (time.monotonic() - self._began) / done if done > 60 else 1.0
        return (self._total - done) * pace

    def _what_is_left(self) -> str:
        names = ", ".join(group.name for group in self._left)
        return f"; left: {names}, {_duration(self._seconds_left(self._done))}" if names else ""


def _duration(seconds: float) -> str:
    return f"about {seconds / 60:.0f} min left" if seconds >= 90 else f"about {max(1, seconds):.0f} s left"
