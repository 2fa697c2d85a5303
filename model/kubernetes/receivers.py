"""Flux's webhook receiver: the way in, and the Receiver of a product."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Any

from model.config.names import FLUX_NAMESPACE, product_namespace
from model.config.webhooks import OidcWebhook
from model.kubernetes.image_automation import IMAGE_API
from model.kubernetes.manifests import Manifest
from model.kubernetes.products import product_labels

WEBHOOK_RECEIVER = "webhook-receiver"
"""Flux's Service for webhooks."""
HOOKS = "/hook/"
"""The beginning of each Receiver's path."""


def receiver_ingress(host: str, ingress_class: str | None) -> Manifest:
    """Ingress of the webhook receiver: TLS with the ingress controller's default certificate."""
    backend = {"service": {"name": WEBHOOK_RECEIVER, "port": {"number": 80}}}
    spec: Manifest = {
        "tls": [{"hosts": [host]}],
        "rules": [{"host": host, "http": {"paths": [{"path": HOOKS, "pathType": "Prefix", "backend": backend}]}}],
    }
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {
            "name": WEBHOOK_RECEIVER,
            "namespace": FLUX_NAMESPACE,
            # Its load balancer may be known much later, or never.
            "annotations": {"pulumi.com/skipAwait": "true"},
        },
        "spec": spec | ({"ingressClassName": ingress_class} if ingress_class else {}),
    }


def receiver(product: str, sources: Iterable[str], generation: int = 1) -> Manifest:
    """Receiver of GitHub's pushes: it makes source-controller fetch these sources of a product, and nothing else.

    A ring is one source, so one request of GitHub's is one patch, however many tenants follow. Each generation's
    token has a Receiver of its own: the last one answers until the webhook has the new token.
    """
    token = {"name": token_name(product, generation)}
    spec = {"type": "github", "events": ["ping", "push"], "secretRef": token}
    return _receiver(product, _suffixed(product, generation), spec, sources)


def oidc_receiver(product: str, webhook: OidcWebhook, sources: Iterable[str], images: Iterable[str] = ()) -> Manifest:
    """Receiver of a CI job, which shows a token that its issuer signed; the claims have to be equal.

    A job has pushed an image rather than a commit: Flux scans these `images` at once too.
    """
    validations = [
        {"expression": f"claims.{name} == {json.dumps(value)}", "message": f"the claim {name} is another one"}
        for name, value in webhook.claims.items()
    ]
    provider = {"issuerURL": webhook.issuer, "audience": webhook.audience, "validations": validations}
    return _receiver(
        product, oidc_name(product), {"type": "generic-oidc", "oidcProviders": [provider]}, sources, images
    )


def _receiver(product: str, name: str, spec: Manifest, sources: Iterable[str], images: Iterable[str] = ()) -> Manifest:
    source = {"apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "GitRepository"}
    fetched = [{**source, "name": each} for each in sources]
    scanned = [{"apiVersion": IMAGE_API, "kind": "ImageRepository", "name": image} for image in images]
    return {
        "apiVersion": "notification.toolkit.fluxcd.io/v1",
        "kind": "Receiver",
        "metadata": {"name": name, "namespace": product_namespace(product), "labels": product_labels(product)},
        "spec": {**spec, "resources": [*fetched, *scanned]},
    }


def token_secret(product: str, token: Any, generation: int = 1) -> Manifest:
    """Secret by which GitHub signs and Flux checks; the token may be an output."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": token_name(product, generation),
            "namespace": product_namespace(product),
            # A new token is noticed at once, and with it the Receiver's new path.
            "labels": {**product_labels(product), "reconcile.fluxcd.io/watch": "Enabled"},
        },
        "stringData": {"token": token},
    }


def token_name(product: str, generation: int = 1) -> str:
    """The name of the token's Secret."""
    return _suffixed(f"{product}-webhook", generation)


def _suffixed(name: str, generation: int) -> str:
    return name if generation == 1 else f"{name}-{generation}"


def oidc_name(product: str) -> str:
    """The name of the Receiver for CI jobs."""
    return f"{product}-oidc"


def hook_path(product: str, token: str, generation: int = 1) -> str:
    """The path of a product's Receiver, as Flux derives it."""
    return _path(product, _suffixed(product, generation), token)


def oidc_hook_path(product: str) -> str:
    """The path of its Receiver for CI jobs. Nothing in it is secret."""
    return _path(product, oidc_name(product), "")


def _path(product: str, name: str, token: str) -> str:
    return HOOKS + hashlib.sha256(f"{token}{name}{product_namespace(product)}".encode()).hexdigest()
