"""Permissions boundary of the tenants' roles: actions that no tenant may take, whatever its role's policies allow.

One document for all tenants. It recognizes the tenant by the session tag of EKS Pod Identity, so it neither grows nor
changes with the tenants.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from model.config.aws_access import NAMESPACE_TAG, NEVER, OWN
from model.iam.documents import allow, document

TENANT_TAG = "tenant"
"""Tag of an AWS resource with the name of its tenant."""

REACH_TAG, JUSTIFIED = "reach", "justified"
"""Tag of a role with a statement or managed policy whose reach beyond its tenant is justified in tenants.yaml."""

_OWN_NAMES: Mapping[str, tuple[str, Sequence[str]]] = {
    "s3": ("arn:aws:s3:::", ("{}", "{}-*", "{}/*", "*-{}", "*-{}/*", "*/{}/*")),
    "dynamodb": ("arn:aws:dynamodb:*:*:table/", ("{}", "{}-*", "{}/*", "*-{}", "*-{}/*")),
    "sqs": ("arn:aws:sqs:*:*:", ("{}", "{}-*", "*-{}")),
    "sns": ("arn:aws:sns:*:*:", ("{}", "{}-*", "*-{}")),
    # Secrets Manager adds a hyphen and six characters to each name.
    "secretsmanager": ("arn:aws:secretsmanager:*:*:secret:", ("{}-*", "{}/*", "*/{}/*")),
    "ssm": ("arn:aws:ssm:*:*:parameter/", ("{}", "{}-*", "{}/*", "*/{}", "*/{}/*")),
}
"""Names by which a resource belongs to a tenant, by service: prefix of the ARN, and positions of the tenant's name.

IAM's wildcards cross slashes, so a shape matches more than it looks like; `_AMBIGUOUS_NAMES` takes part of that back.
Names in Secrets Manager and Parameter Store have no owner in front, as buckets and folders do: there the tenant's name
counts as any path element, in tenant-002/tenant-001/x too. So does an index of any table whose name ends with the
tenant's.
"""

_AMBIGUOUS_NAMES: Mapping[str, tuple[str, Sequence[str]]] = {
    # Everything that a shape above matches outside of the tenant's buckets and of its folders at the root of a bucket
    # matches one of these, and so do some of its own keys: no pattern tells them apart.
    "s3": ("arn:aws:s3:::", ("*/*/{}/*", "*/*-{}", "*/*-{}/*")),
}
"""Names with a tenant's name that may belong to another tenant, because it may be in the other's folder."""


def own_names(service: str, tenant: str = OWN) -> Sequence[str]:
    """ARN patterns of a tenant's resources, except for those that `ambiguous_names` match too.

    Empty for services whose resources are not named after tenants.
    """
    return _patterns(_OWN_NAMES, service, tenant)


def ambiguous_names(service: str, tenant: str = OWN) -> Sequence[str]:
    """ARN patterns of resources with a tenant's name in theirs that may belong to another tenant."""
    return _patterns(_AMBIGUOUS_NAMES, service, tenant)


def _patterns(names: Mapping[str, tuple[str, Sequence[str]]], service: str, tenant: str) -> Sequence[str]:
    beginning, shapes = names.get(service, ("", ()))
    return [beginning + shape.format(tenant) for shape in shapes]


def boundary(account: str) -> str:
    """Policy document of the boundary, for roles of this account.

    It allows everything and has denials: a boundary is an intersection, so a role's own policies still decide what it
    may do. Explicit denials also override resource policies; a boundary's missing permissions do not.
    """
    tag, not_justified = f"aws:ResourceTag/{TENANT_TAG}", {f"aws:PrincipalTag/{REACH_TAG}": JUSTIFIED}
    by_name = {**not_justified, tag: OWN}
    flat = [service for service in _OWN_NAMES if service not in ("s3", "dynamodb")]
    leading_keys = "dynamodb:LeadingKeys"
    return document(
        {"Sid": "RoleDecides", **allow(["*"], ["*"])},
        _deny("PlatformTeamOnly", NEVER),
        _deny("SessionsWithoutTenant", ["*"], {"Null": {NAMESPACE_TAG: "true"}}),
        _deny("TaggedForOthers", ["*"], _another_tenant(tag)),
        _deny("ObjectsTaggedForOthers", ["s3:*"], _another_tenant(f"s3:ExistingObjectTag/{TENANT_TAG}")),
        _deny("TaggingForOthers", ["*"], _another_tenant(f"aws:RequestTag/{TENANT_TAG}")),
        _deny(
            "Untagging",
            ["*"],
            {
                "ForAnyValue:StringEquals": {"aws:TagKeys": [TENANT_TAG]},
                "Null": {f"aws:RequestTag/{TENANT_TAG}": "true"},
            },
        ),
        _deny(
            "OtherAccounts",
            ["*"],
            {
                "StringNotEquals": {**not_justified, "aws:ResourceAccount": account},
                "Null": {"aws:ResourceAccount": "false"},
            },
        ),
        _deny(
            "NeitherNamedNorTagged",
            [f"{service}:*" for service in flat],
            {"StringNotEquals": by_name},
            [name for service in flat for name in own_names(service)],
        ),
        # In a shared bucket a tenant may list the keys below its name.
        _deny(
            "BucketsAndObjectsOfOthers",
            ["s3:*"],
            {"StringNotEquals": by_name, "StringNotLike": {"s3:prefix": f"{OWN}/*"}},
            own_names("s3"),
        ),
        _deny("FoldersOfOthers", ["s3:*"], {"StringNotEquals": by_name}, on=ambiguous_names("s3")),
        # In a shared table a tenant may use items whose partition key is its name, or starts with it and #.
        _deny(
            "TablesOfOthers",
            ["dynamodb:*"],
            {"StringNotEquals": by_name, "Null": {leading_keys: "true"}},
            own_names("dynamodb"),
        ),
        _deny(
            "ItemsOfOthers",
            ["dynamodb:*"],
            {"StringNotEquals": by_name, "ForAnyValue:StringNotLike": {leading_keys: [OWN, f"{OWN}#*"]}},
            own_names("dynamodb"),
        ),
    )


def _another_tenant(key: str) -> Mapping[str, Any]:
    """Condition: this key exists and names another tenant than the session's."""
    return {"StringNotEquals": {key: OWN}, "Null": {key: "false"}}


def _deny(
    sid: str,
    actions: Sequence[str],
    condition: Mapping[str, Any] | None = None,
    excluded: Sequence[str] = (),
    on: Sequence[str] = ("*",),
) -> Mapping[str, Any]:
    """Deny statement on some resources, or on all except some."""
    resources = {"NotResource": list(excluded)} if excluded else {"Resource": list(on)}
    conditions = {"Condition": condition} if condition else {}
    return {"Sid": sid, "Effect": "Deny", "Action": list(actions), **resources, **conditions}
