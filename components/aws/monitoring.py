"""CloudWatch: log groups of containers, alarms, and notifications by mail."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_aws as aws

from components.aws.context import AwsContext
from components.aws.kms import EncryptionKey, EncryptionKeyArgs
from components.configuration import Configuration
from model import alarms
from model.config.aws import MonitoringSettings
from model.config.names import FLUX_NAMESPACE
from model.config.stack import Settings
from model.config.tenants import Tenant
from model.iam.boundary import TENANT_TAG
from model.iam.documents import alarms_use_key, logs_use_key, topic_policy
from model.kubernetes import container_logs


@dataclass(frozen=True)
class ContainerLogsArgs:
    """The cluster whose containers write logs, and how long these stay."""

    context: AwsContext
    cluster_name: str
    settings: MonitoringSettings
    key_arn: pulumi.Input[str] | None = None
    """The key of the platform's stack, in the stack of a shard: it has the log groups of its tenants only."""


class ContainerLogs(pulumi.ComponentResource):
    """Encrypted log groups with an end of retention, before the agents that would create them without."""

    groups: Mapping[str, aws.cloudwatch.LogGroup]
    """By the last part of their names."""
    ready: Sequence[pulumi.Resource]
    agent_values: Mapping[str, Any]
    """Configuration of the add-on that writes the logs."""
    key_arn: pulumi.Output[str]

    def __init__(self, name: str, args: ContainerLogsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("saas:monitoring:ContainerLogs", name, None, opts)
        self._args, self._context = args, args.context
        self.groups, self.ready, self.agent_values = {}, [], {}
        if args.key_arn is None:
            self.key_arn = self._create_key(name)
            self._platform_groups(name)
        else:
            self.key_arn = pulumi.Output.from_input(args.key_arn)
        self.register_outputs({})

    def _create_key(self, name: str) -> pulumi.Output[str]:
        args = self._args
        key = EncryptionKey(
            f"{name}-container-logs",
            EncryptionKeyArgs(
                context=args.context,
                purpose="container-logs",
                description=f"Logs of the containers in {args.cluster_name}",
                services=[
                    logs_use_key(
                        args.context.region,
                        args.context.account,
                        container_logs.insights_group(args.cluster_name, "*"),
                    )
                ],
            ),
            pulumi.ResourceOptions(parent=self),
        )
        return pulumi.Output.from_input(key.arn)

    def _platform_groups(self, name: str) -> None:
        cluster = self._args.cluster_name
        names = {part: container_logs.insights_group(cluster, part) for part in container_logs.METRICS_AND_NODES}
        names |= {part: container_logs.namespace_group(cluster, part) for part in container_logs.PLATFORM_NAMESPACES}
        self.groups = {part: self._group(f"{name}-{part}", group, {}) for part, group in names.items()}
        self.ready = list(self.groups.values())
        self.agent_values = container_logs.observability_values(cluster, self._args.settings.log_days)

    def _group(self, name: str, group: str, tags: Mapping[str, str]) -> aws.cloudwatch.LogGroup:
        return aws.cloudwatch.LogGroup(
            name,
            name=group,
            retention_in_days=self._args.settings.log_days,
            kms_key_id=self.key_arn,
            tags=dict(tags) or None,
            opts=self._context.child(self),
        )

    def tenant_group(self, tenant: str) -> aws.cloudwatch.LogGroup:
        """The log group of a tenant's containers. It goes with the tenant."""
        group = container_logs.namespace_group(self._args.cluster_name, tenant)
        return self._group(f"{tenant}/logs", group, {TENANT_TAG: tenant})


@dataclass(frozen=True)
class AlarmsArgs:
    """Cluster, thresholds and recipients of the alarms."""

    context: AwsContext
    cluster_name: str
    settings: MonitoringSettings
    flux_pods: int
    """How many controllers Flux has, shards and the watchdog included: a pod each."""
    flux_logs: aws.cloudwatch.LogGroup


class Alarms(pulumi.ComponentResource):
    """Alarms and events of the stack, sent to an encrypted SNS topic."""

    topic_arn: pulumi.Output[str]

    def __init__(self, name: str, args: AlarmsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("saas:monitoring:Alarms", name, None, opts)
        self._name, self._args, self._context = name, args, args.context
        self._topic = self._create_topic()
        self._log_metric("flux-errors", alarms.FLUX_ERRORS, alarms.FLUX_ERRORS_METRIC, value="1", default="0")
        self._log_metric(
            "tenants-failing",
            alarms.TENANTS_FAILING,
            alarms.TENANTS_FAILING_METRIC,
            value=alarms.TENANTS_FAILING_VALUE,
        )
        for alarm in alarms.alarms(args.cluster_name, FLUX_NAMESPACE, args.flux_pods):
            self._alarm(alarm)
        for event in alarms.events(guard_duty=args.settings.guard_duty):
            self._event(event)
        if args.settings.guard_duty:
            aws.guardduty.Detector(name, enable=True, opts=args.context.child(self))
        self.topic_arn = self._topic.arn
        self.register_outputs({"topicArn": self.topic_arn})

    def _create_topic(self) -> aws.sns.Topic:
        args, context = self._args, self._context
        key = EncryptionKey(
            f"{self._name}-alarms",
            EncryptionKeyArgs(
                context=context,
                purpose="alarms",
                description=f"Alarms of {args.cluster_name}",
                services=alarms_use_key(context.account),
            ),
            pulumi.ResourceOptions(parent=self),
        )
        topic_name = f"{context.prefix}-alarms"
        arn = f"arn:aws:sns:{context.region}:{context.account}:{topic_name}"
        topic = aws.sns.Topic(
            f"{self._name}-alarms",
            name=topic_name,
            kms_master_key_id=key.arn,
            policy=topic_policy(arn, context.account),
            opts=context.child(self),
        )
        for address in args.settings.emails:
            aws.sns.TopicSubscription(
                f"{self._name}-{address}",
                topic=topic.arn,
                protocol="email",
                endpoint=address,
                opts=context.child(self),
            )
        return topic

    def _log_metric(self, name: str, pattern: str, metric: str, *, value: str, default: str | None = None) -> None:
        """A metric made of the lines that Flux's pods log. Without a default, minutes without a line have no value."""
        aws.cloudwatch.LogMetricFilter(
            f"{self._name}-{name}",
            name=f"{self._context.prefix}-{name}",
            log_group_name=self._args.flux_logs.name,
            pattern=pattern,
            metric_transformation=aws.cloudwatch.LogMetricFilterMetricTransformationArgs(
                name=metric, namespace=alarms.NAMESPACE, value=value, default_value=default
            ),
            opts=self._context.child(self),
        )

    def _alarm(self, alarm: alarms.Alarm) -> None:
        aws.cloudwatch.MetricAlarm(
            f"{self._name}-{alarm.name}",
            name=f"{self._context.prefix}-{alarm.name}",
            alarm_description=alarm.description,
            comparison_operator=alarm.comparison,
            threshold=alarm.threshold,
            evaluation_periods=alarm.periods,
            treat_missing_data=alarm.missing,
            metric_queries=[
                *(
                    {
                        "id": metric.identifier,
                        "return_data": not alarm.expression,
                        "metric": {
                            "namespace": metric.namespace,
                            "metric_name": metric.name,
                            "dimensions": dict(metric.dimensions),
                            "stat": metric.statistic,
                            "period": alarm.period,
                        },
                    }
                    for metric in alarm.metrics
                ),
                *([{"id": "result", "expression": alarm.expression, "return_data": True}] if alarm.expression else []),
            ],
            alarm_actions=[self._topic.arn],
            ok_actions=[self._topic.arn],
            opts=self._context.child(self),
        )

    def _event(self, event: alarms.Event) -> None:
        rule = aws.cloudwatch.EventRule(
            f"{self._name}-{event.name}",
            name=f"{self._context.prefix}-{event.name}",
            description=event.description,
            event_pattern=json.dumps(event.pattern, sort_keys=True),
            opts=self._context.child(self),
        )
        aws.cloudwatch.EventTarget(
            f"{self._name}-{event.name}",
            rule=rule.name,
            target_id="topic",
            arn=self._topic.arn,
            opts=self._context.child(self),
        )


def create_container_logs(
    settings: Settings, context: AwsContext | None, key_arn: pulumi.Input[str] | None = None
) -> ContainerLogs | None:
    """The log groups of the stack's containers; None where the settings ask for no monitoring.

    With the platform's key, only tenants' groups are to follow.
    """
    if not (settings.aws and settings.aws.monitoring and context):
        return None
    return ContainerLogs(
        settings.cluster,
        ContainerLogsArgs(context, settings.cluster, settings.aws.monitoring, key_arn),
    )


def create_alarms(
    configuration: Configuration, context: AwsContext | None, logs: ContainerLogs | None
) -> Alarms | None:
    """The stack's alarms; None where the settings ask for no monitoring."""
    settings = configuration.settings
    if not (settings.aws and settings.aws.monitoring and context and logs):
        return None
    return Alarms(
        settings.cluster,
        AlarmsArgs(
            context=context,
            cluster_name=settings.cluster,
            settings=settings.aws.monitoring,
            flux_pods=len(configuration.flux.deployments),
            flux_logs=logs.groups[FLUX_NAMESPACE],
        ),
    )


def create_tenant_log_groups(
    logs: ContainerLogs | None, tenants: Sequence[Tenant]
) -> Mapping[str, aws.cloudwatch.LogGroup]:
    """The log group of each tenant's containers, by the tenant's name."""
    return {tenant.name: logs.tenant_group(tenant.name) for tenant in tenants} if logs else {}
