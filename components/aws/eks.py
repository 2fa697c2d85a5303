"""An EKS cluster: provisioned as production needs it, or adopted as it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws
import pulumi_eks as eks

from components.aws.kms import EncryptionKey, EncryptionKeyArgs
from components.aws.nodes import AutoNodes, ManagedNodes, NodesArgs
from components.cluster import Cluster, cluster_provider
from model.config.aws import ClusterSettings
from model.config.aws_facts import LOG_TYPES
from model.iam.documents import logs_use_key
from model.kubernetes.kubeconfig import eks_kubeconfig
from model.kubernetes.version import version_problem

ACCESS_POLICY = "arn:aws:eks::aws:cluster-access-policy/"


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
    service_cidr: str | None
    """Where the cluster's services are, for good; None for where EKS puts them."""
    tags: Mapping[str, str]
    """What nodes carry; the tags of the provider do not reach what EKS makes."""
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
    ready: Sequence[pulumi.Resource]
    """Nodes and add-ons, the Pod Identity agent among them."""

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
            endpoint_private_access=True,
            endpoint_public_access=bool(settings.public_access),
            public_access_cidrs=settings.public_access or None,
            kubernetes_service_ip_address_range=args.service_cidr,
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
        access = self._access(cluster)
        needed = NodesArgs(
            cluster_name=args.cluster_name,
            prefix=args.prefix,
            settings=settings,
            account=args.account,
            cluster=cluster,
            private_subnet_ids=args.private_subnet_ids,
            network_ready=args.network_ready,
            tags=args.tags,
            aws=args.aws,
        )
        nodes = (AutoNodes if auto else ManagedNodes)(name, needed, pulumi.ResourceOptions(parent=self))
        self.node_role_arn = nodes.role_arn
        self.ready = nodes.ready
        # Whoever runs the program may be one of those who were let in.
        self.provider = cluster_provider(name, args.cluster_name, self.kubeconfig, self, [*nodes.ready, *access])
        if isinstance(nodes, AutoNodes):
            self.capacity = nodes.pool(self.provider)
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
            opts=pulumi.ResourceOptions(parent=self, provider=args.aws, protect=args.protected),
        )

    def _access(self, cluster: eks.Cluster) -> Sequence[pulumi.Resource]:
        """Who may use the Kubernetes API, under the names of their roles.

        Not by the component, whose parts are protected with it: nobody could be taken off the list.
        """
        settings = self._args.settings
        kinds = {"AmazonEKSClusterAdminPolicy": settings.administrators, "AmazonEKSViewPolicy": settings.viewers}
        return [
            self._let_in(cluster, principal, policy) for policy, principals in kinds.items() for principal in principals
        ]

    def _let_in(self, cluster: eks.Cluster, principal: str, policy: str) -> pulumi.Resource:
        name = f"{self._name}-{principal.partition(':role/')[2] or principal}"
        cluster_name = cluster.eks_cluster.apply(lambda one: one.name)

        def child(needed: pulumi.Resource) -> pulumi.ResourceOptions:
            return pulumi.ResourceOptions(parent=self, provider=self._args.aws, depends_on=[needed])

        entry = aws.eks.AccessEntry(name, cluster_name=cluster_name, principal_arn=principal, opts=child(cluster))
        return aws.eks.AccessPolicyAssociation(
            # With the policy's name, so that a viewer who becomes administrator is no replacement.
            f"{name}-{policy}",
            cluster_name=cluster_name,
            principal_arn=principal,
            policy_arn=f"{ACCESS_POLICY}{policy}",
            access_scope={"type": "cluster"},
            opts=child(entry),
        )


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
