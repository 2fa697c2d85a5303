"""The AWS side of a stack's configuration."""

from __future__ import annotations

from typing import Any

import pytest

from model import aws, document, settings
from model.aws import AwsSettings, NetworkSettings
from model.mistakes import MistakesError
from tests.program.recorder import defaults

ADDONS = {
    "vpc-cni": "v1.21.1-eksbuild.1",
    "coredns": "v1.13.1-eksbuild.1",
    "kube-proxy": "v1.36.0-eksbuild.1",
    "eks-pod-identity-agent": "v1.3.10-eksbuild.1",
}
HERE = "123456789012"


def parse(**changes: Any) -> AwsSettings:
    cluster = {"addons": ADDONS, **changes.pop("cluster", {})}
    content = {"region": "eu-west-1", "account": HERE, "cluster": cluster, **changes}
    whole = {**defaults(), "owner": "acme", "fluxManifest": "install.yaml", "aws": content}
    parsed = settings.parse(document.Document("Pulumi.test.yaml", whole, {})).aws
    assert parsed is not None
    return parsed


def test_the_defaults_are_those_of_a_careful_team() -> None:
    found = parse()
    assert found.cluster.public_access == []
    assert found.protection
    assert found.network.nat == "perZone"
    assert len(found.network.zones) == 3


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"region": "eu-west-7"}, "no region of AWS.*\n.*Did you mean eu-west"),
        ({"account": "12345"}, "twelve digits"),
        ({"network": {"cidr": "10.0.0.0/33"}}, "no network"),
        ({"network": {"cidr": "10.0.0.1/16"}}, "Write 10.0.0.0/16"),
        ({"network": {"cidr": "10.0.0.0/8"}}, "not of a size"),
        ({"network": {"cidr": "52.0.0.0/16"}}, "belongs to the internet"),
        ({"network": {"cidr": "10.0.0.0/16", "reserved": ["10.0.128.0/17"]}}, "overlaps 10.0.128.0/17"),
        ({"network": {"reserved": ["172.20.4.0/24"]}}, "the cluster's services"),
        ({"network": {"zones": ["a"]}}, "two zones"),
        ({"network": {"zones": ["a", "a"]}}, "twice"),
        ({"network": {"nat": "none"}}, "Add to endpoints: ec2"),
        ({"network": {"endpoints": ["s4"]}}, "Did you mean s3|Known here"),
        ({"network": {"flowLogDays": 91}}, "Write 90"),
        (
            {"network": {"cidr": "10.0.0.0/16", "existing": {"vpc": "vpc-0123456789abcdef0", "privateSubnets": ["subnet-0123456789abcdef0", "subnet-0123456789abcdef1"]}}},  # noqa: E501
            "cidr would do nothing",
        ),
        ({"cluster": {"version": "1.29"}}, "no Kubernetes 1.29 in standard support"),
        ({"cluster": {"publicAccess": ["0.0.0.0/0"]}}, "most of the internet"),
        ({"cluster": {"administrators": ["role/admin"]}}, "is no ARN"),
        ({"cluster": {"administrators": ["arn:aws:iam::999999999999:role/a"]}}, "another account"),
        ({"cluster": {"addons": {"vpc-cni": "latest"}}}, "no version of an EKS add-on"),
        ({"cluster": {"addons": {}}}, "is not pinned"),
        ({"cluster": {"nodes": {"minimum": 5, "maximum": 2}}}, "above the maximum"),
        ({"cluster": {"compute": "auto", "nodes": {"maximum": 5}}}, "means nothing"),
        ({"cluster": {"nodes": {"instanceTypes": ["m7g.large", "m7i.large"]}}}, "cannot mix processors"),
        ({"registry": {"repositories": ["Product"]}}, "cannot name an ECR repository"),
        ({"registry": {"mutableTags": ["*"]}}, "every tag mutable"),
        ({"identity": {"domain": "my-cognito", "callbackUrls": ["https://a.example/"]}}, "without the words"),
        ({"identity": {"domain": "acme", "callbackUrls": ["http://a.example/"]}}, "Write https"),
        (
            {"identity": {"domain": "acme", "callbackUrls": ["https://a.example/"], "plan": "LITE", "loginPages": "managed"}},  # noqa: E501
            "classic pages only",
        ),
    ],
)  # fmt: skip
def test_a_mistake_gets_its_remedy(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(MistakesError, match=said):
        parse(**changes)


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(MistakesError) as caught:
        parse(region="nowhere", account="1", cluster={"version": "1.2", "administrators": ["x"]})
    assert len(caught.value.mistakes) == 4


@pytest.mark.parametrize("cidr", ["10.0.0.0/16", "172.20.0.0/20", "192.168.0.0/22"])
def test_no_two_subnets_overlap(cidr: str) -> None:
    network = NetworkSettings(cidr=cidr)
    subnets = [
        aws.IPv4Network(divide(network, zone))
        for zone in aws.ZONES
        for divide in (aws.private_subnet, aws.public_subnet)
    ]
    assert all(subnet.subnet_of(aws.IPv4Network(cidr)) for subnet in subnets)
    assert not any(a.overlaps(b) for a in subnets for b in subnets if a is not b)
    assert min(subnet.num_addresses for subnet in subnets) >= 16


def test_the_regions_are_those_that_botocore_knows() -> None:
    from boto3.session import Session

    known = set(Session().get_available_regions("eks"))
    assert known == aws.REGIONS
