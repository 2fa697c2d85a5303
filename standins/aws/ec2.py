"""EC2 of the AWS stand-in: networks, their gateways, routes and endpoints, and flow logs."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

from standins.aws.engine import REGION, TAGS, AwsKind, Call, Field
from standins.aws.session import AwsError, Session
from standins.provider import RefusedError, Values


class Ec2Kind(AwsKind):
    """A resource type of EC2, where tags of all types are changed by the same two calls."""

    service = "ec2"
    resource_type: ClassVar[str]
    """Its name in EC2's API and in ARNs: "vpc", "natgateway"."""

    def all(self, method: str, key: str, /, **filters: str | list[str]) -> list[Values]:
        """The items that a description lists below `key`. A filter is written with _ for -: vpc_id="vpc-1"."""
        wanted = [
            {"Name": name.replace("_", "-"), "Values": [value] if isinstance(value, str) else value}
            for name, value in filters.items()
        ]
        parameter = "Filter" if method in ("describe_nat_gateways", "describe_flow_logs") else "Filters"
        return self.aws.list("ec2", method, key, **{parameter: wanted})

    def initial_tags(self, inputs: Values) -> Values:
        tags = self.tagging.written(inputs.get("tagsAll") or {})
        return {"TagSpecifications": [{"ResourceType": self.resource_type, "Tags": tags}]} if tags else {}

    def retag(self, scope: Values, actual: Mapping[str, str], wanted: Mapping[str, str]) -> None:
        resources = [scope["id"]]
        if gone := [{"Key": key} for key in actual if key not in wanted and not key.startswith("aws:")]:
            self.call("delete_tags", Resources=resources, Tags=gone)
        if new := {key: value for key, value in wanted.items() if actual.get(key) != value}:
            self.call("create_tags", Resources=resources, Tags=self.tagging.written(new))

    def describe(self, scope: Values, found: Values) -> Values:
        state = super().describe(scope, found)
        if "arn" in self.outputs and not state["arn"]:
            state["arn"] = self.aws.arn("ec2", f"{self.resource_type}/{scope['id']}")
        return state

    def refuse_in_use(self, operation: str, message: str, *found: list[Values]) -> None:
        """Refuse to delete a resource that others depend on, as AWS does."""
        if any(found):
            raise self.refusal(operation, "DependencyViolation", message)


def require_vpc(aws: Session, identifier: str) -> Values:
    """The VPC. Raises AwsError if there is none."""
    return aws.call("ec2", "describe_vpcs", VpcIds=[identifier])["Vpcs"][0]


def require_subnets(aws: Session, identifiers: list[str]) -> list[Values]:
    """The subnets. Raises AwsError if one is missing."""
    return aws.call("ec2", "describe_subnets", SubnetIds=identifiers)["Subnets"] if identifiers else []


def require_groups(aws: Session, identifiers: list[str]) -> list[Values]:
    """The security groups. Raises AwsError if one is missing."""
    return aws.call("ec2", "describe_security_groups", GroupIds=identifiers)["SecurityGroups"] if identifiers else []


def living(gateways: list[Values]) -> list[Values]:
    """NAT gateways or endpoints that are not deleted: descriptions show those for a while."""
    return [gateway for gateway in gateways if gateway["State"].lower() not in ("deleted", "deleting", "failed")]


class Vpc(Ec2Kind):
    """A virtual network."""

    token = "aws:ec2/vpc:Vpc"  # noqa: S105 - a type's name
    resource_type = "vpc"
    properties = {
        "cidrBlock": Field(computed=True, replaces=True),
        "instanceTenancy": Field(default="default", replaces=True),
        "enableDnsSupport": Field(bool, default=True),
        "enableDnsHostnames": Field(bool, computed=True),
        **TAGS,
        **REGION,
    }
    outputs = dict.fromkeys(
        (
            *("arn", "ownerId", "dhcpOptionsId", "defaultSecurityGroupId", "defaultNetworkAclId"),
            *("defaultRouteTableId", "mainRouteTableId"),
        ),
        "",
    )
    key = {"VpcId": "{id}"}
    missing = ("InvalidVpcID.NotFound",)
    born = {"enableDnsSupport": True, "enableDnsHostnames": False}
    creates = Call("create_vpc", answer="Vpc.VpcId")
    reads = Call("describe_vpcs", {"VpcIds": ["{id}"]}, answer="Vpcs.0")
    updates = (
        Call("modify_vpc_attribute", when=("enableDnsSupport",)),
        Call("modify_vpc_attribute", when=("enableDnsHostnames",)),
    )
    deletes = Call("delete_vpc")

    def require(self, operation: str, inputs: Values) -> None:
        if "cidrBlock" not in inputs:
            message = "The request must contain the parameter cidrBlock, as the emulator has no address manager"
            raise self.refusal(operation, "MissingParameter", message)

    def change(self, call: Call, scope: Values, inputs: Values) -> None:
        (name,) = call.when
        self.call(call.operation, VpcId=scope["id"], **{self.argument(name): {"Value": inputs[name]}})

    def describe(self, scope: Values, found: Values) -> Values:
        vpc = scope["id"]
        table = self.all("describe_route_tables", "RouteTables", vpc_id=vpc, **{"association.main": "true"})[0]
        groups = self.all("describe_security_groups", "SecurityGroups", vpc_id=vpc, group_name="default")
        acl = self.all("describe_network_acls", "NetworkAcls", vpc_id=vpc, default="true")[0]
        return super().describe(scope, found) | {
            **{name: dns_attribute(self.aws, vpc, name) for name in ("enableDnsSupport", "enableDnsHostnames")},
            "defaultSecurityGroupId": groups[0]["GroupId"],
            "defaultNetworkAclId": acl["NetworkAclId"],
            "defaultRouteTableId": table["RouteTableId"],
            "mainRouteTableId": table["RouteTableId"],
        }

    def refuse_delete(self, identifier: str, state: Values, found: Values) -> None:
        groups = self.all("describe_security_groups", "SecurityGroups", vpc_id=identifier)
        tables = self.all("describe_route_tables", "RouteTables", vpc_id=identifier)
        self.refuse_in_use(
            "DeleteVpc",
            f"The vpc '{identifier}' has dependencies and cannot be deleted.",
            self.all("describe_subnets", "Subnets", vpc_id=identifier),
            self.all("describe_internet_gateways", "InternetGateways", **{"attachment.vpc-id": identifier}),
            living(self.all("describe_vpc_endpoints", "VpcEndpoints", vpc_id=identifier)),
            living(self.all("describe_nat_gateways", "NatGateways", vpc_id=identifier)),
            [group for group in groups if group["GroupName"] != "default"],
            [table for table in tables if not any(association.get("Main") for association in table["Associations"])],
        )


def dns_attribute(aws: Session, vpc: str, attribute: str) -> bool:
    """Whether a VPC has enableDnsSupport or enableDnsHostnames."""
    answer = aws.call("ec2", "describe_vpc_attribute", VpcId=vpc, Attribute=attribute)
    return answer[attribute[0].upper() + attribute[1:]]["Value"]


class Subnet(Ec2Kind):
    """A subnet of a VPC, in one availability zone."""

    token = "aws:ec2/subnet:Subnet"  # noqa: S105 - a type's name
    resource_type = "subnet"
    properties = {
        "vpcId": Field(required=True, replaces=True),
        "cidrBlock": Field(replaces=True),
        "availabilityZone": Field(computed=True, replaces=True),
        "availabilityZoneId": Field(computed=True, replaces=True),
        "mapPublicIpOnLaunch": Field(bool, default=False),
        **TAGS,
        **REGION,
    }
    outputs = {"arn": "SubnetArn", "ownerId": ""}
    key = {"SubnetId": "{id}"}
    missing = ("InvalidSubnetID.NotFound",)
    born = {"mapPublicIpOnLaunch": False}
    creates = Call("create_subnet", answer="Subnet.SubnetId")
    reads = Call("describe_subnets", {"SubnetIds": ["{id}"]}, answer="Subnets.0")
    updates = (Call("modify_subnet_attribute", when=("mapPublicIpOnLaunch",)),)
    deletes = Call("delete_subnet")

    def change(self, call: Call, scope: Values, inputs: Values) -> None:
        value = {"Value": inputs["mapPublicIpOnLaunch"]}
        self.call(call.operation, SubnetId=scope["id"], MapPublicIpOnLaunch=value)

    def refuse_delete(self, identifier: str, state: Values, found: Values) -> None:
        endpoints = self.all("describe_vpc_endpoints", "VpcEndpoints", vpc_id=found["VpcId"])
        balancers = self.aws.list("elbv2", "describe_load_balancers", "LoadBalancers")
        links = self.aws.call("apigatewayv2", "get_vpc_links")["Items"]
        self.refuse_in_use(
            "DeleteSubnet",
            f"The subnet '{identifier}' has dependencies and cannot be deleted.",
            [
                balancer
                for balancer in balancers
                if identifier in [zone["SubnetId"] for zone in balancer["AvailabilityZones"]]
            ],
            [link for link in links if identifier in link["SubnetIds"]],
            living(self.all("describe_nat_gateways", "NatGateways", subnet_id=identifier)),
            [endpoint for endpoint in living(endpoints) if identifier in endpoint.get("SubnetIds", ())],
        )


class InternetGateway(Ec2Kind):
    """The way between a VPC and the internet, in both directions."""

    token = "aws:ec2/internetGateway:InternetGateway"  # noqa: S105 - a type's name
    resource_type = "internet-gateway"
    properties = {"vpcId": Field(computed=True, at="Attachments.0.VpcId"), **TAGS, **REGION}
    outputs = {"arn": "", "ownerId": ""}
    key = {"InternetGatewayId": "{id}"}
    missing = ("InvalidInternetGatewayID.NotFound",)
    born = {"vpcId": ""}
    creates = Call("create_internet_gateway", answer="InternetGateway.InternetGatewayId")
    reads = Call("describe_internet_gateways", {"InternetGatewayIds": ["{id}"]}, answer="InternetGateways.0")
    updates = (Call("attach_internet_gateway", when=("vpcId",)),)
    deletes = Call("delete_internet_gateway")

    def change(self, call: Call, scope: Values, inputs: Values) -> None:
        attached = (self.find(scope) or {}).get("Attachments")
        self._detach(scope["id"], attached)
        try:
            super().change(call, scope, inputs)
        except AwsError:
            if not attached:  # it has just been created: as no state knows it, it would never be deleted
                self.call("delete_internet_gateway", InternetGatewayId=scope["id"])
            raise

    def _detach(self, identifier: str, attachments: Any) -> None:
        for vpc in (attachment["VpcId"] for attachment in attachments or ()):
            nats = living(self.all("describe_nat_gateways", "NatGateways", vpc_id=vpc))
            mapped = [nat for nat in nats if any(address.get("AllocationId") for address in nat["NatGatewayAddresses"])]
            message = f"Network {vpc} has some mapped public address(es). Please unmap those before detaching the"
            self.refuse_in_use("DetachInternetGateway", f"{message} gateway.", mapped)
            gone = ("Gateway.NotAttached", *self.missing)
            self.aws.find("ec2", "detach_internet_gateway", gone, InternetGatewayId=identifier, VpcId=vpc)

    def refuse_delete(self, identifier: str, state: Values, found: Values) -> None:
        self._detach(identifier, found["Attachments"])


class Eip(Ec2Kind):
    """A public IPv4 address that stays the same."""

    token = "aws:ec2/eip:Eip"  # noqa: S105 - a type's name
    resource_type = "elastic-ip"
    properties = {"domain": Field(computed=True, replaces=True, choices=("vpc",)), **TAGS, **REGION}
    outputs = {
        **dict.fromkeys(("allocationId", "arn", "publicIp", "publicDns", "associationId"), ""),
        "privateIp": "PrivateIpAddress",
    }
    key = {"AllocationId": "{id}"}
    missing = ("InvalidAllocationID.NotFound",)
    creates = Call("allocate_address", {"Domain": "vpc"}, answer="AllocationId")
    reads = Call("describe_addresses", {"AllocationIds": ["{id}"]}, answer="Addresses.0")
    deletes = Call("release_address")

    def describe(self, scope: Values, found: Values) -> Values:
        host = f"ec2-{found['PublicIp'].replace('.', '-')}.{self.aws.region}.compute.amazonaws.com"
        return super().describe(scope, found) | {"publicDns": host}

    def refuse_delete(self, identifier: str, state: Values, found: Values) -> None:
        if found.get("AssociationId"):
            message = f"The address {found['PublicIp']} is in use: disassociate it, or delete its user, first."
            raise self.refusal("ReleaseAddress", "InvalidIPAddress.InUse", message)


class NatGateway(Ec2Kind):
    """A NAT gateway: outgoing connections of private subnets to the internet."""

    token = "aws:ec2/natGateway:NatGateway"  # noqa: S105 - a type's name
    resource_type = "natgateway"
    properties = {
        "subnetId": Field(replaces=True),
        "allocationId": Field(computed=True, replaces=True, at="NatGatewayAddresses.0.AllocationId"),
        "connectivityType": Field(default="public", replaces=True),
        "privateIp": Field(computed=True, replaces=True, api="PrivateIpAddress", at="NatGatewayAddresses.0.PrivateIp"),
        **TAGS,
        **REGION,
    }
    outputs = {
        "publicIp": "NatGatewayAddresses.0.PublicIp",
        "networkInterfaceId": "NatGatewayAddresses.0.NetworkInterfaceId",
        "associationId": "NatGatewayAddresses.0.AssociationId",
    }
    key = {"NatGatewayId": "{id}"}
    missing = ("NatGatewayNotFound",)
    creates = Call("create_nat_gateway", answer="NatGateway.NatGatewayId")
    reads = Call("describe_nat_gateways", {"NatGatewayIds": ["{id}"]}, answer="NatGateways.0")
    deletes = Call("delete_nat_gateway")

    def check(self, name: str, inputs: Values, seed: bytes) -> Iterable[tuple[str, str]]:
        yield from super().check(name, inputs, seed)
        if "subnetId" not in inputs:
            yield "subnetId", "the stand-in has no regional NAT gateways: give it a subnet"
        if inputs["connectivityType"] == "public" and "allocationId" not in inputs:
            yield "allocationId", "a public NAT gateway needs an elastic IP address"

    def require(self, operation: str, inputs: Values) -> None:
        vpc = require_subnets(self.aws, [inputs["subnetId"]])[0]["VpcId"]
        attached = self.all("describe_internet_gateways", "InternetGateways", **{"attachment.vpc-id": vpc})
        if inputs["connectivityType"] == "public" and not attached:
            raise self.refusal(operation, "Gateway.NotAttached", f"Network {vpc} has no Internet gateway attached")

    def find(self, scope: Values) -> Values | None:
        found = super().find(scope)
        return found if found and living([found]) else None

    def describe(self, scope: Values, found: Values) -> Values:
        state = super().describe(scope, found)
        return state | {"connectivityType": state["connectivityType"] or scope.get("connectivityType", "public")}

    def delete(self, identifier: str, state: Values) -> None:
        found = self.find(self.scope(identifier, state))
        super().delete(identifier, state)
        for address in found["NatGatewayAddresses"] if found else ():
            # AWS gives them back by itself; the emulator keeps the address in use, and the network interface.
            if address.get("AssociationId"):
                self.call("disassociate_address", AssociationId=address["AssociationId"])
            missing = ["InvalidNetworkInterfaceID.NotFound"]
            self.aws.find("ec2", "delete_network_interface", missing, NetworkInterfaceId=address["NetworkInterfaceId"])


_NO_TABLE = ("InvalidRouteTableID.NotFound",)


class RouteTable(Ec2Kind):
    """The routes of subnets, which are resources of their own."""

    token = "aws:ec2/routeTable:RouteTable"  # noqa: S105 - a type's name
    resource_type = "route-table"
    properties = {"vpcId": Field(required=True, replaces=True), **TAGS, **REGION}
    outputs = {"arn": "", "ownerId": ""}
    key = {"RouteTableId": "{id}"}
    missing = _NO_TABLE
    creates = Call("create_route_table", answer="RouteTable.RouteTableId")
    reads = Call("describe_route_tables", {"RouteTableIds": ["{id}"]}, answer="RouteTables.0")
    deletes = Call("delete_route_table")


_TARGETS = ("gatewayId", "natGatewayId")


class Route(Ec2Kind):
    """One route of a table. Its target is changed in place."""

    token = "aws:ec2/route:Route"  # noqa: S105 - a type's name
    properties = {
        "routeTableId": Field(required=True, replaces=True),
        "destinationCidrBlock": Field(replaces=True),
        **{name: Field() for name in _TARGETS},
        **REGION,
    }
    outputs = {"origin": "", "state": ""}
    imported = "{routeTableId}_{destinationCidrBlock}"
    key = {"RouteTableId": "{routeTableId}", "DestinationCidrBlock": "{destinationCidrBlock}"}
    missing = (*_NO_TABLE, "InvalidRoute.NotFound")
    creates = Call("create_route")
    updates = (Call("replace_route"),)
    deletes = Call("delete_route")

    def check(self, name: str, inputs: Values, seed: bytes) -> Iterable[tuple[str, str]]:
        yield from super().check(name, inputs, seed)
        if "destinationCidrBlock" not in inputs:
            yield "destinationCidrBlock", "a route needs a destination; the stand-in has routes for IPv4 networks only"
        if sum(name in inputs for name in _TARGETS) != 1:
            yield "gatewayId", f"a route needs one target: {' or '.join(_TARGETS)}"

    def require(self, operation: str, inputs: Values) -> None:
        """Refuse a NAT gateway that does not exist."""
        nat = inputs.get("natGatewayId")
        if nat and not living(self.call("describe_nat_gateways", NatGatewayIds=[nat])["NatGateways"]):
            message = f"The natGateway ID '{nat}' does not exist"
            raise self.refusal(operation, "InvalidNatGatewayID.NotFound", message)

    def scope(self, identifier: str, values: Values) -> Values:
        """The id is made of the table and a checksum of the destination, as the official provider makes it."""
        known = super().scope(identifier, values)
        checksum = zlib.crc32(known["destinationCidrBlock"].encode())
        return known | {"id": f"r-{known['routeTableId']}{checksum}"}

    def find(self, scope: Values) -> Values | None:
        tables = self.aws.find("ec2", "describe_route_tables", _NO_TABLE, RouteTableIds=[scope["routeTableId"]])
        for route in tables["RouteTables"][0]["Routes"] if tables else ():
            if route.get("DestinationCidrBlock") == scope["destinationCidrBlock"]:
                return {"RouteTableId": scope["routeTableId"], **route}
        return None


class RouteTableAssociation(Ec2Kind):
    """The route table of a subnet. Another table is set in place."""

    token = "aws:ec2/routeTableAssociation:RouteTableAssociation"  # noqa: S105 - a type's name
    properties = {
        "routeTableId": Field(required=True),
        "subnetId": Field(replaces=True),
        **REGION,
    }
    imported = "{subnetId}/{id}"
    key = {"AssociationId": "{associationId}"}
    creates = Call("associate_route_table", answer="AssociationId")
    updates = (Call("replace_route_table_association"),)
    deletes = Call("disassociate_route_table")

    def check(self, name: str, inputs: Values, seed: bytes) -> Iterable[tuple[str, str]]:
        yield from super().check(name, inputs, seed)
        if "subnetId" not in inputs:
            yield "subnetId", "the stand-in associates tables with subnets only"

    def require(self, operation: str, inputs: Values) -> None:
        found = self.find(inputs)
        if found and operation == "AssociateRouteTable":
            message = (
                f"the specified association for route table {inputs['routeTableId']} conflicts with an existing "
                f"association, {found['RouteTableAssociationId']}, of {inputs['subnetId']}"
            )
            raise self.refusal(operation, "Resource.AlreadyAssociated", message)

    def scope(self, identifier: str, values: Values) -> Values:
        """Replacing a table gives the association another id, but Pulumi's state keeps the first one."""
        known = super().scope(identifier, values)
        now = (self.find(known) or {}).get("RouteTableAssociationId", identifier)
        return known | {"associationId": now, "id": known["id"] if values else now}

    def find(self, scope: Values) -> Values | None:
        subnet = scope["subnetId"]
        for table in self.all("describe_route_tables", "RouteTables", **{"association.subnet-id": subnet}):
            for association in table["Associations"]:
                if association.get("SubnetId") == subnet:
                    return association
        return None


_GATEWAYS = ("dynamodb", "s3")
_INTERFACES = (
    *("acm-pca", "autoscaling", "bedrock-runtime", "cloudformation", "cloudtrail", "cognito-idp", "dynamodb", "ebs"),
    *("ec2", "ec2messages", "ecr.api", "ecr.dkr", "eks", "eks-auth", "elasticfilesystem", "elasticloadbalancing"),
    *("events", "guardduty-data", "kms", "lambda", "logs", "monitoring", "rds", "s3", "secretsmanager", "sns", "sqs"),
    *("ssm", "ssmmessages", "states", "sts", "xray"),
)
"""Services that have endpoints; the emulator takes any name."""
_NETWORKS = ("routeTableIds", "subnetIds", "securityGroupIds")


class VpcEndpoint(Ec2Kind):
    """A VPC endpoint: access to an AWS service without the internet."""

    token = "aws:ec2/vpcEndpoint:VpcEndpoint"  # noqa: S105 - a type's name
    resource_type = "vpc-endpoint"
    properties = {
        "vpcId": Field(required=True, replaces=True),
        "serviceName": Field(replaces=True),
        "vpcEndpointType": Field(default="Gateway", replaces=True, choices=("Gateway", "Interface")),
        **{name: Field(list, of=str, unordered=True, computed=True) for name in _NETWORKS},
        "privateDnsEnabled": Field(bool, computed=True),
        "policy": Field(computed=True, api="PolicyDocument", document=True),
        **TAGS,
        **REGION,
    }
    outputs = dict.fromkeys(
        ("arn", "dnsEntries", "networkInterfaceIds", "ownerId", "prefixListId", "requesterManaged", "state"), ""
    )
    key = {"VpcEndpointIds": ["{id}"]}
    missing = ("InvalidVpcEndpointId.NotFound",)
    creates = Call("create_vpc_endpoint", answer="VpcEndpoint.VpcEndpointId")
    reads = Call("describe_vpc_endpoints", answer="VpcEndpoints.0")
    deletes = Call("delete_vpc_endpoints")

    def check(self, name: str, inputs: Values, seed: bytes) -> Iterable[tuple[str, str]]:
        yield from super().check(name, inputs, seed)
        if "serviceName" not in inputs:
            yield "serviceName", "the stand-in has endpoints of AWS' services only: name one"

    def require(self, operation: str, inputs: Values) -> None:
        kind, vpc = inputs["vpcEndpointType"], inputs["vpcId"]
        service = inputs["serviceName"].removeprefix(f"com.amazonaws.{self.aws.region}.")
        known = _GATEWAYS if kind == "Gateway" else _INTERFACES
        if service == inputs["serviceName"] or service not in known:
            message = f"The Vpc Endpoint Service '{inputs['serviceName']}' does not exist as {kind}"
            raise self.refusal(operation, "InvalidServiceName", f"{message}; there are {', '.join(known)}")
        foreign = {"Gateway": ("subnetIds", "securityGroupIds"), "Interface": ("routeTableIds",)}[kind]
        for name in foreign:
            if inputs.get(name):
                raise self._invalid(f"{name} cannot be specified for an endpoint of type {kind}")
        require_vpc(self.aws, vpc)
        for table in inputs.get("routeTableIds", ()):
            found = self.call("describe_route_tables", RouteTableIds=[table])["RouteTables"][0]
            self._require_same_vpc(vpc, table, found)
        self._require_subnets(vpc, inputs.get("subnetIds", []))
        for group in require_groups(self.aws, inputs.get("securityGroupIds", [])):
            self._require_same_vpc(vpc, group["GroupId"], group)
        if inputs.get("privateDnsEnabled"):
            self._require_private_dns(kind, vpc, inputs["serviceName"])

    def _require_private_dns(self, kind: str, vpc: str, service: str) -> None:
        if kind == "Gateway":
            raise self._invalid("Private DNS cannot be enabled for a Gateway endpoint")
        if not all(dns_attribute(self.aws, vpc, name) for name in ("enableDnsSupport", "enableDnsHostnames")):
            message = "Enabling private DNS requires both enableDnsSupport and enableDnsHostnames VPC attributes set to"
            raise self._invalid(f"{message} true for {vpc}")
        for other in living(self.all("describe_vpc_endpoints", "VpcEndpoints", vpc_id=vpc)):
            if other["ServiceName"] == service and other.get("VpcEndpointType") == "Interface":
                message = "private-dns-enabled cannot be set because there is already a conflicting DNS domain for"
                raise self._invalid(f"{message} {service} in the VPC {vpc}")

    def _require_subnets(self, vpc: str, identifiers: Sequence[str]) -> None:
        zones: dict[str, str] = {}
        for subnet in require_subnets(self.aws, list(identifiers)):
            self._require_same_vpc(vpc, subnet["SubnetId"], subnet)
            other = zones.setdefault(subnet["AvailabilityZone"], subnet["SubnetId"])
            if other != subnet["SubnetId"]:
                message = f"Found another VPC endpoint subnet in the availability zone of {subnet['SubnetId']}: {other}"
                raise self.refusal("CreateVpcEndpoint", "DuplicateSubnetsInSameZone", message)

    def _require_same_vpc(self, vpc: str, identifier: str, found: Values) -> None:
        if found["VpcId"] != vpc:
            raise self._invalid(f"{identifier} is in {found['VpcId']}, not in the endpoint's {vpc}")

    def _invalid(self, message: str) -> AwsError:
        return self.refusal("CreateVpcEndpoint", "InvalidParameter", message)

    def find(self, scope: Values) -> Values | None:
        found = super().find(scope)
        return found if found and living([found]) else None

    def describe(self, scope: Values, found: Values) -> Values:
        gateway, service = found["VpcEndpointType"] == "Gateway", found["ServiceName"]
        prefixes = self.all("describe_prefix_lists", "PrefixLists", prefix_list_name=service) if gateway else []
        entries = found["DnsEntries"]
        return super().describe(scope, found) | {
            "securityGroupIds": [group["GroupId"] for group in found["Groups"]],
            # The emulator says true of gateways, too.
            "privateDnsEnabled": not gateway and found["PrivateDnsEnabled"],
            "dnsEntries": [{"dnsName": entry["DnsName"], "hostedZoneId": entry["HostedZoneId"]} for entry in entries],
            "prefixListId": prefixes[0]["PrefixListId"] if prefixes else "",
            "requesterManaged": found.get("RequesterManaged", False),
        }

    def apply(self, scope: Values, state: Values, inputs: Values, *, creating: bool = False) -> None:
        if creating:
            return
        if self.changed(state, inputs, "privateDnsEnabled"):
            raise RefusedError("the emulator can't change privateDnsEnabled of an endpoint: replace the endpoint")
        moves: Values = {}
        for name in _NETWORKS:
            if self.changed(state, inputs, name):
                old, new, parameter = set(state.get(name) or ()), set(inputs[name]), self.spelled(name)
                moves |= {f"Add{parameter}": sorted(new - old) or None, f"Remove{parameter}": sorted(old - new) or None}
        if any(moves.values()) or self.changed(state, inputs, "policy"):
            self._require_subnets(inputs["vpcId"], inputs.get("subnetIds", []))
            self.call("modify_vpc_endpoint", VpcEndpointId=scope["id"], PolicyDocument=inputs.get("policy"), **moves)
        # AWS routes by itself; the emulator only when an endpoint is created.
        for table in moves.get("AddRouteTableIds") or ():
            where = {"RouteTableId": table, "DestinationPrefixListId": state["prefixListId"]}
            self.call("create_route", **where, GatewayId=scope["id"])
        for table in moves.get("RemoveRouteTableIds") or ():
            where = {"RouteTableId": table, "DestinationPrefixListId": state["prefixListId"]}
            self.aws.find("ec2", "delete_route", ("InvalidRoute.NotFound", *_NO_TABLE), **where)


class FlowLog(Ec2Kind):
    """A flow log: a VPC's connections, recorded in CloudWatch. Any change except of tags replaces it."""

    token = "aws:ec2/flowLog:FlowLog"  # noqa: S105 - a type's name
    resource_type = "vpc-flow-log"
    properties = {
        "vpcId": Field(replaces=True, api=None),
        "trafficType": Field(replaces=True),
        "logDestinationType": Field(default="cloud-watch-logs", replaces=True, choices=("cloud-watch-logs",)),
        "logDestination": Field(computed=True, replaces=True),
        "iamRoleArn": Field(replaces=True, api="DeliverLogsPermissionArn"),
        "logFormat": Field(computed=True, replaces=True),
        "maxAggregationInterval": Field(int, default=600, replaces=True, choices=(60, 600)),
        **TAGS,
        **REGION,
    }
    outputs = {"arn": ""}
    key = {"FlowLogIds": ["{id}"]}
    missing = ("InvalidFlowLogId.NotFound",)
    creates = Call("create_flow_logs", {"ResourceType": "VPC", "ResourceIds": ["{vpcId}"]}, answer="FlowLogIds.0")
    reads = Call("describe_flow_logs", answer="FlowLogs.0")
    deletes = Call("delete_flow_logs")

    def check(self, name: str, inputs: Values, seed: bytes) -> Iterable[tuple[str, str]]:
        yield from super().check(name, inputs, seed)
        for needed in ("vpcId", "trafficType", "logDestination", "iamRoleArn"):
            if needed not in inputs:
                yield needed, "the stand-in has flow logs of VPCs in CloudWatch only, which need this"

    def require(self, operation: str, inputs: Values) -> None:
        require_vpc(self.aws, inputs["vpcId"])
        role, group = inputs["iamRoleArn"], inputs["logDestination"]
        found = self.aws.find("iam", "get_role", ["NoSuchEntity"], RoleName=role.rpartition("/")[2])
        if found is None or found["Role"]["Arn"] != role:
            message = f"The role {role} does not exist, or vpc-flow-logs.amazonaws.com may not assume it"
            raise self.refusal(operation, "InvalidParameter", message)
        name = group.partition(":log-group:")[2].removesuffix(":*")
        groups = self.aws.list("logs", "describe_log_groups", "logGroups", logGroupNamePrefix=name) if name else []
        if name not in [group["logGroupName"] for group in groups]:
            message = f"LogDestination {group} does not exist: create the log group first"
            raise self.refusal(operation, "InvalidParameter", message)

    def call(self, method: str, /, **parameters: Any) -> Values:
        answer = super().call(method, **parameters)
        for failed in answer.get("Unsuccessful", ()):
            raise self.refusal("CreateFlowLogs", failed["Error"]["Code"], failed["Error"]["Message"])
        return answer

    def describe(self, scope: Values, found: Values) -> Values:
        return super().describe(scope, found) | {"vpcId": found["ResourceId"]}


def get_vpc(aws: Session, arguments: Values) -> Values:
    """The function getVpc."""
    found = require_vpc(aws, arguments["id"])
    identifier = found["VpcId"]
    filters = [
        {"Name": "vpc-id", "Values": [identifier]},
        {"Name": "association.main", "Values": ["true"]},
    ]
    table = aws.list("ec2", "describe_route_tables", "RouteTables", Filters=filters)[0]
    return {
        **_same(found, "cidrBlock", "dhcpOptionsId", "instanceTenancy", "ownerId", "state"),
        "id": identifier,
        "arn": aws.arn("ec2", f"vpc/{identifier}"),
        "cidrBlockAssociations": [
            {**_same(association, "associationId", "cidrBlock"), "state": association["CidrBlockState"]["State"]}
            for association in found["CidrBlockAssociationSet"]
        ],
        "default": found["IsDefault"],
        **{name: dns_attribute(aws, identifier, name) for name in ("enableDnsSupport", "enableDnsHostnames")},
        "enableNetworkAddressUsageMetrics": False,
        "ipv6AssociationId": "",
        "ipv6CidrBlock": "",
        "mainRouteTableId": table["RouteTableId"],
        "region": aws.region,
        "tags": AwsKind.tagging.parsed(found.get("Tags")),
    }


def get_subnet(aws: Session, arguments: Values) -> Values:
    """The function getSubnet."""
    found = require_subnets(aws, [arguments["id"]])[0]
    return {
        **_same(found, "assignIpv6AddressOnCreation", "availabilityZone", "availabilityZoneId"),
        **_same(found, "availableIpAddressCount", "cidrBlock", "defaultForAz", "ipv6Native", "mapPublicIpOnLaunch"),
        **_same(found, "ownerId", "state", "vpcId"),
        "id": found["SubnetId"],
        "arn": found["SubnetArn"],
        "customerOwnedIpv4Pool": "",
        "enableDns64": False,
        "enableLniAtDeviceIndex": 0,
        "enableResourceNameDnsARecordOnLaunch": False,
        "enableResourceNameDnsAaaaRecordOnLaunch": False,
        "ipv6CidrBlock": "",
        "ipv6CidrBlockAssociationId": "",
        "mapCustomerOwnedIpOnLaunch": False,
        "outpostArn": "",
        "privateDnsHostnameTypeOnLaunch": found["PrivateDnsNameOptionsOnLaunch"]["HostnameType"],
        "region": aws.region,
        "tags": AwsKind.tagging.parsed(found.get("Tags")),
    }


def _same(found: Values, *names: str) -> Values:
    return {name: found[name[0].upper() + name[1:]] for name in names}


KINDS = (
    *(Vpc, Subnet, InternetGateway, Eip, NatGateway, RouteTable, Route, RouteTableAssociation, VpcEndpoint, FlowLog),
)
