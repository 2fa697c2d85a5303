"""The permissions boundary of all tenants' roles: what a tenant never may, whatever its role's policies say.

One document for all tenants. It finds out whose session it limits from the tag that EKS Pod Identity puts on it, so it
neither grows with the number of tenants nor changes with them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from model.config.aws_access import NAMESPACE_TAG, NEVER, OWN
from model.iam.documents import allow, document

TENANT_TAG = "tenant"
"""The tag that says whose an AWS resource is."""

REACH_TAG, JUSTIFIED = "reach", "justified"
"""The tag of a role with a statement or a managed policy that the platform team let reach beyond its tenant."""

_OWN_NAMES: Mapping[str, tuple[str, Sequence[str]]] = {
    "s3": ("arn:aws:s3:::", ("{}", "{}-*", "{}/*", "*-{}", "*-{}/*", "*/{}/*")),
    "dynamodb": ("arn:aws:dynamodb:*:*:table/", ("{}", "{}-*", "{}/*", "*-{}", "*-{}/*")),
    "sqs": ("arn:aws:sqs:*:*:", ("{}", "{}-*", "*-{}")),
    "sns": ("arn:aws:sns:*:*:", ("{}", "{}-*", "*-{}")),
    # Secrets Manager adds a hyphen and six characters to each name.
    "secretsmanager": ("arn:aws:secretsmanager:*:*:secret:", ("{}-*", "{}/*", "*/{}/*")),
    "ssm": ("arn:aws:ssm:*:*:parameter/", ("{}", "{}-*", "{}/*", "*/{}", "*/{}/*")),
}
"""How a resource's name tells whose it is, by service: what its ARN begins with, and where the tenant's name stands.

IAM's wildcards cross slashes. So a shape means more than it looks like, and what of that is not to be a tenant's stands
in `_ANYBODYS_NAMES`. Names in Secrets Manager and Parameter Store have no first part that would tell whose they are, as
buckets and their folders do: there a tenant's name counts as any step, in tenant-002/tenant-001/x too. So does an index
of anybody's table whose own name ends with the tenant's.
"""

_ANYBODYS_NAMES: Mapping[str, tuple[str, Sequence[str]]] = {
    # Whatever a shape above matches beyond the tenant's buckets and the tenant's folder at the root of a bucket has one
    # of these. So have some keys of its own; no pattern tells them apart.
    "s3": ("arn:aws:s3:::", ("*/*/{}/*", "*/*-{}", "*/*-{}/*")),
}
"""Where a tenant's name says nothing, because it may stand in somebody else's folder."""


def own_names(service: str, tenant: str = OWN) -> Sequence[str]:
    """ARN patterns of what is a tenant's by its name, unless `anybodys_names` match it too.

    Empty for a service whose names do not tell.
    """
    return _patterns(_OWN_NAMES, service, tenant)


def anybodys_names(service: str, tenant: str = OWN) -> Sequence[str]:
    """ARN patterns of what has a tenant's name in it and may be another's all the same."""
    return _patterns(_ANYBODYS_NAMES, service, tenant)


def _patterns(names: Mapping[str, tuple[str, Sequence[str]]], service: str, tenant: str) -> Sequence[str]:
    beginning, shapes = names.get(service, ("", ()))
    return [beginning + shape.format(tenant) for shape in shapes]


def boundary(account: str) -> str:
    """The boundary's document, for roles of this account.

    It allows everything and denies: a boundary is an intersection, so what a role may is still what its own policies
    say. Denials hold even against resource policies, which what a boundary merely does not allow would not.
    """
    tag, not_justified = f"aws:ResourceTag/{TENANT_TAG}", {f"aws:PrincipalTag/{REACH_TAG}": JUSTIFIED}
    by_name = {**not_justified, tag: OWN}
    flat = [service for service in _OWN_NAMES if service not in ("s3", "dynamodb")]
    leading_keys = "dynamodb:LeadingKeys"
    return document(
        {"Sid": "RoleDecides", **allow(["*"], ["*"])},
        _deny("PlatformTeamOnly", NEVER),
        _deny("SessionsWithoutTenant", ["*"], {"Null": {NAMESPACE_TAG: "true"}}),
        _deny("TaggedForOthers", ["*"], _another(tag)),
        _deny("ObjectsTaggedForOthers", ["s3:*"], _another(f"s3:ExistingObjectTag/{TENANT_TAG}")),
        _deny("TaggingForOthers", ["*"], _another(f"aws:RequestTag/{TENANT_TAG}")),
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
        # Of a shared bucket a tenant may list what lies below its name.
        _deny(
            "BucketsAndObjectsOfOthers",
            ["s3:*"],
            {"StringNotEquals": by_name, "StringNotLike": {"s3:prefix": f"{OWN}/*"}},
            own_names("s3"),
        ),
        _deny("FoldersOfOthers", ["s3:*"], {"StringNotEquals": by_name}, on=anybodys_names("s3")),
        # In a shared table a tenant may use the items whose partition key is its name, or begins with it and #.
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


def _another(key: str) -> Mapping[str, Any]:
    """Where this key is there and says another tenant than the session's."""
    return {"StringNotEquals": {key: OWN}, "Null": {key: "false"}}


def _deny(
    sid: str,
    actions: Sequence[str],
    condition: Mapping[str, Any] | None = None,
    but: Sequence[str] = (),
    on: Sequence[str] = ("*",),
) -> Mapping[str, Any]:
    """A denial on some resources, or on all `but` some."""
    resources = {"NotResource": list(but)} if but else {"Resource": list(on)}
    conditions = {"Condition": condition} if condition else {}
    return {"Sid": sid, "Effect": "Deny", "Action": list(actions), **resources, **conditions}
