"""What a hostile product team tries by commits to its own repository, and what stops it.

hostile_rights       objects that are not the tenant's to make: the cluster's, more rights, the platform's own
hostile_workloads    pods, their share of the nodes, the traffic that is led to them
hostile_flux         objects of Flux: one of every kind, and those that feed the tenant
hostile_references   every field by which an object of Flux refers to another namespace
hostile_helm         releases and charts, where the tier allows them
hostile_files        what a repository can hold beside objects: bases, links, generators

hostile_objects      objects of Kubernetes as attacks need them
hostile_tenants      who is on the platform, and what their products are
hostile_web          a web server outside of the platform
hostile_platform     the platform on which Flux reconciles: commits, verdicts, the neighbour
hostile_defences     taking one of our defences away, and bringing it back
hostile_trial        trying one attack, or many at the same time
hostile_fixture      a plugin of pytest: bringing the platform up
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from model.kubernetes.manifests import Manifest
from tests.isolation import objects as of

BASIC, HELM, ADMIN, CLUSTER_ADMIN, PRIVATE = "basic", "helm", "admin", "cluster-admin", "private"
"""Kinds of hostile tenants: default tier; with Helm; with a wide role; with a source of its own key."""

NEIGHBOUR = "neighbour"
OWN = "own-namespace"
"""Stands for the attacking tenant's name in what it commits."""
WEB, GIT, ARTIFACTS, THEIRS = "web-server", "git-server", "artifact-server", "neighbours-artifact"
"""Stand for the addresses of a web server, of the Git server, of the Service at which source-controller has all
tenants' artifacts, and of the neighbour's there. Flux can reach all of them."""

RBAC = "RBAC: the reconciler's role, bound in its own namespace only"
ADMISSION = "admission policies"
LOCKDOWN = "Flux: its multi-tenancy lockdown"
SPACE = "ResourceQuota, LimitRange and Pod Security of the namespace"
"""What the program puts in the way, and what the suite can take away for a while."""

FORBIDDEN = 'is forbidden: User "system:serviceaccount:'
"""How the API server refuses what no role allows an account."""

SECONDS = 45.0
"""For Flux to come to a verdict about a commit; it checks health for half a minute."""


@dataclass(frozen=True)
class Link:
    """A symbolic link in a repository."""

    target: str


@dataclass(frozen=True)
class Attack:
    """One commit of a hostile tenant."""

    name: str
    """What it tries, as a sentence."""
    promise: str
    """What the platform promises to its neighbours."""
    reason: str
    """Part of what Flux or Kubernetes has to say about it."""
    defence: str
    """What refuses it, by name: which policy, flag, role; or which program, where nothing of ours is needed."""
    without: frozenset[str] = frozenset()
    """Which of our defences have to be away for it to get through. None: the programs refuse it by themselves."""
    despite: frozenset[str] = frozenset()
    """Which of our defences are away already while it has to be refused: a second line is what is tried."""
    tenant: str = BASIC
    objects: tuple[Manifest, ...] = ()
    files: Mapping[str, str | Link] = field(default_factory=dict[str, str | Link])
    """More files in the folder that Flux applies; a name that begins with / is relative to the repository."""
    kustomization: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """More keys of kustomization.yaml."""
    seen_at: str = "Kustomization"
    """Who has to tell the reason: the tenant's Kustomization; KIND NAME of an object that was committed; or "event",
    Kubernetes' own controllers. Where it is not the Kustomization, the rest of the commit has been applied."""
    proof: str = ""
    """Without the defence: the API path of what is there then. By default it is Flux's word that it was applied."""
    then: Callable[[Any, str], tuple[bool, str]] | None = None
    """What has to be done once the commit is applied: (platform, tenant) -> (whether it worked, what was said)."""

    @property
    def refused_whole(self) -> bool:
        """Whether nothing else of the same commit is applied either."""
        return self.seen_at == "Kustomization" and self.then is None

    def written(self, tenant: str, servers: Mapping[str, str], news: str) -> dict[str, str | Link]:
        """All files of the commit."""
        text = yaml.safe_dump_all(self.objects) if self.objects else ""
        listed = [*self.kustomization.get("resources", []), *(["attack.yaml"] if text else [])]
        kustomization = {**self.kustomization, "resources": [*product_files("")["resources"], *listed]}
        files: dict[str, str | Link] = {
            **product(news),
            "kustomization.yaml": yaml.safe_dump(kustomization),
            **self.files,
            **({"attack.yaml": text} if text else {}),
        }
        return {name: _filled(content, {OWN: tenant, **servers}) for name, content in files.items()}


def product(news: str) -> dict[str, str]:
    """The hostile tenant's product without an attack."""
    content = product_files(news)
    kustomization = yaml.safe_dump({"resources": content["resources"]})
    return {"kustomization.yaml": kustomization, "product.yaml": yaml.safe_dump_all(content["objects"])}


def product_files(news: str) -> dict[str, Any]:
    """A service that runs, and a ConfigMap that tells which commit was applied."""
    told = of.make("ConfigMap", OWN, name="news", data={"news": news})
    deployment = of.deployment(OWN)
    return {"resources": ["product.yaml"], "objects": [told, deployment, of.service(OWN)]}


def _filled(content: str | Link, values: Mapping[str, str]) -> str | Link:
    if isinstance(content, Link):
        return content
    for word, value in values.items():
        content = content.replace(word, value)
    return content
