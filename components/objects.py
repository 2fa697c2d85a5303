"""Kubernetes objects from plain manifests: Pulumi applies and Git holds the output of the same builder."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pulumi
import pulumi_kubernetes as kubernetes

from model.kubernetes.manifests import Manifest, annotated

FORCED = {"pulumi.com/patchForce": "true"}
"""The program's value wins over one that a person wrote with kubectl. Otherwise server-side apply ends with a conflict,
whose remedy, an annotation in the program, is out of reach for users of this project."""


SDK_FRAMES = 5
"""Python frames from the constructor of one of our resources to where the SDK reads the call stack, both included."""


@contextmanager
def source_position_only() -> Iterator[None]:
    """Registers a resource with the line that made it, without the callers of that line.

    The SDK sends the whole call stack, and the engine writes it to the state: a third of what a tenant takes there,
    which the file backend rewrites at each step.
    """
    before = getattr(sys, "tracebacklimit", None)
    sys.tracebacklimit = SDK_FRAMES + 1
    try:
        yield
    finally:
        if before is None:
            del sys.tracebacklimit
        else:
            sys.tracebacklimit = before


SECRET_PARTS = {"Secret": ["data", "stringData"], "Provider": ["spec"]}
"""What is encrypted in the stack's state. A Provider of PagerDuty has its key in its spec."""


class KubernetesObject(pulumi.CustomResource):
    """One object, under the type token that the Kubernetes provider gives its kind."""

    spec: pulumi.Output[Any]
    """The API server's answer, for kinds that have a spec."""

    def __init__(self, name: str, manifest: Manifest, opts: pulumi.ResourceOptions, *, force: bool = True) -> None:
        """Without `force`, a field that another owner has set otherwise is an error."""
        group, _, version = manifest["apiVersion"].rpartition("/")
        token = f"kubernetes:{group or 'core'}/{version}:{manifest['kind']}"
        secret = SECRET_PARTS.get(manifest["kind"], [])
        own = pulumi.ResourceOptions(additional_secret_outputs=secret)
        properties = annotated(manifest, FORCED) if force else dict(manifest)
        with source_position_only():
            super().__init__(token, name, properties, pulumi.ResourceOptions.merge(own, opts))


def children(
    manifests: Sequence[Manifest],
    *,
    parent: pulumi.Resource,
    provider: kubernetes.Provider,
    depends_on: Sequence[pulumi.Resource] = (),
    protect: bool = False,
) -> list[KubernetesObject]:
    """Objects of a component, each under its own name."""
    opts = pulumi.ResourceOptions(parent=parent, provider=provider, depends_on=list(depends_on), protect=protect)
    return [KubernetesObject(manifest["metadata"]["name"], manifest, opts) for manifest in manifests]


def children_with_last(
    manifests: Sequence[Manifest],
    *,
    parent: pulumi.Resource,
    provider: kubernetes.Provider,
    depends_on: Sequence[pulumi.Resource] = (),
) -> KubernetesObject:
    """Objects of a component, of which the last depends on all others; returns the last.

    What needs all of them depends on this object alone: a list would be repeated in the state of every dependent, and a
    component in `depends_on` expands to such a list.
    """
    *others, last = manifests
    before = children(others, parent=parent, provider=provider, depends_on=depends_on)
    (ready,) = children([last], parent=parent, provider=provider, depends_on=[*depends_on, *before])
    return ready
