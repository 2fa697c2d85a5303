"""Elastic Load Balancing of the AWS stand-in: network load balancers, target groups and listeners."""

from __future__ import annotations

import time
from typing import ClassVar

from standins.aws.ec2 import require_groups, require_subnets, require_vpc
from standins.aws.engine import REGION, TAGS, AwsKind, Call, Field, Tagging
from standins.provider import RefusedError, Values

_SETTLE_SECONDS = 30.0


class _ElbKind(AwsKind):
    """A resource type of Elastic Load Balancing. Its id is its ARN, and tags are described apart from it."""

    service = "elbv2"
    named: ClassVar[str]
    """The parameter that has the ARN."""
    tagging = Tagging("add_tags", "remove_tags")

    def tags_of(self, scope: Values, found: Values) -> Values:
        listed = self.call("describe_tags", ResourceArns=[scope["id"]])["TagDescriptions"]
        return super().tags_of(scope, {**found, "Tags": listed[0]["Tags"] if listed else []})

    def retag(self, scope: Values, actual: Values, wanted: Values) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        arns = [scope["id"]]
        if gone := [key for key in actual if key not in wanted and not key.startswith("aws:")]:
            self.call("remove_tags", ResourceArns=arns, TagKeys=gone)
        if new := {key: value for key, value in wanted.items() if actual.get(key) != value}:
            self.call("add_tags", ResourceArns=arns, Tags=self.tagging.written(new))


class LoadBalancer(_ElbKind):
    """A network load balancer."""

    token = "aws:lb/loadBalancer:LoadBalancer"  # noqa: S105 - a type's name
    properties = {
        "name": Field(computed=True, replaces=True, api="Name", at="LoadBalancerName"),
        "internal": Field(bool, computed=True, replaces=True, api=None),
        "loadBalancerType": Field(default="application", replaces=True, choices=("network",), api="Type"),
        "subnets": Field(list, of=str, unordered=True, computed=True, api="Subnets"),
        "securityGroups": Field(list, of=str, unordered=True, computed=True),
        **TAGS,
        **REGION,
    }
    outputs = {"arn": "LoadBalancerArn", "arnSuffix": "", "dnsName": "DNSName", "vpcId": "", "zoneId": ""}
    longest_name = 32
    key = {"LoadBalancerArn": "{id}"}
    missing = ("LoadBalancerNotFound", "LoadBalancerNotFoundException")
    creates = Call("create_load_balancer", answer="LoadBalancers.0.LoadBalancerArn")
    reads = Call("describe_load_balancers", {"LoadBalancerArns": ["{id}"]}, answer="LoadBalancers.0")
    updates = (Call("set_subnets", when=("subnets",)), Call("set_security_groups", when=("securityGroups",)))
    deletes = Call("delete_load_balancer")

    def require(self, operation: str, inputs: Values) -> None:
        if len(inputs.get("name", "")) > self.longest_name:
            raise self.refusal(operation, "ValidationError", "The load balancer name cannot be longer than 32")
        require_subnets(self.aws, inputs.get("subnets") or [])
        require_groups(self.aws, inputs.get("securityGroups") or [])

    def creation(self, inputs: Values) -> Values:
        return super().creation(inputs) | {"Scheme": "internal" if inputs.get("internal") else "internet-facing"}

    def settle(self, scope: Values) -> None:
        deadline = time.monotonic() + _SETTLE_SECONDS
        while (self.find(scope) or {})["State"]["Code"] != "active":
            if time.monotonic() > deadline:
                raise RefusedError(f"{scope['id']} did not become active")
            time.sleep(0.1)

    def describe(self, scope: Values, found: Values) -> Values:
        return super().describe(scope, found) | {
            "internal": found["Scheme"] == "internal",
            "subnets": sorted(zone["SubnetId"] for zone in found["AvailabilityZones"]),
            "arnSuffix": found["LoadBalancerArn"].partition(":loadbalancer/")[2],
        }


class TargetGroup(_ElbKind):
    """A target group. While a listener forwards to it, it cannot be deleted."""

    token = "aws:lb/targetGroup:TargetGroup"  # noqa: S105 - a type's name
    properties = {
        "name": Field(computed=True, replaces=True, api="Name", at="TargetGroupName"),
        "port": Field(int, replaces=True),
        "protocol": Field(computed=True, replaces=True),
        "targetType": Field(default="instance", replaces=True, choices=("instance", "ip", "lambda", "alb")),
        "vpcId": Field(replaces=True),
        **TAGS,
        **REGION,
    }
    outputs = {"arn": "TargetGroupArn", "arnSuffix": ""}
    longest_name = 32
    key = {"TargetGroupArn": "{id}"}
    missing = ("TargetGroupNotFound", "TargetGroupNotFoundException")
    creates = Call("create_target_group", answer="TargetGroups.0.TargetGroupArn")
    reads = Call("describe_target_groups", {"TargetGroupArns": ["{id}"]}, answer="TargetGroups.0")
    deletes = Call("delete_target_group")

    def require(self, operation: str, inputs: Values) -> None:
        require_vpc(self.aws, inputs["vpcId"])

    def describe(self, scope: Values, found: Values) -> Values:
        suffix = found["TargetGroupArn"].rpartition(":")[2]
        return super().describe(scope, found) | {"arnSuffix": suffix}


class Listener(_ElbKind):
    """A port of a load balancer, and where its connections go."""

    token = "aws:lb/listener:Listener"  # noqa: S105 - a type's name
    properties = {
        "loadBalancerArn": Field(required=True, replaces=True),
        "port": Field(int),
        "protocol": Field(computed=True),
        "defaultActions": Field(
            list, required=True, of={"type": Field(required=True), "targetGroupArn": Field()}, at="DefaultActions"
        ),
        **TAGS,
        **REGION,
    }
    outputs = {"arn": "ListenerArn"}
    key = {"ListenerArn": "{id}"}
    missing = ("ListenerNotFound", "ListenerNotFoundException")
    creates = Call("create_listener", answer="Listeners.0.ListenerArn")
    reads = Call("describe_listeners", {"ListenerArns": ["{id}"]}, answer="Listeners.0")
    updates = (Call("modify_listener", when=("port", "protocol", "defaultActions")),)
    deletes = Call("delete_listener")


KINDS = (LoadBalancer, TargetGroup, Listener)
