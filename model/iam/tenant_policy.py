"""What is refused in a tenant's access to AWS, and the documents that it becomes."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, cast

from model.config.aws_access import PLACEHOLDER, AwsAccess, AwsStatement
from model.config.document import Document, Place
from model.config.mistakes import Mistake
from model.config.tenants import Tenant
from model.config.unsound import sound
from model.iam.boundary import OWN, TENANT_TAG, anybodys_names, own_names
from model.iam.documents import allow, document

ROLE_NAME_LIMIT = 64
INLINE_LIMIT = 10_240
"""IAM's limit for all inline policies of a role together, in characters without whitespace."""
MANAGED_LIMIT = 6_144
"""IAM's limit for one managed policy, in characters without whitespace."""
ATTACHMENT_LIMIT = 10
"""How many managed policies a role can have, unless AWS raised the account's quota."""

BROAD_REMEDY = "Name what the product needs, or add a `justification:` that says why it has to reach further."


def problems(tenants: Sequence[Tenant], source: Document, account: str | None) -> Iterator[Mistake]:
    """What is refused in the tenants' access to AWS.

    `source` is the document that holds exactly these tenants; `account` is the stack's, None for a stack without AWS,
    empty where nobody knows it.
    """
    names = [tenant.name for _, tenant in sound(tenants)]
    for index, tenant in sound(tenants):
        if tenant.aws is not None:
            others = [name for name in names if name != tenant.name]
            yield from _access_problems(tenant.aws, tenant.name, others, account, source, _written(source, index))


def _written(source: Document, index: int) -> Callable[[str], Place]:
    """Where a tenant's aws, or a key in it, was written: in its entry, else in the defaults."""
    entry: Mapping[str, Any] = source.content["tenants"][index]
    own = cast("Mapping[str, Any]", entry.get("aws") or {})

    def place(key: str) -> Place:
        written = key in own if key else "aws" in entry
        return (*(("tenants", index) if written else ("defaults",)), "aws", *((key,) if key else ()))

    return place


def _access_problems(
    access: AwsAccess,
    tenant: str,
    others: Sequence[str],
    account: str | None,
    source: Document,
    at: Callable[[str], Place],
) -> Iterator[Mistake]:
    if account is None:
        message = "this stack has nothing on AWS"
        yield source.mistake(at(""), message, "Add saas-in-eks:aws to its configuration, or remove aws here.")
    if not access.statements and not access.policies:
        message = "a role without permissions is good for nothing"
        yield source.mistake(at(""), message, "Add statements, or write `aws: null` for no role.")
    first: dict[Any, int] = {}
    for index, statement in enumerate(access.statements):
        place = (*at("statements"), index)
        refused = list(_refused(statement, tenant, others, account, source, place))
        if not statement.justification:
            yield from refused
        elif not refused:
            message, remedy = "this statement needs no justification", "Remove it: it would widen the boundary."
            yield source.mistake((*place, "justification"), message, remedy)
        if (meaning := _meaning(statement)) in first:
            message = f"this is statement {first[meaning] + 1} again"
            yield source.mistake(place, message, "Keep one of them.")
        first.setdefault(meaning, index)
    yield from _policy_problems(access, account, source, at("policies"))
    if (size := compact_size(inline_policy(access, tenant))) > INLINE_LIMIT:
        message = f"the statements are {size} characters as a policy, and IAM takes {INLINE_LIMIT}"
        yield source.mistake(at("statements"), message, "Join statements, or use wildcards below the tenant's name.")


def _policy_problems(access: AwsAccess, account: str | None, source: Document, place: Place) -> Iterator[Mistake]:
    arns = [policy.arn for policy in access.policies]
    for index, arn in enumerate(arns):
        owner = arn.split(":")[4]
        if owner != "aws" and account and owner != account:
            message = f"{arn} is of another account than {account}"
            yield source.mistake((*place, index, "arn"), message, "Only policies of AWS or of the account can be used.")
        if arn in arns[:index]:
            yield source.mistake((*place, index), f"{arn} is there twice", "Keep one of them.")
    if len(arns) > ATTACHMENT_LIMIT:
        message = f"a role has {ATTACHMENT_LIMIT} managed policies at most"
        yield source.mistake(place, message, "Write statements for what the product needs.")


def _refused(
    statement: AwsStatement, tenant: str, others: Sequence[str], account: str | None, source: Document, place: Place
) -> Iterator[Mistake]:
    """What only a justification permits. Messages show what was written: defaults are wrong once, not per tenant."""
    for index, action in enumerate(statement.actions):
        if action.partition(":")[2][0] in "*?":
            message = f"{action} is everything that the service can do"
            yield source.mistake((*place, "actions", index), message, BROAD_REMEDY)
    limited = _limited(statement, tenant)
    for index, written in enumerate(statement.resources):
        if found := _resource_problem(_resolved(written, tenant), tenant, others, account, limited):
            message, remedy = found
            yield source.mistake((*place, "resources", index), f"{written} {message}", remedy)


def _resource_problem(
    arn: str, tenant: str, others: Sequence[str], account: str | None, limited: bool
) -> tuple[str, str] | None:
    if arn == "*":
        return "is everybody's", BROAD_REMEDY
    owner, name = arn.split(":", 5)[4:]
    if owner and account and owner != account:
        return f"is in another account than {account}", f"Name a resource of the stack's account. {BROAD_REMEDY}"
    if other := next((other for other in others if _reaches(name, tenant, other)), None):
        return f"reaches what is {other}'s", BROAD_REMEDY
    if limited:
        return None
    service = arn.split(":")[2]
    if any(_covers(pattern, arn) for pattern in anybodys_names(service, tenant)):
        # The boundary denies it, since IAM's wildcards cannot tell whose folder the name stands in.
        remedy = f"Name a bucket for the tenant, or write {PLACEHOLDER} as the first folder and in no further one. "
        return "has the tenant's name where it could be in anybody's folder", remedy + BROAD_REMEDY
    if not _names(arn, tenant):
        shapes = own_names(service, PLACEHOLDER) or (f"…:{PLACEHOLDER}-…", f"…/{PLACEHOLDER}/…")
        remedy = f"Write {PLACEHOLDER} in it, as in {shapes[0]} or {shapes[-1]}, or limit it by a condition. "
        return "names no tenant", remedy + BROAD_REMEDY
    if re.search(r"[*?]", name[: name.index(tenant)]):
        return "has a wildcard before the tenant's name", f"Wildcards belong behind it. {BROAD_REMEDY}"
    return None


def _names(arn: str, tenant: str) -> bool:
    """Whether everything that an ARN pattern matches is the tenant's by its name."""
    fields = arn.split(":", 5)
    if patterns := own_names(fields[2], tenant):
        return any(_covers(pattern, arn) for pattern in patterns)
    parts = re.split("[/:]", fields[5])
    return any(part == tenant or part.startswith(f"{tenant}-") or part.endswith(f"-{tenant}") for part in parts)


def _covers(pattern: str, arn: str) -> bool:
    """Whether a pattern matches all that another one matches, whose wildcards only a wildcard can stand for."""
    # Wildcards cross no colon in the fields before the resource.
    *fields, rest = pattern.split(":", 5)
    *given, name = arn.split(":", 5)
    return all(one in ("*", two) for one, two in zip(fields, given, strict=True)) and _glob(rest, name)


def _reaches(name: str, tenant: str, other: str) -> bool:
    """Whether a resource's name is another tenant's, or a wildcard in it would match another tenant's."""
    bounded = r"(?<![A-Za-z0-9]){}(?![A-Za-z0-9])"
    # Of a tenant shop-eu nothing is meant where shop-eu stands and a tenant shop is looked for.
    without = re.sub(bounded.format(re.escape(tenant)), "\0", name) if other in tenant else name
    if re.search(bounded.format(re.escape(other)), without):
        return True
    return tenant in name and _glob(name, name.replace(tenant, other))


def _glob(pattern: str, text: str) -> bool:
    """IAM's wildcards, which cross slashes; a wildcard in the text is a character like any other."""
    expression = "".join({"*": ".*", "?": "[^*]"}.get(character, re.escape(character)) for character in pattern)
    return re.fullmatch(expression, text) is not None


def _limited(statement: AwsStatement, tenant: str) -> bool:
    """Whether conditions keep the statement to what is the tenant's, whatever its resources' names."""

    def only(operators: Sequence[str], key: str, good: Callable[[str], bool]) -> bool:
        found = [
            statement.conditions[operator].get(key, []) for operator in operators if operator in statement.conditions
        ]
        return any(values and all(good(_resolved(value, tenant)) for value in values) for values in found)

    actions = [action.lower() for action in statement.actions]
    exact, similar = ["StringEquals"], ["StringEquals", "StringLike"]
    tag, context = f"aws:ResourceTag/{TENANT_TAG}", f"kms:EncryptionContext:{TENANT_TAG}"
    if only(exact, tag, lambda value: value == tenant) or only(exact, context, lambda value: value == tenant):
        return True
    if all(action in ("s3:listbucket", "s3:listbucketversions") for action in actions):
        return only(similar, "s3:prefix", lambda value: value.startswith(f"{tenant}/"))
    if all(action.startswith("dynamodb:") for action in actions):
        key, every = "dynamodb:LeadingKeys", [f"ForAllValues:{operator}" for operator in similar]
        # ForAllValues holds where there are no values at all, as in a scan.
        there = statement.conditions.get("Null", {}).get(key) == ["false"]
        return there and only(every, key, lambda value: value == tenant or value.startswith(f"{tenant}#"))
    return False


def _meaning(statement: AwsStatement) -> Any:
    conditions = json.dumps(statement.conditions, sort_keys=True)
    return frozenset(map(str.lower, statement.actions)), frozenset(statement.resources), conditions


def _resolved(text: str, tenant: str) -> str:
    return text.replace(PLACEHOLDER, tenant).replace(OWN, tenant)


def inline_policy(access: AwsAccess, tenant: str) -> str:
    """The role's own policy, as JSON: the statements with the tenant's name for its placeholder."""

    def own(texts: Sequence[str]) -> list[str]:
        return [text.replace(PLACEHOLDER, tenant) for text in texts]

    return document(
        *(
            allow(
                statement.actions,
                own(statement.resources),
                {
                    operator: {key: own(values) for key, values in keys.items()}
                    for operator, keys in statement.conditions.items()
                },
            )
            for statement in access.statements
        )
    )


def compact_size(policy: str) -> int:
    """A document's length as IAM counts it, without whitespace between its parts."""
    return len(json.dumps(json.loads(policy), separators=(",", ":")))


def role_name(prefix: str, tenant: str) -> str:
    """`<prefix>-tenant-<tenant>`; where that is too long for IAM, cut and ended by a digest of the whole."""
    name = f"{prefix}-tenant-{tenant}"
    if len(name) <= ROLE_NAME_LIMIT:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{name[: ROLE_NAME_LIMIT - len(digest) - 1]}-{digest}"
