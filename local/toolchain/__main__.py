"""`python -m local.toolchain`: build every program and Flux's install manifest, and list them."""

from __future__ import annotations

import sys

from rich.console import Console
from rich.table import Table

from local.toolchain import ToolchainError, ensure, manifest, versions
from local.toolchain.catalogue import cache


def main() -> int:
    """Build missing programs and print a table. Returns 1 if a program can't be built."""
    console = Console(stderr=True)
    try:
        paths = ensure(console=console)
        install = manifest.install_manifest(console=console)
    except ToolchainError as error:
        console.print(str(error), style="red", markup=False, highlight=False, soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        console.print("interrupted: run this again and it carries on")
        return 130
    table = Table("program", "version", "path")
    for name, path in paths.items():
        table.add_row(name, versions()[name] if path.is_relative_to(cache()) else "on PATH", str(path))
    table.add_row("Flux's install manifest", manifest.version(), str(install))
    Console(width=None if sys.stdout.isatty() else 200).print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
