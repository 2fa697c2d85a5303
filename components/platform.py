"""What tenants need of the platform: parts of the same stack, or in the stack of a shard outputs of the platform's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pulumi

from components.aws.context import AwsContext, create_aws_context
from components.aws.eks import AdoptedEksCluster, EksCluster, PlatformEksCluster, PlatformEksClusterArgs
from components.aws.monitoring import ContainerLogs, create_container_logs
from components.aws.users import SharedPool
from components.cluster import Cluster, ExistingCluster, ExistingClusterArgs
from components.configuration import Configuration, stack_path
from components.flux.deploy_key import DeployKey
from components.preflight import Preflight
from components.product.space import SharedProduct
from model.iam.oidc import endpoints


@dataclass(frozen=True)
class Platform:
    """Cluster, products, users and logs, as tenants need them."""

    cluster: Cluster
    aws: AwsContext | None
    products: Mapping[str, SharedProduct]
    users: SharedPool | None
    logs: ContainerLogs | None
    tenant_boundary: pulumi.Input[str] | None
    """ARN of the boundary of tenants' AWS roles."""
    guardrails: pulumi.Resource | None = None
    """For `depends_on`; None in the stack of a shard, which is updated after the platform's and destroyed before it."""
    flux_shards: Mapping[str, pulumi.Resource] | None = None
    """The last controller of each of Flux' shards, likewise."""
    keys: Mapping[str, DeployKey | None] = field(default_factory=dict[str, "DeployKey | None"])
    """Deploy keys of the infra repository and of products, by what reads or writes with them."""
    keys_by_hand: Mapping[str, pulumi.Output[str] | None] = field(
        default_factory=dict[str, "pulumi.Output[str] | None"]
    )
    """Those that the repositories' owners have to register by hand."""

    def needs(self, flux_shard: str) -> Sequence[pulumi.Resource]:
        """What a tenant's objects depend on in this stack: the controllers that finalize them, and the guard rails."""
        if self.guardrails is None or self.flux_shards is None:
            return []
        return [self.flux_shards[flux_shard], self.guardrails]


def reference_platform(configuration: Configuration) -> Platform | None:
    """The platform of a shard, which another stack has; None in the stack of the platform.

    Which resources exist depends on the configuration, which is the platform's: outputs are values only.
    """
    settings = configuration.settings
    if not settings.is_shard:
        return None
    reference = pulumi.StackReference(settings.platform, stack_name=stack_path(settings.platform))
    aws, check = create_aws_context(configuration), Preflight(configuration)
    products = {name: SharedProduct(name, product) for name, product in configuration.everyone.products.items()}
    if settings.aws is None or aws is None:
        args = ExistingClusterArgs(cluster_name=settings.cluster, kubeconfig=settings.kubeconfig, check=check)
        return Platform(
            ExistingCluster(settings.cluster, args), aws, products, users=None, logs=None, tenant_boundary=None
        )
    values = reference.require_output("forShards")
    cluster = PlatformEksCluster(
        settings.cluster,
        PlatformEksClusterArgs(
            cluster_name=settings.cluster,
            adopted=settings.aws.cluster.adopt,
            arn=values["clusterArn"],
            kubernetes_version=values["kubernetesVersion"],
            kubeconfig=values["kubeconfig"],
            check=check,
        ),
    )
    users = None
    if identity := settings.aws.identity:
        addresses = endpoints(aws.region, identity.domain)
        users = SharedPool(aws, identity, values["userPoolId"], addresses, server=None, client_id=values["clientId"])
    return Platform(
        cluster,
        aws,
        products,
        users,
        logs=create_container_logs(settings, aws, values["logsKey"]) if settings.aws.monitoring else None,
        tenant_boundary=aws.tenant_boundary or values["tenantBoundary"],
    )


def values_for_shards(platform: Platform) -> Mapping[str, pulumi.Input[str]]:
    """The output `forShards` of the platform's stack: what it made on AWS and the shards' configuration cannot tell."""
    cluster, users, logs = platform.cluster, platform.users, platform.logs
    found: dict[str, pulumi.Input[str] | None] = {
        "kubeconfig": cluster.kubeconfig,
        "kubernetesVersion": cluster.kubernetes_version,
        "clusterArn": cluster.arn if isinstance(cluster, EksCluster | AdoptedEksCluster) else None,
        "userPoolId": users.pool_id if users else None,
        "clientId": users.client_id if users else None,
        "logsKey": logs.key_arn if logs else None,
        "tenantBoundary": platform.tenant_boundary,
    }
    return {key: value for key, value in found.items() if value is not None}
