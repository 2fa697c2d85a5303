"""Tenants that move between a source of their own and a shared product, or between products: nothing is pruned.

The new Kustomization is created before the old one is deleted, but Flux may not have applied it yet, or cannot. The old
one would then prune everything that the tenant runs. So its deletion policy becomes Orphan before the engine changes
anything: with --continue-on-error it is deleted even if the new one could not be created.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pulumi

from components.configuration import Configuration
from components.kubectl import KubectlError, kubectl
from model.config.names import TENANT_LABEL, product_namespace
from model.config.tenants import Tenant
from model.status import KUSTOMIZATIONS

ORPHAN = "Orphan"


def keep_objects_of_moving_tenants(kubeconfig: str, configuration: Configuration) -> None:
    """Let Kustomizations that tenants move away from leave their objects alone, and all others prune theirs.

    Raises pulumi.RunError if that fails and a tenant moves.
    """
    try:
        listed = json.loads(kubectl(kubeconfig, "get", "--raw", f"{KUSTOMIZATIONS}?labelSelector={TENANT_LABEL}"))
        elsewhere = {tenant.name for tenant in configuration.everyone.tenants} - {
            tenant.name for tenant in configuration.tenants
        }
        existing = [
            item for item in listed.get("items", []) if item["metadata"]["labels"][TENANT_LABEL] not in elsewhere
        ]
        for namespace, name, policy in changes(existing, configuration.tenants):
            patch = json.dumps({"spec": {"deletionPolicy": policy}})
            place = ("--namespace", namespace, "kustomizations.kustomize.toolkit.fluxcd.io", name)
            kubectl(kubeconfig, "patch", *place, "--type=merge", f"--patch={patch}")
    except KubectlError as error:
        if moving := [*moved(configuration.tenants, configuration.earlier)]:
            raise pulumi.RunError(
                f"{', '.join(moving)} would move to another source or product, and Flux cannot be told to keep what "
                f"they run: {error}. Nothing was changed. Run the update with rights to patch Kustomizations."
            ) from error


def changes(existing: Sequence[Mapping[str, Any]], tenants: Sequence[Tenant]) -> Iterator[tuple[str, str, str | None]]:
    """The Kustomizations to change: namespace, name and the new deletion policy, None for Flux's own."""
    wanted = {tenant.name: product_namespace(tenant.product) if tenant.product else tenant.name for tenant in tenants}
    for item in existing:
        metadata = item["metadata"]
        namespace, tenant = metadata["namespace"], metadata["labels"][TENANT_LABEL]
        moves = tenant in wanted and namespace != wanted[tenant]
        policy = ORPHAN if moves else None
        # After an interrupted update, one that was to go may have to stay, and to prune again.
        if (policy == ORPHAN) != (item["spec"].get("deletionPolicy") == ORPHAN):
            yield namespace, metadata["name"], policy


def moved(tenants: Sequence[Tenant], earlier: Mapping[str, Any]) -> Iterator[str]:
    """The tenants that had another product, or none, after the last update."""
    before = earlier.get("tenants", {})
    for tenant in tenants:
        if tenant.name in before and before[tenant.name].get("product") != tenant.product:
            yield tenant.name
