"""Objects that isolate a tenant: everything that has to exist before its product is applied."""

from __future__ import annotations

from collections.abc import Iterator

from model.config.network import ClusterAddresses
from model.config.tenants import Tenant
from model.kubernetes import manifests
from model.kubernetes.manifests import Manifest
from model.kubernetes.network_policies import network_policies

RECONCILER = "reconciler/"
"""Prefix of the logical name of the reconciler's role binding. The role follows: another role is another resource."""


def isolation_objects(tenant: Tenant, cluster: ClusterAddresses) -> Iterator[tuple[str, Manifest]]:
    """Account, rights, limits and network policies in the tenant's namespace.

    Each with the part of its logical name that distinguishes it from others of its kind; empty for the first.
    """
    objects: list[tuple[str, Manifest]] = [
        ("", manifests.service_account(tenant)),
        (f"{RECONCILER}{tenant.role}", manifests.role_binding(tenant)),
        ("", manifests.resource_quota(tenant)),
        ("", manifests.limit_range(tenant)),
    ]
    if tenant.helm:
        objects.append(("helm", manifests.helm_role_binding(tenant)))
    for policy in network_policies(tenant.name, tenant.network, aws_access=tenant.aws is not None, cluster=cluster):
        objects.append((policy["metadata"]["name"], policy))
    for part, manifest in objects:
        yield part, manifests.owned(manifest, tenant)
