"""A tenant's identity on AWS: what its pods may do there, and what they never may."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from model.config.aws_access import AwsAccess
from model.iam.boundary import JUSTIFIED, REACH_TAG, TENANT_TAG, boundary
from model.iam.documents import pod_identity_trust
from model.iam.tenant_policy import inline_policy, role_name

SESSION_SECONDS = 3600


@dataclass(frozen=True)
class TenantBoundaryArgs:
    """The account that the tenants' roles live in."""

    prefix: str
    """What the names of the stack's AWS resources begin with."""
    account: str
    aws: aws.Provider


class TenantBoundary(pulumi.ComponentResource):
    """The permissions boundary of all tenants' roles, one policy for the stack."""

    arn: pulumi.Output[str]

    def __init__(self, name: str, args: TenantBoundaryArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("saas:tenant:TenantBoundary", name, None, opts)
        policy = aws.iam.Policy(
            name,
            name=f"{args.prefix}-tenant-boundary",
            description="What no tenant may do, whatever its role's policies say",
            policy=boundary(args.account),
            opts=pulumi.ResourceOptions(parent=self, provider=args.aws),
        )
        self.arn = policy.arn
        self.register_outputs({"arn": self.arn})


@dataclass(frozen=True)
class TenantRoleArgs:
    """Who gets the role, and for what."""

    tenant: str
    access: AwsAccess
    account: str
    cluster_name: pulumi.Input[str]
    cluster_arn: pulumi.Input[str]
    boundary_arn: pulumi.Input[str]
    prefix: str
    """What the names of the stack's AWS resources begin with."""
    aws: aws.Provider
    needs: Sequence[pulumi.Resource] = ()
    """What gives pods their credentials: the cluster with its Pod Identity agent."""


class TenantRole(pulumi.ComponentResource):
    """An IAM role that only pods of one service account in the tenant's namespace get, by EKS Pod Identity.

    The association comes last and goes first: no pod ever runs as a role that lacks a permission or its boundary.
    """

    arn: pulumi.Output[str]
    service_account: str
    ready: Sequence[pulumi.Resource]
    """What has to be there before the product's pods: EKS gives credentials only to pods that start afterwards."""

    def __init__(self, name: str, args: TenantRoleArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("saas:tenant:TenantRole", name, None, opts)
        own = pulumi.ResourceOptions(parent=self, provider=args.aws)
        self.service_account = args.access.service_account or args.tenant
        tags = {TENANT_TAG: args.tenant}
        role = aws.iam.Role(
            name,
            name=role_name(args.prefix, args.tenant),
            description=f"Pods of {args.tenant}/{self.service_account}",
            assume_role_policy=pulumi.Output.from_input(args.cluster_arn).apply(
                lambda arn: pod_identity_trust(args.account, arn, args.tenant, self.service_account)
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
        association = aws.eks.PodIdentityAssociation(
            name,
            cluster_name=args.cluster_name,
            namespace=args.tenant,
            service_account=self.service_account,
            role_arn=role.arn,
            tags=tags,
            opts=pulumi.ResourceOptions.merge(own, pulumi.ResourceOptions(depends_on=[*policies, *args.needs])),
        )
        self.arn = role.arn
        self.ready = [association]
        self.register_outputs({"arn": self.arn, "serviceAccount": self.service_account})
