"""Annotations of Services, Ingresses, routes and service accounts: those a tier may allow, and those it may not."""

from __future__ import annotations

import re

from model.config.base import rule_error

NGINX = "nginx.ingress.kubernetes.io"
DEFAULT_ANNOTATIONS = (
    "cert-manager.io/cluster-issuer",
    "cert-manager.io/issuer",
    "external-dns.alpha.kubernetes.io/hostname",
    "external-dns.alpha.kubernetes.io/ttl",
    f"{NGINX}/backend-protocol",
    f"{NGINX}/enable-cors",
    f"{NGINX}/force-ssl-redirect",
    f"{NGINX}/limit-connections",
    f"{NGINX}/limit-rps",
    f"{NGINX}/proxy-body-size",
    f"{NGINX}/proxy-connect-timeout",
    f"{NGINX}/proxy-read-timeout",
    f"{NGINX}/proxy-send-timeout",
    f"{NGINX}/rewrite-target",
    f"{NGINX}/ssl-redirect",
    f"{NGINX}/use-regex",
)
"""Annotations for routing that each concern a tenant's own host names only, or whose values admission checks."""

# What admission refuses whatever a tier lists. These patterns are Python's and RE2's alike.
SNIPPETS = "-snippets?$"
"""Annotations with configuration of the whole ingress controller."""
COPIES = "^[a-z0-9.-]+/(mirror-target|mirror-host|mirror-request-body|influxdb-[a-z]+|config-backend)$"
"""Annotations by which an ingress controller sends requests, or copies of them, to an address of their choice."""
SHARED = "^alb[.]ingress[.]kubernetes[.]io/(group[.]|actions[.]|conditions[.]|load-balancer-name$)"
"""Annotations of an AWS load balancer that several tenants share."""
UNNAMED = (
    "cert-manager.io/email-sans",
    "cert-manager.io/ip-sans",
    "cert-manager.io/uri-sans",
    f"{NGINX}/from-to-www-redirect",
)
"""Annotations that claim something other than a host name, or a derived name."""
REFUSED = re.compile(
    "|".join((SNIPPETS, COPIES, SHARED, "/from-to-www-redirect$", *(f"^{re.escape(key)}$" for key in UNNAMED)))
)


def annotation(value: str) -> str:
    """An annotation's key, or all keys of a domain. Raises rule_error for others and for what is always refused."""
    domain, _, name = value.partition("/")
    label = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
    if not re.fullmatch(rf"{label}(\.{label})+", domain) or not re.fullmatch(
        r"\*|[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?", name
    ):
        remedy = (
            "Write DOMAIN/NAME such as nginx.ingress.kubernetes.io/rewrite-target, or DOMAIN/* for all of a domain."
        )
        raise rule_error(f"{value!r} is not the key of an annotation", remedy)
    if REFUSED.search(value):
        raise rule_error(f"{value} is refused to every tenant", "Remove it: it would change other tenants' traffic.")
    return value
