"""AWS stand-in: what belongs to a Cognito user pool: its domain, its APIs' scopes, its clients, its groups."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from standins.aws.cognito import MISSING
from standins.aws.kind import REGION, AwsKind, autoname
from standins.aws.session import AwsError
from standins.provider import Property, Values

_UNSUPPORTED = Property(unsupported=True)
_DECIDED = Property(list, of=str, unordered=True, computed=True)


class UserPoolDomain(AwsKind):
    """Where people sign in: a prefix of Cognito's own domain."""

    token = "aws:cognito/userPoolDomain:UserPoolDomain"  # noqa: S105 - a type's name
    properties = {
        "certificateArn": _UNSUPPORTED,
        "domain": Property(required=True, replaces=True),
        "managedLoginVersion": Property(int, computed=True, replaces=True),
        "userPoolId": Property(required=True, replaces=True),
        **REGION,
    }
    outputs = ("awsAccountId", "cloudfrontDistribution", "cloudfrontDistributionArn", "cloudfrontDistributionZoneId")

    def create(self, inputs: Values) -> tuple[str, Values]:
        self.aws.call(
            "cognito-idp",
            "create_user_pool_domain",
            Domain=inputs["domain"],
            UserPoolId=inputs["userPoolId"],
            ManagedLoginVersion=inputs.get("managedLoginVersion"),
        )
        return self.made(inputs["domain"], inputs)

    def read(self, identifier: str, state: Values) -> tuple[str, Values] | None:
        found = self.aws.call("cognito-idp", "describe_user_pool_domain", Domain=identifier)["DomainDescription"]
        if not found.get("UserPoolId"):
            return None
        return identifier, {
            "awsAccountId": self.aws.account,
            "cloudfrontDistribution": found["CloudFrontDistribution"],
            "cloudfrontDistributionArn": found["CloudFrontDistribution"],
            "cloudfrontDistributionZoneId": "Z2FDTNDATAQYW2",  # of all CloudFront distributions
            "domain": found["Domain"],
            "managedLoginVersion": found.get("ManagedLoginVersion", 1),
            "region": self.aws.region,
            "userPoolId": found["UserPoolId"],
        }

    def delete(self, identifier: str, state: Values) -> None:
        pool = state["userPoolId"]
        self.aws.find("cognito-idp", "delete_user_pool_domain", MISSING, Domain=identifier, UserPoolId=pool)


class ResourceServer(AwsKind):
    """An API, and the scopes that its clients ask for."""

    token = "aws:cognito/resourceServer:ResourceServer"  # noqa: S105 - a type's name
    properties = {
        "identifier": Property(required=True, replaces=True),
        "name": Property(),
        "scopes": Property(
            list,
            unordered=True,
            of={"scopeDescription": Property(required=True), "scopeName": Property(required=True)},
        ),
        "userPoolId": Property(required=True, replaces=True),
        **REGION,
    }
    outputs = ("scopeIdentifiers",)

    def check(self, name: str, inputs: Values, seed: bytes) -> Iterable[tuple[str, str]]:
        autoname(inputs, name, seed, most=256)
        return ()

    def create(self, inputs: Values) -> tuple[str, Values]:
        self.aws.call("cognito-idp", "create_resource_server", **_server(inputs))
        return self.made(f"{inputs['userPoolId']}|{inputs['identifier']}", inputs)

    def read(self, identifier: str, state: Values) -> tuple[str, Values] | None:
        pool, _, own = identifier.partition("|")
        method = "describe_resource_server"
        answer = self.aws.find("cognito-idp", method, MISSING, UserPoolId=pool, Identifier=own)
        if answer is None:
            return None
        server = answer["ResourceServer"]
        scopes = server.get("Scopes") or []
        return identifier, {
            "identifier": server["Identifier"],
            "name": server["Name"],
            "region": self.aws.region,
            "scopeIdentifiers": [f"{server['Identifier']}/{scope['ScopeName']}" for scope in scopes],
            "scopes": [
                {"scopeDescription": scope["ScopeDescription"], "scopeName": scope["ScopeName"]} for scope in scopes
            ],
            "userPoolId": server["UserPoolId"],
        }

    def changes_outputs(self, changed: set[str]) -> Iterable[str]:
        return ("scopeIdentifiers",) if "scopes" in changed else ()

    def update(self, identifier: str, state: Values, inputs: Values) -> Values:
        self.aws.call("cognito-idp", "update_resource_server", **_server(inputs))
        return self.made(identifier, inputs)[1]

    def delete(self, identifier: str, state: Values) -> None:
        pool, _, own = identifier.partition("|")
        self.aws.find("cognito-idp", "delete_resource_server", MISSING, UserPoolId=pool, Identifier=own)


def _server(inputs: Values) -> Values:
    return {
        "UserPoolId": inputs["userPoolId"],
        "Identifier": inputs["identifier"],
        "Name": inputs["name"],
        "Scopes": [
            {"ScopeName": scope["scopeName"], "ScopeDescription": scope["scopeDescription"]}
            for scope in inputs.get("scopes") or []
        ],
    }


_CLIENT = {
    "accessTokenValidity": "AccessTokenValidity",
    "allowedOauthFlows": "AllowedOAuthFlows",
    "allowedOauthFlowsUserPoolClient": "AllowedOAuthFlowsUserPoolClient",
    "allowedOauthScopes": "AllowedOAuthScopes",
    "authSessionValidity": "AuthSessionValidity",
    "callbackUrls": "CallbackURLs",
    "defaultRedirectUri": "DefaultRedirectURI",
    "enablePropagateAdditionalUserContextData": "EnablePropagateAdditionalUserContextData",
    "enableTokenRevocation": "EnableTokenRevocation",
    "explicitAuthFlows": "ExplicitAuthFlows",
    "idTokenValidity": "IdTokenValidity",
    "logoutUrls": "LogoutURLs",
    "name": "ClientName",
    "preventUserExistenceErrors": "PreventUserExistenceErrors",
    "readAttributes": "ReadAttributes",
    "refreshTokenValidity": "RefreshTokenValidity",
    "supportedIdentityProviders": "SupportedIdentityProviders",
    "writeAttributes": "WriteAttributes",
}
"""Property -> field of the API."""


class UserPoolClient(AwsKind):
    """An application that people sign in at."""

    token = "aws:cognito/userPoolClient:UserPoolClient"  # noqa: S105 - a type's name
    properties = {
        "accessTokenValidity": Property(int, computed=True),
        "allowedOauthFlows": _DECIDED,
        "allowedOauthFlowsUserPoolClient": Property(bool, computed=True),
        "allowedOauthScopes": _DECIDED,
        "analyticsConfiguration": _UNSUPPORTED,
        "authSessionValidity": Property(int, computed=True),
        "callbackUrls": _DECIDED,
        "defaultRedirectUri": Property(computed=True),
        "enablePropagateAdditionalUserContextData": Property(bool, computed=True),
        "enableTokenRevocation": Property(bool, computed=True),
        "explicitAuthFlows": _DECIDED,
        "generateSecret": Property(bool, replaces=True),
        "idTokenValidity": Property(int, computed=True),
        "logoutUrls": _DECIDED,
        "name": Property(),
        "preventUserExistenceErrors": Property(computed=True, choices=("LEGACY", "ENABLED")),
        "readAttributes": _DECIDED,
        "refreshTokenRotation": Property(
            dict,
            of={
                "feature": Property(required=True, choices=("ENABLED", "DISABLED")),
                "retryGracePeriodSeconds": Property(int),
            },
        ),
        "refreshTokenValidity": Property(int, computed=True),
        "supportedIdentityProviders": _DECIDED,
        "tokenValidityUnits": Property(
            dict, of={"accessToken": Property(), "idToken": Property(), "refreshToken": Property()}
        ),
        "userPoolId": Property(required=True, replaces=True),
        "writeAttributes": _DECIDED,
        **REGION,
    }
    outputs = ("clientSecret",)
    secret_outputs = ("clientSecret",)

    def check(self, name: str, inputs: Values, seed: bytes) -> Iterable[tuple[str, str]]:
        autoname(inputs, name, seed, most=128)
        flows, scopes = inputs.get("allowedOauthFlows"), inputs.get("allowedOauthScopes")
        if isinstance(flows, list) and "code" in flows and inputs.get("callbackUrls") == []:
            yield "callbackUrls", "the flow code needs at least one"
        if inputs.get("allowedOauthFlowsUserPoolClient") is True and not (flows and scopes):
            yield "allowedOauthFlows", "allowedOauthFlowsUserPoolClient needs allowedOauthFlows and allowedOauthScopes"

    def _request(self, inputs: Values) -> Values:
        units, rotation = inputs.get("tokenValidityUnits"), inputs.get("refreshTokenRotation")
        self._check_validity(inputs)
        return {
            **{field: inputs.get(key) for key, field in _CLIENT.items()},
            "RefreshTokenRotation": {
                "Feature": rotation["feature"],
                "RetryGracePeriodSeconds": rotation.get("retryGracePeriodSeconds"),
            }
            if rotation
            else None,
            "TokenValidityUnits": {key[0].upper() + key[1:]: value for key, value in units.items()} if units else None,
            "UserPoolId": inputs["userPoolId"],
        }

    def _check_validity(self, inputs: Values) -> None:
        """Access and ID tokens live 5 minutes to a day, refresh tokens an hour to ten years."""
        seconds = {"seconds": 1, "minutes": 60, "hours": 3600, "days": 86400}
        units = inputs.get("tokenValidityUnits") or {}
        for key, unit, usual, least, most in (
            ("accessTokenValidity", "accessToken", "hours", 300, 86400),
            ("idTokenValidity", "idToken", "hours", 300, 86400),
            ("refreshTokenValidity", "refreshToken", "days", 3600, 3650 * 86400),
        ):
            if inputs.get(key):
                lasts = inputs[key] * seconds[units.get(unit, usual)]
                if not least <= lasts <= most:
                    reason = f"Invalid range for token validity: {key} is {lasts} s, allowed are {least} to {most}"
                    raise AwsError("cognito-idp.CreateUserPoolClient", "InvalidParameterException", reason)

    def create(self, inputs: Values) -> tuple[str, Values]:
        secret = inputs.get("generateSecret")
        request = self._request(inputs)
        made = self.aws.call("cognito-idp", "create_user_pool_client", **request, GenerateSecret=secret)
        return self.made(made["UserPoolClient"]["ClientId"], inputs)

    def read(self, identifier: str, state: Values) -> tuple[str, Values] | None:
        pool, _, own = identifier.rpartition("/")  # POOL/CLIENT is what is imported
        pool = pool or state["userPoolId"]
        method = "describe_user_pool_client"
        answer = self.aws.find("cognito-idp", method, MISSING, UserPoolId=pool, ClientId=own)
        if answer is None:
            return None
        client = answer["UserPoolClient"]
        rotation, units = client.get("RefreshTokenRotation"), client.get("TokenValidityUnits")
        return own, {
            **{key: client.get(field, _nothing(self.properties[key])) for key, field in _CLIENT.items()},
            "clientSecret": client.get("ClientSecret", ""),
            "generateSecret": state.get("generateSecret", bool(client.get("ClientSecret"))),
            "refreshTokenRotation": {
                "feature": rotation["Feature"],
                "retryGracePeriodSeconds": rotation.get("RetryGracePeriodSeconds", 0),
            }
            if rotation
            else None,
            "region": self.aws.region,
            "tokenValidityUnits": {key[0].lower() + key[1:]: value for key, value in units.items()} if units else None,
            "userPoolId": client["UserPoolId"],
        }

    def update(self, identifier: str, state: Values, inputs: Values) -> Values:
        # The request names everything: what it leaves out, Cognito puts back to its default.
        request = {key: state.get(key) for key, declared in self.properties.items() if declared.computed} | inputs
        self.aws.call("cognito-idp", "update_user_pool_client", **self._request(request), ClientId=identifier)
        return self.made(identifier, inputs)[1]

    def delete(self, identifier: str, state: Values) -> None:
        pool = state["userPoolId"]
        self.aws.find("cognito-idp", "delete_user_pool_client", MISSING, UserPoolId=pool, ClientId=identifier)


def _nothing(declared: Property) -> Any:
    """What the official provider has in the state for what the API does not tell."""
    return [] if declared.type is list else None


class UserGroup(AwsKind):
    """A group of a pool's users: which groups somebody is in is in his tokens."""

    token = "aws:cognito/userGroup:UserGroup"  # noqa: S105 - a type's name
    properties = {
        "description": Property(),
        "name": Property(replaces=True),
        "precedence": Property(int),
        "roleArn": Property(),
        "userPoolId": Property(required=True, replaces=True),
        **REGION,
    }

    def check(self, name: str, inputs: Values, seed: bytes) -> Iterable[tuple[str, str]]:
        autoname(inputs, name, seed, most=128)
        return ()

    def create(self, inputs: Values) -> tuple[str, Values]:
        self.aws.call("cognito-idp", "create_group", **_group(inputs))
        return self.made(f"{inputs['userPoolId']}/{inputs['name']}", inputs)

    def read(self, identifier: str, state: Values) -> tuple[str, Values] | None:
        pool, _, name = identifier.partition("/")
        answer = self.aws.find("cognito-idp", "get_group", MISSING, UserPoolId=pool, GroupName=name)
        if answer is None:
            return None
        group = answer["Group"]
        return identifier, {
            "description": group.get("Description", ""),
            "name": group["GroupName"],
            "precedence": group.get("Precedence", 0),
            "region": self.aws.region,
            "roleArn": group.get("RoleArn", ""),
            "userPoolId": group["UserPoolId"],
        }

    def update(self, identifier: str, state: Values, inputs: Values) -> Values:
        self.aws.call("cognito-idp", "update_group", **_group(inputs))
        return self.made(identifier, inputs)[1]

    def delete(self, identifier: str, state: Values) -> None:
        pool, _, name = identifier.partition("/")
        self.aws.find("cognito-idp", "delete_group", MISSING, UserPoolId=pool, GroupName=name)


def _group(inputs: Values) -> Values:
    return {
        "UserPoolId": inputs["userPoolId"],
        "GroupName": inputs["name"],
        "Description": inputs.get("description"),
        "Precedence": inputs.get("precedence"),
        "RoleArn": inputs.get("roleArn"),
    }


KINDS = (UserPoolDomain, ResourceServer, UserPoolClient, UserGroup)
