"""AWS stand-in: Cognito user pools."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from standins.aws.cognito_attributes import SCHEMA, described_schemas, schema_mistakes, schema_request
from standins.aws.kind import REGION, TAGS, AwsKind, autoname
from standins.aws.tagging import update_tags
from standins.provider import Property, RefusedError, Values

MISSING = ("ResourceNotFoundException",)
_UNSUPPORTED = Property(unsupported=True)
_SIMPLE = {
    "aliasAttributes": "AliasAttributes",
    "autoVerifiedAttributes": "AutoVerifiedAttributes",
    "deletionProtection": "DeletionProtection",
    "userPoolTier": "UserPoolTier",
    "usernameAttributes": "UsernameAttributes",
}
"""Property -> field of the API, where the value is the same."""


class UserPool(AwsKind):
    """A user pool. How people sign in and which attributes they have can't be changed; attributes can be added."""

    token = "aws:cognito/userPool:UserPool"  # noqa: S105 - a type's name
    properties = {
        "accountRecoverySetting": Property(
            dict,
            computed=True,
            of={
                "recoveryMechanisms": Property(
                    list, unordered=True, of={"name": Property(required=True), "priority": Property(int, required=True)}
                )
            },
        ),
        "adminCreateUserConfig": Property(
            dict,
            computed=True,
            of={
                "allowAdminCreateUserOnly": Property(bool),
                "inviteMessageTemplate": Property(
                    dict,
                    computed=True,
                    of={"emailMessage": Property(), "emailSubject": Property(), "smsMessage": Property()},
                ),
            },
        ),
        "aliasAttributes": Property(list, of=str, unordered=True, replaces=True),
        "autoVerifiedAttributes": Property(list, of=str, unordered=True),
        "deletionProtection": Property(default="INACTIVE", choices=("ACTIVE", "INACTIVE")),
        "deviceConfiguration": _UNSUPPORTED,
        "emailConfiguration": Property(
            dict,
            of={
                "configurationSet": Property(),
                "emailSendingAccount": Property(default="COGNITO_DEFAULT", choices=("COGNITO_DEFAULT", "DEVELOPER")),
                "fromEmailAddress": Property(),
                "replyToEmailAddress": Property(),
                "sourceArn": Property(),
            },
        ),
        "emailMfaConfiguration": _UNSUPPORTED,
        "emailVerificationMessage": _UNSUPPORTED,
        "emailVerificationSubject": _UNSUPPORTED,
        "lambdaConfig": _UNSUPPORTED,
        "mfaConfiguration": Property(default="OFF", choices=("ON", "OFF", "OPTIONAL")),
        "name": Property(replaces=True),
        "passwordPolicy": Property(
            dict,
            computed=True,
            of={
                "minimumLength": Property(int, computed=True),
                "passwordHistorySize": Property(int, computed=True),
                "requireLowercase": Property(bool),
                "requireNumbers": Property(bool),
                "requireSymbols": Property(bool),
                "requireUppercase": Property(bool),
                "temporaryPasswordValidityDays": Property(int, default=7),
            },
        ),
        "schemas": Property(list, unordered=True, of=SCHEMA),
        "signInPolicy": Property(dict, computed=True, unsupported=True),
        "smsAuthenticationMessage": _UNSUPPORTED,
        "smsConfiguration": _UNSUPPORTED,
        "smsVerificationMessage": _UNSUPPORTED,
        "softwareTokenMfaConfiguration": Property(dict, of={"enabled": Property(bool, required=True)}),
        "userAttributeUpdateSettings": Property(
            dict,
            of={"attributesRequireVerificationBeforeUpdates": Property(list, of=str, unordered=True, required=True)},
        ),
        "userPoolAddOns": Property(
            dict,
            of={
                "advancedSecurityAdditionalFlows": _UNSUPPORTED,
                "advancedSecurityMode": Property(required=True, choices=("AUDIT", "ENFORCED", "OFF")),
            },
        ),
        "userPoolTier": Property(computed=True, choices=("LITE", "ESSENTIALS", "PLUS")),
        "usernameAttributes": Property(list, of=str, unordered=True, replaces=True),
        "usernameConfiguration": Property(dict, replaces=True, of={"caseSensitive": Property(bool)}),
        "verificationMessageTemplate": _UNSUPPORTED,
        "webAuthnConfiguration": _UNSUPPORTED,
        **TAGS,
        **REGION,
    }
    outputs = ("arn", "creationDate", "domain", "endpoint", "estimatedNumberOfUsers", "lastModifiedDate")

    def check(self, name: str, inputs: Values, seed: bytes) -> Iterable[tuple[str, str]]:
        autoname(inputs, name, seed, most=128)
        yield from super().check(name, inputs, seed)
        yield from schema_mistakes(inputs.get("schemas"))
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
        """Attributes are compared as Cognito completes them: the API tells all, the program only what it needs."""
        if name == "schemas":
            return _schema_set(old) == _schema_set(new)
        # What Cognito has where nobody said anything.
        return name == "emailConfiguration" and not new and old == {"emailSendingAccount": "COGNITO_DEFAULT"}

    def create(self, inputs: Values) -> tuple[str, Values]:
        pool = self.aws.call(
            "cognito-idp",
            "create_user_pool",
            PoolName=inputs["name"],
            Schema=[schema_request(one) for one in inputs.get("schemas") or []] or None,
            UsernameConfiguration=_username(inputs),
            **{_SIMPLE[key]: inputs.get(key) for key in ("aliasAttributes", "usernameAttributes")},
            **_settings(inputs),
            UserPoolTags=inputs["tagsAll"],
        )["UserPool"]
        self._set_mfa(pool["Id"], inputs)
        return self.made(pool["Id"], inputs)

    def _set_mfa(self, pool: str, inputs: Values) -> None:
        token = inputs.get("softwareTokenMfaConfiguration")
        self.aws.call(
            "cognito-idp",
            "set_user_pool_mfa_config",
            UserPoolId=pool,
            MfaConfiguration=inputs["mfaConfiguration"],
            SoftwareTokenMfaConfiguration={"Enabled": token["enabled"]} if token else None,
        )

    def read(self, identifier: str, state: Values) -> tuple[str, Values] | None:
        answer = self.aws.find("cognito-idp", "describe_user_pool", MISSING, UserPoolId=identifier)
        if answer is None:
            return None
        pool = answer["UserPool"]
        mfa = self.aws.call("cognito-idp", "get_user_pool_mfa_config", UserPoolId=identifier)
        token = mfa.get("SoftwareTokenMfaConfiguration")
        add_ons, case = pool.get("UserPoolAddOns"), pool.get("UsernameConfiguration")
        updates = pool.get("UserAttributeUpdateSettings") or {}
        verified = updates.get("AttributesRequireVerificationBeforeUpdate")
        tags = pool.get("UserPoolTags") or {}
        return identifier, {
            **{key: pool.get(field) for key, field in _SIMPLE.items()},
            "accountRecoverySetting": _recovery(pool.get("AccountRecoverySetting")),
            "adminCreateUserConfig": _admin(pool["AdminCreateUserConfig"]),
            "arn": pool["Arn"],
            "creationDate": pool["CreationDate"].strftime("%Y-%m-%dT%H:%M:%SZ"),
            "domain": pool.get("Domain", ""),
            "emailConfiguration": _lower(pool.get("EmailConfiguration")),
            "endpoint": f"cognito-idp.{self.aws.region}.amazonaws.com/{identifier}",
            "estimatedNumberOfUsers": pool.get("EstimatedNumberOfUsers", 0),
            "lastModifiedDate": pool["LastModifiedDate"].strftime("%Y-%m-%dT%H:%M:%SZ"),
            "mfaConfiguration": mfa["MfaConfiguration"],
            "name": pool["Name"],
            "passwordPolicy": _lower(pool["Policies"]["PasswordPolicy"]),
            "region": self.aws.region,
            "schemas": described_schemas(pool["SchemaAttributes"], state.get("schemas")),
            "softwareTokenMfaConfiguration": {"enabled": token["Enabled"]} if token else None,
            "userAttributeUpdateSettings": {"attributesRequireVerificationBeforeUpdates": verified}
            if verified
            else None,
            "userPoolAddOns": {"advancedSecurityMode": add_ons["AdvancedSecurityMode"]} if add_ons else None,
            "usernameConfiguration": {"caseSensitive": case["CaseSensitive"]} if case else None,
            **self.tag_state(tags, state),
        }

    def changes_outputs(self, changed: set[str]) -> Iterable[str]:
        return ("lastModifiedDate",)

    def update(self, identifier: str, state: Values, inputs: Values) -> Values:
        self._add_attributes(identifier, state, inputs)
        # The request names everything: what it leaves out, Cognito puts back to its default.
        self.aws.call("cognito-idp", "update_user_pool", UserPoolId=identifier, **_settings(inputs))
        self._set_mfa(identifier, inputs)
        wanted = inputs["tagsAll"]
        update_tags(self.aws, "cognito-idp", state["arn"], state["tagsAll"], wanted, key="ResourceArn")
        return self.made(identifier, inputs)[1]

    def _add_attributes(self, pool: str, state: Values, inputs: Values) -> None:
        old, new = _schema_set(state.get("schemas")), _schema_set(inputs.get("schemas"))
        if old == new:
            return
        if not old <= new:
            raise RefusedError("cannot modify or remove schema items")  # as the official provider says it
        known = {one["name"] for one in state.get("schemas") or []}
        added = [schema_request(one) for one in inputs["schemas"] if one["name"] not in known]
        self.aws.call("cognito-idp", "add_custom_attributes", UserPoolId=pool, CustomAttributes=added)

    def delete(self, identifier: str, state: Values) -> None:
        self.aws.find("cognito-idp", "delete_user_pool", MISSING, UserPoolId=identifier)


def _schema_set(schemas: Any) -> set[str]:
    return {repr(sorted(schema_request(one).items(), key=lambda item: item[0])) for one in schemas or ()}


def _settings(inputs: Values) -> Values:
    """What both creating and updating a pool take."""
    recovery, admin = inputs.get("accountRecoverySetting"), inputs.get("adminCreateUserConfig")
    password, email = inputs.get("passwordPolicy"), inputs.get("emailConfiguration")
    updates, add_ons = inputs.get("userAttributeUpdateSettings"), inputs.get("userPoolAddOns")
    verified = (updates or {}).get("attributesRequireVerificationBeforeUpdates")
    return {
        "AccountRecoverySetting": _upper(recovery),
        "AdminCreateUserConfig": _upper(admin, smsMessage="SMSMessage"),
        "AutoVerifiedAttributes": inputs.get("autoVerifiedAttributes"),
        "DeletionProtection": inputs["deletionProtection"],
        "EmailConfiguration": _upper(email),
        "Policies": {"PasswordPolicy": _upper(password)} if password else None,
        "UserAttributeUpdateSettings": {"AttributesRequireVerificationBeforeUpdate": verified} if verified else None,
        "UserPoolAddOns": {"AdvancedSecurityMode": add_ons["advancedSecurityMode"]} if add_ons else None,
        "UserPoolTier": inputs.get("userPoolTier"),
    }


def _username(inputs: Values) -> Values | None:
    given = inputs.get("usernameConfiguration")
    return {"CaseSensitive": given.get("caseSensitive", False)} if given else None


def _recovery(given: Any) -> Values | None:
    return _lower(given) if given and given.get("RecoveryMechanisms") else None


def _admin(given: Values) -> Values:
    template = given.get("InviteMessageTemplate")
    told: Values = {"allowAdminCreateUserOnly": given.get("AllowAdminCreateUserOnly", False)}
    if template:
        told["inviteMessageTemplate"] = {
            "emailMessage": template.get("EmailMessage"),
            "emailSubject": template.get("EmailSubject"),
            "smsMessage": template.get("SMSMessage"),
        }
    return told


def _upper(item: Any, **special: str) -> Any:
    """An object as the API has it: its fields begin with a capital."""
    if isinstance(item, dict):
        return {special.get(key, key[0].upper() + key[1:]): _upper(value, **special) for key, value in item.items()}
    return [_upper(value, **special) for value in item] if isinstance(item, list) else item


def _lower(item: Any) -> Any:
    if isinstance(item, dict):
        return {key[0].lower() + key[1:]: _lower(value) for key, value in item.items()}
    return [_lower(value) for value in item] if isinstance(item, list) else item


KINDS = (UserPool,)
