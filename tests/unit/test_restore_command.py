"""`./saas tenant check-backup`, with a cluster in memory."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from cli import __main__ as command_line
from cli import restore
from cli.errors import CommandError

Object = dict[str, Any]
TENANTS = """\
tenants:
  - name: shop
    source: {url: "https://github.com/acme/shop", branch: main}
    leaving: {since: 2026-11-26, until: 2026-12-26, backup: {id: s3://b/shop.json, sha256: SUM}}
"""


def item(kind: str, name: str, version: str = "v1", **content: Any) -> Object:
    metadata = {"name": name, "namespace": "shop", "uid": "1", **content.pop("metadata", {})}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **content}


HOSTILE = {"finalizers": ["acme.example/never"], "annotations": {"replicate-to": "flux-system"}, "labels": {"a": "b"}}
SERVICE = {"clusterIP": "10.0.0.7", "clusterIPs": ["10.0.0.7"], "ports": [{"port": 80, "nodePort": 31000}]}
JOB = {
    "selector": {"matchLabels": {"controller-uid": "7"}},
    "template": {"metadata": {"labels": {"controller-uid": "7", "app": "job"}}, "spec": {}},
}
OBJECTS = [
    item("ConfigMap", "kube-root-ca.crt", data={"ca.crt": "CA"}),
    item("ServiceAccount", "default"),
    item("ConfigMap", "settings", data={"colour": "red"}, metadata=HOSTILE),
    item("Secret", "password", data={"word": "eA=="}, type="Opaque"),
    item("Secret", "token", type="kubernetes.io/service-account-token"),
    item("Service", "web", spec=SERVICE),
    item("Job", "once", "batch/v1", spec=JOB, metadata={"ownerReferences": [{"uid": "8"}]}),
    item("Ingress", "web", "networking.k8s.io/v1", spec={"rules": [{"host": "shop.acme.example"}]}),
]


class Cluster:
    """A cluster that stores objects, with defaults, and refuses some by their names."""

    def __init__(self, refuses: Sequence[str] = (), changes: Callable[[Object], Object] = lambda each: each) -> None:
        self.refuses, self.changes = refuses, changes
        self.stored: dict[str, list[Object]] = {"shop": []}
        self.seen: list[list[Object]] = []
        self.left: list[str] = []

    def get(self, path: str) -> Object | None:
        if path == f"/api/v1/namespaces?labelSelector={restore.TEST_LABEL}=shop":
            return {"items": [{"metadata": {"name": name}} for name in self.left]}
        _, _, _, _, namespace, kind = path.split("/")
        found = [self.changes(each) for each in self.stored[namespace] if f"{each['kind'].lower()}s" == kind]
        return {"items": [{key: value for key, value in each.items() if key != "kind"} for each in found]}

    def create(self, objects: Sequence[Object], *, dry_run: bool = False) -> tuple[list[Object], list[str]]:
        if not objects:
            return [], []
        if objects[0]["kind"] == "Namespace":
            assert objects[0]["metadata"]["labels"] == {restore.TEST_LABEL: "shop"}
            self.stored["restore-test-x"] = []
            return [{**objects[0], "metadata": {"name": "restore-test-x"}}], []
        self.seen.append(list(objects))
        taken = [each for each in objects if each["metadata"]["name"] not in self.refuses]
        if not dry_run:
            self.stored["restore-test-x"] += taken
        made = [self.changes({**each, "status": {}}) for each in taken]
        return made, [f"Error: {name} is refused" for name in self.refuses if len(taken) < len(objects)]

    def delete_namespace(self, name: str) -> None:
        self.stored.pop(name, None)


@pytest.fixture
def check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Runs the command on a backup with these objects; returns what is recorded."""

    def run(cluster: Cluster, *options: str, recorded: str = "", **content: Any) -> Any:
        backup = {"tenant": "shop", "volumes": [], "objects": OBJECTS, **content}
        written, tenants = tmp_path / "shop.json", tmp_path / "tenants.yaml"
        written.write_text(json.dumps(backup))
        checksum = recorded or hashlib.sha256(written.read_bytes()).hexdigest()
        tenants.write_text(TENANTS.replace("SUM", checksum))
        monkeypatch.setattr(restore, "Kubectl", lambda kubeconfig: cluster)
        arguments = ["tenant", "check-backup", "shop", "--from", str(written), "--file", str(tenants), *options]
        try:
            result = CliRunner().invoke(command_line.app, arguments, catch_exceptions=False)
            assert result.exit_code == 0, result.output
        finally:
            assert "restore-test-x" not in cluster.stored, "the test's namespace has the tenant's Secrets"
            assert cluster.stored["shop"] == [], "a test must not touch the tenant"
            after = yaml.safe_load(tenants.read_text())["tenants"][0]["leaving"]["backup"]
        return after.get("restored")

    return run


def test_a_backup_that_comes_back_as_it_was_is_recorded_as_restored(check: Callable[..., Any]) -> None:
    cluster = Cluster()
    assert check(cluster) == datetime.now(UTC).date()
    stored, checked = cluster.seen
    assert [(each["kind"], each["metadata"]["name"]) for each in stored] == [
        ("ConfigMap", "settings"),
        ("Secret", "password"),
    ]
    assert [each["kind"] for each in checked] == ["Secret", "Service", "Job", "Ingress"]
    assert {each["metadata"]["namespace"] for each in (*stored, *checked)} == {"restore-test-x"}


def test_a_dry_run_restores_and_records_nothing(check: Callable[..., Any]) -> None:
    assert check(cluster := Cluster(), "--dry-run") is None
    assert len(cluster.seen) == 2


def test_what_is_stored_has_nothing_by_which_a_tenant_steers_controllers(check: Callable[..., Any]) -> None:
    check(cluster := Cluster())
    settings = cluster.seen[0][0]
    assert settings == item("ConfigMap", "settings", data={"colour": "red"}) | {
        "metadata": {"name": "settings", "namespace": "restore-test-x"}
    }


def test_objects_are_made_without_what_the_cluster_gave_the_old_ones(check: Callable[..., Any]) -> None:
    check(cluster := Cluster())
    _, service, job, _ = cluster.seen[1]
    assert service["spec"] == {"ports": [{"port": 80}]}
    assert job["spec"] == {"template": {"metadata": {"labels": {"app": "job"}}, "spec": {}}}
    assert job["metadata"].keys() == {"name", "namespace", "labels"}


@pytest.mark.parametrize(
    ("cluster", "message"),
    [
        (Cluster(refuses=["password"]), "Error: password is refused\n.*Secret password is missing"),
        (Cluster(refuses=["web"]), "Error: web is refused"),
        (Cluster(changes=lambda each: {**each, "data": {}} if "data" in each else each), "password has another data"),
        (
            Cluster(changes=lambda each: {**each, "spec": {}} if "spec" in each else each),
            "Ingress web has another spec",
        ),
    ],
)
def test_a_backup_that_does_not_come_back_is_not_recorded(
    check: Callable[..., Any], cluster: Cluster, message: str
) -> None:
    with pytest.raises(CommandError, match=f"(?s)cannot be restored as it is:.*{message}"):
        check(cluster)


def test_another_file_or_another_tenants_backup_is_refused(check: Callable[..., Any]) -> None:
    cluster = Cluster()
    with pytest.raises(CommandError, match="is not the backup that is recorded"):
        check(cluster, recorded="a" * 64)
    assert cluster.seen == []
    with pytest.raises(CommandError, match="is a backup of shop-orders"):
        check(Cluster(), tenant="shop-orders")


def test_volumes_have_to_be_restored_before(check: Callable[..., Any]) -> None:
    volumes = [{"claim": "data", "volume": "pvc-1", "id": "vol-1"}]
    with pytest.raises(CommandError, match="has volumes, which the file does not have: vol-1"):
        check(Cluster(), volumes=volumes)
    assert check(Cluster(), "--volumes-restored", volumes=volumes)


def test_the_namespace_of_a_killed_test_is_deleted(check: Callable[..., Any]) -> None:
    cluster = Cluster()
    cluster.left, cluster.stored["restore-test-old"] = ["restore-test-old"], OBJECTS
    check(cluster)
    assert "restore-test-old" not in cluster.stored
