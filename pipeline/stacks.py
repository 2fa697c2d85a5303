"""Runs a command for a platform's stack and its shards: side by side, the platform's first or last where it matters.

    pipeline/stacks.py platform-first prod-eu pulumi up --stack {stack} --yes

The shards of a stack are those whose files Pulumi.STACK-NUMBER.yaml in this folder name it. A stack without shards is
run alone. Needs Python alone, as the preview gate does.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ORDERS = ("at-once", "platform-first", "platform-last")
SIDE_BY_SIDE = 5
"""How many shards at once: each has an engine, providers and a program, some 500 MB together."""


def shards(platform: str, folder: Path) -> list[str]:
    """The stacks of a platform's shards by their number. `platform` may begin with an organization, as ORG/STACK."""
    organization, slash, name = platform.rpartition("/")
    found: list[tuple[int, str]] = []
    for path in folder.glob(f"Pulumi.{name}-*.yaml"):
        number = path.name.removeprefix(f"Pulumi.{name}-").removesuffix(".yaml")
        written = rf"^\s+[\w-]+:platform: *[\"']?{re.escape(name)}[\"']?\s*$"
        if number.isdigit() and re.search(written, path.read_text(), re.MULTILINE):
            found.append((int(number), f"{organization}{slash}{name}-{number}"))
    return [stack for _, stack in sorted(found)]


def run(stacks: Sequence[str], command: Sequence[str], output: str | None) -> int:
    """Run a command for stacks side by side, each with its log in one piece; returns the highest exit code."""
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        done = pool.map(lambda stack: _one(stack, command, output, capture=len(stacks) > 1), stacks)
        return max(done, default=0)


def _one(stack: str, command: Sequence[str], output: str | None, *, capture: bool) -> int:
    arguments = [part.replace("{stack}", stack) for part in command]
    if output:
        with Path(output.replace("{stack}", stack.rpartition("/")[2])).open("wb") as file:
            return abs(subprocess.run(arguments, stdout=file, check=False).returncode)
    if not capture:
        return abs(subprocess.run(arguments, check=False).returncode)
    done = subprocess.run(arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    print(f"\n== {stack}\n{done.stdout.decode(errors='replace')}", flush=True)
    return abs(done.returncode)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command: the highest exit code of all stacks. With an order, the first failure ends it."""
    parser = argparse.ArgumentParser(prog="stacks", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("order", choices=ORDERS)
    parser.add_argument("--output", help="file for the standard output of each stack, such as preview-{stack}.json")
    parser.add_argument("platform", help="the platform's stack")
    parser.add_argument("command", nargs=argparse.REMAINDER, help="{stack} in it becomes the stack's name")
    options = parser.parse_args(arguments)
    if not options.command or not shutil.which(options.command[0]):
        parser.error(f"there is no command {' '.join(options.command[:1])!r} on PATH")
    parts = shards(options.platform, Path.cwd())
    steps = {
        "at-once": [[options.platform, *parts]],
        "platform-first": [[options.platform], parts],
        "platform-last": [parts, [options.platform]],
    }[options.order]
    for stacks in steps:
        if code := run(stacks, options.command, options.output):
            return code
    return 0


if __name__ == "__main__":
    sys.exit(main())
