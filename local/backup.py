"""A tenant's volume, backed up by the stack's plan and restored: as far as the emulator goes."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from local import aws, controlplane
from local.home import Home
from standins.aws.session import AwsError, Session

STORAGE_CLASS = "gp3"


class BackupError(Exception):
    """Something of a tenant would not be backed up, or not be restored."""


def rehearse(home: Home, tenant: str, back_up: Callable[[], object]) -> None:
    """Make a volume as the driver would, back it up by a command, restore it. Raises BackupError."""
    api = aws.session(home)
    volume = create_volume(home, api, tenant)
    plan, selection = _plan(api)
    arn = api.arn("ec2", f"volume/{volume['VolumeId']}")
    if not selects(selection, arn, volume["Tags"]):
        raise BackupError(f"the plan does not select {arn} with the tags {volume['Tags']}")
    (rule,) = plan["Rules"]
    vault, role = rule["TargetBackupVaultName"], selection["IamRoleArn"]
    given = {"BackupVaultName": vault, "ResourceArn": arn, "IamRoleArn": role}
    try:
        api.call("backup", "start_backup_job", **given, Lifecycle={"DeleteAfterDays": 1})
    except AwsError as error:
        if error.code != "InvalidRequestException":
            raise
    else:
        raise BackupError(f"the vault {vault} takes backups that are kept for a day: its lock has no minimum")
    back_up()
    points = api.list("backup", "list_recovery_points_by_backup_vault", "RecoveryPoints", BackupVaultName=vault)
    (point,) = [point["RecoveryPointArn"] for point in points if point["ResourceArn"] == arn]
    _keep(api, vault, point)
    api.call("ec2", "delete_volume", VolumeId=volume["VolumeId"])
    restored = _restore(api, point, role, volume["AvailabilityZone"])
    if restored["Tags"] != volume["Tags"]:
        raise BackupError(f"the restored volume has the tags {restored['Tags']}, not {volume['Tags']}")
    api.call("ec2", "delete_volume", VolumeId=restored["VolumeId"])


def create_volume(home: Home, api: Session, namespace: str) -> dict[str, Any]:
    """Create the volume that the driver creates for a claim, with the tags that the StorageClass says."""
    found = controlplane.administrator(home).get(f"/apis/storage.k8s.io/v1/storageclasses/{STORAGE_CLASS}")
    if found is None:
        raise BackupError(f"the cluster has no StorageClass {STORAGE_CLASS}")
    parameters = found["parameters"]
    written = [text for key, text in parameters.items() if key.startswith("tagSpecification_")]
    tags = dict(text.replace("{{ .PVCNamespace }}", namespace).split("=", 1) for text in written)
    return _volume(
        api.call(
            "ec2",
            "create_volume",
            AvailabilityZone="eu-west-1a",
            Size=8,
            VolumeType=parameters["type"],
            Encrypted=parameters["encrypted"] == "true",
            TagSpecifications=[
                {"ResourceType": "volume", "Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}
            ],
        )
    )


def _volume(described: Mapping[str, Any]) -> dict[str, Any]:
    return {**described, "Tags": {tag["Key"]: tag["Value"] for tag in described["Tags"]}}


def _plan(api: Session) -> tuple[dict[str, Any], dict[str, Any]]:
    """The stack's backup plan and its selection."""
    (listed,) = api.list("backup", "list_backup_plans", "BackupPlansList")
    identifier = {"BackupPlanId": listed["BackupPlanId"]}
    (selected,) = api.list("backup", "list_backup_selections", "BackupSelectionsList", **identifier)
    selection = api.call("backup", "get_backup_selection", **identifier, SelectionId=selected["SelectionId"])
    return api.call("backup", "get_backup_plan", **identifier)["BackupPlan"], selection["BackupSelection"]


def selects(selection: Mapping[str, Any], arn: str, tags: Mapping[str, str]) -> bool:
    """Whether a selection of AWS Backup takes a resource with these tags: all of its conditions have to hold."""
    if not any(fnmatch.fnmatchcase(arn, pattern) for pattern in selection["Resources"]):
        return False

    def values(kind: str) -> Sequence[tuple[str, str]]:
        pairs = selection.get("Conditions", {}).get(kind, [])
        return [
            (tags.get(pair["ConditionKey"].removeprefix("aws:ResourceTag/"), ""), pair["ConditionValue"])
            for pair in pairs
        ]

    equal = all(actual == wanted for actual, wanted in values("StringEquals"))
    return equal and all(actual and fnmatch.fnmatchcase(actual, wanted) for actual, wanted in values("StringLike"))


def _keep(api: Session, vault: str, point: str) -> None:
    """Try to delete the backup, which the vault's lock refuses."""
    try:
        api.call("backup", "delete_recovery_point", BackupVaultName=vault, RecoveryPointArn=point)
    except AwsError as error:
        if error.code != "InvalidRequestException":
            raise
    else:
        raise BackupError(f"a backup in {vault} could be deleted at once: the vault is not locked")


def _restore(api: Session, point: str, role: str, zone: str) -> dict[str, Any]:
    job = api.call(
        "backup",
        "start_restore_job",
        RecoveryPointArn=point,
        IamRoleArn=role,
        Metadata={"availabilityZone": zone, "volumeType": "gp3", "encrypted": "true"},
        CopySourceTagsToRestoredResource=True,
    )["RestoreJobId"]
    arn = api.call("backup", "describe_restore_job", RestoreJobId=job)["CreatedResourceArn"]
    volumes = api.call("ec2", "describe_volumes", VolumeIds=[arn.rpartition("/")[2]])["Volumes"]
    return _volume(volumes[0])
