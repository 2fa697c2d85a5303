"""What an attack is: one request of a hostile tenant's own reconciler, and what stops it."""

from __future__ import annotations

from dataclasses import dataclass

from model.kubernetes.admission import POLICIES
from model.kubernetes.manifests import Manifest

BASIC, WIDE, ADMIN, CLUSTER_ADMIN = "basic", "wide", "with-admin", "with-cluster-admin"
STRICT, NEIGHBOUR = "strict", "neighbour"

ROLE, QUOTA, LIMITS = "RBAC: the reconciler's role, bound in its namespace", "ResourceQuota", "LimitRange"
POD_SECURITY = "Pod Security"
"""Defences that are no policies of ours."""

PROMISES = {
    ROLE: "A reconciler manages its product's usual objects in its own namespace, and nothing else anywhere.",
    QUOTA: "A tenant takes no more of the cluster than its tier gives it.",
    LIMITS: "No container of a tenant takes more of a node than its tier gives it.",
    POD_SECURITY: "A tenant's pods meet the Pod Security Standard of its tier.",
    **{policy.name: policy.promise for policy in POLICIES},
}
"""What each defence is for."""


@dataclass(frozen=True)
class Attack:
    """One thing that a tenant tries."""

    name: str
    """What the tenant tries, as a sentence."""
    defences: tuple[str, ...]
    """What stops it: the first refuses, all have to go before it gets through."""
    reason: str
    """Part of the refusal; where several defences refuse, the API server tells the reason of one of them."""
    manifest: Manifest
    tenant: str = BASIC
    verb: str = "apply"
    """apply, as Flux does; or another of Actor.send: a call by whoever has the tenant's token."""
    subresource: str = ""
    body: Manifest | list[Manifest] | None = None
    """What is sent in place of the object."""
    as_user: str = ""
    """Who the tenant says that it is."""
    given: tuple[Manifest, ...] = ()
    """What is there before, made by the administrator."""

    @property
    def promise(self) -> str:
        return PROMISES[self.defences[0]]


def by_policy(name: str) -> str:
    """A policy's full name."""
    found = f"saas-tenant-{name}"
    assert found in PROMISES
    return found


TAKE_OUT = "out of the product's repository"
"""The remedy that several policies name."""
