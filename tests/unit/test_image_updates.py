"""The check that product teams copy: what the image automation pushed is newer, and no link is below the folder."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from local import registry

GITHUB = Path(__file__).parents[2] / "local" / "shop" / ".github"
SCRIPT = GITHUB / "image_updates.py"
TAG, DIGEST, IMAGE = "product-shop:app:tag", "product-shop:app:digest", "product-shop:app"
HELD = "shop: 1.0.0\n\nHold: 1.0.0"


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("image_updates", SCRIPT)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


check = load()


@pytest.mark.parametrize(
    ("setter", "before", "after"),
    [
        (TAG, "1.0.0", "1.0.1"),
        (TAG, "1.9.0", "1.10.0"),
        (TAG, "1.0.0-rc.2", "1.0.0-rc.10"),
        (TAG, "1.0.0-rc.1", "1.0.0"),
        (TAG, "99", "100"),
        (IMAGE, "ghcr.io/acme/app:1.0.0", "ghcr.io/acme/app:1.0.1@sha256:1"),
        (IMAGE, "registry:5000/app:1.0.0@sha256:1", "registry:5000/app:1.0.1@sha256:2"),
    ],
)
def test_newer_versions_pass_and_the_way_back_does_not(setter: str, before: str, after: str) -> None:
    old, new = {setter: {before}}, {setter: {after}}
    assert list(check.downgrades(old, new, "", None)) == []
    assert len(list(check.downgrades(new, old, "", None))) == 1


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({TAG: {"main-2"}}, {TAG: {"main-3"}}),
        ({TAG: {"1.0.0"}, DIGEST: {"sha256:1"}}, {TAG: {"1.0.0"}, DIGEST: {"sha256:2"}}),
        ({IMAGE: {"app:1.0.0@sha256:1"}}, {IMAGE: {"app:1.0.0@sha256:2"}}),
        ({TAG: {"1.0.0", "2.0.0"}}, {TAG: {"1.1.0"}}),
    ],
)
def test_what_cannot_be_shown_to_be_newer_is_refused(before: dict[str, set[str]], after: dict[str, set[str]]) -> None:
    assert list(check.downgrades(before, after, "", None))


def test_a_pattern_tells_which_part_of_a_tag_to_compare() -> None:
    before, after = {TAG: {"main-f00-9"}}, {TAG: {"main-abc-10"}}
    assert list(check.downgrades(before, after, r"^main-\w+-(\d+)$", None)) == []
    assert list(check.downgrades(after, before, r"^main-\w+-(\d+)$", None))


def test_the_held_version_is_accepted_and_no_other_old_one() -> None:
    assert list(check.downgrades({TAG: {"1.4.0"}}, {TAG: {"v1.0.0"}}, "", "1.0.0")) == []
    assert list(check.downgrades({TAG: {"1.4.0"}}, {TAG: {"1.1.0"}}, "", "1.0.0"))


def test_a_new_marker_is_no_downgrade() -> None:
    assert list(check.downgrades({}, {TAG: {"1.0.0"}, DIGEST: {"sha256:1"}}, "", None)) == []


Git = Callable[..., str]


@pytest.fixture
def git(tmp_path: Path) -> Git:
    """Git in a repository whose branch main has the sample product."""
    identity = ["-c", "user.name=Test", "-c", "user.email=test@example.com"]

    def run(*arguments: str) -> str:
        environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "GIT_CONFIG_NOSYSTEM": "1"}
        return subprocess.run(
            ["git", *identity, *arguments], cwd=tmp_path, check=True, capture_output=True, text=True, env=environment
        ).stdout

    run("init", "--initial-branch=main")
    (tmp_path / "kustomize").mkdir()
    (tmp_path / "kustomize" / "kustomization.yaml").write_text(
        (GITHUB.parent / "kustomize" / "kustomization.yaml").read_text()
    )
    run("add", "--all")
    run("commit", "--message", "Start")
    run("switch", "--create", "flux/images")
    return run


def pushed(git: Git, message: str) -> subprocess.CompletedProcess[str]:
    """Commit everything, and check it as the workflow does."""
    git("add", "--all")
    git("commit", "--message", message)
    folder = git("rev-parse", "--show-toplevel").strip()
    command = [sys.executable, SCRIPT, "--base", "main", "--head", "HEAD", "--path", "kustomize"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


def set_version(folder: Path, version: str) -> None:
    file = folder / "kustomize" / "kustomization.yaml"
    file.write_text(file.read_text().replace("newTag: 1.0.0", f"newTag: {version}"))


def test_the_sample_product_names_the_first_release_of_its_image() -> None:
    text = (GITHUB.parent / "kustomize" / "kustomization.yaml").read_text()
    (image,) = yaml.safe_load(text)["images"]
    digest = registry.image("product", "1.0.0").digest
    assert image == {"name": f"{registry.HOST}/product", "newTag": "1.0.0", "digest": digest}
    assert all(f'{{"$imagepolicy": "product-shop:app:{part}"}}' in text for part in ("tag", "digest"))


def test_an_update_passes_and_a_downgrade_is_named(git: Git, tmp_path: Path) -> None:
    set_version(tmp_path, "1.1.0")
    assert pushed(git, "shop: 1.1.0").returncode == 0
    git("switch", "main")
    git("merge", "flux/images")
    git("switch", "flux/images")
    (file := tmp_path / "kustomize" / "kustomization.yaml").write_text(file.read_text().replace("1.1.0", "1.0.0"))
    refused = pushed(git, "shop: 1.0.0")
    assert refused.returncode == 1
    assert "product-shop:app:tag: 1.0.0 is not newer than 1.1.0" in refused.stdout
    git("commit", "--amend", "--message", HELD)
    command = [sys.executable, SCRIPT, "--base", "main", "--path", "kustomize"]
    assert subprocess.run(command, cwd=tmp_path).returncode == 0


def test_a_link_below_the_folder_is_refused(git: Git, tmp_path: Path) -> None:
    (tmp_path / "kustomize" / "more.yaml").symlink_to("../../elsewhere.yaml")
    refused = pushed(git, "A link")
    assert refused.returncode == 1
    assert "kustomize/more.yaml is a symbolic link" in refused.stdout


def test_a_link_in_place_of_the_folder_is_refused(git: Git, tmp_path: Path) -> None:
    git("mv", "kustomize", "elsewhere")
    (tmp_path / "kustomize").symlink_to("elsewhere")
    refused = pushed(git, "A link")
    assert "kustomize is a symbolic link" in refused.stdout


def test_a_link_elsewhere_in_the_repository_does_not_matter(git: Git, tmp_path: Path) -> None:
    (tmp_path / "README.md").symlink_to("kustomize/kustomization.yaml")
    assert pushed(git, "A link").returncode == 0
