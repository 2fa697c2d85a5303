"""Nodes of an EKS cluster: a managed node group with add-ons, or EKS Auto Mode."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws
import pulumi_eks as eks
import pulumi_kubernetes as kubernetes

from components.aws.context import AwsContext
from components.objects import KubernetesObject
from model.config.aws import ClusterSettings, processor
from model.iam.documents import pod_identity_trust, service_trust
from model.kubernetes import auto_mode

POLICY = "arn:aws:iam::aws:policy/"
BEFORE_NODES = ("vpc-cni", "kube-proxy", "eks-pod-identity-agent")
"""Add-ons that a node needs to become ready; all others need nodes to run on."""
ADDON_ROLES: Mapping[str, tuple[str, str]] = {
    "vpc-cni": ("aws-node", f"{POLICY}AmazonEKS_CNI_Policy"),
    "aws-ebs-csi-driver": ("ebs-csi-controller-sa", f"{POLICY}service-role/AmazonEBSCSIDriverPolicy"),
}
"""Service account and policy of each add-on that acts on AWS, in place of permissions of the nodes."""
ADDON_VALUES: Mapping[str, object] = {"vpc-cni": {"enableNetworkPolicy": "true"}}
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
        self._role = aws.iam.Role(
            f"{name}-node",
            name=f"{self._context.prefix}-node",
            assume_role_policy=service_trust("ec2.amazonaws.com", self._context.account),
            permissions_boundary=self._context.boundary,
            opts=self._context.child(self),
        )
        # Add-ons and tenants get their AWS rights by Pod Identity: a node joins and pulls images, nothing else.
        self._node_policies = [
            aws.iam.RolePolicyAttachment(
                f"{name}-node-{attached}",
                role=self._role.name,
                policy_arn=f"{POLICY}{attached}",
                opts=self._context.child(self),
            )
            for attached in (policy, "AmazonEC2ContainerRegistryPullOnly")
        ]
        self.role_arn = self._role.arn

    def _addon(self, addon: str, *depends_on: pulumi.Resource) -> aws.eks.Addon:
        account, policy = ADDON_ROLES.get(addon, ("", ""))
        values = ADDON_VALUES.get(addon)
        depends_on = (self._args.cluster, *depends_on)
        identities = None
        if account:
            role, attachment = self._addon_role(addon, account, policy)
            identities = [aws.eks.AddonPodIdentityAssociationArgs(service_account=account, role_arn=role.arn)]
            depends_on = (*depends_on, attachment)
        return aws.eks.Addon(
            f"{self._name}-{addon}",
            cluster_name=self._cluster,
            addon_name=addon,
            addon_version=self._args.settings.addons[addon],
            configuration_values=json.dumps(values) if values else None,
            pod_identity_associations=identities,
            resolve_conflicts_on_create="OVERWRITE",
            # A tuned CoreDNS (Corefile, replicas) survives an upgrade.
            resolve_conflicts_on_update="PRESERVE" if addon == "coredns" else "OVERWRITE",
            opts=self._context.child(self, depends_on=depends_on),
        )

    def _addon_role(self, addon: str, account: str, policy: str) -> tuple[aws.iam.Role, pulumi.Resource]:
        trust = self._arn.apply(lambda arn: pod_identity_trust(self._context.account, arn, "kube-system", account))
        role = aws.iam.Role(
            f"{self._name}-{addon}",
            name=f"{self._context.prefix}-{addon}",
            assume_role_policy=trust,
            permissions_boundary=self._context.boundary,
            opts=self._context.child(self),
        )
        attachment = aws.iam.RolePolicyAttachment(
            f"{self._name}-{addon}", role=role.name, policy_arn=policy, opts=self._context.child(self)
        )
        return role, attachment


class ManagedNodes(Nodes):
    """A managed node group on Amazon Linux 2023 and the cluster's add-ons; both are upgraded in place."""

    def __init__(self, name: str, args: NodesArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("ManagedNodes", name, args, "AmazonEKSWorkerNodePolicy", opts)
        addons = args.settings.addons
        early = [self._addon(addon) for addon in addons if addon in BEFORE_NODES]
        group = self._group(early)
        late = [self._addon(addon, group) for addon in addons if addon not in BEFORE_NODES]
        self.ready = [group, *early, *late]
        self.register_outputs({"roleArn": self.role_arn})

    def _group(self, early: Sequence[pulumi.Resource]) -> aws.eks.NodeGroup:
        args, nodes = self._args, self._args.settings.nodes
        template = self._launch_template()
        return aws.eks.NodeGroup(
            self._name,
            cluster_name=self._cluster,
            # A prefix, so that a replaced group (other instance types) gets its successor first.
            node_group_name_prefix=f"{args.cluster_name}-",
            node_role_arn=self._role.arn,
            subnet_ids=list(args.private_subnet_ids),
            ami_type=processor(nodes.instance_types[0]),
            instance_types=nodes.instance_types,
            capacity_type={"onDemand": "ON_DEMAND", "spot": "SPOT"}[nodes.capacity],
            version=args.settings.version,
            release_version=nodes.release or None,
            launch_template={"id": template.id, "version": template.latest_version.apply(str)},
            scaling_config={"min_size": nodes.minimum, "max_size": nodes.maximum, "desired_size": nodes.minimum},
            update_config={"max_unavailable_percentage": 33},
            opts=self._context.child(
                self,
                depends_on=[args.cluster, *self._node_policies, *early, *args.depends_on],
                # An autoscaler may change it once the group exists.
                ignore_changes=["scalingConfig.desiredSize"],
            ),
        )

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
        return [pool, *(self._addon(addon, pool) for addon in args.settings.addons)]
