"""AWS as one stack uses it: the provider, and what all of the stack's AWS resources have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from components.configuration import Configuration, refusal


@dataclass(frozen=True)
class AwsContext:
    """What every AWS component needs; passed whole."""

    provider: aws.Provider
    region: str
    account: str
    prefix: str
    """Prefix of the names of the stack's AWS resources: <project>-<stack>."""
    tags: Mapping[str, str]
    """Tags of everything. The provider sets them, except on what AWS creates for a resource, such as nodes."""
    protected: bool
    """Whether resources that hold data refuse to be deleted."""
    boundary: str | None = None
    """ARN of the permissions boundary of the platform's roles; None where the bootstrap made none."""
    deploy_role: str | None = None
    """ARN of the bootstrap's role that deploys, which each key's policy lets manage the key; None without it."""
    tenant_boundary: str | None = None
    """ARN of the boundary of the tenants' roles; None where the stack makes it."""

    def child(
        self,
        parent: pulumi.Resource,
        *,
        depends_on: Sequence[pulumi.Resource] = (),
        protect: bool = False,
        retain_on_delete: bool = False,
        ignore_changes: Sequence[str] = (),
    ) -> pulumi.ResourceOptions:
        """Options of an AWS resource that is part of a component."""
        return pulumi.ResourceOptions(
            parent=parent,
            provider=self.provider,
            depends_on=list(depends_on),
            protect=protect,
            retain_on_delete=retain_on_delete,
            ignore_changes=list(ignore_changes),
        )


def create_aws_context(configuration: Configuration) -> AwsContext | None:
    """The AWS provider, limited to one region of one account; None for a stack that has nothing on AWS.

    Region and account are in the provider only. The engine would take resources of another region for these, so a
    change is refused: the stack's outputs tell what the last update used.
    """
    settings = configuration.settings
    if settings.aws is None:
        return None
    _refuse_to_move(configuration, {"account": settings.aws.account, "region": settings.aws.region})
    # A shard has the names and tags of its platform: its deployment role may make no others, and a tenant that moves
    # to another shard keeps its own.
    project, stack = pulumi.get_project(), settings.platform or pulumi.get_stack()
    # Cost Explorer groups by these tags, and by `tenant`, once they are activated as cost allocation tags.
    tags = {"Project": project, "Stack": stack, "ManagedBy": "pulumi"}
    account, prefix = settings.aws.account, f"{project}-{stack}"
    bootstrapped = settings.aws.boundaries == "bootstrap"
    return AwsContext(
        provider=aws.Provider(
            "aws",
            region=settings.aws.region,
            allowed_account_ids=[settings.aws.account],
            default_tags={"tags": tags},
        ),
        region=settings.aws.region,
        account=account,
        prefix=prefix,
        tags=tags,
        protected=settings.aws.protection,
        boundary=f"arn:aws:iam::{account}:policy/{prefix}-platform-boundary" if bootstrapped else None,
        deploy_role=f"arn:aws:iam::{account}:role/{project}-deploy" if bootstrapped else None,
        tenant_boundary=f"arn:aws:iam::{account}:policy/{prefix}-tenants-boundary" if bootstrapped else None,
    )


def _refuse_to_move(configuration: Configuration, location: Mapping[str, str]) -> None:
    """Raise pulumi.RunError if the last update used another region or account."""
    earlier = {**location, **configuration.earlier.get("aws", {})}
    problems = [
        configuration.stack_file.problem(
            ("aws", key),
            f"{value} is not the {key} of the stack's resources, which cannot move",
            f"Write {earlier[key]} again. For {value}, create another stack, or destroy this one first.",
        )
        for key, value in location.items()
        if earlier[key] != value
    ]
    if problems:
        raise refusal(problems)
