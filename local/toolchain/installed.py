"""Programs that the user has already: used instead of building them, if their version is good."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from local.home import PROJECT, Home
from local.toolchain import cache
from local.toolchain.catalogue import Group, Program, Version


def find(group: Group, program: Program) -> Path | None:
    """The first program of this name on PATH, if its version will do. None for what we built ourselves."""
    if group.installed is None or (path := _on_path(program.name)) is None:
        return None
    version = _version(path, group.installed.arguments)
    wanted = parse(group.version(program))
    return path if version and wanted and group.installed.accepts(version, wanted) else None


def parse(text: str) -> Version | None:
    """The first MAJOR.MINOR.PATCH of a text; a pre-release counts as its release."""
    match = re.search(r"(?<![\d.])(\d+)\.(\d+)\.(\d+)", text)
    return (int(match[1]), int(match[2]), int(match[3])) if match else None


def _on_path(name: str) -> Path | None:
    # An activated checkout or platform has links to our own builds on PATH. They would outlive the cache they
    # point to, and would make the answer depend on whether a shell is activated.
    ours = (PROJECT, Home.default().path, cache.root())
    for entry in os.environ.get("PATH", os.defpath).split(os.pathsep):
        program = shutil.which(name, path=entry) if os.path.isabs(entry) else None
        if program and not any(
            Path(place).is_relative_to(folder) for place in (program, os.path.realpath(program)) for folder in ours
        ):
            return Path(program)
    return None


def _version(program: Path, arguments: tuple[str, ...]) -> Version | None:
    """What the program says its version is; asked once per file, since starting a large program takes its time."""
    stat = os.stat(program)
    stamp = f"{os.path.realpath(program)} {stat.st_mtime_ns} {stat.st_size}"
    record = cache.root() / "installed.json"
    remembered: dict[str, str] = json.loads(record.read_text()) if record.exists() else {}
    if stamp not in remembered:
        answer = _ask(program, arguments)
        if answer is None:
            return None
        remembered[stamp] = answer
        record.parent.mkdir(parents=True, exist_ok=True)
        # Two at once may each forget what the other learned, which costs one more question, no more.
        partial = record.with_suffix(f".{os.getpid()}.partial")
        partial.write_text(json.dumps(remembered, indent=1))
        partial.replace(record)
    return parse(remembered[stamp])


def _ask(program: Path, arguments: tuple[str, ...]) -> str | None:
    environment = {**os.environ, "PULUMI_SKIP_UPDATE_CHECK": "true"}
    try:
        answer = subprocess.run(
            [program, *arguments], env=environment, capture_output=True, text=True, timeout=30, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as problem:
        print(f"{program} is on PATH but does not tell its version ({problem}): not used", file=sys.stderr)
        return None
    return answer.stdout + answer.stderr if answer.returncode == 0 else ""
