"""The stand-in for pulumi-resource-aws: networks, keys and logs, on an emulator of AWS in this process."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from moto.server import ThreadedMotoServer

from standins.codec import UNKNOWN, from_struct
from standins.moto import api_gateway
from standins.provider import InitFailedError
from standins.tests.unit.aws_stand_in import Plugin, State, emulated
from standins.tests.unit.engine_context import AbortedError

DEFAULTS = {"tags": {"Project": "saas", "Stack": "test"}}
VPC, SUBNET, GROUP = "ec2/vpc:Vpc", "ec2/subnet:Subnet", "ec2/securityGroup:SecurityGroup"
GATEWAY, ADDRESS, NAT = "ec2/internetGateway:InternetGateway", "ec2/eip:Eip", "ec2/natGateway:NatGateway"
TABLE, ROUTE = "ec2/routeTable:RouteTable", "ec2/route:Route"
ASSOCIATION = "ec2/routeTableAssociation:RouteTableAssociation"
ENDPOINT, FLOW_LOG = "ec2/vpcEndpoint:VpcEndpoint", "ec2/flowLog:FlowLog"
INGRESS, RULE = "vpc/securityGroupIngressRule:SecurityGroupIngressRule", "ec2/securityGroupRule:SecurityGroupRule"
TEMPLATE, KEY, ALIAS = "ec2/launchTemplate:LaunchTemplate", "kms/key:Key", "kms/alias:Alias"
LOGS = "cloudwatch/logGroup:LogGroup"
ACCOUNT = "arn:aws:iam::123456789012:root"
SERVICE = "com.amazonaws.eu-west-1"


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    api_gateway.install()
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="module")
def module_patch() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.fixture(scope="module")
def plugin(endpoint: str, module_patch: pytest.MonkeyPatch) -> Plugin:
    emulated(module_patch, endpoint)
    return Plugin(defaultTags=DEFAULTS)


@pytest.fixture
def vpc(plugin: Plugin) -> tuple[str, State]:
    return plugin.create(VPC, cidrBlock="10.0.0.0/16", enableDnsHostnames=True, tags={"Name": "it"})


@pytest.fixture
def subnet(plugin: Plugin, vpc: tuple[str, State]) -> tuple[str, State]:
    return plugin.create(SUBNET, vpcId=vpc[0], cidrBlock="10.0.0.0/24", availabilityZone="eu-west-1a")


def nat(plugin: Plugin, vpc: str, subnet: str) -> dict[str, tuple[str, State]]:
    """A NAT gateway with its dependencies."""
    made = {"internet": plugin.create(GATEWAY, vpcId=vpc), "address": plugin.create(ADDRESS, domain="vpc")}
    made["nat"] = plugin.create(NAT, subnetId=subnet, allocationId=made["address"][0])
    return made


def key_policy(*services: str) -> str:
    statements: list[Any] = [{"Effect": "Allow", "Principal": {"AWS": ACCOUNT}, "Action": "kms:*", "Resource": "*"}]
    for service in services:
        principal = {"Service": service}
        statements.append({"Effect": "Allow", "Principal": principal, "Action": ["kms:Encrypt*"], "Resource": "*"})
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


# What every type does


def test_a_type_a_property_or_a_function_without_mapping_is_an_error(plugin: Plugin) -> None:
    assert "no mapping for aws:sqs/queue:Queue" in plugin.refusal("failures", "sqs/queue:Queue")
    [(name, reason)] = plugin.failures(VPC, cidrBlock="10.0.0.0/16", ipv4IpamPoolId="pool")
    assert name == "ipv4IpamPoolId"
    assert "no mapping" in reason
    assert "no mapping for aws:ec2/getAmi:getAmi" in plugin.refusal("invoke", "ec2/getAmi:getAmi")
    assert "no mapping for property tags" in plugin.refusal("invoke", "ec2/getVpc:getVpc", id="vpc-1", tags={})


def test_an_unknown_property_deep_inside_is_an_error_too(plugin: Plugin) -> None:
    mappings = [{"deviceName": "/dev/xvda", "ebs": {"volumeSize": 20, "snapshot": "snap-1"}}]
    assert [name for name, _ in plugin.failures(TEMPLATE, blockDeviceMappings=mappings)] == [
        "blockDeviceMappings[0].ebs.snapshot"
    ]


def test_a_value_of_another_type_is_an_error(plugin: Plugin) -> None:
    assert [name for name, _ in plugin.failures(SUBNET, vpcId="vpc-1", mapPublicIpOnLaunch="yes")] == [
        "mapPublicIpOnLaunch"
    ]
    assert [name for name, _ in plugin.failures(SUBNET, vpcId="vpc-1", tags={"Name": 1})] == ["tags.Name"]


def test_values_come_from_the_services_answers(plugin: Plugin, vpc: tuple[str, State]) -> None:
    identifier, state = vpc
    assert state["arn"] == f"arn:aws:ec2:eu-west-1:123456789012:vpc/{identifier}"
    assert state["defaultSecurityGroupId"].startswith("sg-")
    assert state["mainRouteTableId"].startswith("rtb-")
    assert (state["enableDnsHostnames"], state["enableDnsSupport"]) == (True, True)


def test_the_same_inputs_are_no_change(plugin: Plugin, vpc: tuple[str, State]) -> None:
    inputs = {"cidrBlock": "10.0.0.0/16", "enableDnsHostnames": True, "tags": {"Name": "it"}}
    assert plugin.diff(VPC, vpc[1], **inputs) == ([], [])
    assert plugin.read(VPC, vpc[0], vpc[1])[1] == vpc[1]


def test_a_refresh_notices_resources_deleted_elsewhere(plugin: Plugin, vpc: tuple[str, State]) -> None:
    plugin.delete(VPC, *vpc)
    assert plugin.read(VPC, *vpc)[0] == ""
    plugin.delete(VPC, *vpc)  # deleting it again is not an error


def test_a_preview_knows_inputs_and_no_ids(plugin: Plugin) -> None:
    identifier, state = plugin.create(SUBNET, preview=True, vpcId=UNKNOWN, cidrBlock="10.0.0.0/24")
    assert identifier == ""
    assert (state["cidrBlock"], state["vpcId"], state["arn"]) == ("10.0.0.0/24", UNKNOWN, UNKNOWN)


def test_a_name_that_is_left_out_is_made_up_once(plugin: Plugin, vpc: tuple[str, State]) -> None:
    _, state = plugin.create(GROUP, vpcId=vpc[0])
    assert state["name"] == "it-3031323"
    assert plugin.checked(GROUP, {"vpcId": vpc[0]}, {"name": "it-other"})["name"] == "it-other"


def test_enumerations_are_checked_before_anything_is_asked(plugin: Plugin, vpc: tuple[str, State]) -> None:
    refused = plugin.refusal("create", TEMPLATE, metadataOptions={"httpTokens": "mandatory"})
    assert "LaunchTemplateData.MetadataOptions.HttpTokens is 'mandatory'" in refused
    refused = plugin.refusal("create", VPC, cidrBlock="10.0.0.0/16", instanceTenancy="shared")
    assert "ec2.CreateVpc: api error InvalidParameterValue" in refused


# Tags


def test_default_tags_are_beneath_the_resources_own(plugin: Plugin) -> None:
    _, state = plugin.create(VPC, cidrBlock="10.0.0.0/16", tags={"Stack": "mine", "Name": "it"})
    assert state["tags"] == {"Stack": "mine", "Name": "it"}
    assert state["tagsAll"] == {"Project": "saas", "Stack": "mine", "Name": "it"}


def test_another_default_tag_updates_in_place(plugin: Plugin, vpc: tuple[str, State]) -> None:
    inputs = {"cidrBlock": "10.0.0.0/16", "enableDnsHostnames": True, "tags": {"Name": "it"}}
    other = Plugin(defaultTags={"tags": {"Project": "renamed"}})
    assert other.diff(VPC, vpc[1], **inputs) == (["tagsAll"], [])
    state = other.update(VPC, *vpc, **inputs)
    assert state["tagsAll"] == {"Project": "renamed", "Name": "it"}
    assert other.read(VPC, vpc[0], state)[1]["tags"] == {"Name": "it"}


def test_a_tag_that_somebody_added_shows_at_the_next_refresh(plugin: Plugin, vpc: tuple[str, State]) -> None:
    stranger = Plugin()
    inputs = {"cidrBlock": "10.0.0.0/16", "enableDnsHostnames": True}
    stranger.update(VPC, *vpc, **inputs, tags={**vpc[1]["tagsAll"], "Added": "by hand"})
    assert plugin.read(VPC, *vpc)[1]["tags"] == {"Name": "it", "Added": "by hand"}


# The provider's configuration


def test_an_account_that_is_not_allowed_is_refused(plugin: Plugin) -> None:
    with pytest.raises(AbortedError, match="AWS account ID not allowed: 123456789012"):
        Plugin(allowedAccountIds=["999999999999"])
    Plugin(allowedAccountIds=["123456789012"])


def test_an_endpoint_that_is_not_on_this_machine_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for elsewhere in ("", "https://ec2.eu-west-1.amazonaws.com"):
        emulated(monkeypatch, elsewhere)
        with pytest.raises(AbortedError, match="nothing but an emulator on this machine"):
            Plugin()


def test_configuration_without_mapping_is_refused(plugin: Plugin) -> None:
    check = plugin.servicer._stand_in.check_config
    official = {"region": "eu-west-1", "skipCredentialsValidation": "false", "skipRegionValidation": "true"}
    assert list(check(official | {"defaultTags": json.dumps(DEFAULTS)})) == []
    assert [name for name, _ in check({"assumeRoles": "[]"})] == ["assumeRoles"]
    assert [name for name, _ in check({"defaultTags": '{"tag": {}}'})] == ["defaultTags"]


# Networks


def test_another_network_or_zone_replaces_the_resource(
    plugin: Plugin, vpc: tuple[str, State], subnet: tuple[str, State]
) -> None:
    assert plugin.diff(VPC, vpc[1], cidrBlock="10.1.0.0/16", tags={"Name": "it"})[1] == ["cidrBlock"]
    own: State = {"vpcId": vpc[0], "cidrBlock": "10.0.0.0/24"}
    assert plugin.diff(SUBNET, subnet[1], **own, availabilityZone="eu-west-1b")[1] == ["availabilityZone"]
    assert plugin.diff(SUBNET, subnet[1], **own) == ([], [])
    assert plugin.diff(SUBNET, subnet[1], **own, mapPublicIpOnLaunch=True) == (["mapPublicIpOnLaunch"], [])
    assert plugin.update(SUBNET, *subnet, **own, mapPublicIpOnLaunch=True)["mapPublicIpOnLaunch"] is True


@pytest.mark.parametrize(
    ("kind", "inputs", "code"),
    [
        (SUBNET, {"vpcId": "vpc-1", "cidrBlock": "10.0.0.0/24"}, "InvalidVpcID.NotFound"),
        (GROUP, {"vpcId": "vpc-1"}, "InvalidVpcID.NotFound"),
        (TABLE, {"vpcId": "vpc-1"}, "InvalidVpcID.NotFound"),
        (GATEWAY, {"vpcId": "vpc-1"}, "InvalidVpcID.NotFound"),
        (NAT, {"subnetId": "subnet-1", "allocationId": "eipalloc-1"}, "InvalidSubnetID.NotFound"),
        (ENDPOINT, {"vpcId": "vpc-1", "serviceName": f"{SERVICE}.s3"}, "InvalidVpcID.NotFound"),
        (ENDPOINT, {"vpcId": "vpc-1", "serviceName": f"{SERVICE}.nope"}, "InvalidServiceName"),
        (INGRESS, {"securityGroupId": "sg-1", "ipProtocol": "-1", "cidrIpv4": "10.0.0.0/8"}, "InvalidGroup.NotFound"),
        (ALIAS, {"name": "alias/it", "targetKeyId": "nope"}, "NotFoundException"),
    ],
)
def test_references_to_missing_resources_are_refused(plugin: Plugin, kind: str, inputs: State, code: str) -> None:
    assert f"api error {code}" in plugin.refusal("create", kind, **inputs)


def test_a_refused_internet_gateway_leaves_none_behind(plugin: Plugin) -> None:
    aws = plugin.servicer._stand_in.kinds[f"aws:{GATEWAY}"].aws  # pyright: ignore[reportAttributeAccessIssue]
    before = aws.list("ec2", "describe_internet_gateways", "InternetGateways")
    plugin.refusal("create", GATEWAY, vpcId="vpc-1")
    assert aws.list("ec2", "describe_internet_gateways", "InternetGateways") == before


def test_a_vpc_in_use_is_not_deleted(plugin: Plugin, vpc: tuple[str, State], subnet: tuple[str, State]) -> None:
    assert "DependencyViolation" in plugin.refusal("delete", VPC, *vpc)
    plugin.delete(SUBNET, *subnet)
    for kind in (GATEWAY, TABLE, GROUP):
        other = plugin.create(kind, vpcId=vpc[0])
        assert "DependencyViolation" in plugin.refusal("delete", VPC, *vpc)
        plugin.delete(kind, *other)
    plugin.delete(VPC, *vpc)
    assert plugin.read(VPC, *vpc)[0] == ""


def test_nat_is_taken_down_in_its_order(plugin: Plugin, vpc: tuple[str, State], subnet: tuple[str, State]) -> None:
    made = nat(plugin, vpc[0], subnet[0])
    state = made["nat"][1]
    assert state["publicIp"] == made["address"][1]["publicIp"]
    assert "DependencyViolation" in plugin.refusal("delete", SUBNET, *subnet)
    assert "DependencyViolation" in plugin.refusal("delete", GATEWAY, *made["internet"])
    assert "InvalidIPAddress.InUse" in plugin.refusal("delete", ADDRESS, *made["address"])
    plugin.delete(NAT, *made["nat"])
    assert plugin.read(NAT, *made["nat"])[0] == ""
    plugin.delete(ADDRESS, *made["address"])
    plugin.delete(GATEWAY, *made["internet"])
    plugin.delete(SUBNET, *subnet)
    assert plugin.diff(NAT, state, subnetId="subnet-2", allocationId=state["allocationId"])[1] == ["subnetId"]


def test_nat_needs_an_internet_gateway(plugin: Plugin, vpc: tuple[str, State], subnet: tuple[str, State]) -> None:
    address, _ = plugin.create(ADDRESS)
    assert "Gateway.NotAttached" in plugin.refusal("create", NAT, subnetId=subnet[0], allocationId=address)


def test_a_route_gets_another_target_in_place(
    plugin: Plugin, vpc: tuple[str, State], subnet: tuple[str, State]
) -> None:
    made = nat(plugin, vpc[0], subnet[0])
    table, _ = plugin.create(TABLE, vpcId=vpc[0])
    where: State = {"routeTableId": table, "destinationCidrBlock": "0.0.0.0/0"}
    assert "InvalidNatGatewayID.NotFound" in plugin.refusal("create", ROUTE, **where, natGatewayId="nat-1")
    route = plugin.create(ROUTE, **where, natGatewayId=made["nat"][0])
    assert "RouteAlreadyExists" in plugin.refusal("create", ROUTE, **where, natGatewayId=made["nat"][0])
    assert plugin.diff(ROUTE, route[1], **where, gatewayId=made["internet"][0]) == (["gatewayId", "natGatewayId"], [])
    state = plugin.update(ROUTE, *route, **where, gatewayId=made["internet"][0])
    assert plugin.diff(ROUTE, state, **where, gatewayId=made["internet"][0]) == ([], [])
    assert plugin.read(ROUTE, f"{table}_0.0.0.0/0") == plugin.read(ROUTE, route[0], state)
    plugin.delete(ROUTE, route[0], state)
    assert plugin.read(ROUTE, route[0], state)[0] == ""


def test_a_subnet_has_one_table(plugin: Plugin, vpc: tuple[str, State], subnet: tuple[str, State]) -> None:
    first, second = plugin.create(TABLE, vpcId=vpc[0]), plugin.create(TABLE, vpcId=vpc[0])
    made = plugin.create(ASSOCIATION, subnetId=subnet[0], routeTableId=first[0])
    refused = plugin.refusal("create", ASSOCIATION, subnetId=subnet[0], routeTableId=second[0])
    assert "Resource.AlreadyAssociated" in refused
    assert "DependencyViolation" in plugin.refusal("delete", TABLE, *first)
    state = plugin.update(ASSOCIATION, *made, subnetId=subnet[0], routeTableId=second[0])
    assert plugin.read(ASSOCIATION, made[0], state) == (made[0], state)
    plugin.delete(ASSOCIATION, made[0], state)
    plugin.delete(TABLE, *second)


def test_a_gateway_endpoint_follows_its_tables(plugin: Plugin, vpc: tuple[str, State]) -> None:
    tables = [plugin.create(TABLE, vpcId=vpc[0])[0] for _ in range(2)]
    own: State = {"vpcId": vpc[0], "serviceName": f"{SERVICE}.s3", "vpcEndpointType": "Gateway"}
    made = plugin.create(ENDPOINT, **own, routeTableIds=tables[:1])
    assert made[1]["prefixListId"].startswith("pl-")
    assert plugin.diff(ENDPOINT, made[1], **own, routeTableIds=tables) == (["routeTableIds"], [])
    state = plugin.update(ENDPOINT, *made, **own, routeTableIds=tables)
    assert plugin.diff(ENDPOINT, state, **own, routeTableIds=tables[::-1]) == ([], [])
    state = plugin.update(ENDPOINT, made[0], state, **own, routeTableIds=tables[1:])
    assert state["routeTableIds"] == tables[1:]
    plugin.delete(ENDPOINT, made[0], state)
    assert plugin.read(ENDPOINT, made[0], state)[0] == ""


def test_an_interface_endpoint_is_one_per_service_and_subnet_per_zone(
    plugin: Plugin, vpc: tuple[str, State], subnet: tuple[str, State]
) -> None:
    group = plugin.create(GROUP, vpcId=vpc[0])
    neighbour, _ = plugin.create(SUBNET, vpcId=vpc[0], cidrBlock="10.0.1.0/24", availabilityZone="eu-west-1a")
    own: State = {
        "vpcId": vpc[0],
        "vpcEndpointType": "Interface",
        "securityGroupIds": [group[0]],
        "privateDnsEnabled": True,
    }
    own["serviceName"] = f"{SERVICE}.sts"
    twice = plugin.refusal("create", ENDPOINT, **own, subnetIds=[subnet[0], neighbour])
    assert "DuplicateSubnetsInSameZone" in twice
    made = plugin.create(ENDPOINT, **own, subnetIds=[subnet[0]])
    assert plugin.diff(ENDPOINT, made[1], **own, subnetIds=[subnet[0]]) == ([], [])
    assert "conflicting DNS domain" in plugin.refusal("create", ENDPOINT, **own, subnetIds=[subnet[0]])
    assert "DependencyViolation" in plugin.refusal("delete", SUBNET, *subnet)
    assert "DependencyViolation" in plugin.refusal("delete", GROUP, *group)
    plugin.delete(ENDPOINT, *made)
    plugin.delete(GROUP, *group)
    plugin.delete(SUBNET, *subnet)


def test_private_names_need_dns_in_the_vpc(plugin: Plugin) -> None:
    vpc, _ = plugin.create(VPC, cidrBlock="10.0.0.0/16")
    own: State = {
        "vpcId": vpc,
        "serviceName": f"{SERVICE}.sts",
        "vpcEndpointType": "Interface",
        "privateDnsEnabled": True,
    }
    assert "requires both enableDnsSupport and enableDnsHostnames" in plugin.refusal("create", ENDPOINT, **own)


# Security groups


def test_a_group_begins_without_rules(plugin: Plugin, vpc: tuple[str, State]) -> None:
    aws = plugin.servicer._stand_in.kinds[f"aws:{GROUP}"].aws  # pyright: ignore[reportAttributeAccessIssue]
    group, state = plugin.create(GROUP, vpcId=vpc[0])
    plugin.create("ec2/defaultSecurityGroup:DefaultSecurityGroup", vpcId=vpc[0], tags={"Name": "default"})
    found = aws.list(
        "ec2", "describe_security_groups", "SecurityGroups", GroupIds=[group, vpc[1]["defaultSecurityGroupId"]]
    )
    assert [item["IpPermissionsEgress"] + item["IpPermissions"] for item in found] == [[], []]
    assert plugin.diff(GROUP, state, vpcId=vpc[0], description="another")[1] == ["description"]


def test_a_rule_changes_in_place(plugin: Plugin, vpc: tuple[str, State]) -> None:
    group, _ = plugin.create(GROUP, vpcId=vpc[0])
    own: State = {"securityGroupId": group, "ipProtocol": "tcp", "cidrIpv4": "10.0.0.0/16", "tags": {"Name": "web"}}
    rule = plugin.create(INGRESS, **own, fromPort=443, toPort=443)
    assert rule[1]["arn"].endswith(f"security-group-rule/{rule[0]}")
    assert plugin.diff(INGRESS, rule[1], **own, fromPort=443, toPort=443) == ([], [])
    assert plugin.diff(INGRESS, rule[1], **own, fromPort=80, toPort=443) == (["fromPort"], [])
    state = plugin.update(INGRESS, *rule, **own, fromPort=80, toPort=443)
    assert (state["fromPort"], state["tagsAll"]["Name"]) == (80, "web")
    plugin.delete(INGRESS, rule[0], state)
    assert plugin.read(INGRESS, rule[0], state)[0] == ""


@pytest.mark.parametrize(
    "inputs",
    [
        {"ipProtocol": "tcp", "cidrIpv4": "10.0.0.0/8"},
        {"ipProtocol": "-1", "cidrIpv4": "10.0.0.0/8", "fromPort": 1, "toPort": 2},
        {"ipProtocol": "tcp", "fromPort": 1, "toPort": 2},
        {"ipProtocol": "-1", "cidrIpv4": "10.0.0.0/8", "referencedSecurityGroupId": "sg-1"},
        {"ipProtocol": "tcp", "cidrIpv4": "10.0.0.0/8", "fromPort": 3, "toPort": 2},
    ],
)
def test_a_rule_that_says_too_much_or_too_little_is_refused(plugin: Plugin, inputs: State) -> None:
    assert len(plugin.failures(INGRESS, securityGroupId="sg-1", **inputs)) == 1


def test_groups_that_refer_to_each_other_go_once_their_rules_are_gone(plugin: Plugin, vpc: tuple[str, State]) -> None:
    item = plugin.create(GROUP, vpcId=vpc[0], name="one")
    other = plugin.create(GROUP, vpcId=vpc[0], name="other", revokeRulesOnDelete=True)
    own: State = {"type": "ingress", "securityGroupId": item[0], "sourceSecurityGroupId": other[0], "protocol": "-1"}
    rule = plugin.create(RULE, **own, fromPort=0, toPort=0)
    assert plugin.diff(RULE, rule[1], **own, fromPort=0, toPort=0) == ([], [])
    assert plugin.read(RULE, *rule) == rule
    assert "DependencyViolation" in plugin.refusal("delete", GROUP, *other)
    plugin.delete(RULE, *rule)
    assert plugin.read(RULE, *rule)[0] == ""
    plugin.delete(GROUP, *other)


# Launch templates


def template(size: int) -> State:
    disk = {"volumeSize": size, "volumeType": "gp3", "encrypted": "true", "deleteOnTermination": "true"}
    return {
        "name": "nodes",
        "updateDefaultVersion": True,
        "metadataOptions": {"httpEndpoint": "enabled", "httpTokens": "required", "httpPutResponseHopLimit": 1},
        "blockDeviceMappings": [{"deviceName": "/dev/xvda", "ebs": disk}],
        "tagSpecifications": [{"resourceType": "instance", "tags": {"Name": "node"}}],
    }


def test_a_changed_template_is_another_version_of_it(plugin: Plugin) -> None:
    identifier, state = plugin.create(TEMPLATE, **template(20))
    assert (state["latestVersion"], state["defaultVersion"]) == (1, 1)
    assert plugin.diff(TEMPLATE, state, **template(20)) == ([], [])
    assert plugin.diff(TEMPLATE, state, **template(50)) == (["blockDeviceMappings"], [])
    assert plugin.update(TEMPLATE, identifier, state, preview=True, **template(50))["latestVersion"] is UNKNOWN
    state = plugin.update(TEMPLATE, identifier, state, **template(50))
    assert (state["latestVersion"], state["defaultVersion"]) == (2, 2)
    assert state["blockDeviceMappings"][0]["ebs"]["volumeSize"] == 50
    assert plugin.diff(TEMPLATE, state, **{**template(50), "name": "other"})[1] == ["name"]
    plugin.delete(TEMPLATE, identifier, state)
    assert plugin.read(TEMPLATE, identifier, state)[0] == ""


# Keys and logs


def test_a_key_is_deleted_after_a_while(plugin: Plugin) -> None:
    own: State = {"description": "logs", "enableKeyRotation": True, "deletionWindowInDays": 30, "policy": key_policy()}
    key = plugin.create(KEY, **own)
    assert key[1]["arn"] == f"arn:aws:kms:eu-west-1:123456789012:key/{key[0]}"
    assert plugin.diff(KEY, key[1], **own) == ([], [])
    spaced = json.dumps(json.loads(own["policy"]), indent=2)
    assert plugin.diff(KEY, key[1], **{**own, "policy": spaced}) == ([], [])
    state = plugin.update(KEY, *key, **{**own, "description": "other", "enableKeyRotation": False})
    assert (state["description"], state["enableKeyRotation"]) == ("other", False)
    plugin.delete(KEY, key[0], state)
    assert plugin.read(KEY, key[0], state)[0] == ""


def test_a_key_is_in_the_state_although_its_rotation_was_refused(plugin: Plugin) -> None:
    kind = plugin.servicer._stand_in.kinds[f"aws:{KEY}"]
    inputs = from_struct(plugin.checked(KEY, {"enableKeyRotation": True, "rotationPeriodInDays": 1}))
    with pytest.raises(InitFailedError, match="RotationPeriodInDays is 1, which has to be 90 at least") as failed:
        kind.create(inputs)
    assert plugin.read(KEY, failed.value.identifier, failed.value.state)[1]["enableKeyRotation"] is False


def test_a_key_policy_without_an_administrator_is_refused(plugin: Plugin) -> None:
    service = {"Effect": "Allow", "Principal": {"Service": "logs"}, "Action": "kms:*", "Resource": "*"}
    assert "MalformedPolicyDocument" in plugin.refusal("create", KEY, policy=json.dumps({"Statement": service}))


def test_an_alias_moves_to_another_key(plugin: Plugin) -> None:
    first, second = (plugin.create(KEY)[1] for _ in range(2))
    alias = plugin.create(ALIAS, name="alias/moving", targetKeyId=first["keyId"])
    assert "AlreadyExistsException" in plugin.refusal("create", ALIAS, name="alias/moving", targetKeyId=first["keyId"])
    assert plugin.diff(ALIAS, alias[1], name="alias/moving", targetKeyId=second["keyId"]) == (["targetKeyId"], [])
    state = plugin.update(ALIAS, *alias, name="alias/moving", targetKeyId=second["keyId"])
    assert state["targetKeyArn"] == second["arn"]
    plugin.delete(ALIAS, alias[0], state)
    assert plugin.read(ALIAS, alias[0], state)[0] == ""


def test_a_log_group_needs_a_key_that_cloudwatch_may_use(plugin: Plugin) -> None:
    closed = plugin.create(KEY, policy=key_policy())[1]["arn"]
    open_ = plugin.create(KEY, policy=key_policy("logs.eu-west-1.amazonaws.com"))[1]["arn"]
    refused = plugin.refusal("create", LOGS, name="/it/encrypted", kmsKeyId=closed)
    assert "not allowed to be used with Arn 'arn:aws:logs:eu-west-1:123456789012:log-group:/it/encrypted'" in refused
    group = plugin.create(LOGS, name="/it/encrypted", kmsKeyId=open_, retentionInDays=90)
    assert (group[1]["kmsKeyId"], group[1]["retentionInDays"]) == (open_, 90)
    assert plugin.diff(LOGS, group[1], name="/it/encrypted", kmsKeyId=open_, retentionInDays=90) == ([], [])
    state = plugin.update(LOGS, *group, name="/it/encrypted", kmsKeyId=open_, tags={"tenant": "alpha"})
    assert (state["retentionInDays"], state["tagsAll"]["tenant"]) == (0, "alpha")
    plugin.delete(LOGS, group[0], state)
    assert plugin.read(LOGS, group[0], state)[0] == ""


def test_flow_logs_need_a_role_and_a_group(plugin: Plugin, vpc: tuple[str, State]) -> None:
    group = plugin.create(LOGS, name="/it/flow")[1]["arn"]
    trust = {"Statement": [{"Effect": "Allow", "Principal": {"Service": "vpc-flow-logs.amazonaws.com"}}]}
    trust["Statement"][0] |= {"Action": "sts:AssumeRole"}
    role = plugin.create("iam/role:Role", name="flow", assumeRolePolicy=json.dumps({"Version": "2012-10-17", **trust}))
    own: State = {"vpcId": vpc[0], "trafficType": "ALL", "logDestination": group, "iamRoleArn": role[1]["arn"]}
    for name, wrong in (("iamRoleArn", f"{role[1]['arn']}x"), ("logDestination", f"{group}x"), ("trafficType", "SOME")):
        assert "api error InvalidParameter" in plugin.refusal("create", FLOW_LOG, **{**own, name: wrong})
    made = plugin.create(FLOW_LOG, **own)
    assert plugin.diff(FLOW_LOG, made[1], **own) == ([], [])
    plugin.delete(FLOW_LOG, *made)
    assert plugin.read(FLOW_LOG, *made)[0] == ""


# Functions


def test_the_account_and_existing_networks_can_be_asked_for(
    plugin: Plugin, vpc: tuple[str, State], subnet: tuple[str, State]
) -> None:
    assert plugin.invoke("index/getCallerIdentity:getCallerIdentity")["accountId"] == "123456789012"
    assert plugin.invoke("index/getPartition:getPartition")["partition"] == "aws"
    assert plugin.invoke("index/getRegion:getRegion")["region"] == "eu-west-1"
    zones = plugin.invoke("index/getAvailabilityZones:getAvailabilityZones")
    assert dict(zip(zones["names"], zones["zoneIds"], strict=True)) == {
        "eu-west-1a": "euw1-az3",
        "eu-west-1b": "euw1-az1",
        "eu-west-1c": "euw1-az2",
    }
    asked = [{"name": "instance-type", "values": ["m7g.large", "m7g.lagre"]}]
    types = "ec2/getInstanceTypeOfferings:getInstanceTypeOfferings"
    offered = plugin.invoke(types, locationType="availability-zone", filters=asked)
    assert {*zip(offered["instanceTypes"], offered["locations"], strict=True)} == {
        ("m7g.large", zone) for zone in zones["names"]
    }
    assert len(plugin.invoke(types)["instanceTypes"]) > 500
    found = plugin.invoke("ec2/getVpc:getVpc", id=vpc[0])
    assert (found["cidrBlock"], found["enableDnsHostnames"], found["tags"]["Name"]) == ("10.0.0.0/16", True, "it")
    found = plugin.invoke("ec2/getSubnet:getSubnet", id=subnet[0])
    assert (found["vpcId"], found["availabilityZone"]) == (vpc[0], "eu-west-1a")
    assert "InvalidVpcID.NotFound" in plugin.refusal("invoke", "ec2/getVpc:getVpc", id="vpc-1")
