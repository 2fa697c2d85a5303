"""Attacks by requests: a control plane with the guard rails, Flux's definitions and tenants of several kinds.

Nothing reconciles, so it starts in seconds. The tenants' objects come from the program's own builders.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from local import controlplane, toolchain
from local.home import Home
from local.toolchain.manifest import install_manifest
from model.config import tenants
from model.config.mirrors import Location
from model.config.network import ClusterAddresses
from model.config.products import Product
from model.config.yaml_lines import parse
from model.kubernetes import flux, manifests, products
from model.kubernetes.admission import guardrails
from model.kubernetes.manifests import Manifest
from model.kubernetes.tenant import isolation_objects
from tests.isolation.api import Actor, Answer
from tests.isolation.attack import PRODUCT, Attack, Request
from tests.isolation.attacks import REQUESTS
from tests.isolation.defences import Defences
from tests.isolation.runner import Outcome, policies
from tests.platform import eventually

SHOP = PRODUCT.removeprefix("product-")
TENANTS = """\
products:
  shop: {source: {url: "https://github.com/stefanprodan/podinfo", branch: master, path: ./kustomize}}
defaults:
  hosts: ["{tenant}.example.com", "*.{tenant}.example.net"]
  source: {url: "https://github.com/stefanprodan/podinfo", branch: master, path: ./kustomize}
tiers:
  wide:
    helm: true
    services: [ClusterIP, NodePort, LoadBalancer, ExternalName]
    registries: [ghcr.io/stefanprodan/, docker.io/library/, registry.k8s.io/]
    priorityClasses: [business-hours]
    runtimeClasses: [sandboxed]
    storageClasses: [standard, fast]
    annotations:
      - alb.ingress.kubernetes.io/*
      - cert-manager.io/*
      - eks.amazonaws.com/role-arn
      - external-dns.alpha.kubernetes.io/*
      - nginx.ingress.kubernetes.io/*
      - service.beta.kubernetes.io/aws-load-balancer-scheme
    podSecurity: privileged
    quota: {services.loadbalancers: 2, services.nodeports: 5}
tenants:
  - {name: basic}
  - {name: neighbour}
  - {name: leaving}
  - {name: premium, tier: premium}
  - {name: wide, tier: wide}
  - {name: sharded, tier: wide, shard: customers}
  - {name: strict, podSecurity: restricted, helm: true}
  - {name: with-admin, tier: wide, helm: false, role: admin, podSecurity: baseline}
  - {name: with-cluster-admin, tier: wide, role: cluster-admin}
"""

WAIT = 60.0
"""Seconds until a changed defence must have taken effect in the API server; on an idle machine it takes one."""

WARNING = re.compile(r"ValidatingAdmissionPolicy '([^']+)' with binding '[^']+': #(\d+)")

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
    """The control plane and its tenants, where attacks by requests are carried out."""

    home: Home
    administrator: Actor
    defences: Defences
    actors: dict[tuple[str, str], Actor] = field(default_factory=dict[tuple[str, str], Actor])
    _until: float = 0.0
    """When the last change of defences must have taken effect."""

    def tenant(self, name: str, *, of_product: bool = False) -> Actor:
        """The tenant's reconciler, with a token of its own; of a shared product, or of the tenant's own source."""
        place = (PRODUCT if of_product else name, name)
        if place not in self.actors:
            self.actors[place] = Actor(self.home, self.administrator.kinds, self.administrator.token(*place))
        return self.actors[place]

    def attempt(self, attack: Attack, *, dry_run: bool = False, of_product: bool = False) -> Answer:
        """The API server's answer to an attack."""
        action = attack.action
        assert isinstance(action, Request)
        return self.tenant(attack.tenant, of_product=of_product).send(
            action.verb,
            action.manifest,
            action.subresource,
            body=action.body,
            as_user=action.as_user,
            dry_run=dry_run,
        )

    def settle(self) -> None:
        """Wait until restored defences have taken effect: the API server reloads policies every second.

        `carry_out` itself waits until removed ones no longer have: it repeats requests until a deadline.
        """
        self._until = time.monotonic() + WAIT
        if not self.defences.removed:
            last = {attack.promise: attack for attack in REQUESTS}.values()
            eventually(lambda: not any(self.attempt(attack, dry_run=True).ok for attack in last), WAIT)

    def carry_out(self, attacks: Sequence[Attack], *, defended: bool) -> Mapping[str, Outcome | Exception]:
        """Send real requests where they must be refused, otherwise dry runs, which pass the same admission."""
        return {item.key: self.refused(item) if defended else self._through(item) for item in attacks}

    def refused(self, attack: Attack, *, of_product: bool = False) -> Outcome:
        """The outcome of an attack with all defences."""
        answer = self.attempt(attack, of_product=of_product)
        damage = () if answer.code in (200, 201, 403) else (f"refused by code {answer.code}, which is another reason",)
        return Outcome(answer.message or str(answer.code), answer.ok, damage)

    def _through(self, attack: Attack) -> Outcome:
        expected = policies(attack.without)
        answer, failed = self.attempt(attack, dry_run=True), frozenset[tuple[str, int]]()
        while True:
            failed = _failed_checks(answer)
            stopped_by = {policy for policy, _ in failed}
            # A warning without a number comes from a policy before its change.
            numbered = len(failed) == sum("ValidatingAdmissionPolicy" in item for item in answer.warnings)
            if (answer.ok and numbered and stopped_by == expected) or time.monotonic() > self._until:
                break
            time.sleep(0.05)
            answer = self.attempt(attack, dry_run=True)
        wrong = (f"refused by {sorted(stopped_by)}, not {sorted(expected)}",) if stopped_by != expected else ()
        return Outcome(_result(answer), answer.ok, wrong, failed)


def _failed_checks(answer: Answer) -> frozenset[tuple[str, int]]:
    """The checks in the answer's warnings."""
    matches = (WARNING.search(item) for item in answer.warnings)
    return frozenset((match[1], int(match[2])) for match in matches if match)


def _result(answer: Answer) -> str:
    if not answer.ok:
        return answer.message
    done = {200: "OK", 201: "Created"}.get(answer.code, "")
    return f"{answer.code} {done}: {answer.body.get('kind', '')} {answer.body.get('metadata', {}).get('name', '')}"


@contextmanager
def running(folder: Path) -> Iterator[Cluster]:
    """A running control plane with its data in a folder; stopped in any case."""
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
        administrator.apply(*guardrails(installed.definitions))
        listed = tenants.parse(parse(TENANTS, "tenants.yaml"))
        administrator.apply(products.namespace(SHOP, "isolation"), *products.isolation_objects(SHOP))
        shop, location = listed.products[SHOP], Location("https://github.com/x/y", "")
        sources = products.revisions(SHOP, shop, listed.tenants)
        administrator.apply(*(products.git_repository(SHOP, shop, each, location, "10m0s") for each in sources))
        for tenant in listed.tenants:
            administrator.apply(*objects_of(tenant), *objects_of_product(tenant, listed.products[SHOP]))
        for attack in REQUESTS:
            assert isinstance(attack.action, Request)
            administrator.apply(*attack.action.given)
        hostile = sorted({attack.tenant for attack in REQUESTS})
        ready = Cluster(home, administrator, Defences(administrator, hostile))
        ready.settle()
        yield ready
    finally:
        controlplane.down(home)


def flux_components() -> tuple[str, ...]:
    return (*flux.LOCKDOWN, "source-controller")


def objects_of(tenant: tenants.Tenant) -> list[Manifest]:
    """The Kubernetes objects that the program creates for a tenant."""
    return [
        manifests.namespace(tenant, "isolation"),
        *(manifest for _, manifest in isolation_objects(tenant, ClusterAddresses())),
        manifests.git_repository(tenant, Location(tenant.own_source.url, "")),
        manifests.kustomization(tenant),
    ]


def objects_of_product(tenant: tenants.Tenant, product: Product) -> list[Manifest]:
    """What the tenant has besides, while it moves to a shared product: each attack is tried by both reconcilers."""
    moved = tenant.model_copy(update={"product": SHOP, "source": None})
    return [
        *(manifests.owned(binding, moved) for binding in manifests.product_role_bindings(moved, SHOP).values()),
        products.service_account(moved, SHOP),
        products.kustomization(moved, SHOP, product),
    ]


def established(actor: Actor, definition: Manifest) -> bool:
    path = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{definition['metadata']['name']}"
    conditions = actor.call("GET", path).body.get("status", {}).get("conditions", [])
    return any(item["type"] == "Established" and item["status"] == "True" for item in conditions)
