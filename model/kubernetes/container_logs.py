"""Container logs in CloudWatch: a log group for each namespace, and Fluent Bit's configuration for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from model.config.names import FLUX_NAMESPACE

PLATFORM_NAMESPACES = (FLUX_NAMESPACE, "kube-system", "amazon-cloudwatch")
METRICS_AND_NODES = ("performance", "host", "dataplane")
"""Groups of Container Insights that the agent would create without an end of retention."""


def insights_group(cluster: str, name: str) -> str:
    """The name that Container Insights gives a log group."""
    return f"/aws/containerinsights/{cluster}/{name}"


def namespace_group(cluster: str, namespace: str) -> str:
    """The log group of the containers in a namespace."""
    return insights_group(cluster, f"application/{namespace}")


def observability_values(cluster: str, log_days: int) -> Mapping[str, Any]:
    """Configuration of the CloudWatch Observability add-on: each namespace's logs go to a group of their own.

    The namespace is part of a log file's name, which the kubelet writes: no container can log into another tenant's
    group. Annotations of pods, which tenants write, neither choose a parser nor exclude logs.
    """
    return {
        "containerLogs": {
            "fluentBit": {"config": {"extraFiles": {"application-log.conf": _fluent_bit(cluster, log_days)}}}
        }
    }


def _fluent_bit(cluster: str, log_days: int) -> str:
    sections: list[tuple[str, Mapping[str, str]]] = [
        (
            "INPUT",
            {
                "Name": "tail",
                "Tag": "application.*",
                "Path": "/var/log/containers/*.log",
                # Its own log would grow with every line that it sends.
                "Exclude_Path": "/var/log/containers/fluent-bit*",
                "multiline.parser": "docker, cri",
                "DB": "/var/fluent-bit/state/flb_container.db",
                "Mem_Buf_Limit": "50MB",
                "Skip_Long_Lines": "On",
                "storage.type": "filesystem",
                "Read_from_Head": "${READ_FROM_HEAD}",
            },
        ),
        (
            "FILTER",
            {
                "Name": "kubernetes",
                "Match": "application.*",
                "Kube_Tag_Prefix": "application.var.log.containers.",
                "Merge_Log": "On",
                "Merge_Log_Key": "log_processed",
                "K8S-Logging.Parser": "Off",
                "K8S-Logging.Exclude": "Off",
                "Labels": "Off",
                "Annotations": "Off",
                "Use_Kubelet": "On",
                "Kubelet_Port": "10250",
                "Buffer_Size": "0",
            },
        ),
        (
            "OUTPUT",
            {
                "Name": "cloudwatch_logs",
                "Match": "application.*",
                "region": "${AWS_REGION}",
                # Of a line without a namespace.
                "log_group_name": insights_group(cluster, "host"),
                "log_group_template": namespace_group(cluster, "$kubernetes['namespace_name']"),
                "log_stream_prefix": "${HOST_NAME}-",
                "log_stream_template": "$kubernetes['pod_name'].$kubernetes['container_name']",
                # For namespaces that the stack does not know.
                "auto_create_group": "On",
                "log_retention_days": str(log_days),
            },
        ),
    ]
    return "\n".join(
        line
        for name, values in sections
        for line in (f"[{name}]", *(f"    {key} {value}" for key, value in values.items()), "")
    )
