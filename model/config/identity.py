"""A tenant's users: who they are for Cognito, and by which claims of a token a product knows them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from model.config.aws import IdentitySettings
from model.config.document import Document
from model.config.mistakes import Mistake
from model.config.tenants import Tenant, place_of
from model.config.unsound import sound
from model.kubernetes.manifests import Manifest, tenant_labels

TENANT_ATTRIBUTE = "tenant_id"
"""Of a user: the tenant that it was created for. Cognito calls it custom:tenant_id; it never changes."""
TENANT_CLAIM = "cognito:groups"
"""Of a token, access and ID tokens alike: the tenants that the user belongs to."""
CONFIG_MAP = "identity"
MAXIMUM_DOMAIN = 63


def issuer(region: str, pool: str) -> str:
    """Who issued a token (its claim `iss`), where `pool` is the user pool's id."""
    return f"https://cognito-idp.{region}.amazonaws.com/{pool}"


def jwks_url(issuer: str) -> str:
    """Where the keys are that an issuer signs with."""
    return f"{issuer}/.well-known/jwks.json"


def endpoints(region: str, domain: str) -> Mapping[str, str]:
    """Where users sign in and out and products get tokens, by their keys in the ConfigMap."""
    host = f"https://{domain}.auth.{region}.amazoncognito.com"
    return {
        "OIDC_AUTHORIZATION_ENDPOINT": f"{host}/oauth2/authorize",
        "OIDC_TOKEN_ENDPOINT": f"{host}/oauth2/token",
        "OIDC_LOGOUT_ENDPOINT": f"{host}/logout",
    }


def allowed_scopes(server: str, settings: IdentitySettings) -> Sequence[str]:
    """What a client may ask for: OIDC's own scopes and those of the SaaS' API, whose resource server is `server`."""
    return ["openid", "email", "profile", *(f"{server}/{scope}" for scope in sorted(settings.scopes))]


def tenant_domain(settings: IdentitySettings, tenant: str) -> str:
    """The prefix of the domain of a tenant's own pool."""
    return f"{settings.domain}-{tenant}"


def tenant_urls(templates: Sequence[str], shared: Sequence[str], tenant: str) -> Sequence[str]:
    """Where the client of a tenant's own redirects to; the shared client's URLs where there are no templates."""
    return [template.replace("{tenant}", tenant) for template in templates] or shared


def config_map(tenant: Tenant, data: Mapping[str, Any]) -> Manifest:
    """What a product has to know to sign its users in and to verify their tokens; nothing in it is secret."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": CONFIG_MAP, "namespace": tenant.name, "labels": tenant_labels(tenant)},
        "data": dict(data),
    }


def problems(tenants: Sequence[Tenant], source: Document, settings: IdentitySettings | None) -> Iterator[Mistake]:
    """What tenants ask for and the stack cannot give; `tenants` are those of the document `source`, in its order."""
    for index, tenant in sound(tenants):
        if settings is None:
            if tenant.identity != "group":
                message = f"a {tenant.identity} needs a stack with users, and this one has none"
                remedy = "Add `identity:` to saas-in-eks:aws in the stack's configuration, or leave it out here."
                yield source.mistake(place_of(source, index, ("identity",)), message, remedy)
        elif tenant.identity == "pool" and (problem := _domain_problem(tenant_domain(settings, tenant.name))):
            remedy = "Choose client or group for it, or another `domain` in the stack's configuration."
            yield source.mistake(place_of(source, index, ("identity",)), problem, remedy)


def _domain_problem(domain: str) -> str | None:
    if len(domain) > MAXIMUM_DOMAIN:
        return f"its pool's domain {domain} would be longer than Cognito's {MAXIMUM_DOMAIN} characters"
    if reserved := re.search("aws|amazon|cognito", domain):
        return f"its pool's domain {domain} would hold {reserved[0]!r}, which Cognito reserves"
    return None
