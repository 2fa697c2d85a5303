"""AWS stand-in: keys of KMS and their aliases."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from standins.aws.documents import check_principals, is_json, kept_text, same_document
from standins.aws.kind import REGION, TAGS, AwsKind, autoname, changed, tag_changes
from standins.aws.session import AwsError
from standins.provider import Property, Values

_MISSING = ["NotFoundException"]


class Key(AwsKind):
    """A key. Deleting it schedules its deletion: until that day it can be brought back."""

    token = "aws:kms/key:Key"  # noqa: S105 - a type's name
    properties = {
        "description": Property(computed=True),
        "keyUsage": Property(default="ENCRYPT_DECRYPT", replaces=True),
        "customerMasterKeySpec": Property(default="SYMMETRIC_DEFAULT", replaces=True),
        "policy": Property(computed=True),
        "bypassPolicyLockoutSafetyCheck": Property(bool, default=False),
        "deletionWindowInDays": Property(int),
        "isEnabled": Property(bool, default=True),
        "enableKeyRotation": Property(bool, default=False),
        "rotationPeriodInDays": Property(int, computed=True),
        "multiRegion": Property(bool, computed=True, replaces=True),
        **TAGS,
        **REGION,
    }
    outputs = ("arn", "keyId", "region")

    def check(self, name: str, inputs: Values, seed: bytes) -> Iterable[tuple[str, str]]:
        yield from super().check(name, inputs, seed)
        if reason := is_json(inputs.get("policy")):
            yield "policy", reason
        days = inputs.get("deletionWindowInDays")
        if isinstance(days, int) and not 7 <= days <= 30:
            yield "deletionWindowInDays", f"expected deletionWindowInDays to be in the range (7 - 30), got {days}"

    def same(self, name: str, old: Any, new: Any) -> bool:
        return name == "policy" and same_document(old, new)

    def create(self, inputs: Values) -> tuple[str, Values]:
        self._require_policy("kms.CreateKey", inputs)
        made = self.aws.call(
            "kms",
            "create_key",
            Description=inputs.get("description"),
            KeyUsage=inputs["keyUsage"],
            KeySpec=inputs["customerMasterKeySpec"],
            Policy=inputs.get("policy"),
            BypassPolicyLockoutSafetyCheck=inputs["bypassPolicyLockoutSafetyCheck"],
            MultiRegion=inputs.get("multiRegion"),
            Tags=_tag_list(inputs["tagsAll"]) or None,
        )
        identifier = made["KeyMetadata"]["KeyId"]
        self._set(identifier, {"isEnabled": True, "enableKeyRotation": False}, inputs)
        return self.made(identifier, inputs)

    def _require_policy(self, operation: str, inputs: Values) -> None:
        """What KMS checks about a key's policy, so that nobody locks everybody out."""
        policy = inputs.get("policy")
        if not policy:
            return
        check_principals(self.aws, operation, policy)
        if not inputs["bypassPolicyLockoutSafetyCheck"] and not self._administrable(policy):
            message = "The new key policy will not allow you to update the key policy in the future."
            raise AwsError(operation, "MalformedPolicyDocumentException", message)

    def _administrable(self, policy: str) -> bool:
        """Whether a policy lets the account, or the caller, change it."""
        ours = {
            f"arn:{self.aws.partition}:iam::{self.aws.account}:root",
            self.aws.account,
            self.aws.identity["Arn"],
            "*",
        }
        return any(
            statement.get("Effect") == "Allow"
            and ours & set(_texts(statement.get("Principal"), "AWS"))
            and {"kms:*", "kms:Put*", "kms:PutKeyPolicy", "*"} & set(_texts(statement.get("Action")))
            for statement in statements(policy)
        )

    def _set(self, identifier: str, state: Values, inputs: Values) -> None:
        """What only calls of their own can set."""
        if changed(self, state, inputs, "isEnabled") and inputs["isEnabled"]:
            self.aws.call("kms", "enable_key", KeyId=identifier)
        if changed(self, state, inputs, "enableKeyRotation", "rotationPeriodInDays"):
            if inputs["enableKeyRotation"]:
                days = inputs.get("rotationPeriodInDays")
                self.aws.call("kms", "enable_key_rotation", KeyId=identifier, RotationPeriodInDays=days)
            elif state["enableKeyRotation"]:
                self.aws.call("kms", "disable_key_rotation", KeyId=identifier)
        if changed(self, state, inputs, "isEnabled") and not inputs["isEnabled"]:
            self.aws.call("kms", "disable_key", KeyId=identifier)

    def _find(self, identifier: str) -> Values | None:
        found = self.aws.find("kms", "describe_key", _MISSING, KeyId=identifier)
        if found is None or found["KeyMetadata"]["KeyState"] == "PendingDeletion":
            return None
        return found["KeyMetadata"]

    def read(self, identifier: str, state: Values) -> tuple[str, Values] | None:
        found = self._find(identifier)
        if found is None:
            return None
        call, where = self.aws.call, {"KeyId": identifier}
        rotation = call("kms", "get_key_rotation_status", **where)
        tags = self.aws.list("kms", "list_resource_tags", "Tags", **where)
        days = rotation.get("RotationPeriodInDays") or state.get("rotationPeriodInDays") or 365
        return identifier, {
            "description": found["Description"],
            "keyUsage": found.get("KeyUsage") or state.get("keyUsage", "ENCRYPT_DECRYPT"),
            "customerMasterKeySpec": found["KeySpec"],
            "policy": kept_text(
                call("kms", "get_key_policy", **where, PolicyName="default")["Policy"], state.get("policy")
            ),
            "bypassPolicyLockoutSafetyCheck": state.get("bypassPolicyLockoutSafetyCheck", False),
            "deletionWindowInDays": state.get("deletionWindowInDays"),
            "isEnabled": found["Enabled"],
            "enableKeyRotation": rotation["KeyRotationEnabled"],
            "rotationPeriodInDays": days if rotation["KeyRotationEnabled"] else None,
            "multiRegion": found.get("MultiRegion", False),
            "arn": found["Arn"],
            "keyId": found["KeyId"],
            "region": self.aws.region,
            **self.tag_state({tag["TagKey"]: tag["TagValue"] for tag in tags}, state),
        }

    def update(self, identifier: str, state: Values, inputs: Values) -> Values:
        if changed(self, state, inputs, "description"):
            self.aws.call("kms", "update_key_description", KeyId=identifier, Description=inputs["description"])
        if changed(self, state, inputs, "policy"):
            self._require_policy("kms.PutKeyPolicy", inputs)
            self.aws.call("kms", "put_key_policy", KeyId=identifier, PolicyName="default", Policy=inputs["policy"])
        self._set(identifier, state, inputs)
        gone, new = tag_changes(state["tagsAll"], inputs["tagsAll"])
        if gone:
            self.aws.call("kms", "untag_resource", KeyId=identifier, TagKeys=gone)
        if new:
            self.aws.call("kms", "tag_resource", KeyId=identifier, Tags=_tag_list(new))
        return self.made(identifier, inputs)[1]

    def delete(self, identifier: str, state: Values) -> None:
        if self._find(identifier):
            days = state.get("deletionWindowInDays")
            self.aws.call("kms", "schedule_key_deletion", KeyId=identifier, PendingWindowInDays=days)


def _tag_list(tags: dict[str, str]) -> list[dict[str, str]]:
    return [{"TagKey": key, "TagValue": value} for key, value in tags.items()]


def statements(policy: str) -> list[Values]:
    """A policy document's statements."""
    told = json.loads(policy).get("Statement", [])
    return told if isinstance(told, list) else [told]


def _texts(value: Any, member: str = "") -> list[str]:
    """What an element of a statement names: one text, several, or those below `member`."""
    if isinstance(value, dict):
        value = value.get(member, [])
    return [value] if isinstance(value, str) else list(value or [])


def allows_service(policy: str, service: str) -> bool:
    """Whether a key's policy lets a service's principal, such as logs.eu-west-1.amazonaws.com, encrypt with it."""
    encrypting = {"*", "kms:*", "kms:Encrypt*", "kms:Encrypt"}
    return any(
        statement.get("Effect") == "Allow"
        and service in _texts(statement.get("Principal"), "Service")
        and encrypting & set(_texts(statement.get("Action")))
        for statement in statements(policy)
    )


class Alias(AwsKind):
    """A key's name, which can be given to another key."""

    token = "aws:kms/alias:Alias"  # noqa: S105 - a type's name
    properties = {
        "name": Property(computed=True, replaces=True),
        "targetKeyId": Property(required=True),
        **REGION,
    }
    outputs = ("arn", "targetKeyArn", "region")

    def check(self, name: str, inputs: Values, seed: bytes) -> Iterable[tuple[str, str]]:
        autoname(inputs, name, seed, most=256, prefix="alias/")
        yield from super().check(name, inputs, seed)
        given = inputs["name"]
        if isinstance(given, str) and (not given.startswith("alias/") or given.startswith("alias/aws/")):
            yield "name", "must begin with 'alias/' and be comprised of only [0-9A-Za-z_/-]; alias/aws/ is AWS' own"

    def same(self, name: str, old: Any, new: Any) -> bool:
        # An ARN names the same key as its id.
        return name == "targetKeyId" and str(old).rpartition("/")[2] == str(new).rpartition("/")[2]

    def create(self, inputs: Values) -> tuple[str, Values]:
        self._require_usable("kms.CreateAlias", inputs["targetKeyId"])
        self.aws.call("kms", "create_alias", AliasName=inputs["name"], TargetKeyId=inputs["targetKeyId"])
        return self.made(inputs["name"], inputs)

    def _require_usable(self, operation: str, key: str) -> None:
        found = self.aws.call("kms", "describe_key", KeyId=key)["KeyMetadata"]
        if found["KeyState"] == "PendingDeletion":
            raise AwsError(operation, "KMSInvalidStateException", f"{found['Arn']} is pending deletion.")

    def read(self, identifier: str, state: Values) -> tuple[str, Values] | None:
        for alias in self.aws.list("kms", "list_aliases", "Aliases"):
            if alias["AliasName"] == identifier:
                key = alias["TargetKeyId"]
                told = state.get("targetKeyId", key)
                return identifier, {
                    "name": identifier,
                    "targetKeyId": told if self.same("targetKeyId", key, told) else key,
                    "targetKeyArn": self.aws.arn("kms", f"key/{key}"),
                    "arn": alias["AliasArn"],
                    "region": self.aws.region,
                }
        return None

    def update(self, identifier: str, state: Values, inputs: Values) -> Values:
        self._require_usable("kms.UpdateAlias", inputs["targetKeyId"])
        self.aws.call("kms", "update_alias", AliasName=identifier, TargetKeyId=inputs["targetKeyId"])
        return self.made(identifier, inputs)[1]

    def changes_outputs(self, changed: set[str]) -> Iterable[str]:
        return ("targetKeyArn",)

    def delete(self, identifier: str, state: Values) -> None:
        self.aws.find("kms", "delete_alias", _MISSING, AliasName=identifier)


KINDS = (Key, Alias)
