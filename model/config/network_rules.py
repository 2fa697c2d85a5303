"""`network` of a tier or tenant: who may talk to its pods, and whom they may talk to. What is left out is closed.

Form only; model/kubernetes/network_policies.py makes the policies of it, docs/network.md says what they promise.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, IPvAnyAddress, WithJsonSchema, model_validator

from model.config.aws import AwsSettings, service_cidr
from model.config.names import FLUX_NAMESPACE
from model.config.networks import network_in
from model.config.schema import Model, wrong

PRIVATE = ("10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.168.0.0/16", "198.18.0.0/15")
"""Where clusters, offices and peers are: no part of the internet. EKS takes the last one too for pods."""

LINK_LOCAL = "169.254.0.0/16"
NEVER = {
    LINK_LOCAL: "the cloud's metadata and the node's own services",
    "fe80::/10": "the node's own services",
    "fd00:ec2::/32": "the cloud's metadata",
    "127.0.0.0/8": "the node itself",
    "::1/128": "the node itself",
}
"""What no rule opens, and what is there."""

PLATFORM_NAMESPACES = (FLUX_NAMESPACE, "kube-system")
NODE_LOCAL_DNS = "169.254.20.10"
MAXIMUM_PORTS = 24
"""How many ports the VPC CNI's node agent can hold for one address range; it ignores the rest."""


def _network(value: str) -> IPv4Network | IPv6Network:
    otherwise = "Write a network such as 203.0.113.0/24, or 203.0.113.7/32 for one address."
    return network_in(value, ip_network, otherwise)


def _source(value: str) -> str:
    return str(_network(value))


def _destination(value: str) -> str:
    network = _network(value)
    if network.prefixlen == 0:
        raise wrong(f"{value} covers the cloud's metadata and the cluster too", "Write `internet: true` instead.")
    for never, what in NEVER.items():
        if within(value, never):
            raise wrong(f"{value} is where {what} are", "No tenant's pod may go there: remove it.")
        if within(never, value):
            raise wrong(f"{value} covers {never}: {what}", "Write the networks that are meant, or `internet: true`.")
    return str(network)


def _namespace(value: str) -> str:
    if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", value):
        raise wrong(f"{value!r} cannot name a namespace", "Write lower-case letters, digits and hyphens.")
    return value


def _open_namespace(value: str) -> str:
    if value in PLATFORM_NAMESPACES:
        remedy = "DNS is open anyway, and nothing else there is for tenants: remove the rule."
        raise wrong(f"{value} is the platform's own", remedy)
    return _namespace(value)


def _rule_name(value: str) -> str:
    if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?", value):
        raise wrong(
            f"{value!r} cannot name a rule", "Write up to 40 lower-case letters, digits and hyphens, such as payments."
        )
    return value


def _spelled_out(value: Any) -> Any:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _port(value: str) -> str:
    found = re.fullmatch(r"(\d{1,5})(?:-(\d{1,5}))?(?:/(TCP|UDP|SCTP))?", value)
    if not found:
        raise wrong(f"{value!r} is no port", "Write 443, 53/UDP or 8000-8100.")
    first, last = int(found[1]), int(found[2] or found[1])
    if not 1 <= first <= last <= 65535:
        raise wrong(f"{value!r} is no port", "Write numbers from 1 to 65535, the smaller one first.")
    return f"{first}-{last}/{found[3] or 'TCP'}" if last > first else f"{first}/{found[3] or 'TCP'}"


def _distinct(values: Sequence[EgressRule]) -> Sequence[EgressRule]:
    names = [rule.name for rule in values]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise wrong(f"two rules are called {twice!r}", "Give each rule a name of its own.")
    return values


Namespace = Annotated[str, AfterValidator(_namespace)]
SourceNetwork = Annotated[str, AfterValidator(_source)]
DestinationNetwork = Annotated[str, AfterValidator(_destination)]
Port = Annotated[
    str,
    BeforeValidator(_spelled_out),
    AfterValidator(_port),
    WithJsonSchema({"anyOf": [{"type": "integer"}, {"type": "string"}]}),
]


class EgressRule(Model):
    """Somewhere that a tenant's pods may go. Exactly one of cidr, namespace, internet."""

    name: Annotated[str, AfterValidator(_rule_name), Field(description="What it is for, such as payments")]
    cidr: DestinationNetwork | None = Field(default=None, description="A network, or one address with /32")
    exceptions: list[SourceNetwork] = Field(default=[], alias="except", description="Parts of cidr that stay closed")
    namespace: Annotated[str, AfterValidator(_open_namespace)] | None = Field(
        default=None, description="All pods of a namespace, which has to let them in"
    )
    internet: bool = Field(default=False, description="Every public IPv4 address; no private one, no metadata")
    ports: list[Port] = Field(default=[], max_length=MAXIMUM_PORTS, description="443, 53/UDP, 8000-8100; none: all")
    inside_cluster: bool = Field(
        default=False,
        alias="insideCluster",
        description="That cidr is meant to lie in the cluster's own networks, such as a database in its VPC",
    )

    @model_validator(mode="after")
    def _one_destination(self) -> EgressRule:
        given = [key for key in ("cidr", "namespace", "internet") if getattr(self, key)]
        if len(given) != 1:
            message = f"{' and '.join(given)} contradict each other" if given else "says no destination"
            raise wrong(message, "Write one of `cidr: …`, `namespace: …` and `internet: true`.")
        if (self.exceptions or self.inside_cluster) and self.cidr is None:
            key = "except" if self.exceptions else "insideCluster"
            raise wrong(f"{key} belongs to a cidr", f"Remove {key}.")
        for exception in self.exceptions:
            if self.cidr is not None and (exception == self.cidr or not within(exception, self.cidr)):
                raise wrong(f"{exception} is no part of {self.cidr}", "Write a smaller network inside it.")
        if self.inside_cluster and not self.ports:
            raise wrong("inside the cluster every port would be open", "Add `ports:`, such as [5432].")
        return self


class NetworkRules(Model):
    """What a tenant's pods may do on the network beside DNS and talking to each other."""

    ingress_controllers: list[Namespace] = Field(
        default=[], alias="ingressControllers", description="Namespaces of ingress controllers, such as ingress-nginx"
    )
    load_balancers: list[SourceNetwork] = Field(
        default=[],
        alias="loadBalancers",
        description="Networks from which load balancers reach pods without a controller: the VPC's public subnets",
    )
    monitoring: list[Namespace] = Field(default=[], description="Namespaces that may scrape the pods")
    egress: Annotated[list[EgressRule], AfterValidator(_distinct)] = []
    api_server: list[DestinationNetwork] = Field(
        default=[],
        alias="apiServer",
        description="Addresses of the Kubernetes API for products that use it: its service and its endpoints",
    )


class NetworkSettings(Model):
    """`saas-in-eks:network` of a stack: what no tenant has a say in."""

    ranges: list[SourceNetwork] = Field(
        default=[], description="Networks of the cluster's nodes, pods and services, where `aws` does not make them"
    )
    resolvers: list[IPvAnyAddress] = Field(
        default=[], description="Addresses that answer DNS beside CoreDNS' pods, such as a node-local cache"
    )
    monitoring: list[Namespace] = Field(default=[], description="Namespaces that may read Flux's metrics")
    kustomize_reaches: list[Annotated[str, Field(pattern=r"^[A-Za-z0-9.:-]+$")]] = Field(
        default=[],
        alias="kustomizeReaches",
        description="Hosts that kustomize-controller may ask beside Flux and the API server, such as a KMS for SOPS",
    )
    webhooks: list[Namespace] = Field(
        default=[], description="Namespaces through which webhooks reach Flux: the ingress controller's"
    )


@dataclass(frozen=True)
class ClusterNetwork:
    """What a cluster's own addresses are."""

    ranges: tuple[str, ...] = PRIVATE
    """Networks of pods, nodes and services. Where nobody knows them, all that are private."""
    resolvers: tuple[str, ...] = (NODE_LOCAL_DNS,)
    """Addresses, beside CoreDNS' pods, that answer DNS."""


def cluster_network(aws: AwsSettings | None, settings: NetworkSettings | None = None) -> ClusterNetwork:
    """The addresses of a stack's cluster, as far as its configuration tells them."""
    known = _made_here(aws)
    if settings is None:
        return known
    ranges = tuple(settings.ranges) or known.ranges
    return ClusterNetwork(ranges, (*known.resolvers, *map(str, settings.resolvers)))


def _made_here(aws: AwsSettings | None) -> ClusterNetwork:
    if aws is None or aws.cluster.adopt or aws.network.existing:
        return ClusterNetwork()
    services = service_cidr(aws.network)
    # EKS answers DNS at the tenth address. In Auto Mode no pod stands behind it that a policy could select.
    dns = str(ip_network(services).network_address + 10)
    return ClusterNetwork((aws.network.cidr, services), (NODE_LOCAL_DNS, dns))


def within(inner: str, outer: str) -> bool:
    """Whether a network is part of another one, or the same."""
    one, other = ip_network(inner), ip_network(outer)
    if isinstance(one, IPv4Network) and isinstance(other, IPv4Network):
        return one.subnet_of(other)
    return isinstance(one, IPv6Network) and isinstance(other, IPv6Network) and one.subnet_of(other)
