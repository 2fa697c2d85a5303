"""Attacks by files in a repository: remote bases, symbolic links to outside, programs to execute."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml

from tests.isolation import objects as of
from tests.isolation.attack import ARTIFACTS, FORBIDDEN, GIT, NEIGHBOUR, OWN, THEIRS, WEB, Attack, Link, commit
from tests.isolation.defences import LOCKDOWN, ROLE

INSIDE = "What Flux builds consists of files of the tenant's own repository."
SANDBOX = "kustomize-controller: a build sees nothing outside of the source's folder"
LINKS = "source-controller: an artifact holds no symbolic links"


def _outside() -> Iterator[Attack]:
    up = "../../../../../../../../../../../../etc/passwd"
    token = "/var/run/secrets/kubernetes.io/serviceaccount/token"
    kustomizations: dict[str, dict[str, Any]] = {
        "a base is a file of the controller": {"resources": ["/etc/passwd"]},
        "a base is reached by a path out of the repository": {"resources": [up]},
        "a base is the folder of all sources": {"resources": ["../../../../.."]},
        "a ConfigMap is made of a file of the controller": _generated("configMapGenerator", files=["x=/etc/passwd"]),
        "a Secret is made of the controller's token": _generated("secretGenerator", files=[token]),
        "a Secret is made of the controller's variables": _generated("secretGenerator", envs=["/proc/self/environ"]),
        "a patch is a file of the controller": {"patches": [{"path": up}]},
        "a component lies outside of the repository": {"components": ["../../../.."]},
        "a schema is a file of the controller": {"openapi": {"path": up}},
        "a replacement is a file of the controller": {"replacements": [{"path": up}]},
    }
    for name, kustomization in kustomizations.items():
        yield commit(name, INSIDE, "fs-security-constraint", SANDBOX, kustomization=kustomization)
    generated = _generated("configMapGenerator", files=["link"])
    for what, target, kustomization in (
        ("a file of the controller", "/etc/passwd", generated),
        ("the controller's token", token, generated),
        ("the sources of its neighbours", "../../../..", {"resources": ["link"]}),
        ("all that a file system holds", "/", {"resources": ["link"]}),
    ):
        name, reason, link = f"a link leads to {what}", "no such file or directory", Link(target)
        yield commit(name, INSIDE, reason, LINKS, files={"link": link}, kustomization=kustomization)
    yield commit(
        "the kustomization itself is a link to a file of the controller",
        INSIDE,
        "accumulating resources from 'folder'",
        LINKS,
        files={"folder/kustomization.yaml": Link("/etc/passwd"), "folder/other.yaml": ""},
        kustomization={"resources": ["folder"]},
    )


def _generated(by: str, **given: list[str]) -> dict[str, Any]:
    return {by: [{"name": "attack", **given}]}


def _programs() -> Iterator[Attack]:
    promise = "Flux runs no program of a tenant's."
    off = "kustomize-controller: plugins are off"
    generator = {"apiVersion": "attack.example.com/v1", "kind": "Attack", "metadata": {"name": "attack"}}
    for what, annotation in (
        ("a program", {"config.kubernetes.io/function": "exec: {path: ./attack.sh}"}),
        ("a container", {"config.kubernetes.io/function": "container: {image: evil, network: true}"}),
        ("a script", {"config.kubernetes.io/function": "starlark: {path: ./attack.star}"}),
        ("an old plugin", {}),
    ):
        text = yaml.safe_dump({**generator, "metadata": {"name": "attack", "annotations": annotation}})
        files = {"generator.yaml": text, "attack.sh": "#!/bin/sh\ntouch /tmp/attack\n", "attack.star": "x = 1\n"}
        for use in ("generators", "transformers"):
            name, reason = f"{what} is to be run by {use}", "external plugins disabled"
            yield commit(name, promise, reason, off, files=files, kustomization={use: ["generator.yaml"]})
    chart = {"name": "podinfo", "repo": "https://charts.example.com", "version": "1.0.0"}
    name = "a chart is to be rendered by a program"
    yield commit(name, promise, "must specify --enable-helm", off, kustomization={"helmCharts": [chart]})


def _remote() -> Iterator[Attack]:
    flag = "Flux: --no-remote-bases"
    for what, address, without in (
        ("by HTTP", f"{GIT}/acme/hostile//kustomize?ref=elsewhere", frozenset({LOCKDOWN})),
        ("by SSH", "ssh://git@127.0.0.1/acme/product//kustomize?ref=main", frozenset[str]()),
    ):
        name = f"a base is another repository, {what}"
        proof = f"/api/v1/namespaces/{OWN}/configmaps/from-the-web" if without else ""
        base = {"resources": [address]}
        yield commit(name, INSIDE, "accumulating resources", flag, without, kustomization=base, proof=proof)
    yield commit(
        "a base is a file on the web",
        INSIDE,
        "proxyconnect",
        "Flux: kustomize-controller's proxy, which is not there",
        frozenset({LOCKDOWN}),
        kustomization={"resources": [f"{WEB}/base.yaml"]},
        proof=f"/api/v1/namespaces/{OWN}/configmaps/from-the-web",
    )


def _artifacts() -> Iterator[Attack]:
    """source-controller lists and serves all tenants' artifacts without authentication."""
    for what, address in (
        ("lists its neighbours", f"{ARTIFACTS}/gitrepository/"),
        ("lists a neighbour's commits", f"{ARTIFACTS}/gitrepository/{NEIGHBOUR}/{NEIGHBOUR}/"),
        ("reads a neighbour's whole repository", THEIRS),
    ):
        yield commit(
            f"a generator {what}",
            "No tenant reads what its neighbours' products consist of.",
            "proxyconnect",
            "Flux: kustomize-controller reads artifacts under a name that is a secret",
            frozenset({LOCKDOWN}),
            kustomization={
                **_generated("configMapGenerator", files=[f"stolen={address}"]),
                "generatorOptions": {"disableNameSuffixHash": True},
            },
            proof=f"/api/v1/namespaces/{OWN}/configmaps/attack",
        )


def _moved() -> Iterator[Attack]:
    """Kustomize moves every object into the tenant's namespace, but the tenant's own replacements run after that."""
    promise = "A tenant's objects stay in its own namespace."
    source = {"kind": "ConfigMap", "name": "destination", "fieldPath": "data.namespace"}
    # A unique name: all attacks would create their objects in the neighbour's namespace.
    target = {"select": {"kind": "ConfigMap", "name": "moved"}, "fieldPaths": ["metadata.namespace"]}
    destination = of.make("ConfigMap", OWN, name="destination", data={"namespace": NEIGHBOUR})
    moved = of.make("ConfigMap", OWN, name="moved", data={"x": "y"})
    proof = f"/api/v1/namespaces/{NEIGHBOUR}/configmaps/moved"
    yield commit(
        "an object gets a neighbour's namespace by a replacement",
        promise,
        FORBIDDEN,
        ROLE,
        frozenset({ROLE}),
        objects=(destination, moved),
        kustomization={"replacements": [{"source": source, "targets": [target]}]},
        proof=proof,
    )


ATTACKS = (*_outside(), *_programs(), *_remote(), *_artifacts(), *_moved())
