"""KMS of the AWS stand-in: keys and aliases."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from standins.aws.engine import REGION, TAGS, AwsKind, Call, Field, Tagging
from standins.aws.policies import check_principals
from standins.provider import Values


class Key(AwsKind):
    """A key. `delete` schedules its deletion; until then it can be restored."""

    token = "aws:kms/key:Key"  # noqa: S105 - a type's name
    service = "kms"
    properties = {
        "description": Field(computed=True),
        "keyUsage": Field(default="ENCRYPT_DECRYPT", replaces=True),
        "customerMasterKeySpec": Field(default="SYMMETRIC_DEFAULT", replaces=True, api="KeySpec"),
        "policy": Field(computed=True, document=True),
        "bypassPolicyLockoutSafetyCheck": Field(bool, default=False, api=None),
        "deletionWindowInDays": Field(int, api=None),
        "isEnabled": Field(bool, default=True, at="Enabled"),
        "enableKeyRotation": Field(bool, default=False, at="KeyRotationEnabled"),
        "rotationPeriodInDays": Field(int, computed=True),
        "multiRegion": Field(bool, computed=True, replaces=True),
        **TAGS,
        **REGION,
    }
    outputs = {"arn": "", "keyId": ""}
    key = {"KeyId": "{id}"}
    missing = ("NotFoundException",)
    born = {"isEnabled": True, "enableKeyRotation": False, "rotationPeriodInDays": None}
    creates = Call(
        "create_key",
        {"BypassPolicyLockoutSafetyCheck": "{bypassPolicyLockoutSafetyCheck}"},
        answer="KeyMetadata.KeyId",
    )
    reads = Call("describe_key", answer="KeyMetadata")
    updates = (
        Call("update_key_description", when=("description",)),
        Call("put_key_policy", {"PolicyName": "default"}, when=("policy",)),
        Call("set_rotation_and_state", when=("isEnabled", "enableKeyRotation", "rotationPeriodInDays")),
    )
    deletes = Call("schedule_key_deletion", {"PendingWindowInDays": "{deletionWindowInDays}"})
    tagging = Tagging(pairs=("TagKey", "TagValue"), listed="list_resource_tags")

    def check(self, name: str, inputs: Values, seed: bytes) -> Iterable[tuple[str, str]]:
        yield from super().check(name, inputs, seed)
        days = inputs.get("deletionWindowInDays")
        if isinstance(days, int) and not 7 <= days <= 30:
            yield "deletionWindowInDays", f"expected deletionWindowInDays to be in the range (7 - 30), got {days}"

    def require(self, operation: str, inputs: Values) -> None:
        """Refuse a policy that would lock the account out of its own key."""
        policy = inputs.get("policy")
        if not policy or operation not in ("CreateKey", "PutKeyPolicy"):
            return
        check_principals(self.aws, f"kms.{operation}", policy)
        if not inputs["bypassPolicyLockoutSafetyCheck"] and not self._administrable(policy):
            message = "The new key policy will not allow you to update the key policy in the future."
            raise self.refusal(operation, "MalformedPolicyDocumentException", message)

    def _administrable(self, policy: str) -> bool:
        """Whether a policy lets the account, or the caller, change it."""
        root = f"arn:{self.aws.partition}:iam::{self.aws.account}:root"
        ours = {root, self.aws.account, self.aws.identity["Arn"], "*"}
        return _allows(policy, "AWS", ours, {"kms:*", "kms:Put*", "kms:PutKeyPolicy", "*"})

    def change(self, call: Call, scope: Values, inputs: Values) -> None:
        if call.operation != "set_rotation_and_state":
            super().change(call, scope, inputs)
            return
        key = {"KeyId": scope["id"]}  # three operations, in an order in which each finds the key enabled
        if not scope.get("isEnabled", True):
            self.call("enable_key", **key)
        if inputs["enableKeyRotation"]:
            self.call("enable_key_rotation", **key, RotationPeriodInDays=inputs.get("rotationPeriodInDays"))
        else:
            self.call("disable_key_rotation", **key)
        if not inputs["isEnabled"]:
            self.call("disable_key", **key)

    def find(self, scope: Values) -> Values | None:
        found = super().find(scope)
        return None if found is None or found["KeyState"] == "PendingDeletion" else found

    def describe(self, scope: Values, found: Values) -> Values:
        where = {"KeyId": scope["id"]}
        policy = self.call("get_key_policy", **where, PolicyName="default")["Policy"]
        rotation = self.call("get_key_rotation_status", **where)
        state = super().describe(scope, {**found, **rotation, "Policy": policy})
        days = state["rotationPeriodInDays"] or scope.get("rotationPeriodInDays") or 365
        return state | {
            "multiRegion": bool(state["multiRegion"]),
            "rotationPeriodInDays": days if state["enableKeyRotation"] else None,
        }


class Alias(AwsKind):
    """A key's name, which can be given to another key."""

    token = "aws:kms/alias:Alias"  # noqa: S105 - a type's name
    service = "kms"
    properties = {
        "name": Field(computed=True, replaces=True, api="AliasName"),
        "targetKeyId": Field(required=True),
        **REGION,
    }
    outputs = {"arn": "AliasArn", "targetKeyArn": ""}
    moving = {"targetKeyArn": ()}
    longest_name = 256
    name_prefix = "alias/"
    identity = "{name}"
    key = {"AliasName": "{id}"}
    missing = ("NotFoundException",)
    creates = Call("create_alias")
    updates = (Call("update_alias", when=("targetKeyId",)),)
    deletes = Call("delete_alias")

    def check(self, name: str, inputs: Values, seed: bytes) -> Iterable[tuple[str, str]]:
        yield from super().check(name, inputs, seed)
        given = inputs["name"]
        if isinstance(given, str) and (not given.startswith("alias/") or given.startswith("alias/aws/")):
            yield "name", "must begin with 'alias/' and be comprised of only [0-9A-Za-z_/-]; alias/aws/ is AWS' own"

    def same(self, name: str, old: Any, new: Any) -> bool:
        # An ARN names the same key as its id.
        return name == "targetKeyId" and str(old).rpartition("/")[2] == str(new).rpartition("/")[2]

    def require(self, operation: str, inputs: Values) -> None:
        found = self.call("describe_key", KeyId=inputs["targetKeyId"])["KeyMetadata"]
        if found["KeyState"] == "PendingDeletion":
            raise self.refusal(operation, "KMSInvalidStateException", f"{found['Arn']} is pending deletion.")

    def find(self, scope: Values) -> Values | None:
        aliases = self.aws.list("kms", "list_aliases", "Aliases")
        return next((alias for alias in aliases if alias["AliasName"] == scope["id"]), None)

    def describe(self, scope: Values, found: Values) -> Values:
        key = found["TargetKeyId"]
        known = scope.get("targetKeyId", key)
        return super().describe(scope, found) | {
            "targetKeyId": known if self.same("targetKeyId", key, known) else key,
            "targetKeyArn": self.aws.arn("kms", f"key/{key}"),
        }


def _allows(policy: str, kind: str, principals: set[str], actions: set[str]) -> bool:
    """Whether a statement allows one of the actions to one of the principals."""
    written = json.loads(policy).get("Statement", [])
    return any(
        statement.get("Effect") == "Allow"
        and principals & set(_texts(statement.get("Principal"), kind))
        and actions & set(_texts(statement.get("Action")))
        for statement in (written if isinstance(written, list) else [written])
    )


def _texts(value: Any, member: str = "") -> list[str]:
    """The strings in an element of a statement, which is a string, a list, or a mapping with them below `member`."""
    if isinstance(value, dict):
        value = value.get(member, [])
    return [value] if isinstance(value, str) else list(value or [])


def allows_service(policy: str, service: str, action: str = "kms:Encrypt") -> bool:
    """Whether a key's policy lets a service's principal, such as logs.eu-west-1.amazonaws.com, encrypt with it."""
    return _allows(policy, "Service", {service}, {"*", "kms:*", f"{action.rstrip('*')}*", action.rstrip("*")})


KINDS = (Key, Alias)
