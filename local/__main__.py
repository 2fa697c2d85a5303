"""The embedded platform's command line: python -m local up | status | logs | release | down | rehearse."""

from __future__ import annotations

import argparse
import subprocess
import sys

from rich.console import Console
from rich.text import Text

from local import aws, backup, platform, processes, pulumi, registry, rehearsal, release, status, toolchain
from local.home import Home
from local.kubeapi import ApiError

KNOWN_ERRORS = (
    toolchain.ToolchainError,
    processes.ProcessError,
    pulumi.PulumiError,
    rehearsal.RehearsalError,
    aws.AwsError,
    backup.BackupError,
    registry.RegistryError,
    release.ReleaseError,
    ApiError,
)
"""Errors whose message says what to do."""


def main() -> int:
    """Run a command. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m local", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", help="start everything, bootstrap Flux, wait until the tenants are ready")
    up.add_argument("--platform-only", action="store_true", help="start everything, but leave `pulumi up` to you")
    commands.add_parser("status", help="show the platform and its tenants, and why something is not ready")
    logs_command = commands.add_parser("logs", help="follow the log of a process; without a name, list the logs")
    logs_command.add_argument("name", nargs="?")
    release_command = commands.add_parser("release", help="push an image of the sample product, and follow it")
    release_command.add_argument("version")
    commands.add_parser("down", help="stop what `up` started; the data stays")
    commands.add_parser("rehearse", help="live through the first month of the stack prod-eu, with a stand-in for AWS")
    arguments = parser.parse_args()
    home, console = (
        Home.default(),
        Console(soft_wrap=not sys.stdout.isatty(), width=None if sys.stdout.isatty() else 120),
    )
    try:
        match arguments.command:
            case "up":
                return 0 if platform.up(home, console, platform_only=arguments.platform_only) else 1
            case "status":
                return 0 if status.show(home, console) else 1
            case "logs":
                return logs(home, console, arguments.name)
            case "release":
                release.release(home, arguments.version, console)
            case "rehearse":
                rehearsal.rehearse(rehearsal.Rehearsal(Home(home.path / "rehearsal")), console)
            case "down":
                platform.stop(home)
                console.print("The platform is stopped; `make up` brings it back with its data.")
    except KNOWN_ERRORS as error:
        # Not as markup, in which the output of a command could end tags that nothing began.
        console.print(Text.assemble(("error:", "red"), f" {error}"))
        return 1
    return 0


def logs(home: Home, console: Console, name: str | None) -> int:
    """Follow the log of a process, or list the logs."""
    known = sorted(path.stem for path in home.logs.glob("*.log"))
    if name is None or name not in known:
        console.print(f"Logs: {', '.join(known) or 'none yet'}. Follow one with `make logs NAME=…`.", highlight=False)
        return 0 if name is None else 1
    try:
        return subprocess.run(["tail", "-n", "100", "-f", str(processes.log_path(home, name))], check=False).returncode
    except KeyboardInterrupt:
        return 0


if __name__ == "__main__":
    sys.exit(main())
