"""The state of tenants and products in a cluster, from the answers of its API."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from model.config.names import FLUX_NAMESPACE, HELD, PIN_PREFIX, PRODUCT_LABEL, RING_LABEL, STATE_LABEL, TENANT_LABEL

Object = dict[str, Any]
SOURCES = "/apis/source.toolkit.fluxcd.io/v1/gitrepositories"
KUSTOMIZATIONS = "/apis/kustomize.toolkit.fluxcd.io/v1/kustomizations"
NO_RING = "default"
"""Shown for the tenants of a product without rings: all follow the same revision."""
STARTING = {"ContainerCreating", "PodInitializing"}
"""Reasons of containers that are about to run."""
COLUMNS = ("tenant", "product", "ring", "ready", "revision", "image", "replicas")
"""Heads of a table of tenants; see `cells`."""


class Api(Protocol):
    """A client of the cluster's API."""

    def get(self, path: str) -> Object | None:
        """The object or list at a path; None if there is none, or the kind is not defined."""
        ...


@dataclass(frozen=True)
class Reconciliation:
    """Flux's state of a tenant, of a product's source, or of the infra repository."""

    name: str
    ready: bool
    revision: str
    """What was applied last, as branch@commit; empty before the first time."""
    reason: str
    """Why it is not ready; empty if it is."""
    product: str = ""
    """The shared product that a tenant runs; empty for a source of its own."""
    of: str = ""
    """What it is, if not a tenant: infra, product."""
    ring: str = ""
    """The ring of a tenant or of a product's source; `broad, pinned` of a tenant that is pinned to a version."""


@dataclass(frozen=True)
class Workloads:
    """The replicas of a namespace's Deployments, StatefulSets, DaemonSets and unfinished Jobs."""

    available: int = 0
    desired: int = 0
    reason: str = ""
    """Why the first missing pod does not start; empty if none is missing or the pod is about to run."""
    images: tuple[str, ...] = ()
    """The images of its Deployments, StatefulSets and DaemonSets."""

    @property
    def complete(self) -> bool:
        """Whether no replica is missing."""
        return self.available >= self.desired


def reconciliations(api: Api) -> list[Reconciliation]:
    """The infra repository, the sources of products, then every tenant by name. Empty if Flux is not installed."""
    sources = {_place(item): item for item in _items(api.get(SOURCES))}
    kustomizations = {_owner(item): item for item in _items(api.get(KUSTOMIZATIONS))}
    rows = [row for name in _named(api, PRODUCT_LABEL) for row in _products(name, sources)]
    names = _named(api, TENANT_LABEL)
    if FLUX_NAMESPACE in kustomizations:
        names.insert(0, FLUX_NAMESPACE)
    found = [_reconciliation(name, sources, kustomizations.get(name)) for name in names]
    return [*(row for row in found if row.of), *rows, *(row for row in found if not row.of)]


def workloads(api: Api) -> Mapping[str, Workloads]:
    """The workloads of each namespace; none where a namespace has none. Of a suspended tenant no pod is missing."""
    stopped = _named(api, STATE_LABEL)
    available, desired = defaultdict[str, int](int), defaultdict[str, int](int)
    images = defaultdict[str, dict[str, None]](dict)
    for kind in ("deployments", "statefulsets", "daemonsets"):
        for item in _items(api.get(f"/apis/apps/v1/{kind}")):
            namespace, status = item["metadata"]["namespace"], item["status"]
            available[namespace] += status.get("numberAvailable" if kind == "daemonsets" else "availableReplicas", 0)
            desired[namespace] += status["desiredNumberScheduled"] if kind == "daemonsets" else item["spec"]["replicas"]
            pod = item["spec"].get("template", {}).get("spec", {})
            images[namespace] |= dict.fromkeys(container["image"] for container in pod.get("containers", []))
    for item in _items(api.get("/apis/batch/v1/jobs")):
        spec, status = item["spec"], item.get("status", {})
        if spec.get("suspend") or any(c["status"] == "True" for c in status.get("conditions", [])):
            continue
        at_a_time = spec.get("parallelism", 1)
        left = spec["completions"] - status.get("succeeded", 0) if "completions" in spec else at_a_time
        namespace = item["metadata"]["namespace"]
        available[namespace] += status.get("ready", 0)
        desired[namespace] += min(at_a_time, left)
    found = defaultdict[str, Workloads](Workloads)
    for namespace, count in desired.items():
        count = 0 if namespace in stopped else count
        reason = _why_missing(api, namespace) if available[namespace] < count else ""
        found[namespace] = Workloads(available[namespace], count, reason, tuple(images[namespace]))
    return found


def created(api: Api) -> Mapping[str, str]:
    """When the namespaces of tenants were made."""
    found = _items(api.get(f"/api/v1/namespaces?labelSelector={TENANT_LABEL}"))
    return {item["metadata"]["name"]: item["metadata"]["creationTimestamp"] for item in found}


def cells(row: Reconciliation, found: Workloads) -> tuple[str, ...]:
    """The row of a tenant, a product or the infra repository below COLUMNS."""
    return (
        f"{row.name} ({row.of})" if row.of else row.name,
        row.product,
        row.ring or (NO_RING if row.product else ""),
        "yes" if row.ready else "no",
        row.revision,
        "" if row.of else _short_images(found.images),
        f"{found.available}/{found.desired}" if row.of != "product" else "",
    )


def _items(answer: Object | None) -> list[Object]:
    return answer["items"] if answer else []


def _named(api: Api, label: str) -> list[str]:
    """The namespaces with a label, in order."""
    found = _items(api.get(f"/api/v1/namespaces?labelSelector={label}"))
    return sorted(namespace["metadata"]["name"] for namespace in found)


def _place(item: Object) -> tuple[str, str]:
    return item["metadata"]["namespace"], item["metadata"]["name"]


def _owner(kustomization: Object) -> str:
    """The tenant that the platform's Kustomization is for, or flux-system. Others are the tenant's own: no name."""
    namespace, name = _place(kustomization)
    labels = kustomization["metadata"].get("labels", {})
    ours = namespace == name or (PRODUCT_LABEL in labels and labels.get(TENANT_LABEL) == name)
    return name if ours else ""


def _products(namespace: str, sources: Mapping[tuple[str, str], Object]) -> list[Reconciliation]:
    """A row for each ring of a product, or one for a product without rings."""
    own = [item for (place, _), item in sources.items() if place == namespace]
    found = [item for item in own if _ring(item) or item["metadata"]["name"] == namespace.removeprefix("product-")]
    if not found:
        return [Reconciliation(namespace, False, "", "its GitRepository is missing: run `make up`", of="product")]
    return [_product(namespace, source) for source in found]


def _product(namespace: str, source: Object) -> Reconciliation:
    revision = str(source.get("status", {}).get("artifact", {}).get("revision", ""))
    reason = _why_not_ready(source)
    # The names of the sources of batches end with their share of the ring, such as shop-broad.20-40.
    batch = source["metadata"]["name"].partition(".")[2]
    ring = f"{_ring(source)} {batch}%" if batch else _ring(source)
    return Reconciliation(namespace, not reason, _short_revision(revision), reason, of="product", ring=ring)


def _ring(item: Object) -> str:
    return str(item["metadata"].get("labels", {}).get(RING_LABEL, ""))


def _reconciliation(
    name: str, sources: Mapping[tuple[str, str], Object], kustomization: Object | None
) -> Reconciliation:
    of = "infra" if name == FLUX_NAMESPACE else ""
    if kustomization is None:
        return Reconciliation(name, False, "", "its Kustomization is missing: run `make up`", of=of)
    namespace, _ = _place(kustomization)
    source = sources.get((namespace, kustomization["spec"].get("sourceRef", {}).get("name", namespace)))
    product = kustomization["metadata"].get("labels", {}).get(PRODUCT_LABEL, "")
    if source is None:
        return Reconciliation(name, False, "", "its GitRepository is missing: run `make up`", product, of)
    # What is wrong with a product's source is in the product's row, once for all its tenants.
    own = "" if product else _why_not_ready(source)
    reasons = [reason for reason in (own, _why_not_ready(kustomization)) if reason]
    revision = str(kustomization.get("status", {}).get("lastAppliedRevision", ""))
    pinned = product and source["metadata"]["name"].startswith(f"{product}-{PIN_PREFIX}")
    ring = f"{_ring(kustomization) or NO_RING}, pinned" if pinned else _ring(kustomization)
    return Reconciliation(name, not reasons, _short_revision(revision), "; ".join(reasons), product, of, ring)


def _short_revision(revision: str) -> str:
    branch, _, commit = revision.partition("@sha1:")
    return f"{branch}@{commit[:8]}" if commit else revision


def _short_images(images: Sequence[str]) -> str:
    """The first image without its registry, and how many more there are."""
    more = f" +{len(images) - 1}" if len(images) > 1 else ""
    return f"{images[0].rpartition('/')[2].partition('@')[0]}{more}" if images else ""


def _why_not_ready(item: Object) -> str:
    if HELD in item["metadata"].get("annotations", {}):
        conditions: list[Object] = item.get("status", {}).get("conditions", [])
        messages = [condition.get("message", "") for condition in conditions if condition["type"] == "Ready"]
        return f"its {item['kind']} is {next(iter(messages), 'suspended by the watchdog')}"
    if item["spec"].get("suspend"):
        return f"its {item['kind']} is suspended"
    status = item.get("status", {})
    condition = next((c for c in status.get("conditions", []) if c["type"] == "Ready"), None)
    if condition is None or status.get("observedGeneration", 0) < item["metadata"]["generation"]:
        return f"Flux has not reconciled its {item['kind']} yet"
    if condition["status"] == "True":
        return ""
    return f"{item['kind']}: {condition['message']}"


def _why_missing(api: Api, namespace: str) -> str:
    """Why the first pod does not start, or else why no pod could be created."""
    for pod in _items(api.get(f"/api/v1/namespaces/{namespace}/pods")):
        if reason := _why_not_running(pod):
            return f"pod {pod['metadata']['name']}: {reason}"
    events = _items(api.get(f"/api/v1/namespaces/{namespace}/events?fieldSelector=reason=FailedCreate"))
    if not events:
        return ""
    event = max(events, key=lambda event: event.get("lastTimestamp") or "")
    return f"{event['involvedObject']['kind']} {event['involvedObject']['name']}: {event['message']}"


def _why_not_running(pod: Object) -> str:
    status = pod.get("status", {})
    for condition in status.get("conditions", []):
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return f"{condition['reason']}: {condition.get('message', '')}"
    for container in (*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])):
        waiting = container["state"].get("waiting", {})
        if waiting.get("reason") and waiting["reason"] not in STARTING:
            return f"{waiting['reason']}: {waiting.get('message', '')}"
    return ""
