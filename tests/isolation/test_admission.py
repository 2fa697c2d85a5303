"""What hostile tenants try through the API server: refused for its reason, and let through where the defence is away.

Each attack is one request with a real token of the tenant's reconciler; attacks.py is the list.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from model.kubernetes.admission import POLICIES
from tests.isolation.actors import Answer
from tests.isolation.attack import NEIGHBOUR, Attack
from tests.isolation.attacks import ATTACKS
from tests.isolation.conftest import Cluster
from tests.isolation.defences import BY_NAME, Outcome, without_their_defences
from tests.isolation.report.results import DEFENDED, UNDEFENDED
from tests.platform import eventually

UNTOUCHED = (NEIGHBOUR, "flux-system", "kube-system")

each_attack = pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)


@pytest.fixture(scope="module")
def before(cluster: Cluster) -> Mapping[str, str]:
    """The versions of what is not the hostile tenants', before they try anything."""
    return eventually(lambda: settled(cluster)) or {}


@pytest.fixture(scope="module")
def undefended(cluster: Cluster) -> Mapping[str, Outcome]:
    return without_their_defences(cluster.administrator, ATTACKS, lambda attack: cluster.attempt(attack, dry_run=True))


@each_attack
def test_an_attack_is_refused_for_its_reason(
    cluster: Cluster, before: Mapping[str, str], attack: Attack, record_property: Callable[[str, object], None]
):
    answer = cluster.attempt(attack)
    record(record_property, attack, answer.message or str(answer.code), DEFENDED)
    assert not answer.ok, "it got through"
    assert answer.code == 403, answer.message
    assert attack.reason in answer.message


@each_attack
def test_an_attack_gets_through_once_its_defences_are_away(
    undefended: Mapping[str, Outcome], attack: Attack, record_property: Callable[[str, object], None]
):
    outcome = undefended[attack.name]
    record(record_property, attack, through(outcome.answer), UNDEFENDED)
    assert outcome.answer.ok, outcome.answer.message
    policies = {policy for policy, _ in outcome.failing}
    assert policies == {name for name in attack.defences if name in BY_NAME}, "each is needed, and no other"


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.name)
def test_each_check_of_a_policy_is_all_that_stops_some_attack(undefended: Mapping[str, Outcome], policy: Any):
    alone = {next(iter(one.failing)) for one in undefended.values() if len(one.failing) == 1 and one.answer.ok}
    unneeded = [check.message for number, check in enumerate(policy.checks) if (policy.name, number) not in alone]
    assert unneeded == []


def test_every_defence_is_back(cluster: Cluster, undefended: Mapping[str, Outcome]):
    got_through = [attack.name for attack in ATTACKS if cluster.attempt(attack, dry_run=True).ok]
    assert got_through == []


def test_nothing_of_the_neighbours_and_of_the_platforms_changed(cluster: Cluster, before: Mapping[str, str]):
    assert versions(cluster) == before


def record(record_property: Callable[[str, object], None], attack: Attack, answer: str, mode: str) -> None:
    record_property("promise", attack.promise)
    record_property("defence", "; ".join(called(name) for name in attack.defences))
    record_property("attack", attack.name)
    record_property("answer", answer[:300])
    record_property("mode", mode)
    record_property("by", "direct API call")


def called(defence: str) -> str:
    return f"admission: {defence}" if defence in BY_NAME else defence


def through(answer: Answer) -> str:
    if not answer.ok:
        return answer.message
    done = {200: "OK", 201: "Created"}.get(answer.code, "")
    return f"{answer.code} {done}: {answer.body.get('kind', '')} {answer.body.get('metadata', {}).get('name', '')}"


def settled(cluster: Cluster) -> Mapping[str, str] | None:
    """The versions, once Kubernetes' controllers have nothing to add."""
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
    """The version of every object in the namespaces that nobody may touch, but for the platform's own heartbeats."""
    found: dict[str, str] = {}
    for version, resource in cluster.administrator.kinds.resources:
        if not resource["namespaced"] or "list" not in resource["verbs"] or resource["kind"] in ("Event", "Lease"):
            continue
        root = f"/api/{version}" if "/" not in version else f"/apis/{version}"
        for namespace in UNTOUCHED:
            path = f"{root}/namespaces/{namespace}/{resource['name']}"
            for one in _items(cluster, path):
                metadata = one["metadata"]
                found[f"{path}/{metadata['name']}"] = metadata["resourceVersion"]
    return found
