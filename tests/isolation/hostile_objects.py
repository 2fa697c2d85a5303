"""Objects of Kubernetes as attacks need them."""

from __future__ import annotations

from typing import Any

from model.kubernetes.manifests import Manifest
from tests.isolation import objects as of
from tests.isolation.hostile import OWN

EVERYTHING = {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}
"""A rule that allows everything."""


def wide(kind: str, version: str, name: str = "attack-{0}", **content: Any) -> Manifest:
    """An object of the whole cluster."""
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name.format(OWN)}, **content}


def evil(manifest: Manifest) -> Manifest:
    """The same object under a name of its own."""
    return {**manifest, "metadata": {**manifest["metadata"], "name": "attack"}}


def pods_of(**changes: Any) -> Manifest:
    """A Deployment whose pods can be told from the product's."""
    deployment = evil(of.deployment(OWN, **changes))
    labels = {"app": "attack"}
    template = {**deployment["spec"]["template"], "metadata": {"labels": labels}}
    return {**deployment, "spec": {"selector": {"matchLabels": labels}, "template": template}}
