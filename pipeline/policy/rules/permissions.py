"""IAM permissions are as narrow as what they are for."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from .resource import Hidden, Resource

KEY = "aws:kms/key:Key"
DOCUMENTS = ("policy", "assumeRolePolicy")
"""Properties of AWS resources that hold a policy document."""

WITHOUT_RESOURCES = {"ecr:GetAuthorizationToken", "logs:DescribeLogGroups"}
"""Actions that work on no resource in particular, so that IAM takes nothing but * for them."""

FAR_REACHING = re.compile(r"(AdministratorAccess|PowerUserAccess|FullAccess)$")
"""Names of AWS' managed policies that are wildcards themselves."""

_ACCOUNT = re.compile(r"arn:aws[a-z-]*:iam::\d{12}:root")


def narrow_permissions(resource: Resource) -> Iterator[str]:
    """No IAM policy allows every action of a service, or an action on every resource; nothing trusts everybody."""
    if not resource.type.startswith("aws:"):
        return
    for where, document in _documents(resource):
        for statement in _statements(document):
            if statement is None:
                yield f"{where} is no policy document: write it as JSON with Version and Statement."
            elif statement.get("Effect") == "Allow":
                for problem in _problems(statement, is_key=resource.type == KEY):
                    yield f"{where} {problem}"
    attached = [resource.get("policyArn"), *resource.items("managedPolicyArns")]
    for arn in attached:
        if isinstance(arn, str) and arn.startswith("arn:aws") and FAR_REACHING.search(arn):
            yield f"{arn} allows far more than anything needs: write a policy with the actions that are needed."


def _documents(resource: Resource) -> Iterator[tuple[str, Any]]:
    for name in DOCUMENTS:
        yield name, resource.get(name)
    for index, one in enumerate(resource.items("inlinePolicies")):
        yield f"inlinePolicies[{index}]", one.get("policy") if isinstance(one, Mapping) else None


def _statements(document: Any) -> Iterable[Mapping[str, Any] | None]:
    """The document's statements; None for one that nobody can read."""
    if document is None or isinstance(document, Hidden):
        return []
    if isinstance(document, str):
        try:
            document = json.loads(document)
        except ValueError:
            return [None]
    statements = _list(document.get("Statement")) if isinstance(document, Mapping) else [None]
    return [one if isinstance(one, Mapping) else None for one in statements]


def _problems(statement: Mapping[str, Any], *, is_key: bool) -> Iterator[str]:
    actions, resources = _list(statement.get("Action")), _list(statement.get("Resource"))
    principals = _principals(statement)
    for inverse in ("NotAction", "NotResource", "NotPrincipal"):
        if inverse in statement:
            yield f"allows everything but what {inverse} names: name what is needed instead."
    if "*" in principals:
        yield "trusts everybody: name the accounts, roles or services."
    # A key that no policy of its account can reach is lost to it: the account's root is KMS' own default.
    owner = is_key and principals and all(_ACCOUNT.fullmatch(one) for one in principals)
    wide = [one for one in actions if one == "*" or one.endswith(":*")]
    if wide and not (owner and wide == ["kms:*"]):
        yield f"allows {', '.join(wide)}: name the actions."
    # In a key's policy, * is the key itself.
    if not is_key and any(_is_everything(one) for one in resources) and not set(actions) <= WITHOUT_RESOURCES:
        yield f"allows {', '.join(actions) or 'something'} on every resource: name the resources."


def _principals(statement: Mapping[str, Any]) -> list[str]:
    principal = statement.get("Principal")
    kinds = principal.values() if isinstance(principal, Mapping) else [principal]
    return [one for kind in kinds for one in _list(kind)]


def _is_everything(resource: str) -> bool:
    """Whether it is * or an ARN that names nothing but a service."""
    return resource == "*" or (resource.startswith("arn:") and resource.split(":", 5)[-1] == "*")


def _list(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, list) else [value]
