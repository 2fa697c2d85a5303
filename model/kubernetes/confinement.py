"""What keeps a tenant in its place: everything that has to be there before its product is applied."""

from __future__ import annotations

from collections.abc import Iterator

from model.config.network_rules import ClusterNetwork
from model.config.tenants import Tenant
from model.kubernetes import manifests
from model.kubernetes.manifests import Manifest
from model.kubernetes.network_policies import network_policies


def confinement(tenant: Tenant, cluster: ClusterNetwork) -> Iterator[tuple[str, Manifest]]:
    """The objects in the tenant's namespace, each with what tells it from others of its kind; empty for the first."""
    made: list[tuple[str, Manifest]] = [
        ("", manifests.service_account(tenant)),
        ("", manifests.role_binding(tenant)),
        ("", manifests.resource_quota(tenant)),
        ("", manifests.limit_range(tenant)),
    ]
    if tenant.helm:
        made.append(("helm", manifests.helm_role_binding(tenant)))
    for policy in network_policies(tenant.name, tenant.network, aws_access=tenant.aws is not None, cluster=cluster):
        made.append((policy["metadata"]["name"], policy))
    for part, manifest in made:
        yield part, manifests.owned(manifest, tenant)
