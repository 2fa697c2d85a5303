"""A control plane with the guardrails, Flux's definitions and a few tenants. Nothing reconciles: it takes seconds.

The tenants differ by what the platform team gave them; each is made by the program's own builders.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from local import controlplane, toolchain
from local.home import Home
from local.toolchain.manifest import install_manifest
from model.config import tenants
from model.config.document import parse
from model.config.mirrors import Location
from model.config.network_rules import ClusterNetwork
from model.kubernetes import flux, manifests
from model.kubernetes.admission import guardrails
from model.kubernetes.manifests import Manifest
from model.kubernetes.tenant import isolation_objects
from tests.isolation.actors import Actor, Answer
from tests.isolation.attack import Attack
from tests.isolation.attacks import ATTACKS
from tests.platform import eventually

TENANTS = """\
defaults:
  hosts: ["{tenant}.example.com", "*.{tenant}.example.net"]
  source: {url: "https://github.com/stefanprodan/podinfo", branch: master, path: ./kustomize}
tiers:
  wide:
    helm: true
    services: [ClusterIP, NodePort, LoadBalancer, ExternalName]
    registries: [ghcr.io/stefanprodan/, docker.io/library/, registry.k8s.io/]
    priorityClasses: [business-hours]
    podSecurity: privileged
    quota: {services.loadbalancers: 2, services.nodeports: 5}
tenants:
  - {name: basic}
  - {name: neighbour}
  - {name: leaving}
  - {name: premium, tier: premium}
  - {name: wide, tier: wide}
  - {name: strict, podSecurity: restricted, helm: true}
  - {name: with-admin, tier: wide, helm: false, role: admin, podSecurity: baseline}
  - {name: with-cluster-admin, tier: wide, role: cluster-admin}
"""

PRIORITY_CLASSES: list[Manifest] = [
    {
        "apiVersion": "scheduling.k8s.io/v1",
        "kind": "PriorityClass",
        "metadata": {"name": name},
        "value": value,
    }
    for name, value in (("business-hours", 1000), ("platform", 1_000_000))
]


def _definition(group: str, kind: str, plural: str) -> Manifest:
    """A kind of the Gateway API, or another that clusters have, reduced to its name."""
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": f"{plural}.{group}",
            "annotations": {"api-approved.kubernetes.io": "unapproved, a stand-in for tests"},
        },
        "spec": {
            "group": group,
            "names": {"kind": kind, "plural": plural, "singular": kind.lower()},
            "scope": "Namespaced",
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}],
        },
    }


DEFINITIONS = [
    _definition("gateway.networking.k8s.io", "HTTPRoute", "httproutes"),
    _definition("gateway.networking.k8s.io", "GRPCRoute", "grpcroutes"),
    _definition("gateway.networking.k8s.io", "Gateway", "gateways"),
    _definition("elbv2.k8s.aws", "TargetGroupBinding", "targetgroupbindings"),
    _definition("eks.amazonaws.com", "TargetGroupBinding", "targetgroupbindings"),
    _definition("example.com", "Widget", "widgets"),
]


@dataclass
class Cluster:
    """The control plane as tests use it."""

    home: Home
    administrator: Actor
    actors: dict[str, Actor]

    def tenant(self, name: str) -> Actor:
        """The tenant's reconciler, with a token of its own."""
        if name not in self.actors:
            token = self.administrator.token(name, name)
            self.actors[name] = Actor(self.home, self.administrator.kinds, token)
        return self.actors[name]

    def attempt(self, attack: Attack, *, dry_run: bool = False) -> Answer:
        """What the API server says to an attack."""
        return self.tenant(attack.tenant).send(
            attack.verb,
            attack.manifest,
            attack.subresource,
            body=attack.body,
            as_user=attack.as_user,
            dry_run=dry_run,
        )


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with running(tmp_path_factory.mktemp("isolation") / "home") as found:
        yield found


@contextmanager
def running(folder: Path) -> Iterator[Cluster]:
    """The control plane, its data in a folder; stopped at the end, whatever happens."""
    home = Home(folder)
    try:
        controlplane.up(home, toolchain.ensure(controlplane.COMPONENTS))
        installed = flux.parse(install_manifest().read_text(), "install.yaml", flux_components(), lockdown=True)
        first = Actor(home)
        first.apply(*installed.definitions, *DEFINITIONS)
        for definition in (*installed.definitions[1:], *DEFINITIONS):
            eventually(lambda of=definition: established(first, of))
        administrator = Actor(home)
        administrator.apply(*PRIORITY_CLASSES, *(m for m in installed.permissions if "rbac" in m["apiVersion"]))
        administrator.apply(*guardrails())
        for tenant in tenants.parse(parse(TENANTS, "tenants.yaml")):
            administrator.apply(*objects_of(tenant))
        for attack in ATTACKS:
            administrator.apply(*attack.given)
        ready = Cluster(home, administrator, {})
        # A policy takes effect some time after the API server has it. One that never does is for the tests to tell.
        last = {attack.defences[0]: attack for attack in ATTACKS}.values()
        deadline = time.monotonic() + 15
        while any(ready.attempt(one, dry_run=True).ok for one in last) and time.monotonic() < deadline:
            time.sleep(0.2)
        yield ready
    finally:
        controlplane.down(home)


def flux_components() -> tuple[str, ...]:
    return (*flux.LOCKDOWN, "source-controller")


def objects_of(tenant: tenants.Tenant) -> list[Manifest]:
    """What the program makes for a tenant in Kubernetes."""
    return [
        manifests.namespace(tenant),
        *(manifest for _, manifest in isolation_objects(tenant, ClusterNetwork())),
        manifests.git_repository(tenant, Location(tenant.source.url, "")),
        manifests.kustomization(tenant),
    ]


def established(actor: Actor, definition: Manifest) -> bool:
    path = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{definition['metadata']['name']}"
    conditions = actor.call("GET", path).body.get("status", {}).get("conditions", [])
    return any(one["type"] == "Established" and one["status"] == "True" for one in conditions)
