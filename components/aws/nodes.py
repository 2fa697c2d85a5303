"""Nodes of an EKS cluster: a managed node group with add-ons, or EKS Auto Mode."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pulumi
import pulumi_aws as aws
import pulumi_eks as eks
import pulumi_kubernetes as kubernetes

from components.aws.addons import BEFORE_NODES, AddonArgs, create_addon
from components.aws.context import AwsContext
from components.aws.roles import create_role
from components.objects import KubernetesObject
from model import warnings
from model.config.aws import AWS_POLICY, ClusterSettings, ami_release_parameter, processor
from model.iam.documents import service_trust
from model.kubernetes import auto_mode

CAPACITY_TYPES = {"onDemand": "ON_DEMAND", "spot": "SPOT"}
TAGGED_TYPES = ("instance", "volume", "network-interface")
"""Resources that EC2 creates from a launch template, and tags only as it says."""


@dataclass(frozen=True)
class NodesArgs:
    """The cluster that needs nodes, and their subnets."""

    context: AwsContext
    cluster_name: str
    settings: ClusterSettings
    cluster: eks.Cluster
    private_subnet_ids: Sequence[pulumi.Input[str]]
    depends_on: Sequence[pulumi.Resource] = ()
    """Routes and endpoints by which nodes reach the internet or AWS."""
    addon_values: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Configuration of add-ons that other parts of the stack need, by the add-on's name."""


class Nodes(pulumi.ComponentResource):
    """Node role that can join the cluster and pull images, and add-ons with roles of their own."""

    role_arn: pulumi.Output[str]
    ready: Sequence[pulumi.Resource]
    """Nodes and add-ons that everything in the cluster depends on."""

    def __init__(
        self, kind: str, name: str, args: NodesArgs, policy: str, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__(f"saas:cluster:{kind}", name, None, opts)
        self._name, self._args, self._context = name, args, args.context
        self._cluster = args.cluster.eks_cluster.apply(lambda cluster: cluster.name)
        self._arn = args.cluster.eks_cluster.apply(lambda cluster: cluster.arn)
        # Add-ons and tenants get their AWS rights by Pod Identity: a node joins and pulls images, nothing else.
        self._role, self._node_policies = create_role(
            f"{name}-node",
            self._context,
            self,
            role="node",
            trust=service_trust("ec2.amazonaws.com", self._context.account),
            policies={
                f"{name}-node-{attached}": f"{AWS_POLICY}{attached}"
                for attached in (policy, "AmazonEC2ContainerRegistryPullOnly")
            },
        )
        self.role_arn = self._role.arn

    def _addons(self, names: Sequence[str], *depends_on: pulumi.Resource) -> list[pulumi.Resource]:
        args = self._args
        return [
            create_addon(
                self._name,
                name,
                AddonArgs(
                    context=self._context,
                    cluster_name=self._cluster,
                    cluster_arn=self._arn,
                    settings=args.settings.addons[name],
                    values=args.addon_values.get(name, {}),
                ),
                self,
                [args.cluster, *depends_on],
            )
            for name in names
        ]


class ManagedNodes(Nodes):
    """A managed node group on Amazon Linux 2023 and the cluster's add-ons; both are upgraded in place."""

    def __init__(self, name: str, args: NodesArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("ManagedNodes", name, args, "AmazonEKSWorkerNodePolicy", opts)
        addons = args.settings.addons
        early = self._addons([name for name in addons if name in BEFORE_NODES])
        group = self._group(early)
        late = self._addons([name for name in addons if name not in BEFORE_NODES], group)
        self.ready = [group, *early, *late]
        self.register_outputs({"roleArn": self.role_arn})

    def _group(self, early: Sequence[pulumi.Resource]) -> aws.eks.NodeGroup:
        args, nodes = self._args, self._args.settings.nodes
        template = self._launch_template()
        newest = pulumi.Output.from_input(nodes.release or self._newest_release())
        _warn_of_changes(args, newest)
        return aws.eks.NodeGroup(
            self._name,
            cluster_name=self._cluster,
            # A prefix, so that a replaced group (other instance types) gets its successor first.
            node_group_name_prefix=f"{args.cluster_name}-",
            node_role_arn=self._role.arn,
            subnet_ids=list(args.private_subnet_ids),
            ami_type=processor(nodes.instance_types[0]),
            instance_types=nodes.instance_types,
            capacity_type=CAPACITY_TYPES[nodes.capacity],
            version=args.settings.version,
            # Named, because EKS takes the newest one only when it creates a group or changes its Kubernetes version.
            release_version=newest,
            launch_template={"id": template.id, "version": template.latest_version.apply(str)},
            scaling_config={"min_size": nodes.minimum, "max_size": nodes.maximum, "desired_size": nodes.number},
            update_config={"max_unavailable_percentage": 33},
            # EKS replaces a node that stays unhealthy.
            node_repair_config={"enabled": True},
            opts=self._context.child(self, depends_on=[args.cluster, *self._node_policies, *early, *args.depends_on]),
        )

    def _newest_release(self) -> pulumi.Output[str]:
        """The AMI release that AWS recommends today: a preview shows when nodes lack security patches."""
        settings = self._args.settings
        parameter = aws.ssm.get_parameter_output(
            name=ami_release_parameter(settings.version, settings.nodes.instance_types[0]),
            opts=pulumi.InvokeOutputOptions(parent=self, provider=self._context.provider),
        )
        return parameter.insecure_value  # public; the other one is a secret to the provider

    def _launch_template(self) -> aws.ec2.LaunchTemplate:
        name = f"{self._context.prefix}-node"
        disk = {
            "volume_type": "gp3",
            "volume_size": self._args.settings.nodes.disk_gib,
            "encrypted": "true",
            "delete_on_termination": "true",
        }
        return aws.ec2.LaunchTemplate(
            f"{self._name}-node",
            name=name,
            update_default_version=True,
            metadata_options={
                "http_endpoint": "enabled",
                "http_tokens": "required",
                # A pod is one hop further than its node, so no tenant gets the node's credentials.
                "http_put_response_hop_limit": 1,
            },
            block_device_mappings=[{"device_name": "/dev/xvda", "ebs": disk}],  # pyright: ignore[reportArgumentType]
            tag_specifications=[
                {"resource_type": kind, "tags": {**self._context.tags, "Name": name}} for kind in TAGGED_TYPES
            ],
            opts=self._context.child(self),
        )


class AutoNodes(Nodes):
    """EKS Auto Mode with its built-in add-ons, and a node class that enforces network policies."""

    def __init__(self, name: str, args: NodesArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("AutoNodes", name, args, "AmazonEKSWorkerNodeMinimalPolicy", opts)
        entry = aws.eks.AccessEntry(
            f"{name}-node",
            cluster_name=self._cluster,
            principal_arn=self._role.arn,
            type="EC2",
            opts=self._context.child(self, depends_on=[args.cluster]),
        )
        node_access = aws.eks.AccessPolicyAssociation(
            f"{name}-node",
            cluster_name=self._cluster,
            principal_arn=self._role.arn,
            policy_arn="arn:aws:eks::aws:cluster-access-policy/AmazonEKSAutoNodePolicy",
            access_scope={"type": "cluster"},
            opts=self._context.child(self, depends_on=[entry]),
        )
        tagging_policy = aws.iam.RolePolicy(
            f"{name}-tags",
            name="tags",
            # The control plane's role, which pulumi-eks creates.
            role=args.cluster.eks_cluster.apply(
                lambda cluster: cluster.role_arn.apply(lambda arn: arn.rpartition("/")[2])
            ),
            policy=auto_mode.tagging_policy(self._context.account),
            opts=self._context.child(self, depends_on=[args.cluster]),
        )
        self.ready = [node_access, tagging_policy, *self._node_policies, *args.depends_on]
        self.register_outputs({"roleArn": self.role_arn})

    def pool(self, provider: kubernetes.Provider) -> Sequence[pulumi.Resource]:
        """The node class and pool inside the cluster, and the add-ons that run on these nodes."""
        args, nodes = self._args, self._args.settings.nodes
        security_group = args.cluster.eks_cluster.apply(
            lambda cluster: cluster.vpc_config.apply(lambda vpc: vpc.cluster_security_group_id or "")
        )
        inside = pulumi.ResourceOptions(parent=self, provider=provider)
        # An object of EKS: what others have set in it is not overwritten.
        switch = KubernetesObject("network-policies", auto_mode.network_policy_switch(), inside, force=False)
        subnets = list(args.private_subnet_ids)
        manifest = auto_mode.node_class(nodes, self._role.name, subnets, security_group, self._context.tags)
        node_class = KubernetesObject("nodes", manifest, inside)
        after = pulumi.ResourceOptions(parent=self, provider=provider, depends_on=[node_class, switch])
        pool = KubernetesObject("nodes", auto_mode.node_pool(nodes), after)
        # Add-ons that nodes need to become ready are built into Auto Mode; all others need nodes first.
        return [pool, *self._addons(list(args.settings.addons), pool)]


def _warn_of_changes(args: NodesArgs, newest: pulumi.Output[str]) -> None:
    """Warn, in a preview too, of what an update does to running nodes: a new AMI release, or their replacement.

    Only warnings depend on the answers, no resource.
    """
    options = pulumi.InvokeOptions(provider=args.context.provider)
    if args.cluster_name not in aws.eks.get_clusters(opts=options).names:
        return
    nodes = args.settings.nodes
    for name in aws.eks.get_node_groups(cluster_name=args.cluster_name, opts=options).names:
        if not name.startswith(f"{args.cluster_name}-"):
            continue
        group = aws.eks.get_node_group(cluster_name=args.cluster_name, node_group_name=name, opts=options)
        replaced = warnings.group_replacement(
            {"instanceTypes": group.instance_types, "capacity": [group.capacity_type]},
            {"instanceTypes": nodes.instance_types, "capacity": [CAPACITY_TYPES[nodes.capacity]]},
            warnings.group_cpus(nodes),
        )
        if replaced:
            pulumi.log.warn(replaced)
        else:
            newest.apply(lambda release, current=group.release_version: _warn(warnings.nodes_behind(current, release)))


def _warn(text: str | None) -> None:
    if text:
        pulumi.log.warn(text)
