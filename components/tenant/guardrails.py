"""Cluster-wide isolation of tenants: the reconcilers' roles and the admission policies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as kubernetes

from components.objects import children_with_last
from model.kubernetes.admission import guardrails
from model.kubernetes.manifests import Manifest


@dataclass(frozen=True)
class GuardrailsArgs:
    """The cluster in which they are installed."""

    provider: kubernetes.Provider
    flux_definitions: Sequence[Manifest]
    """Flux's CustomResourceDefinitions, whose schemas say which fields of tenants' objects need bounds."""


class Guardrails(pulumi.ComponentResource):
    """Roles of the reconcilers, and admission policies for every tenant's namespace."""

    ready: pulumi.Resource
    """The last guard rail, for `depends_on`: tenants are created after all guard rails and deleted before them."""

    def __init__(self, name: str, args: GuardrailsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("saas:tenant:Guardrails", name, None, opts)
        manifests = guardrails(args.flux_definitions)
        self.ready = children_with_last(manifests, parent=self, provider=args.provider)
        self.register_outputs({"policies": [manifest["metadata"]["name"] for manifest in manifests]})
