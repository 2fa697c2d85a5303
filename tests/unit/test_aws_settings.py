"""The AWS side of a stack's configuration."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from model.config import aws, aws_names, document, settings
from model.config.aws import AwsSettings, NetworkSettings
from model.config.mistakes import MistakesError
from tests.program.recorder import defaults

ADDONS = {
    "vpc-cni": "v1.21.1-eksbuild.1",
    "coredns": "v1.13.1-eksbuild.1",
    "kube-proxy": "v1.36.0-eksbuild.1",
    "eks-pod-identity-agent": "v1.3.10-eksbuild.1",
}
HERE = "123456789012"


def written(name: str = "prod-eu", **changes: Any) -> document.Document:
    """A stack's configuration; the changes are below `aws`."""
    cluster = {"addons": ADDONS, **changes.pop("cluster", {})}
    content = {"region": "eu-west-1", "account": HERE, "cluster": cluster, **changes}
    whole = {**defaults(), "cluster": name, "owner": "acme", "fluxManifest": "install.yaml", "aws": content}
    return document.Document("Pulumi.test.yaml", whole, {("cluster",): 3, ("aws",): 5})


def parse(**changes: Any) -> AwsSettings:
    parsed = settings.parse(written(**changes)).aws
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
        ({"cluster": {"version": "1.35"}}, "kube-proxy v1.36.0-eksbuild.1 is newer.*\n.*one of 1.35"),
        ({"cluster": {"compute": "auto"}}, "brings coredns along.*\n.*Remove coredns"),
        ({"cluster": {"compute": "auto"}}, "brings eks-pod-identity-agent along"),
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


def test_an_addon_is_right_with_an_older_minor_version_and_in_auto_mode_if_it_is_not_there_anyway() -> None:
    assert parse(cluster={"addons": ADDONS | {"kube-proxy": "v1.35.9-eksbuild.1"}}).cluster.version == "1.36"
    assert parse(cluster={"compute": "auto", "addons": {"metrics-server": "v0.8.0-eksbuild.3"}}).cluster.addons


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(MistakesError) as caught:
        parse(region="nowhere", account="1", cluster={"version": "1.2", "administrators": ["x"]})
    assert len(caught.value.mistakes) == 4


def refused_names(project: str, stack: str, source: document.Document) -> list[str]:
    return [str(one) for one in aws_names.problems(settings.parse(source), project, stack, source)]


def test_a_cluster_s_name_leaves_room_for_what_a_node_group_s_has_besides() -> None:
    assert refused_names("saas-in-eks", "prod-eu", written("c" * 36)) == []
    (said,) = refused_names("saas-in-eks", "prod-eu", written("c" * 37))
    assert said.startswith("Pulumi.test.yaml:3: cluster: ccc")
    assert "36 characters at most" in said
    adopted = {"adopt": True}
    source = written("c" * 37)
    source.content["aws"]["cluster"] = adopted
    assert refused_names("saas-in-eks", "prod-eu", source) == []


def test_a_project_s_and_a_stack_s_names_leave_room_for_a_role_s() -> None:
    assert refused_names("p" * 20, "s" * 24, written()) == []
    (said,) = refused_names("p" * 20, "s" * 25, written())
    assert said.startswith("Pulumi.test.yaml:5: aws: ppp")
    assert "44 characters together" in said


@pytest.mark.parametrize(
    ("today", "said"),
    [
        ("2027-01-25", None),
        ("2027-01-26", "1.35 leaves EKS' standard support on 2027-03-27"),
        ("2027-03-27", "1.35 leaves EKS' standard support on 2027-03-27"),
        ("2027-03-28", "1.35 left EKS' standard support on 2027-03-27"),
    ],
)
def test_the_end_of_a_version_s_support_is_told_in_time(today: str, said: str | None) -> None:
    older = parse(cluster={"version": "1.35", "addons": ADDONS | {"kube-proxy": "v1.35.0-eksbuild.1"}})
    told = aws.support_warning(older, date.fromisoformat(today))
    assert told is None if said is None else told and said in told and "version to 1.36" in told


def test_who_has_the_newest_version_is_not_told_which_comes_next() -> None:
    told = aws.support_warning(parse(), date(2028, 1, 1))
    assert told
    assert "to a newer one" in told
    assert aws.support_warning(None, date(2028, 1, 1)) is None


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
