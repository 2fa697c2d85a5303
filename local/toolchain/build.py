"""Building the groups of programs that are lacking."""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout
from rich.console import Console

from local.toolchain import cache, golang
from local.toolchain.catalogue import Group
from local.toolchain.errors import ToolchainError
from local.toolchain.golang import Go, GoError
from local.toolchain.progress import Progress

PARTIAL = "partial-"


def build(groups: Sequence[Group], console: Console | None = None) -> None:
    """Build groups into the cache, one after the other: each uses all cores by itself.

    Raises ToolchainError.
    """
    console = console or Console(stderr=True)
    go = golang.find(groups[0].folder)
    root = cache.root()
    root.mkdir(parents=True, exist_ok=True)
    with _lock(root, console):
        # Another checkout may have built them while we waited.
        lacking = [group for group in groups if not cache.folder(group).is_dir()]
        for left_over in root.glob(f"{PARTIAL}*"):
            shutil.rmtree(left_over)
        check_space(lacking, go)
        with Progress(lacking, console) as progress:
            for group in lacking:
                progress.start(group)
                _build(group, go, progress)
                progress.finish(group)


def check_space(groups: Sequence[Group], go: Go) -> None:
    """Raise ToolchainError unless each folder that a build writes to has room for it."""
    needed = sum(group.gigabytes for group in groups)
    for setting, folder in (("XDG_CACHE_HOME", cache.root()), ("GOCACHE", go.packages), ("GOMODCACHE", go.modules)):
        existing = next(place for place in (folder, *folder.parents) if place.exists())
        free = shutil.disk_usage(existing).free / 1e9
        if free < needed:
            raise ToolchainError(
                f"{folder} has {free:.1f} GB free; building {', '.join(group.name for group in groups)} "
                f"may need {needed:.1f} GB.",
                f"Free some space (`go clean -cache` empties Go's), or set {setting} to a folder on a larger disk.",
            )


def _lock(root: Path, console: Console) -> AbstractContextManager[object]:
    lock = FileLock(root / "lock")
    try:
        return lock.acquire(timeout=0)
    except Timeout:
        console.print(f"another process is building into {root}: waiting for it", soft_wrap=True)
        return lock.acquire()


def _build(group: Group, go: Go, progress: Progress) -> None:
    began = time.monotonic()
    log = cache.root() / "logs" / f"{group.key}.log"
    log.parent.mkdir(exist_ok=True)
    log.write_text("")
    partial = Path(tempfile.mkdtemp(prefix=PARTIAL, dir=cache.root()))
    scratch, result = partial / "scratch", partial / "result"
    programs = result / "bin"
    scratch.mkdir()
    programs.mkdir(parents=True)

    stale = _download(group, go, progress, scratch=scratch, log=log)
    _compile(group, go, progress, stale, programs, scratch=scratch, log=log)

    record = {
        "go": go.version,
        "seconds": round(time.monotonic() - began, 1),
        "built": datetime.now(UTC).isoformat(timespec="seconds"),
        "programs": {program.name: group.version(program) for program in group.programs},
    }
    (result / cache.RECORD).write_text(json.dumps(record, indent=1) + "\n")
    result.rename(cache.folder(group))
    shutil.rmtree(partial)


def _download(group: Group, go: Go, progress: Progress, *, scratch: Path, log: Path) -> int:
    """Fetch the modules that the group's packages are in; the number of packages that are not compiled yet.

    `go mod download` would fetch all modules of the graph, four times as many, some of which can't be had.
    """
    modules = 0

    def on_line(line: str) -> None:
        nonlocal modules
        if found := re.match(r"go: downloading (\S+)", line):
            modules += 1
            progress.downloading(modules, found[1])

    packages = [program.package for program in group.programs]
    arguments = ["list", *group.flags, "-deps", "-f", "{{if .Stale}}{{.ImportPath}}{{end}}", *packages]
    try:
        stale = golang.run(go, arguments, module=group.folder, scratch=scratch, log=log, on_line=on_line)
    except GoError as failed:
        raise ToolchainError(
            f"The Go modules of {group.name} can't be downloaded:\n{failed}",
            "Check the network and Go's settings (`go env GOPROXY GONOSUMDB GOFLAGS`), then run this again: "
            f"what was downloaded stays. Full log: {log}",
        ) from failed
    return len(stale.split())


def _compile(group: Group, go: Go, progress: Progress, stale: int, programs: Path, *, scratch: Path, log: Path) -> None:
    compiled = 0

    def on_line(line: str) -> None:
        nonlocal compiled
        # With -v Go names each package when it begins to compile it; anything else starts with # or has blanks.
        if re.fullmatch(r"[\w.\-~/]+", line):
            compiled += 1
            progress.compiling(compiled, stale)

    # A single program's name is ours to choose: Go would call etcd `server`, after its package.
    names = [program.name for program in group.programs]
    target = str(programs / names[0]) if len(names) == 1 else f"{programs}/"
    packages = [program.package for program in group.programs]
    try:
        arguments = ["build", "-v", *group.flags, "-o", target, *packages]
        golang.run(go, arguments, module=group.folder, scratch=scratch, log=log, on_line=on_line)
    except GoError as failed:
        raise ToolchainError(
            f"{group.name} does not build with {go.version}:\n{failed}",
            f"Full log: {log}. If the disk or memory ran out, make room and run this again: it carries on.",
        ) from failed
    if absent := [name for name in names if not os.access(programs / name, os.X_OK)]:
        raise ToolchainError(f"Go built {group.name} without {', '.join(absent)}.", f"Full log: {log}")
