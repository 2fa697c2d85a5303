"""The security groups that pulumi-eks makes for a control plane and its nodes, with the rules between them."""

from __future__ import annotations

from typing import Any

import pulumi
import pulumi_aws as aws

INTERNET = ["0.0.0.0/0"]


class SecurityGroups:
    """The cluster's group at first; `add_nodes` makes the nodes' once the cluster's name is known."""

    nodes: aws.ec2.SecurityGroup
    ingress: aws.ec2.SecurityGroupRule
    """Lets pods reach the API server."""

    def __init__(
        self,
        name: str,
        vpc_id: pulumi.Input[str],
        tags: pulumi.Input[dict[str, str]],
        opts: pulumi.ResourceOptions,
    ) -> None:
        self._name, self._vpc_id, self._opts = name, vpc_id, opts
        self.cluster = aws.ec2.SecurityGroup(
            f"{name}-eksClusterSecurityGroup", vpc_id=vpc_id, revoke_rules_on_delete=True, tags=tags, opts=opts
        )
        self._rule(
            "eksClusterInternetEgressRule",
            self.cluster,
            "Allow internet access.",
            "egress",
            peer={"cidr_blocks": INTERNET},
        )

    def add_nodes(self, body: aws.eks.Cluster, tags: pulumi.Output[dict[str, str]]) -> None:
        """Make the nodes' group, and the rules."""
        name = f"{self._name}-nodeSecurityGroup"
        self.nodes = aws.ec2.SecurityGroup(
            name,
            vpc_id=self._vpc_id,
            revoke_rules_on_delete=True,
            tags=pulumi.Output.all(tags, body.name).apply(
                lambda known: {"Name": name, f"kubernetes.io/cluster/{known[1]}": "owned", **known[0]}
            ),
            opts=self._opts,
        )
        source: dict[str, Any] = {"source_security_group_id": self.cluster.id}
        self._rule("eksNodeIngressRule", self.nodes, "Allow nodes to communicate with each other", peer={"self": True})
        self._rule(
            "eksNodeClusterIngressRule",
            self.nodes,
            "Allow worker Kubelets and pods to receive communication from the cluster control plane",
            ports=(1025, 65535),
            peer=source,
        )
        self._rule(
            "eksExtApiServerClusterIngressRule",
            self.nodes,
            "Allow pods running extension API servers on port 443 to receive communication from cluster control plane",
            ports=(443, 443),
            peer=source,
        )
        self._rule(
            "eksNodeInternetEgressRule", self.nodes, "Allow internet access.", "egress", peer={"cidr_blocks": INTERNET}
        )
        self.ingress = self._rule(
            "eksClusterIngressRule",
            self.cluster,
            "Allow pods to communicate with the cluster API Server",
            ports=(443, 443),
            peer={"source_security_group_id": self.nodes.id},
        )

    def _rule(
        self,
        role: str,
        group: aws.ec2.SecurityGroup,
        description: str,
        direction: str = "ingress",
        ports: tuple[int, int] | None = None,
        *,
        peer: dict[str, Any],
    ) -> aws.ec2.SecurityGroupRule:
        lowest, highest = ports or (0, 0)
        return aws.ec2.SecurityGroupRule(
            f"{self._name}-{role}",
            description=description,
            type=direction,
            from_port=lowest,
            to_port=highest,
            protocol="tcp" if ports else "-1",
            security_group_id=group.id,
            opts=self._opts,
            **peer,
        )
