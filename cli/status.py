"""`./saas status`: which tenants are ready in a cluster, and why others are not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from cli import changes, effective
from cli.errors import CommandError
from cli.tenants import CHECKOUT, Json
from model.status import COLUMNS, cells, reconciliations, workloads

EMBEDDED = CHECKOUT / ".local" / "kubeconfig"
"""The kubeconfig of the embedded platform."""
DELETION = "120s"
"""How long a namespace may take to be deleted."""


class Kubectl:
    """A cluster's API, read by kubectl: it knows every way to sign in."""

    def __init__(self, kubeconfig: Path | None) -> None:
        """Without a kubeconfig: that of the environment, of the embedded platform, or kubectl's own, in this order."""
        if kubeconfig is None and "KUBECONFIG" not in os.environ and EMBEDDED.exists():
            kubeconfig = EMBEDDED
        own = Path(sys.executable).with_name("kubectl")
        self._command = [str(own) if own.exists() else "kubectl", *(["--kubeconfig", kubeconfig] if kubeconfig else [])]

    def get(self, path: str) -> dict[str, Any] | None:
        """The object or list at a path; None if there is none."""
        done = self._run("get", "--raw", path)
        if done.returncode == 0:
            return json.loads(done.stdout)
        if "(NotFound)" in done.stderr:
            return None
        raise self._unanswered(done)

    def annotate(self, kind: str, namespace: str, name: str, key: str, value: str) -> None:
        """Set an annotation of an object."""
        self._change("annotate", kind, name, "--namespace", namespace, "--overwrite", f"{key}={value}")

    def create(
        self, objects: Sequence[dict[str, Any]], *, dry_run: bool = False
    ) -> tuple[list[dict[str, Any]], list[str]]:
        """The objects that the cluster made, or would make, and why it refused others."""
        if not objects:
            return [], []
        given = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
        options = ["--dry-run=server"] if dry_run else []
        done = self._run("create", "--filename", "-", "--output", "json", *options, given=given)
        refused = [line for line in done.stderr.strip().splitlines() if not line.startswith("Warning: ")]
        if done.returncode and not refused:
            raise self._unanswered(done)
        return list(_documents(done.stdout)), refused if done.returncode else []

    def delete_namespace(self, name: str) -> None:
        """Delete a namespace, and wait until it is gone."""
        self._change("delete", "namespace", name, "--ignore-not-found", f"--timeout={DELETION}")

    def _change(self, *arguments: str) -> None:
        done = self._run(*arguments)
        if done.returncode:
            raise self._unanswered(done)

    def _run(self, *arguments: str, given: str | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*self._command, *arguments], input=given, capture_output=True, text=True, check=False)

    @staticmethod
    def _unanswered(done: subprocess.CompletedProcess[str]) -> CommandError:
        said = done.stderr.strip().splitlines() or ["kubectl said nothing"]
        remedy = "Name its kubeconfig with --kubeconfig; for the embedded platform run `make up` first."
        return CommandError(f"the cluster does not answer: {said[-1]}", remedy)


def _documents(text: str) -> Iterator[dict[str, Any]]:
    """The objects in JSON documents that follow each other."""
    decoder, rest = json.JSONDecoder(), text.strip()
    while rest:
        item, end = decoder.raw_decode(rest)
        yield from item["items"] if item["kind"] == "List" else [item]
        rest = rest[end:].lstrip()


Kubeconfig = Annotated[
    Path | None, typer.Option(help="Default: $KUBECONFIG, the embedded platform's, or kubectl's own.")
]


def status(
    kubeconfig: Kubeconfig = None,
    as_json: Json = False,
) -> None:
    """Show which tenants are ready, what they run, and why others are not ready. Exits with 1 if any is not.

    \b
    ./saas status
    aws eks update-kubeconfig --name prod-eu && ./saas status
    ./saas status --json | jq '.[] | select(.ready | not)'
    """
    api = Kubectl(kubeconfig)
    rows, pods = reconciliations(api), workloads(api)
    if not rows:
        raise CommandError("Flux is not installed in this cluster", "Run `pulumi up`, or choose another --kubeconfig.")
    if as_json:
        shown = [asdict(row) | {"workloads": asdict(pods[row.name])} for row in rows]
        changes.print_json(shown)
    else:
        table = effective.new_table(*COLUMNS)
        for row in rows:
            table.add_row(*cells(row, pods[row.name]))
        effective.print_table(table)
        for row in rows:
            if reason := row.reason or pods[row.name].reason:
                typer.echo(f"{row.name}: {reason}")
    if not all(row.ready and pods[row.name].complete for row in rows):
        raise typer.Exit(1)
