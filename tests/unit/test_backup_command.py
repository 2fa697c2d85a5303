"""`./saas tenant backup`, with a kubectl that answers from files."""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from cli import __main__ as command_line
from cli.errors import CommandError
from model.config.names import STATE_LABEL
from tests.unit.test_status_command import KUBECTL

TENANTS = """\
tenants:
  - name: shop
    source: {url: "https://github.com/acme/shop", branch: main}
"""
LEAVING = f"{TENANTS}    leaving: {{since: 2026-11-26, until: 2026-12-26}}\n"
Cluster = Callable[..., Path]


def resource(kind: str, name: str, *verbs: str) -> dict[str, Any]:
    return {"kind": kind, "name": name, "namespaced": True, "verbs": ["create", "list", *verbs]}


def item(name: str, **content: Any) -> dict[str, Any]:
    changing = {"resourceVersion": "7", "managedFields": [{}]}
    return {"metadata": {"name": name, **changing, **content.pop("metadata", {})}, **content}


def volume(name: str, namespace: str) -> dict[str, Any]:
    claim = {"namespace": namespace, "name": "data"}
    return item(name, spec={"claimRef": claim, "csi": {"volumeHandle": f"vol-{name}"}})


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    """Makes a cluster with the tenants shop and shop-orders; returns the folder of its answers."""

    def make(state: str = "leaving", **more: Any) -> Path:
        folder = tmp_path / "cluster"
        folder.mkdir(exist_ok=True)
        (folder / "kubectl").write_text(KUBECTL)
        (folder / "kubectl").chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(folder / "python"))
        secret = item("password", data={"word": "eA=="}, status={"seen": "now"})
        answers = {
            "/api/v1/namespaces/shop": item("shop", metadata={"uid": "1234", "labels": {STATE_LABEL: state}}),
            "/api/v1/persistentvolumes": {"items": [volume("a", "shop"), volume("b", "shop-orders")]},
            "/api/v1": {"resources": [resource("Secret", "secrets"), resource("Event", "events")]},
            "/apis": {"groups": [{"preferredVersion": {"groupVersion": "acme.example/v1"}}]},
            "/apis/acme.example/v1": {"resources": [resource("Order", "orders")]},
            "/api/v1/namespaces/shop/secrets": {"items": [secret]},
            "/api/v1/namespaces/shop/events": {"items": [item("seen")]},
            "/apis/acme.example/v1/namespaces/shop/orders": {"items": [item("second"), item("first")]},
            **more,
        }
        for path, answer in answers.items():
            (folder / re.sub("[/?=]", "_", path)).write_text(json.dumps(answer))
        return folder

    return make


def backup(folder: Path, text: str, *options: str) -> tuple[dict[str, Any], Path]:
    """Run the command on a tenants' file. Returns what it records and the file that it writes."""
    tenants, written = folder / "tenants.yaml", folder / "shop.json"
    tenants.write_text(text)
    arguments = ["tenant", "backup", "shop", "--to", str(written), "--file", str(tenants), *options]
    result = CliRunner().invoke(command_line.app, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return yaml.safe_load(tenants.read_text())["tenants"][0].get("leaving", {}).get("backup"), written


def test_a_backup_has_all_objects_and_the_ids_of_the_tenants_own_volumes(cluster: Cluster, tmp_path: Path) -> None:
    cluster()
    record, written = backup(tmp_path, LEAVING)
    assert record == {"id": str(written), "sha256": hashlib.sha256(written.read_bytes()).hexdigest()}
    assert written.stat().st_mode & 0o777 == 0o600
    content = json.loads(written.read_text())
    assert (content["tenant"], content["uid"]) == ("shop", "1234")
    assert content["volumes"] == [{"claim": "data", "volume": "a", "id": "vol-a"}]
    assert [(each["kind"], each["metadata"]["name"]) for each in content["objects"]] == [
        ("Secret", "password"),
        ("Order", "first"),
        ("Order", "second"),
    ]
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "password"}, "data": {"word": "eA=="}}
    assert content["objects"][0] == secret


def test_the_same_backup_twice_is_one_and_another_has_to_be_restored_again(cluster: Cluster, tmp_path: Path) -> None:
    cluster()
    backup(tmp_path, LEAVING, "--kept-at", "s3://b/shop.json")
    restored = (tmp_path / "tenants.yaml").read_text().replace(", sha256", ", restored: 2026-11-27, sha256")
    record, _ = backup(tmp_path, restored, "--kept-at", "s3://b/shop.json")
    assert record.keys() == {"id", "sha256", "restored"}
    cluster(**{"/api/v1/namespaces/shop/secrets": {"items": []}})
    record, _ = backup(tmp_path, restored, "--kept-at", "s3://b/shop.json")
    assert record.keys() == {"id", "sha256"}


def test_a_dry_run_writes_nothing(cluster: Cluster, tmp_path: Path) -> None:
    cluster()
    record, written = backup(tmp_path, LEAVING, "--dry-run")
    assert (record, written.exists()) == (None, False)


@pytest.mark.parametrize(("state", "text"), [("suspended", LEAVING), ("", LEAVING), ("leaving", TENANTS)])
def test_a_tenant_that_still_runs_is_not_backed_up(cluster: Cluster, tmp_path: Path, state: str, text: str) -> None:
    cluster(state)
    with pytest.raises(CommandError, match="shop is not leaving"):
        backup(tmp_path, text)
    assert (tmp_path / "tenants.yaml").read_text() == text
    assert not (tmp_path / "shop.json").exists()
