"""Objects and permissions for EKS Auto Mode: node class and pool, network policy switch, tagging policy, targets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from model.config.aws import NodeSettings, is_arm
from model.config.names import FLUX_NAMESPACE
from model.iam.documents import allow, document
from model.kubernetes.manifests import Manifest
from model.kubernetes.receivers import WEBHOOK_RECEIVER

NAME = "platform"


def network_policy_switch() -> Manifest:
    """ConfigMap without which Auto Mode accepts network policies and does not enforce them."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "amazon-vpc-cni", "namespace": "kube-system"},
        "data": {"enable-network-policy-controller": "true"},
    }


def tagging_policy(account: str) -> str:
    """IAM policy that lets the control plane's role tag nodes and volumes; AWS' managed policies do not.

    As in the EKS user guide ("Custom AWS tags for EKS Auto resources"), narrowed to the resources of nodes and
    volumes. EKS names the cluster in the role's session, so that it creates nothing in the name of another cluster.
    """
    own = {"aws:RequestTag/eks:eks-cluster-name": "${aws:PrincipalTag/eks:eks-cluster-name}"}

    def tagged_with(*required: str) -> Mapping[str, Any]:
        return {"StringEquals": own, "StringLike": {f"aws:RequestTag/eks:kubernetes-{tag}": "*" for tag in required}}

    def arns(*kinds: str) -> Sequence[str]:
        return [f"arn:aws:ec2:*:{account}:{kind}/*" for kind in kinds]

    return document(
        allow(
            ["ec2:CreateFleet", "ec2:RunInstances", "ec2:CreateLaunchTemplate"],
            arns("fleet", "instance", "launch-template", "network-interface", "spot-instances-request", "volume"),
            tagged_with("node-class-name", "node-pool-name"),
        ),
        allow(["ec2:CreateNetworkInterface"], arns("network-interface"), tagged_with("cni-node-name")),
        allow(["ec2:CreateVolume"], arns("volume"), {"StringEquals": own}),
    )


def node_class(
    nodes: NodeSettings, role: Any, subnets: Sequence[Any], security_group: Any, tags: Mapping[str, str]
) -> Manifest:
    """NodeClass of the platform's nodes: Auto Mode's built-in class cannot be changed.

    Role, subnets and security group may be outputs.
    """
    return {
        "apiVersion": "eks.amazonaws.com/v1",
        "kind": "NodeClass",
        "metadata": {"name": NAME},
        "spec": {
            "role": role,
            "subnetSelectorTerms": [{"id": subnet} for subnet in subnets],
            "securityGroupSelectorTerms": [{"id": security_group}],
            # Every tenant has a default-deny policy; Flux has to work before its policies exist.
            "networkPolicy": "DefaultAllow",
            "networkPolicyEventLogs": "Enabled",
            "ephemeralStorage": {"size": f"{nodes.disk_gib}Gi"},
            "tags": dict(tags),
        },
    }


def node_pool(nodes: NodeSettings) -> Manifest:
    """NodePool: instance types, capacity and the CPU limit."""
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


def target_group_binding(target_group: Any) -> Manifest:
    """TargetGroupBinding by which Auto Mode registers the pods of Flux's webhook receiver; the ARN may be an output."""
    return {
        "apiVersion": "eks.amazonaws.com/v1",
        "kind": "TargetGroupBinding",
        "metadata": {"name": WEBHOOK_RECEIVER, "namespace": FLUX_NAMESPACE},
        "spec": {
            "serviceRef": {"name": WEBHOOK_RECEIVER, "port": 80},
            "targetGroupARN": target_group,
            "targetType": "ip",
        },
    }
