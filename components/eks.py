"""An EKS cluster: provisioned as production needs it, or adopted as it is."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws
import pulumi_eks as eks

from components.cluster import Cluster, cluster_provider
from components.encryption import EncryptionKey, EncryptionKeyArgs
from components.objects import KubernetesObject
from model import auto_mode
from model.aws import ClusterSettings, processor
from model.aws_facts import LOG_TYPES
from model.iam_documents import logs_use_key, pod_identity_trust, service_trust
from model.kubeconfig import eks_kubeconfig
from model.kubernetes import version_problem

POLICY = "arn:aws:iam::aws:policy/"
ACCESS_POLICY = "arn:aws:eks::aws:cluster-access-policy/"
BEFORE_NODES = ("vpc-cni", "kube-proxy", "eks-pod-identity-agent")
"""Add-ons that a node needs to become ready; all others need nodes to run on."""
ADDON_ROLES: Mapping[str, tuple[str, str]] = {
    "vpc-cni": ("aws-node", f"{POLICY}AmazonEKS_CNI_Policy"),
    "aws-ebs-csi-driver": ("ebs-csi-controller-sa", f"{POLICY}service-role/AmazonEBSCSIDriverPolicy"),
}
"""Which service account of an add-on acts on AWS, and with which policy: the nodes themselves may not."""
ADDON_VALUES: Mapping[str, object] = {"vpc-cni": {"enableNetworkPolicy": "true"}}


@dataclass(frozen=True)
class EksClusterArgs:
    """A cluster to provision, and the network it lives in."""

    cluster_name: str
    prefix: str
    """What the names of its AWS resources begin with."""
    settings: ClusterSettings
    region: str
    account: str
    vpc_id: pulumi.Input[str]
    private_subnet_ids: Sequence[pulumi.Input[str]]
    public_subnet_ids: Sequence[pulumi.Input[str]]
    network_ready: Sequence[pulumi.Resource]
    """What nodes need to reach the internet or AWS' endpoints."""
    protected: bool
    aws: aws.Provider


class EksCluster(Cluster):
    """A control plane that only those who are named can reach, and nodes that outlive upgrades.

    The pulumi-eks component with its defaults overridden: API authentication, a private endpoint, all logs, secrets
    encrypted with a key of the stack's own, the standard upgrade policy, and no add-on that nobody manages.
    """

    arn: pulumi.Output[str]
    node_role_arn: pulumi.Output[str]
    kubeconfig: pulumi.Output[str]

    def __init__(self, name: str, args: EksClusterArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("saas:cluster:EksCluster", name, None, opts)
        self._name, self._args = name, args
        settings, auto = args.settings, args.settings.compute == "auto"
        secrets = EncryptionKey(
            f"{name}-secrets",
            EncryptionKeyArgs(
                alias=f"{args.prefix}-secrets",
                description=f"Secrets in etcd of the EKS cluster {args.cluster_name}",
                account=args.account,
                protected=args.protected,
                aws=args.aws,
            ),
            pulumi.ResourceOptions(parent=self),
        )
        logs = self._log_group()
        cluster = eks.Cluster(
            name,
            name=args.cluster_name,
            version=settings.version,
            upgrade_policy={"support_type": "STANDARD"},
            vpc_id=args.vpc_id,
            private_subnet_ids=list(args.private_subnet_ids),
            public_subnet_ids=list(args.public_subnet_ids) or None,
            authentication_mode=eks.AuthenticationMode.API,
            access_entries=self._access_entries(),
            endpoint_private_access=True,
            endpoint_public_access=bool(settings.public_access),
            public_access_cidrs=settings.public_access or None,
            encryption_config_key_arn=secrets.arn,
            enabled_cluster_log_types=list(LOG_TYPES),
            deletion_protection=args.protected,
            create_oidc_provider=True,
            skip_default_node_group=True,
            node_associate_public_ip_address=False,
            bootstrap_self_managed_addons=False,
            use_default_vpc_cni=True,
            coredns_addon_options=eks.CoreDnsAddonOptionsArgs(enabled=False),
            kube_proxy_addon_options=eks.KubeProxyAddonOptionsArgs(enabled=False),
            auto_mode=eks.AutoModeOptionsArgs(
                enabled=True, create_node_role=False, compute_config=eks.ClusterComputeConfigArgs(node_pools=[])
            )
            if auto
            else None,
            opts=pulumi.ResourceOptions(
                parent=self,
                providers={"aws": args.aws},
                protect=args.protected,
                depends_on=[logs, secrets, *args.network_ready],
            ),
        )
        body = cluster.eks_cluster
        self.cluster_name = args.cluster_name
        self.kubernetes_version = body.apply(lambda one: one.version)
        self.arn = body.apply(lambda one: one.arn)
        self.kubeconfig = pulumi.Output.all(
            endpoint=body.apply(lambda one: one.endpoint),
            authority=body.apply(lambda one: one.certificate_authority.apply(lambda it: it.data or "")),
        ).apply(lambda it: eks_kubeconfig(args.cluster_name, it["endpoint"], it["authority"], args.region))
        role = self._node_role(auto)
        self.node_role_arn = role.arn
        ready = (self._auto_nodes if auto else self._nodes)(role, cluster)
        self.provider = cluster_provider(name, args.cluster_name, self.kubeconfig, self, ready)
        if auto:
            self._auto_pool(role, cluster)
        self.register_outputs({"arn": self.arn, "kubernetesVersion": self.kubernetes_version})

    def _log_group(self) -> aws.cloudwatch.LogGroup:
        """Before the cluster, which would make it unencrypted and keep it for ever."""
        args = self._args
        group = f"/aws/eks/{args.cluster_name}/cluster"
        key = EncryptionKey(
            f"{self._name}-logs",
            EncryptionKeyArgs(
                alias=f"{args.prefix}-cluster-logs",
                description=f"Logs of the EKS cluster {args.cluster_name}",
                account=args.account,
                protected=args.protected,
                aws=args.aws,
                services=[logs_use_key(args.region, args.account, group)],
            ),
            pulumi.ResourceOptions(parent=self),
        )
        return aws.cloudwatch.LogGroup(
            self._name,
            name=group,
            retention_in_days=args.settings.log_days,
            kms_key_id=key.arn,
            opts=self._child(),
        )

    def _access_entries(self) -> dict[str, eks.AccessEntryArgs]:
        """Who may use the Kubernetes API, under the names of their roles."""
        settings = self._args.settings
        kinds = {"AmazonEKSClusterAdminPolicy": settings.administrators, "AmazonEKSViewPolicy": settings.viewers}
        return {
            principal.partition(":role/")[2] or principal: eks.AccessEntryArgs(
                principal_arn=principal,
                access_policies={
                    policy: eks.AccessPolicyAssociationArgs(
                        policy_arn=f"{ACCESS_POLICY}{policy}",
                        access_scope=aws.eks.AccessPolicyAssociationAccessScopeArgs(type="cluster"),
                    )
                },
            )
            for policy, principals in kinds.items()
            for principal in principals
        }

    def _node_role(self, auto: bool) -> aws.iam.Role:
        """What a node may do: join, and pull images. What add-ons and tenants do is theirs, by Pod Identity."""
        role = aws.iam.Role(
            f"{self._name}-node",
            name=f"{self._args.prefix}-node",
            assume_role_policy=service_trust("ec2.amazonaws.com", self._args.account),
            opts=self._child(),
        )
        join = "AmazonEKSWorkerNodeMinimalPolicy" if auto else "AmazonEKSWorkerNodePolicy"
        for policy in (join, "AmazonEC2ContainerRegistryPullOnly"):
            aws.iam.RolePolicyAttachment(
                f"{self._name}-node-{policy}", role=role.name, policy_arn=f"{POLICY}{policy}", opts=self._child()
            )
        return role

    def _nodes(self, role: aws.iam.Role, cluster: eks.Cluster) -> Sequence[pulumi.Resource]:
        """A managed node group and all add-ons; what comes last, on which everything in the cluster waits."""
        args, nodes = self._args, self._args.settings.nodes
        early = [self._addon(addon, cluster) for addon in args.settings.addons if addon in BEFORE_NODES]
        template = aws.ec2.LaunchTemplate(
            f"{self._name}-node",
            name=f"{args.prefix}-node",
            update_default_version=True,
            metadata_options={
                "http_endpoint": "enabled",
                "http_tokens": "required",
                # A pod is one hop further than its node, so no tenant gets the node's credentials.
                "http_put_response_hop_limit": 1,
            },
            block_device_mappings=[
                {
                    "device_name": "/dev/xvda",
                    "ebs": {
                        "volume_type": "gp3",
                        "volume_size": nodes.disk_gib,
                        "encrypted": "true",
                        "delete_on_termination": "true",
                    },
                }
            ],
            tag_specifications=[
                {"resource_type": kind, "tags": {"Name": f"{args.prefix}-node"}} for kind in ("instance", "volume")
            ],
            opts=self._child(),
        )
        group = aws.eks.NodeGroup(
            self._name,
            cluster_name=cluster.eks_cluster.apply(lambda one: one.name),
            # A prefix, so that a group that has to be replaced (other instance types) has its successor first.
            node_group_name_prefix=f"{args.cluster_name}-",
            node_role_arn=role.arn,
            subnet_ids=list(args.private_subnet_ids),
            ami_type=processor(nodes.instance_types[0]),
            instance_types=nodes.instance_types,
            capacity_type={"onDemand": "ON_DEMAND", "spot": "SPOT"}[nodes.capacity],
            version=args.settings.version,
            release_version=nodes.release or None,
            launch_template={"id": template.id, "version": template.latest_version.apply(str)},
            scaling_config={"min_size": nodes.minimum, "max_size": nodes.maximum, "desired_size": nodes.minimum},
            update_config={"max_unavailable_percentage": 33},
            opts=self._child(
                *early,
                cluster,
                role,
                *args.network_ready,
                # An autoscaler's business once the group exists.
                ignore_changes=["scalingConfig.desiredSize"],
            ),
        )
        late = [self._addon(addon, cluster, group) for addon in args.settings.addons if addon not in BEFORE_NODES]
        return [group, *early, *late]

    def _addon(self, addon: str, cluster: eks.Cluster, *needed: pulumi.Resource) -> aws.eks.Addon:
        account, policy = ADDON_ROLES.get(addon, ("", ""))
        values = ADDON_VALUES.get(addon)
        return aws.eks.Addon(
            f"{self._name}-{addon}",
            cluster_name=cluster.eks_cluster.apply(lambda one: one.name),
            addon_name=addon,
            addon_version=self._args.settings.addons[addon],
            configuration_values=json.dumps(values) if values else None,
            pod_identity_associations=[
                {"service_account": account, "role_arn": self._addon_role(addon, account, policy).arn}
            ]
            if account
            else None,
            resolve_conflicts_on_create="OVERWRITE",
            resolve_conflicts_on_update="PRESERVE" if addon == "coredns" else "OVERWRITE",
            opts=self._child(cluster, *needed),
        )

    def _addon_role(self, addon: str, account: str, policy: str) -> aws.iam.Role:
        role = aws.iam.Role(
            f"{self._name}-{addon}",
            name=f"{self._args.prefix}-{addon}",
            assume_role_policy=self.arn.apply(
                lambda arn: pod_identity_trust(self._args.account, arn, "kube-system", account)
            ),
            opts=self._child(),
        )
        aws.iam.RolePolicyAttachment(f"{self._name}-{addon}", role=role.name, policy_arn=policy, opts=self._child())
        return role

    def _auto_nodes(self, role: aws.iam.Role, cluster: eks.Cluster) -> Sequence[pulumi.Resource]:
        """Auto Mode brings its own add-ons; what it lacks is leave for nodes of a class of ours to join."""
        entry = aws.eks.AccessEntry(
            f"{self._name}-node",
            cluster_name=cluster.eks_cluster.apply(lambda one: one.name),
            principal_arn=role.arn,
            type="EC2",
            opts=self._child(cluster),
        )
        association = aws.eks.AccessPolicyAssociation(
            f"{self._name}-node",
            cluster_name=cluster.eks_cluster.apply(lambda one: one.name),
            principal_arn=role.arn,
            policy_arn=f"{ACCESS_POLICY}AmazonEKSAutoNodePolicy",
            access_scope={"type": "cluster"},
            opts=self._child(entry),
        )
        addons = [self._addon(addon, cluster) for addon in self._args.settings.addons]
        return [association, *addons]

    def _auto_pool(self, role: aws.iam.Role, cluster: eks.Cluster) -> None:
        """Nodes that enforce network policies: Auto Mode's own accept and ignore them."""
        security_group = cluster.eks_cluster.apply(
            lambda one: one.vpc_config.apply(lambda it: it.cluster_security_group_id or "")
        )
        nodes = self._args.settings.nodes
        inside = pulumi.ResourceOptions(parent=self, provider=self.provider)
        KubernetesObject("network-policies", auto_mode.network_policy_switch(), inside)
        subnets = list(self._args.private_subnet_ids)
        node_class = KubernetesObject("nodes", auto_mode.node_class(nodes, role.name, subnets, security_group), inside)
        after = pulumi.ResourceOptions(parent=self, provider=self.provider, depends_on=[node_class])
        self.capacity = [KubernetesObject("nodes", auto_mode.node_pool(nodes), after)]

    def _child(self, *needed: pulumi.Resource, **more: object) -> pulumi.ResourceOptions:
        opts = pulumi.ResourceOptions(parent=self, provider=self._args.aws, depends_on=list(needed))
        return pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(**more))  # pyright: ignore[reportArgumentType]


@dataclass(frozen=True)
class AdoptedEksClusterArgs:
    """An EKS cluster that exists, by its name."""

    cluster_name: str
    region: str
    aws: aws.Provider


class AdoptedEksCluster(Cluster):
    """Uses an EKS cluster that somebody else provisioned, and changes nothing about it on AWS."""

    arn: pulumi.Output[str]
    kubeconfig: pulumi.Output[str]

    def __init__(self, name: str, args: AdoptedEksClusterArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("saas:cluster:AdoptedEksCluster", name, None, opts)
        found = aws.eks.get_cluster_output(
            name=args.cluster_name, opts=pulumi.InvokeOutputOptions(parent=self, provider=args.aws)
        )
        self.cluster_name = args.cluster_name
        self.arn = found.arn
        self.kubernetes_version = found.version.apply(_supported)
        self.kubeconfig = pulumi.Output.all(
            endpoint=found.endpoint, authority=found.certificate_authorities[0].data, version=self.kubernetes_version
        ).apply(lambda it: eks_kubeconfig(args.cluster_name, it["endpoint"], it["authority"], args.region))
        self.provider = cluster_provider(name, args.cluster_name, self.kubeconfig, self)
        self.register_outputs({"arn": self.arn, "kubernetesVersion": self.kubernetes_version})


def _supported(version: str) -> str:
    if problem := version_problem(version):
        raise pulumi.RunError(problem)
    return version
