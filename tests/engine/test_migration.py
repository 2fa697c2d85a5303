"""A stack of the previous release moves to this one by `pulumi up`, with running tenants: updates in place only.

previous_release.tar.gz is the program as it was released, so that this works without the repository's history:
`git archive --format=tar.gz -o tests/engine/previous_release.tar.gz ddaa287 __main__.py components model Pulumi.yaml
pyproject.toml`.
"""

from __future__ import annotations

import re
import shutil
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from local.home import PROJECT
from tests.platform import PRIVATE, PUBLIC, Platform, Stack, Step, eventually, running_platform

RELEASE = Path(__file__).parent / "previous_release.tar.gz"

TENANTS = {"alpha": PRIVATE, "beta": PUBLIC}

UPDATED = {
    ("Deployment", "source-controller"),
    ("Deployment", "kustomize-controller"),
    ("ClusterRole", "crd-controller-flux-system"),
    ("Deployment", "helm-controller"),
    ("GitRepository", "flux-system"),
    ("Kustomization", "flux-system"),
    ("RepositoryFile", "clusters/migration/flux-system/gotk-components.yaml"),
    ("RepositoryFile", "clusters/migration/flux-system/gotk-sync.yaml"),
}
"""Flux's controllers leave the infra repository to others of its own."""

APIS = {
    "Namespace": "/api/v1/namespaces/{0}",
    "GitRepository": "/apis/source.toolkit.fluxcd.io/v1/namespaces/{0}/gitrepositories/{0}",
    "Kustomization": "/apis/kustomize.toolkit.fluxcd.io/v1/namespaces/{0}/kustomizations/{0}",
}
"""Objects that must never be replaced, by their kinds."""

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


@dataclass
class Migration:
    """A migrated stack, and its objects before the migration."""

    platform: Platform
    stack: Stack
    urns: set[str]
    uids: dict[tuple[str, str], str]
    pods: dict[str, set[str]]
    commit: str
    preview: list[Step]
    update: list[Step]


@pytest.fixture(scope="module")
def migration(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Migration]:
    for platform in running_platform(tmp_path_factory.mktemp("migration")):
        _use_previous_release(platform.project)
        stack = platform.stack("migration")
        stack.tenants(TENANTS)
        stack.up()
        for tenant in TENANTS:
            eventually(partial(_applied_commit, platform, tenant))
            eventually(partial(_pods, platform, tenant))
        urns, uids, commit = _urns(stack), _uids(platform), _infra_commit(platform)
        pods = {tenant: _pods(platform, tenant) for tenant in (*TENANTS, "flux-system")}
        _use_this_release(platform.project)
        yield Migration(platform, stack, urns, uids, pods, commit, stack.preview(), stack.up())


def test_the_update_changes_in_place_what_the_preview_shows(migration: Migration) -> None:
    assert sorted(map(repr, migration.preview)) == sorted(map(repr, migration.update))
    assert {step.op for step in migration.update} <= {"create", "update"}


def test_no_resource_is_lost_and_the_second_update_changes_nothing(migration: Migration) -> None:
    after = {re.sub(r"/(reconciler/[\w-]+|acme)$", "", urn) for urn in _urns(migration.stack)}
    assert after >= migration.urns, "only role bindings and keys have another name, which an alias connects"
    # The Kubernetes provider records an object that it waits for as its watch saw it, which may be before the change.
    migration.stack.run("refresh", "--yes", "--skip-preview")
    migration.stack.run("preview", "--expect-no-changes", "--diff")


def test_no_object_is_replaced_and_no_pod_of_a_tenant_restarted(migration: Migration) -> None:
    assert _uids(migration.platform) == migration.uids
    for tenant in TENANTS:
        assert migration.pods[tenant] <= _pods(migration.platform, tenant), tenant


def test_the_infra_repository_gets_changes_of_flux_only(migration: Migration, tmp_path: Path) -> None:
    platform = migration.platform
    assert (
        platform.git("clone", platform.repository("acme/saas-in-eks-infra"), "infra", folder=tmp_path).returncode == 0
    )
    done = platform.git("diff", "--name-only", migration.commit, "HEAD", folder=tmp_path / "infra")
    assert done.returncode == 0, done.stderr
    assert {name.rpartition("/")[0] for name in done.stdout.split()} <= {"clusters/migration/flux-system"}
    eventually(lambda: _applied_commit(platform, "flux-system") == _infra_commit(platform), 90)


def test_tenants_are_still_reconciled(migration: Migration, tmp_path: Path) -> None:
    commit = migration.platform.push("acme/product", {"README.md": "A later release\n"}, tmp_path)
    eventually(lambda: _applied_commit(migration.platform, "alpha") == commit)


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


def _urns(stack: Stack) -> set[str]:
    return {resource["urn"] for resource in stack.exported()["deployment"]["resources"]}


def _uids(platform: Platform) -> dict[tuple[str, str], str]:
    found = {("CustomResourceDefinition", item["metadata"]["name"]): item for item in _items(platform, DEFINITIONS)}
    for kind, path in APIS.items():
        for tenant in (*TENANTS, "flux-system"):
            item = platform.get(path.format(tenant))
            assert item is not None, f"{kind} {tenant}"
            found[kind, tenant] = item
    return {key: item["metadata"]["uid"] for key, item in found.items()}


def _pods(platform: Platform, namespace: str) -> set[str]:
    return {pod["metadata"]["uid"] for pod in _items(platform, f"/api/v1/namespaces/{namespace}/pods")}


def _items(platform: Platform, path: str) -> list[dict[str, Any]]:
    return (platform.get(path) or {}).get("items", [])


def _infra_commit(platform: Platform) -> str:
    done = platform.git("ls-remote", platform.repository("acme/saas-in-eks-infra"), "HEAD", folder=platform.project)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()[0]


def _applied_commit(platform: Platform, tenant: str) -> str:
    """The commit that Flux applied last; empty while the Kustomization in its current generation is not ready."""
    item = platform.get(APIS["Kustomization"].format(tenant)) or {}
    generation = item.get("metadata", {}).get("generation")
    status = item.get("status", {})
    ready = any(
        condition["type"] == "Ready"
        and condition["status"] == "True"
        and condition.get("observedGeneration", generation) == generation
        for condition in status.get("conditions", [])
    )
    return status.get("lastAppliedRevision", "").rpartition(":")[2] if ready else ""
