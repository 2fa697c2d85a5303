"""Objects of a shared product: the platform's namespace with its source, and in it what Flux applies for each tenant.

kustomize-controller impersonates an account of the Kustomization's own namespace, so account and Kustomization are
here, and only the binding of the account's rights is in the tenant's namespace. No reference crosses a namespace.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from model.config.mirrors import Location
from model.config.names import PIN_PREFIX, PRODUCT_LABEL, RING_LABEL, product_namespace
from model.config.products import Product
from model.config.rings import Batch
from model.config.tenants import Tenant
from model.kubernetes.manifests import (
    CLUSTER_LABEL,
    OWNER_LABEL,
    PLATFORM,
    POD_SECURITY,
    READ_AS_APP,
    Manifest,
    in_shard,
    kustomization_spec,
    source_spec,
    tenant_labels,
)
from model.kubernetes.network_policies import closed_network


def namespace(name: str, cluster: str) -> Manifest:
    """The product's namespace, in which no tenant has rights and no pod runs."""
    labels = {**product_labels(name), CLUSTER_LABEL: cluster, f"{POD_SECURITY}/enforce": "restricted"}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": product_namespace(name), "labels": labels}}


def isolation_objects(name: str) -> list[Manifest]:
    """What keeps pods out of the product's namespace, and any pod there from the network."""
    quota: Manifest = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "product", "namespace": product_namespace(name), "labels": product_labels(name)},
        "spec": {"hard": {"pods": "0"}},
    }
    return [quota, closed_network(product_namespace(name), product_labels(name))]


LONGEST_TAG = 60
"""Of a tag in a name."""


@dataclass(frozen=True)
class Revision:
    """What some tenants of a product run, and with it a GitRepository of the product."""

    source: str
    """Name of the GitRepository."""
    reference: Mapping[str, str]
    """Its spec.ref."""
    ring: str | None = None
    """The ring that runs it; None for a pinned version, and in products without rings."""
    batch: Batch | None = None
    """The batch of the ring; None if the ring has none."""

    @property
    def title(self) -> str:
        """For people: early, or early 20-40%."""
        return " ".join(str(part) for part in (self.ring, self.batch) if part)


def revision(name: str, product: Product, tenant: Tenant) -> Revision:
    """What a tenant runs: the version that it is pinned to, else that of its ring."""
    if tenant.pin is None:
        return unpinned_revision(name, product, tenant)
    tag = tenant.pin.tag
    if not re.fullmatch(r"[a-z0-9]+([.-][a-z0-9]+)*", tag) or len(tag) > LONGEST_TAG:
        # Names of objects are shorter than tags and have fewer characters: two tags may become the same.
        digest = hashlib.sha256(tag.encode()).hexdigest()[:8]
        tag = f"{re.sub(r'[^a-z0-9]+', '-', tag.lower())[:LONGEST_TAG].strip('-')}-{digest}".lstrip("-")
    return Revision(f"{name}-{PIN_PREFIX}{tag}", {"tag": tenant.pin.tag})


def unpinned_revision(name: str, product: Product, tenant: Tenant) -> Revision:
    """What the tenant's ring runs, or its batch of the ring."""
    ring = tenant.ring or product.first_ring
    return _ring_revision(name, product, ring, product.rings[ring].part(tenant.name) if ring else None)


def ring_revisions(name: str, product: Product, ring: str | None) -> list[Revision]:
    """What the batches of a ring run, or the ring without batches, or a product without rings."""
    parts: list[Batch] = product.rings[ring].parts if ring else []
    return [_ring_revision(name, product, ring, batch) for batch in parts or [None]]


def revisions(name: str, product: Product, tenants: Iterable[Tenant]) -> list[Revision]:
    """All that runs of a product: its rings or its source, then the versions that tenants are pinned to."""
    pinned = [revision(name, product, tenant) for tenant in tenants if tenant.product == name and tenant.pin]
    by_source = {each.source: each for each in sorted(pinned, key=lambda each: each.source)}
    of_rings = [each for ring in product.ordered_rings or [None] for each in ring_revisions(name, product, ring)]
    return [*of_rings, *by_source.values()]


def fetched_revisions(name: str, product: Product) -> list[Revision]:
    """Those that a push can change: of rings that follow a branch or a range of versions, else the first one."""
    found = revisions(name, product, ())
    return [each for each in found if {"branch", "semver"} & each.reference.keys()] or found[:1]


def _ring_revision(name: str, product: Product, ring: str | None, batch: Batch | None) -> Revision:
    # Each batch has a source at all times, so a promotion changes no tenant, and none waits at a source with the
    # artifact of another version. The first one keeps the ring's: batches come and go without a replacement. Other
    # names say which tenants they have: no source becomes that of others. Names of rings have no dots.
    part = f".{batch.start}-{batch.end}" if batch and batch.start else ""
    return Revision(f"{name}-{ring}{part}" if ring else name, product.reference(ring, batch), ring, batch)


def git_repository(
    name: str, product: Product, revision: Revision, location: Location, interval: str, *, app: bool = False
) -> Manifest:
    """GitRepository of a revision, read from `location`: one clone for all tenants that run it."""
    spec = source_spec(product.source, location, interval=interval, secret=name)
    if app:
        spec |= READ_AS_APP
    return {
        "apiVersion": "source.toolkit.fluxcd.io/v1",
        "kind": "GitRepository",
        "metadata": {
            "name": revision.source,
            "namespace": product_namespace(name),
            "labels": {**product_labels(name), **_ring_labels(revision.ring), **in_shard(product.shard)},
        },
        "spec": {**spec, "ref": dict(revision.reference), "timeout": product.timeout},
    }


def service_account(tenant: Tenant, name: str) -> Manifest:
    """The account that Flux impersonates when it applies the product for a tenant; its rights are in the tenant's."""
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": _tenant_metadata(tenant, name)}


def kustomization(tenant: Tenant, name: str, product: Product) -> Manifest:
    """Kustomization that applies the product to a tenant's namespace, with the tenant's values, images and patches."""
    metadata, ring = _tenant_metadata(tenant, name), _ring_labels(tenant.ring or product.first_ring)
    source = revision(name, product, tenant).source
    spec = kustomization_spec(tenant, source, product.source) | {
        # Always: so that a variable without a value and without a default is an error for tenants without values too.
        "postBuild": {"substitute": dict(tenant.values), "substituteStrategy": "Always"},
    }
    if tenant.images:
        spec["images"] = [override.model_dump(by_alias=True, exclude_none=True) for override in tenant.images]
    return {
        "apiVersion": "kustomize.toolkit.fluxcd.io/v1",
        "kind": "Kustomization",
        "metadata": {**metadata, "labels": {**metadata["labels"], **ring, **in_shard(product.shard)}},
        "spec": spec,
    }


def _tenant_metadata(tenant: Tenant, name: str) -> Manifest:
    labels = {**tenant_labels(tenant), **product_labels(name)}
    return {"name": tenant.name, "namespace": product_namespace(name), "labels": labels}


def _ring_labels(ring: str | None) -> dict[str, str]:
    return {RING_LABEL: ring} if ring else {}


def product_labels(name: str) -> dict[str, str]:
    """Labels of the objects in a product's namespace."""
    return {PRODUCT_LABEL: name, OWNER_LABEL: PLATFORM}
