"""Functions of the AWS stand-in: the account, the region, and networks that exist."""

from __future__ import annotations

from standins.aws.ec2 import get_subnet, get_vpc
from standins.aws.engine import AwsFunction
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


_BY_ID = {"id": Property(required=True)}

FUNCTIONS = {
    "aws:index/getCallerIdentity:getCallerIdentity": AwsFunction({}, _caller_identity),
    "aws:index/getPartition:getPartition": AwsFunction({}, _partition),
    "aws:index/getRegion:getRegion": AwsFunction({}, _region),
    "aws:ec2/getVpc:getVpc": AwsFunction(_BY_ID, get_vpc),
    "aws:ec2/getSubnet:getSubnet": AwsFunction(_BY_ID, get_subnet),
}
