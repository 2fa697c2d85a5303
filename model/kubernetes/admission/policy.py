"""A ValidatingAdmissionPolicy and its binding: what is matched, what has to hold, and what to do where it does not.

The API server evaluates them itself (CEL), for whoever writes: Flux, a person, a pod with a token. What a tenant may
have stands in annotations of its namespace, which it cannot write: so there is one policy for all tenants.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from model.kubernetes.manifests import PREFIX, TENANT_LABEL, Manifest

SERVICES = f"{PREFIX}services"
REGISTRIES = f"{PREFIX}registries"
PRIORITY_CLASSES = f"{PREFIX}priority-classes"
HOSTS = f"{PREFIX}hosts"
HELM = f"{PREFIX}helm"
PODS_AS_RECONCILER = f"{PREFIX}pods-as-reconciler"
"""Annotations of a tenant's namespace: lists with commas, or "true". Without one nothing is allowed, except for
services, which are ClusterIP, and registries, which are any."""

SERVICE_ACCOUNT = "system:serviceaccount:"

TENANTS_USER = (
    f"request.userInfo.username.startsWith('{SERVICE_ACCOUNT}' + request.namespace + ':') || "
    "request.userInfo.username == 'gotk:' + request.namespace + ':reconciler'"
)
"""Whether the tenant itself asks: its reconciler, or a pod of its. Nobody else can get rights in its namespace from it:
see the policy for role bindings."""


@dataclass(frozen=True)
class Rule:
    """Which requests a policy is about."""

    group: str
    resources: tuple[str, ...]
    operations: tuple[str, ...] = ("CREATE", "UPDATE")


@dataclass(frozen=True)
class Check:
    """What has to hold."""

    expression: str
    message: str
    """What is wrong and what to do."""
    detail: str = ""
    """CEL for the same with the values at hand; where it fails, `message` is told."""


@dataclass(frozen=True)
class Policy:
    """Checks of the same requests."""

    name: str
    promise: str
    """What it is for, in one sentence."""
    rules: tuple[Rule, ...]
    checks: tuple[Check, ...]
    conditions: Mapping[str, str] = field(default_factory=dict[str, str])
    """CEL by name; a request that does not meet all of them is none of the policy's business."""
    variables: Mapping[str, str] = field(default_factory=dict[str, str])
    everywhere: bool = False
    """Also outside of tenants' namespaces, and for what has none. Without it, only for what is in one of them."""

    def manifests(self) -> tuple[Manifest, Manifest]:
        """The policy, and what puts it into effect."""
        return self._policy(), self._binding()

    def _policy(self) -> Manifest:
        # Requests for what has no namespace have no request.namespace either: conditions would fail, and refuse them.
        scope = "*" if self.everywhere else "Namespaced"
        spec: Manifest = {
            "failurePolicy": "Fail",
            "matchConstraints": {"resourceRules": [_resource_rule(rule, scope) for rule in self.rules]},
            "validations": [_validation(check) for check in self.checks],
        }
        if self.conditions:
            spec["matchConditions"] = _named(self.conditions)
        if self.variables:
            spec["variables"] = _named(self.variables)
        return {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingAdmissionPolicy",
            "metadata": {"name": self.name, "annotations": {"kubernetes.io/description": self.promise}},
            "spec": spec,
        }

    def _binding(self) -> Manifest:
        # Audit: the refusal stands in the cluster's audit log too, where its administrators find it.
        spec: Manifest = {"policyName": self.name, "validationActions": ["Deny", "Audit"]}
        if not self.everywhere:
            selector = {"matchExpressions": [{"key": TENANT_LABEL, "operator": "Exists"}]}
            spec["matchResources"] = {"namespaceSelector": selector}
        return {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingAdmissionPolicyBinding",
            "metadata": {"name": self.name},
            "spec": spec,
        }


def listed(annotation: str) -> str:
    """CEL: the values of an annotation of the namespace."""
    value = f"namespaceObject.metadata.?annotations[?'{annotation}'].orValue('')"
    return f"{value}.split(',').map(one, one.trim()).filter(one, one != '')"


def enabled(annotation: str) -> str:
    """CEL: whether an annotation of the namespace says true."""
    return f"namespaceObject.metadata.?annotations[?'{annotation}'].orValue('') == 'true'"


def shown(values: str, otherwise: str = "none") -> str:
    """CEL: a list as text."""
    return f"({values}.size() == 0 ? '{otherwise}' : {values}.join(', '))"


def unless_same(*fields: str) -> str:
    """CEL: whether the request creates, or changes one of these.

    An object that was there before the rule can so be left, labelled, finalized, and be cleaned up after.
    """
    changes = [f"dyn(object).{field} != dyn(oldObject).{field}" for field in fields]
    return " || ".join(["request.operation == 'CREATE'", *changes])


def _resource_rule(rule: Rule, scope: str) -> Manifest:
    return {
        "apiGroups": [rule.group],
        "apiVersions": ["*"],
        "operations": list(rule.operations),
        "resources": list(rule.resources),
        "scope": scope,
    }


def _validation(check: Check) -> Manifest:
    found: Manifest = {"expression": check.expression, "message": check.message, "reason": "Forbidden"}
    if check.detail:
        found["messageExpression"] = check.detail
    return found


def _named(expressions: Mapping[str, str]) -> Sequence[Any]:
    return [{"name": name, "expression": expression} for name, expression in expressions.items()]
