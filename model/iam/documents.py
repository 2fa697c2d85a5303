"""Building blocks of IAM policy documents, as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from model.config.aws_access import NAMESPACE_TAG

Statement = Mapping[str, Any]

ALARM_SERVICES = ("cloudwatch.amazonaws.com", "events.amazonaws.com")
"""The services that publish alarms."""


def document(*statements: Statement) -> str:
    """Policy document with sorted keys, so that a preview shows real changes only."""
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)}, sort_keys=True)


def allow(actions: Sequence[str], resources: Sequence[str], conditions: Mapping[str, Any] | None = None) -> Statement:
    """Allow statement."""
    statement: dict[str, Any] = {"Effect": "Allow", "Action": list(actions), "Resource": list(resources)}
    return statement | ({"Condition": conditions} if conditions else {})


def service_trust(service: str, account: str) -> str:
    """Trust policy for an AWS service acting for this account only (no confused deputy)."""
    condition = {"StringEquals": {"aws:SourceAccount": account}}
    return document(
        {
            "Effect": "Allow",
            "Action": "sts:AssumeRole",
            "Principal": {"Service": service},
            # EC2 does not send the source account; instance profiles never cross accounts.
            **({} if service == "ec2.amazonaws.com" else {"Condition": condition}),
        }
    )


def cluster_trust(region: str, account: str, cluster: str) -> str:
    """Trust policy for EKS acting for the control plane of one cluster. Auto Mode tags its sessions."""
    return document(
        {
            "Effect": "Allow",
            "Action": ["sts:AssumeRole", "sts:TagSession"],
            "Principal": {"Service": "eks.amazonaws.com"},
            "Condition": {
                "StringEquals": {"aws:SourceAccount": account},
                "ArnEquals": {"aws:SourceArn": f"arn:aws:eks:{region}:{account}:cluster/{cluster}"},
            },
        }
    )


def pod_identity_trust(account: str, cluster_arn: str, namespace: str, service_account: str) -> str:
    """Trust policy for one service account of one cluster, through EKS Pod Identity."""
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


MANAGE_KEY = (
    "kms:CreateGrant",
    "kms:Decrypt",
    "kms:DescribeKey",
    "kms:EnableKeyRotation",
    "kms:GenerateDataKey",
    "kms:GetKeyPolicy",
    "kms:GetKeyRotationStatus",
    "kms:ListResourceTags",
    "kms:PutKeyPolicy",
    "kms:RetireGrant",
    "kms:ScheduleKeyDeletion",
    "kms:TagResource",
    "kms:UntagResource",
    "kms:UpdateKeyDescription",
)
"""What Pulumi does with a key, and what EKS and ECR do with it for the role that passes it to them."""


def key_policy(account: str, services: Sequence[Statement] = (), deploy_role: str | None = None) -> str:
    """KMS key policy: the account's IAM policies decide, plus statements for AWS services and the role that deploys.

    That role is named here because KMS may take five minutes to notice the tags by which an IAM policy could tell the
    stack's keys from others.
    """
    owner = {
        "Sid": "AccountDecidesByIamPolicies",
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{account}:root"},
        "Action": "kms:*",
        "Resource": "*",
    }
    deploys = {
        "Sid": "DeployRoleManages",
        "Effect": "Allow",
        "Principal": {"AWS": deploy_role},
        "Action": list(MANAGE_KEY),
        "Resource": "*",
    }
    return document(owner, *([deploys] if deploy_role else []), *services)


def logs_use_key(region: str, account: str, log_groups: str) -> Statement:
    """Key policy statement: CloudWatch Logs may encrypt log groups of this name (may end in *)."""
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


def _alarm_services(account: str, actions: Sequence[str], resource: str) -> Sequence[Statement]:
    """Statements for the services that publish alarms, each for this account only, as far as it tells the account."""
    condition = {"StringEquals": {"aws:SourceAccount": account}}
    return [
        {
            "Sid": service.partition(".")[0].capitalize(),
            "Effect": "Allow",
            "Principal": {"Service": service},
            "Action": list(actions),
            "Resource": resource,
            # EventBridge does not say for whom it asks: with a condition, its messages would be lost.
            **({} if service == "events.amazonaws.com" else {"Condition": condition}),
        }
        for service in ALARM_SERVICES
    ]


def alarms_use_key(account: str) -> Sequence[Statement]:
    """Key policy statements: CloudWatch's alarms and EventBridge may encrypt messages of an SNS topic."""
    return _alarm_services(account, ["kms:Decrypt", "kms:GenerateDataKey*"], "*")


def topic_policy(topic: str, account: str) -> str:
    """Policy of an SNS topic: CloudWatch's alarms and EventBridge publish, over encrypted connections only."""
    return document(
        *_alarm_services(account, ["sns:Publish"], topic),
        {
            "Sid": "OnlyEncryptedConnections",
            "Effect": "Deny",
            "Principal": "*",
            "Action": ["sns:Publish"],
            "Resource": topic,
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        },
    )


def files_policy(bucket: str) -> str:
    """Policy of a bucket for the platform's files: no pod's role reaches it, whatever its policies and its name say."""
    both = [bucket, f"{bucket}/*"]
    denied = {"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": both}
    return document(
        {"Sid": "OnlyEncryptedConnections", **denied, "Condition": {"Bool": {"aws:SecureTransport": "false"}}},
        # EKS Pod Identity gives each session this tag.
        {"Sid": "NoPods", **denied, "Condition": {"Null": {NAMESPACE_TAG: "false"}}},
    )
