"""Pulumi's requests for components, answered with the Pulumi SDK: it speaks the protocol's Construct."""

from __future__ import annotations

import pulumi
from pulumi.provider import ConstructResult, Provider

from standins.eks import VERSION
from standins.eks.arguments import checked
from standins.eks.cluster import TOKEN, Cluster


class EksProvider(Provider):
    """The plugin, which has a single component: `eks:index:Cluster`."""

    def __init__(self) -> None:
        super().__init__(VERSION, f'{{"name": "eks", "version": "{VERSION}"}}')

    def construct(
        self,
        name: str,
        resource_type: str,
        inputs: pulumi.Inputs,
        options: pulumi.ResourceOptions | None = None,
    ) -> ConstructResult:
        """Register the component and its children. Raises pulumi.InputPropertiesError for inputs without mapping."""
        if resource_type != TOKEN:
            raise pulumi.RunError(f"the eks stand-in has no mapping for {resource_type}; it has {TOKEN}")
        cluster = Cluster(name, checked(dict(inputs)), options)
        return ConstructResult(cluster.urn, cluster.state)
