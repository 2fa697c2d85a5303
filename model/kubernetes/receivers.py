"""Flux's webhook receiver: the way in, and the Receiver of a product."""

from __future__ import annotations

from model.config.names import FLUX_NAMESPACE
from model.kubernetes.manifests import Manifest

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
