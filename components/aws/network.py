"""The cluster's network: provisioned, or somebody else's that is used as it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from components.aws.kms import EncryptionKey, EncryptionKeyArgs
from model.config.aws import ExistingNetworkSettings, NetworkSettings, private_subnet, public_subnet
from model.config.aws_facts import GATEWAY_ENDPOINTS
from model.iam.documents import allow, document, logs_use_key, service_trust

INTERNAL_LOAD_BALANCERS = "kubernetes.io/role/internal-elb"
PUBLIC_LOAD_BALANCERS = "kubernetes.io/role/elb"
"""By these tags of subnets, load balancers find where they may be put."""

ANYWHERE = "0.0.0.0/0"


class ClusterNetwork(pulumi.ComponentResource):
    """A VPC with subnets for a cluster, however it came to be."""

    vpc_id: pulumi.Output[str]
    private_subnet_ids: Sequence[pulumi.Output[str]]
    """For nodes and internal load balancers, in two zones at least."""
    public_subnet_ids: Sequence[pulumi.Output[str]]
    """For load balancers that the internet reaches; empty for none."""
    egress_addresses: Sequence[pulumi.Output[str]] = ()
    """The public IPv4 addresses that the nodes' connections come from, as far as this program knows them."""
    ready: Sequence[pulumi.Resource] = ()
    """What has to exist before nodes can reach the internet or AWS' endpoints, and to outlive them."""


@dataclass(frozen=True)
class NetworkArgs:
    """A network to provision."""

    settings: NetworkSettings
    region: str
    account: str
    cluster_name: str
    """Whose network it is, for the tags by which load balancers and Karpenter find it."""
    prefix: str
    """What the names of its AWS resources begin with."""
    protected: bool
    """Whether what cannot be had again refuses to be deleted: the VPC, allow-listed addresses, logs."""
    aws: aws.Provider


class Network(ClusterNetwork):
    """A VPC with a private subnet in each zone and, unless there is no NAT, a public one.

    Without NAT it has neither public subnets nor an internet gateway: nothing in it reaches the internet or is
    reached by it, only AWS' endpoints. Logical names and addresses follow the zone's letter, so that another zone, or
    the same ones in another order, replace nothing of the network. On top of it, a node group with other subnets is
    another one, made before its predecessor goes; and a control plane stays in the zones that it was made in.
    """

    def __init__(self, name: str, args: NetworkArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("saas:network:Network", name, None, opts)
        self._name, self._args = name, args
        settings = args.settings
        vpc = aws.ec2.Vpc(
            name,
            cidr_block=settings.cidr,
            # Both are what endpoints with private DNS and the cluster's private endpoint need.
            enable_dns_support=True,
            enable_dns_hostnames=True,
            tags=self._named("vpc"),
            opts=self._child(protect=args.protected),
        )
        self.vpc_id = vpc.id
        # Without rules, what is put into it by omission reaches nothing.
        aws.ec2.DefaultSecurityGroup(name, vpc_id=vpc.id, tags=self._named("default"), opts=self._child())
        public, exits = ({}, {}) if settings.nat == "none" else self._internet()
        private, tables, routed = self._private(exits)
        endpoints = [*self._gateway_endpoints(tables), *self._interface_endpoints(private)]
        if settings.flow_log_days:
            self._flow_logs(settings.flow_log_days)
        self.private_subnet_ids = [subnet.id for subnet in private.values()]
        self.public_subnet_ids = [subnet.id for subnet, _ in public.values()]
        self.ready = [*(association for _, association in public.values()), *routed, *endpoints]
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
            availability_zone=f"{self._args.region}{zone}",
            cidr_block=cidr,
            # Load balancers bring public addresses of their own; nothing else is to have one.
            map_public_ip_on_launch=False,
            tags=self._named(f"{kind}-{zone}") | own,
            opts=self._child(),
        )

    def _internet(
        self,
    ) -> tuple[Mapping[str, tuple[aws.ec2.Subnet, aws.ec2.RouteTableAssociation]], Mapping[str, aws.ec2.NatGateway]]:
        """Each zone's public subnet, and by which NAT gateway each zone's private one leaves."""
        settings = self._args.settings
        gateway = aws.ec2.InternetGateway(
            self._name, vpc_id=self.vpc_id, tags=self._named("internet"), opts=self._child()
        )
        table = aws.ec2.RouteTable(
            f"{self._name}-public", vpc_id=self.vpc_id, tags=self._named("public"), opts=self._child()
        )
        route = aws.ec2.Route(
            f"{self._name}-public",
            route_table_id=table.id,
            destination_cidr_block=ANYWHERE,
            gateway_id=gateway.id,
            opts=self._child(),
        )
        public: dict[str, tuple[aws.ec2.Subnet, aws.ec2.RouteTableAssociation]] = {}
        for zone in settings.zones:
            subnet = self._subnet("public", zone, public_subnet(settings, zone), {PUBLIC_LOAD_BALANCERS: "1"})
            association = aws.ec2.RouteTableAssociation(
                f"{self._name}-public-{zone}",
                subnet_id=subnet.id,
                route_table_id=table.id,
                opts=self._child(depends_on=[route]),
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
                opts=self._child(protect=self._args.protected, depends_on=[gateway]),
            )
            addresses.append(address.public_ip)
            nats[zone] = aws.ec2.NatGateway(
                f"{self._name}-{zone}",
                allocation_id=address.id,
                subnet_id=subnet.id,
                tags=self._named(f"nat-{zone}"),
                # AWS detaches no internet gateway while addresses are mapped through it.
                opts=self._child(depends_on=[association]),
            )
        self.egress_addresses = addresses
        return public, {zone: nats.get(zone, nats[first]) for zone in settings.zones}

    def _private(
        self, exits: Mapping[str, aws.ec2.NatGateway]
    ) -> tuple[Mapping[str, aws.ec2.Subnet], Sequence[aws.ec2.RouteTable], Sequence[pulumi.Resource]]:
        """Each zone's private subnet, the route tables, and what makes them routed."""
        settings, cluster = self._args.settings, self._args.cluster_name
        subnets: dict[str, aws.ec2.Subnet] = {}
        tables: list[aws.ec2.RouteTable] = []
        routed: list[pulumi.Resource] = []
        for zone in settings.zones:
            own = f"{self._name}-private-{zone}"
            tags = {INTERNAL_LOAD_BALANCERS: "1", "karpenter.sh/discovery": cluster}
            subnets[zone] = self._subnet("private", zone, private_subnet(settings, zone), tags)
            table = aws.ec2.RouteTable(own, vpc_id=self.vpc_id, tags=self._named(f"private-{zone}"), opts=self._child())
            association = aws.ec2.RouteTableAssociation(
                own, subnet_id=subnets[zone].id, route_table_id=table.id, opts=self._child()
            )
            tables.append(table)
            routed.append(association)
            if zone in exits:
                route = aws.ec2.Route(
                    own,
                    route_table_id=table.id,
                    destination_cidr_block=ANYWHERE,
                    nat_gateway_id=exits[zone].id,
                    opts=self._child(),
                )
                routed.append(route)
        return subnets, tables, routed

    def _gateway_endpoints(self, tables: Sequence[aws.ec2.RouteTable]) -> Sequence[pulumi.Resource]:
        return [
            aws.ec2.VpcEndpoint(
                f"{self._name}-{service}",
                vpc_id=self.vpc_id,
                service_name=f"com.amazonaws.{self._args.region}.{service}",
                vpc_endpoint_type="Gateway",
                route_table_ids=[table.id for table in tables],
                tags=self._named(service),
                opts=self._child(),
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
            name=f"{self._args.prefix}-endpoints",
            description="AWS' services, for everything in the VPC",
            vpc_id=self.vpc_id,
            tags=self._named("endpoints"),
            opts=self._child(),
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
            opts=self._child(),
        )
        return [
            aws.ec2.VpcEndpoint(
                f"{self._name}-{service}",
                vpc_id=self.vpc_id,
                service_name=f"com.amazonaws.{self._args.region}.{service}",
                vpc_endpoint_type="Interface",
                subnet_ids=[subnet.id for subnet in private.values()],
                security_group_ids=[group.id],
                # So that clients use it under the service's usual name, without configuration.
                private_dns_enabled=True,
                tags=self._named(service),
                opts=self._child(depends_on=[rule]),
            )
            for service in services
        ]

    def _flow_logs(self, days: int) -> None:
        args = self._args
        group_name = f"/aws/vpc-flow-log/{args.prefix}"
        own = f"{self._name}-flow-logs"
        key = EncryptionKey(
            own,
            EncryptionKeyArgs(
                alias=f"{args.prefix}-flow-logs",
                description=f"Flow logs of the VPC of the EKS cluster {args.cluster_name}",
                account=args.account,
                protected=args.protected,
                aws=args.aws,
                services=[logs_use_key(args.region, args.account, group_name)],
            ),
            pulumi.ResourceOptions(parent=self),
        )
        group = aws.cloudwatch.LogGroup(
            own,
            name=group_name,
            retention_in_days=days,
            kms_key_id=key.arn,
            opts=self._child(protect=args.protected),
        )
        role = aws.iam.Role(
            own,
            name=f"{args.prefix}-flow-logs",
            assume_role_policy=service_trust("vpc-flow-logs.amazonaws.com", args.account),
            opts=self._child(),
        )
        group_arn = f"arn:aws:logs:{args.region}:{args.account}:log-group:{group_name}"
        policy = aws.iam.RolePolicy(
            own,
            role=role.name,
            policy=document(
                allow(["logs:CreateLogStream", "logs:DescribeLogStreams"], [f"{group_arn}:*"]),
                allow(["logs:PutLogEvents"], [f"{group_arn}:log-stream:*"]),
                # Lists the account's groups; AWS documents no narrower resource for flow logs.
                allow(["logs:DescribeLogGroups"], ["*"]),
            ),
            opts=self._child(),
        )
        aws.ec2.FlowLog(
            own,
            vpc_id=self.vpc_id,
            traffic_type="ALL",
            log_destination_type="cloud-watch-logs",
            log_destination=group.arn,
            iam_role_arn=role.arn,
            tags=self._named("flow-logs"),
            opts=self._child(depends_on=[policy]),
        )

    def _named(self, role: str) -> dict[str, str]:
        """The tag that the AWS console shows as a resource's name."""
        return {"Name": f"{self._args.prefix}-{role}"}

    def _child(self, *, protect: bool = False, depends_on: Sequence[pulumi.Resource] = ()) -> pulumi.ResourceOptions:
        return pulumi.ResourceOptions(
            parent=self, provider=self._args.aws, protect=protect or None, depends_on=list(depends_on)
        )


@dataclass(frozen=True)
class ExistingNetworkArgs:
    """A network that somebody else provisioned."""

    settings: ExistingNetworkSettings
    aws: aws.Provider


class ExistingNetwork(ClusterNetwork):
    """Uses a VPC and its subnets by their ids, after checking that a cluster can live there; changes nothing."""

    def __init__(self, name: str, args: ExistingNetworkArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("saas:network:ExistingNetwork", name, None, opts)
        settings = args.settings
        look_up = pulumi.InvokeOutputOptions(parent=self, provider=args.aws)
        private, public = settings.private_subnets, settings.public_subnets
        vpc = aws.ec2.get_vpc_output(id=settings.vpc, opts=look_up)
        subnets = {one: aws.ec2.get_subnet_output(id=one, opts=look_up) for one in dict.fromkeys([*private, *public])}
        # Everything that uses the network waits for the checks, so nothing is made in one that cannot work.
        checked = pulumi.Output.all(vpc=vpc, subnets=subnets).apply(
            lambda found: _usable(settings, found["vpc"], found["subnets"])
        )
        self.vpc_id = checked.apply(lambda _: settings.vpc)
        self.private_subnet_ids = [_after(checked, one) for one in private]
        self.public_subnet_ids = [_after(checked, one) for one in public]
        self.register_outputs(
            {
                "vpcId": self.vpc_id,
                "privateSubnetIds": self.private_subnet_ids,
                "publicSubnetIds": self.public_subnet_ids,
            }
        )


def _after(checked: pulumi.Output[None], value: str) -> pulumi.Output[str]:
    return checked.apply(lambda _: value)


def _usable(
    settings: ExistingNetworkSettings, vpc: aws.ec2.GetVpcResult, subnets: Mapping[str, aws.ec2.GetSubnetResult]
) -> None:
    """Raise pulumi.RunError with everything that keeps a cluster from living there."""
    problems: list[str] = []
    if not (vpc.enable_dns_support and vpc.enable_dns_hostnames):
        problems.append(
            f"{settings.vpc} resolves no private names, so nodes would not find the cluster's private endpoint: "
            "enable its DNS resolution and DNS hostnames."
        )
    for one, subnet in subnets.items():
        if subnet.vpc_id != settings.vpc:
            problems.append(f"{one} is in {subnet.vpc_id}, not in {settings.vpc}: name a subnet of {settings.vpc}.")
    zones = {subnets[one].availability_zone for one in settings.private_subnets}
    if len(zones) < 2:
        problems.append(
            f"All private subnets are in {', '.join(zones)}: EKS needs two zones at least, so name one of another zone."
        )
    if problems:
        raise pulumi.RunError(
            "\n    ".join(["The existing network of saas-in-eks:aws cannot be used; nothing was changed.", *problems])
        )
    for kind, wanted in (
        (settings.private_subnets, INTERNAL_LOAD_BALANCERS),
        (settings.public_subnets, PUBLIC_LOAD_BALANCERS),
    ):
        for one in kind:
            if subnets[one].tags.get(wanted) != "1":
                pulumi.log.warn(f"{one} lacks the tag {wanted}=1: load balancers will not find it. Add the tag.")
