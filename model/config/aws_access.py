"""A tenant's AWS permissions: `aws` in tenants.yaml. model/checks.py has the rules against other tenants' resources."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from model.config.aws import ServiceAccountName, refuse_other_partitions
from model.config.base import Model, rule_error

PLACEHOLDER = "${tenant}"
"""The placeholder for the tenant's name, so that defaults can hold statements for every tenant."""

NAMESPACE_TAG = "aws:PrincipalTag/kubernetes-namespace"
OWN = f"${{{NAMESPACE_TAG}}}"
"""The tenant's name as an IAM policy variable: the pod's namespace, with which EKS Pod Identity tags a session."""

NEVER: tuple[str, ...] = (
    # Rights and accounts
    *("iam:*", "organizations:*", "account:*", "ram:*"),
    *("sts:AssumeRole*", "sts:GetFederationToken", "sts:GetSessionToken", "sts:TagSession", "sts:SetSourceIdentity"),
    # The cluster and its nodes, on which the other tenants run
    *("eks:*", "eks-auth:*", "ec2-instance-connect:*"),
    *("ssm:SendCommand", "ssm:StartSession", "ssm:ResumeSession"),
    # Administration of keys
    *("kms:*Alias", "kms:*Deletion", "kms:*Grant", "kms:*KeyMaterial", "kms:*KeyStore", "kms:CreateKey"),
    *("kms:Disable*", "kms:Enable*", "kms:Put*", "kms:ReplicateKey", "kms:RotateKeyOnDemand", "kms:Update*"),
    *("kms:TagResource", "kms:UntagResource"),
    # Resource policies: by these a tenant could open its data, or what it shares with others, to anybody
    *("s3:Put*Policy", "s3:Delete*Policy", "s3:Put*Acl", "s3:Put*PublicAccessBlock", "s3:PutReplicationConfiguration"),
    *("s3:CreateAccessPoint*", "s3:CreateAccessGrant*", "s3:PutBucketOwnershipControls"),
    *("sqs:*Permission", "sqs:SetQueueAttributes", "sns:*Permission", "sns:SetTopicAttributes", "lambda:*Permission"),
    *("secretsmanager:*ResourcePolicy", "dynamodb:*ResourcePolicy"),
)
"""Actions that no tenant may have, justified or not: permissions, the cluster, keys and resource policies."""


NEVER_MANAGED = r"(job-function/)?(Administrator|PowerUser|SystemAdministrator|IAM|AWSOrganizations|AWSAccount).*"
"""AWS' managed policies that consist mainly of actions in NEVER."""

OPERATOR = (
    r"(ForAllValues:|ForAnyValue:)?"
    r"((String(Not)?(Equals|EqualsIgnoreCase|Like)|Arn(Not)?(Equals|Like)|Bool|BinaryEquals|(Not)?IpAddress"
    r"|(Numeric|Date)((Not)?Equals|(Less|Greater)Than(Equals)?))(IfExists)?|Null)"
)


def _action(value: str) -> str:
    if value != "*" and not re.fullmatch(r"[a-z0-9-]+:[A-Za-z0-9*?]+", value):
        raise rule_error(f"{value!r} is not an AWS action", "Write SERVICE:ACTION, such as s3:GetObject.")
    if value == "*" or any(fnmatchcase(value.lower(), never.lower()) for never in NEVER):
        remedy = "Permissions, the cluster, keys and resource policies belong to the platform team: remove it."
        raise rule_error(f"{value} is forbidden to all tenants, even with a justification", remedy)
    return value


def _resource(value: str) -> str:
    refuse_other_partitions(value)
    if value != "*" and not re.fullmatch(r"arn:aws:[a-z0-9-]+:([a-z0-9-]*|\*):([0-9]{12}|aws|\*)?:\S+", value):
        raise rule_error(
            f"{value!r} is not an ARN", "Write it as AWS shows it: arn:aws:s3:::BUCKET/PATH, with * where needed."
        )
    unknown = re.sub(r"\$\{[*?$]\}", "", value.replace(PLACEHOLDER, "").replace(OWN, ""))
    if found := re.search(r"\$\{[^}]*\}?", unknown):
        raise rule_error(f"{found[0]} is not a known placeholder", f"Write {PLACEHOLDER} for the tenant's name.")
    return value


def _operator(value: str) -> str:
    if not re.fullmatch(OPERATOR, value):
        raise rule_error(
            f"{value!r} is not an IAM condition operator", "Write StringEquals, StringLike or another operator of IAM."
        )
    return value


def _managed(value: Any) -> Any:
    if isinstance(value, str):
        remedy = f"Write `- arn: {value}` and below it `justification:` with the reason, or statements instead."
        raise rule_error("a managed policy is not limited to this tenant", remedy)
    return value


def _managed_arn(value: str) -> str:
    refuse_other_partitions(value)
    found = re.fullmatch(r"arn:aws:iam::(aws|[0-9]{12}):policy/(\S+)", value)
    if not found:
        raise rule_error(f"{value!r} is not a managed policy", "Write its ARN: arn:aws:iam::aws:policy/NAME.")
    if found[1] == "aws" and re.fullmatch(NEVER_MANAGED, found[2]):
        raise rule_error(
            f"{found[2]} is forbidden to all tenants, even with a justification", "Write statements for what it needs."
        )
    return value


def _justification(value: str) -> str:
    if len(value.strip()) < 10:
        raise rule_error(f"{value!r} is too short to justify anything", "Write the reason in at least ten characters.")
    return value


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Justification = Annotated[
    str,
    AfterValidator(_justification),
    Field(description="Why the platform team permits access beyond the tenant's own resources"),
]
Values = Annotated[
    list[str],
    BeforeValidator(_listed),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
]
Conditions = dict[Annotated[str, AfterValidator(_operator)], dict[str, Values]]


class AwsStatement(Model):
    """Actions that a tenant may perform on resources. NotAction and NotResource do not exist here on purpose."""

    actions: list[Annotated[str, AfterValidator(_action)]] = Field(min_length=1)
    resources: list[Annotated[str, AfterValidator(_resource)]] = Field(
        min_length=1, description=f"ARNs that contain the tenant's name; {PLACEHOLDER} is replaced by it"
    )
    conditions: Conditions = {}
    justification: Justification | None = None


class ManagedPolicy(Model):
    """An existing managed policy of IAM, which was not written for this tenant."""

    arn: Annotated[str, AfterValidator(_managed_arn)]
    justification: Justification


class AwsAccess(Model):
    """A tenant's permissions on AWS, and the service account whose pods have them."""

    service_account: ServiceAccountName | None = Field(
        default=None,
        alias="serviceAccount",
        description="The service account whose pods get the role; default: the tenant's own",
    )
    policies: list[Annotated[ManagedPolicy, BeforeValidator(_managed)]] = []
    statements: list[AwsStatement] = []

    @property
    def justified(self) -> bool:
        """Whether the platform team permitted access beyond the tenant's own resources."""
        return bool(self.policies) or any(statement.justification for statement in self.statements)
