"""Objects of a shared product: the platform's namespace with its source, and in it what Flux applies for each tenant.

kustomize-controller impersonates an account of the Kustomization's own namespace, so account and Kustomization are
here, and only the binding of the account's rights is in the tenant's namespace. No reference crosses a namespace.
"""

from __future__ import annotations

from model.config.mirrors import Location
from model.config.names import PRODUCT_LABEL, product_namespace
from model.config.products import Product
from model.config.tenants import Tenant
from model.kubernetes.manifests import (
    CLUSTER_LABEL,
    OWNER_LABEL,
    PLATFORM,
    POD_SECURITY,
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


def git_repository(name: str, product: Product, location: Location, interval: str) -> Manifest:
    """GitRepository of the product, read from `location`: one clone for all its tenants."""
    return {
        "apiVersion": "source.toolkit.fluxcd.io/v1",
        "kind": "GitRepository",
        "metadata": {
            "name": name,
            "namespace": product_namespace(name),
            "labels": {**product_labels(name), **in_shard(product.shard)},
        },
        "spec": {
            **source_spec(product.source, location, interval=interval, secret=name),
            "timeout": product.timeout,
        },
    }


def service_account(tenant: Tenant, name: str) -> Manifest:
    """The account that Flux impersonates when it applies the product for a tenant; its rights are in the tenant's."""
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": _tenant_metadata(tenant, name)}


def kustomization(tenant: Tenant, name: str, product: Product) -> Manifest:
    """Kustomization that applies the product to a tenant's namespace, with the tenant's values, images and patches."""
    metadata = _tenant_metadata(tenant, name)
    spec = kustomization_spec(tenant, name, product.source) | {
        # Always: so that a variable without a value and without a default is an error for tenants without values too.
        "postBuild": {"substitute": dict(tenant.values), "substituteStrategy": "Always"},
    }
    for key, overrides in (("images", tenant.images), ("patches", tenant.patches)):
        if overrides:
            spec[key] = [override.model_dump(by_alias=True, exclude_none=True) for override in overrides]
    return {
        "apiVersion": "kustomize.toolkit.fluxcd.io/v1",
        "kind": "Kustomization",
        "metadata": {**metadata, "labels": {**metadata["labels"], **in_shard(product.shard)}},
        "spec": spec,
    }


def _tenant_metadata(tenant: Tenant, name: str) -> Manifest:
    labels = {**tenant_labels(tenant), **product_labels(name)}
    return {"name": tenant.name, "namespace": product_namespace(name), "labels": labels}


def product_labels(name: str) -> dict[str, str]:
    """Labels of the objects in a product's namespace."""
    return {PRODUCT_LABEL: name, OWNER_LABEL: PLATFORM}
