"""The programs that stand for images, and what version they are."""

from __future__ import annotations

import functools
import json
import mmap
import re
from pathlib import Path

from local.agent.command import LISTEN_FLAGS


def available(tools: Path) -> dict[str, Path]:
    """Name and path of each program that pods can ask for. `tools` is a folder of programs or a JSON file that lists
    them; it is read each time, since tools may be built anew while the agent runs."""
    listing = (
        {path.name: path for path in tools.iterdir()}
        if tools.is_dir()
        else {name: Path(path) for name, path in json.loads(tools.read_text()).items()}
    )
    return {name: listing[name] for name in LISTEN_FLAGS if name in listing}


@functools.lru_cache
def version(program: Path) -> str:
    """The module version that Go has put into a program, or nothing if it did not."""
    with program.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        found = re.search(rb"\nmod\t\S+\t(v[0-9][^\s]*)", content)
        return found[1].decode() if found else ""
