"""Rollouts of a shared product: what each ring runs, and whether a version may go on to the next ring.

Everything is judged from a few lists, whatever number of tenants there are. A tenant's own workloads can only fail its
own rollout, and customers that fail are counted: only the platform's synthetic tenants stop a version alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

from model.config.names import product_namespace
from model.config.products import Product
from model.config.rings import Metrics, closed, precedence
from model.config.tenants import Tenant
from model.config.tiers import seconds
from model.kubernetes.products import Revision, revisions, ring_revisions, unpinned_revision
from model.status import Api, Object

APPLIED_FROM = "kustomize.toolkit.fluxcd.io/namespace"
"""Label of what Flux applied, with the namespace of its Kustomization."""
SUCCEEDED = "ReconciliationSucceeded"
MISSED = 3
"""Intervals without a reconciliation after which a status is stale: its controller has stopped, or is held up."""
NAMED = 3
"""How many tenants a sentence names."""
WORKLOADS = {
    "deployments": "apps/v1",
    "statefulsets": "apps/v1",
    "daemonsets": "apps/v1",
    "jobs": "batch/v1",
    "cronjobs": "batch/v1",
}
"""Resources that the gate looks at, with their API versions."""


@dataclass(frozen=True)
class Observed:
    """A product's objects in a cluster, as lists of its API."""

    kustomizations: Sequence[Object]
    sources: Sequence[Object]
    workloads: Mapping[str, Sequence[Object]]
    """Of all tenants, by resource."""

    @cached_property
    def by_tenant(self) -> Mapping[str, Object]:
        """The Kustomizations by their tenants' names."""
        return {item["metadata"]["name"]: item for item in self.kustomizations}

    @cached_property
    def unfinished(self) -> Mapping[str, str]:
        """The first workload of each namespace that is not rolled out, or a Job that is not complete, in words."""
        found: dict[str, str] = {}
        for kind, items in self.workloads.items():
            for item in items:
                metadata = item["metadata"]
                if metadata["namespace"] not in found and (reason := _unfinished(kind, item)):
                    found[metadata["namespace"]] = f"{kind}/{metadata['name']} {reason}"
        return found

    @cached_property
    def failed_runs(self) -> Mapping[str, Sequence[tuple[str, datetime]]]:
        """CronJobs of each namespace whose last run failed, and when that was scheduled."""
        found: dict[str, list[tuple[str, datetime]]] = {}
        for item in self.workloads.get("cronjobs", ()):
            if failed := _failed_run(item):
                found.setdefault(item["metadata"]["namespace"], []).append((item["metadata"]["name"], failed))
        return found


@dataclass(frozen=True)
class TenantState:
    """What a tenant runs."""

    name: str
    synthetic: bool
    revision: str
    """What Flux applied last."""
    since: datetime | None
    """Since when the same content is applied, without a failure in between."""
    failure: str
    """Why it does not count as running its ring's revision; empty if it does."""


@dataclass(frozen=True)
class RingState:
    """What a ring should run, and what its tenants do. Pinned tenants are not counted."""

    ring: str
    batch: str
    """Of the ring; empty if it has none."""
    wanted: str
    at: str
    """What most of its tenants run."""
    tenants: int
    pinned: int
    failed: Sequence[TenantState]
    since: datetime | None
    """Since when all tenants without a failure run it."""


def observe(api: Api, product: str) -> Observed:
    """Read the lists: seven requests."""
    namespace = product_namespace(product)

    def items(path: str) -> list[Object]:
        answer = api.get(path)
        return answer["items"] if answer else []

    return Observed(
        items(f"/apis/kustomize.toolkit.fluxcd.io/v1/namespaces/{namespace}/kustomizations"),
        items(f"/apis/source.toolkit.fluxcd.io/v1/namespaces/{namespace}/gitrepositories"),
        {
            kind: items(f"/apis/{version}/{kind}?labelSelector={APPLIED_FROM}={namespace}")
            for kind, version in WORKLOADS.items()
        },
    )


def ring_states(
    name: str, product: Product, tenants: Sequence[Tenant], observed: Observed, now: datetime
) -> list[RingState]:
    """The rings of a product and their batches, in their order."""
    found: list[RingState] = []
    for each in revisions(name, product, ()):
        source = _named(observed.sources, each.source)
        states = _tenant_states(name, product, tenants, each, _commit(_artifact(source)), observed, now)
        fine = [state.since for state in states if state.since and not state.failure]
        most = Counter(state.revision for state in states if state.revision).most_common(1)
        found.append(
            RingState(
                ring=each.ring or "",
                batch=str(each.batch or ""),
                wanted=" ".join(each.reference.values()),
                at=most[0][0] if most else "",
                tenants=len(states),
                pinned=sum(tenant.pin is not None for tenant in _members(name, product, tenants, each)),
                failed=[state for state in states if state.failure],
                since=max(fine, default=None),
            )
        )
    return found


def known_commit(tag: str, observed: Observed) -> str | None:
    """The commit of a tag that a ring runs already."""
    sources = (item for item in observed.sources if item["spec"].get("ref") == {"tag": tag})
    return next((commit for item in sources if (commit := _commit(_artifact(item)))), None)


def closed_to(product: Product, ring: str, tag: str, now: datetime) -> Iterator[str]:
    """Why a version may not reach a ring now, whatever the ring before shows."""
    own = product.rings[ring]
    if own.hold:
        yield f"{ring} is held: {own.hold}"
    for name, each in product.rings.items():
        if tag in each.refused:
            yield f"{tag} was rolled back in {name}, which refuses it"
    if windows := closed(own.windows, now):
        yield f"{ring} is open on {windows}"


def misfit(product: Product, current: str | None, tag: str) -> str:
    """Why data may not fit a version, where `current` runs: a tag, or None for a branch. Empty if it fits."""
    oldest = precedence(product.rollback_to) if product.rollback_to else None
    runs, wanted = precedence(current) if current else None, precedence(tag)
    if oldest is None or (runs and runs < oldest):
        return ""  # in the second case no version has changed the data yet
    if wanted is None:
        return f"{tag} is not a version, so it may be older than {product.rollback_to}, which data needs"
    return f"data needs {product.rollback_to} or later, so {tag} cannot read it" if wanted < oldest else ""


def under_way(product: Product, ring: str, tag: str) -> bool:
    """Whether a version has reached some batches of a ring, and not all."""
    own = product.rings[ring]
    return own.reached is not None and own.ref is not None and own.ref.tag == tag


def next_reached(name: str, product: Product, tenants: Sequence[Tenant], ring: str, tag: str) -> str | None:
    """The share of a ring that a version has after one more promotion; None for all of it.

    Another version replaces the one that is under way where that one is. Batches without tenants are passed over:
    nothing in them could show that the version works.
    """
    own = product.rings[ring]
    if own.reached and not under_way(product, ring, tag):
        return own.reached
    parts = [each for each in ring_revisions(name, product, ring) if _counted(name, product, tenants, each)]
    left = [each.batch.end for each in parts if each.batch and not (own.reached and each.batch.end <= own.share)]
    return f"{left[0]}%" if len(left) > 1 else None


def judged(name: str, product: Product, tenants: Sequence[Tenant], ring: str, tag: str) -> list[str]:
    """The tenants that decide whether a version goes on to a ring, or to its next batch: pinned ones do not."""
    before = _before(name, product, tenants, ring, tag)
    return [tenant.name for each in before for tenant in _counted(name, product, tenants, each)]


def _before(name: str, product: Product, tenants: Sequence[Tenant], ring: str, tag: str) -> list[Revision]:
    """What is judged: the last batch with tenants that has the version; if none has, all of the ring before."""
    own = product.rings[ring]
    for each in reversed(ring_revisions(name, product, ring) if under_way(product, ring, tag) else []):
        if each.batch and each.batch.end <= own.share and _counted(name, product, tenants, each):
            return [each]
    return ring_revisions(name, product, own.after)


def gate(
    name: str,
    product: Product,
    tenants: Sequence[Tenant],
    observed: Observed,
    *,
    ring: str,
    tag: str,
    commit: str,
    now: datetime,
    measured: Mapping[str, float] | None = None,
) -> Iterator[str]:
    """Why a version may not go on to a ring or its next batch: what the one before lacks. Nothing for the first ring.

    `measured` is the answer to the ring's query, by tenant; "" is about the whole ring.
    """
    own = product.rings[ring]
    if own.after is None:
        return
    before = _before(name, product, tenants, ring, tag)
    where = own.after if before[0].ring == own.after else before[0].title
    for each in before:
        offered = _artifact(_named(observed.sources, each.source))
        if _commit(offered) != commit:
            yield f"{each.title} is to run {offered or 'nothing yet'}, not {tag} ({commit[:8]})"
    states = [state for each in before for state in _tenant_states(name, product, tenants, each, commit, observed, now)]
    if own.metrics:
        yield from _unmeasured(where, own.metrics, states, measured or {})
        states = [_judged(state, own.metrics, measured or {}) for state in states]
    soak = timedelta(seconds=seconds(own.soak))
    young = [state for state in states if not state.failure and (not state.since or state.since > now - soak)]
    failed = [state for state in states if state.failure]
    if not states:
        yield f"{where} has no tenants, so nothing shows that {tag} works"
    for state in failed:
        if state.synthetic:
            yield f"the synthetic tenant {state.name} fails: {state.failure}"
    customers = [state for state in failed if not state.synthetic]
    allowed = own.may_fail(sum(not state.synthetic for state in states))
    if len(customers) > allowed:
        yield f"{len(customers)} customers of {where} fail, and {allowed} may: {_shown(customers)}"
    elif late := [state for state in young if state.synthetic or len(customers) + len(young) > allowed]:
        until = max(state.since or now for state in late) + soak
        yield f"{where} has to run it for {own.soak}, which is over at {until:%Y-%m-%d %H:%M} UTC"
    if states and len(failed) == len(states):
        yield f"no tenant of {where} runs {tag}"


def _unmeasured(
    ring: str, metrics: Metrics, states: Sequence[TenantState], measured: Mapping[str, float]
) -> Iterator[str]:
    if not measured.keys() & {"", *(state.name for state in states)}:
        yield f"the query has no sample of {ring}, so nothing shows that its tenants are well"
    if measured.get("", metrics.most) > metrics.most:
        yield f"the query's value for {ring} is {measured['']:g}, and {metrics.most:g} may be"


def _judged(state: TenantState, metrics: Metrics, measured: Mapping[str, float]) -> TenantState:
    value = measured.get(state.name, metrics.most)
    if state.failure or value <= metrics.most:
        return state
    return replace(state, failure=f"the query's value is {value:g}, and {metrics.most:g} may be")


def _shown(states: Sequence[TenantState]) -> str:
    shown = "; ".join(f"{state.name}: {state.failure}" for state in states[:NAMED])
    return f"{shown}; and {len(states) - NAMED} more" if len(states) > NAMED else shown


def _members(name: str, product: Product, tenants: Sequence[Tenant], each: Revision) -> list[Tenant]:
    # One that is suspended runs nothing: it shows neither that a version works nor that it fails.
    running = [tenant for tenant in tenants if tenant.product == name and not tenant.stopped]
    return [tenant for tenant in running if unpinned_revision(name, product, tenant).source == each.source]


def _counted(name: str, product: Product, tenants: Sequence[Tenant], each: Revision) -> list[Tenant]:
    return [tenant for tenant in _members(name, product, tenants, each) if tenant.pin is None]


def _tenant_states(
    name: str,
    product: Product,
    tenants: Sequence[Tenant],
    each: Revision,
    commit: str,
    observed: Observed,
    now: datetime,
) -> list[TenantState]:
    return [_state(tenant, observed, each.source, commit, now) for tenant in _counted(name, product, tenants, each)]


def _state(tenant: Tenant, observed: Observed, source: str, commit: str, now: datetime) -> TenantState:
    kustomization = observed.by_tenant.get(tenant.name)
    if kustomization is None:
        return TenantState(tenant.name, tenant.synthetic, "", None, "its Kustomization is missing: run `pulumi up`")
    status = kustomization.get("status", {})
    applied = str(status.get("lastAppliedRevision", ""))
    history: list[Object] = status.get("history", [])
    since = _since(history)
    failure = _not_applied(kustomization, source, history, now)
    if not failure and (not commit or _commit(applied) != commit):
        failure = f"it runs {applied or 'nothing'}"
    failure = failure or observed.unfinished.get(tenant.name, "") or _failed_since(tenant.name, observed, since)
    return TenantState(tenant.name, tenant.synthetic, applied, since, failure)


def _failed_since(tenant: str, observed: Observed, since: datetime | None) -> str:
    """The first CronJob whose last run failed. Runs of the content before do not count."""
    runs = observed.failed_runs.get(tenant, ())
    failed = ((name, scheduled) for name, scheduled in runs if since and scheduled >= since)
    return next((f"cronjobs/{name} failed in its run of {at:%Y-%m-%d %H:%M} UTC" for name, at in failed), "")


def _not_applied(kustomization: Object, source: str, history: Sequence[Object], now: datetime) -> str:
    """Why the status of a Kustomization does not say that its revision is applied."""
    spec, status = kustomization["spec"], kustomization.get("status", {})
    if spec["sourceRef"]["name"] != source:
        return f"it follows {spec['sourceRef']['name']}, not {source}: run `pulumi up`"
    if spec.get("suspend"):
        return "it is suspended"
    if status.get("observedGeneration") != kustomization["metadata"]["generation"]:
        return "Flux has not reconciled its last change yet"
    if not history:
        return "Flux has not applied it yet"
    # Flux writes to the history at each interval. A status without a controller stays as it was: ready.
    limit = timedelta(seconds=MISSED * seconds(spec["interval"]) + 2 * seconds(spec.get("timeout", "1m")))
    last = _time(history[0]["lastReconciled"])
    if last < now - limit:
        return f"Flux has not reconciled it since {last:%Y-%m-%d %H:%M} UTC: is kustomize-controller running?"
    ready = next((one for one in status.get("conditions", []) if one["type"] == "Ready"), None)
    if ready is None or ready["status"] == "False":
        return str(ready["message"]) if ready else "Flux has not applied it yet"
    # Ready is Unknown for a moment in each interval, while Flux works: then the last outcome counts.
    if history[0]["lastReconciledStatus"] != SUCCEEDED:
        return f"its last reconciliation ended with {history[0]['lastReconciledStatus']}"
    return ""


def _since(history: Sequence[Object]) -> datetime | None:
    """Since when the newest outcome holds. Flux has one entry for each content and outcome, the newest first."""
    if not history:
        return None
    times = [history[0]["firstReconciled"], *(entry["lastReconciled"] for entry in history[1:2])]
    return max(map(_time, times))


def _unfinished(kind: str, item: Object) -> str:
    """Why a workload does not count as running, or a Job as done; empty if it does."""
    if kind == "cronjobs":
        return ""
    if kind == "jobs":
        conditions = item.get("status", {}).get("conditions", [])
        ended = {each["type"] for each in conditions if each["status"] == "True"}
        if "Failed" in ended:
            return "has failed"
        return "" if "Complete" in ended or item["spec"].get("suspend") else "is not complete"
    return "" if _rolled_out(kind, item) else "is not rolled out"


def _failed_run(cron_job: Object) -> datetime | None:
    """When the last run of a CronJob was scheduled, if it has ended and did not succeed."""
    status = cron_job.get("status", {})
    if status.get("active") or "lastScheduleTime" not in status:
        return None
    scheduled = _time(status["lastScheduleTime"])
    succeeded = status.get("lastSuccessfulTime")
    return scheduled if succeeded is None or _time(succeeded) < scheduled else None


def _rolled_out(kind: str, item: Object) -> bool:
    status: dict[str, Any] = item.get("status", {})
    if status.get("observedGeneration", 0) < item["metadata"]["generation"]:
        return False
    if kind == "daemonsets":
        wanted = status.get("desiredNumberScheduled", 0)
        return status.get("updatedNumberScheduled", 0) == status.get("numberAvailable", 0) == wanted
    wanted = item["spec"].get("replicas", 1)
    counts = (status.get(key, 0) for key in ("replicas", "updatedReplicas", "availableReplicas"))
    return all(count == wanted for count in counts)


def _named(items: Sequence[Object], name: str) -> Object | None:
    return next((item for item in items if item["metadata"]["name"] == name), None)


def _artifact(source: Object | None) -> str:
    """The revision that a source offers; empty while it does not have its own one."""
    if source is None or source.get("status", {}).get("observedGeneration") != source["metadata"]["generation"]:
        return ""
    return str(source["status"].get("artifact", {}).get("revision", ""))


def _commit(revision: str) -> str:
    return revision.rpartition(":")[2] if ":" in revision else ""


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)
