"""AWS stand-in: FlowLog."""

from __future__ import annotations

from collections.abc import Iterable

from standins.aws.ec2 import Ec2Kind, require_vpc
from standins.aws.kind import REGION, TAGS
from standins.aws.session import AwsError
from standins.provider import Property, Values


class FlowLog(Ec2Kind):
    """A record of a VPC's connections in CloudWatch. Any change but one of tags makes a new one."""

    token = "aws:ec2/flowLog:FlowLog"  # noqa: S105 - a type's name
    resource_type = "vpc-flow-log"
    properties = {
        "vpcId": Property(replaces=True),
        "trafficType": Property(replaces=True),
        "logDestinationType": Property(default="cloud-watch-logs", replaces=True, choices=("cloud-watch-logs",)),
        "logDestination": Property(computed=True, replaces=True),
        "iamRoleArn": Property(replaces=True),
        "logFormat": Property(computed=True, replaces=True),
        "maxAggregationInterval": Property(int, default=600, replaces=True, choices=(60, 600)),
        **TAGS,
        **REGION,
    }
    outputs = ("arn", "region")

    def check(self, name: str, inputs: Values, seed: bytes) -> Iterable[tuple[str, str]]:
        yield from super().check(name, inputs, seed)
        for needed in ("vpcId", "trafficType", "logDestination", "iamRoleArn"):
            if needed not in inputs:
                yield needed, "the stand-in has flow logs of VPCs in CloudWatch only, which need this"

    def create(self, inputs: Values) -> tuple[str, Values]:
        require_vpc(self.aws, inputs["vpcId"])
        self._require_role(inputs["iamRoleArn"])
        self._require_group(inputs["logDestination"])
        made = self.call(
            "create_flow_logs",
            ResourceType="VPC",
            ResourceIds=[inputs["vpcId"]],
            TrafficType=inputs["trafficType"],
            LogDestinationType=inputs["logDestinationType"],
            LogDestination=inputs["logDestination"],
            DeliverLogsPermissionArn=inputs["iamRoleArn"],
            LogFormat=inputs.get("logFormat"),
            MaxAggregationInterval=inputs["maxAggregationInterval"],
            TagSpecifications=self.tag_specifications(inputs),
        )
        for failed in made["Unsuccessful"]:
            raise AwsError("ec2.CreateFlowLogs", failed["Error"]["Code"], failed["Error"]["Message"])
        return self.made(made["FlowLogIds"][0], inputs)

    def _require_role(self, arn: str) -> None:
        name = arn.rpartition("/")[2]
        found = self.aws.find("iam", "get_role", ["NoSuchEntity"], RoleName=name)
        if found is None or found["Role"]["Arn"] != arn:
            message = f"The role {arn} does not exist, or vpc-flow-logs.amazonaws.com may not assume it"
            raise AwsError("ec2.CreateFlowLogs", "InvalidParameter", message)

    def _require_group(self, arn: str) -> None:
        name = arn.partition(":log-group:")[2].removesuffix(":*")
        groups = self.aws.list("logs", "describe_log_groups", "logGroups", logGroupNamePrefix=name) if name else []
        if name not in [group["logGroupName"] for group in groups]:
            message = f"LogDestination {arn} does not exist: make the log group first"
            raise AwsError("ec2.CreateFlowLogs", "InvalidParameter", message)

    def _find(self, identifier: str) -> Values | None:
        return self.one("describe_flow_logs", "FlowLogs", ["InvalidFlowLogId.NotFound"], FlowLogIds=[identifier])

    def read(self, identifier: str, state: Values) -> tuple[str, Values] | None:
        found = self._find(identifier)
        if found is None:
            return None
        return identifier, {
            "vpcId": found["ResourceId"],
            "trafficType": found["TrafficType"],
            "logDestinationType": found["LogDestinationType"],
            "logDestination": found["LogDestination"],
            "iamRoleArn": found["DeliverLogsPermissionArn"],
            "logFormat": found["LogFormat"],
            "maxAggregationInterval": found["MaxAggregationInterval"],
            "arn": self.ec2_arn(identifier),
            **self.located(found, state),
        }

    def delete(self, identifier: str, state: Values) -> None:
        if self._find(identifier):
            self.call("delete_flow_logs", FlowLogIds=[identifier])


KINDS = (FlowLog,)
