"""EKS: access, nodes, add-ons and upgrades."""

from __future__ import annotations

import json
from typing import Any

import pulumi
import pytest

from components.aws.eks import AdoptedEksCluster, AdoptedEksClusterArgs, EksCluster, EksClusterArgs
from model.config.aws import ClusterSettings
from tests.iam_lint import findings
from tests.program.recorder import NEWEST_RELEASE, TAGS, ProgramError, Recording, aws_context, record

ROLE = "arn:aws:iam::123456789012:role/platform-engineer"
ADDONS = dict.fromkeys(("vpc-cni", "coredns", "kube-proxy", "eks-pod-identity-agent"), "v1.2.3-eksbuild.1")
CLUSTER = "eks:index:Cluster"
ADDON = "aws:eks/addon:Addon"
ENTRY = "aws:eks/accessEntry:AccessEntry"
ASSOCIATION = "aws:eks/accessPolicyAssociation:AccessPolicyAssociation"
NODE_GROUP = "aws:eks/nodeGroup:NodeGroup"
NODE_POOL = "kubernetes:karpenter.sh/v1:NodePool"


def provision(
    preview: bool = False, *, protected: bool = True, answers: dict[str, Any] | None = None, **settings: Any
) -> Recording:
    def program() -> None:
        args = EksClusterArgs(
            context=aws_context(protected=protected),
            cluster_name="prod-eu",
            settings=ClusterSettings.model_validate({"addons": ADDONS, "administrators": [ROLE], **settings}),
            vpc_id="vpc-0123456789abcdef0",
            private_subnet_ids=["subnet-a", "subnet-b"],
            check=str,
            service_cidr="172.20.0.0/16",
        )
        cluster = EksCluster("prod-eu", args)
        pulumi.export("kubeconfig", cluster.kubeconfig)

    return record(program, preview=preview, answers=answers)


def test_the_endpoint_is_private_unless_public_access_is_set() -> None:
    private = provision().resource(CLUSTER, "prod-eu").inputs
    assert private["endpointPrivateAccess"] is True
    assert private["endpointPublicAccess"] is False
    public = provision(publicAccess=["203.0.113.0/24"]).resource(CLUSTER, "prod-eu").inputs
    assert public["endpointPublicAccess"] is True
    assert public["publicAccessCidrs"] == ["203.0.113.0/24"]


RULE = "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"


@pytest.mark.parametrize("compute", ["nodes", "auto"])
def test_networks_with_private_access_reach_port_443_of_the_control_plane(compute: str) -> None:
    networks = ["10.0.0.0/16", "10.8.0.0/16"]
    recording = provision(privateAccess=networks, compute=compute, addons=ADDONS if compute == "nodes" else {})
    cluster = recording.resource(CLUSTER, "prod-eu")
    group = recording.resource("aws:ec2/securityGroup:SecurityGroup", "prod-eu-control-plane")
    assert cluster.inputs["clusterSecurityGroup"]["urn"] == group.urn
    rules = recording.of(RULE)
    assert sorted(rule.inputs["cidrIpv4"] for rule in rules) == networks
    assert {(rule.inputs["fromPort"], rule.inputs["toPort"], rule.inputs["ipProtocol"]) for rule in rules} == {
        (443, 443, "tcp")
    }
    assert {rule.inputs["securityGroupId"] for rule in rules} == {"prod-eu-control-plane-id"}
    # Pulumi itself may reach the API server by one of them only.
    needed = recording.needs(recording.resource("pulumi:providers:kubernetes", "prod-eu"))
    assert {rule.urn for rule in rules} <= needed


def test_another_network_with_private_access_adds_a_rule_only() -> None:
    before, after = provision(privateAccess=["10.8.0.0/16"]), provision(privateAccess=["10.0.0.0/16", "10.8.0.0/16"])
    assert {urn.split("::")[-1] for urn in after.registrations.keys() ^ before.registrations.keys()} == {
        "prod-eu-control-plane-10.0.0.0/16"
    }


@pytest.mark.parametrize("compute", ["nodes", "auto"])
def test_the_component_has_no_children_that_nothing_uses(compute: str) -> None:
    """Its children are protected with it: later, none could be taken away by an update."""
    inputs = provision(compute=compute, addons=ADDONS if compute == "nodes" else {}).resource(CLUSTER, "prod-eu").inputs
    # The OIDC provider also needs TLS to oidc.eks.REGION.amazonaws.com in each preview.
    assert not inputs.get("createOidcProvider")
    assert inputs["skipDefaultSecurityGroups"] is True


def test_the_control_plane_is_in_private_subnets_only() -> None:
    inputs = provision().resource(CLUSTER, "prod-eu").inputs
    assert inputs["privateSubnetIds"] == ["subnet-a", "subnet-b"]
    assert not inputs.get("publicSubnetIds")


def test_the_profile_of_the_person_who_runs_pulumi_stays_out_of_the_state(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "alice")
    recording = provision()
    # pulumi-eks takes the profile unless it is given options, even empty ones.
    assert recording.resource(CLUSTER, "prod-eu").inputs["providerCredentialOpts"] == {}
    assert not [resource.urn for resource in recording.registrations.values() if "alice" in str(resource.inputs)]


@pytest.mark.parametrize("compute", ["nodes", "auto"])
def test_the_control_planes_role_is_the_stacks_own(compute: str) -> None:
    recording = provision(compute=compute, addons=ADDONS if compute == "nodes" else {})
    cluster = recording.resource(CLUSTER, "prod-eu")
    role = recording.resource("aws:iam/role:Role", "prod-eu-control-plane")
    assert cluster.inputs["serviceRole"]["urn"] == role.urn
    (statement,) = json.loads(role.inputs["assumeRolePolicy"])["Statement"]
    assert statement["Principal"] == {"Service": "eks.amazonaws.com"}
    assert statement["Condition"]["ArnEquals"] == {
        "aws:SourceArn": "arn:aws:eks:eu-west-1:123456789012:cluster/prod-eu"
    }
    attached = attachments(recording, "prod-eu-control-plane-")
    policies = {resource.inputs["policyArn"].rpartition("/")[2] for resource in attached}
    auto = {f"AmazonEKS{part}Policy" for part in ("Compute", "BlockStorage", "LoadBalancing", "Networking")}
    assert policies == {"AmazonEKSClusterPolicy"} | (auto if compute == "auto" else set())
    # EKS checks the role's rights when it creates the cluster, and needs them until the cluster is gone.
    assert {resource.urn for resource in attached} <= cluster.depends_on


def test_access_is_by_access_entries_only() -> None:
    viewer = "arn:aws:iam::123456789012:role/preview"
    recording = provision(viewers=[viewer])
    assert recording.resource(CLUSTER, "prod-eu").inputs["authenticationMode"] == "API"
    entries = {entry.inputs["principalArn"]: entry.urn for entry in recording.of(ENTRY)}
    assert entries.keys() == {ROLE, viewer}
    given = {resource.inputs["principalArn"]: resource for resource in recording.of(ASSOCIATION)}
    policies = {principal: resource.inputs["policyArn"].rpartition("/")[2] for principal, resource in given.items()}
    assert policies == {ROLE: "AmazonEKSClusterAdminPolicy", viewer: "AmazonEKSViewPolicy"}
    assert all(entries[principal] in resource.depends_on for principal, resource in given.items())
    assert {json.dumps(resource.inputs["accessScope"]) for resource in given.values()} == {'{"type": "cluster"}'}


def test_access_entries_can_be_removed_from_a_protected_cluster() -> None:
    recording = provision(viewers=["arn:aws:iam::123456789012:role/preview"])
    assert not recording.resource(CLUSTER, "prod-eu").inputs.get("accessEntries")
    for resource in (*recording.of(ENTRY), *recording.of(ASSOCIATION)):
        assert not resource.request.protect
        # Children of the component are protected with it.
        assert "eks:index:Cluster" not in resource.urn


def test_a_viewer_becomes_administrator_without_a_replacement() -> None:
    before, after = provision(administrators=[], viewers=[ROLE]), provision()
    for urn in before.registrations.keys() & after.registrations.keys():
        assert before.registrations[urn].inputs == after.registrations[urn].inputs
    changed = before.registrations.keys() ^ after.registrations.keys()
    assert {urn.split("::")[2].rpartition("$")[2] for urn in changed} == {ASSOCIATION}


def test_the_kubernetes_provider_waits_for_the_access_entries() -> None:
    recording = provision()
    provider = recording.resource("pulumi:providers:kubernetes", "prod-eu")
    assert {resource.urn for resource in recording.of(ASSOCIATION)} <= recording.needs(provider)


def test_services_have_the_addresses_that_network_policies_assume() -> None:
    assert provision().resource(CLUSTER, "prod-eu").inputs["kubernetesServiceIpAddressRange"] == "172.20.0.0/16"


def test_secrets_and_logs_are_encrypted_from_the_first_on() -> None:
    recording = provision()
    cluster = recording.resource(CLUSTER, "prod-eu")
    keys = recording.of("aws:kms/key:Key")
    assert cluster.inputs["encryptionConfigKeyArn"].endswith(":prod-eu-secrets")
    assert all(key.inputs["enableKeyRotation"] and key.request.protect for key in keys)
    group = recording.resource("aws:cloudwatch/logGroup:LogGroup", "prod-eu")
    assert group.inputs["kmsKeyId"].endswith(":prod-eu-logs")
    assert group.urn in recording.needs(cluster)
    assert set(cluster.inputs["enabledClusterLogTypes"]) == {
        "api",
        "audit",
        "authenticator",
        "controllerManager",
        "scheduler",
    }


def test_a_log_group_that_eks_made_again_is_taken_over() -> None:
    """EKS writes for a while after its cluster is gone; the group is unencrypted then, and in the way of the next."""

    def import_id(*names: str) -> str:
        answers = {"aws:cloudwatch/getLogGroups:getLogGroups": {"logGroupNames": list(names)}}
        group = provision(answers=answers).resource("aws:cloudwatch/logGroup:LogGroup", "prod-eu")
        assert group.inputs["kmsKeyId"].endswith(":prod-eu-logs")
        return group.request.importId

    assert import_id() == ""
    assert import_id("/aws/eks/prod-eu/cluster-of-others") == ""
    assert import_id("/aws/eks/prod-eu/cluster") == "/aws/eks/prod-eu/cluster"


@pytest.mark.parametrize("protected", [True, False])
def test_a_protected_cluster_refuses_deletion_on_both_sides(protected: bool) -> None:
    cluster = provision(protected=protected).resource(CLUSTER, "prod-eu")
    assert cluster.request.protect is protected
    assert cluster.inputs["deletionProtection"] is protected


def test_no_pod_gets_its_nodes_credentials() -> None:
    recording = provision()
    options = recording.resource("aws:ec2/launchTemplate:LaunchTemplate", "prod-eu-node").inputs["metadataOptions"]
    assert options["httpTokens"] == "required"
    assert options["httpPutResponseHopLimit"] == 1
    attached = {resource.inputs["policyArn"].rpartition("/")[2] for resource in attachments(recording, "prod-eu-node-")}
    assert attached == {"AmazonEKSWorkerNodePolicy", "AmazonEC2ContainerRegistryPullOnly"}


def test_nodes_disks_and_interfaces_carry_the_stacks_tags() -> None:
    template = provision().resource("aws:ec2/launchTemplate:LaunchTemplate", "prod-eu-node").inputs
    tags = {resource["resourceType"]: resource["tags"] for resource in template["tagSpecifications"]}
    assert tags.keys() == {"instance", "volume", "network-interface"}
    assert all(given == {**TAGS, "Name": "saas-prod-eu-node"} for given in tags.values())


def attachments(recording: Recording, prefix: str) -> list[Any]:
    found = recording.of("aws:iam/rolePolicyAttachment:RolePolicyAttachment")
    return [resource for resource in found if resource.name.startswith(prefix)]


def test_network_policies_are_enforced_from_the_first_pod_on() -> None:
    recording = provision()
    network = recording.resource(ADDON, "prod-eu-vpc-cni")
    assert json.loads(network.inputs["configurationValues"]) == {"enableNetworkPolicy": "true"}
    group = recording.resource("aws:eks/nodeGroup:NodeGroup", "prod-eu")
    assert network.urn in recording.needs(group)
    assert recording.resource(CLUSTER, "prod-eu").inputs["bootstrapSelfManagedAddons"] is False


def test_addons_that_need_nodes_come_after_them() -> None:
    recording = provision()
    group = recording.resource("aws:eks/nodeGroup:NodeGroup", "prod-eu")
    assert group.urn in recording.needs(recording.resource(ADDON, "prod-eu-coredns"))
    provider = recording.resource("pulumi:providers:kubernetes", "prod-eu")
    assert {addon.urn for addon in recording.of(ADDON)} | {group.urn} <= recording.needs(provider)
    assert provider.inputs["clusterIdentifier"] == "prod-eu"


def test_an_upgrade_changes_versions_only() -> None:
    before, after = provision(version="1.35"), provision(version="1.36")
    assert before.registrations.keys() == after.registrations.keys()
    changed = {
        (now.type, key)
        for urn, now in after.registrations.items()
        for key in now.inputs
        if now.inputs[key] != before.registrations[urn].inputs.get(key)
    }
    assert changed == {(CLUSTER, "version"), ("aws:eks/nodeGroup:NodeGroup", "version")}


def test_the_number_of_nodes_is_a_setting_and_nothing_ignores_it() -> None:
    group = provision(nodes={"minimum": 3, "desired": 5, "maximum": 9}).resource(NODE_GROUP, "prod-eu")
    assert group.inputs["scalingConfig"] == {"minSize": 3, "desiredSize": 5, "maxSize": 9}
    assert list(group.request.ignoreChanges) == []
    assert provision().resource(NODE_GROUP, "prod-eu").inputs["scalingConfig"]["desiredSize"] == 3


def test_nodes_run_the_newest_release_of_their_image_unless_one_is_pinned() -> None:
    assert provision().resource(NODE_GROUP, "prod-eu").inputs["releaseVersion"] == NEWEST_RELEASE
    pinned = provision(nodes={"release": "1.36.0-20261001"}).resource(NODE_GROUP, "prod-eu")
    assert pinned.inputs["releaseVersion"] == "1.36.0-20261001"


def test_unhealthy_nodes_are_replaced() -> None:
    assert provision().resource(NODE_GROUP, "prod-eu").inputs["nodeRepairConfig"] == {"enabled": True}


def running(**group: Any) -> dict[str, Any]:
    """Answers of a cluster with a node group, and with one that the stack did not make."""
    known = {"capacityType": "ON_DEMAND", "instanceTypes": ["m7g.large"], "releaseVersion": NEWEST_RELEASE, **group}
    return {
        "aws:eks/getClusters:getClusters": {"names": ["other", "prod-eu"]},
        "aws:eks/getNodeGroups:getNodeGroups": {"names": ["prod-eu-20261101", "by-hand"]},
        "aws:eks/getNodeGroup:getNodeGroup": lambda asked: {**known, "nodeGroupName": asked["nodeGroupName"]},
    }


@pytest.mark.parametrize(
    ("group", "warned"),
    [
        ({}, []),
        ({"releaseVersion": "1.36.0-20261001"}, ["The nodes are behind: they run the AMI release 1.36.0-20261001"]),
        ({"instanceTypes": ["m6g.large"]}, ["The node group is replaced, because of instanceTypes"]),
        ({"capacityType": "SPOT"}, ["The node group is replaced, because of capacity"]),
    ],
)
def test_a_preview_warns_of_what_happens_to_running_nodes(
    monkeypatch: pytest.MonkeyPatch, group: dict[str, Any], warned: list[str]
) -> None:
    said: list[str] = []
    monkeypatch.setattr(pulumi.log, "warn", said.append)
    provision(preview=True, answers=running(**group))
    assert [line[: len(start)] for line, start in zip(said, warned, strict=True)] == warned


OBSERVABILITY = "amazon-cloudwatch-observability"


def test_any_addon_gets_its_configuration_and_a_role_for_its_pods() -> None:
    own = "arn:aws:iam::123456789012:policy/dns"
    dns = {
        "version": "v0.19.0-eksbuild.2",
        "configuration": {"provider": "aws", "domainFilters": ["acme.example"]},
        "policies": [own],
        "serviceAccount": "external-dns",
        "namespace": "external-dns",
        "conflicts": "preserve",
    }
    recording = provision(addons={**ADDONS, "external-dns": dns})
    addon = recording.resource(ADDON, "prod-eu-external-dns")
    assert json.loads(addon.inputs["configurationValues"]) == dns["configuration"]
    assert addon.inputs["resolveConflictsOnUpdate"] == "PRESERVE"
    (identity,) = addon.inputs["podIdentityAssociations"]
    assert identity["serviceAccount"] == "external-dns"
    role = recording.resource("aws:iam/role:Role", "prod-eu-external-dns")
    assert role.inputs["name"] == "saas-prod-eu-external-dns"
    condition = json.loads(role.inputs["assumeRolePolicy"])["Statement"][0]["Condition"]["StringEquals"]
    assert condition["aws:RequestTag/kubernetes-namespace"] == "external-dns"
    attached = [resource.inputs["policyArn"] for resource in attachments(recording, "prod-eu-external-dns")]
    assert attached == [own]


def test_the_settings_of_an_addon_are_merged_over_what_the_program_needs() -> None:
    cni = {"version": "v1.21.1-eksbuild.1", "configuration": {"env": {"ENABLE_PREFIX_DELEGATION": "true"}}}
    addon = provision(addons={**ADDONS, "vpc-cni": cni}).resource(ADDON, "prod-eu-vpc-cni")
    values = json.loads(addon.inputs["configurationValues"])
    assert values == {"enableNetworkPolicy": "true", "env": {"ENABLE_PREFIX_DELEGATION": "true"}}


def test_the_monitoring_agents_have_a_role_in_their_own_namespace() -> None:
    recording = provision(compute="auto", addons={OBSERVABILITY: "v4.6.0-eksbuild.1"})
    role = recording.resource("aws:iam/role:Role", f"prod-eu-{OBSERVABILITY}")
    assert role.inputs["name"] == "saas-prod-eu-cloudwatch"
    condition = json.loads(role.inputs["assumeRolePolicy"])["Statement"][0]["Condition"]["StringEquals"]
    assert condition["aws:RequestTag/kubernetes-namespace"] == "amazon-cloudwatch"
    assert findings(role.inputs["assumeRolePolicy"]) == []
    (attached,) = attachments(recording, f"prod-eu-{OBSERVABILITY}")
    assert attached.inputs["policyArn"].endswith(":policy/CloudWatchAgentServerPolicy")


def test_the_kubeconfig_holds_no_secret_and_asks_aws() -> None:
    kubeconfig = json.loads(provision().outputs["kubeconfig"])
    assert kubeconfig["clusters"][0]["cluster"]["server"] == "https://eks.example"
    command = kubeconfig["users"][0]["user"]["exec"]
    assert [command["command"], *command["args"]] == (
        "aws --region eu-west-1 eks get-token --cluster-name prod-eu --output json".split()
    )


@pytest.mark.parametrize("compute", ["nodes", "auto"])
def test_a_preview_without_a_cluster_shows_the_same_resources(compute: str) -> None:
    addons = ADDONS if compute == "nodes" else {}
    planned = provision(preview=True, compute=compute, addons=addons).registrations
    assert planned.keys() == provision(compute=compute, addons=addons).registrations.keys()


def test_auto_mode_enforces_network_policies() -> None:
    recording = provision(compute="auto", addons={})
    switch = recording.resource("kubernetes:core/v1:ConfigMap", "network-policies").inputs
    assert switch["metadata"] == {"name": "amazon-vpc-cni", "namespace": "kube-system"}
    assert switch["data"] == {"enable-network-policy-controller": "true"}
    node_class = recording.resource("kubernetes:eks.amazonaws.com/v1:NodeClass", "nodes").inputs["spec"]
    assert node_class["networkPolicy"] == "DefaultAllow"
    assert node_class["securityGroupSelectorTerms"] == [{"id": "sg-0123456789abcdef0"}]
    assert recording.resource(CLUSTER, "prod-eu").inputs["autoMode"]["computeConfig"] == {"nodePools": []}
    assert not recording.of("aws:eks/nodeGroup:NodeGroup")


def test_auto_mode_may_tag_its_nodes_and_does() -> None:
    recording = provision(compute="auto", addons={})
    assert recording.resource("kubernetes:eks.amazonaws.com/v1:NodeClass", "nodes").inputs["spec"]["tags"] == TAGS
    leave = recording.resource("aws:iam/rolePolicy:RolePolicy", "prod-eu-tags")
    # In Auto Mode the control plane's role creates nodes.
    assert leave.inputs["role"] == "prod-eu-eksRole-role-0123456"
    statements = json.loads(leave.inputs["policy"])["Statement"]
    assert {"ec2:CreateFleet", "ec2:RunInstances", "ec2:CreateLaunchTemplate"} <= set(statements[0]["Action"])
    # Volumes too: their tag `tenant` is what backups go by.
    assert "ec2:CreateVolume" in [action for statement in statements for action in statement["Action"]]
    assert all(
        "aws:RequestTag/eks:eks-cluster-name" in resource["Condition"]["StringEquals"] for resource in statements
    )
    # Images, subnets and security groups, which no tag is put on, are in AWS' own policies of the role.
    assert [
        resource for resource in findings(leave.inputs["policy"]) if not resource.startswith("RESOURCE_MISMATCH")
    ] == []
    assert leave.urn in recording.needs(recording.resource("pulumi:providers:kubernetes", "prod-eu"))


def test_auto_mode_starts_nodes_before_the_addons_that_run_on_them() -> None:
    recording = provision(compute="auto", addons={"metrics-server": "v0.8.0-eksbuild.3"})
    (addon,) = recording.of(ADDON)
    assert recording.resource(NODE_POOL, "nodes").urn in recording.needs(addon)
    # EKS calls it ready when its pods run, so that nothing on the way to a node may wait for it.
    assert addon.urn not in recording.needs(recording.resource("pulumi:providers:kubernetes", "prod-eu"))


def test_the_clusters_roles_pass_the_iam_linter() -> None:
    recording = provision()
    roles = recording.of("aws:iam/role:Role")
    assert len(roles) == 3
    for role in roles:
        assert findings(role.inputs["assumeRolePolicy"]) == []


def adopt(version: str) -> Recording:
    found = {
        "arn": "arn:aws:eks:eu-west-1:123456789012:cluster/prod-eu",
        "version": version,
        "endpoint": "https://eks.example",
        "certificateAuthorities": [{"data": "Q0E="}],
    }

    def program() -> None:
        args = AdoptedEksClusterArgs(context=aws_context(), cluster_name="prod-eu", check=str)
        pulumi.export("kubeconfig", AdoptedEksCluster("prod-eu", args).kubeconfig)

    return record(program, answers={"aws:eks/getCluster:getCluster": found})


def test_an_adopted_cluster_is_not_changed() -> None:
    recording = adopt("1.36")
    assert {resource.type for resource in recording.registrations.values()} - {"pulumi:pulumi:Stack"} == {
        "saas:cluster:AdoptedEksCluster",
        "pulumi:providers:aws",
        "pulumi:providers:kubernetes",
    }
    assert json.loads(recording.outputs["kubeconfig"])["clusters"][0]["cluster"]["server"] == "https://eks.example"


def test_an_adopted_cluster_that_flux_does_not_support_is_refused() -> None:
    with pytest.raises((ProgramError, Exception), match="Upgrade the control plane"):
        adopt("1.30")
