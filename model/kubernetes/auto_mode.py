"""What a cluster in EKS Auto Mode needs before it enforces network policies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from model.config.aws import NodeSettings, is_arm
from model.iam.documents import allow, document
from model.kubernetes.manifests import Manifest

NAME = "platform"


def network_policy_switch() -> Manifest:
    """Without it Auto Mode accepts network policies and enforces none."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "amazon-vpc-cni", "namespace": "kube-system"},
        "data": {"enable-network-policy-controller": "true"},
    }


def tagging(account: str) -> str:
    """For the control plane's role: nodes with other tags than Auto Mode's own, which is all that AWS' policies allow.

    As in the EKS user guide ("Custom AWS tags for EKS Auto resources"), narrowed to what a node consists of. EKS names
    the cluster in the role's session, so that it makes nothing in another one's name.
    """
    own = {"aws:RequestTag/eks:eks-cluster-name": "${aws:PrincipalTag/eks:eks-cluster-name}"}

    def made_for(*told: str) -> Mapping[str, Any]:
        return {"StringEquals": own, "StringLike": {f"aws:RequestTag/eks:kubernetes-{tag}": "*" for tag in told}}

    def arns(*kinds: str) -> Sequence[str]:
        return [f"arn:aws:ec2:*:{account}:{kind}/*" for kind in kinds]

    return document(
        allow(
            ["ec2:CreateFleet", "ec2:RunInstances", "ec2:CreateLaunchTemplate"],
            arns("fleet", "instance", "launch-template", "network-interface", "spot-instances-request", "volume"),
            made_for("node-class-name", "node-pool-name"),
        ),
        allow(["ec2:CreateNetworkInterface"], arns("network-interface"), made_for("cni-node-name")),
    )


def node_class(
    nodes: NodeSettings, role: Any, subnets: Sequence[Any], security_group: Any, tags: Mapping[str, str]
) -> Manifest:
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
            "tags": dict(tags),
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
