"""`./saas tenant status`: what Git and the cluster know about each tenant's way to a running product."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cli import __main__ as command_line
from cli import milestones, tenants_file
from cli.milestones import Milestones
from model import status

TEXT = """\
products:
  shop: {source: {url: "https://github.com/acme/shop", branch: main}}
tiers:
  basic: {hosts: ["*.{tenant}.example.com", "{tenant}.example.com"]}
tenants:
  - name: alpha
    product: shop
"""
BETA = "  - name: beta\n    product: shop\n    hosts: []\n"
GAMMA = "  - name: gamma\n    product: shop\n    suspended: {since: 2026-11-26, reason: not paid}\n"
FIRST, WRITTEN, MERGED = "2026-11-23T08:00:00Z", "2026-11-24T09:30:00Z", "2026-11-25T10:00:00Z"
APPLIED = "2026-11-25T10:20:00Z"


class Cluster:
    """Answers for a cluster in which alpha is ready and gamma is not."""

    def get(self, path: str) -> dict[str, Any] | None:
        if path == f"/api/v1/namespaces?labelSelector={status.TENANT_LABEL}":
            made = {"creationTimestamp": APPLIED}
            return {"items": [{"metadata": {"name": name, **made}} for name in ("alpha", "gamma")]}
        if path in (status.SOURCES, status.KUSTOMIZATIONS):
            return {"items": [self.flux("alpha", "True"), self.flux("gamma", "False")]}
        return None

    def flux(self, name: str, ready: str) -> dict[str, Any]:
        return {
            "kind": "Kustomization",
            "metadata": {"name": name, "namespace": name, "generation": 1},
            "spec": {"sourceRef": {"name": name}},
            "status": {"observedGeneration": 1, "conditions": [{"type": "Ready", "status": ready, "message": ""}]},
        }


@pytest.fixture
def git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Runs Git at a time, in a repository in which a pull request with beta was merged into main."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)

    def run(*arguments: str, at: str = FIRST) -> None:
        given = {f"GIT_{who}_{key}": "test" for who in ("AUTHOR", "COMMITTER") for key in ("NAME", "EMAIL")}
        times = {"GIT_AUTHOR_DATE": at, "GIT_COMMITTER_DATE": at}
        subprocess.run(["git", *arguments], cwd=tmp_path, env={**os.environ, **given, **times}, check=True)

    run("init", "--quiet", "--initial-branch=main")
    (tmp_path / "tenants.yaml").write_text(TEXT)
    run("add", ".")
    run("commit", "--quiet", "-m", "first")
    run("checkout", "--quiet", "-b", "saas/add-beta")
    (tmp_path / "tenants.yaml").write_text(TEXT + BETA)
    run("commit", "--quiet", "-am", "beta", at=WRITTEN)
    run("checkout", "--quiet", "main")
    run("merge", "--quiet", "--no-ff", "-m", "merged", "saas/add-beta", at=MERGED)
    return run


def known(folder: Path) -> dict[str, Milestones]:
    file = folder / "tenants.yaml"
    return {each.name: each for each in milestones.milestones(tenants_file.load(file), file, Cluster())}


def test_a_tenant_is_requested_then_merged_applied_and_ready(git: Callable[..., None], tmp_path: Path) -> None:
    found = known(tmp_path)
    assert found["alpha"] == Milestones(
        *("alpha", "basic", "shop", "active"), FIRST, FIRST, APPLIED, True, "https://alpha.example.com"
    )
    assert found["beta"] == Milestones(*("beta", "basic", "shop", "active"), WRITTEN, MERGED, None, False, None)


def test_what_is_not_committed_is_neither_requested_nor_merged(git: Callable[..., None], tmp_path: Path) -> None:
    (tmp_path / "tenants.yaml").write_text(TEXT + GAMMA + BETA)
    found = known(tmp_path)
    assert found["gamma"] == Milestones(
        *("gamma", "basic", "shop", "suspended"), None, None, APPLIED, False, "https://gamma.example.com"
    )
    assert (found["beta"].requested, found["beta"].merged) == (WRITTEN, MERGED), "their lines have moved"


def test_a_later_change_of_an_entry_keeps_its_times(git: Callable[..., None], tmp_path: Path) -> None:
    (tmp_path / "tenants.yaml").write_text((TEXT + BETA).replace("hosts: []", "tier: premium"))
    git("commit", "--quiet", "-am", "set beta", at="2026-11-26T00:00:00Z")
    assert (known(tmp_path)["beta"].tier, known(tmp_path)["beta"].requested) == ("premium", WRITTEN)


def test_history_that_is_cut_off_or_absent_is_not_guessed(git: Callable[..., None], tmp_path: Path) -> None:
    git("clone", "--quiet", "--depth=1", f"file://{tmp_path}", "shallow")
    assert {(each.requested, each.merged) for each in known(tmp_path / "shallow").values()} == {(None, None)}
    (tmp_path / "shallow" / "plain").mkdir()
    (tmp_path / "shallow" / "plain" / "tenants.yaml").write_text(TEXT)
    assert known(tmp_path / "shallow" / "plain")["alpha"].requested is None


def test_the_command_prints_a_table_or_json(
    git: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(milestones, "Kubectl", lambda _: Cluster())
    arguments = ["tenant", "status", "--file", str(tmp_path / "tenants.yaml")]
    table = CliRunner().invoke(command_line.app, arguments, catch_exceptions=False).stdout.splitlines()
    assert table[1].split() == ["alpha", "active", FIRST, FIRST, APPLIED, "yes", "https://alpha.example.com"]
    shown = json.loads(CliRunner().invoke(command_line.app, [*arguments, "--json"], catch_exceptions=False).stdout)
    beta = {"name": "beta", "tier": "basic", "product": "shop", "state": "active"}
    assert shown[1] == beta | {"requested": WRITTEN, "merged": MERGED, "applied": None, "ready": False, "url": None}
