"""Remembers which sources a type checker has found clean: it takes seconds, and most runs change no source."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

_SETTINGS = ("pyproject.toml", "pyrightconfig.json", "mypy.ini", "setup.cfg")


def fingerprint(program: Path, virtualenv: Path | None, site_packages: Iterable[Path]) -> str:
    """Changes with every source file, with the checker's settings and with the installed packages."""
    digest = hashlib.sha256()
    for path in _sources(program, virtualenv):
        digest.update(f"{path.relative_to(program)}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    for folder in site_packages:
        for name in sorted(entry.name for entry in folder.glob("*.dist-info")):
            digest.update(name.encode())
    return digest.hexdigest()


def _sources(program: Path, virtualenv: Path | None) -> Iterator[Path]:
    for folder, folders, files in os.walk(program):
        # Nothing that a checker reads is in hidden folders (.git, .local, .venv).
        folders[:] = sorted(
            name for name in folders if not name.startswith((".", "__pycache__")) and Path(folder, name) != virtualenv
        )
        for name in sorted(files):
            if name.endswith((".py", ".pyi")) or name in _SETTINGS:
                yield Path(folder, name)


def is_known_clean(program: Path, checker: str, seen: str) -> bool:
    """Whether the checker found nothing when the fingerprint was this one."""
    record = _record(program, checker)
    return record.exists() and json.loads(record.read_text()).get("clean") == seen


def remember_clean(program: Path, checker: str, seen: str) -> None:
    record = _record(program, checker)
    record.parent.mkdir(parents=True, exist_ok=True)
    partial = record.with_suffix(f".{os.getpid()}.partial")
    partial.write_text(json.dumps({"program": str(program), "clean": seen}))
    partial.replace(record)


def _record(program: Path, checker: str) -> Path:
    home = Path(os.environ.get("PULUMI_HOME") or Path.home() / ".pulumi")
    key = hashlib.sha256(str(program.resolve()).encode()).hexdigest()[:16]
    return home / "typecheck" / f"{checker}-{key}.json"
