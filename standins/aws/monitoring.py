"""CloudWatch alarms, EventBridge, SNS and GuardDuty of the AWS stand-in."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from standins.aws.engine import REGION, TAGS, AwsKind, Call, Field, Tagging
from standins.aws.kms import allows_service
from standins.provider import RefusedError, Values


class Topic(AwsKind):
    """A topic of SNS, which encrypts with a key that publishing services may use."""

    token = "aws:sns/topic:Topic"  # noqa: S105 - a type's name
    service = "sns"
    properties = {
        "name": Field(computed=True, replaces=True),
        "displayName": Field(api=None),
        "kmsMasterKeyId": Field(api=None),
        "policy": Field(computed=True, document=True, api=None),
        **TAGS,
        **REGION,
    }
    outputs = {"arn": "TopicArn", "owner": ""}
    longest_name = 256
    key = {"TopicArn": "{id}"}
    missing = ("NotFound", "NotFoundException")
    creates = Call("create_topic", answer="TopicArn")
    born = dict.fromkeys(("displayName", "kmsMasterKeyId", "policy"))
    reads = Call("get_topic_attributes", answer="Attributes")
    updates = tuple(Call("set_topic_attributes", when=(name,)) for name in ("displayName", "kmsMasterKeyId", "policy"))
    deletes = Call("delete_topic")
    tagging = Tagging(by={"ResourceArn": "{id}"}, listed="list_tags_for_resource")

    def change(self, call: Call, scope: Values, inputs: Values) -> None:
        (name,) = call.when
        attribute = self.spelled(name)
        self.call(call.operation, TopicArn=scope["id"], AttributeName=attribute, AttributeValue=inputs.get(name) or "")

    def require(self, operation: str, inputs: Values) -> None:
        """Refuse a key that the services of the topic's policy cannot encrypt with: their messages would be lost."""
        key, policy = inputs.get("kmsMasterKeyId"), inputs.get("policy")
        if not (key and policy and operation == "CreateTopic") or not key.startswith("arn:"):
            return
        own = self.aws.call("kms", "get_key_policy", KeyId=key, PolicyName="default")["Policy"]
        for statement in json.loads(policy)["Statement"]:
            principal = statement.get("Principal")
            services = principal.get("Service", []) if isinstance(principal, dict) else []
            for service in [services] if isinstance(services, str) else services:
                if not allows_service(own, service, "kms:GenerateDataKey*"):
                    raise RefusedError(f"the policy of {key} does not let {service} use it, so that nothing arrives")

    def describe(self, scope: Values, found: Values) -> Values:
        return super().describe(scope, found) | {
            "name": found["TopicArn"].rpartition(":")[2],
            "displayName": found.get("DisplayName") or None,
            "kmsMasterKeyId": found.get("KmsMasterKeyId") or None,
            "policy": scope.get("policy") or found.get("Policy"),
        }


class TopicSubscription(AwsKind):
    """A subscription. One by mail waits until its address confirms it."""

    token = "aws:sns/topicSubscription:TopicSubscription"  # noqa: S105 - a type's name
    service = "sns"
    properties = {
        "endpoint": Field(required=True, replaces=True),
        "protocol": Field(
            required=True, replaces=True, choices=("email", "email-json", "https", "sqs", "lambda", "sms")
        ),
        "topic": Field(required=True, replaces=True, api="TopicArn"),
        **REGION,
    }
    outputs = {"arn": "SubscriptionArn", "ownerId": "Owner"}
    key = {"SubscriptionArn": "{id}"}
    missing = ("NotFound", "NotFoundException")
    creates = Call("subscribe", {"ReturnSubscriptionArn": True}, answer="SubscriptionArn")
    reads = Call("get_subscription_attributes", answer="Attributes")
    deletes = Call("unsubscribe")


_METRIC = {
    "dimensions": Field(dict, of=str),
    "metricName": Field(required=True),
    "namespace": Field(),
    "period": Field(int, required=True),
    "stat": Field(required=True),
}


class MetricAlarm(AwsKind):
    """An alarm on one metric or on an expression of several."""

    token = "aws:cloudwatch/metricAlarm:MetricAlarm"  # noqa: S105 - a type's name
    service = "cloudwatch"
    properties = {
        "name": Field(replaces=True, api="AlarmName"),
        "alarmDescription": Field(),
        "comparisonOperator": Field(),
        "evaluationPeriods": Field(int),
        "threshold": Field(float),
        "treatMissingData": Field(default="missing"),
        "metricQueries": Field(
            list,
            api=None,
            of={
                "id": Field(required=True),
                "expression": Field(),
                "returnData": Field(bool),
                "metric": Field(dict, of=_METRIC),
            },
        ),
        "alarmActions": Field(list, of=str, unordered=True),
        "okActions": Field(list, of=str, unordered=True, api="OKActions"),
        "actionsEnabled": Field(bool, default=True),
        **TAGS,
        **REGION,
    }
    outputs = {"arn": "AlarmArn"}
    longest_name = 255
    identity = "{name}"
    key = {"AlarmName": "{id}"}
    creates = Call("put_metric_alarm")
    updates = (Call("put_metric_alarm", when=tuple(key for key in properties if key not in (*TAGS, *REGION, "name"))),)
    deletes = Call("delete_alarms")
    tagging = Tagging(by={"ResourceARN": "{arn}"}, listed="list_tags_for_resource")

    def require(self, operation: str, inputs: Values) -> None:
        returned = [query for query in inputs.get("metricQueries") or [] if query.get("returnData")]
        if len(returned) != 1:
            raise self.refusal(operation, "ValidationError", "Exactly one element of Metrics has to return data.")

    def _metrics(self, inputs: Values) -> list[Values]:
        return [
            {
                "Id": query["id"],
                "ReturnData": bool(query.get("returnData")),
                "Expression": query.get("expression"),
                "MetricStat": _statistic(query["metric"]) if query.get("metric") else None,
            }
            for query in inputs.get("metricQueries") or []
        ]

    def creation(self, inputs: Values) -> Values:
        return super().creation(inputs) | {"Metrics": self._metrics(inputs)}

    def change(self, call: Call, scope: Values, inputs: Values) -> None:
        sent = self.creation(inputs)
        sent.pop("Tags", None)
        self.call(call.operation, **sent)

    def find(self, scope: Values) -> Values | None:
        return next(iter(self.call("describe_alarms", AlarmNames=[scope["id"]])["MetricAlarms"]), None)

    def describe(self, scope: Values, found: Values) -> Values:
        return super().describe(scope, found) | {
            "metricQueries": [_query(item) for item in found.get("Metrics") or []],
        }

    def delete(self, identifier: str, state: Values) -> None:
        self.call("delete_alarms", AlarmNames=[identifier])


def _statistic(metric: Values) -> Values:
    dimensions = [{"Name": key, "Value": value} for key, value in (metric.get("dimensions") or {}).items()]
    named = {"Namespace": metric.get("namespace"), "MetricName": metric["metricName"], "Dimensions": dimensions}
    return {"Metric": named, "Period": metric["period"], "Stat": metric["stat"]}


def _query(item: Values) -> Values:
    query: Values = {"id": item["Id"], "returnData": bool(item.get("ReturnData"))}
    if item.get("Expression"):
        query["expression"] = item["Expression"]
    if stat := item.get("MetricStat"):
        metric = stat["Metric"]
        query["metric"] = {
            "metricName": metric["MetricName"],
            "namespace": metric["Namespace"],
            "period": stat["Period"],
            "stat": stat["Stat"],
        }
        if dimensions := {each["Name"]: each["Value"] for each in metric.get("Dimensions") or []}:
            query["metric"]["dimensions"] = dimensions
    return query


class LogMetricFilter(AwsKind):
    """A metric that counts lines of a log group."""

    token = "aws:cloudwatch/logMetricFilter:LogMetricFilter"  # noqa: S105 - a type's name
    service = "logs"
    capitals = False
    properties = {
        "logGroupName": Field(required=True, replaces=True),
        "metricTransformation": Field(
            dict,
            required=True,
            single=True,
            api="metricTransformations",
            of={
                "name": Field(required=True, api="metricName"),
                "namespace": Field(required=True, api="metricNamespace"),
                "value": Field(required=True, api="metricValue"),
                "defaultValue": Field(),
            },
        ),
        "name": Field(replaces=True, api="filterName"),
        "pattern": Field(required=True, api="filterPattern"),
        **REGION,
    }
    longest_name = 512
    identity = "{name}"
    key = {"logGroupName": "{logGroupName}", "filterName": "{name}"}
    creates = Call("put_metric_filter")
    updates = (Call("put_metric_filter", when=("pattern", "metricTransformation")),)
    deletes = Call("delete_metric_filter")
    missing = ("ResourceNotFoundException",)

    def arguments(self, values: Values, names: Iterable[str]) -> Values:
        sent = super().arguments(values, names)
        for made in sent.get("metricTransformations") or []:
            if made.get("defaultValue") is not None:  # a number there, text here
                made["defaultValue"] = float(made["defaultValue"])
        return sent

    def change(self, call: Call, scope: Values, inputs: Values) -> None:
        self.call(call.operation, **self.creation(inputs))

    def find(self, scope: Values) -> Values | None:
        where = {"logGroupName": scope["logGroupName"], "filterNamePrefix": scope["name"]}
        answer = self.aws.find("logs", "describe_metric_filters", self.missing, **where) or {}
        return next((item for item in answer.get("metricFilters", ()) if item["filterName"] == scope["name"]), None)

    def describe(self, scope: Values, found: Values) -> Values:
        state = super().describe(scope, found)
        default = (state["metricTransformation"] or {}).get("defaultValue")
        if default is not None:
            state["metricTransformation"]["defaultValue"] = f"{default:g}"
        return state


class EventRule(AwsKind):
    """A rule of EventBridge's default bus."""

    token = "aws:cloudwatch/eventRule:EventRule"  # noqa: S105 - a type's name
    service = "events"
    properties = {
        "name": Field(replaces=True),
        "description": Field(),
        "eventPattern": Field(document=True),
        "state": Field(default="ENABLED", choices=("ENABLED", "DISABLED")),
        **TAGS,
        **REGION,
    }
    outputs = {"arn": "Arn"}
    longest_name = 64
    identity = "{name}"
    key = {"Name": "{id}"}
    missing = ("ResourceNotFoundException",)
    creates = Call("put_rule")
    reads = Call("describe_rule")
    updates = (Call("put_rule", when=("description", "eventPattern", "state")),)
    deletes = Call("delete_rule")
    tagging = Tagging(by={"ResourceARN": "{arn}"}, listed="list_tags_for_resource")


class EventTarget(AwsKind):
    """Where a rule's events go."""

    token = "aws:cloudwatch/eventTarget:EventTarget"  # noqa: S105 - a type's name
    service = "events"
    properties = {
        "arn": Field(required=True),
        "rule": Field(required=True, replaces=True),
        "targetId": Field(computed=True, replaces=True, api=None),
        **REGION,
    }
    identity = "{rule}/{targetId}"
    key = {"Rule": "{rule}"}
    missing = ("ResourceNotFoundException",)
    creates = Call("put_targets")
    updates = (Call("put_targets", when=("arn",)),)
    deletes = Call("remove_targets")

    def creation(self, inputs: Values) -> Values:
        return {"Rule": inputs["rule"], "Targets": [{"Id": inputs["targetId"], "Arn": inputs["arn"]}]}

    def require(self, operation: str, inputs: Values) -> None:
        if ":sns:" in inputs["arn"]:
            self.aws.call("sns", "get_topic_attributes", TopicArn=inputs["arn"])

    def change(self, call: Call, scope: Values, inputs: Values) -> None:
        self.call(call.operation, **self.creation(inputs))

    def find(self, scope: Values) -> Values | None:
        answer = self.aws.find("events", "list_targets_by_rule", self.missing, Rule=scope["rule"]) or {}
        found = next((item for item in answer.get("Targets", ()) if item["Id"] == scope["targetId"]), None)
        return {**found, "Rule": scope["rule"]} if found else None

    def delete(self, identifier: str, state: Values) -> None:
        self.aws.find("events", "remove_targets", self.missing, Rule=state["rule"], Ids=[state["targetId"]])


class Detector(AwsKind):
    """GuardDuty of an account in a region, of which there is one."""

    token = "aws:guardduty/detector:Detector"  # noqa: S105 - a type's name
    service = "guardduty"
    properties = {
        "enable": Field(bool, default=True, api=None),
        "findingPublishingFrequency": Field(computed=True),
        **TAGS,
        **REGION,
    }
    outputs: Any = {}
    key = {"DetectorId": "{id}"}
    missing = ("BadRequestException",)
    creates = Call("create_detector", {"Enable": "{enable}"}, answer="DetectorId")
    reads = Call("get_detector")
    updates = (Call("update_detector", {"Enable": "{enable}"}, when=("enable",)),)
    deletes = Call("delete_detector")
    tagging = Tagging(by={"ResourceArn": "{arn}"}, pairs=None)

    def require(self, operation: str, inputs: Values) -> None:
        if operation == "CreateDetector" and self.call("list_detectors")["DetectorIds"]:
            reason = "The request is rejected because a detector already exists for the current account."
            raise self.refusal(operation, "BadRequestException", reason)

    def describe(self, scope: Values, found: Values) -> Values:
        return super().describe(scope, found) | {"enable": found["Status"] == "ENABLED"}


KINDS = (Topic, TopicSubscription, MetricAlarm, LogMetricFilter, EventRule, EventTarget, Detector)
