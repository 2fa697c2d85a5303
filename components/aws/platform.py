"""Everything that a stack has on AWS, part by part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from components.aws.context import aws_provider, stack_tags
from components.aws.eks import AdoptedEksCluster, AdoptedEksClusterArgs, EksCluster, EksClusterArgs
from components.aws.identity import Identity, IdentityArgs, TenantIdentity, TenantIdentityArgs
from components.aws.network import ClusterNetwork, ExistingNetwork, ExistingNetworkArgs, Network, NetworkArgs
from components.aws.registry import Registry, RegistryArgs
from components.tenant.aws_role import TenantBoundary, TenantBoundaryArgs, TenantRole, TenantRoleArgs
from model.config.aws import AwsSettings, service_cidr
from model.config.settings import Settings
from model.config.tenants import Tenant


@dataclass(frozen=True)
class Cloud:
    """The parts that the program goes on with; each is None where the stack's settings leave it out."""

    cluster: EksCluster | AdoptedEksCluster
    network: ClusterNetwork | None
    registry: Registry | None
    identity: Identity | None
    tenants: Mapping[str, TenantIdentity]
    """Each tenant's part of the identity."""
    roles: Mapping[str, TenantRole]
    """The roles of those tenants that use AWS."""

    @property
    def ready(self) -> Sequence[pulumi.Resource]:
        """What Flux needs on AWS before it starts."""
        return self.registry.ready if self.registry else ()


def on_aws(settings: Settings, on: AwsSettings, tenants: Sequence[Tenant]) -> Cloud:
    """Register what the settings ask for on AWS."""
    prefix = f"{pulumi.get_project()}-{pulumi.get_stack()}"
    tags = stack_tags(pulumi.get_project(), pulumi.get_stack())
    provider = aws_provider(on, tags)
    network = None
    if on.cluster.adopt:
        adopted = AdoptedEksClusterArgs(cluster_name=settings.cluster, region=on.region, aws=provider)
        cluster = AdoptedEksCluster(settings.cluster, adopted)
        pull_roles: Sequence[pulumi.Input[str]] = []
    else:
        if on.network.existing:
            existing = ExistingNetworkArgs(settings=on.network.existing, aws=provider)
            network = ExistingNetwork(settings.cluster, existing)
        else:
            network = Network(
                settings.cluster,
                NetworkArgs(
                    settings=on.network,
                    region=on.region,
                    account=on.account,
                    cluster_name=settings.cluster,
                    prefix=prefix,
                    protected=on.protection,
                    aws=provider,
                ),
            )
        cluster = EksCluster(
            settings.cluster,
            EksClusterArgs(
                cluster_name=settings.cluster,
                prefix=prefix,
                settings=on.cluster,
                region=on.region,
                account=on.account,
                vpc_id=network.vpc_id,
                private_subnet_ids=network.private_subnet_ids,
                public_subnet_ids=network.public_subnet_ids,
                network_ready=network.ready,
                # The configuration does not tell which addresses a VPC that exists has: EKS finds others.
                service_cidr=None if on.network.existing else service_cidr(on.network),
                tags=tags,
                protected=on.protection,
                aws=provider,
            ),
        )
        pull_roles = [cluster.node_role_arn]
    registry = identity = None
    members: dict[str, TenantIdentity] = {}
    if on.registry:
        registry = Registry(
            settings.cluster,
            RegistryArgs(
                settings=on.registry,
                cluster_name=settings.cluster,
                cluster_arn=cluster.arn,
                prefix=prefix,
                account=on.account,
                pull_roles=pull_roles,
                image_scanner="image-reflector-controller" in settings.flux_components,
                protected=on.protection,
                aws=provider,
            ),
        )
    if on.identity:
        identity = Identity(
            settings.cluster,
            IdentityArgs(settings=on.identity, region=on.region, prefix=prefix, protected=on.protection, aws=provider),
        )
        for tenant in tenants:
            members[tenant.name] = TenantIdentity(tenant.name, TenantIdentityArgs(tenant=tenant, identity=identity))
    return Cloud(
        cluster=cluster,
        network=network,
        registry=registry,
        identity=identity,
        tenants=members,
        roles=_roles(settings.cluster, cluster, on, tenants, prefix, provider),
    )


def _roles(
    cluster_name: str,
    cluster: EksCluster | AdoptedEksCluster,
    settings: AwsSettings,
    tenants: Sequence[Tenant],
    prefix: str,
    provider: aws.Provider,
) -> Mapping[str, TenantRole]:
    using = {tenant.name: tenant.aws for tenant in tenants if tenant.aws}
    if not using:
        return {}
    account = settings.account
    boundary = TenantBoundary("tenants", TenantBoundaryArgs(prefix=prefix, account=account, aws=provider))
    return {
        name: TenantRole(
            name,
            TenantRoleArgs(
                tenant=name,
                access=access,
                account=account,
                cluster_name=cluster_name,
                cluster_arn=cluster.arn,
                boundary_arn=boundary.arn,
                prefix=prefix,
                aws=provider,
                needs=cluster.ready if isinstance(cluster, EksCluster) else (),
            ),
        )
        for name, access in using.items()
    }
