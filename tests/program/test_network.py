"""The network components by themselves: each setting, and existing networks."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import pulumi
import pytest

from components.aws.context import AwsContext
from components.aws.network import ExistingNetwork, ExistingNetworkArgs, Network, NetworkArgs, VpcNetwork
from model.config.aws import ExistingVpcSettings, VpcSettings
from tests.iam_lint import findings
from tests.program.recorder import ProgramError, Recording, Registration, aws_context, record

VPC = "aws:ec2/vpc:Vpc"
SUBNET = "aws:ec2/subnet:Subnet"
GATEWAY = "aws:ec2/internetGateway:InternetGateway"
ADDRESS = "aws:ec2/eip:Eip"
NAT = "aws:ec2/natGateway:NatGateway"
ROUTE = "aws:ec2/route:Route"
ASSOCIATION = "aws:ec2/routeTableAssociation:RouteTableAssociation"
ENDPOINT = "aws:ec2/vpcEndpoint:VpcEndpoint"
FLOW_LOG = "aws:ec2/flowLog:FlowLog"
LOG_GROUP = "aws:cloudwatch/logGroup:LogGroup"
KEY = "aws:kms/key:Key"
ROLE = "aws:iam/role:Role"

OUTSIDE = {
    "vpc-0000000a": {"enableDnsSupport": True, "enableDnsHostnames": True},
    "vpc-0000000b": {"enableDnsSupport": True, "enableDnsHostnames": False},
    "subnet-0000000a": {"vpcId": "vpc-0000000a", "availabilityZone": "eu-west-1a"},
    "subnet-000000aa": {"vpcId": "vpc-0000000a", "availabilityZone": "eu-west-1a"},
    "subnet-0000000b": {
        "vpcId": "vpc-0000000a",
        "availabilityZone": "eu-west-1b",
        "tags": {"kubernetes.io/role/internal-elb": "1"},
    },
    "subnet-0000000c": {"vpcId": "vpc-0000000c", "availabilityZone": "eu-west-1c"},
}
"""Existing resources on AWS."""


def look_up(args: Mapping[str, Any]) -> dict[str, Any]:
    return {"id": args["id"], "tags": {}} | OUTSIDE[args["id"]]


def program_of(build: Callable[[AwsContext], VpcNetwork], *, preview: bool, protected: bool = True) -> Recording:
    """A program with one network, and the network's outputs."""

    def program() -> None:
        network = build(aws_context(prefix="saas-in-eks-test", protected=protected))
        pulumi.export("vpc", network.vpc_id)
        pulumi.export("private", network.private_subnet_ids)
        pulumi.export("public", network.public_subnet_ids)
        pulumi.export("egress", network.egress_addresses)
        pulumi.export("ready", [resource.urn for resource in network.ready])

    return record(
        program,
        preview=preview,
        answers={"aws:ec2/getVpc:getVpc": look_up, "aws:ec2/getSubnet:getSubnet": look_up},
    )


def network(*, preview: bool = False, protected: bool = True, **settings: Any) -> Recording:
    """A provisioned network; settings by their keys in the configuration."""
    given = VpcSettings.model_validate(settings)

    def build(context: AwsContext) -> VpcNetwork:
        return Network("eu", NetworkArgs(context=context, settings=given, cluster_name="eu"))

    return program_of(build, preview=preview, protected=protected)


def existing(vpc: str, private: list[str], public: list[str] | None = None, *, preview: bool = False) -> Recording:
    values = {"vpc": vpc, "privateSubnets": private, "publicSubnets": public or []}
    given = ExistingVpcSettings.model_validate(values)

    def build(context: AwsContext) -> VpcNetwork:
        return ExistingNetwork("eu", ExistingNetworkArgs(context=context, settings=given))

    return program_of(build, preview=preview)


def names(registrations: list[Registration]) -> set[str]:
    return {registration.name for registration in registrations}


def trust_of(recording: Recording) -> str:
    return recording.resource(ROLE, "eu-flow-logs").inputs["assumeRolePolicy"]


def statements(policy: str) -> list[dict[str, Any]]:
    return json.loads(policy)["Statement"]


def test_every_zone_has_a_private_and_a_public_subnet() -> None:
    recording = network(zones=["a", "c"])
    subnets = {subnet.name: subnet.inputs for subnet in recording.of(SUBNET)}
    assert {name: (item["availabilityZone"], item["cidrBlock"]) for name, item in subnets.items()} == {
        "eu-private-a": ("eu-west-1a", "10.0.0.0/19"),
        "eu-private-c": ("eu-west-1c", "10.0.64.0/19"),
        "eu-public-a": ("eu-west-1a", "10.0.224.0/22"),
        "eu-public-c": ("eu-west-1c", "10.0.232.0/22"),
    }
    assert recording.outputs["private"] == ["eu-private-a-id", "eu-private-c-id"]
    assert recording.outputs["public"] == ["eu-public-a-id", "eu-public-c-id"]
    assert not any(item["mapPublicIpOnLaunch"] for item in subnets.values())


def test_endpoints_take_nothing_to_other_accounts() -> None:
    recording = network(endpoints=["s3", "dynamodb", "ecr.dkr", "sts"], endpointAccounts=["210987654321"])
    account = ["123456789012", "210987654321"]
    reads = {}
    for endpoint in recording.of(ENDPOINT):
        own, *elsewhere = json.loads(endpoint.inputs["policy"])["Statement"]
        assert own["Condition"] == {"StringEqualsIfExists": {"aws:ResourceAccount": account}}
        assert findings(endpoint.inputs["policy"]) == []
        reads[endpoint.inputs["serviceName"].rpartition("eu-west-1.")[2]] = [
            action.partition(":")[2] for statement in elsewhere for action in statement["Action"]
        ]
    # Image layers and packages are in buckets, and add-ons in registries, of AWS' accounts.
    assert reads["s3"] == ["GetObject", "GetObjectVersion", "GetBucketLocation", "ListBucket"]
    assert reads["ecr.dkr"] == ["BatchCheckLayerAvailability", "BatchGetImage", "GetDownloadUrlForLayer"]
    assert reads["dynamodb"] == reads["sts"] == []


def test_load_balancers_and_karpenter_find_their_subnets_by_tags() -> None:
    recording = network()
    assert recording.resource(SUBNET, "eu-private-a").inputs["tags"] == {
        "Name": "saas-in-eks-test-private-a",
        "kubernetes.io/cluster/eu": "shared",
        "kubernetes.io/role/internal-elb": "1",
        "karpenter.sh/discovery": "eu",
    }
    assert recording.resource(SUBNET, "eu-public-a").inputs["tags"] == {
        "Name": "saas-in-eks-test-public-a",
        "kubernetes.io/cluster/eu": "shared",
        "kubernetes.io/role/elb": "1",
    }


def test_the_vpc_has_dns_and_an_empty_default_security_group() -> None:
    recording = network()
    vpc = recording.resource(VPC, "eu").inputs
    assert vpc["enableDnsSupport"] is vpc["enableDnsHostnames"] is True
    group = recording.resource("aws:ec2/defaultSecurityGroup:DefaultSecurityGroup", "eu").inputs
    assert group["vpcId"] == "eu-id"
    assert not {"ingress", "egress"} & set(group)


def private_routes(recording: Recording) -> dict[str, str]:
    """Where each private subnet's route table leads to; empty where it leads nowhere."""
    tables = {item.inputs["subnetId"]: item.inputs["routeTableId"] for item in recording.of(ASSOCIATION)}
    routes = {
        item.inputs["routeTableId"]: item.inputs["natGatewayId"]
        for item in recording.of(ROUTE)
        if "private" in item.name
    }
    return {subnet: routes.get(tables[subnet], "") for subnet in recording.outputs["private"]}


def test_nat_per_zone_keeps_zones_independent() -> None:
    recording = network(nat="perZone")
    assert private_routes(recording) == {f"eu-private-{zone}-id": f"eu-{zone}-id" for zone in "abc"}
    assert {item.name: item.inputs["subnetId"] for item in recording.of(NAT)} == {
        f"eu-{zone}": f"eu-public-{zone}-id" for zone in "abc"
    }
    assert recording.outputs["egress"] == [f"address of eu-nat-{zone}" for zone in "abc"]


def test_a_single_nat_gateway_serves_all_zones() -> None:
    recording = network(nat="single")
    assert private_routes(recording) == {f"eu-private-{zone}-id": "eu-a-id" for zone in "abc"}
    assert names(recording.of(NAT)) == {"eu-a"}
    assert recording.outputs["egress"] == ["address of eu-nat-a"]


def test_without_nat_there_is_no_route_to_the_internet() -> None:
    recording = network(nat="none")
    assert private_routes(recording) == {f"eu-private-{zone}-id": "" for zone in "abc"}
    assert recording.outputs["public"] == recording.outputs["egress"] == []
    for type_ in (GATEWAY, NAT, ADDRESS, ROUTE):
        assert recording.of(type_) == []
    assert names(recording.of(SUBNET)) == {"eu-private-a", "eu-private-b", "eu-private-c"}


def test_a_change_to_nat_per_zone_keeps_the_first_address() -> None:
    single, per_zone = network(nat="single"), network(nat="perZone")
    assert set(single.registrations) < set(per_zone.registrations)
    for urn, before in single.registrations.items():
        changed = urn.endswith(("eu-private-b", "eu-private-c")) and before.type == ROUTE
        assert changed != (per_zone.registrations[urn].inputs == before.inputs), urn


def subnets_of(*zones: str) -> dict[str, dict[str, Any]]:
    return {subnet.urn: subnet.inputs for subnet in network(zones=list(zones)).of(SUBNET)}


def test_a_zones_addresses_do_not_depend_on_other_zones() -> None:
    everything = subnets_of(*"abcdef")
    assert len({inputs["cidrBlock"] for inputs in everything.values()}) == 12
    for zones in ("bc", "cb", "fa", "cba"):
        subnets = subnets_of(*zones)
        assert len(subnets) == 2 * len(zones)
        assert subnets == {urn: everything[urn] for urn in subnets}


def test_adding_a_zone_replaces_nothing() -> None:
    endpoints = ["s3", "sts"]
    before, after = network(zones=["a", "b"], endpoints=endpoints), network(zones=["a", "b", "c"], endpoints=endpoints)
    longer: set[str] = set()
    for urn, registration in before.registrations.items():
        inputs = after.registrations[urn].inputs
        if registration.inputs != inputs and registration.type != "pulumi:pulumi:Stack":
            longer |= {f"{registration.name} {key}" for key in inputs if registration.inputs[key] != inputs[key]}
    # AWS adds to both in place.
    assert longer == {"eu-s3 routeTableIds", "eu-sts subnetIds"}
    added = names([after.registrations[urn] for urn in set(after.registrations) - set(before.registrations)])
    assert added == {"eu-private-c", "eu-public-c", "eu-nat-c", "eu-c"}


def test_gateway_endpoints_are_in_every_private_route_table() -> None:
    endpoint = network(endpoints=["s3", "dynamodb"]).resource(ENDPOINT, "eu-dynamodb").inputs
    assert endpoint["serviceName"] == "com.amazonaws.eu-west-1.dynamodb"
    assert endpoint["vpcEndpointType"] == "Gateway"
    assert endpoint["routeTableIds"] == ["eu-private-a-id", "eu-private-b-id", "eu-private-c-id"]


def test_interface_endpoints_serve_the_vpc_only_with_private_dns() -> None:
    recording = network(cidr="10.7.0.0/16", endpoints=["ecr.api", "sts"])
    assert names(recording.of(ENDPOINT)) == {"eu-ecr.api", "eu-sts"}
    endpoint = recording.resource(ENDPOINT, "eu-ecr.api").inputs
    assert endpoint["serviceName"] == "com.amazonaws.eu-west-1.ecr.api"
    assert endpoint["vpcEndpointType"] == "Interface"
    assert endpoint["privateDnsEnabled"] is True
    assert endpoint["subnetIds"] == recording.outputs["private"]
    assert endpoint["securityGroupIds"] == ["eu-endpoints-id"]
    group = recording.resource("aws:ec2/securityGroup:SecurityGroup", "eu-endpoints").inputs
    assert not {"ingress", "egress"} & set(group)
    (rule,) = recording.of("aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule")
    assert rule.inputs["securityGroupId"] == "eu-endpoints-id"
    assert rule.inputs["cidrIpv4"] == "10.7.0.0/16"
    assert (rule.inputs["ipProtocol"], rule.inputs["fromPort"], rule.inputs["toPort"]) == ("tcp", 443, 443)


def test_without_interface_endpoints_there_is_no_security_group() -> None:
    recording = network(endpoints=["s3"])
    assert recording.of("aws:ec2/securityGroup:SecurityGroup") == []
    assert names(recording.of(ENDPOINT)) == {"eu-s3"}


def test_flow_logs_are_encrypted_and_retained_as_configured() -> None:
    recording = network(flowLogDays=30)
    (group,) = recording.of(LOG_GROUP)
    (key,) = recording.of(KEY)
    (log,) = recording.of(FLOW_LOG)
    assert group.inputs["retentionInDays"] == 30
    assert group.inputs["kmsKeyId"].endswith(":eu-flow-logs")
    assert key.inputs["enableKeyRotation"] is True
    arn = f"arn:aws:logs:eu-west-1:123456789012:log-group:{group.inputs['name']}"
    (service,) = (item for item in statements(key.inputs["policy"]) if "Service" in item["Principal"])
    assert service["Principal"] == {"Service": "logs.eu-west-1.amazonaws.com"}
    assert service["Condition"] == {"ArnLike": {"kms:EncryptionContext:aws:logs:arn": arn}}
    assert (log.inputs["trafficType"], log.inputs["vpcId"]) == ("ALL", "eu-id")


def test_the_flow_logs_role_writes_to_its_log_group_only() -> None:
    recording = network()
    (trust,) = statements(trust_of(recording))
    assert trust["Principal"] == {"Service": "vpc-flow-logs.amazonaws.com"}
    assert trust["Condition"] == {"StringEquals": {"aws:SourceAccount": "123456789012"}}
    (policy,) = recording.of("aws:iam/rolePolicy:RolePolicy")
    group = f"arn:aws:logs:eu-west-1:123456789012:log-group:{recording.of(LOG_GROUP)[0].inputs['name']}"
    allowed = statements(policy.inputs["policy"])
    writing = [item for item in allowed if item["Action"] != ["logs:DescribeLogGroups"]]
    assert len(writing) == 2
    assert all(resource.startswith(f"{group}:") for item in writing for resource in item["Resource"])
    assert policy.urn in recording.of(FLOW_LOG)[0].depends_on
    (key,) = recording.of(KEY)
    for written in (trust_of(recording), policy.inputs["policy"], key.inputs["policy"]):
        assert findings(written) == []


def test_without_flow_logs_there_is_no_role_and_no_key() -> None:
    recording = network(flowLogDays=0)
    for type_ in (FLOW_LOG, LOG_GROUP, KEY, ROLE):
        assert recording.of(type_) == []


@pytest.mark.parametrize("protected", [True, False])
def test_irreplaceable_resources_are_protected(protected: bool) -> None:
    recording = network(protected=protected)
    kept = {
        f"{item.type.split(':')[-1]} {item.name}" for item in recording.registrations.values() if item.request.protect
    }
    everything = {"Vpc eu", "Eip eu-nat-a", "Eip eu-nat-b", "Eip eu-nat-c", "LogGroup eu-flow-logs", "Key eu-flow-logs"}
    assert kept == (everything if protected else set())


def test_routes_and_endpoints_outlive_nodes() -> None:
    recording = network(endpoints=["s3", "sts"])
    ready = set(recording.outputs["ready"])
    needed = ready.union(*(recording.needs(recording.registrations[urn]) for urn in ready))
    for type_ in (
        ROUTE,
        ASSOCIATION,
        NAT,
        ENDPOINT,
        GATEWAY,
        "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule",
    ):
        assert {item.urn for item in recording.of(type_)} <= needed, type_
    # An internet gateway is not detached while an address of a NAT gateway is mapped through it.
    (gateway,) = recording.of(GATEWAY)
    for address in recording.of(ADDRESS):
        assert gateway.urn in recording.needs(address)
    for nat in recording.of(NAT):
        assert recording.resource(ROUTE, "eu-public").urn in recording.needs(nat)


def all_aws_resources_use_the_given_provider(recording: Recording) -> bool:
    own = [item for item in recording.registrations.values() if item.type.startswith("aws:")]
    return bool(own) and all("pulumi:providers:aws::aws::" in item.request.provider for item in own)


def test_every_resource_uses_the_stacks_aws_provider() -> None:
    assert all_aws_resources_use_the_given_provider(network(endpoints=["s3", "sts"]))


@pytest.mark.parametrize("nat", ["perZone", "single", "none"])
def test_a_preview_without_ids_registers_the_same_resources(nat: str) -> None:
    endpoints = ["s3", "sts"]
    preview, update = network(nat=nat, endpoints=endpoints, preview=True), network(nat=nat, endpoints=endpoints)
    assert set(preview.registrations) == set(update.registrations)
    assert len(preview.outputs["private"]) == 3
    assert all(isinstance(item, pulumi.output.Unknown) for item in preview.outputs["private"])
    assert preview.resource(SUBNET, "eu-private-b").inputs["cidrBlock"] == "10.0.32.0/19"


@pytest.mark.parametrize("preview", [False, True])
def test_an_existing_network_is_not_changed(preview: bool) -> None:
    recording = existing("vpc-0000000a", ["subnet-0000000a", "subnet-0000000b"], ["subnet-000000aa"], preview=preview)
    assert [item.type for item in recording.registrations.values() if item.type.startswith("aws:")] == []
    assert len(recording.outputs["private"]) == 2
    assert len(recording.outputs["public"]) == 1
    if not preview:
        assert recording.outputs["vpc"] == "vpc-0000000a"
        assert recording.outputs["private"] == ["subnet-0000000a", "subnet-0000000b"]
        assert recording.outputs["public"] == ["subnet-000000aa"]


NOT_IN_IT = "subnet-0000000c is in vpc-0000000c, not in vpc-0000000a"
ONE_ZONE = "All private subnets are in eu-west-1a"
NO_NAMES = "DNS resolution or DNS hostnames are disabled in vpc-0000000b"
REFUSED: Mapping[str, tuple[str, list[str], list[str], set[str]]] = {
    "a subnet of another VPC": ("vpc-0000000a", ["subnet-0000000a", "subnet-0000000c"], [], {NOT_IN_IT}),
    "a public subnet of another VPC": (
        "vpc-0000000a",
        ["subnet-0000000a", "subnet-0000000b"],
        ["subnet-0000000c"],
        {NOT_IN_IT},
    ),
    "one zone": ("vpc-0000000a", ["subnet-0000000a", "subnet-000000aa"], ["subnet-0000000b"], {ONE_ZONE}),
    "everything at once": (
        "vpc-0000000b",
        ["subnet-0000000a", "subnet-000000aa"],
        [],
        {NO_NAMES, ONE_ZONE, "subnet-0000000a is in vpc-0000000a, not in vpc-0000000b"},
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_an_unusable_existing_network_is_refused(case: str) -> None:
    vpc, private, public, said = REFUSED[case]
    with pytest.raises(ProgramError) as refused:
        existing(vpc, private, public)
    message = str(refused.value)
    for item in (NOT_IN_IT, ONE_ZONE, NO_NAMES, *said):
        assert (item in message) == (item in said), message


def test_missing_load_balancer_tags_of_an_existing_network_are_warned_of(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said: list[str] = []
    monkeypatch.setattr(pulumi.log, "warn", said.append)
    existing("vpc-0000000a", ["subnet-0000000a", "subnet-0000000b"], ["subnet-000000aa"])
    assert [line.partition(": ")[0] for line in said] == [
        "subnet-0000000a lacks the tag kubernetes.io/role/internal-elb=1",
        "subnet-000000aa lacks the tag kubernetes.io/role/elb=1",
    ]
