"""What keeps tenants apart, once for the whole cluster."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as kubernetes

from components.objects import KubernetesObject, children
from model.kubernetes.admission import guardrails


@dataclass(frozen=True)
class GuardrailsArgs:
    """Where they hold."""

    provider: kubernetes.Provider


class Guardrails(pulumi.ComponentResource):
    """The roles of reconcilers, and the admission policies that hold in every tenant's namespace."""

    objects: Sequence[KubernetesObject]
    """What tenants depend on: there before the first of them, and until the last has gone."""

    def __init__(self, name: str, args: GuardrailsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("saas:tenant:Guardrails", name, None, opts)
        self.objects = children(guardrails(), self, args.provider, [])
        self.register_outputs({"policies": [one["metadata"]["name"] for one in guardrails()]})
