"""Production's storage, monitoring and backups."""

from __future__ import annotations

import json
from typing import Any

import pytest

from model import alarms
from model.config.aws import ClusterSettings
from model.iam.boundary import boundary
from model.iam.documents import allow, document
from model.kubernetes.storage import class_names
from tests.iam_decisions import ACCOUNT, Attempt, Session
from tests.iam_lint import findings
from tests.program.conftest import Run
from tests.program.recorder import CHECKOUT, ProgramError, Recording
from tests.program.test_prod_eu import NODES, production, run_production
from watchdog import watchdog

STORAGE_CLASS = "kubernetes:storage.k8s.io/v1:StorageClass"
LOG_GROUP = "aws:cloudwatch/logGroup:LogGroup"
NAMESPACE = "kubernetes:core/v1:Namespace"
ENCRYPTION = "BucketServerSideEncryptionConfiguration"


def classes(recording: Recording) -> dict[str, dict[str, Any]]:
    return {resource.name: resource.inputs for resource in recording.of(STORAGE_CLASS)}


@pytest.mark.parametrize(
    ("compute", "provisioner"), [({}, "ebs.csi.eks.amazonaws.com"), (NODES, "ebs.csi.aws.com")], ids=["auto", "nodes"]
)
def test_volumes_are_encrypted_and_carry_their_tenants_name(run: Run, compute: Any, provisioner: str) -> None:
    found = classes(run_production(run, cluster=compute))
    assert {name: item["reclaimPolicy"] for name, item in found.items()} == {"gp3": "Delete", "gp3-retain": "Retain"}
    annotation = "storageclass.kubernetes.io/is-default-class"
    assert [name for name, item in found.items() if item["metadata"]["annotations"][annotation] == "true"] == ["gp3"]
    for item in found.values():
        assert item["provisioner"] == provisioner
        assert (item["parameters"]["type"], item["parameters"]["encrypted"]) == ("gp3", "true")
        tags = [value for key, value in item["parameters"].items() if key.startswith("tagSpecification_")]
        assert "tenant={{ .PVCNamespace }}" in tags
        assert "Stack=prod-eu" in tags


def test_classes_outlive_the_tenants_that_claim_volumes(run: Run) -> None:
    recording = run_production(run)
    made = {resource.urn for resource in recording.of(STORAGE_CLASS)}
    assert made <= recording.needs(recording.resource(NAMESPACE, "tenant-001"))


def test_a_quota_of_storage_needs_a_driver(run: Run) -> None:
    addons = {name: version for name, version in NODES["addons"].items() if name != "aws-ebs-csi-driver"}
    with pytest.raises(ProgramError, match=r"tenant-001, tenant-002.* may claim storage.*\n.*Add aws-ebs-csi-driver"):
        run_production(run, cluster={**NODES, "addons": addons})
    nothing = "tiers: {basic: {quota: {requests.storage: 0}}}\ntenants:\n  - {name: shop, source: {url: 'https://github.com/acme/a', branch: main}}\n"  # noqa: E501
    config = production(cluster={**NODES, "addons": addons})
    assert classes(run(nothing, config=config, stack_name="prod-eu")) == {}


def test_a_quota_of_an_unknown_class_is_a_mistake(run: Run) -> None:
    tenants = (CHECKOUT / "tenants.yaml").read_text()
    for wrong in (
        tenants.replace("requests.cpu: 4", "gp2.storageclass.storage.k8s.io/requests.storage: 4Gi"),
        tenants.replace("quota: {requests.cpu: 4}", "storageClasses: [gp3, gp2]"),
    ):
        with pytest.raises(ProgramError, match=r"there is no StorageClass gp2\n.*gp3 and gp3-retain"):
            run(wrong, config=production(), stack_name="prod-eu")


def test_an_adopted_cluster_has_classes_of_its_own() -> None:
    assert class_names(ClusterSettings(adopt=True)) is None


def test_each_tenants_logs_are_apart_encrypted_and_expire(run: Run) -> None:
    recording = run_production(run, monitoring={"logDays": 7})
    groups = {group.inputs["name"]: group for group in recording.of(LOG_GROUP)}
    mine = groups["/aws/containerinsights/prod-eu/application/tenant-001"]
    assert mine.inputs["retentionInDays"] == 7
    assert mine.inputs["tags"] == {"tenant": "tenant-001"}
    assert mine.inputs["kmsKeyId"].endswith(":prod-eu-container-logs")
    assert mine.urn in recording.needs(recording.resource(NAMESPACE, "tenant-001"))
    for namespace in ("flux-system", "kube-system"):
        assert f"/aws/containerinsights/prod-eu/application/{namespace}" in groups


def test_the_agent_writes_into_the_groups_that_exist_before_it(run: Run) -> None:
    recording = run_production(run)
    addon = recording.resource("aws:eks/addon:Addon", "prod-eu-amazon-cloudwatch-observability")
    values = json.loads(addon.inputs["configurationValues"])
    fluent_bit = values["containerLogs"]["fluentBit"]["config"]["extraFiles"]["application-log.conf"]
    assert "/aws/containerinsights/prod-eu/application/$kubernetes['namespace_name']" in fluent_bit
    assert "log_retention_days 30" in fluent_bit
    # Tenants write annotations.
    assert "K8S-Logging.Exclude Off" in fluent_bit
    platform = [group for group in recording.of(LOG_GROUP) if not group.inputs.get("tags")]
    insights = {group.urn for group in platform if "containerinsights" in group.inputs["name"]}
    assert insights
    assert insights <= recording.needs(addon)


def test_every_alarm_and_event_reaches_the_topic(run: Run) -> None:
    recording = run_production(run, monitoring={"guardDuty": True})
    topic = recording.resource("aws:sns/topic:Topic", "prod-eu-alarms")
    arn = "arn:aws:sns:eu-west-1:123456789012:prod-eu-alarms"
    found = recording.of("aws:cloudwatch/metricAlarm:MetricAlarm")
    assert {alarm.name.removeprefix("prod-eu-") for alarm in found} == {
        *("api-errors", "pods-pending", "node-cpu", "node-memory", "node-filesystem"),
        *("flux-pods", "flux-sync", "tenants-failing", "pods-failing", "vcpu-quota"),
    }
    assert all(alarm.inputs["alarmActions"] == alarm.inputs["okActions"] == [arn] for alarm in found)
    rules = {rule.name for rule in recording.of("aws:cloudwatch/eventRule:EventRule")}
    assert rules == {"prod-eu-certificates", "prod-eu-backups", "prod-eu-threats"}
    assert {target.name for target in recording.of("aws:cloudwatch/eventTarget:EventTarget")} == rules
    (subscription,) = recording.of("aws:sns/topicSubscription:TopicSubscription")
    assert (subscription.inputs["protocol"], subscription.inputs["endpoint"]) == ("email", "platform@acme.example")
    # An encrypted topic takes nothing from a service that may not use its key.
    key = json.loads(recording.resource("aws:kms/key:Key", "prod-eu-alarms").inputs["policy"])
    services = {"cloudwatch.amazonaws.com", "events.amazonaws.com"}
    for policy in (key, json.loads(topic.inputs["policy"])):
        statements = [item for item in policy["Statement"] if "Service" in item["Principal"]]
        assert {item["Principal"]["Service"] for item in statements} == services
        # EventBridge does not say for whom it asks.
        assert [item["Principal"]["Service"] for item in statements if "Condition" not in item] == [
            "events.amazonaws.com"
        ]
    assert recording.of("aws:guardduty/detector:Detector")
    assert not run_production(run).of("aws:guardduty/detector:Detector")


def test_an_alarm_without_an_expression_has_one_metric() -> None:
    for alarm in alarms.alarms("prod-eu", "flux-system", 4):
        assert alarm.expression or len(alarm.metrics) == 1, alarm.name


def test_flux_alarms_count_its_controllers_and_the_platforms_own_errors(run: Run) -> None:
    recording = run_production(run)
    alarm = recording.resource("aws:cloudwatch/metricAlarm:MetricAlarm", "prod-eu-flux-pods").inputs
    # Shards and the watchdog included: with fewer, one of them could be down unnoticed.
    controllers = len(recording.of("kubernetes:apps/v1:Deployment"))
    assert (alarm["threshold"], alarm["treatMissingData"]) == (controllers, "breaching")
    assert controllers == 7
    counted = recording.resource("aws:cloudwatch/logMetricFilter:LogMetricFilter", "prod-eu-flux-errors").inputs
    assert "flux-system" in counted["pattern"]


def test_the_watchdogs_summary_becomes_the_metric_of_its_alarm(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    watchdog.log(watchdog.SUMMARY, total=50, failingPercent=74)
    line = json.loads(capsys.readouterr().out)
    recording = run_production(run)
    counted = recording.resource("aws:cloudwatch/logMetricFilter:LogMetricFilter", "prod-eu-tenants-failing").inputs
    metric = counted["metricTransformation"]
    assert counted["pattern"] == f'{{ $.log_processed.msg = "{line["msg"]}" }}'
    assert line[metric["value"].removeprefix("$.log_processed.")] == 74
    alarm = recording.resource("aws:cloudwatch/metricAlarm:MetricAlarm", "prod-eu-tenants-failing").inputs
    (query,) = alarm["metricQueries"]
    assert (query["metric"]["namespace"], query["metric"]["metricName"]) == (metric["namespace"], metric["name"])
    assert alarm["threshold"] == 10


def test_backups_select_what_has_the_tag_tenant_of_this_stack(run: Run) -> None:
    recording = run_production(run)
    selection = recording.resource("aws:backup/selection:Selection", "prod-eu").inputs
    assert [arn.partition("123456789012:")[2] for arn in selection["resources"]] == ["volume/*", "file-system/*"]
    (conditions,) = selection["conditions"]
    assert conditions["stringLikes"] == [{"key": "aws:ResourceTag/tenant", "value": "*"}]
    assert {"key": "aws:ResourceTag/Stack", "value": "prod-eu"} in conditions["stringEquals"]
    (rule,) = recording.resource("aws:backup/plan:Plan", "prod-eu").inputs["rules"]
    assert (rule["schedule"], rule["lifecycle"]["deleteAfter"]) == ("cron(0 3 * * ? *)", 35)


@pytest.mark.parametrize(("lock", "changeable"), [("governance", None), ("compliance", 3)])
def test_a_vaults_lock_outlives_a_change_of_how_long_backups_are_kept(
    run: Run, lock: str, changeable: int | None
) -> None:
    kind = "aws:backup/vaultLockConfiguration:VaultLockConfiguration"
    made = run_production(run, backup={"keepDays": 90, "lock": lock}).resource(kind, "prod-eu")
    assert (made.inputs["minRetentionDays"], made.inputs.get("changeableForDays")) == (7, changeable)
    assert run_production(run, backup={"keepDays": 35, "lock": lock}).resource(kind, "prod-eu").inputs == made.inputs
    # A vault has one lock: a new one before the old one goes would be none.
    assert made.request.deleteBeforeReplace


def test_a_vault_with_backups_is_deleted_only_without_protection(run: Run) -> None:
    for protection in (True, False):
        vault = run_production(run, protection=protection).resource("aws:backup/vault:Vault", "prod-eu")
        assert vault.inputs["forceDestroy"] is not protection
        assert vault.request.protect is protection


BUCKET = "aws:s3/bucket:Bucket"


@pytest.mark.parametrize(("lock", "mode"), [("governance", "GOVERNANCE"), ("compliance", "COMPLIANCE")])
def test_files_about_tenants_that_leave_are_locked_encrypted_and_not_public(run: Run, lock: str, mode: str) -> None:
    recording = run_production(run, backup={"keepDays": 90, "lock": lock})
    bucket = recording.resource(BUCKET, "prod-eu-backups")
    assert (bucket.inputs["bucket"], bucket.inputs["objectLockEnabled"]) == (
        f"saas-in-eks-prod-eu-backups-{ACCOUNT}",
        True,
    )
    (closed,) = recording.of("aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock")
    assert {value for key, value in closed.inputs.items() if key != "bucket"} == {True}
    (encryption,) = recording.of(f"aws:s3/{ENCRYPTION[0].lower()}{ENCRYPTION[1:]}:{ENCRYPTION}")
    (rule,) = encryption.inputs["rules"]
    key = f"arn:aws:kms:eu-west-1:{ACCOUNT}:prod-eu-backups"
    assert rule["applyServerSideEncryptionByDefault"] == {"sseAlgorithm": "aws:kms", "kmsMasterKeyId": key}
    (locked,) = recording.of("aws:s3/bucketObjectLockConfiguration:BucketObjectLockConfiguration")
    assert locked.inputs["rule"] == {"defaultRetention": {"mode": mode, "days": 90}}
    assert recording.outputs["backups"]["tags"] == {"Project": "saas-in-eks", "Stack": "prod-eu"}


def test_the_bucket_is_deleted_with_its_files_only_without_protection(run: Run) -> None:
    for protection in (True, False):
        bucket = run_production(run, protection=protection).resource(BUCKET, "prod-eu-backups")
        assert (bucket.inputs["forceDestroy"], bucket.request.protect) == (not protection, protection)


def test_no_pod_reaches_the_bucket_of_backups_whatever_its_tenant_is_called(run: Run) -> None:
    (policy,) = run_production(run).of("aws:s3/bucketPolicy:BucketPolicy")
    name = f"arn:aws:s3:::saas-in-eks-prod-eu-backups-{ACCOUNT}"
    # By the names that a boundary lets a tenant use, this bucket would be one of `saas`'s.
    for tenant in ("saas", "shop"):
        pod = Session([document(allow(["s3:*"], ["*"]))], boundary(ACCOUNT), {"kubernetes-namespace": tenant})
        attempts = [
            Attempt(action, resource, {"aws:SecureTransport": "true"}, resource_policy=resource_policy)
            for action, resource in (
                ("s3:GetObject", f"{name}/tenant=shop/1.json"),
                ("s3:DeleteObject", f"{name}/shop/1"),
            )
            for resource_policy in (None, policy.inputs["policy"])
        ]
        decisions = pod.decisions(*attempts)
        assert "Allowed" not in decisions[1::2]
        if tenant == "saas":
            assert set(decisions[::2]) == {"Allowed"}, "the policy is what keeps it out"
    person = Session([document(allow(["s3:*"], ["*"]))], None, {})
    policy_given = {"resource_policy": policy.inputs["policy"]}
    assert person.may(Attempt("s3:GetObject", f"{name}/x", {"aws:SecureTransport": "true"}, **policy_given))
    assert not person.may(Attempt("s3:GetObject", f"{name}/x", {"aws:SecureTransport": "false"}, **policy_given))
    assert findings(policy.inputs["policy"]) == []


def test_the_roles_and_keys_of_day_two_pass_the_iam_linter(run: Run) -> None:
    recording = run_production(run)
    for name in ("prod-eu-backup", "prod-eu-amazon-cloudwatch-observability", "prod-eu-sources"):
        assert findings(recording.resource("aws:iam/role:Role", name).inputs["assumeRolePolicy"]) == []


def test_flux_reads_charts_and_artifacts_of_the_stacks_registry(run: Run) -> None:
    def exempt(**aws: Any) -> str:
        recording = run_production(run, **aws)
        deployment = recording.resource("kubernetes:apps/v1:Deployment", "source-controller").inputs
        variables = deployment["spec"]["template"]["spec"]["containers"][0]["env"]
        return next(variable["value"] for variable in variables if variable["name"] == "NO_PROXY")

    # Pod Identity's credentials come by plain HTTP, which otherwise ends at a closed port.
    assert "169.254.170.23" in exempt().split(",")
    config = production()
    del config["aws"]["registry"]
    recording = run((CHECKOUT / "tenants.yaml").read_text(), config=config, stack_name="prod-eu")
    deployment = recording.resource("kubernetes:apps/v1:Deployment", "source-controller").inputs
    assert "169.254.170.23" not in json.dumps(deployment)
    association = run_production(run).resource(
        "aws:eks/podIdentityAssociation:PodIdentityAssociation", "prod-eu-sources"
    )
    flux = run_production(run).resource("kubernetes:apps/v1:Deployment", "source-controller")
    assert association.urn in run_production(run).needs(flux)
