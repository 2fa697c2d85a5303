"""Names that Kubernetes, Flux and GitHub accept, and the names this project gives."""

from __future__ import annotations

import hashlib
import re

FLUX_NAMESPACE = "flux-system"

TENANT_PATTERN = r"^[a-z0-9][a-z0-9-]{0,61}[a-z0-9]$"
"""Flux's rule for a tenant, which is also Kubernetes' for a namespace (RFC 1123 label, 2 to 63 characters)."""

RESERVED = frozenset({"default", FLUX_NAMESPACE})
"""Namespaces that are somebody else's; so is every kube-*."""

TOP_LEVEL_DOMAINS = frozenset(
    "app arpa biz cloud cluster com dev edu gov info int internal local localdomain localhost mil net org svc".split()
)
"""Domains in which the hosts have names that products usually ask; so is every word of two letters."""


def tenant_name_problem(name: str) -> tuple[str, str] | None:
    """What is wrong with a tenant's name and what to do; None for a good one."""
    if name in RESERVED or name.startswith("kube-"):
        return f"the namespace {name!r} is reserved", "Choose another name."
    if name in TOP_LEVEL_DOMAINS or re.fullmatch("[a-z]{2}", name):
        # A Service of this tenant would be found before a public host: ghcr in io is ghcr.io to every pod of a cluster.
        return f"{name!r} is a top-level domain: its Services would answer for public hosts", f"Write {name}-tenant."
    if re.fullmatch(TENANT_PATTERN, name):
        return None
    suggestion = re.sub(r"[^a-z0-9]+", "-", name.lower())[:63].strip("-")
    good = len(suggestion) > 1 and suggestion not in RESERVED and not suggestion.startswith("kube-")
    rule = "2 to 63 lower-case letters, digits and hyphens, with a letter or digit at both ends"
    return f"{name!r} cannot name a namespace", f"Write {suggestion} ({rule})." if good else f"Write {rule}."


def deploy_key_title(branch: str, path: str) -> str:
    """The infra repository's deploy key, titled as `flux bootstrap` titles it: namespace-branch-secret-path."""
    return f"{FLUX_NAMESPACE}-{branch}-{FLUX_NAMESPACE}-{path}"


def tenant_key_title(cluster: str, tenant: str) -> str:
    """A tenant's deploy key on the product's repository. Several clusters may read one product, so it names both."""
    return f"flux-{cluster}-{tenant}"


def secret_name(prefix: str, secret: str) -> str:
    """A host name that only those can tell who know the secret (RFC 1123, one label)."""
    return f"{prefix}-{hashlib.sha256(secret.encode()).hexdigest()[:40]}"


def cluster_path(cluster: str) -> str:
    """The cluster's folder in the infra repository, as Flux writes paths."""
    return f"./clusters/{cluster}"
