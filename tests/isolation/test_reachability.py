"""Tenants cannot reach each other or the platform: cyclonus evaluates the policies against a reviewed table."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path

import pytest

from model.config.names import FLUX_NAMESPACE
from model.kubernetes.manifests import Manifest
from tests import reachability
from tests.isolation.report import Network
from tests.isolation.runner import DEFENDED, UNDEFENDED, Attempt, Record
from tests.reachability import Connection, EvaluationError, Pod, Scenario

TABLE = Path(__file__).parent / "reachability.yaml"

Cells = set[tuple[str, str]]


@pytest.fixture(scope="module")
def scenario() -> Scenario:
    return reachability.load(TABLE)


def opened_and_closed(scenario: Scenario, policies: list[Manifest]) -> tuple[Cells, Cells]:
    """The cells that changed policies open, and those that they close."""
    found = reachability.matrix(policies, scenario.connections)
    changed = {place for place, allowed in found.items() if allowed != scenario.intended[place]}
    opened = {place for place in changed if found[place]}
    return opened, changed - opened


def name(policy: Manifest) -> str:
    return f"{policy['metadata']['namespace']}/{policy['metadata']['name']}"


def without(scenario: Scenario, *names: str) -> list[Manifest]:
    kept = [policy for policy in scenario.policies if name(policy) not in names]
    assert len(kept) == len(scenario.policies) - len(names)
    return kept


def concerning(namespace: str, cells: Cells) -> Cells:
    """The cells whose source or destination is the namespace."""
    return {(row, column) for row, column in cells if column == namespace or row.split()[0] == namespace}


def test_reachability_is_as_the_table_says(scenario: Scenario, record_property: Record):
    found = reachability.matrix(scenario.policies, scenario.connections)
    record_property("network", Network(scenario.rows, scenario.columns, found, scenario.intended).as_text())
    assert found == scenario.intended, "\n" + reachability.as_markdown(scenario, found)


def test_every_policy_of_a_tenant_has_an_effect_on_that_tenant_only(scenario: Scenario):
    without_effect: set[str] = set()
    for policy in scenario.policies:
        namespace = policy["metadata"]["namespace"]
        if namespace == FLUX_NAMESPACE:
            continue
        opened, closed = opened_and_closed(scenario, without(scenario, name(policy)))
        assert concerning(namespace, opened | closed) == opened | closed, name(policy)
        if policy["metadata"]["name"] != "default-deny":
            assert not opened, f"{name(policy)} closes something: {opened}"
        if not opened | closed:
            without_effect.add(name(policy))
    assert without_effect == {"friend/egress-neighbour"}, "the neighbour does not let it in; all others have an effect"


def record_need(record_property: Record, policy: str, opened: Cells, part: str = "") -> None:
    """Record for the report which connection opens without this policy, or without a part of it."""
    destination, source = min(opened)
    promise = "Nobody reaches a tenant, nor a tenant anybody, but by what its tier opens."
    defence = f"network policy {policy.partition('/')[2]}"
    tried = f"{source} reaches {destination}, past {policy}{part and ', '}{part}"
    for mode, answer in ((DEFENDED, "blocked"), (UNDEFENDED, "gets through")):
        Attempt(promise, defence, tried, mode, "judged by cyclonus", answer).record(record_property)


def test_without_default_deny_a_tenant_is_open(scenario: Scenario, record_property: Record):
    opened, closed = opened_and_closed(scenario, without(scenario, "basic/default-deny"))
    assert {("basic 8080", source) for source in ("friend", "wide", "default", "ingress", "flux", "outside")} <= opened
    assert ("itself 8080", "basic") in closed
    record_need(record_property, "basic/default-deny", opened)


def test_a_tenant_without_policies_reaches_unprotected_targets(scenario: Scenario):
    everything = [name(policy) for policy in scenario.policies if name(policy).startswith("basic/")]
    opened, closed = opened_and_closed(scenario, without(scenario, *everything))
    rows = {row for row, column in opened if column == "basic"}
    assert {"metadata 80", "metadata-v6 80", "kubernetes-api 443", "node 10250", "internet 443"} <= rows
    assert {"metrics-server 10250", "source-service 80", "database 5432"} <= rows
    assert not {"web 8080", "source-controller 9090"} & rows, "their own policies hold without the other side's"
    assert not closed


def narrowings(policy: Manifest) -> Iterator[tuple[str, Manifest]]:
    """The policy without one of its restrictions: an exception, a list of ports, a selector of pods."""
    for direction, ends in (("ingress", "from"), ("egress", "to")):
        for number, rule in enumerate(policy["spec"].get(direction, [])):
            if "ports" in rule:
                wider = copy.deepcopy(policy)
                del wider["spec"][direction][number]["ports"]
                yield f"ports {rule['ports']}", wider
            for index, end in enumerate(rule.get(ends, [])):
                if "podSelector" in end and "namespaceSelector" in end:
                    wider = copy.deepcopy(policy)
                    del wider["spec"][direction][number][ends][index]["podSelector"]
                    yield f"pods {end['podSelector']}", wider
                for exception in end.get("ipBlock", {}).get("except", []):
                    wider = copy.deepcopy(policy)
                    wider["spec"][direction][number][ends][index]["ipBlock"]["except"].remove(exception)
                    yield f"except {exception}", wider


def test_every_exception_port_and_selector_closes_something(scenario: Scenario, record_property: Record):
    tried = 0
    for place, policy in enumerate(scenario.policies):
        if policy["metadata"]["namespace"] == FLUX_NAMESPACE:
            continue
        for what, wider in narrowings(policy):
            policies = [*scenario.policies]
            policies[place] = wider
            opened, closed = opened_and_closed(scenario, policies)
            assert opened, f"nothing opens when {name(policy)} loses {what}"
            assert not closed
            record_need(record_property, name(policy), opened, what)
            tried += 1
    assert tried > 20


def test_flux_own_policies_would_admit_events_and_metrics_requests(scenario: Scenario, record_property: Record):
    original = {name(policy): policy for policy in reachability.policies_of_flux()}
    assert {f"{FLUX_NAMESPACE}/{policy}" for policy in ("allow-scraping", "allow-webhooks")} < set(original)
    opened, closed = opened_and_closed(scenario, [original.get(name(policy), policy) for policy in scenario.policies])
    assert {(f"notification-controller {port}", "wide") for port in (9090, 9292, 8080)} <= opened
    assert ("source-controller 8080", "wide") in opened
    assert ("source-controller 9090", "wide") not in opened, "the artifacts are closed by Flux itself"
    # A load balancer is in no namespace.
    assert closed == {("notification-controller 9292", "gateway")}
    record_need(record_property, f"{FLUX_NAMESPACE}/allow-webhooks and allow-scraping, ours", opened)


def test_each_policy_of_flux_is_needed(scenario: Scenario):
    for policy in scenario.policies:
        if policy["metadata"]["namespace"] == FLUX_NAMESPACE:
            opened, closed = opened_and_closed(scenario, without(scenario, name(policy)))
            assert opened | closed, f"nothing changes without {name(policy)}"


def test_a_policy_that_cyclonus_cannot_read_is_an_error(scenario: Scenario):
    connection = Connection(Pod("basic", "10.0.1.1"), Pod("web", "10.0.1.2"), 8080)
    broken = copy.deepcopy(scenario.policies[0])
    broken["spec"]["egres"] = []
    with pytest.raises(EvaluationError, match="egres"):
        reachability.evaluate([broken], [connection])
