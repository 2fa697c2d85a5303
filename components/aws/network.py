"""The cluster's network: a VPC that the stack provisions, or an existing one that it leaves unchanged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from components.aws.context import AwsContext
from components.aws.kms import EncryptionKey, EncryptionKeyArgs
from components.configuration import Configuration
from model.config.aws import (
    GATEWAY_ENDPOINTS,
    ExistingVpcSettings,
    VpcSettings,
    private_subnet,
    public_subnet,
)
from model.iam.documents import allow, document, logs_use_key, service_trust
from model.iam.endpoints import endpoint_policy

INTERNAL_LOAD_BALANCERS = "kubernetes.io/role/internal-elb"
PUBLIC_LOAD_BALANCERS = "kubernetes.io/role/elb"
"""Subnet tags by which load balancers find the subnets they may use."""

ANYWHERE = "0.0.0.0/0"


class VpcNetwork(pulumi.ComponentResource):
    """VPC with subnets for a cluster, provisioned or existing."""

    vpc_id: pulumi.Output[str]
    private_subnet_ids: Sequence[pulumi.Output[str]]
    """For nodes and internal load balancers, in at least two zones."""
    public_subnet_ids: Sequence[pulumi.Output[str]]
    """For internet-facing load balancers; may be empty."""
    egress_addresses: Sequence[pulumi.Output[str]] = ()
    """Public IPv4 addresses of the nodes' connections to the internet; empty where the program does not know them."""
    ready: Sequence[pulumi.Resource] = ()
    """Routes and endpoints that nodes need to reach the internet or AWS, for `depends_on`."""


@dataclass(frozen=True)
class NetworkArgs:
    """A network to provision."""

    context: AwsContext
    settings: VpcSettings
    cluster_name: str
    """For the tags by which load balancers and Karpenter find the subnets."""


class Network(VpcNetwork):
    """VPC with a private subnet per zone and, unless `nat` is none, a public one.

    Without NAT there are neither public subnets nor an internet gateway: only AWS endpoints are reachable. Logical
    names and addresses follow the zone's letter, so adding or reordering zones replaces nothing in the network. A node
    group with other subnets is replaced, its successor first; a control plane keeps the zones it was created with.
    """

    def __init__(self, name: str, args: NetworkArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("saas:network:Network", name, None, opts)
        self._name, self._args, self._context = name, args, args.context
        settings, context = args.settings, args.context
        vpc = aws.ec2.Vpc(
            name,
            cidr_block=settings.cidr,
            # Endpoints with private DNS and the cluster's private endpoint need both.
            enable_dns_support=True,
            enable_dns_hostnames=True,
            tags=self._named("vpc"),
            opts=context.child(self, protect=context.protected),
        )
        self.vpc_id = vpc.id
        # Without rules, whatever gets this group by default reaches nothing.
        aws.ec2.DefaultSecurityGroup(name, vpc_id=vpc.id, tags=self._named("default"), opts=self._context.child(self))
        public, nat_gateways = ({}, {}) if settings.nat == "none" else self._internet()
        private, tables, routes = self._private(nat_gateways)
        endpoints = [*self._gateway_endpoints(tables), *self._interface_endpoints(private)]
        if settings.flow_log_days:
            self._flow_logs(settings.flow_log_days)
        self.private_subnet_ids = [subnet.id for subnet in private.values()]
        self.public_subnet_ids = [subnet.id for subnet, _ in public.values()]
        self.ready = [*(association for _, association in public.values()), *routes, *endpoints]
        self.register_outputs(
            {
                "vpcId": self.vpc_id,
                "privateSubnetIds": self.private_subnet_ids,
                "publicSubnetIds": self.public_subnet_ids,
                "egressAddresses": self.egress_addresses,
            }
        )

    def _subnet(self, kind: str, zone: str, cidr: str, tags: Mapping[str, str]) -> aws.ec2.Subnet:
        own = {f"kubernetes.io/cluster/{self._args.cluster_name}": "shared", **tags}
        return aws.ec2.Subnet(
            f"{self._name}-{kind}-{zone}",
            vpc_id=self.vpc_id,
            availability_zone=f"{self._context.region}{zone}",
            cidr_block=cidr,
            # Load balancers bring their own public addresses; nothing else may have one.
            map_public_ip_on_launch=False,
            tags=self._named(f"{kind}-{zone}") | own,
            opts=self._context.child(self),
        )

    def _internet(
        self,
    ) -> tuple[Mapping[str, tuple[aws.ec2.Subnet, aws.ec2.RouteTableAssociation]], Mapping[str, aws.ec2.NatGateway]]:
        """Each zone's public subnet, and the NAT gateway of each zone's private subnet."""
        settings = self._args.settings
        gateway = aws.ec2.InternetGateway(
            self._name, vpc_id=self.vpc_id, tags=self._named("internet"), opts=self._context.child(self)
        )
        table = aws.ec2.RouteTable(
            f"{self._name}-public", vpc_id=self.vpc_id, tags=self._named("public"), opts=self._context.child(self)
        )
        route = aws.ec2.Route(
            f"{self._name}-public",
            route_table_id=table.id,
            destination_cidr_block=ANYWHERE,
            gateway_id=gateway.id,
            opts=self._context.child(self),
        )
        public: dict[str, tuple[aws.ec2.Subnet, aws.ec2.RouteTableAssociation]] = {}
        for zone in settings.zones:
            subnet = self._subnet("public", zone, public_subnet(settings, zone), {PUBLIC_LOAD_BALANCERS: "1"})
            association = aws.ec2.RouteTableAssociation(
                f"{self._name}-public-{zone}",
                subnet_id=subnet.id,
                route_table_id=table.id,
                opts=self._context.child(self, depends_on=[route]),
            )
            public[zone] = subnet, association
        first = settings.zones[0]
        nats: dict[str, aws.ec2.NatGateway] = {}
        addresses: list[pulumi.Output[str]] = []
        for zone in settings.zones if settings.nat == "perZone" else [first]:
            subnet, association = public[zone]
            address = aws.ec2.Eip(
                f"{self._name}-nat-{zone}",
                domain="vpc",
                tags=self._named(f"nat-{zone}"),
                # Others may have allow-listed it, and AWS never gives the same one twice.
                opts=self._context.child(self, protect=self._context.protected, depends_on=[gateway]),
            )
            addresses.append(address.public_ip)
            nats[zone] = aws.ec2.NatGateway(
                f"{self._name}-{zone}",
                allocation_id=address.id,
                subnet_id=subnet.id,
                tags=self._named(f"nat-{zone}"),
                # AWS detaches no internet gateway while addresses are mapped through it.
                opts=self._context.child(self, depends_on=[association]),
            )
        self.egress_addresses = addresses
        return public, {zone: nats.get(zone, nats[first]) for zone in settings.zones}

    def _private(
        self, nat_gateways: Mapping[str, aws.ec2.NatGateway]
    ) -> tuple[Mapping[str, aws.ec2.Subnet], Sequence[aws.ec2.RouteTable], Sequence[pulumi.Resource]]:
        """Each zone's private subnet, the route tables, and their routes and associations."""
        settings, cluster = self._args.settings, self._args.cluster_name
        subnets: dict[str, aws.ec2.Subnet] = {}
        tables: list[aws.ec2.RouteTable] = []
        routes: list[pulumi.Resource] = []
        for zone in settings.zones:
            own = f"{self._name}-private-{zone}"
            tags = {INTERNAL_LOAD_BALANCERS: "1", "karpenter.sh/discovery": cluster}
            subnets[zone] = self._subnet("private", zone, private_subnet(settings, zone), tags)
            table = aws.ec2.RouteTable(
                own, vpc_id=self.vpc_id, tags=self._named(f"private-{zone}"), opts=self._context.child(self)
            )
            association = aws.ec2.RouteTableAssociation(
                own, subnet_id=subnets[zone].id, route_table_id=table.id, opts=self._context.child(self)
            )
            tables.append(table)
            routes.append(association)
            if zone in nat_gateways:
                route = aws.ec2.Route(
                    own,
                    route_table_id=table.id,
                    destination_cidr_block=ANYWHERE,
                    nat_gateway_id=nat_gateways[zone].id,
                    opts=self._context.child(self),
                )
                routes.append(route)
        return subnets, tables, routes

    def _gateway_endpoints(self, tables: Sequence[aws.ec2.RouteTable]) -> Sequence[pulumi.Resource]:
        return [
            aws.ec2.VpcEndpoint(
                f"{self._name}-{service}",
                vpc_id=self.vpc_id,
                service_name=f"com.amazonaws.{self._context.region}.{service}",
                vpc_endpoint_type="Gateway",
                route_table_ids=[table.id for table in tables],
                policy=self._endpoint_policy(service),
                tags=self._named(service),
                opts=self._context.child(self),
            )
            for service in self._args.settings.endpoints
            if service in GATEWAY_ENDPOINTS
        ]

    def _interface_endpoints(self, private: Mapping[str, aws.ec2.Subnet]) -> Sequence[pulumi.Resource]:
        services = [service for service in self._args.settings.endpoints if service not in GATEWAY_ENDPOINTS]
        if not services:
            return []
        group = aws.ec2.SecurityGroup(
            f"{self._name}-endpoints",
            name=f"{self._context.prefix}-endpoints",
            description="AWS' services, for everything in the VPC",
            vpc_id=self.vpc_id,
            tags=self._named("endpoints"),
            opts=self._context.child(self),
        )
        rule = aws.vpc.SecurityGroupIngressRule(
            f"{self._name}-endpoints",
            security_group_id=group.id,
            description="HTTPS from the VPC",
            ip_protocol="tcp",
            from_port=443,
            to_port=443,
            cidr_ipv4=self._args.settings.cidr,
            tags=self._named("endpoints"),
            opts=self._context.child(self),
        )
        return [
            aws.ec2.VpcEndpoint(
                f"{self._name}-{service}",
                vpc_id=self.vpc_id,
                service_name=f"com.amazonaws.{self._context.region}.{service}",
                vpc_endpoint_type="Interface",
                subnet_ids=[subnet.id for subnet in private.values()],
                security_group_ids=[group.id],
                # So that clients use it under the service's usual name, without configuration.
                private_dns_enabled=True,
                policy=self._endpoint_policy(service),
                tags=self._named(service),
                opts=self._context.child(self, depends_on=[rule]),
            )
            for service in services
        ]

    def _endpoint_policy(self, service: str) -> str:
        return endpoint_policy(service, self._context.account, self._args.settings.endpoint_accounts)

    def _flow_logs(self, days: int) -> None:
        args, context = self._args, self._context
        group_name = f"/aws/vpc-flow-log/{context.prefix}"
        own = f"{self._name}-flow-logs"
        key = EncryptionKey(
            own,
            EncryptionKeyArgs(
                context=context,
                purpose="flow-logs",
                description=f"Flow logs of the VPC of the EKS cluster {args.cluster_name}",
                services=[logs_use_key(context.region, context.account, group_name)],
            ),
            pulumi.ResourceOptions(parent=self),
        )
        group = aws.cloudwatch.LogGroup(
            own,
            name=group_name,
            retention_in_days=days,
            kms_key_id=key.arn,
            opts=context.child(self, protect=context.protected),
        )
        role = aws.iam.Role(
            own,
            name=f"{context.prefix}-flow-logs",
            assume_role_policy=service_trust("vpc-flow-logs.amazonaws.com", context.account),
            permissions_boundary=context.boundary,
            opts=context.child(self),
        )
        group_arn = f"arn:aws:logs:{context.region}:{context.account}:log-group:{group_name}"
        policy = aws.iam.RolePolicy(
            own,
            role=role.name,
            policy=document(
                allow(["logs:CreateLogStream", "logs:DescribeLogStreams"], [f"{group_arn}:*"]),
                allow(["logs:PutLogEvents"], [f"{group_arn}:log-stream:*"]),
                # Lists the account's groups; AWS documents no narrower resource for flow logs.
                allow(["logs:DescribeLogGroups"], ["*"]),
            ),
            opts=context.child(self),
        )
        aws.ec2.FlowLog(
            own,
            vpc_id=self.vpc_id,
            traffic_type="ALL",
            log_destination_type="cloud-watch-logs",
            log_destination=group.arn,
            iam_role_arn=role.arn,
            tags=self._named("flow-logs"),
            opts=context.child(self, depends_on=[policy]),
        )

    def _named(self, role: str) -> dict[str, str]:
        """Tag that the AWS console shows as a resource's name."""
        return {"Name": f"{self._context.prefix}-{role}"}


@dataclass(frozen=True)
class ExistingNetworkArgs:
    """A network that the stack does not manage."""

    context: AwsContext
    settings: ExistingVpcSettings


class ExistingNetwork(VpcNetwork):
    """Existing VPC and subnets, used by their ids after checking that a cluster can run there; never changed."""

    def __init__(self, name: str, args: ExistingNetworkArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("saas:network:ExistingNetwork", name, None, opts)
        settings = args.settings
        lookup = pulumi.InvokeOutputOptions(parent=self, provider=args.context.provider)
        private, public = settings.private_subnets, settings.public_subnets
        vpc = aws.ec2.get_vpc_output(id=settings.vpc, opts=lookup)
        subnets = {
            subnet: aws.ec2.get_subnet_output(id=subnet, opts=lookup) for subnet in dict.fromkeys([*private, *public])
        }
        # Ids are known after the checks only, so nothing is created in a network that cannot work.
        checked = pulumi.Output.all(vpc=vpc, subnets=subnets).apply(
            lambda found: _check_usable(settings, found["vpc"], found["subnets"])
        )
        self.vpc_id = checked.apply(lambda _: settings.vpc)
        self.private_subnet_ids = [_after(checked, subnet) for subnet in private]
        self.public_subnet_ids = [_after(checked, subnet) for subnet in public]
        self.register_outputs(
            {
                "vpcId": self.vpc_id,
                "privateSubnetIds": self.private_subnet_ids,
                "publicSubnetIds": self.public_subnet_ids,
            }
        )


def _after(checked: pulumi.Output[None], value: str) -> pulumi.Output[str]:
    return checked.apply(lambda _: value)


def _check_usable(
    settings: ExistingVpcSettings, vpc: aws.ec2.GetVpcResult, subnets: Mapping[str, aws.ec2.GetSubnetResult]
) -> None:
    """Raise pulumi.RunError with every reason why a cluster cannot run in this network."""
    problems: list[str] = []
    if not (vpc.enable_dns_support and vpc.enable_dns_hostnames):
        problems.append(
            f"DNS resolution or DNS hostnames are disabled in {settings.vpc}, so nodes cannot resolve the cluster's "
            "private endpoint: enable both."
        )
    for subnet_id, subnet in subnets.items():
        if subnet.vpc_id != settings.vpc:
            problems.append(
                f"{subnet_id} is in {subnet.vpc_id}, not in {settings.vpc}: name a subnet of {settings.vpc}."
            )
    zones = {subnets[subnet].availability_zone for subnet in settings.private_subnets}
    if len(zones) < 2:
        problems.append(
            f"All private subnets are in {', '.join(zones)}: EKS needs at least two zones, so add one of another zone."
        )
    if problems:
        raise pulumi.RunError(
            "\n    ".join(["The existing network of saas-in-eks:aws cannot be used; nothing was changed.", *problems])
        )
    for subnet_ids, tag in (
        (settings.private_subnets, INTERNAL_LOAD_BALANCERS),
        (settings.public_subnets, PUBLIC_LOAD_BALANCERS),
    ):
        for subnet_id in subnet_ids:
            if subnets[subnet_id].tags.get(tag) != "1":
                pulumi.log.warn(f"{subnet_id} lacks the tag {tag}=1: load balancers will not find it. Add the tag.")


def create_network(configuration: Configuration, context: AwsContext | None) -> VpcNetwork | None:
    """The network of the stack's cluster; None where the cluster exists already and has its own."""
    settings = configuration.settings
    if settings.aws is None or context is None or settings.aws.cluster.adopt:
        return None
    network = settings.aws.network
    if network.existing:
        return ExistingNetwork(settings.cluster, ExistingNetworkArgs(context=context, settings=network.existing))
    return Network(settings.cluster, NetworkArgs(context=context, settings=network, cluster_name=settings.cluster))
