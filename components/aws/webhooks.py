"""Webhooks from the internet into the private network: HTTP API, VPC link, internal load balancer, Flux's pods."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws
import pulumi_kubernetes as kubernetes

from components.aws.context import AwsContext
from components.objects import children
from model.config.aws import VpcSettings, gateway_subnet
from model.kubernetes.auto_mode import target_group_binding
from model.kubernetes.network_policies import WEBHOOK_PORT

ROUTE = "POST /hook/{id}"
"""All that the API takes."""
REQUESTS_PER_SECOND, BURST = 10, 20
"""Each request makes Flux ask the API server. GitHub sends one for each push."""
LISTENER_PORT = 80


@dataclass(frozen=True)
class WebhookGatewayArgs:
    """The network and the cluster that webhooks go to."""

    context: AwsContext
    settings: VpcSettings
    cluster_name: str
    vpc_id: pulumi.Input[str]
    pods_security_group_id: pulumi.Input[str]
    """The security group of the nodes, and so of the pods."""
    provider: kubernetes.Provider
    depends_on: Sequence[pulumi.Resource] = ()
    """Flux's webhook receiver."""


class WebhookGateway(pulumi.ComponentResource):
    """Public HTTP API for POST /hook/{id} only, throttled, that leads to Flux's webhook receiver.

    Flux checks each request's signature: that is the authentication. The load balancer has subnets of its own, so that
    the network policy of the receiver can tell it from pods.
    """

    url: pulumi.Output[str]
    """https://HOST, without a path."""
    ready: Sequence[pulumi.Resource]

    def __init__(self, name: str, args: WebhookGatewayArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("saas:webhooks:WebhookGateway", name, None, opts)
        self._name, self._args, self._context = name, args, args.context
        subnets = [self._subnet(zone) for zone in args.settings.zones]
        subnet_ids = [subnet.id for subnet in subnets]
        link_group, group, rules = self._security_groups()
        listener, targets = self._load_balancer(subnet_ids, group)
        context, tags = self._context, {"Name": f"{self._context.prefix}-webhooks"}
        link = aws.apigatewayv2.VpcLink(
            name,
            name=f"{context.prefix}-webhooks",
            subnet_ids=subnet_ids,
            security_group_ids=[link_group.id],
            tags=tags,
            opts=context.child(self, depends_on=rules),
        )
        api = aws.apigatewayv2.Api(
            name,
            name=f"{context.prefix}-webhooks",
            description="Webhooks for Flux",
            protocol_type="HTTP",
            tags=tags,
            opts=context.child(self),
        )
        integration = aws.apigatewayv2.Integration(
            name,
            api_id=api.id,
            integration_type="HTTP_PROXY",
            integration_method="POST",
            integration_uri=listener.arn,
            connection_type="VPC_LINK",
            connection_id=link.id,
            payload_format_version="1.0",
            opts=context.child(self),
        )
        route = aws.apigatewayv2.Route(
            name,
            api_id=api.id,
            route_key=ROUTE,
            target=integration.id.apply(lambda identifier: f"integrations/{identifier}"),
            opts=context.child(self),
        )
        stage = aws.apigatewayv2.Stage(
            name,
            api_id=api.id,
            name="$default",
            auto_deploy=True,
            default_route_settings={
                "throttling_rate_limit": REQUESTS_PER_SECOND,
                "throttling_burst_limit": BURST,
            },
            tags=tags,
            # Deployed by the first route: an API without routes has nothing to deploy.
            opts=context.child(self, depends_on=[route]),
        )
        binding = children(
            [target_group_binding(targets.arn)],
            parent=self,
            provider=args.provider,
            depends_on=[*args.depends_on, listener, *rules],
        )
        self.url = api.api_endpoint
        self.ready = [stage, *binding]
        self.register_outputs({"url": self.url})

    def _subnet(self, zone: str) -> aws.ec2.Subnet:
        """A subnet that reaches the VPC only."""
        return aws.ec2.Subnet(
            f"{self._name}-{zone}",
            vpc_id=self._args.vpc_id,
            availability_zone=f"{self._context.region}{zone}",
            cidr_block=gateway_subnet(self._args.settings, zone),
            map_public_ip_on_launch=False,
            tags={"Name": f"{self._context.prefix}-webhooks-{zone}"},
            opts=self._context.child(self),
        )

    def _security_groups(self) -> tuple[aws.ec2.SecurityGroup, aws.ec2.SecurityGroup, Sequence[pulumi.Resource]]:
        """The groups of the VPC link and of the load balancer, and the rules from one to the next, up to the pods."""
        link = self._security_group("link", "VPC link of API Gateway")
        balancer = self._security_group("balancer", "Load balancer of Flux's webhook receiver")
        pods = self._args.pods_security_group_id
        rules: list[pulumi.Resource] = []
        for source, target, purpose, port in (
            (link.id, balancer.id, "balancer", LISTENER_PORT),
            (balancer.id, pods, "receiver", WEBHOOK_PORT),
        ):
            common = {"ip_protocol": "tcp", "from_port": port, "to_port": port}
            tags = {"Name": f"{self._context.prefix}-webhooks-{purpose}"}
            rules += [
                aws.vpc.SecurityGroupEgressRule(
                    f"{self._name}-{purpose}",
                    security_group_id=source,
                    referenced_security_group_id=target,
                    description="Webhooks",
                    tags=tags,
                    **common,
                    opts=self._context.child(self),
                ),
                aws.vpc.SecurityGroupIngressRule(
                    f"{self._name}-{purpose}",
                    security_group_id=target,
                    referenced_security_group_id=source,
                    description="Webhooks",
                    tags=tags,
                    **common,
                    opts=self._context.child(self),
                ),
            ]
        return link, balancer, rules

    def _security_group(self, role: str, description: str) -> aws.ec2.SecurityGroup:
        name = f"{self._context.prefix}-webhooks-{role}"
        return aws.ec2.SecurityGroup(
            f"{self._name}-{role}",
            name=name,
            description=description,
            vpc_id=self._args.vpc_id,
            tags={"Name": name},
            opts=self._context.child(self),
        )

    def _load_balancer(
        self, subnet_ids: Sequence[pulumi.Input[str]], group: aws.ec2.SecurityGroup
    ) -> tuple[aws.lb.Listener, aws.lb.TargetGroup]:
        context, name = self._context, f"{self._context.prefix}-webhooks"
        balancer = aws.lb.LoadBalancer(
            self._name,
            name=name,
            internal=True,
            load_balancer_type="network",
            subnets=subnet_ids,
            security_groups=[group.id],
            tags={"Name": name},
            opts=context.child(self),
        )
        targets = aws.lb.TargetGroup(
            self._name,
            name=name,
            vpc_id=self._args.vpc_id,
            port=WEBHOOK_PORT,
            protocol="TCP",
            target_type="ip",
            # Auto Mode may register pods with target groups of its cluster only.
            tags={"Name": name, "eks:eks-cluster-name": self._args.cluster_name},
            opts=context.child(self),
        )
        listener = aws.lb.Listener(
            self._name,
            load_balancer_arn=balancer.arn,
            port=LISTENER_PORT,
            protocol="TCP",
            default_actions=[{"type": "forward", "target_group_arn": targets.arn}],
            tags={"Name": name},
            opts=context.child(self),
        )
        return listener, targets
