"""`./saas tenant backup --stack`, with AWS' command line on the emulator."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml

from cli.errors import CommandError
from standins.tests.unit.aws_emulator import allow, emulator, trust
from tests.unit.aws_command import in_process
from tests.unit.test_backup_command import LEAVING, Cluster, backup
from tests.unit.test_backup_command import cluster as cluster  # a fixture

BUCKET, VAULT, ROLE = "saas-in-eks-prod-eu-backups-123456789012", "saas-in-eks-prod-eu", "saas-in-eks-prod-eu-backup"
TAGS = {"Project": "saas-in-eks", "Stack": "prod-eu"}
POLICY = "AWSBackupServiceRolePolicyForBackup"
PULUMI = """\
#!/bin/sh
cat "$(dirname "$0")/outputs.json"
"""


def client(service: str) -> Any:
    return boto3.client(service, region_name="eu-west-1")


def volume(**tags: str) -> str:
    tagged = [{"Key": key, "Value": value} for key, value in tags.items()]
    tagged = [{"ResourceType": "volume", "Tags": tagged}]
    made = client("ec2").create_volume(AvailabilityZone="eu-west-1a", Size=1, TagSpecifications=tagged)
    return made["VolumeId"]


def copied() -> list[str]:
    """The volumes that the vault has a backup of."""
    found = client("backup").list_recovery_points_by_backup_vault(BackupVaultName=VAULT)["RecoveryPoints"]
    return sorted(point["ResourceArn"].rpartition("/")[2] for point in found)


def files() -> list[str]:
    found = client("s3").list_object_versions(Bucket=BUCKET).get("Versions", [])
    return [version["Key"] for version in found]


@pytest.fixture(scope="module")
def account() -> Iterator[str]:
    """An account with the stack's bucket, vault and role; the role's ARN."""
    with emulator():
        where = {"LocationConstraint": "eu-west-1"}
        client("s3").create_bucket(Bucket=BUCKET, ObjectLockEnabledForBucket=True, CreateBucketConfiguration=where)
        client("backup").create_backup_vault(BackupVaultName=VAULT)
        document = trust("backup.amazonaws.com")
        role = client("iam").create_role(RoleName=ROLE, AssumeRolePolicyDocument=document)["Role"]["Arn"]
        # In the place of AWS' own policy: all of those take seconds to load.
        policy = client("iam").create_policy(
            PolicyName=POLICY, Path="/test/", PolicyDocument=allow("ec2:CreateSnapshot")
        )
        client("iam").attach_role_policy(RoleName=ROLE, PolicyArn=policy["Policy"]["Arn"])
        yield role


@pytest.fixture
def commands(account: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder with a `pulumi` that knows the stack's outputs."""
    folder = tmp_path / "bin"
    folder.mkdir()
    backups = {"bucket": BUCKET, "vault": VAULT, "role": account, "tags": TAGS}
    outputs = {"aws": {"account": "123456789012", "region": "eu-west-1"}, "backups": backups}
    (folder / "outputs.json").write_text(json.dumps(outputs))
    (folder / "pulumi").write_text(PULUMI)
    (folder / "pulumi").chmod(0o755)
    in_process(monkeypatch)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return folder


def test_a_backup_goes_to_the_bucket_and_its_volumes_to_the_vault_once(
    cluster: Cluster, commands: Path, tmp_path: Path
) -> None:
    mine = volume(tenant="shop", **TAGS)
    volume(tenant="shop-orders", **TAGS)
    volume(tenant="shop", Project="saas-in-eks", Stack="prod-us")
    claim = {"namespace": "shop", "name": "data"}
    listed = {"metadata": {"name": "a"}, "spec": {"claimRef": claim, "csi": {"volumeHandle": mine}}}
    cluster(**{"/api/v1/persistentvolumes": {"items": [listed]}})
    record, written = backup(tmp_path, LEAVING, "--stack", "prod-eu")
    again, _ = backup(tmp_path, LEAVING, "--stack", "prod-eu")
    assert record == again == {"id": f"s3://{BUCKET}/tenant=shop/{record['sha256']}.json", "sha256": record["sha256"]}
    assert (copied(), files()) == ([mine], [f"tenant=shop/{record['sha256']}.json"])
    stored = client("s3").get_object(Bucket=BUCKET, Key=files()[0])["Body"].read()
    assert stored == written.read_bytes()
    assert json.loads(stored)["volumes"] == [{"claim": "data", "volume": "a", "id": mine}]


def test_a_volume_without_the_stacks_tags_stops_the_backup(cluster: Cluster, commands: Path, tmp_path: Path) -> None:
    cluster()
    before = copied(), files()
    with pytest.raises(CommandError, match=r"would not copy vol-a of shop.*\n.*tenant=shop, Project=saas-in-eks"):
        backup(tmp_path, LEAVING, "--stack", "prod-eu")
    assert (copied(), files()) == before
    assert "backup" not in yaml.safe_load((tmp_path / "tenants.yaml").read_text())["tenants"][0]["leaving"]


def test_what_aws_refuses_is_not_recorded(cluster: Cluster, commands: Path, tmp_path: Path) -> None:
    cluster(**{"/api/v1/persistentvolumes": {"items": []}})
    outputs = json.loads((commands / "outputs.json").read_text())
    outputs["backups"]["bucket"] = "not-there"
    (commands / "outputs.json").write_text(json.dumps(outputs))
    with pytest.raises(CommandError, match=r"aws s3api put-object failed:\n.*NoSuchBucket"):
        backup(tmp_path, LEAVING, "--stack", "prod-eu")
    assert "backup" not in yaml.safe_load((tmp_path / "tenants.yaml").read_text())["tenants"][0]["leaving"]


def test_a_stack_without_backups_and_a_backup_without_a_place_are_mistakes(
    cluster: Cluster, commands: Path, tmp_path: Path
) -> None:
    cluster()
    with pytest.raises(CommandError, match="the backup has no place, or two"):
        backup(tmp_path, LEAVING, "--stack", "prod-eu", "--kept-at", "s3://elsewhere/shop.json")
    (commands / "outputs.json").write_text("{}")
    with pytest.raises(CommandError, match=r"prod-eu keeps no backups\n.*the platform's stack"):
        backup(tmp_path, LEAVING, "--stack", "prod-eu")
