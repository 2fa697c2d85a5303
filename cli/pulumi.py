"""Pulumi's command line."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from cli.errors import CommandError


def run(project: Path, *arguments: str, note: str = "", **options: Any) -> subprocess.CompletedProcess[str]:
    """Run `pulumi` in a project's folder. Raises CommandError if there is none; the note is added to its remedy."""
    try:
        return subprocess.run(["pulumi", *arguments], cwd=project, text=True, check=False, **options)
    except FileNotFoundError:
        remedy = f"Install Pulumi; on the embedded platform run `source .local/env` first.{note}"
        raise CommandError("there is no `pulumi` on PATH", remedy) from None


def outputs(project: Path, stack: str | None) -> dict[str, Any]:
    """A stack's outputs, as its last update left them; the selected stack's without a name."""
    command = ["stack", "output", "--json", *(["--stack", stack] if stack else [])]
    done = run(project, *command, capture_output=True)
    if done.returncode:
        raise CommandError(f"pulumi {' '.join(command)} failed:\n{done.stderr.strip()}", "Name it with --stack.")
    return json.loads(done.stdout)
