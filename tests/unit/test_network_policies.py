"""Network rules of tenants: accepted, refused, and the properties of every set of policies."""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from model.config.base import validate
from model.config.errors import InvalidConfigError
from model.config.network import NEVER, PRIVATE, ClusterAddresses, NetworkRules, cluster_reaching, within
from model.config.stack import Settings
from model.config.yaml_lines import parse
from model.kubernetes.manifests import Manifest
from model.kubernetes.network_policies import flux_policies, network_policies, with_closed_network
from tests.program.recorder import defaults

METADATA = ("169.254.169.254/32", "fd00:ec2::254/128")
CLUSTER = ClusterAddresses(("10.0.0.0/16", "172.20.0.0/16"))


def rules(**network: Any) -> NetworkRules:
    return NetworkRules.model_validate(network)


def addresses(aws: dict[str, Any] | None) -> ClusterAddresses:
    """The addresses of a stack's cluster."""
    content = {**defaults(), "owner": "acme", "network": None, "aws": aws}
    return Settings.model_validate(content).cluster_addresses


def refusal(**egress: Any) -> str:
    """The problems of a rule, with remedies."""
    text = yaml.safe_dump({"egress": [{"name": "out", **egress}]})
    try:
        source = parse(text, "tenants.yaml")
        found = [
            source.problem(*finding)
            for finding in cluster_reaching(validate(NetworkRules, source.content, source), CLUSTER)
        ]
    except InvalidConfigError as error:
        found = error.problems
    return "\n".join(map(str, found))


def blocks(policy: Manifest) -> list[dict[str, Any]]:
    spec = policy["spec"]
    peers = [p for r in spec.get("egress", []) for p in r.get("to", [])]
    peers += [p for r in spec.get("ingress", []) for p in r.get("from", [])]
    return [peer["ipBlock"] for peer in peers if "ipBlock" in peer]


def opens(policies: list[Manifest], network: str) -> bool:
    """Whether some policy names a range around all of `network` without excepting it."""
    return any(
        within(network, block["cidr"]) and not any(within(network, out) for out in block.get("except", []))
        for policy in policies
        for block in blocks(policy)
    )


def named(policies: list[Manifest]) -> dict[str, Manifest]:
    return {policy["metadata"]["name"]: policy for policy in policies}


def test_a_tenant_without_rules_has_default_deny_and_dns():
    policies = named(network_policies("shop", rules()))
    assert set(policies) == {"default-deny", "allow-dns"}
    deny = policies["default-deny"]["spec"]
    assert deny["podSelector"] == {}
    assert deny["policyTypes"] == ["Ingress", "Egress"]
    assert deny["ingress"] == [{"from": [{"podSelector": {}}]}]
    assert deny["egress"] == [{"to": [{"podSelector": {}}]}]
    assert {(port["port"], port["protocol"]) for port in policies["allow-dns"]["spec"]["egress"][0]["ports"]} == {
        (53, "UDP"),
        (53, "TCP"),
    }


def test_only_tenants_with_a_role_reach_the_pod_identity_agent():
    agent = "169.254.170.23/32"
    assert not opens(network_policies("shop", rules()), agent)
    with_role = network_policies("shop", rules(), aws_access=True)
    assert opens(with_role, agent)
    assert not any(opens(with_role, metadata) for metadata in METADATA)


ipv4_addresses = st.integers(0, 2**32 - 1)
networks = st.builds(
    lambda address, bits: str(ip_network((address, bits), strict=False)), ipv4_addresses, st.integers(1, 32)
)
ports = st.lists(st.one_of(st.integers(1, 65535), st.sampled_from(["53/UDP", "8000-8100"])), max_size=3)
rule = st.one_of(
    st.fixed_dictionaries({"cidr": networks, "ports": ports}),
    st.fixed_dictionaries({"internet": st.just(True), "ports": ports}),
    st.fixed_dictionaries({"namespace": st.sampled_from(["queue", "shop-two"]), "ports": ports}),
    st.fixed_dictionaries({"cidr": networks, "insideCluster": st.just(True), "ports": st.just([5432])}),
)


@settings(deadline=None)
@given(st.lists(rule, max_size=4), st.booleans(), st.lists(networks, max_size=2))
def test_no_accepted_rule_opens_metadata_or_the_cluster(egress: list[dict[str, Any]], aws: bool, balancers: list[str]):
    given_rules = [{"name": f"rule-{number}", **each} for number, each in enumerate(egress)]
    try:
        accepted = rules(egress=given_rules, loadBalancers=balancers)
    except ValidationError:
        return
    if list(cluster_reaching(accepted, CLUSTER)):
        with pytest.raises(ValueError, match="cluster_reaching"):
            network_policies("shop", accepted, cluster=CLUSTER)
        return
    policies = network_policies("shop", accepted, aws_access=aws, cluster=CLUSTER)
    outgoing = [policy for policy in policies if "Egress" in policy["spec"]["policyTypes"]]
    assert not any(opens(outgoing, metadata) for metadata in METADATA)
    if not any(each.inside_cluster for each in accepted.egress):
        assert not any(opens(outgoing, own) for own in ("10.0.3.4/32", "172.20.0.1/32", *CLUSTER.ranges))
    for policy in policies:
        assert policy["spec"]["podSelector"] == {}, "a tenant could choose labels that are not selected"
        assert {"from": []} not in policy["spec"].get("ingress", []), "no source means every source"
        assert {"to": []} not in policy["spec"].get("egress", []), "no destination means every destination"
        for block in blocks(policy):
            # The API server refuses a policy with an exception that is not inside its range.
            for out in block.get("except", []):
                assert within(out, block["cidr"])
                assert out != block["cidr"]
    assert len(named(policies)) == len(policies)


@pytest.mark.parametrize(
    ("egress", "said", "remedy"),
    [
        ({"cidr": "0.0.0.0/0"}, "includes the cloud's metadata", "internet: true"),
        ({"cidr": "169.254.169.254/32"}, "belongs to the cloud's metadata", "remove it"),
        ({"cidr": "160.0.0.0/4"}, "includes 169.254.0.0/16", "internet: true"),
        ({"cidr": "fd00:ec2::254/128"}, "belongs to the cloud's metadata", "remove it"),
        ({"cidr": "fc00::/7"}, "includes fd00:ec2::/32", "Write only the networks"),
        ({"cidr": "::ffff:10.0.0.0/104"}, "belongs to IPv4 addresses in IPv6 notation", "remove it"),
        ({"cidr": "64:ff9b::/96"}, "belongs to IPv4 addresses behind NAT64", "remove it"),
        ({"cidr": "203.0.113.7/24"}, "is not a network", "Write 203.0.113.0/24"),
        ({"cidr": "partner.example"}, "is not a network", "203.0.113.7/32"),
        ({"cidr": "10.0.64.0/20", "ports": [5432]}, "is inside the cluster's own 10.0.0.0/16", "insideCluster: true"),
        ({"cidr": "10.0.64.0/20", "insideCluster": True}, "every port inside the cluster would be open", "ports:"),
        ({"namespace": "flux-system"}, "is a namespace of the platform", "remove the rule"),
        ({"namespace": "kube-system"}, "is a namespace of the platform", "remove the rule"),
        ({}, "has no destination", "internet: true"),
        ({"internet": True, "cidr": "203.0.113.0/24"}, "exclude each other", "Write one of"),
        ({"internet": True, "except": ["203.0.113.0/24"]}, "except needs a cidr", "Remove except"),
        ({"cidr": "203.0.113.0/24", "except": ["198.51.100.0/25"]}, "is not part of", "smaller network"),
        ({"internet": True, "ports": [0]}, "is not a port", "1 to 65535"),
        ({"internet": True, "ports": ["https"]}, "is not a port", "443"),
        ({"internet": True, "ports": ["90-80"]}, "is not a port", "smaller number first"),
        ({"internet": True, "ports": [True]}, "must be text", "quotes"),
        ({"internet": True, "ports": list(range(1, 26))}, "at most 24", ""),
        ({"internet": True, "port": 443}, "unknown key 'port'", "ports"),
    ],
)
def test_a_rule_that_opens_too_much_is_refused_with_a_remedy(egress: dict[str, Any], said: str, remedy: str):
    answer = refusal(**egress)
    assert said in answer
    assert remedy in answer
    assert "tenants.yaml:" in answer


def test_two_rules_of_the_same_name_are_refused():
    with pytest.raises(ValidationError, match="two rules have the name 'out'"):
        rules(egress=[{"name": "out", "internet": True}, {"name": "out", "namespace": "queue"}])


def test_a_network_around_the_cluster_excludes_the_cluster():
    given_rules = rules(egress=[{"name": "company", "cidr": "10.0.0.0/8", "except": ["10.9.0.0/16"], "ports": [443]}])
    policy = named(network_policies("shop", given_rules, cluster=CLUSTER))["egress-company"]
    assert blocks(policy) == [{"cidr": "10.0.0.0/8", "except": ["10.9.0.0/16", "10.0.0.0/16"]}]


def test_load_balancers_are_let_in_from_the_public_subnets_of_every_zone():
    network = {"zones": ["a", "c"]}
    aws = {"region": "eu-west-1", "account": "123456789012", "network": network}
    known = addresses(aws)
    assert known.public_subnets == ("10.0.224.0/22", "10.0.232.0/22")
    policies = network_policies("shop", rules(loadBalancers=["publicSubnets", "10.9.0.0/24"]), cluster=known)
    (policy,) = [policy for policy in policies if policy["metadata"]["name"] == "allow-load-balancers"]
    sources = [peer["ipBlock"]["cidr"] for peer in policy["spec"]["ingress"][0]["from"]]
    assert sources == ["10.0.224.0/22", "10.0.232.0/22", "10.9.0.0/24"]
    without = {**aws, "network": {**network, "nat": "none"}}
    assert addresses(without).public_subnets == addresses(None).public_subnets == ()


def test_without_known_addresses_every_private_network_is_the_clusters():
    assert addresses(None).ranges == (*PRIVATE, "fc00::/7")
    for cidr, own in (("192.168.4.0/24", "192.168.0.0/16"), ("fd12:3456::/48", "fc00::/7")):
        ((path, message, _),) = cluster_reaching(rules(egress=[{"name": "office", "cidr": cidr}]), addresses(None))
        assert path == ("egress", 0, "cidr")
        assert f"may be inside the cluster's own {own}" in message


def test_on_aws_the_cluster_is_its_vpc_and_its_services():
    aws = {"region": "eu-west-1", "account": "123456789012"}
    found = addresses(aws)
    assert found.ranges == ("10.0.0.0/16", "172.20.0.0/16")
    assert found.resolvers == ("169.254.20.10", "172.20.0.10")
    for elsewhere in ({"cluster": {"adopt": True, "version": "1.36"}}, {"network": EXISTING}):
        other = {**aws, **elsewhere}
        assert addresses(other) == ClusterAddresses()


EXISTING = {"existing": {"vpc": "vpc-0123456789abcdef0", "privateSubnets": ["subnet-01234567", "subnet-89abcdef"]}}


def test_the_internet_excludes_private_and_cluster_networks():
    policies = network_policies(
        "shop", rules(egress=[{"name": "all", "internet": True}]), cluster=ClusterAddresses(("198.51.100.0/24",))
    )
    assert opens(policies, "1.1.1.1/32")
    for closed in (
        *PRIVATE,
        *(never for never in NEVER if ":" not in never and never != "127.0.0.0/8"),
        "198.51.100.0/24",
    ):
        assert not opens(policies, closed), closed


def test_flux_is_closed_except_to_listed_namespaces():
    scraping, webhooks = flux_policies()
    assert scraping["spec"] == {"podSelector": {}, "ingress": [], "policyTypes": ["Ingress"]}
    assert webhooks["spec"]["ingress"] == []
    scraping, webhooks = flux_policies(["monitoring"], ["ingress-nginx"])
    assert scraping["spec"]["ingress"][0]["ports"] == [{"protocol": "TCP", "port": 8080}]
    assert webhooks["spec"]["ingress"][0]["ports"] == [{"protocol": "TCP", "port": 9292}]


def test_flux_policies_keep_their_names_and_other_objects_their_specs():
    text = (Path(__file__).parent.parent / "program" / "install.yaml").read_text(encoding="utf-8")
    for manifest in yaml.safe_load_all(text):
        assert with_closed_network(manifest) == manifest
    metadata = {"name": "allow-scraping", "namespace": "flux-system", "labels": {"a": "b"}}
    shipped = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": metadata}
    opened: Manifest = {**shipped, "spec": {"podSelector": {}, "ingress": [{"from": [{"namespaceSelector": {}}]}]}}
    assert with_closed_network(opened) == {**shipped, "spec": flux_policies()[0]["spec"]}
