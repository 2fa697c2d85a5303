"""`python -m local.toolchain`: have every program and Flux's install manifest ready, and say where they are."""

from __future__ import annotations

import json
import sys
import time

from rich.console import Console
from rich.table import Table

from local.toolchain import ToolchainError, cache, ensure, manifest
from local.toolchain.catalogue import GROUPS


def main() -> int:
    """Build what lacks and print a table; 1 if something can't be built."""
    console = Console(stderr=True)
    began = time.monotonic()
    try:
        paths = ensure(console=console)
        install = manifest.install_manifest(console=console)
    except ToolchainError as error:
        console.print(str(error), style="red", markup=False, highlight=False, soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        console.print("interrupted: run this again and it carries on")
        return 130
    table = Table("program", "version", "from", "seconds", "path")
    for group in GROUPS:
        for program in group.programs:
            path = paths[program.name]
            if path.is_relative_to(cache.root()):
                record = json.loads((cache.folder(group) / cache.RECORD).read_text())
                # The seconds are the group's: its programs are built together.
                seconds = str(record["seconds"]) if program is group.programs[0] else ""
                table.add_row(program.name, group.version(program), record["go"], seconds, str(path))
            else:
                table.add_row(program.name, "", "PATH", "", str(path))
    table.add_row("Flux's install manifest", manifest.version(), "Go modules", "", str(install))
    out = Console(width=None if sys.stdout.isatty() else 200)
    out.print(table)
    out.print(f"ready after {time.monotonic() - began:.2f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
