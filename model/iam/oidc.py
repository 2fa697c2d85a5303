"""OpenID Connect for products: Cognito's endpoints, scopes, and the claim that holds a user's tenants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from model.config.aws import IdentitySettings

TENANT_ATTRIBUTE = "tenant_id"
"""The user attribute with the tenant that a user was created for: custom:tenant_id in Cognito. It never changes."""
TENANT_CLAIM = "cognito:groups"
"""The claim of access and ID tokens with the tenants that a user belongs to."""
MAXIMUM_DOMAIN = 63
"""Cognito's limit for the prefix of a domain."""


def issuer(region: str, pool: str) -> str:
    """The issuer of a user pool's tokens (claim `iss`); `pool` is the pool's id."""
    return f"https://cognito-idp.{region}.amazonaws.com/{pool}"


def jwks_url(issuer: str) -> str:
    """The URL of an issuer's public keys."""
    return f"{issuer}/.well-known/jwks.json"


def endpoints(region: str, domain: str) -> Mapping[str, str]:
    """The OAuth endpoints of a Cognito domain, by their keys in the tenant's ConfigMap."""
    host = f"https://{domain}.auth.{region}.amazoncognito.com"
    return {
        "OIDC_AUTHORIZATION_ENDPOINT": f"{host}/oauth2/authorize",
        "OIDC_TOKEN_ENDPOINT": f"{host}/oauth2/token",
        "OIDC_LOGOUT_ENDPOINT": f"{host}/logout",
    }


def allowed_scopes(server: str, settings: IdentitySettings) -> Sequence[str]:
    """The scopes of an app client: OpenID Connect's and those of the SaaS' API (resource server `server`)."""
    return ["openid", "email", "profile", *(f"{server}/{scope}" for scope in sorted(settings.scopes))]


def tenant_domain(settings: IdentitySettings, tenant: str) -> str:
    """The domain prefix of a tenant's own user pool."""
    return f"{settings.domain}-{tenant}"


def tenant_urls(templates: Sequence[str], shared: Sequence[str], tenant: str) -> Sequence[str]:
    """The redirect URLs of a tenant's own app client; without templates, those of the shared client."""
    return [template.replace("{tenant}", tenant) for template in templates] or shared
