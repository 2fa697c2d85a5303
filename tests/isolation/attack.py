"""An attack of a hostile tenant: the promise that it would break, and the defences that refuse it.

An attack is carried out by an API request with the token of the tenant's reconciler, or by a commit to the tenant's
repository that Flux reconciles. Each is tried twice: with all defences it must be refused; without the defences that
it names it must succeed, which proves that these defences stop it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from model.kubernetes.manifests import Manifest
from tests.isolation import objects as of
from tests.isolation.defences import POLICIES, PROMISES

BASIC, OF_PRODUCT, WIDE, STRICT, HELM, ADMIN, CLUSTER_ADMIN, PRIVATE = (
    "basic",
    "of-product",
    "wide",
    "strict",
    "helm",
    "with-admin",
    "with-cluster-admin",
    "private",
)
"""Kinds of hostile tenants: the default tier; the same with a shared product; a tier that allows everything;
restricted pods; Helm; a role of Kubernetes' own; a source with a key of its own."""
NEIGHBOUR = "neighbour"
"""The tenant that is attacked."""
PRODUCT = "product-shop"
"""The namespace of a product that hostile tenants and the neighbour share."""

OWN = "own-namespace"
"""Placeholder in commits for the name of the attacking tenant."""
WEB, GIT, ARTIFACTS, THEIRS = "web-server", "git-server", "artifact-server", "neighbours-artifact"
"""Placeholders in commits for addresses that Flux can reach: a web server, the Git server, the Service at which
source-controller serves all tenants' artifacts, and the neighbour's artifact there."""
SCHEMA_FILE = "file-with-a-schema"
"""Placeholder in commits for the URL of a file that Flux's controllers can open."""

FORBIDDEN = 'is forbidden: User "system:serviceaccount:'
"""Part of the API server's message for a request that RBAC refuses."""
TAKE_OUT = "out of the product's repository"
"""The remedy that several policies name."""


@dataclass(frozen=True)
class Link:
    """A symbolic link in a repository."""

    target: str


@dataclass(frozen=True)
class Submodule:
    """A folder in a repository that is another repository, with a branch's commit of this one."""

    url: str
    branch: str


File = str | Link | Submodule


@dataclass(frozen=True)
class Request:
    """An API request with the token of the tenant's reconciler."""

    manifest: Manifest
    verb: str = "apply"
    """apply, as Flux does, or another verb of Actor.send."""
    subresource: str = ""
    body: Manifest | list[Manifest] | None = None
    """Sent instead of the object."""
    as_user: str = ""
    """The user whom the tenant impersonates."""
    given: tuple[Manifest, ...] = ()
    """Objects that the administrator creates before."""

    by = "direct API call"


@dataclass(frozen=True)
class Commit:
    """A commit to the tenant's repository, reconciled by Flux."""

    objects: tuple[Manifest, ...] = ()
    files: Mapping[str, File] = field(default_factory=dict[str, File])
    """More files in the folder that Flux applies; a name that begins with / is relative to the repository."""
    kustomization: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """More keys of kustomization.yaml."""
    seen_at: str = "Kustomization"
    """Where the reason appears: "Kustomization", the tenant's; KIND NAME, a committed object; or "event", of
    Kubernetes' own controllers. For the last two, the rest of the commit is applied."""
    proof: str = ""
    """API path of an object that exists if the attack got through. Empty: Flux reports that it was applied."""
    then: Callable[[Any, str], tuple[bool, str]] | None = None
    """A step after the commit was applied: (platform, tenant) -> (whether it worked, message)."""

    by = "commit reconciled by Flux"

    @property
    def refused_whole(self) -> bool:
        """Whether nothing else of the same commit is applied either."""
        return self.seen_at == "Kustomization" and self.then is None

    def contents(self, tenant: str, servers: Mapping[str, str], news: str) -> dict[str, File]:
        """All files of the commit."""
        text = yaml.safe_dump_all(self.objects) if self.objects else ""
        listed = [*self.kustomization.get("resources", []), *(["attack.yaml"] if text else [])]
        kustomization = {**self.kustomization, "resources": ["product.yaml", *listed]}
        files: dict[str, File] = {
            **product(news),
            "kustomization.yaml": yaml.safe_dump(kustomization),
            **self.files,
            **({"attack.yaml": text} if text else {}),
        }
        return {name: _filled(content, {OWN: tenant, **servers}) for name, content in files.items()}


@dataclass(frozen=True)
class Attack:
    """An action of a hostile tenant, and its expected refusal."""

    name: str
    """A sentence."""
    promise: str
    """The promise to other tenants or the platform that it would break."""
    refused_by: str
    """The policies, roles, flags or programs that refuse it, as the report names them."""
    reason: str
    """Part of the refusal's message."""
    action: Request | Commit
    tenant: str
    """The kind of the attacking tenant."""
    without: frozenset[str]
    """Our defences that are removed for the attack to succeed. Empty: Flux or Kubernetes refuse it by themselves."""
    despite: frozenset[str] = frozenset()
    """Our defences that are removed when it must be refused: a test of the second line of defence."""

    @property
    def key(self) -> str:
        """Unique identifier of its tests."""
        return f"{type(self.action).__name__.lower()}: {self.name}"


def request(
    name: str,
    defences: tuple[str, ...],
    reason: str,
    manifest: Manifest,
    tenant: str = BASIC,
    verb: str = "apply",
    subresource: str = "",
    **how: Any,
) -> Attack:
    """An attack by an API request. The first defence refuses it; it succeeds once all are removed."""
    refused_by = "; ".join(f"admission: {name}" if name in POLICIES else name for name in defences)
    action = Request(manifest, verb, subresource, **how)
    return Attack(name, PROMISES[defences[0]], refused_by, reason, action, tenant, frozenset(defences))


def commit(
    name: str,
    promise: str,
    reason: str,
    refused_by: str,
    without: Iterable[str] = (),
    despite: Iterable[str] = (),
    tenant: str = BASIC,
    **content: Any,
) -> Attack:
    """An attack by a commit."""
    return Attack(name, promise, refused_by, reason, Commit(**content), tenant, frozenset(without), frozenset(despite))


def product(news: str) -> dict[str, str]:
    """The hostile tenant's product without an attack: a Service, and a ConfigMap that says which commit was applied."""
    news_of_commit = of.make("ConfigMap", OWN, name="news", data={"news": news})
    objects = [news_of_commit, of.deployment(OWN), of.service(OWN)]
    return {
        "kustomization.yaml": yaml.safe_dump({"resources": ["product.yaml"]}),
        "product.yaml": yaml.safe_dump_all(objects),
    }


def product_of(tenant: str, news: str) -> dict[str, str]:
    """The product with the tenant's name filled in."""
    return {name: text.replace(OWN, tenant) for name, text in product(news).items()}


def _filled(content: File, values: Mapping[str, str]) -> File:
    if isinstance(content, Link):
        return content
    text = content.url if isinstance(content, Submodule) else content
    for word, value in values.items():
        text = text.replace(word, value)
    return Submodule(text, content.branch) if isinstance(content, Submodule) else text
