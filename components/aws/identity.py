"""The SaaS' users: a Cognito user pool that speaks OpenID Connect, and each tenant's part in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from model.config.aws import IdentitySettings
from model.config.identity import (
    TENANT_ATTRIBUTE,
    TENANT_CLAIM,
    allowed_scopes,
    endpoints,
    issuer,
    jwks_url,
    tenant_domain,
    tenant_urls,
)
from model.config.tenants import Tenant

MINIMUM_PASSWORD = 14
INVITATION_DAYS = 3
"""How long the password of an invitation works."""
TOKEN_MINUTES = 30
"""How long a stolen or outdated token works, since products verify it without asking Cognito."""
SESSION_DAYS = 7
"""How long somebody who does not come back stays signed in."""
RETRY_SECONDS = 30
"""How long a refresh token that was exchanged still works, for an answer that got lost."""


@dataclass(frozen=True)
class IdentityArgs:
    """A user pool."""

    settings: IdentitySettings
    region: str
    prefix: str
    """What the names of its AWS resources begin with; also what the API's scopes begin with."""
    protected: bool
    """Whether users refuse to be deleted."""
    aws: aws.Provider
    tenant: str | None = None
    """Whose pool it is; None for the one that tenants share."""


class Identity(pulumi.ComponentResource):
    """Users who are invited, sign in by e-mail on Cognito's pages, and get tokens that any OIDC library verifies.

    The shared pool refuses to be deleted. A tenant's own leaves the program with its tenant and stays on AWS.
    """

    issuer: pulumi.Output[str]
    jwks_url: pulumi.Output[str]
    client_id: pulumi.Output[str]
    """The audience of the tokens: their claim client_id, in ID tokens aud."""
    endpoints: Mapping[str, str]
    scopes: Sequence[str]
    """What a client may ask for."""
    pool_id: pulumi.Output[str]

    def __init__(self, name: str, args: IdentityArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("saas:identity:Identity", name, None, opts)
        self.args = args
        settings, tenant = args.settings, args.tenant
        domain = tenant_domain(settings, tenant) if tenant else settings.domain
        callbacks, logouts = settings.callback_urls, settings.logout_urls
        if tenant:
            callbacks = tenant_urls(settings.tenant_callback_urls, callbacks, tenant)
            logouts = tenant_urls(settings.tenant_logout_urls, logouts, tenant)
        pool = self._pool(name)
        self.pool_id = pool.id
        aws.cognito.UserPoolDomain(
            name,
            domain=domain,
            user_pool_id=pool.id,
            managed_login_version=2 if settings.login_pages == "managed" else 1,
            opts=self._child(),
        )
        self._server = self._resource_server(name) if settings.scopes else None
        self.scopes = allowed_scopes(args.prefix, settings)
        self.client_id = self.client(name, self._own_name, callbacks, logouts, self).id
        self.issuer = pool.id.apply(lambda pool: issuer(args.region, pool))
        self.jwks_url = self.issuer.apply(jwks_url)
        self.endpoints = endpoints(args.region, domain)
        self.register_outputs({"issuer": self.issuer, "jwksUrl": self.jwks_url, "clientId": self.client_id})

    @property
    def _own_name(self) -> str:
        return f"{self.args.prefix}-{self.args.tenant}" if self.args.tenant else self.args.prefix

    def _pool(self, name: str) -> aws.cognito.UserPool:
        settings, tenant, protected = self.args.settings, self.args.tenant, self.args.protected
        return aws.cognito.UserPool(
            name,
            name=self._own_name,
            user_pool_tier=settings.plan,
            deletion_protection="ACTIVE" if protected else "INACTIVE",
            # People sign in with their address. Neither can be changed later, so a pool begins with both.
            username_attributes=["email"],
            username_configuration={"case_sensitive": False},
            auto_verified_attributes=["email"],
            # Else whoever takes over a session takes over the account, with an address of his own.
            user_attribute_update_settings={"attributes_require_verification_before_updates": ["email"]},
            # Who signs up by himself would choose his tenant by himself.
            admin_create_user_config={"allow_admin_create_user_only": True},
            account_recovery_setting={"recovery_mechanisms": [{"name": "verified_email", "priority": 1}]},
            password_policy={
                "minimum_length": MINIMUM_PASSWORD,
                "require_lowercase": True,
                "require_uppercase": True,
                "require_numbers": True,
                "require_symbols": True,
                "temporary_password_validity_days": INVITATION_DAYS,
            },
            mfa_configuration=settings.mfa,
            software_token_mfa_configuration=None if settings.mfa == "OFF" else {"enabled": True},
            user_pool_add_ons={"advanced_security_mode": "ENFORCED"} if settings.plan == "PLUS" else None,
            schemas=[
                {
                    "name": TENANT_ATTRIBUTE,
                    "attribute_data_type": "String",
                    "mutable": False,
                    "developer_only_attribute": False,
                    "required": False,
                    # Written out, since Cognito answers with its own and a pool's schema can never be changed.
                    "string_attribute_constraints": {"min_length": "2", "max_length": "63"},
                }
            ],
            email_configuration={
                "email_sending_account": "DEVELOPER",
                "source_arn": settings.email.identity,
                "from_email_address": settings.email.sender,
            }
            if settings.email
            else {"email_sending_account": "COGNITO_DEFAULT"},
            tags={"Name": self._own_name} | ({"tenant": tenant} if tenant else {}),
            opts=self._child(protect=protected and not tenant, retain_on_delete=protected and bool(tenant)),
        )

    def _resource_server(self, name: str) -> aws.cognito.ResourceServer:
        return aws.cognito.ResourceServer(
            name,
            identifier=self.args.prefix,
            name=self._own_name,
            user_pool_id=self.pool_id,
            scopes=[
                {"scope_name": scope, "scope_description": meaning}
                for scope, meaning in sorted(self.args.settings.scopes.items())
            ],
            opts=self._child(),
        )

    def client(
        self, name: str, own_name: str, callbacks: Sequence[str], logouts: Sequence[str], parent: pulumi.Resource
    ) -> aws.cognito.UserPoolClient:
        """An application whose users sign in on Cognito's pages (authorization code; PKCE in place of a secret)."""
        args = self.args
        rotates = args.settings.plan != "LITE"
        needed = [self._server] if self._server else []
        opts = pulumi.ResourceOptions(parent=parent, provider=args.aws, depends_on=needed)
        client = aws.cognito.UserPoolClient(
            name,
            name=own_name,
            user_pool_id=self.pool_id,
            # It would be in the hands of every tenant's product, and in browsers: no secret at all.
            generate_secret=False,
            allowed_oauth_flows_user_pool_client=True,
            allowed_oauth_flows=["code"],
            allowed_oauth_scopes=list(self.scopes),
            supported_identity_providers=["COGNITO"],
            callback_urls=list(callbacks),
            logout_urls=list(logouts),
            # Rotation takes the place of REFRESH_TOKEN_AUTH: Cognito refuses both together, and the plan LITE has none.
            explicit_auth_flows=["ALLOW_USER_SRP_AUTH", *([] if rotates else ["ALLOW_REFRESH_TOKEN_AUTH"])],
            refresh_token_rotation={"feature": "ENABLED", "retry_grace_period_seconds": RETRY_SECONDS}
            if rotates
            else None,
            access_token_validity=TOKEN_MINUTES,
            id_token_validity=TOKEN_MINUTES,
            refresh_token_validity=SESSION_DAYS,
            token_validity_units={"access_token": "minutes", "id_token": "minutes", "refresh_token": "days"},
            enable_token_revocation=True,
            prevent_user_existence_errors="ENABLED",
            read_attributes=["email", "email_verified", "name", f"custom:{TENANT_ATTRIBUTE}"],
            write_attributes=["email", "name"],
            opts=opts,
        )
        if args.settings.login_pages == "managed":
            # Managed pages are blank for a client without a style; classic ones need none.
            aws.cognito.ManagedLoginBranding(
                name,
                user_pool_id=self.pool_id,
                client_id=client.id,
                use_cognito_provided_values=True,
                opts=pulumi.ResourceOptions(parent=parent, provider=args.aws),
            )
        return client

    def _child(self, protect: bool = False, retain_on_delete: bool = False) -> pulumi.ResourceOptions:
        return pulumi.ResourceOptions(
            parent=self, provider=self.args.aws, protect=protect, retain_on_delete=retain_on_delete
        )


@dataclass(frozen=True)
class TenantIdentityArgs:
    """A tenant, and the pool that tenants share."""

    tenant: Tenant
    identity: Identity


class TenantIdentity(pulumi.ComponentResource):
    """A group of the shared pool; by the tenant's choice also a client of its own there, or a pool of its own.

    The group is there in every case. Any user of a pool can sign in at any of its clients, so that a client proves
    nothing; and a tenant that moves from one model to another keeps who belongs to it.
    """

    config_map_data: Mapping[str, pulumi.Input[str]]
    """What the tenant's product has to know; see `model.config.identity.config_map`."""

    def __init__(self, name: str, args: TenantIdentityArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("saas:identity:TenantIdentity", name, None, opts)
        tenant, shared = args.tenant, args.identity
        self._group(name, tenant, shared, self)
        identity, client_id = shared, shared.client_id
        if tenant.identity == "client":
            settings = shared.args.settings
            client_id = shared.client(
                name,
                f"{shared.args.prefix}-{tenant.name}",
                tenant_urls(settings.tenant_callback_urls, settings.callback_urls, tenant.name),
                tenant_urls(settings.tenant_logout_urls, settings.logout_urls, tenant.name),
                self,
            ).id
        elif tenant.identity == "pool":
            own = IdentityArgs(
                settings=shared.args.settings,
                region=shared.args.region,
                prefix=shared.args.prefix,
                protected=shared.args.protected,
                aws=shared.args.aws,
                tenant=tenant.name,
            )
            identity = Identity(name, own, pulumi.ResourceOptions(parent=self))
            client_id = identity.client_id
            self._group(name, tenant, identity, identity)
        self.config_map_data = {
            "OIDC_ISSUER": identity.issuer,
            "OIDC_JWKS_URI": identity.jwks_url,
            "OIDC_CLIENT_ID": client_id,
            "OIDC_TOKEN_USE": "access",
            "OIDC_SCOPES": " ".join(identity.scopes),
            "OIDC_TENANT_CLAIM": TENANT_CLAIM,
            "OIDC_TENANT": tenant.name,
            **identity.endpoints,
        }
        self.register_outputs({"issuer": identity.issuer, "clientId": client_id})

    def _group(self, name: str, tenant: Tenant, identity: Identity, parent: pulumi.Resource) -> None:
        aws.cognito.UserGroup(
            name,
            name=tenant.name,
            description=f"Users of the tenant {tenant.name}",
            user_pool_id=identity.pool_id,
            opts=pulumi.ResourceOptions(parent=parent, provider=identity.args.aws),
        )
