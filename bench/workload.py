"""The measured tenants: nine of ten read a public repository, every tenth a private one."""

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
from model.kubernetes import manifests
from model.kubernetes.tenant import isolation_objects
from tests.platform import PRIVATE, PUBLIC
from tests.program.recorder import Recording

INTERVAL = "10m0s"
"""Long, so that polling does not disturb the measurement."""


@dataclass(frozen=True)
class Key:
    """A tenant's deploy key, of the kind that the program makes."""

    tenant: str
    private_pem: str
    public: str


def sources(count: int) -> dict[str, dict[str, Any]]:
    """A source for each tenant."""
    return {f"tenant-{n:04}": PRIVATE if n % 10 == 9 else PUBLIC for n in range(count)}


def tenants_yaml(count: int) -> str:
    """The file for that many tenants."""
    defaults = {"interval": INTERVAL, "source": {"path": "./kustomize"}}
    entries = [{"name": name, "source": source} for name, source in sources(count).items()]
    return yaml.safe_dump({"defaults": defaults, "tenants": entries}, sort_keys=False)


def keys(count: int) -> list[Key]:
    """A new key for each private tenant."""
    return [_key(name) for name, source in sources(count).items() if source.get("private")]


def _key(tenant: str) -> Key:
    made = ec.generate_private_key(ec.SECP384R1())
    pkcs8 = serialization.PrivateFormat.PKCS8
    private = made.private_bytes(serialization.Encoding.PEM, pkcs8, serialization.NoEncryption())
    openssh = serialization.PublicFormat.OpenSSH
    public = made.public_key().public_bytes(serialization.Encoding.OpenSSH, openssh)
    return Key(tenant, private.decode(), public.decode())


def tenant_objects(count: int, rules: Sequence[mirrors.Mirror], given: Sequence[Key]) -> str:
    """The same tenants as YAML for kubectl: the objects that the program applies, from the same builders."""
    by_tenant = {key.tenant: key for key in given}
    made: list[manifests.Manifest] = []
    for tenant in tenants.parse(yaml_lines.parse(tenants_yaml(count), "bench")).tenants:
        place = location(tenant.own_source, rules, "")
        made += [
            manifests.namespace(tenant, "bench"),
            *(manifest for _, manifest in isolation_objects(tenant, ClusterAddresses())),
        ]
        if key := by_tenant.get(tenant.name):
            made.append(
                manifests.source_secret(
                    tenant.name,
                    tenant.name,
                    private_key=key.private_pem,
                    public_key=key.public,
                    known_hosts=place.known_hosts,
                    labels=manifests.tenant_labels(tenant),
                )
            )
        made += [manifests.git_repository(tenant, place), manifests.kustomization(tenant)]
    return manifests.to_yaml(made, "tenants")


def plain(recording: Recording) -> str:
    """What the program registered, components too, as plain resources with the same inputs."""
    registered = [r for r in recording.registrations.values() if not r.type.startswith("pulumi:")]
    return json.dumps([[f"{n}-{r.name}", r.inputs] for n, r in enumerate(registered)])
