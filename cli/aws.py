"""AWS' command line, which is on every machine that reaches an EKS cluster: it gives kubectl its tokens."""

from __future__ import annotations

import json
import subprocess
from typing import Any

from cli.errors import CommandError


class RefusedError(CommandError):
    """AWS refused a call; `code` is its error code, such as AccessDenied, as far as the answer says it."""

    def __init__(self, message: str, remedy: str, code: str) -> None:
        super().__init__(message, remedy)
        self.code = code


def call(region: str, service: str, operation: str, *options: str) -> dict[str, Any]:
    """What an operation of AWS' API answers; all pages of it."""
    command = ["aws", service, operation, "--region", region, "--output", "json", *options]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise CommandError("there is no `aws` on PATH", "Install AWS' command line.") from None
    if done.returncode:
        said = done.stderr.strip()
        # An error occurred (AccessDenied) when calling the PutObject operation: …
        code = said.partition("(")[2].partition(")")[0] if "An error occurred (" in said else ""
        remedy = "Sign in to the stack's account with a role that may do this."
        raise RefusedError(f"aws {service} {operation} failed:\n{said}", remedy, code)
    return json.loads(done.stdout or "{}")
