"""AWS stand-in: InternetGateway, Eip and NatGateway."""

from __future__ import annotations

from collections.abc import Iterable

from standins.aws.ec2 import Ec2Kind, living
from standins.aws.kind import REGION, TAGS, changed
from standins.aws.session import AwsError
from standins.provider import Property, Values


class InternetGateway(Ec2Kind):
    """What a VPC reaches the internet by, and is reached."""

    token = "aws:ec2/internetGateway:InternetGateway"  # noqa: S105 - a type's name
    resource_type = "internet-gateway"
    properties = {"vpcId": Property(computed=True), **TAGS, **REGION}
    outputs = ("arn", "ownerId", "region")

    def create(self, inputs: Values) -> tuple[str, Values]:
        made = self.call("create_internet_gateway", TagSpecifications=self.tag_specifications(inputs))
        identifier = made["InternetGateway"]["InternetGatewayId"]
        self._attach(identifier, inputs.get("vpcId"))
        return self.made(identifier, inputs)

    def _attach(self, identifier: str, vpc: str | None) -> None:
        if not vpc:
            return
        try:
            self.call("attach_internet_gateway", InternetGatewayId=identifier, VpcId=vpc)
        except AwsError:
            # One that no state knows would stay for ever.
            self.call("delete_internet_gateway", InternetGatewayId=identifier)
            raise

    def _detach(self, identifier: str, vpc: str | None) -> None:
        if not vpc:
            return
        mapped = [one for one in living(self.all("describe_nat_gateways", "NatGateways", vpc_id=vpc)) if _public(one)]
        message = f"Network {vpc} has some mapped public address(es). Please unmap those before detaching the gateway."
        self.refuse_in_use("DetachInternetGateway", message, mapped)
        gone = ["Gateway.NotAttached", "InvalidInternetGatewayID.NotFound"]
        self.aws.find("ec2", "detach_internet_gateway", gone, InternetGatewayId=identifier, VpcId=vpc)

    def read(self, identifier: str, state: Values) -> tuple[str, Values] | None:
        missing = ["InvalidInternetGatewayID.NotFound"]
        found = self.one("describe_internet_gateways", "InternetGateways", missing, InternetGatewayIds=[identifier])
        if found is None:
            return None
        return identifier, {
            "vpcId": found["Attachments"][0]["VpcId"] if found["Attachments"] else "",
            "arn": self.ec2_arn(identifier),
            "ownerId": found["OwnerId"],
            **self.located(found, state),
        }

    def update(self, identifier: str, state: Values, inputs: Values) -> Values:
        if changed(self, state, inputs, "vpcId"):
            self._detach(identifier, state.get("vpcId"))
            self.call("attach_internet_gateway", InternetGatewayId=identifier, VpcId=inputs["vpcId"])
        return super().update(identifier, state, inputs)

    def delete(self, identifier: str, state: Values) -> None:
        self._detach(identifier, state.get("vpcId"))
        missing = ["InvalidInternetGatewayID.NotFound"]
        self.aws.find("ec2", "delete_internet_gateway", missing, InternetGatewayId=identifier)


def _public(gateway: Values) -> bool:
    return any(address.get("AllocationId") for address in gateway["NatGatewayAddresses"])


class Eip(Ec2Kind):
    """A public IPv4 address that stays the same."""

    token = "aws:ec2/eip:Eip"  # noqa: S105 - a type's name
    resource_type = "elastic-ip"
    properties = {"domain": Property(computed=True, replaces=True, choices=("vpc",)), **TAGS, **REGION}
    outputs = ("allocationId", "arn", "publicIp", "publicDns", "associationId", "privateIp", "region")

    def create(self, inputs: Values) -> tuple[str, Values]:
        made = self.call("allocate_address", Domain="vpc", TagSpecifications=self.tag_specifications(inputs))
        return self.made(made["AllocationId"], inputs)

    def read(self, identifier: str, state: Values) -> tuple[str, Values] | None:
        missing = ["InvalidAllocationID.NotFound"]
        found = self.one("describe_addresses", "Addresses", missing, AllocationIds=[identifier])
        if found is None:
            return None
        host = found["PublicIp"].replace(".", "-")
        return identifier, {
            "domain": found["Domain"],
            "allocationId": identifier,
            "arn": self.ec2_arn(identifier),
            "publicIp": found["PublicIp"],
            "publicDns": f"ec2-{host}.{self.aws.region}.compute.amazonaws.com",
            "associationId": found.get("AssociationId", ""),
            "privateIp": found.get("PrivateIpAddress", ""),
            **self.located(found, state),
        }

    def delete(self, identifier: str, state: Values) -> None:
        missing = ["InvalidAllocationID.NotFound"]
        found = self.one("describe_addresses", "Addresses", missing, AllocationIds=[identifier])
        if found and found.get("AssociationId"):
            message = f"The address {found['PublicIp']} is in use: disassociate it, or delete what uses it, at first."
            raise AwsError("ec2.ReleaseAddress", "InvalidIPAddress.InUse", message)
        if found:
            self.call("release_address", AllocationId=identifier)


class NatGateway(Ec2Kind):
    """What private subnets reach the internet by, without being reached."""

    token = "aws:ec2/natGateway:NatGateway"  # noqa: S105 - a type's name
    resource_type = "natgateway"
    properties = {
        "subnetId": Property(replaces=True),
        "allocationId": Property(computed=True, replaces=True),
        "connectivityType": Property(default="public", replaces=True),
        "privateIp": Property(computed=True, replaces=True),
        **TAGS,
        **REGION,
    }
    outputs = ("publicIp", "networkInterfaceId", "associationId", "region")

    def check(self, name: str, inputs: Values, seed: bytes) -> Iterable[tuple[str, str]]:
        yield from super().check(name, inputs, seed)
        if "subnetId" not in inputs:
            yield "subnetId", "the stand-in has no regional NAT gateways: give it a subnet"
        if inputs["connectivityType"] == "public" and "allocationId" not in inputs:
            yield "allocationId", "a public NAT gateway needs an elastic IP address"

    def create(self, inputs: Values) -> tuple[str, Values]:
        subnet = self.call("describe_subnets", SubnetIds=[inputs["subnetId"]])["Subnets"][0]
        filters = {"attachment.vpc-id": subnet["VpcId"]}
        if inputs["connectivityType"] == "public" and not self.all(
            "describe_internet_gateways", "InternetGateways", **filters
        ):
            message = f"Network {subnet['VpcId']} has no Internet gateway attached"
            raise AwsError("ec2.CreateNatGateway", "Gateway.NotAttached", message)
        made = self.call(
            "create_nat_gateway",
            SubnetId=inputs["subnetId"],
            AllocationId=inputs.get("allocationId"),
            ConnectivityType=inputs["connectivityType"],
            PrivateIpAddress=inputs.get("privateIp"),
            TagSpecifications=self.tag_specifications(inputs),
        )
        return self.made(made["NatGateway"]["NatGatewayId"], inputs)

    def _find(self, identifier: str) -> Values | None:
        missing = ["NatGatewayNotFound"]
        found = self.one("describe_nat_gateways", "NatGateways", missing, NatGatewayIds=[identifier])
        return found if found and living([found]) else None

    def read(self, identifier: str, state: Values) -> tuple[str, Values] | None:
        found = self._find(identifier)
        if found is None:
            return None
        address = found["NatGatewayAddresses"][0]
        return identifier, {
            "subnetId": found["SubnetId"],
            "allocationId": address.get("AllocationId", ""),
            "connectivityType": found.get("ConnectivityType") or state.get("connectivityType", "public"),
            "privateIp": address["PrivateIp"],
            "publicIp": address.get("PublicIp", ""),
            "networkInterfaceId": address["NetworkInterfaceId"],
            "associationId": address.get("AssociationId", ""),
            **self.located(found, state),
        }

    def delete(self, identifier: str, state: Values) -> None:
        found = self._find(identifier)
        if found is None:
            return
        self.call("delete_nat_gateway", NatGatewayId=identifier)
        for address in found["NatGatewayAddresses"]:
            # AWS gives them back by itself; the emulator keeps the address in use, and the network interface.
            if address.get("AssociationId"):
                self.call("disassociate_address", AssociationId=address["AssociationId"])
            missing = ["InvalidNetworkInterfaceID.NotFound"]
            self.aws.find("ec2", "delete_network_interface", missing, NetworkInterfaceId=address["NetworkInterfaceId"])


KINDS = (InternetGateway, Eip, NatGateway)
