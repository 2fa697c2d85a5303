"""Flux's install manifest, assembled from Go modules, equals the output of Flux's own command."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from local.toolchain import ToolchainError, manifest

# `flux install --export | sha256sum` of Flux 2.9.2: its four default components.
EXPORTED = "ed307189fd1f9e49819a50843bb6f3c9257fe6d4d8359d1950b38207c26c3854"


def test_the_manifest_is_byte_for_byte_the_output_of_flux_install_export():
    # The image controllers add documents at the end, and their names to the header; they change nothing else.
    text = manifest.install_manifest().read_text()
    header, *documents = text.removeprefix("---\n").split("\n---\n")
    images = ("image-reflector-controller", "image-automation-controller")
    for name in images:
        header = header.replace(f",{name}", "")
    kept = [each for each in documents if not any(f"app.kubernetes.io/component: {name}\n" in each for name in images)]
    default = "---\n" + "\n---\n".join([header, *kept]).rstrip("\n") + "\n"
    assert len(documents) - len(kept) == 7
    assert hashlib.sha256(default.encode()).hexdigest() == EXPORTED


def test_the_manifest_comes_with_its_digest():
    path = manifest.install_manifest()
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert path.with_name("install.yaml.sha256").read_text() == f"{digest}  install.yaml\n"


def test_assembling_again_elsewhere_makes_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    before = manifest.install_manifest()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("KUSTOMIZE_PLUGIN_HOME", "/elsewhere")
    again = manifest.install_manifest()
    assert again != before
    assert again.read_bytes() == before.read_bytes()
    assert [path.name for path in again.parent.parent.iterdir()] == [again.parent.name]


def test_a_controller_that_the_flux_release_does_not_ship_is_refused(tmp_path: Path):
    base = tmp_path / "source-controller"
    base.mkdir()
    config = tmp_path / "config"
    for folder in ("crd", "manager"):
        (config / folder).mkdir(parents=True)
    download = "https://github.com/fluxcd/source-controller/releases/download/v0.0.1/source-controller"
    (base / "kustomization.yaml").write_text(f"resources:\n- {download}.crds.yaml\n- {download}.deployment.yaml\n")
    with pytest.raises(ToolchainError, match="does not ship source-controller v"):
        manifest.replace_downloads(base, "source-controller", tmp_path)
