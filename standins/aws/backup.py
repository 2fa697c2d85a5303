"""AWS Backup of the AWS stand-in: vaults, their locks, plans and selections."""

from __future__ import annotations

from typing import Any

from standins.aws.engine import REGION, TAGS, AwsKind, Call, Field, Tagging
from standins.provider import Values


class _Backup(AwsKind):
    service = "backup"
    missing = ("ResourceNotFoundException",)


class Vault(_Backup):
    """A vault. One with recovery points is only deleted with `forceDestroy`."""

    token = "aws:backup/vault:Vault"  # noqa: S105 - a type's name
    properties = {
        "forceDestroy": Field(bool, default=False, api=None),
        "kmsKeyArn": Field(computed=True, replaces=True, api="EncryptionKeyArn"),
        "name": Field(replaces=True, api="BackupVaultName"),
        **TAGS,
        **REGION,
    }
    outputs = {"arn": "BackupVaultArn"}
    longest_name = 50
    identity = "{name}"
    key = {"BackupVaultName": "{id}"}
    creates = Call("create_backup_vault")
    reads = Call("describe_backup_vault")
    deletes = Call("delete_backup_vault")
    tagging = Tagging(by={"ResourceArn": "{arn}"}, pairs=None, keys="TagKeyList", listed="list_tags")

    def initial_tags(self, inputs: Values) -> Values:
        return {"BackupVaultTags": inputs["tagsAll"]} if inputs.get("tagsAll") else {}

    def require(self, operation: str, inputs: Values) -> None:
        if operation == "CreateBackupVault" and inputs.get("kmsKeyArn"):
            self.aws.call("kms", "describe_key", KeyId=inputs["kmsKeyArn"])

    def refuse_delete(self, identifier: str, state: Values, found: Values) -> None:
        if state.get("forceDestroy"):
            vault = {"BackupVaultName": identifier}
            for point in self.aws.list("backup", "list_recovery_points_by_backup_vault", "RecoveryPoints", **vault):
                self.call("delete_recovery_point", **vault, RecoveryPointArn=point["RecoveryPointArn"])


class VaultLock(_Backup):
    """The lock of a vault: in governance mode, or in compliance mode with `changeableForDays`."""

    token = "aws:backup/vaultLockConfiguration:VaultLockConfiguration"  # noqa: S105 - a type's name
    properties = {
        "backupVaultName": Field(required=True, replaces=True),
        "changeableForDays": Field(int, replaces=True, api=None),
        "maxRetentionDays": Field(int, replaces=True),
        "minRetentionDays": Field(int, replaces=True),
        **REGION,
    }
    outputs = {"backupVaultArn": ""}
    identity = "{backupVaultName}"
    key = {"BackupVaultName": "{id}"}
    creates = Call("put_backup_vault_lock_configuration", {"ChangeableForDays": "{changeableForDays}"})
    deletes = Call("delete_backup_vault_lock_configuration")

    def find(self, scope: Values) -> Values | None:
        vault = self.aws.find("backup", "describe_backup_vault", self.missing, BackupVaultName=scope["backupVaultName"])
        return vault if vault and vault.get("Locked") else None


class Plan(_Backup):
    """A plan: when backups are made, to which vault, for how long."""

    token = "aws:backup/plan:Plan"  # noqa: S105 - a type's name
    properties = {
        "name": Field(replaces=True, at="BackupPlan.BackupPlanName", api=None),
        "rules": Field(
            list,
            required=True,
            unordered=True,
            api=None,
            of={
                "lifecycle": Field(dict, of={"deleteAfter": Field(int), "coldStorageAfter": Field(int)}),
                "ruleName": Field(required=True),
                "schedule": Field(),
                "targetVaultName": Field(required=True),
            },
        ),
        **TAGS,
        **REGION,
    }
    outputs = {"arn": "BackupPlanArn", "version": "VersionId"}
    longest_name = 50
    moving = {"version": ("rules",)}
    key = {"BackupPlanId": "{id}"}
    creates = Call("create_backup_plan", answer="BackupPlanId")
    reads = Call("get_backup_plan")
    updates = (Call("update_backup_plan", when=("rules",)),)
    deletes = Call("delete_backup_plan")
    tagging = Tagging(by={"ResourceArn": "{arn}"}, pairs=None, keys="TagKeyList", listed="list_tags")

    def _document(self, inputs: Values) -> Values:
        rules = [
            {
                "RuleName": rule["ruleName"],
                "TargetBackupVaultName": rule["targetVaultName"],
                "ScheduleExpression": rule.get("schedule"),
                "Lifecycle": {
                    "DeleteAfterDays": (rule.get("lifecycle") or {}).get("deleteAfter"),
                    "MoveToColdStorageAfterDays": (rule.get("lifecycle") or {}).get("coldStorageAfter"),
                },
            }
            for rule in inputs["rules"]
        ]
        return {"BackupPlan": {"BackupPlanName": inputs["name"], "Rules": rules}}

    def creation(self, inputs: Values) -> Values:
        return self._document(inputs) | ({"BackupPlanTags": inputs["tagsAll"]} if inputs.get("tagsAll") else {})

    def change(self, call: Call, scope: Values, inputs: Values) -> None:
        self.call(call.operation, BackupPlanId=scope["id"], **self._document(inputs))

    def find(self, scope: Values) -> Values | None:
        found = super().find(scope)
        return None if found is None or found.get("DeletionDate") else found

    def describe(self, scope: Values, found: Values) -> Values:
        return super().describe(scope, found) | {
            "name": found["BackupPlan"]["BackupPlanName"],
            "rules": [_rule(rule) for rule in found["BackupPlan"]["Rules"]],
        }


def _rule(rule: Values) -> Values:
    lifecycle: Any = {
        "deleteAfter": rule.get("Lifecycle", {}).get("DeleteAfterDays"),
        "coldStorageAfter": rule.get("Lifecycle", {}).get("MoveToColdStorageAfterDays"),
    }
    known = {
        "lifecycle": {key: value for key, value in lifecycle.items() if value is not None},
        "ruleName": rule["RuleName"],
        "schedule": rule.get("ScheduleExpression"),
        "targetVaultName": rule["TargetBackupVaultName"],
    }
    return {key: value for key, value in known.items() if value}


_PAIRS = Field(list, unordered=True, of={"key": Field(required=True), "value": Field(required=True)})
_KINDS = ("stringEquals", "stringLikes", "stringNotEquals", "stringNotLikes")


class Selection(_Backup):
    """What a plan backs up: resources whose tags meet all conditions. Nothing of it can be changed."""

    token = "aws:backup/selection:Selection"  # noqa: S105 - a type's name
    properties = {
        "conditions": Field(list, replaces=True, api=None, of=dict.fromkeys(_KINDS, _PAIRS)),
        "iamRoleArn": Field(required=True, replaces=True),
        "name": Field(replaces=True, api=None),
        "planId": Field(required=True, replaces=True, api=None),
        "resources": Field(list, of=str, unordered=True, computed=True, replaces=True),
        **REGION,
    }
    outputs: Any = {}
    longest_name = 50
    imported = "{planId}|{id}"
    key = {"BackupPlanId": "{planId}", "SelectionId": "{id}"}
    creates = Call("create_backup_selection", answer="SelectionId")
    reads = Call("get_backup_selection", answer="BackupSelection")
    deletes = Call("delete_backup_selection")

    def creation(self, inputs: Values) -> Values:
        selection: Values = {
            "SelectionName": inputs["name"],
            "IamRoleArn": inputs["iamRoleArn"],
            "Resources": inputs.get("resources"),
        }
        for block in inputs.get("conditions") or []:
            selection["Conditions"] = {
                _api_name(kind): [{"ConditionKey": pair["key"], "ConditionValue": pair["value"]} for pair in pairs]
                for kind, pairs in block.items()
            }
        return {"BackupPlanId": inputs["planId"], "BackupSelection": selection}

    def describe(self, scope: Values, found: Values) -> Values:
        conditions = {
            kind: [{"key": pair["ConditionKey"], "value": pair["ConditionValue"]} for pair in pairs]
            for kind in _KINDS
            if (pairs := (found.get("Conditions") or {}).get(_api_name(kind)))
        }
        return super().describe(scope, found) | {
            "conditions": [conditions] if conditions else [],
            "name": found["SelectionName"],
            "planId": scope["planId"],
        }


def _api_name(kind: str) -> str:
    return {"stringLikes": "StringLike", "stringNotLikes": "StringNotLike"}.get(kind, kind[0].upper() + kind[1:])


KINDS = (Vault, VaultLock, Plan, Selection)
