"""AWS' API on this machine: an emulator of an empty account, as a process of the platform."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from local import processes
from local.home import Home
from local.pulumi import script
from standins.aws.session import AwsError, Session

__all__ = ["ACCOUNT", "AwsError", "environment", "leftovers", "session", "start", "stop"]

ACCOUNT = "123456789012"
"""The only account of the emulator."""

_REGION = "eu-west-1"
_START_SECONDS = 60.0


def start(home: Home) -> None:
    """Start the emulator unless it runs, and install the `aws` command that kubeconfigs of EKS clusters call.

    The emulator keeps everything in memory, so it begins empty. Raises processes.ProcessError.
    """
    script(home.bin / "aws", "local.aws_cli", {"SAAS_LOCAL_HOME": str(home.path)})
    port = home.port("aws")
    processes.start(
        home,
        "aws",
        [sys.executable, "-m", "local.aws_server", home.path, str(port)],
        env=_server_environment(),
        ready=lambda: processes.http_ok(f"http://127.0.0.1:{port}/moto-api/"),
        timeout=_START_SECONDS,
    )


def stop(home: Home) -> None:
    """Stop the emulator; its content is lost."""
    processes.stop(home, "aws")


def environment(home: Home, region: str = _REGION) -> dict[str, str]:
    """Environment variables by which AWS' own tools and the stand-in plugin find the emulator."""
    return {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{home.port('aws')}",
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",  # the emulator accepts any key
        "AWS_REGION": region,
        "AWS_EC2_METADATA_DISABLED": "true",
        # pulumi-eks asks the OIDC issuer for its certificate. EKS' issuer does not exist here: the API server answers.
        "EKS_STANDIN_ISSUER_ADDRESS": f"127.0.0.1:{home.port('kube-apiserver')}",
    }


def session(home: Home, region: str = _REGION) -> Session:
    """Calls to the emulator's API, as the stand-in plugin makes them, with a key of their own."""
    values = environment(home, region)
    opened = Session()
    opened.open(values["AWS_ENDPOINT_URL"], "observer", values["AWS_SECRET_ACCESS_KEY"], region)
    return opened


def publish_release(home: Home, version: str, release: str) -> None:
    """Publish a release of the nodes' image, as AWS does with a parameter of SSM."""
    name = f"/aws/service/eks/optimized-ami/{version}/amazon-linux-2023/arm64/standard/recommended/release_version"
    session(home).call("ssm", "put_parameter", Name=name, Value=release, Type="String", Overwrite=True)


def program_calls(home: Home) -> set[str]:
    """The actions that `pulumi` has called, in IAM's notation: ec2:CreateVpc."""
    lines = home.aws_calls.read_text().splitlines() if home.aws_calls.exists() else []
    return {action for key, action in map(str.split, lines) if key == environment(home)["AWS_ACCESS_KEY_ID"]}


def leftovers(home: Home, region: str = _REGION) -> dict[str, list[str]]:
    """Ids or names of the resources in the account, by kind, except for AWS' own; empty after `pulumi destroy`.

    Keys that are scheduled for deletion are not listed: KMS deletes none at once.
    """
    aws = session(home, region)
    found = {kind: sorted(names(aws)) for kind, names in _LISTS.items()}
    return {kind: names for kind, names in found.items() if names}


def _server_environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "MOTO_"))}
    return kept | {
        "MOTO_IAM_LOAD_MANAGED_POLICIES": "true",
        "MOTO_ACCOUNT_ID": ACCOUNT,
        # No certificate, webhook or link in a request may make the emulator call a host outside.
        "HTTP_PROXY": "http://127.0.0.1:9",
        "HTTPS_PROXY": "http://127.0.0.1:9",
        "NO_PROXY": "127.0.0.1,localhost",
    }


def _default_vpcs(aws: Session) -> set[str]:
    return {vpc["VpcId"] for vpc in aws.list("ec2", "describe_vpcs", "Vpcs") if vpc["IsDefault"]}


def _ec2(method: str, key: str, name: str, own: Callable[[Mapping[str, Any]], bool]) -> Callable[[Session], list[str]]:
    """Lists resources outside of the default VPC."""

    def names(aws: Session) -> list[str]:
        ignored = _default_vpcs(aws)
        items: Iterable[Mapping[str, Any]] = aws.list("ec2", method, key)
        return [item[name] for item in items if item.get("VpcId") not in ignored and own(item)]

    return names


def _always(item: Mapping[str, Any]) -> bool:
    return True


def _lives(item: Mapping[str, Any]) -> bool:
    return item["State"] not in ("deleted", "deleting")


def _keys(aws: Session) -> list[str]:
    own = {alias.get("TargetKeyId") for alias in aws.list("kms", "list_aliases", "Aliases") if _is_of_aws(alias)}
    keys = [key["KeyId"] for key in aws.list("kms", "list_keys", "Keys") if key["KeyId"] not in own]
    described = [aws.call("kms", "describe_key", KeyId=key)["KeyMetadata"] for key in keys]
    return [
        key["KeyId"] for key in described if key["KeyManager"] == "CUSTOMER" and key["KeyState"] != "PendingDeletion"
    ]


def _aliases(aws: Session) -> list[str]:
    return [alias["AliasName"] for alias in aws.list("kms", "list_aliases", "Aliases") if not _is_of_aws(alias)]


def _is_of_aws(alias: Mapping[str, Any]) -> bool:
    return alias["AliasName"].startswith("alias/aws/")


def _simple(
    service: str, method: str, key: str, name: str | None = None, **parameters: Any
) -> Callable[[Session], list[str]]:
    """Lists names: the items themselves (`name` is None), or a field of theirs."""
    return lambda aws: [item if name is None else item[name] for item in aws.list(service, method, key, **parameters)]


_LISTS: dict[str, Callable[[Session], list[str]]] = {
    "vpc": _ec2("describe_vpcs", "Vpcs", "VpcId", _always),
    "subnet": _ec2("describe_subnets", "Subnets", "SubnetId", _always),
    "internet gateway": lambda aws: [
        gateway["InternetGatewayId"]
        for gateway in aws.list("ec2", "describe_internet_gateways", "InternetGateways")
        if not {attachment["VpcId"] for attachment in gateway["Attachments"]} & _default_vpcs(aws)
    ],
    "NAT gateway": _ec2("describe_nat_gateways", "NatGateways", "NatGatewayId", _lives),
    "address": _ec2("describe_addresses", "Addresses", "AllocationId", _always),
    "route table": _ec2("describe_route_tables", "RouteTables", "RouteTableId", _always),
    "endpoint": _ec2("describe_vpc_endpoints", "VpcEndpoints", "VpcEndpointId", _lives),
    "security group": _ec2("describe_security_groups", "SecurityGroups", "GroupId", _always),
    "network interface": _ec2("describe_network_interfaces", "NetworkInterfaces", "NetworkInterfaceId", _always),
    "flow log": _ec2("describe_flow_logs", "FlowLogs", "FlowLogId", _always),
    "launch template": _ec2("describe_launch_templates", "LaunchTemplates", "LaunchTemplateId", _always),
    "load balancer": _simple("elbv2", "describe_load_balancers", "LoadBalancers", "LoadBalancerName"),
    "target group": _simple("elbv2", "describe_target_groups", "TargetGroups", "TargetGroupName"),
    "API": _simple("apigatewayv2", "get_apis", "Items", "ApiId"),
    "VPC link": _simple("apigatewayv2", "get_vpc_links", "Items", "VpcLinkId"),
    "key": _keys,
    "key alias": _aliases,
    "log group": _simple("logs", "describe_log_groups", "logGroups", "logGroupName"),
    "role": _simple("iam", "list_roles", "Roles", "RoleName"),
    "policy": _simple("iam", "list_policies", "Policies", "PolicyName", Scope="Local"),
    "identity provider": _simple("iam", "list_open_id_connect_providers", "OpenIDConnectProviderList", "Arn"),
    "topic": _simple("sns", "list_topics", "Topics", "TopicArn"),
    "alarm": _simple("cloudwatch", "describe_alarms", "MetricAlarms", "AlarmName"),
    "event rule": _simple("events", "list_rules", "Rules", "Name"),
    "backup vault": _simple("backup", "list_backup_vaults", "BackupVaultList", "BackupVaultName"),
    "backup plan": _simple("backup", "list_backup_plans", "BackupPlansList", "BackupPlanName"),
    "bucket": _simple("s3", "list_buckets", "Buckets", "Name"),
    "detector": _simple("guardduty", "list_detectors", "DetectorIds"),
    "volume": _simple("ec2", "describe_volumes", "Volumes", "VolumeId"),
    # The emulator's images come with snapshots of their owners.
    "snapshot": _ec2("describe_snapshots", "Snapshots", "SnapshotId", lambda item: item["OwnerId"] == ACCOUNT),
    "EKS cluster": _simple("eks", "list_clusters", "clusters"),
    "ECR repository": _simple("ecr", "describe_repositories", "repositories", "repositoryName"),
    "user pool": _simple("cognito-idp", "list_user_pools", "UserPools", "Id", MaxResults=60),
}
"""How to list the resources that others belong to: rules go with their group, clients with their pool."""
