"""`aws` of a tenant in tenants.yaml: what it may do on AWS.

Form only; model/iam/tenant_policy.py says what is refused, and why.
"""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from model.config.schema import Model, wrong
from model.iam.boundary import NEVER, OWN

PLACEHOLDER = "${tenant}"
"""Stands for the tenant's name, so that defaults can hold statements for every tenant."""

NEVER_MANAGED = r"(job-function/)?(Administrator|PowerUser|SystemAdministrator|IAM|AWSOrganizations|AWSAccount).*"
"""AWS' managed policies that are mostly what no tenant may do."""

OPERATOR = (
    r"(ForAllValues:|ForAnyValue:)?"
    r"((String(Not)?(Equals|EqualsIgnoreCase|Like)|Arn(Not)?(Equals|Like)|Bool|BinaryEquals|(Not)?IpAddress"
    r"|(Numeric|Date)((Not)?Equals|(Less|Greater)Than(Equals)?))(IfExists)?|Null)"
)


def _action(value: str) -> str:
    if value != "*" and not re.fullmatch(r"[a-z0-9-]+:[A-Za-z0-9*?]+", value):
        raise wrong(f"{value!r} is no action of AWS", "Write SERVICE:ACTION, such as s3:GetObject.")
    if value == "*" or any(fnmatchcase(value.lower(), never.lower()) for never in NEVER):
        remedy = "Rights, the cluster, keys and resource policies are the platform team's: remove it."
        raise wrong(f"no tenant may do {value}, whatever the reason", remedy)
    return value


def _resource(value: str) -> str:
    if value != "*" and not re.fullmatch(r"arn:aws[a-z-]*:[a-z0-9-]+:([a-z0-9-]*|\*):([0-9]{12}|aws|\*)?:\S+", value):
        raise wrong(f"{value!r} is no ARN", "Write it as AWS shows it: arn:aws:s3:::BUCKET/PATH, with * where needed.")
    unknown = re.sub(r"\$\{[*?$]\}", "", value.replace(PLACEHOLDER, "").replace(OWN, ""))
    if found := re.search(r"\$\{[^}]*\}?", unknown):
        raise wrong(f"{found[0]} says nothing that is known here", f"Write {PLACEHOLDER} for the tenant's name.")
    return value


def _operator(value: str) -> str:
    if not re.fullmatch(OPERATOR, value):
        raise wrong(f"IAM has no condition operator {value!r}", "StringEquals and StringLike are usual.")
    return value


def _managed(value: Any) -> Any:
    if isinstance(value, str):
        remedy = f"Write `- arn: {value}` and below it `justification:` with the reason, or statements instead."
        raise wrong("a managed policy reaches beyond one tenant", remedy)
    return value


def _managed_arn(value: str) -> str:
    found = re.fullmatch(r"arn:aws[a-z-]*:iam::(aws|[0-9]{12}):policy/(\S+)", value)
    if not found:
        raise wrong(f"{value!r} is no managed policy", "Write its ARN: arn:aws:iam::aws:policy/NAME.")
    if found[1] == "aws" and re.fullmatch(NEVER_MANAGED, found[2]):
        raise wrong(f"no tenant may have {found[2]}, whatever the reason", "Write statements for what it needs.")
    return value


def _service_account(value: str) -> str:
    if not re.fullmatch(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?", value):
        raise wrong(f"{value!r} cannot name a ServiceAccount", "Write lower-case letters, digits, hyphens and dots.")
    return value


def _justification(value: str) -> str:
    if len(value.strip()) < 10:
        raise wrong(f"{value!r} says nothing to whoever reviews this", "Write why, in ten characters at least.")
    return value


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Justification = Annotated[
    str, AfterValidator(_justification), Field(description="Why the platform team lets this reach further")
]
Values = Annotated[
    list[str],
    BeforeValidator(_listed),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
]
Conditions = dict[Annotated[str, AfterValidator(_operator)], dict[str, Values]]


class AwsStatement(Model):
    """Actions that a tenant may do on resources. There is no way to write what it may do on all others."""

    actions: list[Annotated[str, AfterValidator(_action)]] = Field(min_length=1)
    resources: list[Annotated[str, AfterValidator(_resource)]] = Field(
        min_length=1, description=f"ARNs that name the tenant; {PLACEHOLDER} stands for its name"
    )
    conditions: Conditions = {}
    justification: Justification | None = None


class ManagedPolicy(Model):
    """A policy that exists in IAM: whoever wrote it did not think of this tenant."""

    arn: Annotated[str, AfterValidator(_managed_arn)]
    justification: Justification


class AwsAccess(Model):
    """What a tenant may do on AWS, and which of its service accounts may."""

    service_account: Annotated[str, AfterValidator(_service_account)] | None = Field(
        default=None, alias="serviceAccount", description="Which pods get the role; the tenant's own account if empty"
    )
    policies: list[Annotated[ManagedPolicy, BeforeValidator(_managed)]] = []
    statements: list[AwsStatement] = []

    @property
    def justified(self) -> bool:
        """Whether something in it reaches beyond the tenant because the platform team said yes."""
        return bool(self.policies) or any(statement.justification for statement in self.statements)
