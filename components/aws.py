"""AWS, as one stack uses it."""

from __future__ import annotations

import pulumi_aws as aws

from model.aws import AwsSettings


def aws_provider(settings: AwsSettings, project: str, stack: str) -> aws.Provider:
    """The provider of everything on AWS: one region of one account, and tags that tell whose a resource is.

    Cost Explorer groups by the tags Project, Stack and tenant once they are activated as cost allocation tags.
    """
    return aws.Provider(
        "aws",
        region=settings.region,
        allowed_account_ids=[settings.account],
        default_tags={"tags": {"Project": project, "Stack": stack, "ManagedBy": "pulumi"}},
    )
