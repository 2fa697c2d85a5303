"""Rule about IAM policies: no wildcards for actions, resources or principals."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from .resource import Hidden, Resource

KEY = "aws:kms/key:Key"
ENDPOINT = "aws:ec2/vpcEndpoint:VpcEndpoint"
DOCUMENTS = ("policy", "assumeRolePolicy")
"""Properties of AWS resources that hold a policy document."""

WITHOUT_RESOURCES = {"ecr:GetAuthorizationToken", "logs:DescribeLogGroups"}
"""Actions without a resource, for which IAM takes * only."""

FAR_REACHING = re.compile(r"(AdministratorAccess|PowerUserAccess|FullAccess)$")
"""Names of AWS' managed policies that contain wildcards."""

_ACCOUNT = re.compile(r"arn:aws[a-z-]*:iam::\d{12}:root")


def narrow_permissions(resource: Resource) -> Iterator[str]:
    """No IAM policy allows every action of a service, an action on every resource, or every principal."""
    # An endpoint's policy gives no rights, it only limits those of the caller: `limited_endpoints`.
    if not resource.type.startswith("aws:") or resource.type == ENDPOINT:
        return
    for where, document in _documents(resource):
        for statement in _statements(document):
            if statement is None:
                yield f"{where} is not a policy document: write it as JSON with Version and Statement."
            elif statement.get("Effect") == "Allow":
                for problem in _problems(statement, is_key=resource.type == KEY):
                    yield f"{where} {problem}"
    attached = [resource.get("policyArn"), *resource.items("managedPolicyArns")]
    for arn in attached:
        if isinstance(arn, str) and arn.startswith("arn:aws") and FAR_REACHING.search(arn):
            yield f"{arn} is far too wide: write a policy with the actions that are needed."


def limited_endpoints(resource: Resource) -> Iterator[str]:
    """A VPC endpoint leads to named accounts only; elsewhere it lets read what its policy names."""
    if resource.type != ENDPOINT or isinstance(resource.get("policy"), Hidden):
        return
    statements = [each for each in _statements(resource.get("policy")) if each]
    if not statements:
        yield "it has no policy, so data can leave by it to any account: allow aws:ResourceAccount only."
    for statement in statements:
        conditions = statement.get("Condition")
        keys = {key for each in conditions.values() for key in each} if isinstance(conditions, Mapping) else set[str]()
        wide = [each for each in _list(statement.get("Action")) if each == "*" or each.endswith(":*")]
        if statement.get("Effect") == "Allow" and wide and "aws:ResourceAccount" not in keys:
            yield f"policy allows {', '.join(wide)} in any account: add a condition on aws:ResourceAccount."


def _documents(resource: Resource) -> Iterator[tuple[str, Any]]:
    for name in DOCUMENTS:
        yield name, resource.get(name)
    for index, each in enumerate(resource.items("inlinePolicies")):
        yield f"inlinePolicies[{index}]", each.get("policy") if isinstance(each, Mapping) else None


def _statements(document: Any) -> Iterable[Mapping[str, Any] | None]:
    """The document's statements; None for an unreadable one."""
    if document is None or isinstance(document, Hidden):
        return []
    if isinstance(document, str):
        try:
            document = json.loads(document)
        except ValueError:
            return [None]
    statements = _list(document.get("Statement")) if isinstance(document, Mapping) else [None]
    return [each if isinstance(each, Mapping) else None for each in statements]


def _problems(statement: Mapping[str, Any], *, is_key: bool) -> Iterator[str]:
    actions, resources = _list(statement.get("Action")), _list(statement.get("Resource"))
    principals = _principals(statement)
    for inverse in ("NotAction", "NotResource", "NotPrincipal"):
        if inverse in statement:
            yield f"allows everything except {inverse}: name what is needed instead."
    if "*" in principals:
        yield "allows every principal: name the accounts, roles or services."
    # The account's root is KMS' default: without it, no policy of the account could ever reach the key again.
    owner = is_key and principals and all(_ACCOUNT.fullmatch(each) for each in principals)
    wide = [each for each in actions if each == "*" or each.endswith(":*")]
    if wide and not (owner and wide == ["kms:*"]):
        yield f"allows {', '.join(wide)}: name the actions."
    # In a key's policy, * is the key itself.
    if not is_key and any(_is_everything(each) for each in resources) and not set(actions) <= WITHOUT_RESOURCES:
        yield f"allows {', '.join(actions) or 'something'} on every resource: name the resources."


def _principals(statement: Mapping[str, Any]) -> list[str]:
    principal = statement.get("Principal")
    kinds = principal.values() if isinstance(principal, Mapping) else [principal]
    return [each for kind in kinds for each in _list(kind)]


def _is_everything(resource: str) -> bool:
    """Whether it is *, or an ARN with * for the resource."""
    return resource == "*" or (resource.startswith("arn:") and resource.split(":", 5)[-1] == "*")


def _list(value: Any) -> list[Any]:
    if value is None:
        return []
    return list(value) if isinstance(value, list) else [value]
