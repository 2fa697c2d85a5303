"""A tenant's IAM role, and the permissions boundary of all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from components.aws.context import AwsContext
from components.aws.eks import AdoptedEksCluster, EksCluster, PlatformEksCluster
from components.cluster import Cluster
from components.configuration import Configuration
from model.config.aws_access import AwsAccess
from model.iam.boundary import JUSTIFIED, REACH_TAG, TENANT_TAG, boundary
from model.iam.documents import pod_identity_trust
from model.iam.tenant_policy import inline_policy, role_name

SESSION_SECONDS = 3600
CLUSTERS_ON_AWS = (EksCluster, AdoptedEksCluster, PlatformEksCluster)


@dataclass(frozen=True)
class TenantBoundaryArgs:
    """The account of the tenants' roles."""

    context: AwsContext


class TenantBoundary(pulumi.ComponentResource):
    """Permissions boundary of all tenants' roles, one policy for the stack, unless the bootstrap made it."""

    arn: pulumi.Output[str]

    def __init__(self, name: str, args: TenantBoundaryArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("saas:tenant:TenantBoundary", name, None, opts)
        policy = aws.iam.Policy(
            name,
            name=f"{args.context.prefix}-tenant-boundary",
            description="What no tenant may do, whatever its role's policies say",
            policy=boundary(args.context.account),
            opts=args.context.child(self),
        )
        self.arn = policy.arn
        self.register_outputs({"arn": self.arn})


@dataclass(frozen=True)
class TenantRoleArgs:
    """The tenant that gets the role, and its permissions."""

    context: AwsContext
    tenant: str
    access: AwsAccess
    cluster_name: pulumi.Input[str]
    cluster_arn: pulumi.Input[str]
    boundary_arn: pulumi.Input[str]
    associated: bool = True
    """Whether pods get the role. Those of a suspended tenant do not; the role itself stays."""
    depends_on: Sequence[pulumi.Resource] = ()
    """The cluster with its Pod Identity agent, which gives pods their credentials."""


class TenantRole(pulumi.ComponentResource):
    """IAM role for the pods of one service account in the tenant's namespace, by EKS Pod Identity.

    The association comes last and goes first: no pod ever runs as a role that lacks a permission or its boundary.
    """

    arn: pulumi.Output[str]
    service_account: str
    ready: Sequence[pulumi.Resource]
    """The association, for `depends_on`: EKS gives credentials only to pods that start after it exists."""

    def __init__(self, name: str, args: TenantRoleArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("saas:tenant:TenantRole", name, None, opts)
        context, own = args.context, args.context.child(self)
        self.service_account = args.access.service_account or args.tenant
        tags = {TENANT_TAG: args.tenant}
        role = aws.iam.Role(
            name,
            name=role_name(context.prefix, args.tenant),
            description=f"Pods of {args.tenant}/{self.service_account}",
            assume_role_policy=pulumi.Output.from_input(args.cluster_arn).apply(
                lambda arn: pod_identity_trust(context.account, arn, args.tenant, self.service_account)
            ),
            permissions_boundary=args.boundary_arn,
            max_session_duration=SESSION_SECONDS,
            tags=tags | ({REACH_TAG: JUSTIFIED} if args.access.justified else {}),
            opts=own,
        )
        policies: list[pulumi.Resource] = [
            aws.iam.RolePolicyAttachment(
                f"{name}-{policy.arn.partition(':policy/')[2]}", role=role.name, policy_arn=policy.arn, opts=own
            )
            for policy in args.access.policies
        ]
        if args.access.statements:
            policies.append(
                aws.iam.RolePolicy(
                    name, name="tenant", role=role.name, policy=inline_policy(args.access, args.tenant), opts=own
                )
            )
        self.ready = []
        if args.associated:
            association = aws.eks.PodIdentityAssociation(
                name,
                cluster_name=args.cluster_name,
                namespace=args.tenant,
                service_account=self.service_account,
                role_arn=role.arn,
                tags=tags,
                opts=context.child(self, depends_on=[*policies, *args.depends_on]),
            )
            self.ready = [association]
        self.arn = role.arn
        self.register_outputs({"arn": self.arn, "serviceAccount": self.service_account})


def create_tenant_boundary(configuration: Configuration, context: AwsContext | None) -> pulumi.Input[str] | None:
    """ARN of the boundary of all tenants' roles, those of other shards included; None if no tenant has any."""
    if context is None or not any(tenant.aws for tenant in configuration.everyone.tenants):
        return None
    return context.tenant_boundary or TenantBoundary("tenants", TenantBoundaryArgs(context=context)).arn


def create_tenant_roles(
    configuration: Configuration, context: AwsContext | None, cluster: Cluster, boundary_arn: pulumi.Input[str] | None
) -> Mapping[str, TenantRole]:
    """Roles of the tenants that use AWS, within one boundary, by the tenants' names."""
    access = {tenant.name: tenant.aws for tenant in configuration.tenants if tenant.aws}
    stopped = {tenant.name for tenant in configuration.tenants if tenant.stopped}
    if not (access and context and boundary_arn and isinstance(cluster, CLUSTERS_ON_AWS)):
        return {}
    return {
        name: TenantRole(
            name,
            TenantRoleArgs(
                context=context,
                tenant=name,
                access=tenant_access,
                cluster_name=configuration.settings.cluster,
                cluster_arn=cluster.arn,
                boundary_arn=boundary_arn,
                associated=name not in stopped,
                depends_on=cluster.ready,
            ),
        )
        for name, tenant_access in access.items()
    }
