"""The component `eks:index:Cluster`: its children in the order in which pulumi-eks registers them."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

import pulumi
import pulumi_aws as aws
import pulumi_kubernetes as kubernetes

from standins.eks import arguments
from standins.eks.addons import VpcCniAddon, plain_addon
from standins.eks.kubeconfig import kubeconfig, region_of
from standins.eks.network import thumbprint, wait_for_endpoint
from standins.eks.security_groups import SecurityGroups
from standins.eks.service_role import ServiceRole

TOKEN = "eks:index:Cluster"  # noqa: S105 - a type's name
CLUSTER_POLICY = "AmazonEKSClusterPolicy"
AUTO_CLUSTER_POLICIES = (
    "AmazonEKSComputePolicy",
    "AmazonEKSBlockStoragePolicy",
    "AmazonEKSLoadBalancingPolicy",
    "AmazonEKSNetworkingPolicy",
)
AUTO_NODE_POLICIES = ("AmazonEKSWorkerNodeMinimalPolicy", "AmazonEC2ContainerRegistryPullOnly")


class Cluster(pulumi.ComponentResource):
    """An EKS cluster. `state` holds the component's outputs."""

    state: dict[str, Any]

    def __init__(self, name: str, inputs: Mapping[str, Any], opts: pulumi.ResourceOptions | None) -> None:
        super().__init__(TOKEN, name, None, opts)
        self._name, self._inputs = name, inputs
        self._auto = arguments.is_auto(inputs)
        self._tags = inputs.get("tags")
        self._partition = aws.get_partition_output(opts=pulumi.InvokeOutputOptions(parent=self)).partition
        needed: list[pulumi.Resource] = []
        service_role = self._service_role(needed)
        groups = self._security_groups()
        node_role = self._auto_node_role(needed)
        subnets = self._subnets()
        group: aws.ec2.SecurityGroup | None = groups.cluster if groups else inputs.get("clusterSecurityGroup")
        body = self._body(service_role, node_role, group, subnets, needed)
        if arguments.has_kube_proxy(inputs, self._auto):
            options = inputs.get("kubeProxyAddonOptions") or {}
            plain_addon(name, "kube-proxy", cluster_name=body.name, options=options, tags=self._tags, parent=self)
        authority = body.certificate_authority.apply(lambda authority: authority.data or "")
        endpoint = body.endpoint
        if inputs.get("endpointPublicAccess") and not pulumi.runtime.is_dry_run():
            endpoint = endpoint.apply(wait_for_endpoint)
        parts = pulumi.Output.all(body.name, endpoint, body.arn.apply(region_of), authority)
        document = parts.apply(lambda known: kubeconfig(*known))
        # As in pulumi-eks, the profile of the person who runs Pulumi gets into this provider's inputs, unless the
        # program passes options, even empty ones.
        options = inputs.get("providerCredentialOpts")
        credentials = {"profileName": os.environ.get("AWS_PROFILE")} if options is None else options
        provider = kubernetes.Provider(
            f"{name}-eks-k8s",
            kubeconfig=pulumi.Output.all(parts, credentials).apply(lambda known: json.dumps(_kubeconfig(*known))),
            opts=pulumi.ResourceOptions(parent=self),
        )
        entries = self._access_entries(body)
        vpc_cni = self._vpc_cni(body, provider, entries)
        if arguments.has_coredns(inputs, self._auto):
            options = inputs.get("corednsAddonOptions") or {}
            plain_addon(name, "coredns", cluster_name=body.name, options=options, tags=self._tags, parent=self)
        oidc = self._oidc_provider(body, authority) if inputs.get("createOidcProvider") else None
        if groups:
            groups.add_nodes(body, self._merged_tags("nodeSecurityGroupTags"))
        issuer = body.identities.apply(_issuer)
        own_group = body.vpc_config.apply(lambda vpc: vpc.cluster_security_group_id or "")
        core = {
            "cluster": body,
            "clusterIamRole": service_role,
            "endpoint": body.endpoint,
            "instanceRoles": [],
            "nodeGroupOptions": {},
            "provider": provider,
            "subnetIds": subnets,
            "vpcId": inputs["vpcId"],
            "publicSubnetIds": inputs.get("publicSubnetIds"),
            "privateSubnetIds": inputs.get("privateSubnetIds"),
            "clusterSecurityGroup": group,
            "kubeconfig": document,
            "oidcProvider": oidc,
            "storageClasses": {},
            "tags": self._tags,
            "vpcCni": vpc_cni,
        }
        self.state = {
            "autoModeNodeRoleName": node_role.name if node_role else "",
            "clusterIngressRuleId": groups.ingress.security_group_rule_id if groups else "",
            "clusterSecurityGroup": group,
            "clusterSecurityGroupId": group.id if group else own_group,
            "core": {key: value for key, value in core.items() if value is not None},
            "defaultNodeGroupAsgName": "",
            "eksCluster": body,
            "eksClusterIngressRule": groups.ingress if groups else None,
            "fargateProfileId": "",
            "fargateProfileStatus": "",
            "instanceRoles": [],
            "kubeconfig": document,
            "kubeconfigJson": document.apply(lambda known: json.dumps(known, separators=(",", ":"))),
            "nodeSecurityGroup": groups.nodes if groups else None,
            "nodeSecurityGroupId": groups.nodes.id if groups else own_group,
            "oidcIssuer": issuer.apply(lambda url: url.removeprefix("https://")),
            "oidcProviderArn": oidc.arn if oidc else "",
            "oidcProviderUrl": issuer,
        }
        self.register_outputs(self.state)

    def _child(self, **more: Any) -> pulumi.ResourceOptions:
        return pulumi.ResourceOptions(parent=self, **more)

    def _merged_tags(self, key: str, **own: str) -> pulumi.Output[dict[str, str]]:
        """The resource's own tags, overridden by those of `key`, overridden by those for everything."""
        return pulumi.Output.all(self._inputs.get(key), self._tags).apply(
            lambda given: {**own, **(given[0] or {}), **(given[1] or {})}
        )

    def _service_role(self, needed: list[pulumi.Resource]) -> Any:
        if "serviceRole" in self._inputs:
            return self._inputs["serviceRole"]
        made = ServiceRole(
            f"{self._name}-eksRole",
            service="eks.amazonaws.com",
            partition=self._partition,
            policies=[CLUSTER_POLICY, *(AUTO_CLUSTER_POLICIES if self._auto else ())],
            actions=["sts:AssumeRole", "sts:TagSession"],
            description="Allows EKS to manage clusters on your behalf.",
            tags=self._tags,
            parent=self,
        )
        needed += made.ready
        return made.role

    def _security_groups(self) -> SecurityGroups | None:
        skip = self._inputs.get("skipDefaultSecurityGroups")
        if self._auto if skip is None else skip:
            return None
        name = f"{self._name}-eksClusterSecurityGroup"
        tags = self._merged_tags("clusterSecurityGroupTags", Name=name)
        return SecurityGroups(self._name, self._inputs["vpcId"], tags, self._child())

    def _auto_node_role(self, needed: list[pulumi.Resource]) -> aws.iam.Role | None:
        if not self._auto or self._inputs["autoMode"].get("createNodeRole") is False:
            return None
        made = ServiceRole(
            f"{self._name}-nodeRole",
            service="ec2.amazonaws.com",
            partition=self._partition,
            policies=AUTO_NODE_POLICIES,
            tags=self._tags,
            parent=self,
        )
        needed += made.ready
        return made.role

    def _subnets(self) -> pulumi.Output[list[str]]:
        given = [self._inputs.get(key) for key in ("subnetIds", "publicSubnetIds", "privateSubnetIds")]
        return pulumi.Output.all(*given).apply(lambda known: [subnet for some in known for subnet in some or ()])

    def _body(
        self,
        service_role: Any,
        node_role: aws.iam.Role | None,
        group: aws.ec2.SecurityGroup | None,
        subnets: pulumi.Output[list[str]],
        needed: list[pulumi.Resource],
    ) -> aws.eks.Cluster:
        given = self._inputs
        key = given.get("encryptionConfigKeyArn")
        bootstrap = given.get("bootstrapSelfManagedAddons")
        policy = given.get("upgradePolicy")
        return aws.eks.Cluster(
            f"{self._name}-eksCluster",
            name=given.get("name"),
            role_arn=pulumi.Output.from_input(service_role).apply(lambda role: role.arn),
            access_config=aws.eks.ClusterAccessConfigArgs(
                authentication_mode=given["authenticationMode"],
                bootstrap_cluster_creator_admin_permissions=True,
            ),
            bootstrap_self_managed_addons=False if self._auto else bootstrap is not False,
            compute_config=self._compute(node_role),
            deletion_protection=given.get("deletionProtection"),
            enabled_cluster_log_types=given.get("enabledClusterLogTypes"),
            encryption_config=aws.eks.ClusterEncryptionConfigArgs(
                provider=aws.eks.ClusterEncryptionConfigProviderArgs(key_arn=key), resources=["secrets"]
            )
            if key
            else None,
            kubernetes_network_config=self._network(),
            storage_config=aws.eks.ClusterStorageConfigArgs(
                block_storage=aws.eks.ClusterStorageConfigBlockStorageArgs(enabled=True)
            )
            if self._auto
            else None,
            tags=self._merged_tags("clusterTags", Name=f"{self._name}-eksCluster"),
            upgrade_policy=aws.eks.ClusterUpgradePolicyArgs(
                support_type=pulumi.Output.from_input(policy)["supportType"]
            )
            if policy
            else None,
            version=given.get("version"),
            vpc_config=aws.eks.ClusterVpcConfigArgs(
                endpoint_private_access=given.get("endpointPrivateAccess"),
                endpoint_public_access=given.get("endpointPublicAccess"),
                public_access_cidrs=given.get("publicAccessCidrs"),
                security_group_ids=[group.id] if group else None,
                subnet_ids=subnets,
            ),
            opts=self._child(
                depends_on=needed,
                # Decided once, when the cluster is created.
                ignore_changes=["accessConfig.bootstrapClusterCreatorAdminPermissions", "bootstrapSelfManagedAddons"],
            ),
        )

    def _compute(self, node_role: aws.iam.Role | None) -> aws.eks.ClusterComputeConfigArgs | None:
        if not self._auto:
            return None
        given = self._inputs["autoMode"].get("computeConfig") or {}
        return aws.eks.ClusterComputeConfigArgs(
            enabled=True,
            node_pools=given.get("nodePools", ["general-purpose", "system"]),
            node_role_arn=given.get("nodeRoleArn") or (node_role.arn if node_role else None),
        )

    def _network(self) -> aws.eks.ClusterKubernetesNetworkConfigArgs | None:
        services, family = (self._inputs.get(key) for key in ("kubernetesServiceIpAddressRange", "ipFamily"))
        if not services and not family and not self._auto:
            return None
        balancing = aws.eks.ClusterKubernetesNetworkConfigElasticLoadBalancingArgs(enabled=True)
        return aws.eks.ClusterKubernetesNetworkConfigArgs(
            ip_family=family or "ipv4",
            service_ipv4_cidr=services,
            elastic_load_balancing=balancing if self._auto else None,
        )

    def _access_entries(self, body: aws.eks.Cluster) -> list[pulumi.Resource]:
        made: list[pulumi.Resource] = []
        for key, given in (self._inputs.get("accessEntries") or {}).items():
            entry = aws.eks.AccessEntry(
                f"{self._name}-{key}",
                cluster_name=body.name,
                principal_arn=given["principalArn"],
                kubernetes_groups=given.get("kubernetesGroups"),
                tags=given.get("tags"),
                type=given.get("type"),
                user_name=given.get("username"),
                opts=self._child(depends_on=[body]),
            )
            for policy, association in (given.get("accessPolicies") or {}).items():
                aws.eks.AccessPolicyAssociation(
                    f"{self._name}-{key}-{policy}",
                    cluster_name=body.name,
                    principal_arn=given["principalArn"],
                    policy_arn=association["policyArn"],
                    access_scope=association["accessScope"],
                    opts=pulumi.ResourceOptions(parent=entry, depends_on=[entry]),
                )
            made.append(entry)
        return made

    def _vpc_cni(
        self, body: aws.eks.Cluster, provider: kubernetes.Provider, entries: list[pulumi.Resource]
    ) -> VpcCniAddon | None:
        if not arguments.has_vpc_cni(self._inputs, self._auto):
            return None
        return VpcCniAddon(
            f"{self._name}-vpc-cni",
            cluster_name=body.name,
            options=self._inputs.get("vpcCniOptions") or {},
            tags=self._tags,
            opts=self._child(depends_on=entries, providers={"kubernetes": provider}),
        )

    def _oidc_provider(self, body: aws.eks.Cluster, authority: pulumi.Output[str]) -> aws.iam.OpenIdConnectProvider:
        url = body.identities.apply(_issuer)
        return aws.iam.OpenIdConnectProvider(
            f"{self._name}-oidcProvider",
            client_id_lists=["sts.amazonaws.com"],
            url=url,
            thumbprint_lists=[pulumi.Output.all(url, authority).apply(lambda known: thumbprint(*known))],
            opts=self._child(),
        )


def _kubeconfig(parts: list[str], options: Mapping[str, Any]) -> dict[str, Any]:
    return kubeconfig(*parts, profile=options.get("profileName"), role=options.get("roleArn"))


def _issuer(identities: Any) -> str:
    return identities[0].oidcs[0].issuer if identities and identities[0].oidcs else ""
