"""Findings of parliament, a linter that knows AWS' actions, resources and condition keys, in a policy document."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

import parliament

ANY_ROLE = "arn:aws:iam::123456789012:role/any"
FREE_KEYS = "kms:EncryptionContext:"
"""Condition keys whose last part the caller chooses, which parliament does not know."""


def findings(document: str) -> list[str]:
    """Each finding as `ISSUE: title, detail`; empty for a good document.

    `document` is JSON of any kind: an identity's policy, a resource's policy or a role's trust policy.
    """
    content: dict[str, Any] = json.loads(document)
    given = content.pop("Statement")
    statements: list[dict[str, Any]] = [given] if isinstance(given, dict) else given
    return sorted({spelled for statement in statements for spelled in _of_statement(content, statement)})


def _of_statement(content: dict[str, Any], statement: dict[str, Any]) -> Iterator[str]:
    linted = json.dumps({**content, "Statement": [_understood(statement)]})
    for finding in parliament.analyze_policy_string(linted).findings:
        finding = parliament.enhance_finding(finding)
        # In a resource's own policy, * means that resource alone.
        if finding.issue == "RESOURCE_STAR" and "Principal" in statement:
            continue
        # A denial of whole services may ask for a key that only some of their actions have.
        if finding.issue == "UNKNOWN_CONDITION_FOR_ACTION" and statement["Effect"] == "Deny":
            key = str(finding.detail).split()[2]
            if any(_has(action, key) for action in _listed(statement["Action"])):
                continue
        yield f"{finding.issue}: {finding.title}, {finding.detail}"


def _understood(statement: dict[str, Any]) -> dict[str, Any]:
    """The statement in the form that parliament needs."""
    # A role's trust policy names no resource, because it is the role's; parliament needs one everywhere.
    trust = "Principal" in statement and not {"Resource", "NotResource"} & set(statement)
    understood = {**statement, "Resource": ANY_ROLE} if trust else dict(statement)
    if "Condition" in statement:
        conditions = {
            operator: {key: value for key, value in keys.items() if not key.startswith(FREE_KEYS)}
            for operator, keys in statement["Condition"].items()
        }
        understood["Condition"] = {operator: keys for operator, keys in conditions.items() if keys}
    return understood


@cache
def _has(action: str, key: str) -> bool:
    """Whether parliament knows an action of this pattern that has the condition key."""
    for known in parliament.expand_action(action):
        probe = {"Effect": "Allow", "Action": f"{known['service']}:{known['action']}", "Resource": "*"}
        document = {"Version": "2012-10-17", "Statement": [{**probe, "Condition": {"StringEquals": {key: "x"}}}]}
        issues = {finding.issue for finding in parliament.analyze_policy_string(json.dumps(document)).findings}
        if "UNKNOWN_CONDITION_FOR_ACTION" not in issues:
            return True
    return False


def _listed(value: str | Sequence[str]) -> Sequence[str]:
    return [value] if isinstance(value, str) else value
