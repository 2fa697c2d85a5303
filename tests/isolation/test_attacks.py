"""Every attack is refused for its reason, and gets through without the defences that it names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, cast

import pytest

from model.kubernetes.admission.flux import GROUPS
from model.kubernetes.admission.flux_values import bounded_fields
from model.kubernetes.admission.policy import Policy
from model.kubernetes.manifests import OWNER_LABEL, PLATFORM
from tests.isolation import flux_fields
from tests.isolation import objects as of
from tests.isolation.api import Answer
from tests.isolation.attack import BASIC, NEIGHBOUR, OWN, PRODUCT, Attack
from tests.isolation.attacks import COMMITS, REQUESTS, references
from tests.isolation.commit_trial import Commits
from tests.isolation.control_plane import Cluster
from tests.isolation.defences import ADMISSION, POLICIES
from tests.isolation.flux_platform import HostilePlatform
from tests.isolation.runner import Outcome, Outcomes, Record, attempt, run
from tests.platform import eventually

UNTOUCHED = (NEIGHBOUR, PRODUCT, "flux-system", "kube-system")


@pytest.fixture(scope="module")
def before(cluster: Cluster) -> Mapping[str, str]:
    """The versions of all objects outside of the hostile tenants' namespaces, before any attack."""
    return eventually(lambda: settled(cluster)) or {}


@pytest.fixture(scope="module")
def requests(cluster: Cluster, before: Mapping[str, str]) -> Outcomes:
    """The outcomes of all attacks by requests."""
    return run(cluster, REQUESTS, lambda attack, defended: True, together=ADMISSION)


@pytest.fixture(scope="module")
def commits(request: pytest.FixtureRequest, hostile_commits: Commits) -> Outcomes:
    """The outcomes of the selected attacks by commits; attacks of the same stage run in parallel."""
    selected: set[tuple[str, bool]] = set()
    for item in request.session.items:
        if isinstance(item, pytest.Function) and item.module is request.module and "attack" in item.fixturenames:
            attack = cast("Attack", item.callspec.params["attack"])
            selected.add((attack.key, item.originalname.endswith("_is_refused")))
    return run(hostile_commits, COMMITS, lambda attack, defended: (attack.key, defended) in selected)


def by_key(attack: Attack) -> str:
    return attack.key


def judged(outcomes: Outcomes, attack: Attack, record_property: Record, *, defended: bool) -> Outcome:
    """The outcome, which is also recorded for the report."""
    outcome = outcomes[attack.key, defended]
    attempt(attack, outcome, defended=defended).record(record_property)
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


def assert_refused(outcome: Outcome, attack: Attack) -> None:
    assert not outcome.got_through, "it got through"
    assert attack.reason.partition(OWN)[0] in outcome.answer
    assert outcome.damage == ()


def assert_through(outcome: Outcome) -> None:
    assert outcome.got_through, outcome.answer
    assert outcome.damage == ()


@pytest.mark.parametrize("attack", REQUESTS, ids=by_key)
def test_a_request_is_refused(requests: Outcomes, attack: Attack, record_property: Record) -> None:
    assert_refused(judged(requests, attack, record_property, defended=True), attack)


@pytest.mark.parametrize("attack", REQUESTS, ids=by_key)
def test_a_request_is_refused_to_the_reconciler_of_a_product(
    cluster: Cluster, requests: Outcomes, attack: Attack
) -> None:
    """The same defences; `requests` shows once for each that nothing else refuses it."""
    assert_refused(cluster.refused(attack, of_product=True), attack)


@pytest.mark.parametrize("attack", REQUESTS, ids=by_key)
def test_a_request_gets_through_undefended(requests: Outcomes, attack: Attack, record_property: Record) -> None:
    assert_through(judged(requests, attack, record_property, defended=False))


@pytest.mark.parametrize("attack", COMMITS, ids=by_key)
def test_a_commit_is_refused(commits: Outcomes, attack: Attack, record_property: Record) -> None:
    assert_refused(judged(commits, attack, record_property, defended=True), attack)


@pytest.mark.parametrize("attack", [attack for attack in COMMITS if attack.without], ids=by_key)
def test_a_commit_gets_through_undefended(commits: Outcomes, attack: Attack, record_property: Record) -> None:
    assert_through(judged(commits, attack, record_property, defended=False))


@pytest.mark.parametrize("policy", POLICIES.values(), ids=lambda policy: policy.name)
def test_each_check_of_a_policy_alone_stops_an_attack(requests: Outcomes, policy: Policy) -> None:
    through = [requests[attack.key, False] for attack in REQUESTS]
    alone = {
        next(iter(outcome.failed_checks))
        for outcome in through
        if isinstance(outcome, Outcome) and len(outcome.failed_checks) == 1 and outcome.got_through
    }
    unneeded = [check.message for number, check in enumerate(policy.checks) if (policy.name, number) not in alone]
    assert unneeded == []


def test_a_person_with_edit_cannot_pass_as_the_platform(cluster: Cluster, before: Mapping[str, str]) -> None:
    person = "person@acme.example"
    annotations = {"service.beta.kubernetes.io/aws-load-balancer-eip-allocations": "eipalloc-1"}
    service = of.service(BASIC, metadata={"annotations": annotations, "labels": {OWNER_LABEL: PLATFORM}})
    subject = {"kind": "User", "apiGroup": of.RBAC, "name": person}
    binding = of.role_binding(BASIC, subject, cluster_role="edit")
    binding["metadata"]["name"] = "person"
    cluster.administrator.apply(binding)

    def refused() -> bool:
        answer = cluster.administrator.send("apply", service, as_user=person, dry_run=True)
        assert not answer.ok
        return "not among the annotations of this tenant" in answer.message

    eventually(refused)  # the API server needs a moment to know the role binding
    assert cluster.administrator.send("apply", service, dry_run=True).ok
    assert cluster.administrator.send("delete", binding).ok


def test_every_defence_is_restored(cluster: Cluster, requests: Outcomes) -> None:
    got_through = [attack.name for attack in REQUESTS if cluster.attempt(attack, dry_run=True).ok]
    assert got_through == []


def test_nothing_of_neighbour_or_platform_changed(
    cluster: Cluster, requests: Outcomes, before: Mapping[str, str]
) -> None:
    assert versions(cluster) == before


def test_every_request_names_a_defence_of_ours() -> None:
    assert [attack.name for attack in REQUESTS if not attack.without] == []


def test_every_field_of_flux_that_names_a_namespace_is_attacked(hostile: HostilePlatform) -> None:
    found: dict[str, list[str]] = {}
    listed = hostile.get("/apis/apiextensions.k8s.io/v1/customresourcedefinitions") or {"items": []}
    for definition in listed["items"]:
        kind, group = definition["spec"]["names"]["kind"], definition["spec"]["group"]
        served = next(version for version in definition["spec"]["versions"] if version["storage"])
        spec = served["schema"]["openAPIV3Schema"].get("properties", {}).get("spec", {})
        if group.endswith("toolkit.fluxcd.io") and (fields := sorted(set(_namespaces(spec, "spec")))):
            found[kind] = fields
    assert found == {kind: sorted(fields) for kind, fields in references.CROSS_NAMESPACE.items()}


def test_every_duration_number_and_list_of_flux_is_reviewed(cluster: Cluster) -> None:
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    definitions = [{"kind": "CustomResourceDefinition", **item} for item in _items(cluster, path)]
    kinds = {item["spec"]["names"]["kind"]: bounded_fields([item]) for item in definitions}
    assert {kind: fields for kind, fields in kinds.items() if fields != bounded_fields([])} == flux_fields.REVIEWED


def test_every_group_of_flux_is_the_platforms(cluster: Cluster) -> None:
    listed = _items(cluster, "/apis/apiextensions.k8s.io/v1/customresourcedefinitions")
    groups = {item["spec"]["group"] for item in listed}
    assert {group for group in groups if "fluxcd" in group} <= set(GROUPS)


def _namespaces(schema: dict[str, Any], path: str) -> Iterator[str]:
    for name, field in schema.get("properties", {}).items():
        # The target of a patch is chosen among the tenant's own objects.
        if name == "namespace" and field.get("type") == "string" and not path.endswith(".target"):
            yield path
        elif name.endswith("Namespace") and field.get("type") == "string":
            yield f"{path}.{name}"
        yield from _namespaces(field.get("items", field), f"{path}.{name}")


def settled(cluster: Cluster) -> Mapping[str, str] | None:
    """The versions, once Kubernetes' controllers have finished."""
    first = versions(cluster)
    quota = cluster.administrator.call("GET", f"/api/v1/namespaces/{NEIGHBOUR}/resourcequotas/tenant").body
    return first if "used" in quota.get("status", {}) and first == versions(cluster) else None


def _items(cluster: Cluster, path: str) -> list[Any]:
    def served() -> Answer | None:
        answer = cluster.administrator.call("GET", path)
        return None if answer.code == 429 else answer  # a kind that is new is not served at once

    answer = eventually(served)
    assert answer is not None
    return answer.body["items"]


def versions(cluster: Cluster) -> dict[str, str]:
    """The version of every object in namespaces that are not the tenants', without events and leases."""
    found: dict[str, str] = {}
    for version, resource in cluster.administrator.kinds.resources:
        if not resource["namespaced"] or "list" not in resource["verbs"] or resource["kind"] in ("Event", "Lease"):
            continue
        root = f"/api/{version}" if "/" not in version else f"/apis/{version}"
        for namespace in UNTOUCHED:
            path = f"{root}/namespaces/{namespace}/{resource['name']}"
            for item in _items(cluster, path):
                metadata = item["metadata"]
                found[f"{path}/{metadata['name']}"] = metadata["resourceVersion"]
    return found
