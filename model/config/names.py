"""Names: the rules of Kubernetes, Flux and GitHub, and the names of this project's own objects."""

from __future__ import annotations

import hashlib
import re

FLUX_NAMESPACE = "flux-system"

IMAGE_SCANNER, IMAGE_WRITER = "image-reflector-controller", "image-automation-controller"
"""Flux's controllers that look for new tags of images, and commit them."""

CONTROLLERS = (
    "source-controller",
    "kustomize-controller",
    "helm-controller",
    "notification-controller",
    IMAGE_SCANNER,
    IMAGE_WRITER,
)
FLUX_SIZES = ("small", "medium", "large")
"""Of Flux's controllers; `small` is as released."""
"""Flux's controllers, as `flux install` names them."""

TENANT_LABEL = "toolkit.fluxcd.io/tenant"
"""Flux's label for the tenant that an object belongs to, as `flux create tenant` sets it."""
PREFIX = "saas-in-eks.io/"
"""The domain of the project's own labels and annotations."""
PRODUCT_LABEL = f"{PREFIX}product"
"""The product that an object belongs to: a product's namespace with its sources, and what Flux applies for tenants."""
RING_LABEL = f"{PREFIX}ring"
"""The ring of a product that a source is for, and that a tenant's Kustomization is in."""
PIN_PREFIX = "pin-"
"""Of a pinned version's source, after the product's name. No ring has such a name."""
STATE_LABEL = f"{PREFIX}state"
"""Label of the namespace of a tenant that is suspended or leaving."""
HELD, HOLDS = f"{PREFIX}held", f"{PREFIX}holds"
"""The watchdog's annotations: of what it suspended, and how often it did."""

WATCHDOG = "flux-watchdog"
"""The program that frees Flux's controllers from what holds them up, and its account."""

PLATFORM_SHARD, DEFAULT_SHARD = "platform", "default"
"""Shards of Flux's controllers: one for the infra repository, and one for tenants whose tier names no other."""

TENANT_PATTERN = r"^[a-z0-9][a-z0-9-]{0,61}[a-z0-9]$"
"""Flux's rule for tenant names, stricter than Kubernetes' for namespaces: an RFC 1123 label of 2 to 63 characters."""

PRODUCT_PREFIX = "product-"
"""Prefix of the namespaces of shared products, which no tenant's may have."""
MAXIMUM_PRODUCT = 63 - len(PRODUCT_PREFIX)

LABEL_PATTERN = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
"""An RFC 1123 label: the names of namespaces, clusters and tiers."""

RESERVED = frozenset({"default", FLUX_NAMESPACE})
"""Namespaces that tenants cannot have, in addition to all kube-*."""

TOP_LEVEL_DOMAINS = frozenset(
    "app arpa biz cloud cluster com dev edu gov info int internal local localdomain localhost mil net org svc".split()
)
"""Common top-level domains, in addition to every word of two letters."""


def tenant_name_problem(name: str) -> tuple[str, str] | None:
    """Message and remedy for an invalid tenant name; None for a valid name."""
    if name in RESERVED or name.startswith("kube-"):
        return f"the namespace {name!r} is reserved", "Choose another name."
    if name.startswith(PRODUCT_PREFIX):
        message = f"{name!r} is reserved: namespaces with the prefix {PRODUCT_PREFIX} hold the sources of products"
        return message, "Choose another name."
    if name in TOP_LEVEL_DOMAINS or re.fullmatch("[a-z]{2}", name):
        # DNS search paths: a Service `ghcr` in the namespace `io` would answer for ghcr.io in every pod of the cluster.
        return f"{name!r} is a top-level domain: its Services would answer for public hosts", f"Write {name}-tenant."
    if re.fullmatch(TENANT_PATTERN, name):
        return None
    similar = re.sub(r"[^a-z0-9]+", "-", name.lower())[:63].strip("-")
    valid = len(similar) > 1 and similar not in RESERVED and not similar.startswith(("kube-", PRODUCT_PREFIX))
    rule = "2 to 63 lower-case letters, digits and hyphens, with a letter or digit at both ends"
    return f"{name!r} is not a valid namespace name", f"Write {similar} ({rule})." if valid else f"Write {rule}."


def deploy_key_title(branch: str, path: str) -> str:
    """The title of the infra repository's deploy key, as `flux bootstrap` writes it: namespace-branch-secret-path."""
    return f"{FLUX_NAMESPACE}-{branch}-{FLUX_NAMESPACE}-{path}"


def tenant_key_title(cluster: str, tenant: str) -> str:
    """The title of a source's deploy key, by its tenant or the namespace of its product.

    It names the cluster too, because several clusters may read one product.
    """
    return f"flux-{cluster}-{tenant}"


def product_namespace(product: str) -> str:
    """The namespace of a shared product, the platform's own."""
    return f"{PRODUCT_PREFIX}{product}"


def secret_name(prefix: str, secret: str, purpose: str = "") -> str:
    """A host name that cannot be guessed without the secret (one RFC 1123 label), another for each purpose."""
    return f"{prefix}-{hashlib.sha256((secret + purpose).encode()).hexdigest()[:40]}"


def cluster_path(cluster: str) -> str:
    """The cluster's folder in the infra repository, in Flux's notation."""
    return f"./clusters/{cluster}"
