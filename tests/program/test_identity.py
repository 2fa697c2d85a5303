"""User pools: sign-up, tokens, and members that stay when a tenant moves or is removed."""

from __future__ import annotations

from typing import Any

import pulumi
import pulumi_kubernetes as kubernetes
import pytest

from components.aws.users import TenantUsers, TenantUsersArgs, UserPool, UserPoolArgs
from components.tenant.space import TenantSpace, TenantSpaceArgs
from model.config.aws import IdentitySettings
from model.config.stack import Settings
from model.config.tenants import Tenant
from tests.program import service_model
from tests.program.recorder import Recording, aws_context, defaults, record

POOL = "aws:cognito/userPool:UserPool"
CLIENT = "aws:cognito/userPoolClient:UserPoolClient"
GROUP = "aws:cognito/userGroup:UserGroup"
DOMAIN = "aws:cognito/userPoolDomain:UserPoolDomain"
SETTINGS = {
    "domain": "acme-prod-eu",
    "callbackUrls": ["https://app.acme.example/oauth2/callback"],
    "logoutUrls": ["https://app.acme.example/"],
    "scopes": {"orders.read": "See orders", "orders.write": "Place orders"},
}


def tenant(identity: str) -> Tenant:
    source = {"url": "https://github.com/acme/shop", "branch": "main"}
    return Tenant.model_validate({"name": "alpha", "source": source, "identity": identity})


def users(*identities: str, preview: bool = False, protected: bool = True, **settings: Any) -> Recording:
    """A stack with the shared pool and, for each of `identities`, the tenant alpha."""

    def program() -> None:
        shared = UserPool(
            "prod-eu",
            UserPoolArgs(
                context=aws_context(protected=protected),
                settings=IdentitySettings.model_validate({**SETTINGS, **settings}),
            ),
        )
        cluster = kubernetes.Provider("prod-eu", kubeconfig="{}")
        stack = Settings.model_validate({**defaults(), "owner": "acme", "aws": None, "network": None})
        for alpha in map(tenant, identities):
            members = TenantUsers("alpha", TenantUsersArgs(tenant=alpha, shared=shared.shared))
            pulumi.export("data", dict(members.config_map_data))
            args = TenantSpaceArgs(
                tenant=alpha,
                settings=stack,
                mirrors=[],
                provider=cluster,
                kubeconfig="",
                github_providers={},
                depends_on=[],
                users=members,
            )
            TenantSpace("alpha", args)

    return record(program, preview=preview)


def test_users_cannot_sign_up_or_change_their_tenant() -> None:
    found = users("client")
    pool = found.resource(POOL, "prod-eu").inputs
    assert pool["adminCreateUserConfig"] == {"allowAdminCreateUserOnly": True}
    assert [(resource["name"], resource["mutable"]) for resource in pool["schemas"]] == [("tenant_id", False)]
    for client in found.of(CLIENT):
        assert "custom:tenant_id" in client.inputs["readAttributes"]
        assert "custom:tenant_id" not in client.inputs["writeAttributes"]


def test_passwords_are_long_and_second_factors_follow_the_settings() -> None:
    pool = users(mfa="ON").resource(POOL, "prod-eu").inputs
    assert pool["passwordPolicy"]["minimumLength"] >= 14
    assert (pool["mfaConfiguration"], pool["softwareTokenMfaConfiguration"]) == ("ON", {"enabled": True})
    assert "softwareTokenMfaConfiguration" not in users(mfa="OFF").resource(POOL, "prod-eu").inputs


def test_threat_protection_is_on_if_the_plan_has_it() -> None:
    assert users(plan="PLUS").resource(POOL, "prod-eu").inputs["userPoolAddOns"] == {"advancedSecurityMode": "ENFORCED"}
    assert "userPoolAddOns" not in users().resource(POOL, "prod-eu").inputs


def test_a_client_has_no_secret_and_uses_the_authorization_code_flow() -> None:
    client = users().resource(CLIENT, "prod-eu")
    assert client.inputs["generateSecret"] is False
    assert client.inputs["allowedOauthFlows"] == ["code"]
    assert "saas-prod-eu/orders.read" in client.inputs["allowedOauthScopes"]
    # Cognito refuses a client with scopes that are not there yet.
    assert any("resourceServer" in urn for urn in client.depends_on)


def test_refresh_tokens_rotate_if_the_plan_has_rotation() -> None:
    for plan in ("ESSENTIALS", "PLUS"):
        client = users(plan=plan).resource(CLIENT, "prod-eu").inputs
        assert client["refreshTokenRotation"]["feature"] == "ENABLED"
        # Cognito refuses it together with rotation.
        assert client["explicitAuthFlows"] == ["ALLOW_USER_SRP_AUTH"]
    lite = users(plan="LITE").resource(CLIENT, "prod-eu").inputs
    assert "refreshTokenRotation" not in lite
    assert lite["explicitAuthFlows"] == ["ALLOW_USER_SRP_AUTH", "ALLOW_REFRESH_TOKEN_AUTH"]


def test_managed_pages_come_with_a_branding_for_each_client() -> None:
    found = users("client", loginPages="managed")
    assert found.resource(DOMAIN, "prod-eu").inputs["managedLoginVersion"] == 2
    styles = found.of("aws:cognito/managedLoginBranding:ManagedLoginBranding")
    assert {style.name for style in styles} == {client.name for client in found.of(CLIENT)} == {"prod-eu", "alpha"}


@pytest.mark.parametrize("identity", ["group", "client", "pool"])
def test_a_tenant_keeps_its_group_in_every_identity_model(identity: str) -> None:
    groups = {resource.urn: resource for resource in users(identity).of(GROUP)}
    kept = groups["urn:pulumi:test::saas-in-eks::saas:identity:TenantIdentity$aws:cognito/userGroup:UserGroup::alpha"]
    assert (kept.inputs["name"], kept.inputs["userPoolId"]) == ("alpha", "prod-eu-id")


def test_the_shared_pool_refuses_to_be_deleted() -> None:
    pool = users().resource(POOL, "prod-eu")
    assert pool.request.protect
    assert pool.inputs["deletionProtection"] == "ACTIVE"


def test_a_tenants_own_pool_stays_on_aws_when_the_tenant_is_removed() -> None:
    pool = users("pool").resource(POOL, "alpha")
    assert pool.inputs["deletionProtection"] == "ACTIVE"
    assert pool.request.retainOnDelete
    # Otherwise one tenant's removal would fail every tenant's update.
    assert not pool.request.protect
    assert pool.inputs["tags"]["tenant"] == "alpha"


def test_without_protection_every_pool_is_deleted() -> None:
    for pool in users("pool", protected=False).of(POOL):
        assert not pool.request.protect
        assert not pool.request.retainOnDelete
        assert pool.inputs["deletionProtection"] == "INACTIVE"


@pytest.mark.parametrize(
    ("identity", "issuer", "client", "host"),
    [
        ("group", "prod-eu-id", "prod-eu-id", "acme-prod-eu"),
        ("client", "prod-eu-id", "alpha-id", "acme-prod-eu"),
        ("pool", "alpha-id", "alpha-id", "acme-prod-eu-alpha"),
    ],
)
def test_a_tenants_config_map_has_the_settings_to_verify_a_token(
    identity: str, issuer: str, client: str, host: str
) -> None:
    configured = [
        resource for resource in users(identity).of("kubernetes:core/v1:ConfigMap") if resource.name == "alpha"
    ]
    assert [resource.inputs["metadata"]["namespace"] for resource in configured] == ["alpha"]
    data = configured[0].inputs["data"]
    assert data["OIDC_ISSUER"] == f"https://cognito-idp.eu-west-1.amazonaws.com/{issuer}"
    assert data["OIDC_JWKS_URI"] == f"https://cognito-idp.eu-west-1.amazonaws.com/{issuer}/.well-known/jwks.json"
    assert data["OIDC_CLIENT_ID"] == client
    assert data["OIDC_TOKEN_ENDPOINT"] == f"https://{host}.auth.eu-west-1.amazoncognito.com/oauth2/token"
    assert (data["OIDC_TENANT_CLAIM"], data["OIDC_TENANT"]) == ("cognito:groups", "alpha")


def test_the_product_is_applied_after_its_identity() -> None:
    found = users("group")
    config = found.resource("kubernetes:core/v1:ConfigMap", "alpha")
    assert config.urn in found.needs(found.resource("kubernetes:kustomize.toolkit.fluxcd.io/v1:Kustomization", "alpha"))


def test_a_tenants_own_client_may_have_its_own_urls() -> None:
    found = users("client", tenantCallbackUrls=["https://{tenant}.acme.example/callback"])
    client = found.resource(CLIENT, "alpha").inputs
    assert client["callbackUrls"] == ["https://alpha.acme.example/callback"]
    assert client["logoutUrls"] == SETTINGS["logoutUrls"]


@pytest.mark.parametrize("identity", ["group", "client", "pool"])
def test_a_preview_without_pools_shows_the_same_resources(identity: str) -> None:
    assert users(identity, preview=True).registrations.keys() == users(identity).registrations.keys()


@pytest.mark.parametrize("plan", ["LITE", "ESSENTIALS", "PLUS"])
def test_cognito_knows_every_input(plan: str) -> None:
    pages = "classic" if plan == "LITE" else "managed"
    email = {"identity": "arn:aws:ses:eu-west-1:123456789012:identity/acme.example", "sender": "Acme <no@acme.example>"}
    for identity in ("client", "pool"):
        assert service_model.problems(users(identity, plan=plan, loginPages=pages, email=email)) == []
