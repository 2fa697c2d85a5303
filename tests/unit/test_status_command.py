"""`./saas status`, with a kubectl that answers from files."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from cli import __main__ as command_line
from cli.errors import CommandError
from model import status

NAMESPACE = {"metadata": {"name": "alpha"}}
KUBECTL = """\
#!/bin/sh
for path in "$@"; do :; done
file="$(dirname "$0")/$(echo "$path" | tr '/?=' '___')"
[ -e "$file" ] && exec cat "$file"
echo "Error from server (NotFound): the server could not find the requested resource" >&2
exit 1
"""


def flux(kind: str, ready: str, message: str = "") -> dict[str, Any]:
    return {
        "kind": kind,
        "metadata": {"name": "alpha", "namespace": "alpha", "generation": 1},
        "spec": {"sourceRef": {"name": "alpha"}},
        "status": {
            "observedGeneration": 1,
            "conditions": [{"type": "Ready", "status": ready, "message": message}],
            "lastAppliedRevision": "main@sha1:0123456789abcdef",
        },
    }


@pytest.fixture
def shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Runs the command in a cluster with the tenant alpha."""
    (tmp_path / "kubectl").write_text(KUBECTL)
    (tmp_path / "kubectl").chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    paths = {
        f"/api/v1/namespaces?labelSelector={status.TENANT_LABEL}": [NAMESPACE],
        status.SOURCES: [flux("GitRepository", "True")],
    }

    def run(*arguments: str, ready: str = "True") -> Result:
        paths[status.KUSTOMIZATIONS] = [flux("Kustomization", ready, "exceeded quota")]
        for path, items in paths.items():
            (tmp_path / path.translate(str.maketrans("/?=", "___"))).write_text(json.dumps({"items": items}))
        return CliRunner().invoke(command_line.app, ["status", *arguments], catch_exceptions=False)

    return run


def test_a_ready_tenant_is_a_row_with_its_revision(shown: Callable[..., Result]) -> None:
    result = shown()
    assert result.exit_code == 0
    assert result.stdout.splitlines()[1].split() == ["alpha", "yes", "main@01234567", "0/0"]


def test_a_tenant_that_is_not_ready_says_why_and_fails_the_command(shown: Callable[..., Result]) -> None:
    result = shown(ready="False")
    assert result.exit_code == 1
    assert result.stdout.splitlines()[-1] == "alpha: Kustomization: exceeded quota"
    (row,) = json.loads(shown("--json", ready="False").stdout)
    assert (row["name"], row["ready"], row["workloads"]["desired"]) == ("alpha", False, 0)


def test_a_cluster_that_does_not_answer_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"the cluster does not answer: .*\n    Name its kubeconfig"):
        CliRunner().invoke(command_line.app, ["status", "--kubeconfig", str(tmp_path / "none")], catch_exceptions=False)
