"""Cluster-wide isolation of tenants: the reconcilers' roles and the admission policies."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as kubernetes

from components.objects import children_with_last
from model.kubernetes.admission import guardrails


@dataclass(frozen=True)
class GuardrailsArgs:
    """The cluster in which they are installed."""

    provider: kubernetes.Provider


class Guardrails(pulumi.ComponentResource):
    """Roles of the reconcilers, and admission policies for every tenant's namespace."""

    ready: pulumi.Resource
    """The last guard rail, for `depends_on`: tenants are created after all guard rails and deleted before them."""

    def __init__(self, name: str, args: GuardrailsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("saas:tenant:Guardrails", name, None, opts)
        manifests = guardrails()
        self.ready = children_with_last(manifests, parent=self, provider=args.provider)
        self.register_outputs({"policies": [manifest["metadata"]["name"] for manifest in manifests]})
