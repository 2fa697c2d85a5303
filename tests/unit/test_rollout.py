"""The gate of a rollout: which states of a ring let a version go on, and which do not."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import yaml

from model import rollout
from model.config import tenants
from model.config.departures import Suspension
from model.config.tenants import TenantList
from model.config.yaml_lines import parse
from model.rollout import Observed

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
COMMIT, OLD = "a" * 40, "b" * 40
EARLY: dict[str, Any] = {"ref": {"tag": "v1.4.0"}, "after": "canary", "soak": "24h", "maxFailed": "1%"}


def at(hours: float) -> str:
    return f"{NOW - timedelta(hours=hours):%Y-%m-%dT%H:%M:%SZ}"


def listed(customers: int = 0, synthetic: int = 1, **early: Any) -> TenantList:
    entries = [{"name": f"canary-{n}", "product": "shop", "synthetic": True} for n in range(synthetic)]
    entries += [{"name": f"customer-{n}", "product": "shop"} for n in range(customers)]
    pin = {"tag": "v1.0.0", "until": "2099-01-01", "reason": "contract"}
    entries += [
        {"name": "pinned", "product": "shop", "pin": pin},
        {"name": "later", "product": "shop", "ring": "early"},
    ]
    source = {"url": "https://github.com/acme/shop", "branch": "main"}
    shop = {"source": source, "rings": {"canary": {}, "early": {**EARLY, **early}}}
    return tenants.parse(parse(yaml.safe_dump({"products": {"shop": shop}, "tenants": entries}), "tenants.yaml"))


def entry(status: str = rollout.SUCCEEDED, first: float = 30, last: float = 0.01) -> dict[str, Any]:
    return {"lastReconciledStatus": status, "firstReconciled": at(first), "lastReconciled": at(last)}


def kustomization(name: str) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "generation": 2},
        "spec": {"interval": "1m0s", "timeout": "1m0s", "sourceRef": {"name": "shop-canary"}},
        "status": {
            "observedGeneration": 2,
            "lastAppliedRevision": f"main@sha1:{COMMIT}",
            "conditions": [{"type": "Ready", "status": "True", "message": "Applied"}],
            "history": [entry()],
        },
    }


def deployment(namespace: str) -> dict[str, Any]:
    counts = dict.fromkeys(("replicas", "updatedReplicas", "availableReplicas"), 2)
    return {
        "metadata": {"name": "web", "namespace": namespace, "generation": 3},
        "spec": {"replicas": 2},
        "status": {"observedGeneration": 3, **counts},
    }


def source(name: str, revision: str, **ref: str) -> dict[str, Any]:
    status = {"observedGeneration": 1, "artifact": {"revision": revision}}
    return {"metadata": {"name": name, "generation": 1}, "spec": {"ref": ref}, "status": status}


def healthy(of: TenantList) -> Observed:
    names = [tenant.name for tenant in of.tenants]
    sources = [
        source("shop-canary", f"main@sha1:{COMMIT}", branch="main"),
        source("shop-early", f"v1.4.0@sha1:{OLD}", tag="v1.4.0"),
    ]
    workloads = {"deployments": [*map(deployment, names)], "statefulsets": [], "daemonsets": []}
    return Observed([*map(kustomization, names)], sources, workloads)


def gate(of: TenantList, observed: Observed, now: datetime = NOW) -> list[str]:
    shop = of.products["shop"]
    return [*rollout.gate("shop", shop, of.tenants, observed, ring="early", tag="v1.5.0", commit=COMMIT, now=now)]


def test_a_version_that_runs_in_the_ring_before_goes_on() -> None:
    of = listed(customers=3)
    assert gate(of, healthy(of)) == []


def test_a_suspended_tenant_neither_stops_a_version_nor_shows_that_it_works() -> None:
    of = listed(synthetic=2)
    suspended = {"suspended": Suspension(since="2026-11-26", reason="unpaid")}
    observed = healthy(of)
    observed.kustomizations[0]["status"] = {}
    assert gate(of, observed) != []
    first, *others = of.tenants
    assert gate(replace(of, tenants=(first.model_copy(update=suspended), *others)), observed) == []
    none = [tenant.model_copy(update=suspended) for tenant in of.tenants]
    assert "canary has no tenants" in gate(replace(of, tenants=tuple(none)), observed)[0]


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"metadata": {"name": "canary-0", "generation": 3}}, "Flux has not reconciled its last change yet"),
        ({"status": {}}, "Flux has not reconciled its last change yet"),
        ({"spec": {"sourceRef": {"name": "shop"}}}, "it follows shop, not shop-canary: run `pulumi up`"),
        ({"spec": {"suspend": True}}, "it is suspended"),
        ({"status": {"lastAppliedRevision": f"v1.5.0@sha1:{OLD}"}}, f"it runs v1.5.0@sha1:{OLD}"),
        ({"status": {"lastAppliedRevision": ""}}, "it runs nothing"),
        ({"status": {"history": []}}, "Flux has not applied it yet"),
        ({"status": {"history": [entry(last=0.5)]}}, "since 2026-11-26 11:30 UTC: is kustomize-controller running?"),
        ({"status": {"history": [entry("HealthCheckFailed")]}}, "its last reconciliation ended with HealthCheckFailed"),
        ({"status": {"conditions": []}}, "Flux has not applied it yet"),
        ({"status": {"conditions": [{"type": "Ready", "status": "False", "message": "quota"}]}}, "quota"),
    ],
)
def test_a_synthetic_tenant_that_does_not_run_it_stops_it(change: dict[str, Any], part: str) -> None:
    of = listed(customers=3)
    observed = healthy(of)
    item = observed.kustomizations[0]
    for key, values in change.items():
        item[key] = {**item[key], **values} if values else values
    (reason,) = gate(of, observed)
    assert reason.startswith("the synthetic tenant canary-0 fails: ")
    assert part in reason


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"status": {"observedGeneration": 2, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2}}, ""),
        ({"status": {"observedGeneration": 3, "replicas": 3, "updatedReplicas": 2, "availableReplicas": 2}}, ""),
        ({"status": {"observedGeneration": 3, "replicas": 2, "updatedReplicas": 1, "availableReplicas": 2}}, ""),
        ({"status": {"observedGeneration": 3, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 1}}, ""),
        (
            {"status": {"observedGeneration": 3, "desiredNumberScheduled": 2, "updatedNumberScheduled": 1}},
            "daemonsets",
        ),
    ],
)
def test_pods_that_are_not_rolled_out_stop_it(change: dict[str, Any], kind: str) -> None:
    of = listed()
    observed = healthy(of)
    lists: Any = observed.workloads
    item = lists["deployments"].pop(0) | change
    lists[kind or "deployments"].append(item)
    reasons = gate(of, observed)
    assert f"the synthetic tenant canary-0 fails: {kind or 'deployments'}/web is not rolled out" in reasons


def test_a_status_while_flux_works_has_the_last_outcome() -> None:
    of = listed()
    observed = healthy(of)
    observed.kustomizations[0]["status"]["conditions"][0] |= {"status": "Unknown", "reason": "Progressing"}
    assert gate(of, observed) == []


def test_customers_that_fail_are_counted_and_named() -> None:
    of = listed(customers=200)
    observed = healthy(of)
    for item in observed.kustomizations[1:3]:
        item["status"]["conditions"][0] |= {"status": "False", "message": "quota"}
    assert gate(of, observed) == []
    states = rollout.ring_states("shop", of.products["shop"], of.tenants, observed, NOW)
    assert [state.name for state in states[0].failed] == ["customer-0", "customer-1"]
    assert (states[0].tenants, states[0].pinned, states[0].at) == (201, 1, f"main@sha1:{COMMIT}")
    assert (states[1].wanted, [state.failure for state in states[1].failed]) == (
        "v1.4.0",
        ["it follows shop-canary, not shop-early: run `pulumi up`"],
    )
    observed.kustomizations[3]["status"]["conditions"][0] |= {"status": "False", "message": "quota"}
    (reason,) = gate(of, observed)
    assert reason.startswith("3 customers of canary fail, and 2 may: customer-0: quota; customer-1: quota; customer-2")


def test_a_version_has_to_soak_and_a_failure_begins_anew() -> None:
    of = listed()
    observed = healthy(of)
    status = observed.kustomizations[0]["status"]
    over = "canary has to run it for 24h, which is over at 2026-11-27 06:00 UTC"
    status["history"] = [entry(first=6)]
    assert gate(of, observed) == [over]
    assert gate(of, observed, NOW + timedelta(hours=0.01)) == [over]
    # The content was there before, then failed: it counts from the failure.
    status["history"] = [entry(first=300), entry("HealthCheckFailed", first=7, last=6)]
    assert gate(of, observed) == [over]
    status["history"] = [entry(first=300), entry("HealthCheckFailed", first=31, last=30)]
    assert gate(of, observed) == []


def test_a_ring_that_moved_on_is_empty_or_only_fails_lets_nothing_go_on() -> None:
    of = listed()
    observed = healthy(of)
    observed.sources[0]["status"]["artifact"]["revision"] = f"main@sha1:{OLD}"
    assert gate(of, observed) == [f"canary is to run main@sha1:{OLD}, not v1.5.0 (aaaaaaaa)"]
    observed.sources[0]["metadata"]["generation"] = 2
    assert gate(of, observed) == ["canary is to run nothing yet, not v1.5.0 (aaaaaaaa)"]
    empty = listed(synthetic=0)
    assert gate(empty, healthy(empty)) == ["canary has no tenants, so nothing shows that v1.5.0 works"]
    lenient = listed(customers=2, synthetic=0, maxFailed="100%")
    observed = healthy(lenient)
    for item in observed.kustomizations:
        item["spec"]["suspend"] = True
    assert gate(lenient, observed) == ["no tenant of canary runs v1.5.0"]


def test_a_metric_that_is_too_high_is_a_failure_of_its_tenant() -> None:
    of = listed(customers=3, maxFailed=1, metrics={"query": 'x{namespace=~"$tenants"}', "max": 0.01})
    shop = of.products["shop"]
    names = rollout.judged("shop", shop, of.tenants, "early")
    assert names == ["canary-0", "customer-0", "customer-1", "customer-2"]
    metrics = shop.rings["early"].metrics
    assert metrics
    assert metrics.about(names) == 'x{namespace=~"canary-0|customer-0|customer-1|customer-2"}'

    def asked(measured: dict[str, float] | None) -> list[str]:
        version: Any = {"ring": "early", "tag": "v1.5.0", "commit": COMMIT, "now": NOW}
        return [*rollout.gate("shop", shop, of.tenants, healthy(of), **version, measured=measured)]

    assert asked({"canary-0": 0.01, "customer-0": 0, "another": 1}) == []
    # Customers cannot hold up others with metrics of their own either.
    assert asked({"canary-0": 0, "customer-0": 1}) == []
    (reason,) = asked({"canary-0": 0, "customer-0": 1, "customer-2": math.inf})
    assert "2 customers of canary fail, and 1 may: customer-0: the query's value is 1, and 0.01 may be" in reason
    (reason,) = asked({"canary-0": 0.02})
    assert reason == "the synthetic tenant canary-0 fails: the query's value is 0.02, and 0.01 may be"
    assert asked({"": 0.5}) == ["the query's value for canary is 0.5, and 0.01 may be"]
    nothing = ["the query has no sample of canary, so nothing shows that its tenants are well"]
    assert [asked(None), asked({}), asked({"another": 0})] == [nothing] * 3


def test_hold_refusals_and_windows_close_a_ring() -> None:
    window = {"days": ["fri"], "from": "02:00", "for": "4h", "zone": "Europe/Berlin"}
    shop = listed(hold="the fair", refused=["v1.4.9"], windows=[window]).products["shop"]
    assert [*rollout.closed_to(shop, "early", "v1.4.9", NOW)] == [
        "early is held: the fair",
        "v1.4.9 was rolled back in early, which refuses it",
        "early is open on fri from 02:00 for 4h, Europe/Berlin",
    ]
    assert [*rollout.closed_to(listed().products["shop"], "early", "v1.5.0", NOW)] == []
    friday = datetime(2026, 11, 27, 2, tzinfo=UTC)
    assert [*rollout.closed_to(shop, "early", "v1.5.0", friday)] == ["early is held: the fair"]


def test_the_commit_of_a_tag_is_known_where_a_ring_runs_it() -> None:
    observed = healthy(listed())
    assert rollout.known_commit("v1.4.0", observed) == OLD
    assert rollout.known_commit("v1.5.0", observed) is None
    observed.sources[1]["metadata"]["generation"] = 2
    assert rollout.known_commit("v1.4.0", observed) is None


def test_a_thousand_tenants_are_judged_in_seconds() -> None:
    of = listed(customers=1000)
    observed = healthy(of)
    for kind in ("statefulsets", "deployments"):
        workloads: Any = observed.workloads[kind]
        workloads += [deployment(tenant.name) for tenant in of.tenants for _ in range(5)]
    began = time.process_time()
    assert gate(of, observed) == []
    rollout.ring_states("shop", of.products["shop"], of.tenants, observed, NOW)
    assert time.process_time() - began < 2
