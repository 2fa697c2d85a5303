"""What a cluster in EKS Auto Mode needs before it enforces network policies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from model.aws import NodeSettings, is_arm
from model.manifests import Manifest

NAME = "platform"


def network_policy_switch() -> Manifest:
    """Without it Auto Mode accepts network policies and enforces none."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "amazon-vpc-cni", "namespace": "kube-system"},
        "data": {"enable-network-policy-controller": "true"},
    }


def node_class(nodes: NodeSettings, role: Any, subnets: Sequence[Any], security_group: Any) -> Manifest:
    """How nodes are made; role, subnets and security group are values that only a deployment can tell.

    The class that Auto Mode brings cannot be changed, so the nodes get one of the platform's own.
    """
    return {
        "apiVersion": "eks.amazonaws.com/v1",
        "kind": "NodeClass",
        "metadata": {"name": NAME},
        "spec": {
            "role": role,
            "subnetSelectorTerms": [{"id": subnet} for subnet in subnets],
            "securityGroupSelectorTerms": [{"id": security_group}],
            # Allow until a policy speaks: every tenant has one that denies by default, Flux must work before it does.
            "networkPolicy": "DefaultAllow",
            "networkPolicyEventLogs": "Enabled",
            "ephemeralStorage": {"size": f"{nodes.disk_gib}Gi"},
        },
    }


def node_pool(nodes: NodeSettings) -> Manifest:
    """Which nodes there may be, and how many."""
    values = {
        "kubernetes.io/arch": ["arm64" if is_arm(nodes.instance_types[0]) else "amd64"],
        "node.kubernetes.io/instance-type": nodes.instance_types,
        "karpenter.sh/capacity-type": ["on-demand" if nodes.capacity == "onDemand" else "spot"],
    }
    requirements = [{"key": key, "operator": "In", "values": value} for key, value in values.items()]
    node_class = {"group": "eks.amazonaws.com", "kind": "NodeClass", "name": NAME}
    return {
        "apiVersion": "karpenter.sh/v1",
        "kind": "NodePool",
        "metadata": {"name": NAME},
        "spec": {
            "limits": {"cpu": str(nodes.cpu_limit)},
            "template": {"spec": {"nodeClassRef": node_class, "requirements": requirements}},
        },
    }
