"""A platform with one neighbour and some hostile tenants, brought up by `pulumi up`; Flux reconciles them for real.

A pytest plugin: the modules that name it share one platform.
"""

from __future__ import annotations

import queue
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import ANY

import pytest
import yaml

from model.kubernetes.manifests import Manifest
from standins.github import git
from standins.github.store import Store
from tests.isolation.actors import Actor
from tests.isolation.hostile import NEIGHBOUR, OWN, SECONDS, product
from tests.isolation.hostile_defences import space
from tests.isolation.hostile_platform import HostilePlatform
from tests.isolation.hostile_tenants import (
    ORDINARY,
    ORDINARY_HELM,
    REPOSITORY,
    SAMPLE,
    neighbours_product,
    tenants,
    tenants_file,
)
from tests.isolation.hostile_web import FROM_THE_WEB, serve
from tests.platform import Platform, eventually


def _definition(kind: str, plural: str) -> Manifest:
    """A kind of Flux's image controllers, reduced to its name."""
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    group = "image.toolkit.fluxcd.io"
    names = {"kind": kind, "plural": plural, "singular": kind.lower()}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    spec = {"group": group, "names": names, "scope": "Namespaced", "versions": [version]}
    kind_of = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition"}
    return {**kind_of, "metadata": {"name": f"{plural}.{group}"}, "spec": spec}


DEFINITIONS = (
    _definition("ImageRepository", "imagerepositories"),
    _definition("ImagePolicy", "imagepolicies"),
    _definition("ImageUpdateAutomation", "imageupdateautomations"),
)


@pytest.fixture(scope="session")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostilePlatform]:
    """The platform with all tenants ready."""
    yield from running(tmp_path_factory.mktemp("hostile"))


def running(folder: Path) -> Iterator[HostilePlatform]:
    """The platform in a folder, until the caller is done with it."""
    platform = Platform(folder)
    web = serve()
    try:
        platform.start()
        store, person = Store(platform.home.git), git.Person("Hostile team", "hostile@acme.example")

        def first(path: Path) -> None:
            git.commit_files(path, "main", {"README.md": b"Nothing.\n"}, "Start", person, parent=None)

        store.create("acme", REPOSITORY, {"private": False}, default_branch="main", first_commit=first)
        (folder / "clones").mkdir()
        stack = platform.stack("hostile")
        # An address of this machine that Go's programs do not take for loopback, which they never ask by a proxy.
        on = HostilePlatform(platform, stack, folder / "clones", f"http://0.0.0.0:{web.server_port}")
        on.commit(NEIGHBOUR, neighbours_product())
        remote = {"kustomization.yaml": "resources: [base.yaml]\n", "base.yaml": yaml.safe_dump(FROM_THE_WEB)}
        on.commit("elsewhere", remote)
        for name in (ORDINARY, ORDINARY_HELM, *tenants()):
            on.commit(name, {file: text.replace(OWN, name) for file, text in product("first").items()})
        (platform.project / stack.tenants_file).write_text(tenants_file())
        Actor(platform.home).apply(*DEFINITIONS)
        stack.up()
        for name in (NEIGHBOUR, ORDINARY, ORDINARY_HELM, SAMPLE, *tenants()):
            eventually(lambda name=name: on.verdict("Kustomization", name, name), 2 * SECONDS)
            assert on.verdict("Kustomization", name, name) == (True, ANY), name
        for name, kind in tenants().items():
            on.idle.setdefault(kind, queue.Queue()).put(name)
        on.space = space(on)
        eventually(lambda: _running(on, NEIGHBOUR), SECONDS)
        on.calm = on.snapshot(NEIGHBOUR)
        yield on
    finally:
        web.shutdown()
        platform.stop()


def _running(on: HostilePlatform, namespace: str) -> bool:
    pods = (on.get(f"/api/v1/namespaces/{namespace}/pods") or {"items": []})["items"]
    return bool(pods) and all(pod["status"].get("phase") == "Running" for pod in pods)
