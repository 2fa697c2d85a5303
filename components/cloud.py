"""Everything that a stack has on AWS, part by part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi

from components.aws import aws_provider
from components.eks import AdoptedEksCluster, AdoptedEksClusterArgs, EksCluster, EksClusterArgs
from components.identity import Identity, IdentityArgs, TenantIdentity, TenantIdentityArgs
from components.network import ClusterNetwork, ExistingNetwork, ExistingNetworkArgs, Network, NetworkArgs
from components.registry import Registry, RegistryArgs
from model.aws import AwsSettings
from model.settings import Settings
from model.tenants import Tenant


@dataclass(frozen=True)
class Cloud:
    """The parts that the program goes on with; each is None where the stack's settings leave it out."""

    cluster: EksCluster | AdoptedEksCluster
    network: ClusterNetwork | None
    registry: Registry | None
    identity: Identity | None
    tenants: Mapping[str, TenantIdentity]
    """Each tenant's part of the identity."""

    @property
    def ready(self) -> Sequence[pulumi.Resource]:
        """What Flux needs on AWS before it starts."""
        return self.registry.ready if self.registry else ()


def on_aws(settings: Settings, aws: AwsSettings, tenants: Sequence[Tenant]) -> Cloud:
    """Register what the settings ask for on AWS."""
    prefix = f"{pulumi.get_project()}-{pulumi.get_stack()}"
    provider = aws_provider(aws, pulumi.get_project(), pulumi.get_stack())
    network = None
    if aws.cluster.adopt:
        adopted = AdoptedEksClusterArgs(cluster_name=settings.cluster, region=aws.region, aws=provider)
        cluster = AdoptedEksCluster(settings.cluster, adopted)
        pull_roles: Sequence[pulumi.Input[str]] = []
    else:
        if aws.network.existing:
            existing = ExistingNetworkArgs(settings=aws.network.existing, aws=provider)
            network = ExistingNetwork(settings.cluster, existing)
        else:
            network = Network(
                settings.cluster,
                NetworkArgs(
                    settings=aws.network,
                    region=aws.region,
                    account=aws.account,
                    cluster_name=settings.cluster,
                    prefix=prefix,
                    protected=aws.protection,
                    aws=provider,
                ),
            )
        cluster = EksCluster(
            settings.cluster,
            EksClusterArgs(
                cluster_name=settings.cluster,
                prefix=prefix,
                settings=aws.cluster,
                region=aws.region,
                account=aws.account,
                vpc_id=network.vpc_id,
                private_subnet_ids=network.private_subnet_ids,
                public_subnet_ids=network.public_subnet_ids,
                network_ready=network.ready,
                protected=aws.protection,
                aws=provider,
            ),
        )
        pull_roles = [cluster.node_role_arn]
    registry = identity = None
    members: dict[str, TenantIdentity] = {}
    if aws.registry:
        registry = Registry(
            settings.cluster,
            RegistryArgs(
                settings=aws.registry,
                cluster_name=settings.cluster,
                cluster_arn=cluster.arn,
                prefix=prefix,
                account=aws.account,
                pull_roles=pull_roles,
                image_scanner="image-reflector-controller" in settings.flux_components,
                protected=aws.protection,
                aws=provider,
            ),
        )
    if aws.identity:
        identity = Identity(
            settings.cluster,
            IdentityArgs(
                settings=aws.identity, region=aws.region, prefix=prefix, protected=aws.protection, aws=provider
            ),
        )
        for tenant in tenants:
            members[tenant.name] = TenantIdentity(tenant.name, TenantIdentityArgs(tenant=tenant, identity=identity))
    return Cloud(cluster=cluster, network=network, registry=registry, identity=identity, tenants=members)
