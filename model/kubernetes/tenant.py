"""Objects that isolate a tenant: everything that has to exist before its product is applied."""

from __future__ import annotations

from collections.abc import Iterator

from model.config.names import product_namespace
from model.config.network import ClusterAddresses
from model.config.tenants import Tenant
from model.kubernetes import manifests
from model.kubernetes.manifests import Manifest
from model.kubernetes.network_policies import closed_network, network_policies

RECONCILER = "reconciler/"
"""Prefix of the logical name of the reconciler's role binding. The role follows: another role is another resource."""


def isolation_objects(tenant: Tenant, cluster: ClusterAddresses) -> Iterator[tuple[str, Manifest]]:
    """Account, rights, limits and network policies in the tenant's namespace.

    Each with the part of its logical name that distinguishes it from others of its kind; empty for the first. A tenant
    of a shared product has no account with rights here: its reconciler is in the product's namespace.
    """
    objects = [*(_product_reconciler(tenant, tenant.product) if tenant.product else _own_reconciler(tenant))]
    objects += [("", manifests.resource_quota(tenant)), ("", manifests.limit_range(tenant))]
    if tenant.stopped:
        policies = [closed_network(tenant.name, {})]
    else:
        policies = network_policies(tenant.name, tenant.network, aws_access=tenant.aws is not None, cluster=cluster)
    objects += [(policy["metadata"]["name"], policy) for policy in policies]
    for part, manifest in objects:
        yield part, manifests.owned(manifest, tenant)


def _own_reconciler(tenant: Tenant) -> Iterator[tuple[str, Manifest]]:
    yield "", manifests.service_account(tenant)
    yield f"{RECONCILER}{tenant.role}", manifests.role_binding(tenant)
    if tenant.helm:
        yield "helm", manifests.helm_role_binding(tenant)


def _product_reconciler(tenant: Tenant, product: str) -> Iterator[tuple[str, Manifest]]:
    if manifests.has_aws_account(tenant):
        yield "", manifests.service_account(tenant)
    for role, binding in manifests.product_role_bindings(tenant, product).items():
        yield f"{product_namespace(product)}/{role}", binding
