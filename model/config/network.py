"""Network settings: a tenant's ingress and egress rules, and the addresses of the cluster itself.

model/kubernetes/network_policies.py turns the rules into NetworkPolicies; everything that no rule opens is closed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, IPvAnyAddress, WithJsonSchema, model_validator

from model.config.base import Finding, Model, rule_error
from model.config.names import FLUX_NAMESPACE, LABEL_PATTERN

PRIVATE = ("10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.168.0.0/16", "198.18.0.0/15")
"""Private address ranges, of clusters, offices and peers. EKS can use the last one for pods, too."""

UNIQUE_LOCAL = "fc00::/7"
"""IPv6's private addresses. An IPv6 cluster has its services there; its pods have public addresses of the VPC."""

LINK_LOCAL = "169.254.0.0/16"
UNKNOWN = (*PRIVATE, UNIQUE_LOCAL)
"""The ranges of a cluster whose own are not known."""

NEVER = {
    LINK_LOCAL: "the cloud's metadata service and the node's own services",
    "fe80::/10": "the node's own services",
    "fd00:ec2::/32": "the cloud's metadata service",
    "127.0.0.0/8": "the node itself",
    "::1/128": "the node itself",
    # What closes private IPv4 networks says nothing about these.
    "::ffff:0:0/96": "IPv4 addresses in IPv6 notation: the cluster's own among them",
    "64:ff9b::/96": "IPv4 addresses behind NAT64: the cluster's own among them",
}
"""Address ranges that no rule can open, and their owners."""

PUBLIC_SUBNETS = "publicSubnets"
"""In place of a network: the public subnets of the stack's VPC, where internet-facing load balancers are."""

PLATFORM_NAMESPACES = (FLUX_NAMESPACE, "kube-system")
NODE_LOCAL_DNS = "169.254.20.10"
MAXIMUM_PORTS = 24
"""The most ports per address range that the VPC CNI's node agent enforces; it ignores the rest."""


def _network(value: str) -> IPv4Network | IPv6Network:
    remedy = "Write a network such as 203.0.113.0/24, or 203.0.113.7/32 for one address."
    return network_in(value, ip_network, remedy)


def _source(value: str) -> str:
    return str(_network(value))


def _load_balancers(value: str) -> str:
    return value if value == PUBLIC_SUBNETS else _source(value)


def _destination(value: str) -> str:
    network = _network(value)
    if network.prefixlen == 0:
        raise rule_error(
            f"{value} includes the cloud's metadata service and the cluster", "Write `internet: true` instead."
        )
    for never, what in NEVER.items():
        if within(value, never):
            raise rule_error(f"{value} belongs to {what}", "Tenants' pods cannot be let in there: remove it.")
        if within(never, value):
            remedy = "Write only the networks that the product needs, or `internet: true`."
            raise rule_error(f"{value} includes {never}: {what}", remedy)
    return str(network)


def _namespace(value: str) -> str:
    if not re.fullmatch(LABEL_PATTERN, value):
        raise rule_error(f"{value!r} is not a valid namespace name", "Use lower-case letters, digits and hyphens.")
    return value


def _open_namespace(value: str) -> str:
    if value in PLATFORM_NAMESPACES:
        remedy = "DNS is always open, and nothing else there is for tenants: remove the rule."
        raise rule_error(f"{value} is a namespace of the platform", remedy)
    return _namespace(value)


def _rule_name(value: str) -> str:
    if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?", value):
        raise rule_error(
            f"{value!r} is not a valid rule name",
            "Use up to 40 lower-case letters, digits and hyphens, such as payments.",
        )
    return value


def _port_text(value: Any) -> Any:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _port(value: str) -> str:
    found = re.fullmatch(r"(\d{1,5})(?:-(\d{1,5}))?(?:/(TCP|UDP|SCTP))?", value)
    if not found:
        raise rule_error(f"{value!r} is not a port", "Write 443, 53/UDP or 8000-8100.")
    first, last = int(found[1]), int(found[2] or found[1])
    if not 1 <= first <= last <= 65535:
        raise rule_error(f"{value!r} is not a port", "Write numbers from 1 to 65535, the smaller number first.")
    return f"{first}-{last}/{found[3] or 'TCP'}" if last > first else f"{first}/{found[3] or 'TCP'}"


def _unique_names(values: Sequence[EgressRule]) -> Sequence[EgressRule]:
    names = [rule.name for rule in values]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise rule_error(f"two rules have the name {twice!r}", "Give each rule a name of its own.")
    return values


Namespace = Annotated[str, AfterValidator(_namespace)]
SourceNetwork = Annotated[str, AfterValidator(_source)]
DestinationNetwork = Annotated[str, AfterValidator(_destination)]
Port = Annotated[
    str,
    BeforeValidator(_port_text),
    AfterValidator(_port),
    WithJsonSchema({"anyOf": [{"type": "integer"}, {"type": "string"}]}),
]


class EgressRule(Model):
    """A destination that a tenant's pods may reach: exactly one of cidr, namespace, internet."""

    name: Annotated[
        str,
        AfterValidator(_rule_name),
        Field(description="The rule's purpose, such as payments; names its NetworkPolicy"),
    ]
    cidr: DestinationNetwork | None = Field(default=None, description="A network, or a single address with /32")
    exceptions: list[SourceNetwork] = Field(default=[], alias="except", description="Parts of cidr that stay closed")
    namespace: Annotated[str, AfterValidator(_open_namespace)] | None = Field(
        default=None, description="All pods of a namespace, which must let them in"
    )
    internet: bool = Field(
        default=False, description="Every public IPv4 address; no private addresses, no metadata service"
    )
    ports: list[Port] = Field(default=[], max_length=MAXIMUM_PORTS, description="443, 53/UDP, 8000-8100; empty: all")
    inside_cluster: bool = Field(
        default=False,
        alias="insideCluster",
        description="Confirms that cidr is inside the cluster's own networks, such as a database in its VPC",
    )

    @model_validator(mode="after")
    def _one_destination(self) -> EgressRule:
        given = [key for key in ("cidr", "namespace", "internet") if getattr(self, key)]
        if len(given) != 1:
            message = f"{' and '.join(given)} exclude each other" if given else "has no destination"
            raise rule_error(message, "Write one of `cidr: …`, `namespace: …` and `internet: true`.")
        if (self.exceptions or self.inside_cluster) and self.cidr is None:
            key = "except" if self.exceptions else "insideCluster"
            raise rule_error(f"{key} needs a cidr", f"Remove {key}, or add `cidr:`.")
        for exception in self.exceptions:
            if self.cidr is not None and (exception == self.cidr or not within(exception, self.cidr)):
                raise rule_error(f"{exception} is not part of {self.cidr}", "Write a smaller network inside it.")
        if self.inside_cluster and not self.ports:
            raise rule_error("every port inside the cluster would be open", "Add `ports:`, such as [5432].")
        return self


class NetworkRules(Model):
    """A tenant's network rules. Without any, its pods reach each other and DNS only."""

    ingress_controllers: list[Namespace] = Field(
        default=[], alias="ingressControllers", description="Namespaces of ingress controllers, such as ingress-nginx"
    )
    load_balancers: list[Annotated[str, AfterValidator(_load_balancers)]] = Field(
        default=[],
        alias="loadBalancers",
        description="Networks from which load balancers reach pods directly; publicSubnets: those of the stack's VPC",
    )
    monitoring: list[Namespace] = Field(default=[], description="Namespaces that may scrape the pods")
    egress: Annotated[list[EgressRule], AfterValidator(_unique_names)] = []
    api_server: list[DestinationNetwork] = Field(
        default=[],
        alias="apiServer",
        description="Addresses of the Kubernetes API, its Service and its endpoints, for products that use it",
    )


class NetworkSettings(Model):
    """`saas-in-eks:network` in a stack's configuration: network settings for the platform team only."""

    ranges: list[SourceNetwork] = Field(
        default=[], description="Networks of the cluster's nodes, pods and services, if `aws` does not create them"
    )
    resolvers: list[IPvAnyAddress] = Field(
        default=[], description="Addresses of DNS servers in addition to CoreDNS' pods, such as a node-local cache"
    )
    monitoring: list[Namespace] = Field(default=[], description="Namespaces that may read Flux's metrics")
    kustomize_reaches: list[Annotated[str, Field(pattern=r"^[A-Za-z0-9.:-]+$")]] = Field(
        default=[],
        alias="kustomizeReaches",
        description="Further hosts that kustomize-controller may reach, such as a KMS for SOPS",
    )
    webhooks: list[Namespace] = Field(
        default=[], description="Namespaces that webhooks reach Flux from: the ingress controller's"
    )


@dataclass(frozen=True)
class ClusterAddresses:
    """The address ranges of a cluster's pods, nodes and services, and its DNS servers."""

    ranges: tuple[str, ...] = UNKNOWN
    """Networks of pods, nodes and services; every private range if they are unknown."""
    resolvers: tuple[str, ...] = (NODE_LOCAL_DNS,)
    """DNS servers in addition to CoreDNS' pods."""
    public_subnets: tuple[str, ...] = ()
    """Networks of internet-facing load balancers; empty if there are none, or they are unknown."""


def within(inner: str, outer: str) -> bool:
    """Whether a network is part of another one, or the same."""
    part, whole = ip_network(inner), ip_network(outer)
    if isinstance(part, IPv4Network) and isinstance(whole, IPv4Network):
        return part.subnet_of(whole)
    return isinstance(part, IPv6Network) and isinstance(whole, IPv6Network) and part.subnet_of(whole)


N = TypeVar("N")


def network_in(value: str, parse: Callable[..., N], remedy: str) -> N:
    """The network in CIDR notation that a text names. Raises rule_error, with `remedy` if no network is similar.

    `parse` is the wanted class of networks, or `ip_network`.
    """
    try:
        return parse(value)
    except ValueError:
        with suppress(ValueError):
            remedy = f"Write {parse(value, strict=False)}."
        raise rule_error(f"{value!r} is not a network", remedy) from None


def cluster_reaching(rules: NetworkRules, cluster: ClusterAddresses) -> Iterator[Finding]:
    """Egress rules that reach into the cluster itself without `insideCluster: true`; paths begin at `network`.

    A network *around* one of the cluster's own is fine: its policy leaves that part closed.
    """
    for index, rule in enumerate(rules.egress):
        if rule.cidr is None or rule.inside_cluster:
            continue
        for own in cluster.ranges:
            if within(rule.cidr, own):
                relation = "is inside" if cluster.ranges != UNKNOWN else "may be inside"
                message = f"{rule.cidr} {relation} the cluster's own {own}, where other tenants' pods are"
                remedy = "Add `insideCluster: true` and the ports if this is intended; for pods, name their namespace."
                yield ("egress", index, "cidr"), message, remedy
