"""Objects of a shared product: the platform's namespace with its source, and in it what Flux applies for each tenant.

kustomize-controller impersonates an account of the Kustomization's own namespace, so account and Kustomization are
here, and only the binding of the account's rights is in the tenant's namespace. No reference crosses a namespace.
"""

from __future__ import annotations

from model.config.mirrors import Location
from model.config.names import product_namespace
from model.config.products import Product
from model.kubernetes.manifests import (
    CLUSTER_LABEL,
    OWNER_LABEL,
    PLATFORM,
    POD_SECURITY,
    PRODUCT_LABEL,
    Manifest,
    in_shard,
    source_spec,
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


def git_repository(name: str, product: Product, location: Location) -> Manifest:
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
            **source_spec(product.source, location, interval=product.interval, secret=name),
            "timeout": product.timeout,
        },
    }


def product_labels(name: str) -> dict[str, str]:
    """Labels of the objects in a product's namespace."""
    return {PRODUCT_LABEL: name, OWNER_LABEL: PLATFORM}
