"""Additions to moto's AWS Backup: selections, changed plans, and jobs that copy EBS volumes and restore them.

`install` adds it to moto in this process before the server starts.
"""

from __future__ import annotations

import json
import uuid
from typing import Any
from urllib.parse import unquote

import moto.backup.urls
from moto.backup.exceptions import InvalidParameterValueException, InvalidRequestException, ResourceNotFoundException
from moto.backup.models import BackupBackend
from moto.backup.responses import BackupResponse
from moto.core.responses import ActionResult, EmptyResult
from moto.core.utils import utcnow
from moto.ec2.models import ec2_backends
from moto.iam.models import iam_backends

Values = dict[str, Any]
SERVICE = "backup.amazonaws.com"
POLICIES = {"backup": "AWSBackupServiceRolePolicyForBackup", "restore": "AWSBackupServiceRolePolicyForRestores"}

_delete_backup_vault = BackupBackend.delete_backup_vault
_delete_backup_plan = BackupBackend.delete_backup_plan


class Backend(BackupBackend):
    """The methods that are added, and those that take the places of moto's own."""

    def _part(self, name: str) -> dict[str, Values]:
        """Objects of a kind that moto's backend has no place for."""
        return self.__dict__.setdefault(f"_{name}", {})

    def _role(self, arn: str, purpose: str) -> None:
        role = next((role for role in iam_backends[self.account_id]["aws"].roles.values() if role.arn == arn), None)
        trusted = role is not None and SERVICE in json.dumps(json.loads(role.assume_role_policy_document))
        if role is None or not trusted:
            raise InvalidParameterValueException(msg=f"IAM Role {arn} is not found or cannot be assumed by AWS Backup")
        if not any(attached.endswith(f"/{POLICIES[purpose]}") for attached in role.managed_policies):
            raise InvalidRequestException(
                msg=f"IAM Role {arn} does not have sufficient permissions to execute the {purpose}"
            )

    def update_backup_plan(self, plan_id: str, document: Values) -> Any:
        plan = self.get_backup_plan(plan_id, None)
        plan.backup_plan = {**document, "Rules": [dict(rule) for rule in document["Rules"]]}
        plan.version_id = uuid.uuid4().hex
        return plan

    def create_backup_selection(self, plan_id: str, selection: Values) -> Values:
        self.get_backup_plan(plan_id, None)
        self._role(selection["IamRoleArn"], "backup")
        made = {"SelectionId": str(uuid.uuid4()), "BackupPlanId": plan_id, "CreationDate": utcnow()}
        self._part("selections")[made["SelectionId"]] = {**made, "BackupSelection": selection}
        return made

    def backup_selection(self, identifier: str) -> Values:
        if identifier not in self._part("selections"):
            raise ResourceNotFoundException(msg=f"Backup selection {identifier} does not exist")
        return self._part("selections")[identifier]

    def delete_backup_plan(self, backup_plan_id: str) -> Any:
        if any(each["BackupPlanId"] == backup_plan_id for each in self._part("selections").values()):
            raise InvalidRequestException(msg="Related backup plan selections must be deleted before the backup plan")
        deleted = _delete_backup_plan(self, backup_plan_id)
        # moto keeps it, and refuses another plan with the same document.
        del self.plans[backup_plan_id]
        return deleted

    def start_backup_job(self, given: Values) -> Values:
        vault = self.describe_backup_vault(given["BackupVaultName"])
        self._role(given["IamRoleArn"], "backup")
        token = given.get("IdempotencyToken")
        if token and token in self._part("tokens"):
            return self._part("tokens")[token]
        days = (given.get("Lifecycle") or {}).get("DeleteAfterDays")
        if vault.locked and vault.min_retention_days and (days or vault.min_retention_days) < vault.min_retention_days:
            raise InvalidRequestException(msg=f"Retention of {days} days is less than the vault's minimum retention")
        ec2: Any = ec2_backends[self.account_id][self.region_name]
        source = given["ResourceArn"].rpartition("/")[2]
        volume = ec2.volumes.get(source)
        if volume is None:
            raise ResourceNotFoundException(msg=f"{given['ResourceArn']} does not exist, or is no EBS volume")
        snapshot = ec2.create_snapshot(source, "Created by AWS Backup")
        arn = f"arn:aws:ec2:{self.region_name}::snapshot/{snapshot.id}"
        identifier, now = str(uuid.uuid4()), utcnow()
        self._part("points")[arn] = {
            "RecoveryPointArn": arn,
            "BackupVaultName": vault.backup_vault_name,
            "BackupVaultArn": vault.backup_vault_arn,
            "ResourceArn": given["ResourceArn"],
            "ResourceType": "EBS",
            "IamRoleArn": given["IamRoleArn"],
            "Status": "COMPLETED",
            "CreationDate": now,
            "EncryptionKeyArn": vault.encryption_key_arn,
            "IsEncrypted": True,
            "_size": volume.size,
            "_tags": {tag["key"]: tag["value"] for tag in volume.get_tags()},
        }
        made = {"BackupJobId": identifier, "RecoveryPointArn": arn, "CreationDate": now}
        self._part("backup_jobs")[identifier] = {**made, "State": "COMPLETED", "PercentDone": "100.0"}
        if token:
            self._part("tokens")[token] = made
        return made

    def recovery_points(self, vault: str) -> list[Values]:
        self.describe_backup_vault(vault)
        return [_shown(point) for point in self._part("points").values() if point["BackupVaultName"] == vault]

    def _point(self, arn: str) -> Values:
        if arn not in self._part("points"):
            raise ResourceNotFoundException(msg=f"Recovery point {arn} does not exist")
        return self._part("points")[arn]

    def delete_recovery_point(self, vault: str, arn: str) -> None:
        self._point(arn)
        if self.describe_backup_vault(vault).locked:
            raise InvalidRequestException(msg="Recovery points of a locked vault cannot be deleted yet")
        ec2: Any = ec2_backends[self.account_id][self.region_name]
        ec2.delete_snapshot(arn.rpartition("/")[2])
        del self._part("points")[arn]

    def start_restore_job(self, given: Values) -> Values:
        self._role(given["IamRoleArn"], "restore")
        point, metadata = self._point(given["RecoveryPointArn"]), given["Metadata"]
        if "availabilityZone" not in metadata:
            raise InvalidParameterValueException(msg="Metadata: availabilityZone is required to restore an EBS volume")
        ec2: Any = ec2_backends[self.account_id][self.region_name]
        volume = ec2.create_volume(
            size=point["_size"],
            zone_name=metadata["availabilityZone"],
            snapshot_id=point["RecoveryPointArn"].rpartition("/")[2],
            encrypted=True,
            volume_type=metadata.get("volumeType", "gp3"),
        )
        if given.get("CopySourceTagsToRestoredResource"):
            volume.add_tags(point["_tags"])
        identifier = str(uuid.uuid4())
        arn = f"arn:aws:ec2:{self.region_name}:{self.account_id}:volume/{volume.id}"
        self._part("restore_jobs")[identifier] = {
            "RestoreJobId": identifier,
            "RecoveryPointArn": point["RecoveryPointArn"],
            "CreatedResourceArn": arn,
            "Status": "COMPLETED",
            "PercentDone": "100.00%",
            "CreationDate": utcnow(),
        }
        return {"RestoreJobId": identifier}

    def job(self, kind: str, identifier: str) -> Values:
        if identifier not in self._part(kind):
            raise ResourceNotFoundException(msg=f"Job {identifier} does not exist")
        return self._part(kind)[identifier]

    def delete_backup_vault(self, backup_vault_name: str) -> None:
        if backup_vault_name in self.vaults and self.recovery_points(backup_vault_name):
            raise InvalidRequestException(msg="Backup vault cannot be deleted because it contains recovery points")
        _delete_backup_vault(self, backup_vault_name)


def _shown(item: Values) -> Values:
    return {key: value for key, value in item.items() if not key.startswith("_")}


class Responses(BackupResponse):
    """The operations that are added."""

    @property
    def _given(self) -> Values:
        return json.loads(self.body or "{}")

    @property
    def _backend(self) -> Any:
        return self.backup_backend

    def update_backup_plan(self) -> ActionResult:
        plan = self._backend.update_backup_plan(self.path.strip("/").split("/")[2], self._given["BackupPlan"])
        return ActionResult({"BackupPlanId": plan.backup_plan_id, "BackupPlanArn": plan.backup_plan_arn})

    def create_backup_selection(self) -> ActionResult:
        plan = self.path.strip("/").split("/")[2]
        return ActionResult(self._backend.create_backup_selection(plan, self._given["BackupSelection"]))

    def get_backup_selection(self) -> ActionResult:
        return ActionResult(self._backend.backup_selection(self.path.strip("/").split("/")[4]))

    def list_backup_selections(self) -> ActionResult:
        plan = self.path.strip("/").split("/")[2]
        found = self._backend._part("selections").values()
        listed = [
            {"SelectionId": each["SelectionId"], "SelectionName": each["BackupSelection"]["SelectionName"]}
            for each in found
            if each["BackupPlanId"] == plan
        ]
        return ActionResult({"BackupSelectionsList": listed})

    def delete_backup_selection(self) -> ActionResult:
        identifier = self.path.strip("/").split("/")[4]
        self._backend.backup_selection(identifier)
        del self._backend._part("selections")[identifier]
        return EmptyResult()

    def start_backup_job(self) -> ActionResult:
        return ActionResult(self._backend.start_backup_job(self._given))

    def describe_backup_job(self) -> ActionResult:
        return ActionResult(self._backend.job("backup_jobs", self.path.strip("/").split("/")[1]))

    def list_recovery_points_by_backup_vault(self) -> ActionResult:
        return ActionResult({"RecoveryPoints": self._backend.recovery_points(self.path.strip("/").split("/")[1])})

    def delete_recovery_point(self) -> ActionResult:
        _, vault, _, arn = unquote(self.path).strip("/").split("/", 3)
        self._backend.delete_recovery_point(vault, arn)
        return EmptyResult()

    def start_restore_job(self) -> ActionResult:
        return ActionResult(self._backend.start_restore_job(self._given))

    def describe_restore_job(self) -> ActionResult:
        return ActionResult(self._backend.job("restore_jobs", self.path.strip("/").split("/")[1]))


def install() -> None:
    """Change moto's classes in place: other modules of moto hold them by name."""
    for ours, theirs in ((Backend, BackupBackend), (Responses, BackupResponse)):
        for name, method in vars(ours).items():
            if not name.startswith("__"):
                setattr(theirs, name, method)
    answer = BackupResponse.dispatch
    moto.backup.urls.url_paths |= {
        "{0}/backup-jobs/?$": answer,
        "{0}/backup-jobs/(?P<job>[^/]+)$": answer,
        "{0}/restore-jobs/?$": answer,
        "{0}/restore-jobs/(?P<job>[^/]+)$": answer,
        "{0}/backup-vaults/(?P<name>[^/]+)/recovery-points/$": answer,
        "{0}/backup-vaults/(?P<name>[^/]+)/recovery-points/(?P<point>.+)$": answer,
    }
