"""Arguments of the stand-ins for pulumi-resource-eks and for AWS' CLI: accepted and refused ones."""

from __future__ import annotations

import pulumi
import pytest

from local import aws_cli
from standins.eks.addons import vpc_cni_values
from standins.eks.arguments import checked

RIGHT = {
    "authenticationMode": "API",
    "skipDefaultNodeGroup": True,
    "vpcId": "vpc-1",
    "privateSubnetIds": ["subnet-1", "subnet-2"],
    "useDefaultVpcCni": True,
    "kubeProxyAddonOptions": {"enabled": False},
}


def test_inputs_that_have_a_mapping_pass() -> None:
    assert checked(RIGHT | {"tags": None}) == RIGHT


def test_all_mistakes_in_the_inputs_are_reported_at_once() -> None:
    wrong = RIGHT | {"authenticationMode": "CONFIG_MAP", "fargate": True, "autoMode": {"enabled": False, "gpu": 1}}
    with pytest.raises(pulumi.InputPropertiesError) as refused:
        checked(wrong)
    errors = refused.value.errors or []
    assert [error["property_path"] for error in errors] == ["fargate", "autoMode.gpu", "authenticationMode"]


def test_an_addon_without_a_version_is_refused() -> None:
    with pytest.raises(pulumi.InputPropertiesError, match=r"kubeProxyAddonOptions\.version: .*pin one"):
        checked(RIGHT | {"kubeProxyAddonOptions": {"enabled": True}})


def test_values_of_the_program_go_before_those_of_pulumi_eks() -> None:
    values = vpc_cni_values(True, {"env": {"WARM_ENI_TARGET": "0"}})
    assert values["enableNetworkPolicy"] == "true"
    assert values["env"]["WARM_ENI_TARGET"] == "0"
    assert values["env"]["AWS_VPC_ENI_MTU"] == "9001"


@pytest.mark.parametrize(
    "command",
    [
        "--region eu-west-1 eks get-token --cluster-name prod --output json",
        "eks get-token --cluster-name=prod --role-arn arn:aws:iam::123456789012:role/x --region eu-west-1",
    ],
)
def test_the_command_of_a_kubeconfig_is_known(command: str) -> None:
    options = aws_cli.arguments(command.split())
    assert (options["--cluster-name"], options["--region"]) == ("prod", "eu-west-1")


@pytest.mark.parametrize(
    "command", ["s3 ls", "eks get-token", "eks get-token --cluster-name x --profile y", "eks get-token --cluster-name"]
)
def test_any_other_command_is_refused(command: str) -> None:
    with pytest.raises(aws_cli.UsageError):
        aws_cli.arguments(command.split())


def test_an_answer_is_json_only() -> None:
    with pytest.raises(aws_cli.UsageError, match="JSON only"):
        aws_cli.arguments("eks get-token --cluster-name x --output text".split())


def rule(network: str, **changes: object) -> dict[str, object]:
    ports = {"IsEgress": False, "IpProtocol": "tcp", "FromPort": 443, "ToPort": 443}
    return {**ports, "CidrIpv4": network, **changes}


OPEN_TO_OFFICE = {"endpointPublicAccess": True, "publicAccessCidrs": ["203.0.113.0/24"], "endpointPrivateAccess": True}
CLOSED = {"endpointPublicAccess": False, "publicAccessCidrs": [], "endpointPrivateAccess": True}


@pytest.mark.parametrize(
    ("network", "rules", "address", "through"),
    [
        (OPEN_TO_OFFICE, [], "203.0.113.10", True),
        (OPEN_TO_OFFICE, [], "198.51.100.10", False),
        (CLOSED, [], "203.0.113.10", False),
        # Inside the VPC the endpoint's name has private addresses, whatever is open to the internet.
        (OPEN_TO_OFFICE, [], "10.0.3.7", False),
        (CLOSED, [rule("10.0.0.0/16")], "10.0.3.7", True),
        (CLOSED, [rule("10.8.0.0/16")], "10.0.3.7", False),
        (CLOSED, [rule("10.0.0.0/16", IsEgress=True)], "10.0.3.7", False),
        (CLOSED, [rule("10.0.0.0/16", FromPort=1025, ToPort=65535)], "10.0.3.7", False),
        (CLOSED, [{"IsEgress": False, "IpProtocol": "-1", "ReferencedGroupInfo": {}}], "10.0.3.7", False),
    ],
)
def test_an_endpoint_lets_in_the_networks_that_it_names(
    network: dict[str, object], rules: list[dict[str, object]], address: str, through: bool
) -> None:
    assert aws_cli.reaches(network, rules, address) is through
