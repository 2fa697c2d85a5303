"""Edits as the options of a command say: of the file, or as a pull request; and their report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import typer

from cli import pull_request, tenants_file
from cli.pull_request import Proposal
from cli.tenants_file import Check, Edit
from model.config import tenants


def carry_out(
    edit: Edit,
    file: Path,
    *,
    branch: str,
    title: str,
    body: str,
    dry_run: bool,
    pr: bool,
    trailer: str = "",
    check: Check = tenants.parse,
) -> Proposal:
    """Edit a file, or open a pull request with the edit; with `dry_run` neither."""
    if pr and not dry_run:
        return pull_request.propose(file, edit, branch=branch, title=title, body=body, trailer=trailer, check=check)
    return Proposal(tenants_file.change(file, edit, write=not dry_run, check=check), None)


def report(done: Proposal, unchanged: str, *, dry_run: bool, as_json: bool, **more: Any) -> None:
    """Print the difference and the pull request's address, or as JSON these and `more`."""
    change = done.change
    if as_json:
        print_json({"changed": change.changed, "dryRun": dry_run, "diff": change.diff, "pullRequest": done.url, **more})
        return
    typer.echo(change.coloured_diff or f"{unchanged}\n", nl=False)
    if done.url:
        typer.echo(f"Pull request: {done.url}")


def print_json(value: Any) -> None:
    """Print a value as indented JSON; times as text."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False, default=str))
