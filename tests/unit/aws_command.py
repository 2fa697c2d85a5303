"""AWS' command line on the emulator, without a process for each call."""

from __future__ import annotations

from typing import Any

import pytest

from cli import aws
from standins.aws import command
from standins.aws.session import AwsError


def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `./saas` call the emulator; options are still those of AWS' own command line."""

    def call(region: str, service: str, operation: str, *options: str) -> dict[str, Any]:
        try:
            return command.answer([service, operation, "--region", region, *options])
        except AwsError as error:
            raise aws.RefusedError(f"aws {service} {operation} failed:\n{error}", "", error.code) from error

    monkeypatch.setattr(aws, "call", call)
