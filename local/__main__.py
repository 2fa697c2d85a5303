"""The embedded platform's command line: python -m local up | status | logs | down | rehearse."""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import time
from pathlib import Path

from rich.console import Console

from local import agent, controlplane, gitserver, processes, pulumi, rehearsal, status, toolchain
from local.home import Home
from local.kubeapi import ApiError
from local.toolchain import manifest as install_manifest

STACK = "local"
READY_SECONDS = 300.0
KNOWN = (
    toolchain.ToolchainError,
    processes.ProcessError,
    pulumi.PulumiError,
    rehearsal.RehearsalError,
    ApiError,
)
"""Errors that say themselves what to do."""


def main() -> int:
    """Run one command. The exit code is 0 where all is well."""
    parser = argparse.ArgumentParser(prog="python -m local", description=__doc__)
    parser.set_defaults(home=Home.default())
    commands = parser.add_subparsers(dest="command", required=True)
    up_command = commands.add_parser("up", help="start everything, bootstrap Flux, wait until the tenants are ready")
    up_command.add_argument(
        "--platform-only", action="store_true", help="start everything, but leave `pulumi up` to you"
    )
    commands.add_parser("status", help="how the platform and its tenants are, and why something is not ready")
    logs_command = commands.add_parser("logs", help="what a process wrote; without a name, which there are")
    logs_command.add_argument("name", nargs="?")
    commands.add_parser("down", help="stop what `up` started; the data stays")
    commands.add_parser("rehearse", help="the stack prod-eu from nothing to nothing, with AWS replaced beneath it")
    arguments = parser.parse_args()
    home, console = arguments.home, Console(soft_wrap=not sys.stdout.isatty())
    try:
        match arguments.command:
            case "up":
                return up(home, console, platform_only=arguments.platform_only)
            case "status":
                return 0 if status.show(home, console) else 1
            case "logs":
                return logs(home, console, arguments.name)
            case "rehearse":
                rehearsal.rehearse(rehearsal.Rehearsal(Home(home.path / "rehearsal")), console, start, down)
                return 0
            case _:
                down(home)
                console.print("The platform is stopped; `make up` brings it back with its data.")
                return 0
    except KNOWN as error:
        console.print(f"[red]error:[/] {error}", highlight=False)
        return 1


def start(home: Home, console: Console) -> None:
    """Start every part that does not run yet. Nothing of Flux: that is the program's to bring."""
    home.create()
    tools = toolchain.ensure(toolchain.PLATFORM, console=console)
    _copy(install_manifest.install_manifest(), home.manifest)
    with console.status("Starting the control plane and the Git server"):
        controlplane.up(home, tools)
        gitserver.start(home)
        gitserver.seed(home)
        agent.start(home, tools)
        pulumi.install(home, tools)


def up(home: Home, console: Console, *, platform_only: bool) -> int:
    """Start everything, run `pulumi up`, wait for the tenants and show them."""
    started = time.monotonic()
    start(home, console)
    console.print(
        f"The platform runs ({time.monotonic() - started:.1f} s): Kubernetes at {controlplane.server_url(home)}."
    )
    if platform_only:
        console.print(f"Next: source {home.env}, then `pulumi up --stack {STACK}`.", highlight=False)
        return 0
    pulumi.ensure_stack(home, STACK)
    for line in pulumi.recover(home, STACK):
        console.print(line, highlight=False)
    api = controlplane.administrator(home)
    ready_before = {one.name for one in status.reconciled(api) if one.ready}
    began = time.monotonic()
    watch = status.Watch(api)
    pulumi.run(home, ["up", "--stack", STACK, "--yes", "--skip-preview"])
    with console.status("Waiting until the tenants are ready"):
        seen = watch.finish(READY_SECONDS)
    status.remember(home, {name: moment - began for name, moment in seen.items() if name not in ready_before})
    all_ready = status.show(home, console)
    if all_ready:
        console.print(_next(home), highlight=False)
    return 0 if all_ready else 1


def down(home: Home) -> None:
    """Stop everything that `up` started, and nothing else."""
    agent.stop(home)
    processes.stop(home, "gitserver")
    controlplane.down(home)


def logs(home: Home, console: Console, name: str | None) -> int:
    """Follow a process' log, or say which there are."""
    known = sorted(path.stem for path in home.logs.glob("*.log")) if home.logs.is_dir() else []
    if name is None or name not in known:
        console.print(f"Logs: {', '.join(known) or 'none yet'}. Follow one with `make logs NAME=…`.", highlight=False)
        return 0 if name is None else 1
    try:
        return subprocess.run(["tail", "-n", "100", "-f", str(processes.log_path(home, name))], check=False).returncode
    except KeyboardInterrupt:
        return 0


def _copy(source: Path, target: Path) -> None:
    if target.exists() and target.read_bytes() == source.read_bytes():
        return
    partial = target.with_name(target.name + ".partial")
    shutil.copyfile(source, partial)
    partial.replace(target)


def _next(home: Home) -> str:
    product = f"ssh://git@127.0.0.1:{home.port('git-ssh')}/acme/product"
    return f"""Try next:
  source {home.env}
  pulumi preview --stack {STACK} --expect-no-changes
  kubectl get pods --all-namespaces
  git clone {product}    change kustomize/, commit, push: Flux applies it within a minute
  edit tenants.yaml, then make up again; make status at any time"""


if __name__ == "__main__":
    sys.exit(main())
