"""The tenants that are measured: nine of ten read a public repository, every tenth a private one."""

from __future__ import annotations

import json
from typing import Any

import yaml

from model import document, manifests, mirrors, tenants
from tests.platform import PRIVATE, PUBLIC
from tests.program.recorder import Recording

INTERVAL = "10m0s"
"""Long, so that polling does not blur what is measured."""


def sources(count: int, *, private: bool = True) -> dict[str, dict[str, Any]]:
    """A source for each tenant."""
    return {f"tenant-{n:04}": PRIVATE if private and n % 10 == 9 else PUBLIC for n in range(count)}


def tenants_yaml(count: int, *, private: bool = True) -> str:
    """The file for that many tenants."""
    defaults = {"interval": INTERVAL, "prune": True, "role": "admin", "source": {"path": "./kustomize"}}
    entries = [{"name": name, "source": source} for name, source in sources(count, private=private).items()]
    return yaml.safe_dump({"defaults": defaults, "tenants": entries}, sort_keys=False)


def tenant_objects(count: int, mirror: tuple[mirrors.Mirror, ...]) -> str:
    """The same tenants, public ones, as YAML for kubectl: exactly the objects that the program applies."""
    made: list[manifests.Manifest] = []
    for tenant in tenants.parse(document.parse(tenants_yaml(count, private=False), "bench"), mirror):
        location = tenants.location(tenant, mirror, "")
        made += [
            manifests.namespace(tenant),
            manifests.service_account(tenant),
            manifests.role_binding(tenant),
            manifests.git_repository(tenant, location),
            manifests.kustomization(tenant),
        ]
    return manifests.to_yaml(made, "tenants")


def plain(recording: Recording) -> str:
    """What the program registered, components too, as plain resources with the same inputs."""
    registered = [r for r in recording.registrations.values() if not r.type.startswith("pulumi:")]
    return json.dumps([[f"{n}-{r.name}", r.inputs] for n, r in enumerate(registered)])
