"""Flux's Provider, Alert and Secret of a notification, in the namespace of the objects that it is about.

A chat gets events of sources and releases, not of Kustomizations: kustomize-controller reports a failure anew at each
try, for each tenant, and in the words of the commit. The watchdog reports it on the source instead: once for a
revision, however many tenants it concerns, and without markup.

notification-controller passes on what controllers report, a commit's message among it. Slack and Teams read markup in
it: messages that could mention people or hide a link's target are left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from model.config.mirrors import Mirror, locate
from model.config.names import FLUX_NAMESPACE, product_namespace
from model.config.notifications import Notification, commit_statuses
from model.config.products import Product
from model.config.tenants import Tenant
from model.kubernetes.manifests import Manifest, tenant_labels
from model.kubernetes.products import product_labels, revisions

API = "notification.toolkit.fluxcd.io/v1beta3"
PREFIX = "notify-"
"""Begins the names of the objects, so that none of a product's own has the same."""

TRANSIENT = tuple(
    # The first word of the watchdog's reports is a revision, with a colon in it: it has waited already.
    rf"(?is)^[^:\s]*:?(\s.*)?({text})"
    for text in (
        "context deadline exceeded|i/o timeout|TLS handshake timeout|connection (refused|reset)|unexpected EOF",
        "no such host|temporary failure in name resolution",
        "too many requests|service unavailable|bad gateway|gateway timeout",
        "dependency '[^']*' is not ready|artifact not (found|ready)",
        "the object has been modified; please apply your changes to the latest version",
    )
)
"""Go's regular expressions of failures that Flux gets over by itself."""
REPORTS = r"^\S*sha(1|256):\S+ "
"""The watchdog's reports: they begin with a revision, as no message of Flux's controllers does."""
MARKUP = (
    # Slack: <!channel>, <@user>, <#channel>, <!subteam^group>, and links that hide their target.
    r"(?i)<[!@#]|<(https?|mailto|tel|slack)[:/]",
    # Slack and Teams, as people write them.
    r"(?i)@(channel|here|everyone|team)\b|</?at\b",
    # Teams: links and pictures in Markdown.
    r"\]\s*[(\[]",
    # A line that begins as the heading of an alert does.
    r"(?im)^\W*(gitrepository|kustomization|helmrelease|helmchart|helmrepository|ocirepository)/[a-z0-9]",
)
"""What chats would read as more than text."""
CHATS = ("slack", "msteams")


@dataclass(frozen=True)
class Subject:
    """What a notification is about. All of it is in one namespace, as Flux's lockdown requires."""

    namespace: str
    cluster: str
    sources: Sequence[Mapping[str, Any]]
    """Kinds and names of the objects whose events are passed on."""
    status_source: Mapping[str, Any]
    """The object whose events name the commit that was applied, or was not."""
    context: str
    """Distinguishes statuses of clusters and tenants on one commit."""
    repository: tuple[str, str] | None = None
    """Owner and name on GitHub, whose commits get statuses."""
    metadata: Mapping[str, str] = field(default_factory=dict[str, str])
    """Shown with each message."""
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    prefix: str = PREFIX
    """Begins the objects' names."""
    reports_only: bool = False
    """Whether only the watchdog's reports are passed on."""


def _object(kind: str, name: str) -> Mapping[str, Any]:
    return {"kind": kind, "name": name}


def platform_subject(cluster: str, repository: tuple[str, str]) -> Subject:
    """Flux's own sync with the infra repository."""
    return Subject(
        namespace=FLUX_NAMESPACE,
        cluster=cluster,
        sources=[_object("GitRepository", FLUX_NAMESPACE)],
        status_source=_object("Kustomization", FLUX_NAMESPACE),
        context=f"flux/{cluster}",
        repository=repository,
    )


def product_subject(name: str, product: Product, cluster: str) -> Subject:
    """A shared product's sources, on which the watchdog reports how many tenants apply a commit.

    Commits get the status of the first ring, which applies them first.
    """
    sources = [_object("GitRepository", each.source) for each in revisions(name, product, ())]
    return Subject(
        namespace=product_namespace(name),
        cluster=cluster,
        sources=sources,
        status_source=sources[0],
        context=f"flux/{cluster}/{name}",
        repository=product.source.github_repository,
        metadata={"product": name},
        labels=product_labels(name),
    )


def tenant_subject(tenant: Tenant, cluster: str) -> Subject:
    """A tenant's own source and releases; of a tenant of a shared product its Kustomization in the product's namespace.

    Commits get statuses of the Kustomization only: annotations of a release could name any commit.
    """
    kustomization, context = _object("Kustomization", tenant.name), f"flux/{cluster}/{tenant.name}"
    if tenant.source is None and tenant.product:
        return Subject(
            namespace=product_namespace(tenant.product),
            cluster=cluster,
            sources=[kustomization],
            status_source=kustomization,
            context=context,
            metadata={"product": tenant.product, "tenant": tenant.name},
            labels={**tenant_labels(tenant), **product_labels(tenant.product)},
            # A dot is in no tenant's name, and in no entry's.
            prefix=f"{PREFIX}{tenant.name}.",
            reports_only=True,
        )
    releases = [_object("HelmRelease", "*")] if tenant.helm else []
    return Subject(
        namespace=tenant.name,
        cluster=cluster,
        sources=[_object("GitRepository", tenant.name), *releases],
        status_source=kustomization,
        context=context,
        repository=tenant.own_source.github_repository,
        metadata={"tenant": tenant.name},
        labels=tenant_labels(tenant),
    )


def objects(
    entry: Notification, subject: Subject, *, data: Any, value: Any, mirrors: Sequence[Mirror]
) -> list[Manifest]:
    """Secret, Provider and Alert, in this order.

    `data` is the Secret's content and `value` the secret itself, which PagerDuty's Provider has in its spec. Both may
    be outputs.
    """
    name = f"{subject.prefix}{entry.name}"
    metadata: Manifest = {"name": name, "namespace": subject.namespace}
    if subject.labels:
        metadata["labels"] = dict(subject.labels)
    found: list[Manifest] = []
    spec: Manifest = {"type": entry.type}
    if entry.type == "pagerduty":
        spec["channel"] = value
    else:
        found.append({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": data})
        spec["secretRef"] = {"name": name}
    if entry.channel:
        spec["channel"] = entry.channel
    if entry.type == "github":
        spec |= {
            "address": commit_statuses(subject.repository, mirrors),
            "commitStatusExpr": f"'{subject.context}'",
        }
    elif entry.address:
        spec["address"] = locate(entry.address, mirrors).url
    found.append({"apiVersion": API, "kind": "Provider", "metadata": metadata, "spec": spec})
    found.append({"apiVersion": API, "kind": "Alert", "metadata": metadata, "spec": _alert(entry, subject, name)})
    return found


def _alert(entry: Notification, subject: Subject, provider: str) -> Manifest:
    statuses = entry.type == "github"
    alert: Manifest = {
        "providerRef": {"name": provider},
        # A commit gets a green status, too.
        "eventSeverity": "info" if statuses else entry.severity,
        "eventSources": [dict(source) for source in ([subject.status_source] if statuses else subject.sources)],
        "eventMetadata": {"cluster": subject.cluster, **subject.metadata},
        "exclusionList": [*TRANSIENT, *(MARKUP if entry.type in CHATS else ())],
    }
    if subject.reports_only or (statuses and subject.status_source["kind"] == "GitRepository"):
        # Other events of a source name no commit.
        alert["inclusionList"] = [REPORTS]
    return alert
