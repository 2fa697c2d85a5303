"""The stand-in for pulumi-resource-aws: EKS clusters and what belongs to them, on the platform's emulator."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from standins.codec import UNKNOWN
from standins.tests.unit.aws_emulator import CONTROL_PLANE, emulator, trust
from standins.tests.unit.aws_stand_in import Plugin, State

CLUSTER, NODES, ADDON = "eks/cluster:Cluster", "eks/nodeGroup:NodeGroup", "eks/addon:Addon"
ENTRY, POLICY = "eks/accessEntry:AccessEntry", "eks/accessPolicyAssociation:AccessPolicyAssociation"
IDENTITY, ROLE = "eks/podIdentityAssociation:PodIdentityAssociation", "iam/role:Role"
VIEW = "arn:aws:eks::aws:cluster-access-policy/AmazonEKSViewPolicy"
MISSING_ROLE = "arn:aws:iam::123456789012:role/missing"


@pytest.fixture(scope="module")
def plugin() -> Iterator[Plugin]:
    with emulator():
        yield Plugin(defaultTags={"tags": {"Project": "saas"}})


@pytest.fixture(scope="module")
def subnets(plugin: Plugin) -> list[str]:
    vpc, _ = plugin.create("ec2/vpc:Vpc", cidrBlock="10.9.0.0/16")
    made = []
    for index, zone in enumerate("ab"):
        place: dict[str, Any] = {"cidrBlock": f"10.9.{index}.0/24", "availabilityZone": f"eu-west-1{zone}"}
        made.append(plugin.create("ec2/subnet:Subnet", vpcId=vpc, **place)[0])
    return made


@pytest.fixture(scope="module")
def roles(plugin: Plugin) -> dict[str, str]:
    """ARNs of roles by the service that may assume them."""
    return {
        service: plugin.create(ROLE, name=f"eks-test-{service}", assumeRolePolicy=trust(f"{service}.amazonaws.com"))[1][
            "arn"
        ]
        for service in ("eks", "ec2", "pods.eks")
    }


@pytest.fixture(scope="module")
def settings(subnets: list[str], roles: dict[str, str]) -> State:
    return {
        "name": "prod",
        "version": "1.36",
        "roleArn": roles["eks"],
        "accessConfig": {"authenticationMode": "API", "bootstrapClusterCreatorAdminPermissions": True},
        "enabledClusterLogTypes": ["audit", "api"],
        "vpcConfig": {"subnetIds": subnets, "endpointPrivateAccess": True, "endpointPublicAccess": False},
    }


@pytest.fixture
def cluster(plugin: Plugin, settings: State) -> Iterator[State]:
    identifier, state = plugin.create(CLUSTER, **settings)
    yield state
    plugin.delete(CLUSTER, identifier, state)


def test_a_cluster_is_the_platforms_control_plane(cluster: State) -> None:
    assert cluster["endpoint"] == CONTROL_PLANE.endpoint
    assert cluster["certificateAuthority"] == {"data": CONTROL_PLANE.certificate_authority}
    assert cluster["vpcConfig"]["clusterSecurityGroupId"].startswith("sg-")


def test_reading_a_cluster_shows_no_change(plugin: Plugin, settings: State, cluster: State) -> None:
    assert plugin.read(CLUSTER, "prod", cluster) == ("prod", cluster)
    assert plugin.diff(CLUSTER, cluster, **settings) == ([], [])


def test_computed_values_are_unknown_before_the_cluster_exists(plugin: Plugin, settings: State) -> None:
    _, planned = plugin.create(CLUSTER, preview=True, **settings)
    assert planned["vpcConfig"]["clusterSecurityGroupId"] is UNKNOWN
    assert planned["endpoint"] is UNKNOWN


def test_a_preview_of_a_changed_cluster_keeps_computed_values(plugin: Plugin, settings: State, cluster: State) -> None:
    planned = plugin.update(CLUSTER, "prod", cluster, preview=True, **settings | {"deletionProtection": True})
    assert planned["vpcConfig"]["clusterSecurityGroupId"] == cluster["vpcConfig"]["clusterSecurityGroupId"]


def test_a_platform_has_one_cluster(plugin: Plugin, settings: State, cluster: State) -> None:
    refused = plugin.refusal("create", CLUSTER, **settings | {"name": "second"})
    assert "ResourceLimitExceededException" in refused
    assert "the body of the cluster prod" in refused


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"roleArn": MISSING_ROLE}, "InvalidParameterException: Role with arn"),
        ({"vpcConfig": {"subnetIds": ["subnet-0123456789abcdef0"]}}, "InvalidParameterException: The subnet ID"),
        ({"version": "1.20"}, "unsupported Kubernetes version 1.20"),
        ({"upgradePolicy": {"supportType": "FOREVER"}}, "which has to be STANDARD, EXTENDED"),
        ({"computeConfig": {"enabled": True}}, "all either fully enabled or fully disabled"),
        ({"kubernetesNetworkConfig": {"serviceIpv4Cidr": "10.9.0.0/16"}}, "overlaps the VPC's 10.9.0.0/16"),
        ({"kubernetesNetworkConfig": {"serviceIpv4Cidr": "100.64.0.0/16"}}, "is not within 10.0.0.0/8"),
    ],
)
def test_a_wrong_cluster_is_refused_with_the_code_of_eks(
    plugin: Plugin, settings: State, change: State, code: str
) -> None:
    assert code in plugin.refusal("create", CLUSTER, **settings | change)


def test_a_property_inside_a_block_without_mapping_is_refused(plugin: Plugin, settings: State) -> None:
    network = settings["vpcConfig"] | {"controlPlaneEgressMode": "AWS", "zone": "a"}
    refused = dict(plugin.failures(CLUSTER, **settings | {"vpcConfig": network}))
    assert refused.keys() == {"vpcConfig.controlPlaneEgressMode", "vpcConfig.zone"}


def test_a_protected_cluster_is_not_deleted(plugin: Plugin, settings: State, cluster: State) -> None:
    protected = plugin.update(CLUSTER, "prod", cluster, **settings | {"deletionProtection": True})
    assert "InvalidRequestException" in plugin.refusal("delete", CLUSTER, "prod", protected)
    plugin.update(CLUSTER, "prod", protected, **settings | {"deletionProtection": False})


def test_an_update_changes_logs_endpoints_and_tags_at_once(plugin: Plugin, settings: State, cluster: State) -> None:
    network = settings["vpcConfig"] | {"endpointPublicAccess": True, "publicAccessCidrs": ["192.0.2.0/24"]}
    changes = {"enabledClusterLogTypes": ["api"], "vpcConfig": network, "tags": {"Name": "prod"}}
    after = plugin.update(CLUSTER, "prod", cluster, **settings | changes)
    assert after["enabledClusterLogTypes"] == ["api"]
    assert after["vpcConfig"]["publicAccessCidrs"] == ["192.0.2.0/24"]
    assert after["tagsAll"] == {"Project": "saas", "Name": "prod"}


@pytest.mark.parametrize(
    ("change", "replaces"),
    [
        ({"version": "1.37"}, []),
        ({"roleArn": MISSING_ROLE}, ["roleArn"]),
        (
            {"accessConfig": {"authenticationMode": "API", "bootstrapClusterCreatorAdminPermissions": False}},
            ["accessConfig"],
        ),
        ({"kubernetesNetworkConfig": {"serviceIpv4Cidr": "10.200.0.0/16"}}, ["kubernetesNetworkConfig"]),
    ],
)
def test_only_immutable_settings_replace_a_cluster(
    plugin: Plugin, settings: State, cluster: State, change: State, replaces: list[str]
) -> None:
    differs, replaced = plugin.diff(CLUSTER, cluster, **settings | change)
    assert (differs, replaced) == (sorted(change), replaces)


def test_a_control_plane_stays_in_its_zones(
    plugin: Plugin, settings: State, subnets: list[str], cluster: State
) -> None:
    place: State = {"cidrBlock": "10.9.2.0/24", "availabilityZone": "eu-west-1c"}
    third, state = plugin.create("ec2/subnet:Subnet", vpcId=cluster["vpcConfig"]["vpcId"], **place)
    wider = settings["vpcConfig"] | {"subnetIds": [*subnets, third]}
    refused = plugin.refusal("update", CLUSTER, "prod", cluster, **settings | {"vpcConfig": wider})
    assert "the exact set of AZs 'eu-west-1a,eu-west-1b'" in refused
    plugin.delete("ec2/subnet:Subnet", third, state)


def test_services_are_where_the_program_says(plugin: Plugin, settings: State) -> None:
    wanted: State = settings | {"kubernetesNetworkConfig": {"serviceIpv4Cidr": "172.20.0.0/16"}}
    identifier, cluster = plugin.create(CLUSTER, **wanted)
    assert cluster["kubernetesNetworkConfig"]["serviceIpv4Cidr"] == "172.20.0.0/16"
    assert plugin.diff(CLUSTER, cluster, **wanted) == ([], [])
    plugin.delete(CLUSTER, identifier, cluster)


def workers(cluster: State, roles: dict[str, str], **more: Any) -> State:
    return {
        "clusterName": cluster["name"],
        "nodeGroupNamePrefix": "prod-",
        "nodeRoleArn": roles["ec2"],
        "subnetIds": cluster["vpcConfig"]["subnetIds"],
        "amiType": "AL2023_ARM_64_STANDARD",
        "instanceTypes": ["m7g.large"],
        "scalingConfig": {"minSize": 1, "maxSize": 3, "desiredSize": 1},
        **more,
    }


def test_a_cluster_with_nodes_is_not_deleted(plugin: Plugin, cluster: State, roles: dict[str, str]) -> None:
    identifier, group = plugin.create(NODES, **workers(cluster, roles))
    assert "ResourceInUseException" in plugin.refusal("delete", CLUSTER, "prod", cluster)
    plugin.delete(NODES, identifier, group)


def test_the_prefix_of_a_group_s_name_leaves_room_for_the_rest(
    plugin: Plugin, cluster: State, roles: dict[str, str]
) -> None:
    ((where, why),) = plugin.failures(NODES, **workers(cluster, roles, nodeGroupNamePrefix="p" * 38))
    assert (where, "(0 - 37), got 38" in why) == ("nodeGroupNamePrefix", True)
    assert not plugin.failures(NODES, **workers(cluster, roles, nodeGroupNamePrefix="p" * 37))


def test_nodes_of_other_types_are_another_group(plugin: Plugin, cluster: State, roles: dict[str, str]) -> None:
    identifier, group = plugin.create(NODES, **workers(cluster, roles))
    assert group["nodeGroupName"].startswith("prod-")
    assert plugin.diff(NODES, group, **workers(cluster, roles)) == ([], [])
    assert plugin.diff(NODES, group, **workers(cluster, roles, labels={"a": "b"})) == (["labels"], [])
    replaced = ["instanceTypes"], ["instanceTypes"]
    assert plugin.diff(NODES, group, **workers(cluster, roles, instanceTypes=["m7g.xlarge"])) == replaced
    plugin.delete(NODES, identifier, group)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"amiType": "AL2023_x86_64_STANDARD"}, "not a valid instance type for requested amiType"),
        ({"nodeRoleArn": MISSING_ROLE}, "InvalidParameterException"),
        ({"clusterName": "missing"}, "ResourceNotFoundException"),
        ({"launchTemplate": {"id": "lt-0123456789abcdef0", "version": "1"}}, "does not exist"),
    ],
)
def test_wrong_nodes_are_refused(
    plugin: Plugin, cluster: State, roles: dict[str, str], change: State, reason: str
) -> None:
    assert reason in plugin.refusal("create", NODES, **workers(cluster, roles, **change))


def test_an_addon_has_pod_identities_of_its_own(plugin: Plugin, cluster: State, roles: dict[str, str]) -> None:
    own = {"serviceAccount": "aws-node", "roleArn": roles["pods.eks"]}
    inputs: dict[str, Any] = {
        "clusterName": "prod",
        "addonName": "vpc-cni",
        "addonVersion": "v1.20.0-eksbuild.1",
        "configurationValues": '{"enableNetworkPolicy": "true"}',
        "podIdentityAssociations": [own],
    }
    identifier, addon = plugin.create(ADDON, **inputs)
    assert addon["podIdentityAssociations"] == [own]
    assert plugin.diff(ADDON, addon, **inputs) == ([], [])
    taken = {"clusterName": "prod", "namespace": "kube-system", "serviceAccount": "aws-node"}
    assert "ResourceInUseException" in plugin.refusal("create", IDENTITY, **taken, roleArn=roles["pods.eks"])
    plugin.delete(ADDON, identifier, addon)
    assert plugin.read(ADDON, identifier, addon)[0] == ""


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"addonName": "vpc-cnii"}, "is not supported in 1.36 kubernetes version"),
        ({"addonVersion": "1.20"}, "Addon version specified is not supported"),
        ({"addonVersion": "v1.99.0-eksbuild.1"}, "Addon version specified is not supported"),
        ({"configurationValues": '{"enableNetworkPolicy": true}'}, "Json schema validation failed"),
    ],
)
def test_a_wrong_addon_is_refused(plugin: Plugin, cluster: State, change: State, reason: str) -> None:
    right = {"clusterName": "prod", "addonName": "vpc-cni", "addonVersion": "v1.20.0-eksbuild.1"}
    assert reason in plugin.refusal("create", ADDON, **right | change)


def test_a_function_tells_the_newest_version_of_an_addon(plugin: Plugin, cluster: State) -> None:
    asked = {"addonName": "kube-proxy", "kubernetesVersion": "1.35"}
    function = "eks/getAddonVersion:getAddonVersion"
    assert plugin.invoke(function, **asked, mostRecent=True)["version"] == "v1.35.0-eksbuild.2"
    unknown = plugin.refusal("invoke", function, addonName="kube-proxi", kubernetesVersion="1.35")
    assert "is not supported in 1.35 kubernetes version" in unknown


def test_access_is_for_principals_that_exist(plugin: Plugin, cluster: State, roles: dict[str, str]) -> None:
    refused = plugin.refusal("create", ENTRY, clusterName="prod", principalArn=MISSING_ROLE)
    assert "invalid principal" in refused
    place: dict[str, Any] = {"clusterName": "prod", "principalArn": roles["ec2"]}
    identifier, entry = plugin.create(ENTRY, **place)
    scope = {"type": "cluster"}
    granted, policy = plugin.create(POLICY, **place, policyArn=VIEW, accessScope=scope)
    assert plugin.diff(POLICY, policy, **place, policyArn=VIEW, accessScope=scope) == ([], [])
    namespace = {"type": "namespace", "namespaces": ["tenant-001"]}
    assert plugin.diff(POLICY, policy, **place, policyArn=VIEW, accessScope=namespace)[1] == ["accessScope"]
    unknown = plugin.refusal("create", POLICY, **place, policyArn=f"{VIEW}er", accessScope=scope)
    assert "policyArn parameter format is not valid" in unknown
    plugin.delete(ENTRY, identifier, entry)
    assert plugin.read(POLICY, granted, policy)[0] == ""


def test_an_access_entry_cannot_use_a_system_group(plugin: Plugin, cluster: State, roles: dict[str, str]) -> None:
    place: dict[str, Any] = {"clusterName": "prod", "principalArn": roles["ec2"]}
    assert "cannot start with system:" in plugin.refusal("create", ENTRY, **place, kubernetesGroups=["system:masters"])


def test_pods_take_roles_that_trust_pod_identity(plugin: Plugin, cluster: State, roles: dict[str, str]) -> None:
    place: dict[str, Any] = {"clusterName": "prod", "namespace": "tenant-001", "serviceAccount": "app"}
    assert "lacks pods.eks.amazonaws.com" in plugin.refusal("create", IDENTITY, **place, roleArn=roles["ec2"])
    identifier, association = plugin.create(IDENTITY, **place, roleArn=roles["pods.eks"], tags={"tenant": "tenant-001"})
    assert association["tagsAll"] == {"Project": "saas", "tenant": "tenant-001"}
    assert plugin.diff(IDENTITY, association, **place, roleArn=MISSING_ROLE)[1] == []
    plugin.delete(IDENTITY, identifier, association)


def test_a_function_tells_of_a_cluster(plugin: Plugin, cluster: State) -> None:
    found = plugin.invoke("eks/getCluster:getCluster", name="prod")
    assert found["certificateAuthorities"] == [cluster["certificateAuthority"]]
    assert "ResourceNotFoundException" in plugin.refusal("invoke", "eks/getCluster:getCluster", name="missing")
