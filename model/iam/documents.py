"""IAM policy documents as JSON, built in one way."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

Statement = Mapping[str, Any]


def document(*statements: Statement) -> str:
    """A policy document; the order of keys is always the same, so that a preview shows real changes only."""
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)}, sort_keys=True)


def allow(actions: Sequence[str], resources: Sequence[str], conditions: Mapping[str, Any] | None = None) -> Statement:
    """What is allowed."""
    statement: dict[str, Any] = {"Effect": "Allow", "Action": list(actions), "Resource": list(resources)}
    return statement | ({"Condition": conditions} if conditions else {})


def service_trust(service: str, account: str) -> str:
    """Lets an AWS service assume a role, on behalf of this account only (no confused deputy)."""
    condition = {"StringEquals": {"aws:SourceAccount": account}}
    return document(
        {
            "Effect": "Allow",
            "Action": "sts:AssumeRole",
            "Principal": {"Service": service},
            # EC2 assumes a role for an instance without naming whose it is: instance profiles never cross accounts.
            **({} if service == "ec2.amazonaws.com" else {"Condition": condition}),
        }
    )


def pod_identity_trust(account: str, cluster_arn: str, namespace: str, service_account: str) -> str:
    """Lets one service account of one cluster act as a role, through EKS Pod Identity."""
    return document(
        {
            "Effect": "Allow",
            "Action": ["sts:AssumeRole", "sts:TagSession"],
            "Principal": {"Service": "pods.eks.amazonaws.com"},
            "Condition": {
                "StringEquals": {
                    "aws:SourceAccount": account,
                    "aws:RequestTag/kubernetes-namespace": namespace,
                    "aws:RequestTag/kubernetes-service-account": service_account,
                },
                "ArnEquals": {"aws:SourceArn": cluster_arn},
            },
        }
    )


def key_policy(account: str, services: Sequence[Statement] = ()) -> str:
    """A KMS key's policy: the account's own IAM policies decide, and what services need besides."""
    owner = {
        "Sid": "AccountDecidesByIamPolicies",
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{account}:root"},
        "Action": "kms:*",
        "Resource": "*",
    }
    return document(owner, *services)


def logs_use_key(region: str, account: str, log_groups: str) -> Statement:
    """For a key's policy: CloudWatch encrypts the log groups of this name (may end in *) with it."""
    return {
        "Sid": "CloudWatchLogs",
        "Effect": "Allow",
        "Principal": {"Service": f"logs.{region}.amazonaws.com"},
        "Action": ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:Describe*"],
        "Resource": "*",
        "Condition": {
            "ArnLike": {"kms:EncryptionContext:aws:logs:arn": f"arn:aws:logs:{region}:{account}:log-group:{log_groups}"}
        },
    }
