"""The stand-in for pulumi-resource-aws: alarms, events and backups, on the platform's emulator."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest

from standins.tests.unit.aws_emulator import allow, emulator, trust
from standins.tests.unit.aws_stand_in import Plugin, State

TOPIC, KEY, ROLE = "sns/topic:Topic", "kms/key:Key", "iam/role:Role"
ALARM, RULE, TARGET = (
    "cloudwatch/metricAlarm:MetricAlarm",
    "cloudwatch/eventRule:EventRule",
    "cloudwatch/eventTarget:EventTarget",
)
VAULT, LOCK = "backup/vault:Vault", "backup/vaultLockConfiguration:VaultLockConfiguration"
PLAN, SELECTION = "backup/plan:Plan", "backup/selection:Selection"
ATTACHMENT = "iam/rolePolicyAttachment:RolePolicyAttachment"


@pytest.fixture(scope="module")
def plugin() -> Iterator[Plugin]:
    with emulator():
        yield Plugin(defaultTags={"tags": {"Project": "saas"}})


def publishing(service: str) -> str:
    statement = {"Effect": "Allow", "Principal": {"Service": service}, "Action": "sns:Publish", "Resource": "*"}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def allowed_key(principal: State) -> State:
    return {"Effect": "Allow", "Principal": principal, "Action": "kms:*", "Resource": "*"}


def test_a_topic_takes_only_a_key_that_its_publishers_may_use(plugin: Plugin) -> None:
    _, key = plugin.create(KEY)
    wrong = {"name": "alarms", "kmsMasterKeyId": key["arn"], "policy": publishing("events.amazonaws.com")}
    assert "does not let events.amazonaws.com use it" in plugin.refusal("create", TOPIC, **wrong)
    root = {
        "Effect": "Allow",
        "Principal": {"AWS": "arn:aws:iam::123456789012:root"},
        "Action": "kms:*",
        "Resource": "*",
    }
    use = {
        "Effect": "Allow",
        "Principal": {"Service": "events.amazonaws.com"},
        "Action": "kms:GenerateDataKey*",
        "Resource": "*",
    }
    _, key = plugin.create(KEY, policy=json.dumps({"Version": "2012-10-17", "Statement": [root, use]}))
    topic, _ = plugin.unchanged(TOPIC, **wrong | {"kmsMasterKeyId": key["arn"]})
    plugin.unchanged("sns/topicSubscription:TopicSubscription", topic=topic, protocol="email", endpoint="a@example.com")
    plugin.unchanged(RULE, name="prod-eu-certificates", eventPattern='{"source": ["aws.acm"]}')
    plugin.unchanged(TARGET, rule="prod-eu-certificates", targetId="topic", arn=topic)


def query(name: str, **more: Any) -> State:
    return {
        "id": "metric",
        "metric": {"namespace": "AWS/EKS", "metricName": name, "stat": "Sum", "period": 300},
        **more,
    }


def test_an_alarm_watches_one_result(plugin: Plugin) -> None:
    alarm: State = {
        "name": "errors",
        "comparisonOperator": "GreaterThanThreshold",
        "evaluationPeriods": 3,
        "threshold": 1.0,
        "treatMissingData": "notBreaching",
    }
    doubled = {"id": "result", "expression": "2 * metric", "returnData": True}
    plugin.unchanged(ALARM, **alarm, metricQueries=[query("errors", returnData=False), doubled])
    both = [query("errors", returnData=True), doubled]
    assert "Exactly one element" in plugin.refusal("create", ALARM, **alarm, metricQueries=both)


def test_a_metric_counts_lines_of_a_log_group(plugin: Plugin) -> None:
    plugin.create("cloudwatch/logGroup:LogGroup", name="flux")
    counted = {"name": "errors", "namespace": "saas", "value": "1", "defaultValue": "0"}
    inputs: State = {"logGroupName": "flux", "name": "errors", "pattern": "error", "metricTransformation": counted}
    plugin.unchanged("cloudwatch/logMetricFilter:LogMetricFilter", **inputs)
    of_a_field = {"name": "failing", "namespace": "saas", "value": "$.log_processed.failingPercent"}
    more = {"name": "failing", "pattern": '{ $.log_processed.msg = "tenants" }', "metricTransformation": of_a_field}
    plugin.unchanged("cloudwatch/logMetricFilter:LogMetricFilter", **{**inputs, **more})


def test_a_log_group_that_exists_gets_another_key_or_none(plugin: Plugin) -> None:
    root = {
        "Effect": "Allow",
        "Principal": {"AWS": "arn:aws:iam::123456789012:root"},
        "Action": "kms:*",
        "Resource": "*",
    }
    logs = {**root, "Principal": {"Service": "logs.eu-west-1.amazonaws.com"}}
    _, key = plugin.create(KEY, policy=json.dumps({"Version": "2012-10-17", "Statement": [root, logs]}))
    identifier, group = plugin.create("cloudwatch/logGroup:LogGroup", name="late")
    encrypted = plugin.update("cloudwatch/logGroup:LogGroup", identifier, group, name="late", kmsKeyId=key["arn"])
    assert encrypted["kmsKeyId"] == key["arn"]
    assert plugin.update("cloudwatch/logGroup:LogGroup", identifier, encrypted, name="late").get("kmsKeyId") is None


def test_an_account_has_one_detector(plugin: Plugin) -> None:
    plugin.unchanged("guardduty/detector:Detector", enable=True)
    assert "a detector already exists" in plugin.refusal("create", "guardduty/detector:Detector", enable=True)


@pytest.fixture(scope="module")
def vault(plugin: Plugin) -> tuple[str, State]:
    return plugin.unchanged(VAULT, name="prod", forceDestroy=True)


@pytest.fixture(scope="module")
def role(plugin: Plugin) -> str:
    _, role = plugin.create(ROLE, name="backup", assumeRolePolicy=trust("backup.amazonaws.com"))
    for purpose in ("Backup", "Restores"):  # in the place of AWS' own policies, which take seconds to load
        name = f"AWSBackupServiceRolePolicyFor{purpose}"
        _, policy = plugin.create("iam/policy:Policy", name=name, policy=allow("ec2:CreateSnapshot"))
        plugin.create(ATTACHMENT, role="backup", policyArn=policy["arn"])
    return role["arn"]


def test_a_plan_has_rules_and_selections(plugin: Plugin, vault: tuple[str, State], role: str) -> None:
    rule = {
        "ruleName": "daily",
        "targetVaultName": "prod",
        "schedule": "cron(0 3 * * ? *)",
        "lifecycle": {"deleteAfter": 35},
    }
    plan, state = plugin.unchanged(PLAN, name="prod", rules=[rule])
    conditions = [{"stringLikes": [{"key": "aws:ResourceTag/tenant", "value": "*"}]}]
    selection: State = {
        "name": "tenants",
        "planId": plan,
        "iamRoleArn": role,
        "resources": ["*"],
        "conditions": conditions,
    }
    selected, of_plan = plugin.unchanged(SELECTION, **selection)
    assert "cannot be assumed" in plugin.refusal("create", SELECTION, **selection | {"iamRoleArn": f"{role}s"})
    assert "must be deleted before" in plugin.refusal("delete", PLAN, plan, state)
    later = plugin.update(PLAN, plan, state, name="prod", rules=[{**rule, "schedule": "cron(0 4 * * ? *)"}])
    assert later["rules"][0]["schedule"] == "cron(0 4 * * ? *)"
    plugin.delete(SELECTION, selected, of_plan)
    plugin.delete(PLAN, plan, later)
    assert plugin.read(PLAN, plan, later)[0] == ""
    # A stack that was destroyed can be created again.
    again, _ = plugin.create(PLAN, name="prod", rules=[rule])
    assert again != plan


def test_a_locked_vault_keeps_backups_of_volumes_which_can_be_restored(
    plugin: Plugin, vault: tuple[str, State], role: str
) -> None:
    identifier, lock = plugin.unchanged(LOCK, backupVaultName="prod", minRetentionDays=35)
    client: Any = boto3.client
    ec2, backup = client("ec2", region_name="eu-west-1"), client("backup", region_name="eu-west-1")
    tags = [{"ResourceType": "volume", "Tags": [{"Key": "tenant", "Value": "tenant-001"}]}]
    volume = ec2.create_volume(AvailabilityZone="eu-west-1a", Size=8, Encrypted=True, TagSpecifications=tags)[
        "VolumeId"
    ]
    given = {
        "BackupVaultName": "prod",
        "ResourceArn": f"arn:aws:ec2:eu-west-1:123456789012:volume/{volume}",
        "IamRoleArn": role,
    }
    with pytest.raises(backup.exceptions.ClientError, match="minimum retention"):
        backup.start_backup_job(**given, Lifecycle={"DeleteAfterDays": 1})
    point = backup.start_backup_job(**given, Lifecycle={"DeleteAfterDays": 35})["RecoveryPointArn"]
    with pytest.raises(backup.exceptions.ClientError, match="locked vault"):
        backup.delete_recovery_point(BackupVaultName="prod", RecoveryPointArn=point)
    job = backup.start_restore_job(
        RecoveryPointArn=point,
        Metadata={"availabilityZone": "eu-west-1a"},
        IamRoleArn=role,
        CopySourceTagsToRestoredResource=True,
    )
    restored = backup.describe_restore_job(RestoreJobId=job["RestoreJobId"])["CreatedResourceArn"].rpartition("/")[2]
    (found,) = ec2.describe_volumes(VolumeIds=[restored])["Volumes"]
    assert (found["Size"], found["Tags"]) == (8, [{"Key": "tenant", "Value": "tenant-001"}])
    plugin.delete(LOCK, identifier, lock)
    # A vault that has backups is only deleted by force, which deletes them first.
    assert "recovery points" in plugin.refusal("delete", VAULT, vault[0], {**vault[1], "forceDestroy": False})
    plugin.delete(VAULT, *vault)
    left = {snapshot["SnapshotId"] for snapshot in ec2.describe_snapshots()["Snapshots"]}
    assert point.rpartition("/")[2] not in left


def test_aws_publishes_the_newest_release_of_the_nodes_image(plugin: Plugin) -> None:
    name = "/aws/service/eks/optimized-ami/1.36/amazon-linux-2023/arm64/standard/recommended/release_version"
    assert plugin.invoke("ssm/getParameter:getParameter", name=name)["insecureValue"] == "1.36.0-20261101"
    assert "ParameterNotFound" in plugin.refusal("invoke", "ssm/getParameter:getParameter", name=f"{name}s")


BUCKET, BUCKET_LOCK = "s3/bucket:Bucket", "s3/bucketObjectLockConfiguration:BucketObjectLockConfiguration"
ENCRYPTION = "s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration"


def test_a_locked_bucket_keeps_its_files_until_it_is_deleted_with_force(plugin: Plugin) -> None:
    name = "saas-in-eks-locked-123456789012"
    bucket, made = plugin.unchanged(BUCKET, bucket=name, objectLockEnabled=True)
    assert (bucket, made["arn"], made["tagsAll"]) == (name, f"arn:aws:s3:::{name}", {"Project": "saas"})
    lock: State = {"defaultRetention": {"mode": "GOVERNANCE", "days": 35}}
    identifier, state = plugin.unchanged(BUCKET_LOCK, bucket=bucket, rule=lock)
    longer = {"defaultRetention": {"mode": "GOVERNANCE", "days": 90}}
    s3: Any = boto3.client("s3", region_name="eu-west-1")
    version = s3.put_object(Bucket=bucket, Key="tenant=acme/1.json", Body=b"{}")["VersionId"]
    state = plugin.update(BUCKET_LOCK, identifier, state, bucket=bucket, rule=longer)
    assert state["rule"] == longer
    with pytest.raises(s3.exceptions.ClientError, match="AccessDenied"):
        s3.delete_object(Bucket=bucket, Key="tenant=acme/1.json", VersionId=version)
    plugin.delete(BUCKET_LOCK, identifier, state)
    assert plugin.read(BUCKET_LOCK, identifier) == ("", {})
    assert "BucketNotEmpty" in plugin.refusal("delete", BUCKET, bucket, made)
    plugin.delete(BUCKET, bucket, made | {"forceDestroy": True})
    assert plugin.read(BUCKET, bucket) == ("", {})


def test_a_bucket_without_a_lock_gets_none_later(plugin: Plugin) -> None:
    bucket, _ = plugin.unchanged(BUCKET)
    rule: State = {"defaultRetention": {"mode": "GOVERNANCE", "days": 35}}
    assert "set objectLockEnabled" in plugin.refusal("create", BUCKET_LOCK, bucket=bucket, rule=rule)


def test_a_bucket_is_encrypted_and_closed_to_the_public(plugin: Plugin) -> None:
    _, key = plugin.create(KEY)
    bucket, made = plugin.create(BUCKET, bucket="closed", tags={"a": "b"})
    encrypted = {"sseAlgorithm": "aws:kms", "kmsMasterKeyId": key["arn"]}
    rule: State = {"applyServerSideEncryptionByDefault": encrypted, "bucketKeyEnabled": True}
    plugin.unchanged(ENCRYPTION, bucket=bucket, rules=[rule])
    rule["applyServerSideEncryptionByDefault"] = encrypted | {"kmsMasterKeyId": "00000000-0000-0000-0000-000000000000"}
    assert "NotFoundException" in plugin.refusal("create", ENCRYPTION, bucket=bucket, rules=[rule])
    closed = dict.fromkeys(("blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets"), True)
    identifier, state = plugin.unchanged("s3/bucketPublicAccessBlock:BucketPublicAccessBlock", bucket=bucket, **closed)
    plugin.delete("s3/bucketPublicAccessBlock:BucketPublicAccessBlock", identifier, state)
    secure = {"Bool": {"aws:SecureTransport": "false"}}
    statement = {"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": f"arn:aws:s3:::{bucket}/*"}
    policy = {"Version": "2012-10-17", "Statement": [{**statement, "Condition": secure}]}
    plugin.unchanged("s3/bucketPolicy:BucketPolicy", bucket=bucket, policy=json.dumps(policy))
    s3: Any = boto3.client("s3", region_name="eu-west-1")
    s3.put_object(Bucket=bucket, Key="x", Body=b"{}")
    plugin.create(
        "s3/bucketPolicy:BucketPolicy", bucket=bucket, policy=json.dumps({**policy, "Statement": [statement]})
    )
    with pytest.raises(s3.exceptions.ClientError, match="403"):
        s3.put_object(Bucket=bucket, Key="x", Body=b"{}")
    assert plugin.update(BUCKET, bucket, made, bucket=bucket, tags={"c": "d"})["tagsAll"] == {
        "c": "d",
        "Project": "saas",
    }
