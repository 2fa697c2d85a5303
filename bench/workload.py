"""The measured tenants: of one shared product, or each with a source of its own, every tenth of them private."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from model.config import mirrors, tenants, yaml_lines
from model.config.network import ClusterAddresses
from model.config.sources import location
from model.kubernetes import manifests, products
from model.kubernetes.tenant import isolation_objects
from tests.platform import PRIVATE, PUBLIC, SHOP
from tests.program.recorder import Recording

SHARED, OWN = "shared product", "own sources"
KINDS = (SHARED, OWN)
PRODUCT = "shop"
INTERVAL = "10m0s"
"""Long, so that polling does not disturb the measurement."""


@dataclass(frozen=True)
class Key:
    """A deploy key, of the kind that the program makes: of a tenant, or of the shared product."""

    holder: str
    private_pem: str
    public: str


def names(count: int) -> list[str]:
    """The tenants' names."""
    return [f"tenant-{number:04}" for number in range(count)]


def reading(kind: str, listed: Sequence[str], repository: str) -> list[str]:
    """The tenants that run a repository's content."""
    if kind == SHARED:
        return [*listed]
    return [name for name, source in _sources(listed).items() if str(source["url"]).endswith(repository)]


def _sources(listed: Sequence[str]) -> dict[str, dict[str, Any]]:
    return {name: PRIVATE if number % 10 == 9 else PUBLIC for number, name in enumerate(listed)}


def tenants_yaml(
    kind: str,
    listed: Sequence[str],
    *,
    pods: int = 20,
    interval: str | None = None,
    tag: str | None = None,
    departed: Sequence[str] = (),
) -> str:
    """The file for these tenants: a quota of their tier, how often Flux polls the product, what its only ring runs."""
    content: dict[str, Any] = {"tiers": {"basic": {"quota": {"pods": pods}}}}
    if not listed:
        content["tenants"] = []
    elif kind == SHARED:
        polled = {"interval": interval} if interval else {}
        ring = {"ref": {"tag": tag}} if tag else {}
        content["products"] = {PRODUCT: {"source": SHOP, "rings": {"all": ring}, **polled}}
        content["tenants"] = [{"name": name, "product": PRODUCT} for name in listed]
    else:
        content["defaults"] = {"interval": INTERVAL, "source": {"path": "./kustomize"}}
        content["tenants"] = [{"name": name, "source": source} for name, source in _sources(listed).items()]
    if departed:
        content["departed"] = [{"name": name, "since": "2026-11-26", "breakGlass": "a benchmark"} for name in departed]
    return yaml.safe_dump(content, sort_keys=False)


def keys(kind: str, listed: Sequence[str]) -> list[Key]:
    """A new key for each private source."""
    if kind == SHARED:
        return [_key(PRODUCT)]
    return [_key(name) for name, source in _sources(listed).items() if source.get("private")]


def _key(holder: str) -> Key:
    made = ec.generate_private_key(ec.SECP384R1())
    pkcs8 = serialization.PrivateFormat.PKCS8
    private = made.private_bytes(serialization.Encoding.PEM, pkcs8, serialization.NoEncryption())
    openssh = serialization.PublicFormat.OpenSSH
    public = made.public_key().public_bytes(serialization.Encoding.OpenSSH, openssh)
    return Key(holder, private.decode(), public.decode())


def objects(kind: str, listed: Sequence[str], rules: Sequence[mirrors.Mirror], given: Sequence[Key]) -> str:
    """The same tenants as YAML for kubectl: the objects that the program applies, from the same builders."""
    by_holder = {key.holder: key for key in given}
    made: list[manifests.Manifest] = []

    def secret(holder: str, namespace: str, known_hosts: str, labels: dict[str, str]) -> list[manifests.Manifest]:
        key = by_holder.get(holder)
        if key is None:
            return []
        return [
            manifests.source_secret(
                holder,
                namespace,
                private_key=key.private_pem,
                public_key=key.public,
                known_hosts=known_hosts,
                labels=labels,
            )
        ]

    parsed = tenants.parse(yaml_lines.parse(tenants_yaml(kind, listed), "bench"))
    for name, product in parsed.products.items():
        place = location(product.source, rules, "")
        made += [products.namespace(name, "bench"), *products.isolation_objects(name)]
        made += secret(name, f"product-{name}", place.known_hosts, products.product_labels(name))
        for revision in products.revisions(name, product, parsed.tenants):
            made.append(products.git_repository(name, product, revision, place, INTERVAL))
    for tenant in parsed.tenants:
        made += [
            manifests.namespace(tenant, "bench"),
            *(manifest for _, manifest in isolation_objects(tenant, ClusterAddresses())),
        ]
        if tenant.product:
            made.append(products.service_account(tenant, tenant.product))
            made.append(products.kustomization(tenant, tenant.product, parsed.products[tenant.product]))
        else:
            place = location(tenant.own_source, rules, "")
            made += secret(tenant.name, tenant.name, place.known_hosts, manifests.tenant_labels(tenant))
            made += [manifests.git_repository(tenant, place), manifests.kustomization(tenant)]
    return manifests.to_yaml(made, "tenants")


def plain(recording: Recording) -> str:
    """What the program registered, components too, as plain resources with the same inputs."""
    registered = [r for r in recording.registrations.values() if not r.type.startswith("pulumi:")]
    return json.dumps([[f"{n}-{r.name}", r.inputs] for n, r in enumerate(registered)])
