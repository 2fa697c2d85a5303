"""EKS cluster: provisioned for production, or adopted unchanged."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pulumi
import pulumi_aws as aws
import pulumi_eks as eks

from components.aws.context import AwsContext
from components.aws.kms import EncryptionKey, EncryptionKeyArgs
from components.aws.left_on_aws import deletion_hook
from components.aws.monitoring import ContainerLogs
from components.aws.network import VpcNetwork
from components.aws.nodes import AutoNodes, ManagedNodes, NodesArgs
from components.aws.roles import create_role
from components.cluster import Cluster, cluster_provider
from model.config.aws import AWS_POLICY, LOG_TYPES, OBSERVABILITY, ClusterSettings, service_cidr
from model.config.stack import Settings
from model.iam.documents import cluster_trust, logs_use_key
from model.kubernetes.cluster import eks_kubeconfig, version_problem

ACCESS_POLICY = "arn:aws:eks::aws:cluster-access-policy/"
CLUSTER_POLICY = "AmazonEKSClusterPolicy"
AUTO_MODE_POLICIES = (
    "AmazonEKSComputePolicy",
    "AmazonEKSBlockStoragePolicy",
    "AmazonEKSLoadBalancingPolicy",
    "AmazonEKSNetworkingPolicy",
)
"""Policies of the control plane's role, which creates and deletes nodes, volumes and load balancers in Auto Mode."""


@dataclass(frozen=True)
class EksClusterArgs:
    """A cluster to provision, and its network."""

    context: AwsContext
    cluster_name: str
    settings: ClusterSettings
    vpc_id: pulumi.Input[str]
    private_subnet_ids: Sequence[pulumi.Input[str]]
    """For the control plane's network interfaces and the nodes. Load balancers find the public ones by their tags."""
    check: Callable[[str], str]
    service_cidr: str | None
    """Addresses of the cluster's Services, which never change; None lets EKS choose."""
    depends_on: Sequence[pulumi.Resource] = ()
    """Routes and endpoints by which nodes reach the internet or AWS, and log groups that they would create."""
    addon_values: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Configuration of add-ons that other parts of the stack need, by the add-on's name."""


class EksCluster(Cluster):
    """EKS control plane with restricted access, and nodes that survive upgrades.

    The pulumi-eks component with its defaults overridden: API authentication, a private endpoint, all logs, secrets
    encrypted with a key of the stack's own, the standard upgrade policy, and no self-managed add-ons. The control
    plane's role and security group are the stack's: children of the component are protected with it, and its own group
    for nodes is one that no node here has. There is no OIDC provider, because add-ons and tenants use Pod Identity.
    """

    arn: pulumi.Output[str]
    node_role_arn: pulumi.Output[str]
    pods_security_group_id: pulumi.Output[str]
    """The group that EKS makes for control plane and nodes."""

    def __init__(self, name: str, args: EksClusterArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("saas:cluster:EksCluster", name, None, opts)
        self._name, self._args, self._context = name, args, args.context
        settings, context, auto = args.settings, args.context, args.settings.compute == "auto"
        secrets = EncryptionKey(
            f"{name}-secrets",
            EncryptionKeyArgs(
                context=context,
                purpose="secrets",
                description=f"Secrets in etcd of the EKS cluster {args.cluster_name}",
            ),
            pulumi.ResourceOptions(parent=self),
        )
        logs = self._log_group()
        role, policies = self._service_role()
        group, rules = self._security_group()
        cluster = eks.Cluster(
            name,
            name=args.cluster_name,
            version=settings.version,
            upgrade_policy={"support_type": "STANDARD"},
            vpc_id=args.vpc_id,
            private_subnet_ids=list(args.private_subnet_ids),
            service_role=role,
            cluster_security_group=group,
            skip_default_security_groups=True,
            authentication_mode=eks.AuthenticationMode.API,
            endpoint_private_access=True,
            endpoint_public_access=bool(settings.public_access),
            public_access_cidrs=settings.public_access or None,
            kubernetes_service_ip_address_range=args.service_cidr,
            encryption_config_key_arn=secrets.arn,
            enabled_cluster_log_types=list(LOG_TYPES),
            deletion_protection=context.protected,
            skip_default_node_group=True,
            # Otherwise AWS_PROFILE of the person who runs Pulumi becomes part of the state.
            provider_credential_opts=eks.KubeconfigOptionsArgs(),
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
                providers={"aws": context.provider},
                protect=context.protected,
                depends_on=[logs, secrets, *policies, *args.depends_on],
            ),
        )
        control_plane = cluster.eks_cluster
        self.cluster_name = args.cluster_name
        self.kubernetes_version = control_plane.apply(lambda cluster: cluster.version)
        self.arn = control_plane.apply(lambda cluster: cluster.arn)
        self.pods_security_group_id = control_plane.apply(
            lambda cluster: cluster.vpc_config.apply(lambda vpc: vpc.cluster_security_group_id or "")
        )
        self.kubeconfig = pulumi.Output.all(
            endpoint=control_plane.apply(lambda cluster: cluster.endpoint),
            authority=control_plane.apply(
                lambda cluster: cluster.certificate_authority.apply(lambda ca: ca.data or "")
            ),
        ).apply(lambda api: eks_kubeconfig(args.cluster_name, api["endpoint"], api["authority"], context.region))
        access = self._access(cluster)
        nodes = (AutoNodes if auto else ManagedNodes)(
            name,
            NodesArgs(
                context=context,
                cluster_name=args.cluster_name,
                settings=settings,
                cluster=cluster,
                private_subnet_ids=args.private_subnet_ids,
                depends_on=args.depends_on,
                addon_values=args.addon_values,
            ),
            pulumi.ResourceOptions(parent=self),
        )
        self.node_role_arn = nodes.role_arn
        # The caller may need one of these access entries, or one of the rules.
        ready = [*nodes.ready, *access, *rules]
        checked = self.kubeconfig.apply(args.check)
        self.provider = cluster_provider(name, args.cluster_name, checked, self, ready, deletion_hook())
        self.ready = nodes.pool(self.provider) if isinstance(nodes, AutoNodes) else [self.provider]
        self.register_outputs({"arn": self.arn, "kubernetesVersion": self.kubernetes_version})

    def _log_group(self) -> aws.cloudwatch.LogGroup:
        """Created before the cluster, which would create it unencrypted and without an end of retention.

        EKS writes for a while after a cluster is gone, and creates the group again: then it is taken over.
        """
        args, context = self._args, self._context
        group = f"/aws/eks/{args.cluster_name}/cluster"
        key = EncryptionKey(
            f"{self._name}-logs",
            EncryptionKeyArgs(
                context=context,
                purpose="cluster-logs",
                description=f"Logs of the EKS cluster {args.cluster_name}",
                services=[logs_use_key(context.region, context.account, group)],
            ),
            pulumi.ResourceOptions(parent=self),
        )
        asked = pulumi.InvokeOptions(provider=context.provider)
        found = aws.cloudwatch.get_log_groups(log_group_name_prefix=group, opts=asked)
        adopted = pulumi.ResourceOptions(import_=group if group in found.log_group_names else None)
        return aws.cloudwatch.LogGroup(
            self._name,
            name=group,
            retention_in_days=args.settings.log_days,
            kms_key_id=key.arn,
            opts=pulumi.ResourceOptions.merge(context.child(self, protect=context.protected), adopted),
        )

    def _service_role(self) -> tuple[aws.iam.Role, Sequence[pulumi.Resource]]:
        """The role that EKS assumes for the control plane, and its policies."""
        args, context, own = self._args, self._context, f"{self._name}-control-plane"
        names = [CLUSTER_POLICY, *(AUTO_MODE_POLICIES if args.settings.compute == "auto" else ())]
        return create_role(
            own,
            context,
            self,
            role="control-plane",
            description=f"Control plane of the EKS cluster {args.cluster_name}",
            trust=cluster_trust(context.region, context.account, args.cluster_name),
            policies={f"{own}-{policy}": f"{AWS_POLICY}{policy}" for policy in names},
        )

    def _security_group(self) -> tuple[aws.ec2.SecurityGroup, Sequence[pulumi.Resource]]:
        """The control plane's own group: who reaches the private endpoint from outside of the cluster.

        EKS adds a group that nodes and control plane share; it lets in its members only, and all of their packets out.
        """
        args, context, own = self._args, self._context, f"{self._name}-control-plane"
        tags = {"Name": f"{context.prefix}-control-plane"}
        group = aws.ec2.SecurityGroup(
            own,
            name=f"{context.prefix}-control-plane",
            description=f"Private endpoint of the EKS cluster {args.cluster_name}",
            vpc_id=args.vpc_id,
            tags=tags,
            opts=context.child(self),
        )
        return group, [
            aws.vpc.SecurityGroupIngressRule(
                f"{own}-{network}",
                security_group_id=group.id,
                description="Kubernetes API",
                ip_protocol="tcp",
                from_port=443,
                to_port=443,
                cidr_ipv4=network,
                tags=tags,
                opts=context.child(self),
            )
            for network in args.settings.private_access
        ]

    def _access(self, cluster: eks.Cluster) -> Sequence[pulumi.Resource]:
        """Access entries of the IAM roles that may use the Kubernetes API.

        Not by the pulumi-eks component: it is protected with all its parts, so no role could be removed again.
        """
        settings = self._args.settings
        policies = {"AmazonEKSClusterAdminPolicy": settings.administrators, "AmazonEKSViewPolicy": settings.viewers}
        return [
            self._access_entry(cluster, principal, policy)
            for policy, principals in policies.items()
            for principal in principals
        ]

    def _access_entry(self, cluster: eks.Cluster, principal: str, policy: str) -> pulumi.Resource:
        name = f"{self._name}-{principal.partition(':role/')[2] or principal}"
        cluster_name = cluster.eks_cluster.apply(lambda cluster: cluster.name)
        entry = aws.eks.AccessEntry(
            name,
            cluster_name=cluster_name,
            principal_arn=principal,
            opts=self._context.child(self, depends_on=[cluster]),
        )
        return aws.eks.AccessPolicyAssociation(
            # The policy is part of the name: a viewer who becomes administrator is not a replacement.
            f"{name}-{policy}",
            cluster_name=cluster_name,
            principal_arn=principal,
            policy_arn=f"{ACCESS_POLICY}{policy}",
            access_scope={"type": "cluster"},
            opts=self._context.child(self, depends_on=[entry]),
        )


@dataclass(frozen=True)
class AdoptedEksClusterArgs:
    """An existing EKS cluster."""

    context: AwsContext
    cluster_name: str
    check: Callable[[str], str]


class AdoptedEksCluster(Cluster):
    """Existing EKS cluster, used by its name; nothing of it changes on AWS."""

    arn: pulumi.Output[str]

    def __init__(self, name: str, args: AdoptedEksClusterArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("saas:cluster:AdoptedEksCluster", name, None, opts)
        cluster = aws.eks.get_cluster_output(
            name=args.cluster_name, opts=pulumi.InvokeOutputOptions(parent=self, provider=args.context.provider)
        )
        self.cluster_name = args.cluster_name
        self.arn = cluster.arn
        self.kubernetes_version = cluster.version.apply(_supported)
        self.kubeconfig = pulumi.Output.all(
            endpoint=cluster.endpoint,
            authority=cluster.certificate_authorities[0].data,
            version=self.kubernetes_version,  # for its check: an unsupported cluster gets no kubeconfig
        ).apply(lambda api: eks_kubeconfig(args.cluster_name, api["endpoint"], api["authority"], args.context.region))
        self.provider = cluster_provider(name, args.cluster_name, self.kubeconfig.apply(args.check), self)
        self.ready = [self.provider]
        self.register_outputs({"arn": self.arn, "kubernetesVersion": self.kubernetes_version})


@dataclass(frozen=True)
class PlatformEksClusterArgs:
    """The cluster of the platform's stack, by its outputs."""

    cluster_name: str
    adopted: bool
    """Whether the platform's stack has adopted it."""
    arn: pulumi.Output[str]
    kubernetes_version: pulumi.Output[str]
    kubeconfig: pulumi.Output[str]
    check: Callable[[str], str]


class PlatformEksCluster(Cluster):
    """EKS cluster of the platform's stack, in that of a shard."""

    arn: pulumi.Output[str]

    def __init__(self, name: str, args: PlatformEksClusterArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        # The type in the platform's stack, so that the provider has the same URN there: tenants' state can be moved.
        super().__init__(f"saas:cluster:{'AdoptedEksCluster' if args.adopted else 'EksCluster'}", name, None, opts)
        self.cluster_name = args.cluster_name
        self.arn = args.arn
        self.kubernetes_version = args.kubernetes_version
        self.kubeconfig = args.kubeconfig
        self.provider = cluster_provider(name, args.cluster_name, args.kubeconfig.apply(args.check), self)
        self.ready = [self.provider]
        self.register_outputs({"arn": self.arn, "kubernetesVersion": self.kubernetes_version})


def _supported(version: str) -> str:
    if problem := version_problem(version):
        raise pulumi.RunError(problem)
    return version


def create_eks_cluster(
    settings: Settings,
    context: AwsContext | None,
    network: VpcNetwork | None,
    check: Callable[[str], str],
    logs: ContainerLogs | None,
) -> EksCluster | AdoptedEksCluster | None:
    """The stack's EKS cluster, in its network or adopted; None for a stack that has nothing on AWS."""
    if settings.aws is None or context is None:
        return None
    if network is None:
        return AdoptedEksCluster(
            settings.cluster, AdoptedEksClusterArgs(context=context, cluster_name=settings.cluster, check=check)
        )
    return EksCluster(
        settings.cluster,
        EksClusterArgs(
            context=context,
            cluster_name=settings.cluster,
            settings=settings.aws.cluster,
            vpc_id=network.vpc_id,
            private_subnet_ids=network.private_subnet_ids,
            check=check,
            # The addresses of an existing VPC are not in the configuration: EKS chooses some that are free.
            service_cidr=None if settings.aws.network.existing else service_cidr(settings.aws.network),
            depends_on=[*network.ready, *(logs.ready if logs else ())],
            addon_values={OBSERVABILITY: logs.agent_values} if logs else {},
        ),
    )
