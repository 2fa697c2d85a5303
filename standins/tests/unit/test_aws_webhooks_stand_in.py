"""The stand-in for pulumi-resource-aws: load balancers and HTTP APIs, on the platform's emulator."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from standins.tests.unit.aws_emulator import emulator
from standins.tests.unit.aws_stand_in import Plugin

VPC, SUBNET, GROUP = "ec2/vpc:Vpc", "ec2/subnet:Subnet", "ec2/securityGroup:SecurityGroup"
BALANCER, TARGETS, LISTENER = "lb/loadBalancer:LoadBalancer", "lb/targetGroup:TargetGroup", "lb/listener:Listener"
API, LINK = "apigatewayv2/api:Api", "apigatewayv2/vpcLink:VpcLink"
INTEGRATION, ROUTE, STAGE = (
    "apigatewayv2/integration:Integration",
    "apigatewayv2/route:Route",
    "apigatewayv2/stage:Stage",
)


@pytest.fixture(scope="module")
def plugin() -> Iterator[Plugin]:
    with emulator():
        yield Plugin(defaultTags={"tags": {"Project": "saas"}})


def test_a_way_from_an_api_to_pods_is_made_and_removed_in_order(plugin: Plugin) -> None:
    vpc, _ = plugin.create(VPC, cidrBlock="10.0.0.0/16")
    subnet, subnet_state = plugin.create(SUBNET, vpcId=vpc, cidrBlock="10.0.192.0/24", availabilityZone="eu-west-1a")
    group, group_state = plugin.create(GROUP, name="webhooks", vpcId=vpc)
    long = plugin.refusal("create", BALANCER, name="w" * 33, loadBalancerType="network", subnets=[subnet])
    assert "cannot be longer than 32" in long
    balancer, balancer_state = plugin.unchanged(
        BALANCER,
        name="webhooks",
        internal=True,
        loadBalancerType="network",
        subnets=[subnet],
        securityGroups=[group],
        tags={"Name": "webhooks"},
    )
    targets, _ = plugin.unchanged(
        TARGETS,
        name="webhooks",
        port=9292,
        protocol="TCP",
        targetType="ip",
        vpcId=vpc,
        tags={"a": "b"},
    )
    forward = [{"type": "forward", "targetGroupArn": targets}]
    listener, _ = plugin.unchanged(LISTENER, loadBalancerArn=balancer, port=80, protocol="TCP", defaultActions=forward)
    api, api_state = plugin.unchanged(API, name="webhooks", protocolType="HTTP", tags={"a": "b"})
    assert api_state["apiEndpoint"].startswith("https://")
    link, link_state = plugin.unchanged(LINK, name="webhooks", securityGroupIds=[group], subnetIds=[subnet])
    integration, state = plugin.unchanged(
        INTEGRATION,
        apiId=api,
        integrationType="HTTP_PROXY",
        integrationMethod="POST",
        connectionType="VPC_LINK",
        connectionId=link,
        integrationUri=listener,
    )
    plugin.unchanged(ROUTE, apiId=api, routeKey="POST /hook/{id}", target=f"integrations/{integration}")
    plugin.unchanged(
        STAGE,
        apiId=api,
        name="$default",
        autoDeploy=True,
        defaultRouteSettings={"throttlingBurstLimit": 20, "throttlingRateLimit": 10},
        tags={"a": "b"},
    )
    assert "uses it" in plugin.refusal("delete", LINK, identifier=link, state=link_state)
    assert "dependent object" in plugin.refusal("delete", GROUP, identifier=group, state=group_state)
    assert "DependencyViolation" in plugin.refusal("delete", SUBNET, identifier=subnet, state=subnet_state)
    plugin.delete(INTEGRATION, integration, state)
    plugin.delete(LINK, link, link_state)
    plugin.delete(BALANCER, balancer, balancer_state)
    plugin.delete(GROUP, group, group_state)
    plugin.delete(SUBNET, subnet, subnet_state)
