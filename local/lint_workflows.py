"""Lint the GitHub workflows with actionlint, which is built first if necessary: python -m local.lint_workflows."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from rich.console import Console

from local.toolchain import ToolchainError, ensure

WORKFLOWS = Path(__file__).resolve().parent.parent / ".github" / "workflows"


def main(folder: Path = WORKFLOWS) -> int:
    """Lint a folder of workflows. Returns 0 without findings, 1 with findings, 2 if actionlint can't be built."""
    try:
        actionlint = ensure(["actionlint"], console=Console(stderr=True))["actionlint"]
    except ToolchainError as error:
        print(error, file=sys.stderr)
        return 2
    # Otherwise actionlint would use a shellcheck or pyflakes that happens to be on PATH.
    command = [actionlint, "-shellcheck=", "-pyflakes=", "-no-color", *sorted(folder.glob("*.yaml"))]
    return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
