"""The AWS stand-in as a provider: its resource types, its functions, and the configuration it takes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from standins.aws import (
    VERSION,
    api_gateway,
    backup,
    cognito,
    ec2,
    ecr,
    eks,
    iam,
    kms,
    launch_template,
    load_balancers,
    logs,
    monitoring,
    s3,
    security_groups,
)
from standins.aws.engine import AwsFunction, AwsKind
from standins.aws.session import Session
from standins.provider import UNKNOWN, Property, RefusedError, StandIn, Values

_CONFIGURATION = {"region", "allowedAccountIds", "defaultTags", "version", "pluginDownloadURL"}
_HARMLESS = {
    *("skipCredentialsValidation", "skipMetadataApiCheck", "skipRegionValidation"),
    *("maxRetries", "retryMode", "httpProxy", "httpsProxy", "noProxy", "userAgents"),
}
"""Configuration about how to reach AWS, which makes no difference here. The SDK sets some of it by itself."""


def _caller_identity(aws: Session, arguments: Values) -> Values:
    identity = aws.identity
    account = identity["Account"]
    return {"id": account, "accountId": account, "arn": identity["Arn"], "userId": identity["UserId"]}


def _partition(aws: Session, arguments: Values) -> Values:
    name = aws.partition
    return {"id": name, "partition": name, "dnsSuffix": "amazonaws.com", "reverseDnsPrefix": "com.amazonaws"}


def _region(aws: Session, arguments: Values) -> Values:
    found = aws.call("ec2", "describe_regions", RegionNames=[aws.region])["Regions"][0]
    name = found["RegionName"]
    return {"id": name, "name": name, "region": name, "endpoint": found["Endpoint"], "description": name}


def _availability_zones(aws: Session, arguments: Values) -> Values:
    found = aws.call("ec2", "describe_availability_zones")["AvailabilityZones"]
    return {
        "id": aws.region,
        "region": aws.region,
        "names": [zone["ZoneName"] for zone in found],
        "zoneIds": [zone["ZoneId"] for zone in found],
        "groupNames": sorted({zone.get("GroupName", aws.region) for zone in found}),
    }


def _instance_type_offerings(aws: Session, arguments: Values) -> Values:
    filters = [{"Name": each["name"], "Values": each["values"]} for each in arguments.get("filters", ())]
    place, key = arguments.get("locationType", "region"), "InstanceTypeOfferings"
    found = aws.list("ec2", "describe_instance_type_offerings", key, LocationType=place, Filters=filters)
    return {
        **arguments,
        "id": aws.region,
        "region": aws.region,
        "instanceTypes": [offering["InstanceType"] for offering in found],
        "locations": [offering["Location"] for offering in found],
        "locationTypes": [offering["LocationType"] for offering in found],
    }


def _parameter(aws: Session, arguments: Values) -> Values:
    found = aws.call("ssm", "get_parameter", Name=arguments["name"])["Parameter"]
    return {
        "id": found["Name"],
        "arn": found["ARN"],
        "name": found["Name"],
        "type": found["Type"],
        "value": found["Value"],
        "insecureValue": found["Value"],
        "version": found["Version"],
        "region": aws.region,
    }


_MODULES = (
    *(ec2, security_groups, launch_template, load_balancers, api_gateway),
    *(kms, logs, iam, eks, ecr, cognito, monitoring, backup, s3),
)
KINDS: tuple[type[AwsKind], ...] = tuple(kind for module in _MODULES for kind in module.KINDS)

_BY_ID = {"id": Property(required=True)}
FUNCTIONS: Mapping[str, AwsFunction] = {
    "aws:index/getCallerIdentity:getCallerIdentity": AwsFunction({}, _caller_identity),
    "aws:index/getAvailabilityZones:getAvailabilityZones": AwsFunction({}, _availability_zones),
    "aws:index/getPartition:getPartition": AwsFunction({}, _partition),
    "aws:index/getRegion:getRegion": AwsFunction({}, _region),
    "aws:ec2/getInstanceTypeOfferings:getInstanceTypeOfferings": AwsFunction(
        {
            "locationType": Property(choices=("region", "availability-zone", "availability-zone-id")),
            "filters": Property(list, of={"name": Property(required=True), "values": Property(list, required=True)}),
        },
        _instance_type_offerings,
    ),
    "aws:cloudwatch/getLogGroups:getLogGroups": AwsFunction({"logGroupNamePrefix": Property()}, logs.get_log_groups),
    "aws:ec2/getVpc:getVpc": AwsFunction(_BY_ID, ec2.get_vpc),
    "aws:ec2/getSubnet:getSubnet": AwsFunction(_BY_ID, ec2.get_subnet),
    "aws:eks/getAddonVersion:getAddonVersion": AwsFunction(
        {
            "addonName": Property(required=True),
            "kubernetesVersion": Property(required=True),
            "mostRecent": Property(bool),
        },
        eks.get_addon_version,
    ),
    "aws:eks/getCluster:getCluster": AwsFunction({"name": Property(required=True)}, eks.get_cluster),
    "aws:eks/getClusters:getClusters": AwsFunction({}, eks.get_clusters),
    "aws:eks/getNodeGroup:getNodeGroup": AwsFunction(
        {"clusterName": Property(required=True), "nodeGroupName": Property(required=True)}, eks.get_node_group
    ),
    "aws:eks/getNodeGroups:getNodeGroups": AwsFunction({"clusterName": Property(required=True)}, eks.get_node_groups),
    "aws:ssm/getParameter:getParameter": AwsFunction({"name": Property(required=True)}, _parameter),
}


def stand_in() -> StandIn:
    """The provider."""
    aws = Session()
    return StandIn(
        "aws",
        VERSION,
        "on an emulator of AWS",
        kinds={kind.token: kind(aws) for kind in KINDS},
        functions={token: function.bound(aws) for token, function in FUNCTIONS.items()},
        configure=lambda values: _configure(aws, values),
        check_config=_check_config,
    )


def _check_config(values: Values) -> Iterable[tuple[str, str]]:
    for name, value in values.items():
        if name not in _CONFIGURATION | _HARMLESS:
            yield name, f"the aws stand-in has no mapping for the provider's {name}: leave it out"
        elif name == "defaultTags" and value is not UNKNOWN and (unknown := set(_decoded(value)) - {"tags"}):
            yield name, f"the aws stand-in has no mapping for {', '.join(sorted(unknown))} of defaultTags: use tags"


def _configure(aws: Session, values: Values) -> None:
    aws.open_from_environment(values.get("region") or "", _decoded(values.get("defaultTags") or {}).get("tags"))
    allowed = _decoded(values.get("allowedAccountIds") or [])
    if allowed and aws.account not in allowed:
        raise RefusedError(
            f"AWS account ID not allowed: {aws.account}. The provider allows {', '.join(allowed)}: "
            "use that account's credentials, or correct the account in the stack's settings"
        )


def _decoded(value: Any) -> Any:
    """Configuration that is neither text nor a number comes as JSON."""
    return json.loads(value) if isinstance(value, str) else value
