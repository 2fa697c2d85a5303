"""IAM roles of the platform, within its permissions boundary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pulumi
import pulumi_aws as aws

from components.aws.context import AwsContext


def create_role(
    name: str,
    context: AwsContext,
    parent: pulumi.Resource,
    *,
    role: str,
    trust: pulumi.Input[str],
    policies: Mapping[str, str],
    description: str | None = None,
) -> tuple[aws.iam.Role, Sequence[pulumi.Resource]]:
    """A role with managed policies, and their attachments, which whatever acts as the role depends on.

    `role` is the end of its name; `policies` are ARNs by the attachments' logical names.
    """
    made = aws.iam.Role(
        name,
        name=f"{context.prefix}-{role}",
        description=description,
        assume_role_policy=trust,
        permissions_boundary=context.boundary,
        opts=context.child(parent),
    )
    attachments = [
        aws.iam.RolePolicyAttachment(logical, role=made.name, policy_arn=arn, opts=context.child(parent))
        for logical, arn in policies.items()
    ]
    return made, attachments
