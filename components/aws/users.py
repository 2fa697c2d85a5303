"""The SaaS' users: a Cognito user pool with OpenID Connect, and each tenant's group, client or pool."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from components.aws.context import AwsContext
from model.config.aws import IdentitySettings
from model.config.stack import Settings
from model.config.tenants import Tenant
from model.iam.oidc import (
    TENANT_ATTRIBUTE,
    TENANT_CLAIM,
    allowed_scopes,
    endpoints,
    issuer,
    jwks_url,
    tenant_domain,
    tenant_urls,
)

MINIMUM_PASSWORD = 14
INVITATION_DAYS = 3
"""Validity of an invitation's password."""
TOKEN_MINUTES = 30
"""How long a stolen or outdated token works: products verify tokens without asking Cognito."""
SESSION_DAYS = 7
"""How long an inactive user stays signed in."""
RETRY_SECONDS = 30
"""How long a refresh token still works after its exchange, in case the answer got lost."""


@dataclass(frozen=True)
class Pool:
    """A user pool as its clients need it."""

    context: AwsContext
    settings: IdentitySettings
    pool_id: pulumi.Output[str]
    endpoints: Mapping[str, str]
    server: pulumi.Resource | None
    """With the scopes, for `depends_on`; None without any, and if another stack has it."""

    @property
    def issuer(self) -> pulumi.Output[str]:
        """The issuer of the tokens."""
        return self.pool_id.apply(lambda pool: issuer(self.context.region, pool))

    @property
    def jwks_url(self) -> pulumi.Output[str]:
        """The keys that verify the tokens."""
        return self.issuer.apply(jwks_url)

    @property
    def scopes(self) -> Sequence[str]:
        """OAuth scopes that a client may request."""
        return allowed_scopes(self.context.prefix, self.settings)

    def client(
        self, name: str, own_name: str, callbacks: Sequence[str], logouts: Sequence[str], parent: pulumi.Resource
    ) -> aws.cognito.UserPoolClient:
        """Application whose users sign in on Cognito's pages (authorization code flow with PKCE, no client secret)."""
        rotates = self.settings.plan != "LITE"
        # Cognito refuses a client whose scopes do not exist yet.
        opts = self.context.child(parent, depends_on=[self.server] if self.server else [])
        client = aws.cognito.UserPoolClient(
            name,
            name=own_name,
            user_pool_id=self.pool_id,
            # Every tenant's product and every browser would have it.
            generate_secret=False,
            allowed_oauth_flows_user_pool_client=True,
            allowed_oauth_flows=["code"],
            allowed_oauth_scopes=list(self.scopes),
            supported_identity_providers=["COGNITO"],
            callback_urls=list(callbacks),
            logout_urls=list(logouts),
            # Cognito refuses rotation together with REFRESH_TOKEN_AUTH; the plan LITE has no rotation.
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
        if self.settings.login_pages == "managed":
            # Managed pages are blank for a client without a branding; classic ones need none.
            aws.cognito.ManagedLoginBranding(
                name,
                user_pool_id=self.pool_id,
                client_id=client.id,
                use_cognito_provided_values=True,
                opts=self.context.child(parent),
            )
        return client


@dataclass(frozen=True)
class SharedPool(Pool):
    """The shared user pool as its tenants need it, whichever stack has it."""

    client_id: pulumi.Output[str]
    """Audience of the tokens: claim `client_id` of access tokens, `aud` of ID tokens."""


@dataclass(frozen=True)
class UserPoolArgs:
    """A user pool."""

    context: AwsContext
    settings: IdentitySettings
    tenant: str | None = None
    """The tenant that the pool belongs to; None for the shared pool."""


class UserPool(pulumi.ComponentResource):
    """Cognito user pool: users are invited, sign in by e-mail on Cognito's pages and get standard OIDC tokens.

    The shared pool refuses to be deleted. A tenant's own pool leaves the stack with its tenant and stays on AWS.
    """

    issuer: pulumi.Output[str]
    jwks_url: pulumi.Output[str]
    client_id: pulumi.Output[str]
    shared: SharedPool
    """The pool for its tenants."""

    def __init__(self, name: str, args: UserPoolArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("saas:identity:Identity", name, None, opts)
        self.args = args
        settings, tenant, context = args.settings, args.tenant, args.context
        domain = tenant_domain(settings, tenant) if tenant else settings.domain
        callbacks, logouts = settings.callback_urls, settings.logout_urls
        if tenant:
            callbacks = tenant_urls(settings.tenant_callback_urls, callbacks, tenant)
            logouts = tenant_urls(settings.tenant_logout_urls, logouts, tenant)
        pool = self._pool(name)
        aws.cognito.UserPoolDomain(
            name,
            domain=domain,
            user_pool_id=pool.id,
            managed_login_version=2 if settings.login_pages == "managed" else 1,
            opts=context.child(self),
        )
        server = self._resource_server(name, pool) if settings.scopes else None
        known = Pool(context, settings, pool.id, endpoints(context.region, domain), server)
        self.client_id = known.client(name, self._own_name, callbacks, logouts, self).id
        self.shared = SharedPool(known.context, settings, pool.id, known.endpoints, server, self.client_id)
        self.issuer, self.jwks_url = known.issuer, known.jwks_url
        self.register_outputs({"issuer": self.issuer, "jwksUrl": self.jwks_url, "clientId": self.client_id})

    @property
    def _own_name(self) -> str:
        prefix = self.args.context.prefix
        return f"{prefix}-{self.args.tenant}" if self.args.tenant else prefix

    def _pool(self, name: str) -> aws.cognito.UserPool:
        settings, tenant, context = self.args.settings, self.args.tenant, self.args.context
        return aws.cognito.UserPool(
            name,
            name=self._own_name,
            user_pool_tier=settings.plan,
            deletion_protection="ACTIVE" if context.protected else "INACTIVE",
            # Sign-in by e-mail address. Cognito can change neither setting later.
            username_attributes=["email"],
            username_configuration={"case_sensitive": False},
            auto_verified_attributes=["email"],
            # Otherwise a stolen session becomes a stolen account, by a changed address.
            user_attribute_update_settings={"attributes_require_verification_before_updates": ["email"]},
            # Self-registered users would choose their own tenant.
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
                    # Spelled out: Cognito fills in its own defaults, and a pool's schema can never be changed.
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
            opts=context.child(
                self, protect=context.protected and not tenant, retain_on_delete=context.protected and bool(tenant)
            ),
        )

    def _resource_server(self, name: str, pool: aws.cognito.UserPool) -> aws.cognito.ResourceServer:
        return aws.cognito.ResourceServer(
            name,
            identifier=self.args.context.prefix,
            name=self._own_name,
            user_pool_id=pool.id,
            scopes=[
                {"scope_name": scope, "scope_description": description}
                for scope, description in sorted(self.args.settings.scopes.items())
            ],
            opts=self.args.context.child(self),
        )


@dataclass(frozen=True)
class TenantUsersArgs:
    """A tenant, and the shared pool."""

    tenant: Tenant
    shared: SharedPool


class TenantUsers(pulumi.ComponentResource):
    """The tenant's group of the shared pool; by its choice also a client there, or a pool of its own.

    Every tenant has the group: users of a pool can sign in at any of its clients, so a client proves nothing, and a
    tenant that moves from one model to another keeps its members.
    """

    config_map_data: Mapping[str, pulumi.Input[str]]
    """Issuer, client and endpoints, for the tenant's product; see `model.kubernetes.manifests.identity_config_map`."""
    own_issuer: pulumi.Output[str] | None = None
    """The issuer of the tenant's own pool; None for one that has none."""

    def __init__(self, name: str, args: TenantUsersArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("saas:identity:TenantIdentity", name, None, opts)
        tenant, shared = args.tenant, args.shared
        settings, context = shared.settings, shared.context
        # Nothing brings back who was in it.
        self._group(name, tenant, shared, self, protect=context.protected and not tenant.leaving)
        pool, client_id = shared, shared.client_id
        if tenant.identity == "client":
            client_id = shared.client(
                name,
                f"{context.prefix}-{tenant.name}",
                tenant_urls(settings.tenant_callback_urls, settings.callback_urls, tenant.name),
                tenant_urls(settings.tenant_logout_urls, settings.logout_urls, tenant.name),
                self,
            ).id
        elif tenant.identity == "pool":
            own = UserPoolArgs(context=context, settings=settings, tenant=tenant.name)
            component = UserPool(name, own, pulumi.ResourceOptions(parent=self))
            pool, client_id = component.shared, component.client_id
            self.own_issuer = component.issuer
            self._group(name, tenant, pool, component)
        self.config_map_data = {
            "OIDC_ISSUER": pool.issuer,
            "OIDC_JWKS_URI": pool.jwks_url,
            "OIDC_CLIENT_ID": client_id,
            "OIDC_TOKEN_USE": "access",
            "OIDC_SCOPES": " ".join(pool.scopes),
            "OIDC_TENANT_CLAIM": TENANT_CLAIM,
            "OIDC_TENANT": tenant.name,
            **pool.endpoints,
        }
        self.register_outputs({"issuer": pool.issuer, "clientId": client_id})

    def _group(self, name: str, tenant: Tenant, pool: Pool, parent: pulumi.Resource, *, protect: bool = False) -> None:
        aws.cognito.UserGroup(
            name,
            name=tenant.name,
            description=f"Users of the tenant {tenant.name}",
            user_pool_id=pool.pool_id,
            opts=pool.context.child(parent, protect=protect),
        )


def create_user_pool(settings: Settings, context: AwsContext | None) -> UserPool | None:
    """The shared user pool; None where the settings ask for none."""
    if not (settings.aws and settings.aws.identity and context):
        return None
    return UserPool(settings.cluster, UserPoolArgs(context=context, settings=settings.aws.identity))


def create_tenant_users(shared: SharedPool | None, tenants: Sequence[Tenant]) -> Mapping[str, TenantUsers]:
    """Each tenant's part of the user pool, by the tenants' names; empty without a pool."""
    if shared is None:
        return {}
    return {tenant.name: TenantUsers(tenant.name, TenantUsersArgs(tenant=tenant, shared=shared)) for tenant in tenants}
