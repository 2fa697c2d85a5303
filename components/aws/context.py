"""AWS, as one stack uses it."""

from __future__ import annotations

from collections.abc import Mapping

import pulumi_aws as aws

from model.config.aws import AwsSettings


def stack_tags(project: str, stack: str) -> Mapping[str, str]:
    """The tags of everything that the stack has on AWS, nodes and their disks among it.

    Cost Explorer groups by the tags Project, Stack and tenant once they are activated as cost allocation tags.
    """
    return {"Project": project, "Stack": stack, "ManagedBy": "pulumi"}


def aws_provider(settings: AwsSettings, tags: Mapping[str, str]) -> aws.Provider:
    """The provider of everything on AWS: one region of one account, and tags that tell whose a resource is.

    What AWS itself makes for a resource, such as the nodes of a node group, does not get them from here.
    """
    return aws.Provider(
        "aws",
        region=settings.region,
        allowed_account_ids=[settings.account],
        default_tags={"tags": tags},
    )
