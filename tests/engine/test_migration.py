"""A stack of the previous release moves to this one by an ordinary `pulumi up`, under running tenants.

previous_release.tar.gz is the program as it was released, so that this works without the repository's history:
`git archive --format=tar.gz -o tests/engine/previous_release.tar.gz cdea14e __main__.py components model Pulumi.yaml
pyproject.toml`.
"""

from __future__ import annotations

import shutil
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from local.home import PROJECT
from tests.platform import PRIVATE, PUBLIC, Platform, Stack, Step, eventually, running_platform

RELEASE = Path(__file__).parent / "previous_release.tar.gz"

TENANTS = ("alpha", "beta", "gamma")


def tenants(**gamma: str) -> str:
    """Alpha and gamma have the roles that both releases give where nothing is said: cluster-admin, and this one's own.

    Gamma has an agent for every node, which only the first permits; `gamma` is what its entry says beside its source.
    """
    entries = [
        {"name": "alpha", "source": PRIVATE},
        {"name": "beta", "role": "admin", "source": PUBLIC},
        {"name": "gamma", **gamma, "source": {**PRIVATE, "path": "./agent"}},
    ]
    return yaml.safe_dump({"defaults": {"interval": "2s", "source": {"path": "./kustomize"}}, "tenants": entries})


AGENT = """\
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: agent}
spec:
  selector: {matchLabels: {app: agent}}
  template:
    metadata: {labels: {app: agent}}
    spec: {containers: [{name: agent, image: ghcr.io/acme/agent:1}]}
"""

APIS = {
    "Namespace": "/api/v1/namespaces/{0}",
    "GitRepository": "/apis/source.toolkit.fluxcd.io/v1/namespaces/{0}/gitrepositories/{0}",
    "Kustomization": "/apis/kustomize.toolkit.fluxcd.io/v1/namespaces/{0}/kustomizations/{0}",
}
"""What must never be replaced, and where the API server has it."""

BINDING = "kubernetes:rbac.authorization.k8s.io/v1:RoleBinding"


@dataclass
class Migration:
    """What happened on the way."""

    platform: Platform
    stack: Stack
    uids: dict[tuple[str, str], str]
    pods: dict[str, set[str]]
    preview: list[Step]
    update: list[Step]


@pytest.fixture(scope="module")
def migration(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Migration]:
    for platform in running_platform(tmp_path_factory.mktemp("migration")):
        _use_previous_release(platform.project)
        stack = platform.stack("migration")
        (platform.project / stack.tenants_file).write_text(tenants())
        stack.up()
        agent: dict[str, str | None] = {
            "agent/agent.yaml": AGENT,
            "agent/kustomization.yaml": "resources: [agent.yaml]\n",
        }
        platform.push("acme/product", agent, tmp_path_factory.mktemp("agent"))
        for tenant in TENANTS:
            eventually(partial(_ready, platform, tenant))
            eventually(partial(_pods, platform, tenant))
        uids, pods = _uids(platform), {tenant: _pods(platform, tenant) for tenant in TENANTS}
        _use_this_release(platform.project)
        yield Migration(platform, stack, uids, pods, stack.preview(), stack.up())


def test_no_namespace_and_no_flux_object_is_replaced(migration: Migration) -> None:
    kinds = [f":{kind}" for kind in APIS]
    touched = [step for step in migration.update if step.type.endswith(tuple(kinds))]
    assert {(step.op, step.name) for step in touched} >= {("update", tenant) for tenant in TENANTS}
    assert [step for step in touched if step.op != "update"] == []
    assert _uids(migration.platform) == migration.uids


def test_nothing_is_taken_away_but_the_bindings_whose_role_changes(migration: Migration) -> None:
    gentle = {"create", "update"}
    rough = {(step.type, step.name) for step in migration.update if step.op not in gentle}
    assert rough == {(BINDING, "alpha"), (BINDING, "gamma")}
    binding = migration.platform.get(
        "/apis/rbac.authorization.k8s.io/v1/namespaces/alpha/rolebindings/alpha-reconciler"
    )
    assert binding is not None
    assert binding["roleRef"]["name"] == "saas-tenant-reconciler"


def test_the_preview_told_it(migration: Migration) -> None:
    assert sorted(map(repr, migration.preview)) == sorted(map(repr, migration.update))
    migration.stack.run("preview", "--expect-no-changes")


def test_the_tenants_go_on_within_their_new_limits(migration: Migration, tmp_path: Path) -> None:
    platform = migration.platform
    files: dict[str, str | None] = {
        "kustomize/late.yaml": LATE,
        "kustomize/kustomization.yaml": _with_late(platform, tmp_path),
    }
    commit = platform.push("acme/product", files, tmp_path)
    eventually(lambda: _ready(platform, "alpha") == commit)
    assert platform.get("/api/v1/namespaces/alpha/configmaps/late") is not None
    for tenant in ("alpha", "beta"):
        assert _ready(platform, tenant)
        quota = platform.get(f"/api/v1/namespaces/{tenant}/resourcequotas/tenant")
        assert quota is not None
        assert quota["spec"]["hard"]["requests.cpu"] == "2"


def test_no_pod_is_restarted(migration: Migration) -> None:
    for tenant, before in migration.pods.items():
        assert before <= _pods(migration.platform, tenant), tenant


def test_what_the_new_role_does_not_permit_stays_as_it_was_until_the_tenant_gets_its_role_back(
    migration: Migration,
) -> None:
    platform, stack = migration.platform, migration.stack
    path = "/apis/apps/v1/namespaces/gamma/daemonsets/agent"
    before = platform.get(path)
    assert before is not None
    eventually(lambda: "forbidden" in _condition(platform, "gamma").get("message", ""))
    (platform.project / stack.tenants_file).write_text(tenants(role="admin"))
    assert {(step.type, step.name) for step in stack.up()} == {(BINDING, "gamma")}
    eventually(lambda: _ready(platform, "gamma"))
    after = platform.get(path)
    assert after is not None
    assert after["metadata"]["uid"] == before["metadata"]["uid"]


LATE = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: late}\n"


def _with_late(platform: Platform, folder: Path) -> str:
    clone = folder / "product"
    done = platform.git("clone", platform.repository("acme/product"), str(clone), folder=folder)
    assert done.returncode == 0, done.stderr
    content: dict[str, Any] = yaml.safe_load((clone / "kustomize/kustomization.yaml").read_text())
    content["resources"].append("late.yaml")
    return yaml.safe_dump(content)


def _use_previous_release(project: Path) -> None:
    for name in ("components", "model"):
        (project / name).unlink()
    with tarfile.open(RELEASE) as archive:
        archive.extractall(project, filter="data")


def _use_this_release(project: Path) -> None:
    for name in ("components", "model"):
        shutil.rmtree(project / name)
        (project / name).symlink_to(PROJECT / name)
    for name in ("__main__.py", "Pulumi.yaml", "pyproject.toml"):
        shutil.copy(PROJECT / name, project / name)


def _uids(platform: Platform) -> dict[tuple[str, str], str]:
    found: dict[tuple[str, str], str] = {}
    for kind, path in APIS.items():
        for tenant in (*TENANTS, "flux-system"):
            item = platform.get(path.format(tenant))
            assert item is not None, f"{kind} {tenant}"
            found[kind, tenant] = item["metadata"]["uid"]
    return found


def _pods(platform: Platform, tenant: str) -> set[str]:
    found = platform.get(f"/api/v1/namespaces/{tenant}/pods") or {}
    return {pod["metadata"]["uid"] for pod in found.get("items", [])}


def _ready(platform: Platform, tenant: str) -> str:
    """The commit that was applied last, by the Kustomization as it is now; empty while it is not ready."""
    condition = _condition(platform, tenant)
    item = platform.get(APIS["Kustomization"].format(tenant)) or {}
    return item["status"].get("lastAppliedRevision", "").rpartition(":")[2] if condition.get("status") == "True" else ""


def _condition(platform: Platform, tenant: str) -> dict[str, Any]:
    """Whether the Kustomization as it is now is ready; empty while nobody has looked at it."""
    item = platform.get(APIS["Kustomization"].format(tenant)) or {}
    generation = item.get("metadata", {}).get("generation")
    conditions = item.get("status", {}).get("conditions", [])
    ready = (one for one in conditions if one["type"] == "Ready")
    return next((one for one in ready if one.get("observedGeneration", generation) == generation), {})
