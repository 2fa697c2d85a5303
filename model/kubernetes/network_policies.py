"""NetworkPolicies of a tenant and of Flux: networking.k8s.io/v1 only, which every policy engine understands.

Policies are additive: none can close what another opens. Each selects all pods of its namespace, so that a tenant's
labels change nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from model.config.names import FLUX_NAMESPACE
from model.config.network import LINK_LOCAL, PRIVATE, PUBLIC_SUBNETS, ClusterAddresses, EgressRule, NetworkRules, within
from model.kubernetes.manifests import TENANT_LABEL, Manifest

DEFAULT_DENY = "default-deny"

POD_IDENTITY_AGENT = ("169.254.170.23/32", "fd00:ec2::23/128")
"""Addresses of the Pod Identity agent, which gives AWS credentials to pods whose service account has a role."""

METRICS_PORT, WEBHOOK_PORT = 8080, 9292
"""Ports of Flux's controllers: Prometheus metrics; the notification-controller's webhook receiver."""
API_SERVER_PORTS = (443, 6443, 8443, 16443)
"""Where the API server listens: on EKS at the first, on clusters made otherwise at one of these."""


def network_policies(
    tenant_name: str,
    rules: NetworkRules,
    *,
    aws_access: bool = False,
    cluster: ClusterAddresses | None = None,
) -> list[Manifest]:
    """All policies of a tenant's namespace; `aws_access` for a tenant with an AWS role.

    Raises ValueError for a rule that `cluster_reaching` reports.
    """
    cluster = cluster or ClusterAddresses()
    own_pods: Manifest = {"podSelector": {}}
    dns = _all_of("kube-system") | {"podSelector": {"matchLabels": {"k8s-app": "kube-dns"}}}
    resolvers = [_addresses(f"{address}/{128 if ':' in address else 32}") for address in cluster.resolvers]
    policies = {
        # Default deny and the exception for own pods in one policy, so that neither exists without the other.
        DEFAULT_DENY: {"ingress": [{"from": [own_pods]}], "egress": [{"to": [own_pods]}]},
        "allow-dns": _egress([dns, *resolvers], ["53/UDP", "53/TCP"]),
    }
    if rules.ingress_controllers:
        policies["allow-ingress-controllers"] = _ingress([_all_of(name) for name in rules.ingress_controllers])
    if rules.load_balancers:
        networks = [
            network
            for source in rules.load_balancers
            for network in (cluster.public_subnets if source == PUBLIC_SUBNETS else [source])
        ]
        policies["allow-load-balancers"] = _ingress(
            [_addresses(network, _inside(network, cluster)) for network in networks]
        )
    if rules.monitoring:
        policies["allow-monitoring"] = _ingress([_all_of(name) for name in rules.monitoring])
    if aws_access:
        policies["allow-aws-identity"] = _egress([_addresses(agent) for agent in POD_IDENTITY_AGENT], ["80/TCP"])
    if rules.api_server:
        policies["allow-api-server"] = _egress(
            [_addresses(network) for network in rules.api_server], ["443/TCP", "6443/TCP"]
        )
    for rule in rules.egress:
        policies[f"egress-{rule.name}"] = _egress([_destination(rule, cluster)], rule.ports)
    labels = {TENANT_LABEL: tenant_name}
    return [_policy(name, tenant_name, spec, labels) for name, spec in policies.items()]


def closed_network(namespace: str, labels: Mapping[str, str]) -> Manifest:
    """The policy of a namespace in which nothing has to reach anything."""
    return _policy(DEFAULT_DENY, namespace, {"ingress": [], "egress": []}, labels)


def flux_policies(
    scrapers: Sequence[str] = (), webhook_senders: Sequence[str] = (), webhook_networks: Sequence[str] = ()
) -> list[Manifest]:
    """Replacements of Flux's own policies of these names, so that no tenant's pod reaches a controller.

    Flux lets every namespace read its metrics and reach all ports of its notification-controller, the unauthenticated
    one for events among them. Policies cannot narrow each other, so these replace them. `scrapers` are the namespaces
    that may read metrics; `webhook_senders` those that forward webhooks, and `webhook_networks` the addresses of load
    balancers that do.
    """
    notification: Manifest = {"matchLabels": {"app": "notification-controller"}}
    scraping = _ingress([_all_of(name) for name in scrapers], [f"{METRICS_PORT}/TCP"])
    senders = [*map(_all_of, webhook_senders), *map(_addresses, webhook_networks)]
    webhooks = _ingress(senders, [f"{WEBHOOK_PORT}/TCP"])
    return [
        _policy("allow-scraping", FLUX_NAMESPACE, scraping, {}),
        _policy("allow-webhooks", FLUX_NAMESPACE, webhooks | {"podSelector": notification}, {}),
    ]


def image_policies(controllers: Sequence[str], ports: Sequence[int]) -> list[Manifest]:
    """Policies of Flux's image controllers: DNS, the API server, Flux's own pods and the given ports, nothing else.

    Links in a product's repository, or a registry's answers, could make them call other hosts; so the address at which
    nodes give out their AWS role is closed to them. Policies do not know host names.
    """
    named = ["53/UDP", "53/TCP", *(f"{port}/TCP" for port in sorted({*API_SERVER_PORTS, *ports}))]
    agents = [_addresses(agent) for agent in POD_IDENTITY_AGENT]
    egress: list[Manifest] = [{"to": [{"podSelector": {}}]}, _ports(named), {"to": agents, **_ports(["80/TCP"])}]
    return [
        _policy(name, FLUX_NAMESPACE, {"podSelector": {"matchLabels": {"app": name}}, "egress": egress}, {})
        for name in controllers
    ]


def with_closed_network(
    manifest: Manifest,
    scrapers: Sequence[str] = (),
    senders: Sequence[str] = (),
    networks: Sequence[str] = (),
    image_controllers: Sequence[str] = (),
) -> Manifest:
    """The object; if it is one of Flux's open policies, with the spec of `flux_policies`.

    It keeps its name, so an existing installation is updated in place. Flux's policy for all traffic out of its
    namespace leaves out the image controllers, which have policies of their own.
    """
    if manifest["kind"] == "NetworkPolicy" and manifest["metadata"]["name"] == "allow-egress" and image_controllers:
        others = {"key": "app", "operator": "NotIn", "values": list(image_controllers)}
        return {**manifest, "spec": {**manifest["spec"], "podSelector": {"matchExpressions": [others]}}}
    for closed in flux_policies(scrapers, senders, networks):
        if manifest["kind"] == "NetworkPolicy" and manifest["metadata"]["name"] == closed["metadata"]["name"]:
            return {**manifest, "spec": closed["spec"]}
    return manifest


def _policy(name: str, namespace: str, spec: Mapping[str, Any], labels: Mapping[str, str]) -> Manifest:
    types = [kind.capitalize() for kind in ("ingress", "egress") if kind in spec]
    metadata: Manifest = {"name": name, "namespace": namespace}
    if labels:
        metadata["labels"] = dict(labels)
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata,
        "spec": {"podSelector": {}, **spec, "policyTypes": types},
    }


def _ingress(sources: Sequence[Manifest], ports: Sequence[str] = ()) -> Manifest:
    # A rule without sources would admit all traffic: no sources, no rule.
    return {"ingress": [{"from": list(sources), **_ports(ports)}] if sources else []}


def _egress(destinations: Sequence[Manifest], ports: Sequence[str]) -> Manifest:
    return {"egress": [{"to": list(destinations), **_ports(ports)}]}


def _ports(ports: Sequence[str]) -> Manifest:
    return {"ports": [_port(port) for port in ports]} if ports else {}


def _port(port: str) -> Manifest:
    numbers, _, protocol = port.partition("/")
    first, _, last = numbers.partition("-")
    return {"protocol": protocol, "port": int(first), **({"endPort": int(last)} if last else {})}


def _all_of(namespace: str) -> Manifest:
    # The API server sets this label itself, so no namespace can pass for another.
    return {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}}


def _addresses(network: str, exceptions: Sequence[str] = ()) -> Manifest:
    return {"ipBlock": {"cidr": network, **({"except": list(exceptions)} if exceptions else {})}}


def _inside(network: str, cluster: ClusterAddresses) -> list[str]:
    """The cluster's own networks inside this network."""
    return [own for own in cluster.ranges if own != network and within(own, network)]


def _destination(rule: EgressRule, cluster: ClusterAddresses) -> Manifest:
    if rule.namespace:
        return _all_of(rule.namespace)
    if rule.cidr is None:
        public = [own for own in cluster.ranges if ":" not in own and not any(within(own, known) for known in PRIVATE)]
        return _addresses("0.0.0.0/0", [*PRIVATE, LINK_LOCAL, *public])
    if rule.inside_cluster:
        return _addresses(rule.cidr, rule.exceptions)
    if any(within(rule.cidr, own) for own in cluster.ranges):
        raise ValueError(f"{rule.name}: {rule.cidr} is the cluster's own; cluster_reaching has the remedy")
    kept = [own for own in _inside(rule.cidr, cluster) if not any(within(own, given) for given in rule.exceptions)]
    return _addresses(rule.cidr, [*rule.exceptions, *kept])
