"""The admission policies and the reconcilers' roles as manifests. tests/isolation tries them on an API server."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from model.config.tiers import HELM_ROLE, RECONCILER_ROLE
from model.kubernetes.admission import guardrails
from model.kubernetes.admission.policy import Check, Policy
from model.kubernetes.admission.shards import OF_WATCHDOG
from model.kubernetes.manifests import TENANT_LABEL
from model.kubernetes.roles import reconciler_roles
from tests.isolation.attacks import ATTACKS, REQUESTS
from tests.isolation.defences import POLICIES

MAX_NAME = 63

ALL = [*POLICIES.values(), OF_WATCHDOG]

each_policy = pytest.mark.parametrize("policy", ALL, ids=lambda policy: policy.name)
each_policy_for_tenants = pytest.mark.parametrize("policy", POLICIES.values(), ids=lambda policy: policy.name)
CHECKS = [
    pytest.param(policy, check, id=f"{policy.name}: {check.message}") for policy in ALL for check in policy.checks
]


@each_policy
def test_a_policys_promise_is_its_description_in_the_cluster(policy: Policy):
    made, _ = policy.manifests()
    assert re.fullmatch(r"[A-Z].{20,}\.", policy.promise)
    assert made["metadata"]["annotations"]["kubernetes.io/description"] == policy.promise


@pytest.mark.parametrize(("policy", "check"), CHECKS)
def test_a_refusal_has_a_reason_and_a_remedy(policy: Policy, check: Check):
    assert re.fullmatch(r"\S.+[.] [A-Z].+[.]", check.message)
    if check.detail:
        assert check.detail.rstrip().endswith(".'"), "the message with values is a sentence too"


@each_policy
def test_a_policy_applies_in_tenants_namespaces_only(policy: Policy):
    _, binding = policy.manifests()
    assert binding["spec"]["policyName"] == policy.name
    assert binding["spec"]["validationActions"] == ["Deny", "Audit"]
    selector = {"matchExpressions": [{"key": TENANT_LABEL, "operator": "Exists"}]}
    selected = binding["spec"].get("matchResources")
    assert selected == (None if policy.everywhere else {"namespaceSelector": selector})


@each_policy
def test_a_policy_that_cannot_be_evaluated_refuses(policy: Policy):
    made, _ = policy.manifests()
    assert made["spec"]["failurePolicy"] == "Fail"


@each_policy_for_tenants
def test_a_policy_ignores_cluster_scoped_objects(policy: Policy):
    """Such a request has no request.namespace: every write of the platform's own would fail."""
    made, _ = policy.manifests()
    scopes = {rule["scope"] for rule in made["spec"]["matchConstraints"]["resourceRules"]}
    assert scopes == ({"*"} if policy.everywhere else {"Namespaced"})
    if policy.everywhere:
        assert "request.namespace" not in str(made["spec"])
        assert all(rule.group == "" and rule.resources[0] == "namespaces" for rule in policy.rules)


def test_policy_names_are_unique_and_fit_a_label():
    policies = [manifest for manifest in guardrails([]) if manifest["kind"] == "ValidatingAdmissionPolicy"]
    names = Counter(policy["metadata"]["name"] for policy in policies)
    assert set(names) == {policy.name for policy in ALL}
    assert set(names.values()) == {1}
    assert all(name.startswith("saas-") and len(name) <= MAX_NAME for name in names)


def test_roles_come_before_policies_and_policies_before_their_bindings():
    kinds = [manifest["kind"] for manifest in guardrails([])]
    assert list(dict.fromkeys(kinds)) == [
        "ClusterRole",
        "ValidatingAdmissionPolicy",
        "ValidatingAdmissionPolicyBinding",
    ]


def test_the_reconcilers_roles_allow_no_escalation():
    roles = {role["metadata"]["name"]: role for role in reconciler_roles()}
    assert set(roles) == {RECONCILER_ROLE, HELM_ROLE}
    for role in roles.values():
        assert "aggregationRule" not in role
        assert "labels" not in role["metadata"], "a label could aggregate it into another role"
        for rule in role["rules"]:
            said = {*rule["apiGroups"], *rule["resources"], *rule["verbs"]}
            assert "*" not in said
            assert not said & {"escalate", "bind", "impersonate", "use", "deletecollection"}
            assert not any("token" in item or "exec" in item or "impersonate" in item for item in said)
            assert set(rule) == {"apiGroups", "resources", "verbs"}


def test_a_reconciler_only_reads_its_limits():
    base = next(role for role in reconciler_roles() if role["metadata"]["name"] == RECONCILER_ROLE)
    limits = {"resourcequotas", "limitranges", "networkpolicies", "namespaces", "endpoints", "endpointslices"}
    for rule in base["rules"]:
        if limits & set(rule["resources"]):
            assert set(rule["verbs"]) <= {"get", "list", "watch"}, rule
        assert not any(group.endswith("toolkit.fluxcd.io") for group in rule["apiGroups"])


def test_attack_names_are_unique():
    """By its name the report finds the same attack with and without the defence."""
    assert [key for key, count in Counter(attack.key for attack in ATTACKS).items() if count > 1] == []


@each_policy_for_tenants
def test_every_policy_is_attacked(policy: Policy):
    assert any(attack.without == {policy.name} for attack in REQUESTS)
