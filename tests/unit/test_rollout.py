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
from model.config.rings import Pin, percentile
from model.config.tenants import TenantList
from model.config.yaml_lines import parse
from model.kubernetes import products
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


def job(*conditions: str, **spec: Any) -> dict[str, Any]:
    metadata = {"name": "migrate", "namespace": "canary-0", "generation": 1}
    status = {"conditions": [{"type": each.strip("-"), "status": str(each[0] != "-")} for each in conditions]}
    return {"metadata": metadata, "spec": spec, "status": status if conditions else {}}


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (job("SuccessCriteriaMet", "Complete"), ""),
        (job("Suspended", suspend=True), ""),
        (job(), "is not complete"),
        (job("-Complete", "-Failed"), "is not complete"),
        (job("FailureTarget", "Failed"), "has failed"),
        (job("Failed", suspend=True), "has failed"),
    ],
)
def test_a_job_that_failed_or_still_runs_stops_it(found: dict[str, Any], reason: str) -> None:
    of = listed()
    observed = healthy(of)
    lists: Any = observed.workloads
    lists["jobs"] = [found]
    assert gate(of, observed) == ([f"the synthetic tenant canary-0 fails: jobs/migrate {reason}"] if reason else []) + (
        ["no tenant of canary runs v1.5.0"] if reason else []
    )


@pytest.mark.parametrize(
    ("status", "stops"),
    [
        ({}, False),
        ({"lastScheduleTime": at(2), "lastSuccessfulTime": at(1.9)}, False),
        ({"lastScheduleTime": at(2)}, True),
        ({"lastScheduleTime": at(2), "lastSuccessfulTime": at(3)}, True),
        ({"lastScheduleTime": at(2), "active": [{}]}, False),
        ({"lastScheduleTime": at(31)}, False),  # before the version was applied
    ],
)
def test_a_cron_job_stops_it_whose_last_run_of_this_version_failed(status: dict[str, Any], stops: bool) -> None:
    of = listed()
    observed = healthy(of)
    lists: Any = observed.workloads
    metadata = {"name": "nightly", "namespace": "canary-0", "generation": 1}
    lists["cronjobs"] = [{"metadata": metadata, "spec": {}, "status": status}]
    said = "the synthetic tenant canary-0 fails: cronjobs/nightly failed in its run of 2026-11-26 10:00 UTC"
    assert (said in gate(of, observed)) == stops
    assert stops or gate(of, observed) == []


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
    names = rollout.judged("shop", shop, of.tenants, "early", "v1.5.0")
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


NAMES = {"early-0": ["wayne", "tenant-6"], "early-1": ["tenant-1"], "early-2": ["tenant-5"], "early-4": ["globex"]}
"""Tenants of early by the number of their batch; the fourth has none."""


def in_batches(*, reached: str | None = None, customers: int = 0, **early: Any) -> TenantList:
    """The tenants of NAMES in early, and more in its first batch; v1.5.0 has reached a share of it."""
    names = [name for batch in NAMES.values() for name in batch] + FIRST[:customers]
    entries: list[Any] = [{"name": name, "product": "shop", "ring": "early"} for name in names]
    entries += [{"name": "canary-0", "product": "shop", "synthetic": True}]
    entries += [{"name": "last-0", "product": "shop", "ring": "last"}]
    under_way = {"ref": {"tag": "v1.5.0"}, "previous": "v1.4.0", "reached": reached} if reached else {}
    rings: dict[str, Any] = {"canary": {}, "early": {**EARLY, "batches": "20%", **under_way, **early}}
    rings["last"] = {"after": "early", "ref": {"tag": "v1.4.0"}}
    shop = {"source": {"url": "https://github.com/acme/shop", "branch": "main"}, "rings": rings}
    return tenants.parse(parse(yaml.safe_dump({"products": {"shop": shop}, "tenants": entries}), "tenants.yaml"))


FIRST = [name for n in range(2000) if percentile(name := f"more-{n}") < 20]


def running(of: TenantList) -> Observed:
    """All is applied as the list says."""
    shop = of.products["shop"]
    revisions = [each for each in products.revisions("shop", shop, ()) if each.ring != "canary"]
    tags = {each.source: each.reference["tag"] for each in revisions}
    applied = {name: f"{tag}@sha1:{COMMIT if tag == 'v1.5.0' else OLD}" for name, tag in tags.items()}
    sources = [source("shop-canary", f"main@sha1:{COMMIT}", branch="main")]
    sources += [source(name, applied[name], tag=tag) for name, tag in tags.items()]
    kustomizations = [kustomization(tenant.name) for tenant in of.tenants]
    for item, tenant in zip(kustomizations, of.tenants, strict=True):
        own = products.revision("shop", shop, tenant).source
        item["spec"]["sourceRef"]["name"] = own
        if own in applied:
            item["status"]["lastAppliedRevision"] = applied[own]
    return Observed(kustomizations, sources, healthy(of).workloads)


def next_reached(of: TenantList, tag: str = "v1.5.0") -> str | None:
    return rollout.next_reached("shop", of.products["shop"], of.tenants, "early", tag)


def test_each_promotion_reaches_the_next_batch_with_tenants() -> None:
    assert [next_reached(in_batches(reached=share)) for share in (None, "20%", "40%")] == ["20%", "40%", "60%"]
    # Nothing would be learned from the fourth, which has no tenants, and the last one is the rest.
    assert [next_reached(in_batches(reached=share)) for share in ("60%", "80%")] == [None, None]
    assert next_reached(listed(batches="20%")) is None
    assert next_reached(listed()) is None
    of = in_batches()
    without = [tenant for tenant in of.tenants if tenant.name not in NAMES["early-0"]]
    assert next_reached(replace(of, tenants=tuple(without))) == "40%"
    pin = {"pin": Pin(tag="v1.0.0", until="2099-01-01", reason="contract")}
    pinned = [tenant.model_copy(update=pin) if tenant.name in NAMES["early-0"] else tenant for tenant in of.tenants]
    assert next_reached(replace(of, tenants=tuple(pinned))) == "40%"
    # Another version is for those that have the one under way: none goes back.
    assert next_reached(in_batches(reached="60%"), "v1.5.1") == "60%"


def test_the_gate_between_batches_judges_the_batch_before() -> None:
    of = in_batches(reached="20%")
    shop, observed = of.products["shop"], running(of)
    # The ring before may run something else by now.
    observed.sources[0]["status"]["artifact"]["revision"] = f"main@sha1:{'c' * 40}"
    assert gate(of, observed) == []
    assert rollout.judged("shop", shop, of.tenants, "early", "v1.5.0") == NAMES["early-0"]
    observed.kustomizations[0]["status"]["conditions"][0] |= {"status": "False", "message": "quota"}
    assert gate(of, observed) == ["1 customers of early 0-20% fail, and 0 may: wayne: quota"]
    observed = running(of)
    observed.kustomizations[1]["status"]["history"] = [entry(first=6)]
    assert gate(of, observed) == ["early 0-20% has to run it for 24h, which is over at 2026-11-27 06:00 UTC"]
    observed = running(of)
    observed.sources[1]["status"]["artifact"]["revision"] = f"v1.4.0@sha1:{OLD}"
    assert gate(of, observed) == [f"early 0-20% is to run v1.4.0@sha1:{OLD}, not v1.5.0 (aaaaaaaa)"]
    synthetic = [tenant.model_copy(update={"synthetic": tenant.name == "wayne"}) for tenant in of.tenants]
    observed = running(of)
    observed.kustomizations[0]["spec"]["suspend"] = True
    assert gate(replace(of, tenants=tuple(synthetic)), observed) == [
        "the synthetic tenant wayne fails: it is suspended"
    ]
    # Tenants of batches that the version has not reached do not count.
    observed = running(of)
    for item in observed.kustomizations[2:]:
        item["status"] = {}
    assert gate(of, observed) == []


def test_customers_of_a_batch_are_counted_against_its_share() -> None:
    of = in_batches(reached="20%", customers=98)
    observed = running(of)
    for item in observed.kustomizations[:1]:
        item["status"]["conditions"][0] |= {"status": "False", "message": "quota"}
    assert gate(of, observed) == []
    observed.kustomizations[1]["spec"]["suspend"] = True
    (reason,) = gate(of, observed)
    assert reason.startswith("2 customers of early 0-20% fail, and 1 may: ")


def test_what_is_judged_of_an_empty_batch_and_of_another_version() -> None:
    of = in_batches(reached="80%")
    shop = of.products["shop"]
    # The fourth batch has no tenants: the third shows whether the version works.
    assert rollout.judged("shop", shop, of.tenants, "early", "v1.5.0") == NAMES["early-2"]
    assert rollout.judged("shop", shop, of.tenants, "early", "v1.5.1") == ["canary-0"]
    gone = tuple(tenant for tenant in of.tenants if tenant.name == "canary-0")
    assert rollout.judged("shop", shop, gone, "early", "v1.5.0") == ["canary-0"]


def test_a_version_leaves_a_ring_only_once_all_batches_have_it() -> None:
    def last(of: TenantList) -> list[str]:
        asked: Any = {"ring": "last", "tag": "v1.5.0", "commit": COMMIT, "now": NOW}
        return [*rollout.gate("shop", of.products["shop"], of.tenants, running(of), **asked)]

    reasons = last(in_batches(reached="80%"))
    assert reasons[0] == f"early 80-100% is to run v1.4.0@sha1:{OLD}, not v1.5.0 (aaaaaaaa)"
    assert "1 customers of early fail, and 0 may: globex: it runs v1.4.0" in reasons[1]
    everywhere = in_batches(ref={"tag": "v1.5.0"})
    assert last(everywhere) == []
    names = [name for batch in NAMES.values() for name in batch]
    judged = rollout.judged("shop", everywhere.products["shop"], everywhere.tenants, "last", "v1.5.0")
    assert sorted(judged) == sorted(names)


def test_the_state_has_a_row_for_each_batch() -> None:
    of = in_batches(reached="40%")
    states = rollout.ring_states("shop", of.products["shop"], of.tenants, running(of), NOW)
    assert [(one.batch, one.wanted, one.tenants, len(one.failed)) for one in states if one.ring == "early"] == [
        ("0-20%", "v1.5.0", 2, 0),
        ("20-40%", "v1.5.0", 1, 0),
        ("40-60%", "v1.4.0", 1, 0),
        ("60-80%", "v1.4.0", 0, 0),
        ("80-100%", "v1.4.0", 1, 0),
    ]
    assert [one.batch for one in states if one.ring != "early"] == ["", ""]


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
