"""The tenants of the platform: a neighbour, hostile ones, ordinary ones; and their products."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import yaml

from model.kubernetes.manifests import Manifest
from tests.isolation import objects as of
from tests.isolation.attack import (
    ADMIN,
    BASIC,
    CLUSTER_ADMIN,
    HELM,
    NEIGHBOUR,
    OF_PRODUCT,
    OWN,
    PRIVATE,
    product,
)
from tests.isolation.attacks.flux import MORE
from tests.isolation.attacks.helm import CHART

REPOSITORY = "hostile"
POOL = {BASIC: 3, OF_PRODUCT: 2, HELM: 3, ADMIN: 3, CLUSTER_ADMIN: 1, PRIVATE: 1}
"""Number of hostile tenants of each kind, which attack in parallel."""
ORDINARY, ORDINARY_HELM, SAMPLE = "ordinary", "ordinary-helm", "sample"
"""Tenants with ordinary products."""

CUSTOMERS = ("customer-hostile", "customer-neighbour")
"""Tenants of a shard of their own, one of which holds it up."""

TIERS: dict[str, Any] = {
    "basic": {"hosts": ["{tenant}.example.com"]},
    "customers": {"helm": True, "shard": "customers"},
    "with-helm": {"helm": True},
    "with-admin": {"role": "admin"},
    "with-cluster-admin": {"role": "cluster-admin"},
}


def tenants() -> dict[str, str]:
    """Hostile tenants and their kinds."""
    return {f"hostile-{kind}-{number}": kind for kind, count in POOL.items() for number in range(1, count + 1)}


def tenants_file(*without: str) -> str:
    """tenants.yaml with the neighbour, all hostile and all ordinary tenants."""
    url = f"https://github.com/acme/{REPOSITORY}"
    tiers = {HELM: "with-helm", ADMIN: "with-admin", CLUSTER_ADMIN: "with-cluster-admin"}
    entries: list[dict[str, Any]] = []
    products: dict[str, Any] = {}
    named = {NEIGHBOUR: BASIC, ORDINARY: BASIC, ORDINARY_HELM: HELM, **tenants()}
    for name, kind in named.items():
        if name in without:
            continue
        if kind == OF_PRODUCT:
            # Each has a branch of its own, like the others, so each is the only tenant of its product.
            products[name] = {"interval": "1h", "source": {"url": url, "branch": name, "path": "./kustomize"}}
            entries.append({"name": name, "product": name})
            continue
        private = {"url": f"ssh://git@github.com/acme/{REPOSITORY}", "private": True} if kind == PRIVATE else {}
        source = {"url": url, "branch": name, **private}
        entries.append({"name": name, "tier": tiers.get(kind, "basic"), "source": source})
    for name in CUSTOMERS:
        entries.append({"name": name, "tier": "customers", "source": {"url": url, "branch": name}})
    sample = {"url": "https://github.com/stefanprodan/podinfo", "branch": "master"}
    entries.append({"name": SAMPLE, "source": sample})
    defaults = {"interval": "1h", "source": {"path": "./kustomize"}}
    content = {"defaults": defaults, "tiers": TIERS, "products": products, "tenants": entries}
    departed = [{"name": name, "since": "2026-11-26", "breakGlass": "a test"} for name in without]
    return yaml.safe_dump({**content, "departed": departed}, sort_keys=False)


def neighbours_product() -> dict[str, str]:
    """Objects that a hostile tenant would like to read or to change."""
    secret = of.make("Secret", OWN, name="credentials", stringData={"password": "the neighbour's"})
    account = of.make("ServiceAccount", OWN)
    objects: Iterable[Manifest] = (
        *yaml.safe_load_all(product("calm")["product.yaml"]),
        of.ingress(OWN, f"{NEIGHBOUR}.example.com"),
        of.role(OWN),
        of.role_binding(OWN),
        of.claim(OWN),
        secret,
        account,
    )
    text = yaml.safe_dump_all(objects).replace(OWN, NEIGHBOUR)
    more = {name: content.replace(OWN, NEIGHBOUR) for name, content in {**CHART, **MORE}.items()}
    return {"kustomization.yaml": product("")["kustomization.yaml"], "product.yaml": text, **more}
