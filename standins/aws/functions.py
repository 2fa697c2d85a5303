"""AWS stand-in: what a program asks about the account and networks that exist."""

from __future__ import annotations

from standins.aws.ec2 import require_subnets, require_vpc
from standins.aws.kind import AwsFunction, tag_dict
from standins.aws.session import Session
from standins.provider import Property, Values


def _caller_identity(aws: Session, arguments: Values) -> Values:
    identity = aws.identity
    account = identity["Account"]
    return {"id": account, "accountId": account, "arn": identity["Arn"], "userId": identity["UserId"]}


def _partition(aws: Session, arguments: Values) -> Values:
    return {
        "id": aws.partition,
        "partition": aws.partition,
        "dnsSuffix": "amazonaws.com",
        "reverseDnsPrefix": "com.amazonaws",
    }


def _region(aws: Session, arguments: Values) -> Values:
    found = aws.call("ec2", "describe_regions", RegionNames=[aws.region])["Regions"][0]
    name = found["RegionName"]
    return {"id": name, "name": name, "region": name, "endpoint": found["Endpoint"], "description": name}


def _vpc(aws: Session, arguments: Values) -> Values:
    found = require_vpc(aws, arguments["id"])
    identifier = found["VpcId"]
    by_vpc = {"Name": "vpc-id", "Values": [identifier]}
    main = {"Name": "association.main", "Values": ["true"]}
    tables = aws.list("ec2", "describe_route_tables", "RouteTables", Filters=[by_vpc, main])
    dns = {
        name: aws.call("ec2", "describe_vpc_attribute", VpcId=identifier, Attribute=name)[name[0].upper() + name[1:]]
        for name in ("enableDnsSupport", "enableDnsHostnames")
    }
    return {
        "id": identifier,
        "arn": aws.arn("ec2", f"vpc/{identifier}"),
        "cidrBlock": found["CidrBlock"],
        "cidrBlockAssociations": [
            {
                "associationId": one["AssociationId"],
                "cidrBlock": one["CidrBlock"],
                "state": one["CidrBlockState"]["State"],
            }
            for one in found["CidrBlockAssociationSet"]
        ],
        "default": found["IsDefault"],
        "dhcpOptionsId": found["DhcpOptionsId"],
        "enableDnsSupport": dns["enableDnsSupport"]["Value"],
        "enableDnsHostnames": dns["enableDnsHostnames"]["Value"],
        "enableNetworkAddressUsageMetrics": False,
        "instanceTenancy": found["InstanceTenancy"],
        "ipv6AssociationId": "",
        "ipv6CidrBlock": "",
        "mainRouteTableId": tables[0]["RouteTableId"],
        "ownerId": found["OwnerId"],
        "region": aws.region,
        "state": found["State"],
        "tags": tag_dict(found.get("Tags")),
    }


def _subnet(aws: Session, arguments: Values) -> Values:
    found = require_subnets(aws, [arguments["id"]])[0]
    return {
        "id": found["SubnetId"],
        "arn": found["SubnetArn"],
        "assignIpv6AddressOnCreation": found["AssignIpv6AddressOnCreation"],
        "availabilityZone": found["AvailabilityZone"],
        "availabilityZoneId": found["AvailabilityZoneId"],
        "availableIpAddressCount": found["AvailableIpAddressCount"],
        "cidrBlock": found["CidrBlock"],
        "customerOwnedIpv4Pool": "",
        "defaultForAz": found["DefaultForAz"],
        "enableDns64": False,
        "enableLniAtDeviceIndex": 0,
        "enableResourceNameDnsARecordOnLaunch": False,
        "enableResourceNameDnsAaaaRecordOnLaunch": False,
        "ipv6CidrBlock": "",
        "ipv6CidrBlockAssociationId": "",
        "ipv6Native": found["Ipv6Native"],
        "mapCustomerOwnedIpOnLaunch": False,
        "mapPublicIpOnLaunch": found["MapPublicIpOnLaunch"],
        "outpostArn": "",
        "ownerId": found["OwnerId"],
        "privateDnsHostnameTypeOnLaunch": found["PrivateDnsNameOptionsOnLaunch"]["HostnameType"],
        "region": aws.region,
        "state": found["State"],
        "tags": tag_dict(found.get("Tags")),
        "vpcId": found["VpcId"],
    }


_BY_ID = {"id": Property(required=True)}

FUNCTIONS = {
    "aws:index/getCallerIdentity:getCallerIdentity": AwsFunction({}, _caller_identity),
    "aws:index/getPartition:getPartition": AwsFunction({}, _partition),
    "aws:index/getRegion:getRegion": AwsFunction({}, _region),
    "aws:ec2/getVpc:getVpc": AwsFunction(_BY_ID, _vpc),
    "aws:ec2/getSubnet:getSubnet": AwsFunction(_BY_ID, _subnet),
}
