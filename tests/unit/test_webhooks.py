"""Webhooks: the stack's setting, and the way to Flux's receiver."""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import Any

import pytest
import yaml

from model.checks import too_many_hooks
from model.config.aws import ZONES, VpcSettings, gateway_subnet, private_subnet, public_subnet
from model.kubernetes.network_policies import flux_policies
from tests.unit.test_inputs import AWS, listed, refused, settings

AUTO: dict[str, Any] = {
    **AWS,
    "cluster": {"compute": "auto", "publicAccess": ["203.0.113.0/24"]},
    "network": {"zones": ["a", "c"]},
}
HOST = {"host": "flux.acme.example"}


@pytest.mark.parametrize(
    ("webhooks", "more", "message"),
    [
        ({"by": "none"}, {}, "by: none needs the host that GitHub sends to"),
        ({"by": "none", "host": "https://flux.acme.example"}, {}, "is not a public host name"),
        ({"by": "none", "host": "flux"}, {}, "is not a public host name"),
        ({"by": "ingress", **HOST}, {}, "no namespace may send webhooks to Flux"),
        ({"by": "none", "ingressClass": "nginx", **HOST}, {}, "ingressClass has no effect with by: none"),
        ({"by": "apiGateway"}, {}, "by: apiGateway needs the stack's part on AWS"),
        ({"by": "apiGateway"}, {"aws": AWS}, "needs subnets of its own in the stack's VPC"),
        ({"by": "apiGateway", **HOST}, {"aws": AUTO}, "host has no effect with by: apiGateway"),
        (
            {"by": "none", **HOST},
            {"fluxComponents": ["source-controller", "kustomize-controller"]},
            "webhooks need notification-controller",
        ),
    ],
)
def test_webhooks_that_would_not_arrive_are_refused(webhooks: Any, more: dict[str, Any], message: str) -> None:
    assert message in refused(settings, webhooks=webhooks, **more)


def test_api_gateway_needs_auto_modes_load_balancers() -> None:
    nodes = {**AUTO, "cluster": {**AUTO["cluster"], "compute": "nodes"}}
    assert "registers pods with a load balancer, which Auto Mode has" in refused(
        settings, webhooks={"by": "apiGateway"}, aws=nodes
    )


def test_only_the_load_balancers_subnets_reach_the_receiver() -> None:
    made = settings(webhooks={"by": "apiGateway"}, aws=AUTO)
    assert made.webhook_networks == ("10.0.192.0/22", "10.0.200.0/22")
    _, policy = flux_policies(webhook_networks=made.webhook_networks)
    (rule,) = policy["spec"]["ingress"]
    assert rule["from"] == [{"ipBlock": {"cidr": cidr}} for cidr in made.webhook_networks]
    assert rule["ports"] == [{"protocol": "TCP", "port": 9292}]
    assert settings(webhooks={"by": "none", **HOST}, aws=AUTO).webhook_networks == ()


@pytest.mark.parametrize("cidr", ["10.0.0.0/16", "10.0.0.0/22"])
def test_the_load_balancers_subnets_overlap_no_others(cidr: str) -> None:
    network = VpcSettings(cidr=cidr)
    kinds = (private_subnet, public_subnet, gateway_subnet)
    found = [IPv4Network(subnet(network, zone)) for subnet in kinds for zone in ZONES]
    assert all(subnet.subnet_of(IPv4Network(cidr)) and subnet.prefixlen <= 28 for subnet in found)
    assert not any(one.overlaps(other) for one in found for other in found if one is not other)


GITLAB = {"url": "https://gitlab.com/acme/shop", "branch": "main"}
OIDC = {"issuer": "https://ci.acme.example", "audience": "flux", "claims": {"repository": "acme/shop"}}


@pytest.mark.parametrize(
    ("webhook", "message"),
    [
        ({"github": True}, "https://gitlab.com/acme/shop is not on GitHub"),
        ({"oidc": {**OIDC, "claims": {}}}, "every token of the issuer would be accepted"),
        ({"oidc": {**OIDC, "claims": {"iss": "https://ci.acme.example"}}}, "every token of the issuer"),
        ({"oidc": {**OIDC, "issuer": "http://ci.acme.example"}}, "is not an issuer of tokens"),
        ({"oidc": {**OIDC, "claims": {"repository": 'a" || true || "'}}}, "is not a claim's value"),
        ({"oidc": {**OIDC, "claims": {"a || true": "b"}}}, "is not the name of a claim"),
    ],
)
def test_webhooks_of_products_that_anybody_or_nobody_could_call_are_refused(webhook: Any, message: str) -> None:
    text = yaml.safe_dump({"products": {"shop": {"source": GITLAB, "webhook": webhook}}, "tenants": []})
    assert message in refused(listed, text)


def test_a_repository_has_at_most_twenty_hooks() -> None:
    source = {"url": "ssh://git@github.com/acme/shop", "branch": "main", "private": True}
    products: dict[str, Any] = {f"shop-{number}": {"source": source} for number in range(21)}
    stack = settings(webhooks={"by": "none", **HOST})

    def found(stack: Any = stack) -> list[str]:
        text = yaml.safe_dump({"products": products, "tenants": []}, sort_keys=False)
        return [str(problem) for problem in too_many_hooks(listed(text), stack)]

    (problem,) = found()
    assert "products.shop-20: more than 20 products want a webhook of this repository" in problem
    assert found(settings()) == [], "without webhooks"
    products["shop-7"]["webhook"] = {"github": False}
    assert found() == []
