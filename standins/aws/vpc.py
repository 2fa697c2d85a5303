"""AWS stand-in: Vpc and Subnet."""

from __future__ import annotations

from standins.aws.ec2 import Ec2Kind, living
from standins.aws.kind import REGION, TAGS, changed
from standins.aws.session import AwsError
from standins.provider import Property, Values


class Vpc(Ec2Kind):
    """A virtual network."""

    token = "aws:ec2/vpc:Vpc"  # noqa: S105 - a type's name
    resource_type = "vpc"
    properties = {
        "cidrBlock": Property(computed=True, replaces=True),
        "instanceTenancy": Property(default="default", replaces=True),
        "enableDnsSupport": Property(bool, default=True),
        "enableDnsHostnames": Property(bool, computed=True),
        **TAGS,
        **REGION,
    }
    outputs = (
        *("arn", "ownerId", "dhcpOptionsId", "defaultSecurityGroupId", "defaultNetworkAclId"),
        *("defaultRouteTableId", "mainRouteTableId", "region"),
    )

    def create(self, inputs: Values) -> tuple[str, Values]:
        if "cidrBlock" not in inputs:
            message = "The request must contain the parameter cidrBlock, as the emulator has no address manager"
            raise AwsError("ec2.CreateVpc", "MissingParameter", message)
        made = self.call(
            "create_vpc",
            CidrBlock=inputs["cidrBlock"],
            InstanceTenancy=inputs["instanceTenancy"],
            TagSpecifications=self.tag_specifications(inputs),
        )
        identifier = made["Vpc"]["VpcId"]
        self._set(identifier, {"enableDnsSupport": True, "enableDnsHostnames": False}, inputs)
        return self.made(identifier, inputs)

    def _set(self, identifier: str, state: Values, inputs: Values) -> None:
        for name, parameter in (("enableDnsSupport", "EnableDnsSupport"), ("enableDnsHostnames", "EnableDnsHostnames")):
            if changed(self, state, inputs, name):
                self.call("modify_vpc_attribute", VpcId=identifier, **{parameter: {"Value": inputs[name]}})

    def read(self, identifier: str, state: Values) -> tuple[str, Values] | None:
        vpc = self.one("describe_vpcs", "Vpcs", ["InvalidVpcID.NotFound"], VpcIds=[identifier])
        if vpc is None:
            return None
        table = self.all("describe_route_tables", "RouteTables", vpc_id=identifier, **{"association.main": "true"})[0]
        groups = self.all("describe_security_groups", "SecurityGroups", vpc_id=identifier, group_name="default")
        acl = self.all("describe_network_acls", "NetworkAcls", vpc_id=identifier, default="true")[0]
        return identifier, {
            "cidrBlock": vpc["CidrBlock"],
            "instanceTenancy": vpc["InstanceTenancy"],
            "enableDnsSupport": dns_attribute(self, identifier, "EnableDnsSupport"),
            "enableDnsHostnames": dns_attribute(self, identifier, "EnableDnsHostnames"),
            "arn": self.ec2_arn(identifier),
            "ownerId": vpc["OwnerId"],
            "dhcpOptionsId": vpc["DhcpOptionsId"],
            "defaultSecurityGroupId": groups[0]["GroupId"],
            "defaultNetworkAclId": acl["NetworkAclId"],
            "defaultRouteTableId": table["RouteTableId"],
            "mainRouteTableId": table["RouteTableId"],
            **self.located(vpc, state),
        }

    def update(self, identifier: str, state: Values, inputs: Values) -> Values:
        self._set(identifier, state, inputs)
        return super().update(identifier, state, inputs)

    def delete(self, identifier: str, state: Values) -> None:
        self.refuse_in_use(
            "DeleteVpc",
            f"The vpc '{identifier}' has dependencies and cannot be deleted.",
            self.all("describe_subnets", "Subnets", vpc_id=identifier),
            self.all("describe_internet_gateways", "InternetGateways", **{"attachment.vpc-id": identifier}),
            living(self.all("describe_vpc_endpoints", "VpcEndpoints", vpc_id=identifier)),
            living(self.all("describe_nat_gateways", "NatGateways", vpc_id=identifier)),
            [
                group
                for group in self.all("describe_security_groups", "SecurityGroups", vpc_id=identifier)
                if group["GroupName"] != "default"
            ],
            [
                table
                for table in self.all("describe_route_tables", "RouteTables", vpc_id=identifier)
                if not any(association.get("Main") for association in table["Associations"])
            ],
        )
        self.aws.find("ec2", "delete_vpc", ["InvalidVpcID.NotFound"], VpcId=identifier)


def dns_attribute(kind: Ec2Kind, vpc: str, attribute: str) -> bool:
    """Whether a VPC has EnableDnsSupport or EnableDnsHostnames."""
    asked = attribute[0].lower() + attribute[1:]
    return kind.call("describe_vpc_attribute", VpcId=vpc, Attribute=asked)[attribute]["Value"]


class Subnet(Ec2Kind):
    """A part of a VPC in one zone."""

    token = "aws:ec2/subnet:Subnet"  # noqa: S105 - a type's name
    resource_type = "subnet"
    properties = {
        "vpcId": Property(required=True, replaces=True),
        "cidrBlock": Property(replaces=True),
        "availabilityZone": Property(computed=True, replaces=True),
        "availabilityZoneId": Property(computed=True, replaces=True),
        "mapPublicIpOnLaunch": Property(bool, default=False),
        **TAGS,
        **REGION,
    }
    outputs = ("arn", "ownerId", "region")

    def create(self, inputs: Values) -> tuple[str, Values]:
        made = self.call(
            "create_subnet",
            VpcId=inputs["vpcId"],
            CidrBlock=inputs.get("cidrBlock"),
            AvailabilityZone=inputs.get("availabilityZone"),
            AvailabilityZoneId=inputs.get("availabilityZoneId"),
            TagSpecifications=self.tag_specifications(inputs),
        )
        identifier = made["Subnet"]["SubnetId"]
        self._set(identifier, {}, inputs)
        return self.made(identifier, inputs)

    def _set(self, identifier: str, state: Values, inputs: Values) -> None:
        if changed(self, state, inputs, "mapPublicIpOnLaunch"):
            value = {"Value": inputs["mapPublicIpOnLaunch"]}
            self.call("modify_subnet_attribute", SubnetId=identifier, MapPublicIpOnLaunch=value)

    def read(self, identifier: str, state: Values) -> tuple[str, Values] | None:
        found = self.one("describe_subnets", "Subnets", ["InvalidSubnetID.NotFound"], SubnetIds=[identifier])
        if found is None:
            return None
        return identifier, {
            "vpcId": found["VpcId"],
            "cidrBlock": found["CidrBlock"],
            "availabilityZone": found["AvailabilityZone"],
            "availabilityZoneId": found["AvailabilityZoneId"],
            "mapPublicIpOnLaunch": found["MapPublicIpOnLaunch"],
            "arn": found["SubnetArn"],
            "ownerId": found["OwnerId"],
            **self.located(found, state),
        }

    def update(self, identifier: str, state: Values, inputs: Values) -> Values:
        self._set(identifier, state, inputs)
        return super().update(identifier, state, inputs)

    def delete(self, identifier: str, state: Values) -> None:
        endpoints = self.all("describe_vpc_endpoints", "VpcEndpoints", vpc_id=state["vpcId"])
        self.refuse_in_use(
            "DeleteSubnet",
            f"The subnet '{identifier}' has dependencies and cannot be deleted.",
            living(self.all("describe_nat_gateways", "NatGateways", subnet_id=identifier)),
            [one for one in living(endpoints) if identifier in one.get("SubnetIds", ())],
        )
        self.aws.find("ec2", "delete_subnet", ["InvalidSubnetID.NotFound"], SubnetId=identifier)


KINDS = (Vpc, Subnet)
