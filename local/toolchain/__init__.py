"""Programs that no package registry ships, built from pinned Go modules into a cache shared by all checkouts."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from local.toolchain.catalogue import ALL, MODULES, OFFICIAL, PLATFORM, ToolchainError, versions

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["ALL", "LANGUAGE_HOST", "PLATFORM", "ToolchainError", "ensure", "versions"]

LANGUAGE_HOST = "pulumi-language-python"


def ensure(names: Iterable[str] = ALL, *, console: Console | None = None) -> dict[str, Path]:
    """Program name -> executable; builds missing programs into the cache. Starts Go only if one is missing.

    An official Pulumi on PATH, recognised by the language host in its folder, is used instead of ours. It downloads its
    plugins itself, so `pulumi-resource-kubernetes` is not in the answer then. An interrupted build continues where it
    stopped: finished modules stay, and Go caches compiled packages.

    Raises ToolchainError, which says what to do, if a program can't be built; ValueError for an unknown name.
    """
    wanted = list(names)
    if unknown := sorted(set(wanted) - set(ALL)):
        raise ValueError(f"unknown programs: {', '.join(unknown)}; known are {', '.join(ALL)}")
    official = _official_pulumi()
    modules = [
        module
        for module in MODULES
        if not module.programs.keys().isdisjoint(wanted) and not (official and module.name in OFFICIAL)
    ]
    if missing := [module for module in modules if not module.built.is_dir()]:
        # Imported here: `make up` with tools built need not load what builds them.
        from local.toolchain import build

        build.build(missing, console)
    found = {name: module.built / name for module in modules for name in module.programs if name in wanted}
    return found | ({"pulumi": official} if official and "pulumi" in wanted else {})


def _official_pulumi() -> Path | None:
    for folder in os.environ.get("PATH", os.defpath).split(os.pathsep):
        program = shutil.which("pulumi", path=folder) if os.path.isabs(folder) else None
        if program and os.access(Path(program).resolve().with_name(LANGUAGE_HOST), os.X_OK):
            return Path(program)
    return None
