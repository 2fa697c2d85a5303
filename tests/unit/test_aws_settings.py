"""The AWS side of a stack's configuration."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from model import checks
from model.config import aws, stack
from model.config.aws import AwsSettings, VpcSettings
from model.config.errors import InvalidConfigError
from model.config.yaml_lines import YamlFile
from tests.program.recorder import defaults

ADDONS = {
    "vpc-cni": "v1.21.1-eksbuild.1",
    "coredns": "v1.13.1-eksbuild.1",
    "kube-proxy": "v1.36.0-eksbuild.1",
    "eks-pod-identity-agent": "v1.3.10-eksbuild.1",
}
HERE = "123456789012"
ROLE = f"arn:aws:iam::{HERE}:role/platform"


def configured(name: str = "prod-eu", **changes: Any) -> YamlFile:
    """A stack's configuration; the changes are below `aws`."""
    cluster = {"addons": ADDONS, "privateAccess": ["10.0.0.0/16"], **changes.pop("cluster", {})}
    content = {"region": "eu-west-1", "account": HERE, "cluster": cluster, **changes}
    whole = {**defaults(), "cluster": name, "owner": "acme", "fluxManifest": "install.yaml", "aws": content}
    return YamlFile("Pulumi.test.yaml", whole, {("cluster",): 3, ("aws",): 5})


def parse(**changes: Any) -> AwsSettings:
    parsed = stack.parse(configured(**changes)).aws
    assert parsed is not None
    return parsed


def test_the_defaults_are_secure() -> None:
    found = parse()
    assert found.cluster.public_access == []
    assert found.protection
    assert found.network.nat == "perZone"
    assert len(found.network.zones) == 3


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"region": "eu-west-7"}, "not an AWS region.*\n.*Did you mean eu-west"),
        ({"account": "12345"}, "twelve digits"),
        ({"network": {"cidr": "10.0.0.0/33"}}, "not a network"),
        ({"network": {"cidr": "10.0.0.1/16"}}, "Write 10.0.0.0/16"),
        ({"network": {"cidr": "10.0.0.0/8"}}, "wrong size"),
        ({"network": {"cidr": "52.0.0.0/16"}}, "is a public network"),
        ({"network": {"cidr": "10.0.0.0/16", "reserved": ["10.0.128.0/17"]}}, "overlaps 10.0.128.0/17"),
        ({"network": {"reserved": ["172.20.4.0/24"]}}, "the range of Kubernetes Services"),
        ({"network": {"zones": ["a"]}}, "two zones"),
        ({"network": {"zones": ["a", "a"]}}, "twice"),
        ({"network": {"nat": "none"}}, "Add to endpoints: ec2"),
        ({"network": {"endpoints": ["s4"]}}, "Did you mean s3|Valid here"),
        ({"network": {"flowLogDays": 91}}, "Write 90"),
        (
            {"network": {"cidr": "10.0.0.0/16", "existing": {"vpc": "vpc-0123456789abcdef0", "privateSubnets": ["subnet-0123456789abcdef0", "subnet-0123456789abcdef1"]}}},  # noqa: E501
            "cidr has no effect with an existing VPC",
        ),
        ({"cluster": {"version": "1.29"}}, "Kubernetes 1.29 is not in EKS' standard support"),
        ({"cluster": {"publicAccess": ["0.0.0.0/0"]}}, "most of the internet"),
        ({"cluster": {"privateAccess": ["0.0.0.0/0"]}}, "most of the internet"),
        ({"cluster": {"privateAccess": ["10.0.0.1/16"]}}, "Write 10.0.0.0/16"),
        ({"cluster": {"privateAccess": []}}, "from its own pods only.*\n.*in privateAccess from the VPC"),
        ({"cluster": {"administrators": ["role/admin"]}}, "is not an ARN"),
        ({"cluster": {"administrators": ["arn:aws:iam::999999999999:role/a"]}}, "another account"),
        ({"cluster": {"addons": {"vpc-cni": "latest"}}}, "not a version of an EKS add-on"),
        ({"cluster": {"addons": {}}}, "is not pinned"),
        ({"cluster": {"adopt": True}, "network": {}}, "adopted cluster already has a network"),
        ({"cluster": {"administrators": [ROLE], "viewers": [ROLE]}}, "is also an administrator"),
        ({"network": {"cidr": "10.0.0.0"}}, "wrong size"),
        ({"network": {"zones": ["a", "1"]}}, "not the letter of a zone"),
        ({"cluster": {"nodes": {"cpuLimit": 8}}}, "cpuLimit has no effect with `compute: nodes`"),
        ({"cluster": {"addons": {"core-dns": "v1.2.3-eksbuild.1"}}}, "Did you mean coredns"),
        ({"cluster": {"administrators": ["arn:aws:iam::123456789012:group/a"]}}, "not the ARN of a role or user"),
        ({"registry": {"mutableTags": ["a b"]}}, "not a tag filter"),
        ({"identity": {"domain": "acme", "callbackUrls": ["https://a.example/"], "scopes": {"a b": "c"}}}, "valid scope name"),  # noqa: E501
        ({"cluster": {"version": "1.35"}}, "kube-proxy v1.36.0-eksbuild.1 is newer.*\n.*version of 1.35"),
        ({"cluster": {"compute": "auto"}}, "coredns is built into Auto Mode.*\n.*Remove coredns"),
        ({"cluster": {"compute": "auto"}}, "eks-pod-identity-agent is built into Auto Mode"),
        ({"cluster": {"nodes": {"minimum": 5, "maximum": 2}}}, "above the maximum"),
        ({"cluster": {"compute": "auto", "nodes": {"maximum": 5}}}, "maximum has no effect with `compute: auto`"),
        ({"cluster": {"compute": "auto", "nodes": {"desired": 5}}}, "desired has no effect with `compute: auto`"),
        ({"cluster": {"nodes": {"minimum": 3, "desired": 2}}}, "2 is not between the minimum of 3 and"),
        ({"cluster": {"nodes": {"desired": 10}}}, "10 is not between the minimum of 3 and the maximum of 9"),
        ({"cluster": {"compute": "auto", "addons": {"aws-ebs-csi-driver": "v1.53.0-eksbuild.1"}}}, "aws-ebs-csi-driver is built into Auto Mode"),  # noqa: E501
        ({"cluster": {"addons": {"x": {"version": "v1.2.3-eksbuild.1", "policies": [f"arn:aws:iam::{HERE}:policy/a"]}}}}, "which service account of x"),  # noqa: E501
        ({"cluster": {"addons": {"x": {"version": "v1.2.3-eksbuild.1", "serviceAccount": "a"}}}}, "without policies has no use"),  # noqa: E501
        ({"cluster": {"addons": {"x": {"version": "v1.2.3-eksbuild.1", "policies": [ROLE]}}}}, "not the ARN of a policy"),  # noqa: E501
        ({"cluster": {"addons": {"x": {"version": "1.2"}}}}, "not a version of an EKS add-on"),
        ({"cluster": {"addons": {"x": {"version": "v1.2.3-eksbuild.1", "namespace": "a.b"}}}}, "'a.b' is not a valid namespace"),  # noqa: E501
        ({"cluster": {"addons": {"X y": "v1.2.3-eksbuild.1"}}}, "not the name of an add-on"),
        ({"monitoring": {}}, "need the add-on amazon-cloudwatch-observability"),
        ({"monitoring": {"emails": ["platform"]}}, "not a mail address"),
        ({"monitoring": {"logDays": 31}}, "Write 30"),
        ({"monitoring": {}, "cluster": {"adopt": True}}, "add-ons of an adopted cluster are not managed here"),
        ({"backup": {"hour": 24}}, "24 is too large"),
        ({"backup": {"keepDays": 6}}, "6 is too small"),
        ({"cluster": {"nodes": {"instanceTypes": ["m7g.large", "m7i.large"]}}}, "cannot mix processor architectures"),
        ({"registry": {"repositories": ["Product"]}}, "not a valid ECR repository name"),
        ({"registry": {"mutableTags": ["*"]}}, "every tag mutable"),
        ({"identity": {"domain": "my-cognito", "callbackUrls": ["https://a.example/"]}}, "without the words"),
        ({"identity": {"domain": "acme", "callbackUrls": ["http://a.example/"]}}, "Write https"),
        (
            {"identity": {"domain": "acme", "callbackUrls": ["https://a.example/"], "plan": "LITE", "loginPages": "managed"}},  # noqa: E501
            "classic login pages only",
        ),
    ],
)  # fmt: skip
def test_a_problem_gets_its_remedy(changes: dict[str, Any], part: str) -> None:
    with pytest.raises(InvalidConfigError, match=part):
        parse(**changes)


def test_older_and_optional_addons_are_valid() -> None:
    assert parse(cluster={"addons": ADDONS | {"kube-proxy": "v1.35.9-eksbuild.1"}}).cluster.version == "1.36"
    assert parse(cluster={"addons": ADDONS | {"a-new-addon": "v1.2.3-eksbuild.1"}}).cluster.addons
    assert parse(cluster={"compute": "auto", "addons": {"metrics-server": "v0.8.0-eksbuild.3"}}).cluster.addons


def test_all_problems_are_reported_together() -> None:
    with pytest.raises(InvalidConfigError) as caught:
        parse(region="nowhere", account="1", cluster={"version": "1.2", "administrators": ["x"]})
    assert len(caught.value.problems) == 4


def too_long(project: str, stack_name: str, file: YamlFile) -> list[str]:
    return [str(problem) for problem in checks.name_lengths(stack.parse(file), file, project, stack_name)]


def test_a_cluster_name_has_at_most_36_characters() -> None:
    assert too_long("saas-in-eks", "prod-eu", configured("c" * 36)) == []
    (problem,) = too_long("saas-in-eks", "prod-eu", configured("c" * 37))
    assert problem.startswith("Pulumi.test.yaml:3: cluster: ccc")
    assert "at most 36 characters" in problem
    adopted = configured("c" * 37)
    adopted.content["aws"]["cluster"] = {"adopt": True}
    assert too_long("saas-in-eks", "prod-eu", adopted) == []


def test_project_and_stack_names_have_at_most_44_characters() -> None:
    assert too_long("p" * 20, "s" * 24, configured()) == []
    (problem,) = too_long("p" * 20, "s" * 25, configured())
    assert problem.startswith("Pulumi.test.yaml:5: aws: ppp")
    assert "at most 44 characters together" in problem


def test_with_backups_project_and_stack_names_have_at_most_41_characters() -> None:
    with_backups = configured()
    with_backups.content["aws"]["backup"] = {}
    assert too_long("p" * 20, "s" * 21, with_backups) == []
    (problem,) = too_long("p" * 20, "s" * 22, with_backups)
    assert "is too long by 1 for the name of the bucket for backups" in problem


@pytest.mark.parametrize(
    ("today", "part"),
    [
        ("2027-01-25", None),
        ("2027-01-26", "1.35 leaves EKS' standard support on 2027-03-27"),
        ("2027-03-27", "1.35 leaves EKS' standard support on 2027-03-27"),
        ("2027-03-28", "1.35 left EKS' standard support on 2027-03-27"),
    ],
)
def test_the_end_of_standard_support_is_warned_about(today: str, part: str | None) -> None:
    older = parse(cluster={"version": "1.35", "addons": ADDONS | {"kube-proxy": "v1.35.0-eksbuild.1"}})
    warning = aws.end_of_support(older, date.fromisoformat(today))
    assert warning is None if part is None else warning and part in warning and "version to 1.36" in warning


def test_the_newest_known_version_has_no_named_successor() -> None:
    warning = aws.end_of_support(parse(), date(2028, 1, 1))
    assert warning
    assert "to a newer version" in warning
    assert aws.end_of_support(None, date(2028, 1, 1)) is None


@pytest.mark.parametrize("cidr", ["10.0.0.0/16", "172.20.0.0/20", "192.168.0.0/22"])
def test_no_two_subnets_overlap(cidr: str) -> None:
    network = VpcSettings(cidr=cidr)
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


VIRGINIA = {f"us-east-1{zone}": f"use1-az{number}" for zone, number in zip("abcdef", (6, 1, 2, 4, 3, 5), strict=True)}


def test_zones_that_the_account_lacks_or_eks_does_not_support_are_refused() -> None:
    assert aws.zone_problem("us-east-1", ["a", "b", "f"], VIRGINIA) is None
    message, remedy = aws.zone_problem("us-east-1", ["a", "b", "e"], VIRGINIA) or ("", "")
    assert "us-east-1e" in message
    assert remedy == "Write `zones: [a, b, c]`, or others of a, b, c, d, f."
    # Local zones have longer names.
    oregon = {"us-west-2a": "usw2-az1", "us-west-2d": "usw2-az4", "us-west-2-lax-1a": "usw2-lax1-az1"}
    message, remedy = aws.zone_problem("us-west-2", ["a", "b", "c"], oregon) or ("", "")
    assert message.startswith("the account has no us-west-2b, us-west-2c,")
    assert remedy == "Write `zones: [a, d]`."
