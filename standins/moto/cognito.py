"""Additions to moto's Cognito: order of deletion, unique domains, settings that an update keeps, more operations.

`install` adds it to moto in this process before the server starts.
"""

from __future__ import annotations

from typing import Any

from moto.cognitoidp.exceptions import InvalidParameterException, ResourceNotFoundError
from moto.cognitoidp.models import (
    CognitoIdpBackend,
    CognitoIdpUserPoolClient,
    CognitoIdpUserPoolDomain,
    cognitoidp_backends,
)
from moto.cognitoidp.responses import CognitoIdpResponse
from moto.core.exceptions import JsonRESTError
from moto.core.responses import ActionResult, EmptyResult

FOR_EVER = ("AliasAttributes", "UsernameAttributes", "UsernameConfiguration", "UserPoolTags")
"""Settings that an update of a user pool does not take, so that it leaves them alone."""
STANDARD_SCOPES = ("phone", "email", "openid", "profile", "aws.cognito.signin.user.admin")

_create_user_pool = CognitoIdpBackend.create_user_pool
_update_user_pool = CognitoIdpBackend.update_user_pool
_delete_user_pool = CognitoIdpBackend.delete_user_pool
_create_domain = CognitoIdpBackend.create_user_pool_domain
_create_client = CognitoIdpBackend.create_user_pool_client
_update_client = CognitoIdpBackend.update_user_pool_client
_describe_domain = CognitoIdpUserPoolDomain.to_json


class FeatureUnavailableInTierError(JsonRESTError):
    """A feature of another plan than the pool's."""

    def __init__(self, message: str) -> None:
        super().__init__("FeatureUnavailableInTierException", message)


class Backend(CognitoIdpBackend):
    """The methods that take the places of moto's own."""

    def create_user_pool(self, name: str, extended_config: dict[str, Any]) -> Any:
        defaults = {"UserPoolTier": "ESSENTIALS", "DeletionProtection": "INACTIVE"}
        return _create_user_pool(self, name, {**defaults, **extended_config})

    def update_user_pool(self, user_pool_id: str, extended_config: dict[str, Any]) -> None:
        pool = self.describe_user_pool(user_pool_id)
        kept = {key: pool.extended_config[key] for key in FOR_EVER if key in pool.extended_config}
        defaults = {"UserPoolTier": "ESSENTIALS", "DeletionProtection": "INACTIVE"}
        _update_user_pool(self, user_pool_id, {**defaults, **extended_config, **kept})
        pool.name = extended_config.get("PoolName", pool.name)
        pool.mfa_config = extended_config.get("MfaConfiguration") or pool.mfa_config

    def delete_user_pool(self, user_pool_id: str) -> None:
        pool = self.describe_user_pool(user_pool_id)
        if pool.extended_config.get("DeletionProtection") == "ACTIVE":
            raise InvalidParameterException(
                "The user pool cannot be deleted because deletion protection is activated. Deletion protection must be "
                "inactivated first."
            )
        if pool.domain:
            raise InvalidParameterException(
                "User pool cannot be deleted. It has a domain configured that should be deleted first."
            )
        _delete_user_pool(self, user_pool_id)

    def create_user_pool_domain(self, user_pool_id: str, domain: str, custom_domain_config: Any = None) -> Any:
        for regional in cognitoidp_backends[self.account_id].values():
            if domain in regional.user_pool_domains:
                raise InvalidParameterException("Domain already associated with another user pool.")
        if self.describe_user_pool(user_pool_id).domain:
            raise InvalidParameterException("User pool already has a domain configured.")
        return _create_domain(self, user_pool_id, domain, custom_domain_config)

    def create_user_pool_client(self, user_pool_id: str, generate_secret: bool, extended_config: Any) -> Any:
        self._check_client(user_pool_id, extended_config)
        return _create_client(self, user_pool_id, generate_secret, extended_config)

    def update_user_pool_client(self, user_pool_id: str, client_id: str, extended_config: Any) -> Any:
        self._check_client(user_pool_id, extended_config)
        client: Any = self.describe_user_pool_client(user_pool_id, client_id)
        # Cognito resets the settings that an update does not name.
        fresh: Any = CognitoIdpUserPoolClient(user_pool_id, client.generate_secret, None)
        client.extended_config = {**fresh.extended_config, "ClientName": client.extended_config.get("ClientName")}
        return _update_client(self, user_pool_id, client_id, extended_config)

    def _check_client(self, user_pool_id: str, settings: dict[str, Any]) -> None:
        pool = self.describe_user_pool(user_pool_id)
        known = {*STANDARD_SCOPES}
        for server in pool.resource_servers.values():
            known |= {f"{server.identifier}/{scope['ScopeName']}" for scope in server.scopes or ()}
        if unknown := sorted(set(settings.get("AllowedOAuthScopes") or ()) - known):
            raise InvalidParameterException(f"Invalid scope requested: {unknown[0]}")
        for key in ("ReadAttributes", "WriteAttributes"):
            for name in settings.get(key) or ():
                if name.startswith("custom:") and name not in pool.schema_attributes:
                    raise InvalidParameterException(f"Invalid {key[:-10].lower()} attributes specified: {name}")
        rotation = (settings.get("RefreshTokenRotation") or {}).get("Feature") == "ENABLED"
        if rotation and pool.extended_config.get("UserPoolTier") == "LITE":
            raise FeatureUnavailableInTierError("Refresh token rotation is not available in the LITE tier.")
        if rotation and "ALLOW_REFRESH_TOKEN_AUTH" in (settings.get("ExplicitAuthFlows") or ()):
            raise InvalidParameterException(
                "Refresh token rotation cannot be enabled with ALLOW_REFRESH_TOKEN_AUTH in ExplicitAuthFlows."
            )


class Responses(CognitoIdpResponse):
    """The operations that moto lacks, and one that it answers too little to."""

    def create_user_pool_domain(self) -> ActionResult:
        given = self._get_param("UserPoolId"), self._get_param("Domain"), self._get_param("CustomDomainConfig")
        domain = self.backend.create_user_pool_domain(*given)
        domain.managed_login_version = self._get_param("ManagedLoginVersion") or 1  # pyright: ignore[reportAttributeAccessIssue]
        return ActionResult(domain.to_json(extended=False))

    def update_resource_server(self) -> ActionResult:
        server = self.backend.describe_resource_server(self._get_param("UserPoolId"), self._get_param("Identifier"))
        server.name, server.scopes = self._get_param("Name"), self._get_param("Scopes")
        return ActionResult({"ResourceServer": server.to_json()})

    def delete_resource_server(self) -> ActionResult:
        pool, identifier = self._get_param("UserPoolId"), self._get_param("Identifier")
        self.backend.describe_resource_server(pool, identifier)
        del self.backend.describe_user_pool(pool).resource_servers[identifier]
        return EmptyResult()

    def _tags(self) -> dict[str, str]:
        arn = self._get_param("ResourceArn")
        for pool in self.backend.user_pools.values():
            if pool.arn == arn:
                return pool.extended_config.setdefault("UserPoolTags", {})
        raise ResourceNotFoundError(f"{arn} does not exist.")

    def tag_resource(self) -> ActionResult:
        self._tags().update(self._get_param("Tags"))
        return EmptyResult()

    def untag_resource(self) -> ActionResult:
        tags = self._tags()
        for key in self._get_param("TagKeys"):
            tags.pop(key, None)
        return EmptyResult()


def _domain(self: CognitoIdpUserPoolDomain, extended: bool = True) -> dict[str, Any]:
    answer = _describe_domain(self, extended)
    return {**answer, "ManagedLoginVersion": getattr(self, "managed_login_version", 1)} if extended else answer


def install() -> None:
    """Change moto's classes in place: other modules of moto hold them by name."""
    for ours, theirs in ((Backend, CognitoIdpBackend), (Responses, CognitoIdpResponse)):
        for name, method in vars(ours).items():
            if not name.startswith("__"):
                setattr(theirs, name, method)
    CognitoIdpUserPoolDomain.to_json = _domain
