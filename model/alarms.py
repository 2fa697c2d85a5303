"""CloudWatch alarms and EventBridge rules that notify the platform team."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

NAMESPACE = "saas-in-eks"
"""CloudWatch namespace of the stack's own metrics."""
FLUX_ERRORS = '{ ($.log_processed.level = "error") && ($.log_processed.namespace = "flux-system") }'
"""Filter for errors of the platform's own reconciliations. Those of tenants are in other namespaces."""
FLUX_ERRORS_METRIC = "FluxErrors"
TENANTS_FAILING = '{ $.log_processed.msg = "tenants" }'
"""Filter for the watchdog's summary of all tenants, once a minute."""
TENANTS_FAILING_VALUE = "$.log_processed.failingPercent"
TENANTS_FAILING_METRIC = "TenantsFailing"

ABOVE, BELOW = "GreaterThanThreshold", "LessThanThreshold"


@dataclass(frozen=True)
class Metric:
    """A metric of CloudWatch."""

    namespace: str
    name: str
    dimensions: Mapping[str, str] = field(default_factory=dict[str, str])
    statistic: str = "Maximum"
    identifier: str = "metric"


@dataclass(frozen=True)
class Alarm:
    """An alarm, with what to do first in its description."""

    name: str
    description: str
    metrics: Sequence[Metric]
    threshold: float
    expression: str = ""
    """Computes the value from the metrics; empty for the only metric itself."""
    comparison: str = ABOVE
    period: int = 300
    """Seconds."""
    periods: int = 3
    missing: str = "notBreaching"


@dataclass(frozen=True)
class Event:
    """Events of EventBridge that are passed on."""

    name: str
    description: str
    pattern: Mapping[str, Any]


def alarms(cluster: str, flux_namespace: str, flux_pods: int) -> Iterator[Alarm]:
    """The alarms of a cluster."""
    here = {"ClusterName": cluster}
    insights = "ContainerInsights"
    yield Alarm(
        "api-errors",
        "More than one in a hundred requests to the Kubernetes API fails (5xx). Look at the control plane's logs, then "
        "at the AWS Health Dashboard.",
        [
            Metric("AWS/EKS", "apiserver_request_total_5XX", here, "Sum", "errors"),
            Metric("AWS/EKS", "apiserver_request_total", here, "Sum", "requests"),
        ],
        1,
        expression="IF(requests > 0, 100 * errors / requests, 0)",
    )
    yield Alarm(
        "pods-pending",
        "Pods have found no node for half an hour. Raise cpuLimit or desired in aws.cluster.nodes, or look for the "
        "tenant whose pods fit on no node: kubectl get pods -A --field-selector status.phase=Pending.",
        [Metric("AWS/EKS", "scheduler_pending_pods_UNSCHEDULABLE", here)],
        0,
        periods=6,
    )
    for resource, remedy in (
        ("cpu", "Tenants share CPU beyond their requests: raise the number of nodes or lower quotas."),
        ("memory", "The kubelet evicts pods soon: raise the number of nodes or lower quotas."),
        ("filesystem", "The kubelet deletes images and evicts pods soon: raise aws.cluster.nodes.diskGib."),
    ):
        yield Alarm(
            f"node-{resource}",
            f"A node uses more than 90% of its {resource}. {remedy}",
            [Metric(insights, f"node_{resource}_utilization", here)],
            90,
        )
    yield Alarm(
        "flux-pods",
        f"Flux has fewer than {flux_pods} running controllers: kubectl get pods -n {flux_namespace}.",
        [Metric(insights, "namespace_number_of_running_pods", {**here, "Namespace": flux_namespace}, "Minimum")],
        flux_pods,
        comparison=BELOW,
        missing="breaching",
    )
    yield Alarm(
        "flux-sync",
        "Flux has not been able to apply the infra repository for half an hour: kubectl get kustomizations,"
        f"gitrepositories -n {flux_namespace}.",
        [Metric(NAMESPACE, FLUX_ERRORS_METRIC, statistic="Sum")],
        0,
        periods=6,
    )
    yield Alarm(
        "tenants-failing",
        "More than one in ten tenants have not been able to apply their product for a quarter of an hour. The cause is "
        "likely to be common to them: a commit, a guard rail, Flux. Look at kubectl get kustomizations -A.",
        [Metric(NAMESPACE, TENANTS_FAILING_METRIC, statistic="Minimum")],
        10,
    )
    yield Alarm(
        "pods-failing",
        "Of more than one in ten pods, a container has not started for half an hour: its image cannot be pulled, or it "
        "crashes again and again. kubectl get pods -A names them.",
        [
            Metric(insights, "pod_container_status_waiting_reason_crash_loop_back_off", here, "Average", "crashes"),
            Metric(insights, "pod_container_status_waiting_reason_image_pull_error", here, "Average", "pulls"),
        ],
        10,
        expression="100 * (crashes + pulls)",
        periods=6,
    )
    standard = {"Type": "Resource", "Service": "EC2", "Resource": "vCPU", "Class": "Standard/OnDemand"}
    yield Alarm(
        "vcpu-quota",
        "The account uses more than 80% of its vCPUs (quota L-1216C47A): ask for more before nodes are missing.",
        [Metric("AWS/Usage", "ResourceCount", standard, identifier="used")],
        80,
        expression="100 * used / SERVICE_QUOTA(used)",
    )


def events(*, guard_duty: bool) -> Iterator[Event]:
    """The events of AWS that are alarms by themselves."""
    yield Event(
        "certificates",
        "A certificate of ACM expires soon and was not renewed",
        {
            "source": ["aws.acm"],
            "detail-type": ["ACM Certificate Approaching Expiration", "ACM Certificate Expired"],
        },
    )
    yield Event(
        "backups",
        "A backup, or a restore, has failed",
        {
            "source": ["aws.backup"],
            "detail-type": ["Backup Job State Change", "Restore Job State Change"],
            "detail": {
                "state": ["FAILED", "ABORTED", "EXPIRED", "PARTIAL"],
            },
        },
    )
    if guard_duty:
        yield Event(
            "threats",
            "GuardDuty has found a threat of medium or high severity",
            {
                "source": ["aws.guardduty"],
                "detail-type": ["GuardDuty Finding"],
                "detail": {"severity": [{"numeric": [">=", 4]}]},
            },
        )
