"""Cognito of the AWS stand-in: user pools with their domains, scopes, clients and groups."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from standins.aws.engine import REGION, TAGS, AwsKind, Call, Field, Tagging
from standins.provider import RefusedError, Values

CUSTOM = ("custom:", "dev:")
"""Prefixes that Cognito gives to the names of a program's own attributes."""

_SET = Field(list, of=str, unordered=True, computed=True)
_ATTRIBUTE = {
    "attributeDataType": Field(required=True, choices=("Boolean", "Number", "String", "DateTime")),
    "developerOnlyAttribute": Field(bool, default=False),
    "mutable": Field(bool, default=False),
    "name": Field(required=True),
    "numberAttributeConstraints": Field(dict, of={"maxValue": Field(), "minValue": Field()}),
    "required": Field(bool, default=False),
    "stringAttributeConstraints": Field(dict, of={"maxLength": Field(), "minLength": Field()}),
}


class _Cognito(AwsKind):
    service = "cognito-idp"
    missing = ("ResourceNotFoundException",)


class UserPool(_Cognito):
    """A user pool. How people sign in and which attributes they have can't be changed; attributes can be added."""

    token = "aws:cognito/userPool:UserPool"  # noqa: S105 - a type's name
    properties = {
        "accountRecoverySetting": Field(
            dict,
            computed=True,
            of={
                "recoveryMechanisms": Field(
                    list, unordered=True, of={"name": Field(required=True), "priority": Field(int, required=True)}
                )
            },
        ),
        "adminCreateUserConfig": Field(
            dict,
            computed=True,
            of={
                "allowAdminCreateUserOnly": Field(bool),
                "inviteMessageTemplate": Field(
                    dict,
                    computed=True,
                    of={"emailMessage": Field(), "emailSubject": Field(), "smsMessage": Field(api="SMSMessage")},
                ),
            },
        ),
        "aliasAttributes": Field(list, of=str, unordered=True, replaces=True),
        "autoVerifiedAttributes": Field(list, of=str, unordered=True),
        "deletionProtection": Field(default="INACTIVE", choices=("ACTIVE", "INACTIVE")),
        "emailConfiguration": Field(
            dict,
            of={
                "configurationSet": Field(),
                "emailSendingAccount": Field(default="COGNITO_DEFAULT", choices=("COGNITO_DEFAULT", "DEVELOPER")),
                "fromEmailAddress": Field(api="From"),
                "replyToEmailAddress": Field(),
                "sourceArn": Field(),
            },
        ),
        "mfaConfiguration": Field(default="OFF", choices=("ON", "OFF", "OPTIONAL")),
        "name": Field(replaces=True, api="PoolName", at="Name"),
        "passwordPolicy": Field(
            dict,
            computed=True,
            at="Policies.PasswordPolicy",
            of={
                "minimumLength": Field(int, computed=True),
                "passwordHistorySize": Field(int, computed=True),
                "requireLowercase": Field(bool),
                "requireNumbers": Field(bool),
                "requireSymbols": Field(bool),
                "requireUppercase": Field(bool),
                "temporaryPasswordValidityDays": Field(int, default=7),
            },
        ),
        "schemas": Field(list, unordered=True, of=_ATTRIBUTE, at="SchemaAttributes"),
        "signInPolicy": Field(dict, computed=True, unsupported=True),
        "softwareTokenMfaConfiguration": Field(dict, of={"enabled": Field(bool, required=True)}),
        "userAttributeUpdateSettings": Field(
            dict,
            of={
                "attributesRequireVerificationBeforeUpdates": Field(
                    list, of=str, unordered=True, required=True, api="AttributesRequireVerificationBeforeUpdate"
                )
            },
        ),
        "userPoolAddOns": Field(
            dict,
            of={
                "advancedSecurityMode": Field(required=True, choices=("AUDIT", "ENFORCED", "OFF")),
            },
        ),
        "userPoolTier": Field(computed=True, choices=("LITE", "ESSENTIALS", "PLUS")),
        "usernameAttributes": Field(list, of=str, unordered=True, replaces=True),
        "usernameConfiguration": Field(dict, replaces=True, of={"caseSensitive": Field(bool)}),
        **TAGS,
        **REGION,
    }
    outputs = {
        **dict.fromkeys(("arn", "creationDate", "domain", "estimatedNumberOfUsers", "lastModifiedDate"), ""),
        "endpoint": "",
    }
    moving = {"lastModifiedDate": ()}
    longest_name = 128
    key = {"UserPoolId": "{id}"}
    creates = Call("create_user_pool", answer="UserPool.Id")
    reads = Call("describe_user_pool", answer="UserPool")
    # The requests name everything: what they leave out, Cognito puts back to its default.
    updates = (
        Call("update_user_pool"),
        Call("set_user_pool_mfa_config", when=("mfaConfiguration", "softwareTokenMfaConfiguration")),
    )
    born = {"mfaConfiguration": "", "softwareTokenMfaConfiguration": None}
    deletes = Call("delete_user_pool")
    tagging = Tagging(by={"ResourceArn": "{arn}"}, tags="UserPoolTags", pairs=None)

    def check(self, name: str, inputs: Values, seed: bytes) -> Iterable[tuple[str, str]]:
        yield from super().check(name, inputs, seed)
        yield from _attribute_mistakes(inputs.get("schemas"))
        if inputs.get("aliasAttributes") and inputs.get("usernameAttributes"):
            yield "aliasAttributes", "conflicts with usernameAttributes: give one of them"
        mfa = inputs.get("mfaConfiguration")
        if mfa in ("ON", "OPTIONAL") and not inputs.get("softwareTokenMfaConfiguration"):
            yield "mfaConfiguration", f"{mfa} needs softwareTokenMfaConfiguration: no other second factor has a mapping"
        add_ons = inputs.get("userPoolAddOns")
        protects = isinstance(add_ons, dict) and add_ons.get("advancedSecurityMode") in ("AUDIT", "ENFORCED")
        if protects and inputs.get("userPoolTier", "ESSENTIALS") in ("LITE", "ESSENTIALS"):
            yield "userPoolAddOns", "threat protection needs the userPoolTier PLUS"

    def same(self, name: str, old: Any, new: Any) -> bool:
        """Attributes are compared as Cognito completes them: the API lists all, the program only those it needs."""
        if name == "schemas":
            return self._attributes(old) == self._attributes(new)
        # Cognito's own default.
        return name == "emailConfiguration" and not new and old == {"emailSendingAccount": "COGNITO_DEFAULT"}

    def _attributes(self, schemas: Any) -> set[str]:
        # Keys are sorted at every depth: the engine does not keep the order of properties.
        return {json.dumps(self._attribute(schema), sort_keys=True) for schema in schemas or ()}

    def _attribute(self, schema: Values) -> Values:
        """An attribute in a request, with its defaults and without empty limits."""
        defaults = {name: declared.default for name, declared in _ATTRIBUTE.items() if declared.default is not None}
        limits = {
            name: {end: str(value) for end, value in given.items() if value not in (None, "")}
            for name, given in schema.items()
            if name.endswith("Constraints") and given
        }
        rest = {name: value for name, value in schema.items() if not name.endswith("Constraints")}
        return self._object_to_api(_ATTRIBUTE, defaults | rest | limits)

    def creation(self, inputs: Values) -> Values:
        schema = [self._attribute(attribute) for attribute in inputs.get("schemas") or []]
        made = super().creation({key: value for key, value in inputs.items() if key != "schemas"})
        return _request(made) | {"Schema": schema or None}

    def change(self, call: Call, scope: Values, inputs: Values) -> None:
        if call.operation == "set_user_pool_mfa_config":
            super().change(call, scope, inputs)
            return
        self._add_attributes(scope, inputs)
        names = [name for name in self.updatable() if name not in ("schemas", *self.born)]
        self.call(call.operation, UserPoolId=scope["id"], **_request(self.arguments(inputs, names)))

    def _add_attributes(self, scope: Values, inputs: Values) -> None:
        old, new = self._attributes(scope.get("schemas")), self._attributes(inputs.get("schemas"))
        if old == new:
            return
        if not old <= new:
            raise RefusedError("cannot modify or remove schema items")  # as the official provider says it
        known = {schema["name"] for schema in scope.get("schemas") or []}
        added = [self._attribute(schema) for schema in inputs["schemas"] if schema["name"] not in known]
        self.call("add_custom_attributes", UserPoolId=scope["id"], CustomAttributes=added)

    def describe(self, scope: Values, found: Values) -> Values:
        mfa = self.call("get_user_pool_mfa_config", UserPoolId=scope["id"])
        found = {**found, **{key: mfa.get(key) for key in ("MfaConfiguration", "SoftwareTokenMfaConfiguration")}}
        declared = [schema["name"] for schema in scope.get("schemas") or ()]
        attributes = []  # declared by the program, and custom attributes that somebody else added
        for attribute in found["SchemaAttributes"]:
            name = attribute["Name"].removeprefix("dev:").removeprefix("custom:")
            if attribute["Name"].startswith(CUSTOM) or name in declared:
                attributes.append({**attribute, "Name": name})
        order = {name: index for index, name in enumerate(declared)}
        attributes.sort(key=lambda attribute: order.get(attribute["Name"], len(order)))
        state = super().describe(scope, {**found, "SchemaAttributes": attributes})
        endpoint = f"cognito-idp.{self.aws.region}.amazonaws.com/{scope['id']}"
        return state | {"endpoint": endpoint, "domain": state["domain"] or ""}


def _request(parameters: Values) -> Values:
    """The parameters with the password policy where the API has it."""
    policy = parameters.pop("PasswordPolicy", None)
    return parameters | {"Policies": {"PasswordPolicy": policy} if policy else None}


def _attribute_mistakes(schemas: Any) -> Iterable[tuple[str, str]]:
    """Names of attributes that Cognito refuses."""
    for index, schema in enumerate(schemas if isinstance(schemas, list) else []):
        name = schema.get("name") if isinstance(schema, dict) else None
        if not isinstance(name, str):
            continue
        if name.startswith(CUSTOM):
            yield f"schemas[{index}].name", f"{name}: leave out the prefix, Cognito adds it"
        elif not 1 <= len(name) <= 20:
            yield f"schemas[{index}].name", f"expected length of {name} to be in the range (1 - 20)"


class UserPoolDomain(_Cognito):
    """The address of the sign-in pages: a prefix of Cognito's own domain."""

    token = "aws:cognito/userPoolDomain:UserPoolDomain"  # noqa: S105 - a type's name
    properties = {
        "domain": Field(required=True, replaces=True),
        "managedLoginVersion": Field(int, computed=True, replaces=True),
        "userPoolId": Field(required=True, replaces=True),
        **REGION,
    }
    outputs = {
        "awsAccountId": "",
        "cloudfrontDistribution": "CloudFrontDistribution",
        "cloudfrontDistributionArn": "CloudFrontDistribution",
        "cloudfrontDistributionZoneId": "",
    }
    identity = "{domain}"
    key = {"Domain": "{id}", "UserPoolId": "{userPoolId}"}
    creates = Call("create_user_pool_domain")
    reads = Call("describe_user_pool_domain", {"Domain": "{id}"}, answer="DomainDescription")
    deletes = Call("delete_user_pool_domain")

    def find(self, scope: Values) -> Values | None:
        found = super().find(scope)
        return found if found and found.get("UserPoolId") else None

    def describe(self, scope: Values, found: Values) -> Values:
        state = super().describe(scope, {"ManagedLoginVersion": 1, **found})
        # The zone of all CloudFront distributions.
        return state | {"awsAccountId": self.aws.account, "cloudfrontDistributionZoneId": "Z2FDTNDATAQYW2"}


class ResourceServer(_Cognito):
    """An API, and the scopes that its clients ask for."""

    token = "aws:cognito/resourceServer:ResourceServer"  # noqa: S105 - a type's name
    properties = {
        "identifier": Field(required=True, replaces=True),
        "name": Field(),
        "scopes": Field(
            list,
            unordered=True,
            of={"scopeDescription": Field(required=True), "scopeName": Field(required=True)},
        ),
        "userPoolId": Field(required=True, replaces=True),
        **REGION,
    }
    outputs = {"scopeIdentifiers": ""}
    moving = {"scopeIdentifiers": ("scopes",)}
    longest_name = 256
    identity = "{userPoolId}|{identifier}"
    key = {"UserPoolId": "{userPoolId}", "Identifier": "{identifier}"}
    creates = Call("create_resource_server")
    reads = Call("describe_resource_server", answer="ResourceServer")
    updates = (Call("update_resource_server"),)
    deletes = Call("delete_resource_server")

    def creation(self, inputs: Values) -> Values:
        return {"Scopes": [], **{key: value for key, value in super().creation(inputs).items() if value is not None}}

    def change(self, call: Call, scope: Values, inputs: Values) -> None:
        super().change(call, scope, {"scopes": [], **inputs})

    def describe(self, scope: Values, found: Values) -> Values:
        state = super().describe(scope, found)
        return state | {
            "scopeIdentifiers": [f"{state['identifier']}/{scope['scopeName']}" for scope in state["scopes"]]
        }


class UserPoolClient(_Cognito):
    """An application that people sign in to."""

    token = "aws:cognito/userPoolClient:UserPoolClient"  # noqa: S105 - a type's name
    properties = {
        "accessTokenValidity": Field(int, computed=True),
        "allowedOauthFlows": Field(list, of=str, unordered=True, computed=True, api="AllowedOAuthFlows"),
        "allowedOauthFlowsUserPoolClient": Field(bool, computed=True, api="AllowedOAuthFlowsUserPoolClient"),
        "allowedOauthScopes": Field(list, of=str, unordered=True, computed=True, api="AllowedOAuthScopes"),
        "authSessionValidity": Field(int, computed=True),
        "callbackUrls": Field(list, of=str, unordered=True, computed=True, api="CallbackURLs"),
        "defaultRedirectUri": Field(computed=True, api="DefaultRedirectURI"),
        "enablePropagateAdditionalUserContextData": Field(bool, computed=True),
        "enableTokenRevocation": Field(bool, computed=True),
        "explicitAuthFlows": _SET,
        "generateSecret": Field(bool, replaces=True, api=None),
        "idTokenValidity": Field(int, computed=True),
        "logoutUrls": Field(list, of=str, unordered=True, computed=True, api="LogoutURLs"),
        "name": Field(api="ClientName"),
        "preventUserExistenceErrors": Field(computed=True, choices=("LEGACY", "ENABLED")),
        "readAttributes": _SET,
        "refreshTokenRotation": Field(
            dict,
            of={
                "feature": Field(required=True, choices=("ENABLED", "DISABLED")),
                "retryGracePeriodSeconds": Field(int),
            },
        ),
        "refreshTokenValidity": Field(int, computed=True),
        "supportedIdentityProviders": _SET,
        "tokenValidityUnits": Field(dict, of={"accessToken": Field(), "idToken": Field(), "refreshToken": Field()}),
        "userPoolId": Field(required=True, replaces=True),
        "writeAttributes": _SET,
        **REGION,
    }
    outputs = {"clientSecret": ""}
    secret_outputs = ("clientSecret",)
    longest_name = 128
    imported = "{userPoolId}/{id}"
    key = {"UserPoolId": "{userPoolId}", "ClientId": "{id}"}
    creates = Call("create_user_pool_client", {"GenerateSecret": "{generateSecret}"}, answer="UserPoolClient.ClientId")
    reads = Call("describe_user_pool_client", answer="UserPoolClient")
    updates = (Call("update_user_pool_client"),)
    deletes = Call("delete_user_pool_client")

    def check(self, name: str, inputs: Values, seed: bytes) -> Iterable[tuple[str, str]]:
        yield from super().check(name, inputs, seed)
        flows, scopes = inputs.get("allowedOauthFlows"), inputs.get("allowedOauthScopes")
        if isinstance(flows, list) and "code" in flows and inputs.get("callbackUrls") == []:
            yield "callbackUrls", "the flow code needs at least one"
        if inputs.get("allowedOauthFlowsUserPoolClient") is True and not (flows and scopes):
            yield "allowedOauthFlows", "allowedOauthFlowsUserPoolClient needs allowedOauthFlows and allowedOauthScopes"

    def require(self, operation: str, inputs: Values) -> None:
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
                    raise self.refusal(operation, "InvalidParameterException", reason)

    def change(self, call: Call, scope: Values, inputs: Values) -> None:
        # The request names everything: what it leaves out, Cognito puts back to its default.
        kept = {name: scope.get(name) for name, declared in self.properties.items() if declared.computed}
        super().change(call, scope, kept | inputs)

    def describe(self, scope: Values, found: Values) -> Values:
        state = super().describe(scope, found)
        made = scope.get("generateSecret", bool(found.get("ClientSecret")))
        return state | {"clientSecret": state["clientSecret"] or "", "generateSecret": made}


class UserGroup(_Cognito):
    """A group of a pool's users, which their tokens name."""

    token = "aws:cognito/userGroup:UserGroup"  # noqa: S105 - a type's name
    properties = {
        "description": Field(),
        "name": Field(replaces=True, api="GroupName"),
        "precedence": Field(int),
        "roleArn": Field(),
        "userPoolId": Field(required=True, replaces=True),
        **REGION,
    }
    longest_name = 128
    identity = "{userPoolId}/{name}"
    key = {"UserPoolId": "{userPoolId}", "GroupName": "{name}"}
    creates = Call("create_group")
    reads = Call("get_group", answer="Group")
    updates = (Call("update_group"),)
    deletes = Call("delete_group")


KINDS = (UserPool, UserPoolDomain, ResourceServer, UserPoolClient, UserGroup)
