"""A pulumi-eks cluster with an object in it, for standins/tests/engine/test_eks_plugin.py."""

import json

import pulumi
import pulumi_aws as aws
import pulumi_eks as eks
import pulumi_kubernetes as kubernetes

ACCESS_POLICY = "arn:aws:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy"

config = pulumi.Config()
provider = aws.Provider("aws", region="eu-west-1", default_tags={"tags": {"Project": "test"}})
opts = pulumi.ResourceOptions(provider=provider)
vpc = aws.ec2.Vpc("test", cidr_block="10.0.0.0/16", opts=opts)
subnets = [
    aws.ec2.Subnet(
        f"test-{zone}",
        vpc_id=vpc.id,
        cidr_block=f"10.0.{index}.0/24",
        availability_zone=f"eu-west-1{zone}",
        opts=opts,
    )
    for index, zone in enumerate("ab")
]
trust = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "ec2.amazonaws.com"}}],
}
administrator = aws.iam.Role("administrator", assume_role_policy=json.dumps(trust), opts=opts)
group = aws.cloudwatch.LogGroup("test", name="/aws/eks/test/cluster", opts=opts)
auto = config.get_bool("auto") or False
cluster = eks.Cluster(
    "test",
    name="test",
    version=config.require("version"),
    vpc_id=vpc.id,
    private_subnet_ids=[subnet.id for subnet in subnets],
    authentication_mode=eks.AuthenticationMode.API,
    access_entries={
        "administrator": eks.AccessEntryArgs(
            principal_arn=administrator.arn,
            access_policies={
                "all": eks.AccessPolicyAssociationArgs(
                    policy_arn=ACCESS_POLICY,
                    access_scope=aws.eks.AccessPolicyAssociationAccessScopeArgs(type="cluster"),
                )
            },
        )
    },
    upgrade_policy={"support_type": "STANDARD"},
    kubernetes_service_ip_address_range="10.200.0.0/16",
    endpoint_private_access=True,
    endpoint_public_access=True,
    public_access_cidrs=[config.get("public") or "203.0.113.0/24"],
    enabled_cluster_log_types=["api"],
    create_oidc_provider=True,
    skip_default_node_group=config.get_bool("ownNodes") is not False,
    node_associate_public_ip_address=False,
    auto_mode=eks.AutoModeOptionsArgs(enabled=True) if auto else None,
    vpc_cni_options=None
    if auto
    else eks.VpcCniOptionsArgs(addon_version="v1.20.4-eksbuild.1", enable_network_policy=True),
    coredns_addon_options=eks.CoreDnsAddonOptionsArgs(enabled=not auto, version="v1.12.4-eksbuild.1"),
    kube_proxy_addon_options=eks.KubeProxyAddonOptionsArgs(enabled=not auto, version="v1.34.0-eksbuild.1"),
    opts=pulumi.ResourceOptions(providers={"aws": provider}, depends_on=[group]),
)
rules = [
    aws.vpc.SecurityGroupIngressRule(
        "private",
        security_group_id=cluster.cluster_security_group_id,
        ip_protocol="tcp",
        from_port=443,
        to_port=443,
        cidr_ipv4=private,
        opts=opts,
    )
    for private in filter(None, [config.get("private")])
]
inside = kubernetes.Provider(
    "inside",
    kubeconfig=cluster.kubeconfig_json,
    cluster_identifier="test",
    opts=pulumi.ResourceOptions(depends_on=rules),
)
pulumi.CustomResource(  # kubernetes.core.v1 costs pyright ten seconds
    "kubernetes:core/v1:ConfigMap",
    "inside",
    {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "eks-plugin", "namespace": "default"},
        "data": {"made": config.get("made") or "by pulumi"},
    },
    pulumi.ResourceOptions(provider=inside),
)
pulumi.export("kubeconfig", cluster.kubeconfig)
pulumi.export("kubeconfigJson", cluster.kubeconfig_json)
pulumi.export("arn", cluster.eks_cluster.apply(lambda body: body.arn))
pulumi.export("endpoint", cluster.core.apply(lambda core: core.endpoint))
pulumi.export("issuer", cluster.oidc_issuer)
pulumi.export("issuerArn", cluster.oidc_provider_arn)
