"""Kubernetes objects from plain manifests, so that Pulumi and Git hold what one builder made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pulumi
import pulumi_kubernetes as kubernetes

from model.kubernetes.manifests import Manifest


class KubernetesObject(pulumi.CustomResource):
    """One object, under the type that the Kubernetes provider gives its kind."""

    spec: pulumi.Output[Any]
    """As the API server has it, of kinds that have one."""

    def __init__(self, name: str, manifest: Manifest, opts: pulumi.ResourceOptions) -> None:
        group, _, version = manifest["apiVersion"].rpartition("/")
        token = f"kubernetes:{group or 'core'}/{version}:{manifest['kind']}"
        secret = ["data", "stringData"] if manifest["kind"] == "Secret" else []
        own = pulumi.ResourceOptions(additional_secret_outputs=secret)
        super().__init__(token, name, dict(manifest), pulumi.ResourceOptions.merge(own, opts))


def children(
    manifests: Sequence[Manifest],
    parent: pulumi.Resource,
    provider: kubernetes.Provider,
    depends_on: Sequence[pulumi.Resource],
) -> list[KubernetesObject]:
    """Objects of a component, each under its own name."""
    opts = pulumi.ResourceOptions(parent=parent, provider=provider, depends_on=list(depends_on))
    return [KubernetesObject(manifest["metadata"]["name"], manifest, opts) for manifest in manifests]
