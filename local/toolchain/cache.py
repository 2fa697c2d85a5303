"""Where built programs are kept: one folder per group and recipe, shared by all checkouts of one user."""

from __future__ import annotations

import os
from pathlib import Path

from local.toolchain.catalogue import Group, Program

RECORD = "build.json"
"""Beside the programs: which Go built them, when, and in how many seconds."""


def root() -> Path:
    """`saas-in-eks/tools` in the user's cache folder (XDG_CACHE_HOME, else ~/.cache)."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG specification: a relative path is invalid and to be ignored.
    return (Path(base) if os.path.isabs(base) else Path.home() / ".cache") / "saas-in-eks" / "tools"


def folder(group: Group) -> Path:
    """Where the group's programs are once built. It appears complete or not at all."""
    return root() / group.key


def find(group: Group, program: Program) -> Path | None:
    """The built program, if it is there."""
    path = folder(group) / "bin" / program.name
    return path if os.access(path, os.X_OK) else None
