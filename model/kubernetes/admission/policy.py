"""ValidatingAdmissionPolicy and its binding, from requests to match, CEL checks, and messages with remedies.

The API server evaluates the CEL itself, for every writer: Flux, a person, a pod with a token. A tenant's rights are in
annotations of its namespace, which it cannot change, so one policy serves all tenants.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from model.config.names import PRODUCT_PREFIX
from model.config.tiers import UNLIMITED_PODS
from model.kubernetes.manifests import TENANT_LABEL, Manifest

SERVICE_ACCOUNT = "system:serviceaccount:"


def user_of(namespace: str) -> str:
    """CEL: whether the request comes from the tenant of a namespace: from its reconciler, or one of its pods.

    The reconciler of a tenant of a shared product is the account of the tenant's name in the product's namespace.
    """
    user = "request.userInfo.username"
    return (
        f"{user}.startsWith('{SERVICE_ACCOUNT}' + {namespace} + ':') || "
        f"({user}.startsWith('{SERVICE_ACCOUNT}{PRODUCT_PREFIX}') && {user}.endsWith(':' + {namespace})) || "
        f"{user} == 'gotk:' + {namespace} + ':reconciler'"
    )


TENANTS_USER = user_of("request.namespace")
"""CEL: whether the request comes from the tenant. The policy for role bindings keeps it from giving rights in its
namespace to others."""


@dataclass(frozen=True)
class Rule:
    """Requests that a policy matches."""

    group: str
    resources: tuple[str, ...]
    operations: tuple[str, ...] = ("CREATE", "UPDATE")


@dataclass(frozen=True)
class Check:
    """CEL that has to be true, and the message if it is not."""

    expression: str
    message: str
    """The reason of the refusal, and the remedy."""
    detail: str = ""
    """CEL for a message with the actual values; if it fails, the API server answers with `message`."""


@dataclass(frozen=True)
class Policy:
    """Checks of the same requests."""

    name: str
    promise: str
    """Its purpose, in one sentence."""
    rules: tuple[Rule, ...]
    checks: tuple[Check, ...]
    conditions: Mapping[str, str] = field(default_factory=dict[str, str])
    """CEL by name; the policy ignores requests that do not meet all of them."""
    variables: Mapping[str, str] = field(default_factory=dict[str, str])
    everywhere: bool = False
    """Also outside of tenants' namespaces, and for objects without a namespace."""

    def manifests(self) -> tuple[Manifest, Manifest]:
        """The policy and its binding."""
        return self._policy(), self._binding()

    def _policy(self) -> Manifest:
        # Requests for cluster-scoped objects have no request.namespace: conditions would fail, and refuse them.
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
        # Audit: refusals are in the cluster's audit log too, where administrators find them.
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


def namespace_annotation(name: str, otherwise: str = "") -> str:
    """CEL: an annotation of the namespace as text."""
    return f"namespaceObject.metadata.?annotations[?'{name}'].orValue('{otherwise}')"


def listed(annotation: str) -> str:
    """CEL: values of a comma-separated annotation of the namespace."""
    return f"{namespace_annotation(annotation)}.split(',').map(one, one.trim()).filter(one, one != '')"


def enabled(annotation: str) -> str:
    """CEL: whether an annotation of the namespace is true."""
    return f"{namespace_annotation(annotation)} == 'true'"


def limit(annotation: str) -> str:
    """CEL: a number in an annotation of the namespace, which a namespace of an earlier release lacks at first."""
    return f"int({namespace_annotation(annotation, str(UNLIMITED_PODS))})"


def shown(values: str, otherwise: str = "none") -> str:
    """CEL: a list as text."""
    return f"({values}.size() == 0 ? '{otherwise}' : {values}.join(', '))"


def unless_same(*fields: str) -> str:
    """CEL: whether the request creates the object, or changes one of these fields.

    Objects older than the rule can still be labelled, finalized and deleted.
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
