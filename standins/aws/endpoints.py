"""AWS stand-in: VpcEndpoint."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from standins.aws.ec2 import Ec2Kind, living, require_groups, require_subnets, require_vpc
from standins.aws.kind import REGION, TAGS, changed
from standins.aws.policies import kept_text, same_document
from standins.aws.session import AwsError
from standins.aws.vpc import dns_attribute
from standins.provider import Property, RefusedError, Values

_GATEWAYS = ("dynamodb", "s3")
_INTERFACES = (
    *("acm-pca", "autoscaling", "bedrock-runtime", "cloudformation", "cloudtrail", "cognito-idp", "dynamodb", "ebs"),
    *("ec2", "ec2messages", "ecr.api", "ecr.dkr", "eks", "eks-auth", "elasticfilesystem", "elasticloadbalancing"),
    *("events", "guardduty-data", "kms", "lambda", "logs", "monitoring", "rds", "s3", "secretsmanager", "sns", "sqs"),
    *("ssm", "ssmmessages", "states", "sts", "xray"),
)
"""Services that have endpoints; the emulator takes any name."""
_MISSING = ["InvalidVpcEndpointId.NotFound"]
_NETWORKS = {
    "routeTableIds": "RouteTableIds",
    "subnetIds": "SubnetIds",
    "securityGroupIds": "SecurityGroupIds",
}


class VpcEndpoint(Ec2Kind):
    """A way to one of AWS' services that does not lead through the internet."""

    token = "aws:ec2/vpcEndpoint:VpcEndpoint"  # noqa: S105 - a type's name
    resource_type = "vpc-endpoint"
    properties = {
        "vpcId": Property(required=True, replaces=True),
        "serviceName": Property(replaces=True),
        "vpcEndpointType": Property(default="Gateway", replaces=True, choices=("Gateway", "Interface")),
        **{name: Property(list, of=str, unordered=True, computed=True) for name in _NETWORKS},
        "privateDnsEnabled": Property(bool, computed=True),
        "policy": Property(computed=True),
        **TAGS,
        **REGION,
    }
    outputs = (
        "arn",
        "dnsEntries",
        "networkInterfaceIds",
        "ownerId",
        "prefixListId",
        "requesterManaged",
        "state",
        "region",
    )

    def check(self, name: str, inputs: Values, seed: bytes) -> Iterable[tuple[str, str]]:
        yield from super().check(name, inputs, seed)
        if "serviceName" not in inputs:
            yield "serviceName", "the stand-in has endpoints of AWS' services only: name one"

    def same(self, name: str, old: Any, new: Any) -> bool:
        return name == "policy" and same_document(old, new)

    def create(self, inputs: Values) -> tuple[str, Values]:
        self._require(inputs)
        made = self.call(
            "create_vpc_endpoint",
            VpcId=inputs["vpcId"],
            ServiceName=inputs["serviceName"],
            VpcEndpointType=inputs["vpcEndpointType"],
            PolicyDocument=inputs.get("policy"),
            PrivateDnsEnabled=inputs.get("privateDnsEnabled", False),
            TagSpecifications=self.tag_specifications(inputs),
            **{parameter: inputs.get(name) for name, parameter in _NETWORKS.items()},
        )
        return self.made(made["VpcEndpoint"]["VpcEndpointId"], inputs)

    def _require(self, inputs: Values) -> None:
        """What AWS checks and the emulator does not."""
        kind, vpc = inputs["vpcEndpointType"], inputs["vpcId"]
        service = inputs["serviceName"].removeprefix(f"com.amazonaws.{self.aws.region}.")
        known = _GATEWAYS if kind == "Gateway" else _INTERFACES
        if service == inputs["serviceName"] or service not in known:
            message = f"The Vpc Endpoint Service '{inputs['serviceName']}' does not exist as {kind}"
            raise self._refusal("InvalidServiceName", f"{message}; there are {', '.join(known)}")
        foreign = {"Gateway": ("subnetIds", "securityGroupIds"), "Interface": ("routeTableIds",)}[kind]
        for name in foreign:
            if inputs.get(name):
                raise self._refusal("InvalidParameter", f"{name} cannot be specified for an endpoint of type {kind}")
        require_vpc(self.aws, vpc)
        for table in inputs.get("routeTableIds", ()):
            found = self.call("describe_route_tables", RouteTableIds=[table])["RouteTables"][0]
            self._require_same_vpc(vpc, table, found)
        self._require_subnets(vpc, inputs.get("subnetIds", []))
        for group in require_groups(self.aws, inputs.get("securityGroupIds", [])):
            self._require_same_vpc(vpc, group["GroupId"], group)
        if kind == "Gateway":
            if inputs.get("privateDnsEnabled"):
                raise self._refusal("InvalidParameter", "Private DNS cannot be enabled for a Gateway endpoint")
            return
        if inputs.get("privateDnsEnabled"):
            if not all(dns_attribute(self, vpc, it) for it in ("EnableDnsSupport", "EnableDnsHostnames")):
                message = (
                    "Enabling private DNS requires both enableDnsSupport and enableDnsHostnames VPC attributes set to"
                )
                raise self._refusal("InvalidParameter", f"{message} true for {vpc}")
            for other in living(self.all("describe_vpc_endpoints", "VpcEndpoints", vpc_id=vpc)):
                if other["ServiceName"] == inputs["serviceName"] and other.get("VpcEndpointType") == "Interface":
                    message = "private-dns-enabled cannot be set because there is already a conflicting DNS domain for"
                    raise self._refusal("InvalidParameter", f"{message} {inputs['serviceName']} in the VPC {vpc}")

    def _require_subnets(self, vpc: str, identifiers: Sequence[str]) -> None:
        zones: dict[str, str] = {}
        for subnet in require_subnets(self.aws, list(identifiers)):
            self._require_same_vpc(vpc, subnet["SubnetId"], subnet)
            other = zones.setdefault(subnet["AvailabilityZone"], subnet["SubnetId"])
            if other != subnet["SubnetId"]:
                message = f"Found another VPC endpoint subnet in the availability zone of {subnet['SubnetId']}: {other}"
                raise self._refusal("DuplicateSubnetsInSameZone", message)

    def _require_same_vpc(self, vpc: str, identifier: str, found: Values) -> None:
        if found["VpcId"] != vpc:
            message = f"{identifier} is in {found['VpcId']}, not in the endpoint's {vpc}"
            raise self._refusal("InvalidParameter", message)

    @staticmethod
    def _refusal(code: str, message: str) -> AwsError:
        return AwsError("ec2.CreateVpcEndpoint", code, message)

    def _find(self, identifier: str) -> Values | None:
        found = self.one("describe_vpc_endpoints", "VpcEndpoints", _MISSING, VpcEndpointIds=[identifier])
        return found if found and living([found]) else None

    def read(self, identifier: str, state: Values) -> tuple[str, Values] | None:
        found = self._find(identifier)
        if found is None:
            return None
        kind = found["VpcEndpointType"]
        service = found["ServiceName"]
        prefixes = self.all("describe_prefix_lists", "PrefixLists", prefix_list_name=service)
        return identifier, {
            "vpcId": found["VpcId"],
            "serviceName": service,
            "vpcEndpointType": kind,
            "routeTableIds": found["RouteTableIds"],
            "subnetIds": found["SubnetIds"],
            "securityGroupIds": [group["GroupId"] for group in found["Groups"]],
            # The emulator says true of gateways, too.
            "privateDnsEnabled": kind == "Interface" and found["PrivateDnsEnabled"],
            "policy": kept_text(found["PolicyDocument"], state.get("policy")),
            "arn": self.ec2_arn(identifier),
            "dnsEntries": [
                {"dnsName": entry["DnsName"], "hostedZoneId": entry["HostedZoneId"]} for entry in found["DnsEntries"]
            ],
            "networkInterfaceIds": found["NetworkInterfaceIds"],
            "ownerId": found["OwnerId"],
            "prefixListId": prefixes[0]["PrefixListId"] if prefixes and kind == "Gateway" else "",
            "requesterManaged": found.get("RequesterManaged", False),
            "state": found["State"],
            **self.located(found, state),
        }

    def update(self, identifier: str, state: Values, inputs: Values) -> Values:
        if changed(self, state, inputs, "privateDnsEnabled"):
            raise RefusedError("the emulator can't change privateDnsEnabled of an endpoint: replace the endpoint")
        moves: Values = {}
        for name, parameter in _NETWORKS.items():
            if changed(self, state, inputs, name):
                old, new = set(state.get(name) or ()), set(inputs[name])
                moves |= {f"Add{parameter}": sorted(new - old) or None, f"Remove{parameter}": sorted(old - new) or None}
        if any(moves.values()) or changed(self, state, inputs, "policy"):
            self._require_subnets(inputs["vpcId"], inputs.get("subnetIds", []))
            self.call("modify_vpc_endpoint", VpcEndpointId=identifier, PolicyDocument=inputs.get("policy"), **moves)
            self._reroute(identifier, state["prefixListId"], moves)
        return super().update(identifier, state, inputs)

    def _reroute(self, identifier: str, prefixes: str, moves: Values) -> None:
        """AWS routes by itself; the emulator only when an endpoint is made."""
        for table in moves.get("AddRouteTableIds") or ():
            where = {"RouteTableId": table, "DestinationPrefixListId": prefixes}
            self.call("create_route", **where, GatewayId=identifier)
        for table in moves.get("RemoveRouteTableIds") or ():
            where = {"RouteTableId": table, "DestinationPrefixListId": prefixes}
            self.aws.find("ec2", "delete_route", ["InvalidRoute.NotFound", "InvalidRouteTableID.NotFound"], **where)

    def delete(self, identifier: str, state: Values) -> None:
        if self._find(identifier):
            self.call("delete_vpc_endpoints", VpcEndpointIds=[identifier])


KINDS = (VpcEndpoint,)
