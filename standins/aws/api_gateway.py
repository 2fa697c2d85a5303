"""API Gateway of the AWS stand-in: HTTP APIs with their integrations, routes, stages and VPC links."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from standins.aws.ec2 import require_groups, require_subnets
from standins.aws.engine import REGION, TAGS, AwsKind, Call, Field, Tagging
from standins.provider import Values


class _ApiKind(AwsKind):
    """A resource type of API Gateway v2."""

    service = "apigatewayv2"
    missing = ("NotFoundException",)
    place: ClassVar[str] = ""
    """The form of its ARN's end; empty for types without tags."""
    tagging = Tagging(by={"ResourceArn": "{arn}"}, pairs=None)

    def describe(self, scope: Values, found: Values) -> Values:
        state = super().describe(scope, found)
        if self.place:
            # These ARNs name no account.
            state["arn"] = f"arn:{self.aws.partition}:apigateway:{self.aws.region}::{self.place.format(**scope)}"
        return state

    def retag(self, scope: Values, actual: Values, wanted: Values) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        arn = f"arn:{self.aws.partition}:apigateway:{self.aws.region}::{self.place.format(**scope)}"
        super().retag({**scope, "arn": arn}, actual, wanted)


class Api(_ApiKind):
    """An HTTP API."""

    token = "aws:apigatewayv2/api:Api"  # noqa: S105 - a type's name
    place = "/apis/{id}"
    properties = {
        "name": Field(computed=True),
        "protocolType": Field(required=True, replaces=True, choices=("HTTP",)),
        "description": Field(),
        **TAGS,
        **REGION,
    }
    outputs = {"apiEndpoint": "", "arn": ""}
    longest_name = 128
    key = {"ApiId": "{id}"}
    creates = Call("create_api", answer="ApiId")
    reads = Call("get_api")
    updates = (Call("update_api", when=("name", "description")),)
    deletes = Call("delete_api")


class VpcLink(_ApiKind):
    """A way from API Gateway into subnets of a VPC. An integration that uses it keeps it."""

    token = "aws:apigatewayv2/vpcLink:VpcLink"  # noqa: S105 - a type's name
    place = "/vpclinks/{id}"
    properties = {
        "name": Field(computed=True),
        "securityGroupIds": Field(list, of=str, unordered=True, required=True, replaces=True),
        "subnetIds": Field(list, of=str, unordered=True, required=True, replaces=True),
        **TAGS,
        **REGION,
    }
    outputs = {"arn": ""}
    longest_name = 128
    key = {"VpcLinkId": "{id}"}
    creates = Call("create_vpc_link", answer="VpcLinkId")
    reads = Call("get_vpc_link")
    updates = (Call("update_vpc_link", when=("name",)),)
    deletes = Call("delete_vpc_link")

    def require(self, operation: str, inputs: Values) -> None:
        require_subnets(self.aws, inputs.get("subnetIds") or [])
        require_groups(self.aws, inputs.get("securityGroupIds") or [])

    def refuse_delete(self, identifier: str, state: Values, found: Values) -> None:
        for api in self.call("get_apis")["Items"]:
            used = self.call("get_integrations", ApiId=api["ApiId"])["Items"]
            if any(integration.get("ConnectionId") == identifier for integration in used):
                message = f"Cannot delete VPC link {identifier}: an integration of {api['ApiId']} uses it"
                raise self.refusal("DeleteVpcLink", "BadRequestException", message)


class Integration(_ApiKind):
    """What an API hands its requests to; here, a listener in a VPC."""

    token = "aws:apigatewayv2/integration:Integration"  # noqa: S105 - a type's name
    properties = {
        "apiId": Field(required=True, replaces=True),
        "integrationType": Field(required=True, replaces=True),
        "integrationMethod": Field(),
        "integrationUri": Field(),
        "connectionType": Field(default="INTERNET", choices=("INTERNET", "VPC_LINK")),
        "connectionId": Field(),
        "payloadFormatVersion": Field(default="1.0"),
        "timeoutMilliseconds": Field(int, computed=True, api="TimeoutInMillis"),
        **REGION,
    }
    imported = "{apiId}/{id}"
    key = {"ApiId": "{apiId}", "IntegrationId": "{id}"}
    creates = Call("create_integration", answer="IntegrationId")
    reads = Call("get_integration")
    updates = (
        Call(
            "update_integration",
            when=("integrationMethod", "integrationUri", "connectionType", "connectionId", "timeoutMilliseconds"),
        ),
    )
    deletes = Call("delete_integration")

    def require(self, operation: str, inputs: Values) -> None:
        if inputs["connectionType"] == "VPC_LINK":
            self.call("get_vpc_link", VpcLinkId=inputs.get("connectionId"))
            self.aws.call("elbv2", "describe_listeners", ListenerArns=[inputs.get("integrationUri")])

    def describe(self, scope: Values, found: Values) -> Values:
        return super().describe(scope, found) | {"apiId": scope["apiId"]}


class Route(_ApiKind):
    """A method and a path of an API."""

    token = "aws:apigatewayv2/route:Route"  # noqa: S105 - a type's name
    properties = {
        "apiId": Field(required=True, replaces=True),
        "routeKey": Field(required=True),
        "target": Field(),
        "authorizationType": Field(default="NONE"),
        **REGION,
    }
    imported = "{apiId}/{id}"
    key = {"ApiId": "{apiId}", "RouteId": "{id}"}
    creates = Call("create_route", answer="RouteId")
    reads = Call("get_route")
    updates = (Call("update_route", when=("routeKey", "target", "authorizationType")),)
    deletes = Call("delete_route")

    def describe(self, scope: Values, found: Values) -> Values:
        return super().describe(scope, found) | {"apiId": scope["apiId"]}


class Stage(_ApiKind):
    """What of an API is served, and how much of it."""

    token = "aws:apigatewayv2/stage:Stage"  # noqa: S105 - a type's name
    place = "/apis/{apiId}/stages/{name}"
    properties = {
        "apiId": Field(required=True, replaces=True),
        "name": Field(replaces=True, api="StageName"),
        "autoDeploy": Field(bool, default=False),
        "defaultRouteSettings": Field(
            dict,
            of={
                "throttlingBurstLimit": Field(int),
                "throttlingRateLimit": Field(float),
                "detailedMetricsEnabled": Field(bool),
            },
        ),
        **TAGS,
        **REGION,
    }
    outputs = {"arn": "", "invokeUrl": ""}
    identity = "{name}"
    imported = "{apiId}/{name}"
    key = {"ApiId": "{apiId}", "StageName": "{name}"}
    creates = Call("create_stage", answer="StageName")
    reads = Call("get_stage")
    updates = (Call("update_stage", when=("autoDeploy", "defaultRouteSettings")),)
    deletes = Call("delete_stage")

    def check(self, name: str, inputs: Values, seed: bytes) -> Iterable[tuple[str, str]]:
        yield from super().check(name, inputs, seed)
        if inputs.get("name") is None:
            yield "name", "give the stage a name; $default has no part in the path of URLs"

    def describe(self, scope: Values, found: Values) -> Values:
        endpoint = self.call("get_api", ApiId=scope["apiId"]).get("ApiEndpoint", "")
        end = "/" if scope["name"] == "$default" else f"/{scope['name']}"
        return super().describe(scope, found) | {"apiId": scope["apiId"], "invokeUrl": f"{endpoint}{end}"}


KINDS = (Api, VpcLink, Integration, Route, Stage)
