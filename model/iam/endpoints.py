"""Policies of VPC endpoints: what leaves the VPC by them stays in the stack's account."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from model.iam.documents import allow, document

READ_ELSEWHERE: Mapping[str, Sequence[str]] = {
    # Layers of images, packages of Amazon Linux and public data are in buckets of AWS and of others.
    "s3": ("s3:GetObject", "s3:GetObjectVersion", "s3:GetBucketLocation", "s3:ListBucket"),
    # Images of EKS' add-ons are in registries of AWS, another one in each region.
    "ecr.api": ("ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"),
    "ecr.dkr": ("ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"),
    # Public parameters, such as the newest images of nodes, belong to no account.
    "ssm": ("ssm:GetParameter", "ssm:GetParameters", "ssm:GetParametersByPath"),
}
"""What an endpoint lets read in any account, by its service. Nothing is written there."""


def endpoint_policy(service: str, account: str, others: Sequence[str] = ()) -> str:
    """Policy of an endpoint: anything in the stack's account and `others`, and reading where AWS publishes things.

    Without one, whoever gets credentials of any account into a pod can copy data to that account, past every proxy.
    """
    condition = {"StringEqualsIfExists": {"aws:ResourceAccount": [account, *others]}}
    statements = [_to_anyone("OwnAccount", ["*"], condition)]
    if reading := READ_ELSEWHERE.get(service):
        statements.append(_to_anyone("ReadElsewhere", reading))
    return document(*statements)


def _to_anyone(sid: str, actions: Sequence[str], condition: Mapping[str, Any] | None = None) -> Mapping[str, Any]:
    """Allow statement for every principal: an endpoint's policy gives no rights, it limits those of the caller."""
    return {"Sid": sid, "Principal": "*", **allow(actions, ["*"], condition)}
