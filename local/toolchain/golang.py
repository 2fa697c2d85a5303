"""Running Go so that the user's own settings for other projects do not get in the way."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from local.toolchain.errors import ToolchainError
from local.toolchain.installed import parse

OLDEST = (1, 26, 0)
INSTALL = "Install Go 1.26 or newer (https://go.dev/doc/install, or your system's packages) and run this again."


@dataclass(frozen=True)
class Go:
    """A Go that can build our modules, and where it keeps its caches."""

    program: str
    version: str
    packages: Path
    """GOCACHE"""
    modules: Path
    """GOMODCACHE"""


class GoError(Exception):
    """Go ended with an error; the message is the end of what it said."""


def find(module: Path) -> Go:
    """The Go on PATH, as it presents itself in a module's folder. Raises ToolchainError if none is good enough."""
    program = shutil.which("go")
    if program is None:
        raise ToolchainError("Go is not on PATH, and programs are lacking that only Go can build.", INSTALL)
    # In the module's folder, because Go takes the toolchain that go.mod asks for where it may download one.
    answer = subprocess.run(
        [program, "env", "GOVERSION", "GOCACHE", "GOMODCACHE"],
        cwd=module,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    if answer.returncode != 0:
        raise ToolchainError(f"{program} does not work here: {answer.stderr.strip()}", INSTALL)
    version, packages, modules = answer.stdout.splitlines()
    if (parse(version if version.count(".") > 1 else version + ".0") or OLDEST) < OLDEST:
        raise ToolchainError(f"{program} is {version}, which is too old.", INSTALL)
    return Go(program, version, Path(packages), Path(modules))


def environment(scratch: Path | None = None) -> dict[str, str]:
    """The user's environment (GOPROXY, caches and so on) without what would change the programs built."""
    kept = {name: value for name, value in os.environ.items() if name not in ("GOOS", "GOARCH", "GOEXPERIMENT")}
    # GOFLAGS must not be empty: Go would then take the one that `go env -w` recorded.
    ours = {"GOFLAGS": "-mod=readonly", "GOWORK": "off", "GO111MODULE": "on", "CGO_ENABLED": "0"}
    # A link needs hundreds of megabytes, more than some machines' /tmp has.
    return {**kept, **ours, **({"GOTMPDIR": str(scratch)} if scratch else {})}


def run(
    go: Go, arguments: Sequence[str], *, module: Path, scratch: Path, log: Path, on_line: Callable[[str], None]
) -> str:
    """Run Go in a module's folder: its output is returned; each line it says beside goes to `on_line` and `log`.

    Raises GoError. Go is ended if anything, such as Ctrl-C, interrupts.
    """
    output = scratch / "output"
    said: list[str] = []
    with (
        output.open("w") as out,
        log.open("a") as record,
        subprocess.Popen(
            [go.program, *arguments],
            cwd=module,
            env=environment(scratch),
            stdout=out,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        ) as process,
    ):
        print("go", *arguments, file=record, flush=True)
        assert process.stderr is not None
        try:
            for line in process.stderr:
                record.write(line)
                said.append(line.rstrip())
                on_line(said[-1])
        except BaseException:
            process.kill()
            raise
    if process.returncode != 0:
        raise GoError("\n".join(said[-12:]))
    return output.read_text()
