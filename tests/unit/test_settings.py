"""The stack's configuration."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from model.config import stack, yaml_lines
from model.config.errors import InvalidConfigError
from model.config.names import CONTROLLERS
from model.config.yaml_lines import YamlFile
from model.kubernetes.cluster import version_problem
from tests.program.recorder import CHECKOUT, defaults

GOOD = {"owner": "acme", "fluxManifest": "install.yaml"}


def parse(**changes: Any) -> stack.Settings:
    return stack.parse(YamlFile("Pulumi.test.yaml", {**defaults(), "aws": None, **GOOD, **changes}, {}))


def test_every_key_is_declared_once_in_pulumi_yaml() -> None:
    declared = yaml.safe_load((CHECKOUT / "Pulumi.yaml").read_text())["config"]
    kinds = {str: "string", int: "integer", bool: "boolean", list: "array", dict: "object"}
    assert {key: entry["type"] for key, entry in declared.items()} == {
        key: kinds[kind] for key, kind in stack.keys().items()
    }
    assert all(entry["description"].endswith(".") for entry in declared.values())


def test_the_defaults_are_valid() -> None:
    assert parse().flux_components == list(CONTROLLERS[:4])


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"cluster": "Prod_EU"}, "not a valid cluster name"),
        ({"owner": "a/b"}, "not a GitHub user"),
        ({"owner": ""}, "owner: is missing"),
        ({"repository": "a b"}, "not a valid GitHub repository name"),
        ({"fluxManifestSha256": "abc"}, "not a SHA-256"),
        ({"fluxComponents": ["source-controller"]}, "Add kustomize-controller"),
        ({"fluxComponents": ["source-controler", "kustomize-controller"]}, "Did you mean source-controller?"),
        ({"fluxComponents": ["source-controller", "source-controller", "kustomize-controller"]}, "twice"),
        ({"fluxManifest": "https://example.com/install.yaml"}, "needs a digest"),
        ({"deployKeys": "apps"}, "not a way to read private repositories.*\n.*Did you mean app?"),
        ({"deployKeys": "app"}, "needs the App that Flux reads with.*\n.*githubAppKey"),
        ({"deployKeys": "app", "githubApp": {"id": "x", "installation": "1"}}, "githubApp.id"),
        ({"githubApp": {"id": "1", "installation": "2"}}, "no effect without deployKeys: app"),
        ({"watchdogImage": "python:3.13"}, "does not pin an image"),
        ({"watchdogDeadline": "20"}, "20s is usual"),
        ({"fluxSize": "larg"}, "'larg' is not a size of Flux's controllers.*\n.*Did you mean large?"),
        ({"watchdogDeadline": "1s"}, "from 5s to 600s"),
    ],
)
def test_a_problem_gets_its_remedy(changes: dict[str, Any], part: str) -> None:
    with pytest.raises(InvalidConfigError, match=part):
        parse(**changes)


AWS = """\
  region: nowhere
  account: "123456789012"
  cluster:
    version: "1.2"
    administrators:
      - x
      - arn:aws:iam::999999999999:role/platform
    addons: {vpc-cni: v1.2.3-eksbuild.1, coredns: v1.2.3-eksbuild.1, kube-proxy: v1.2.3-eksbuild.1}
  network:
    zones: [a, "9", Z]
    reserved:
      - somewhere
      - 10.0.4.0/24
"""


def refused(text: str, **changes: Any) -> list[tuple[int, str]]:
    """The line and path of each problem of a stack whose `aws` is this text."""
    file = yaml_lines.parse(f"aws:\n{text}", "Pulumi.test.yaml")
    whole = YamlFile(file.name, {**defaults(), **GOOD, **file.content, **changes}, file.lines)
    with pytest.raises(InvalidConfigError) as caught:
        stack.parse(whole)
    return [(problem.line, problem.path) for problem in caught.value.problems]


def test_all_shape_errors_are_reported_together() -> None:
    assert refused(AWS, fluxManifest="https://example.com/install.yaml") == [
        (2, "aws.region"),
        (5, "aws.cluster.version"),
        (7, "aws.cluster.administrators[0]"),
        (11, "aws.network.zones[1]"),
        (11, "aws.network.zones[2]"),
        (13, "aws.network.reserved[0]"),
    ]


def test_all_broken_rules_are_reported_together_once_the_shapes_are_right() -> None:
    text = AWS
    for wrong, right in (
        ("nowhere", "eu-west-1"),
        ('"1.2"', '"1.36"'),
        ("- x", "- arn:aws:iam::123456789012:role/platform"),
        ('"9", Z', "b, c"),
        ("somewhere", "10.9.0.0/16"),
    ):
        text = text.replace(wrong, right)
    assert refused(text, fluxManifest="https://example.com/install.yaml") == [
        (1, "fluxManifest"),
        (4, "aws.cluster"),
        (8, "aws.cluster.administrators[1]"),
        (9, "aws.cluster.addons"),
        (14, "aws.network.reserved[1]"),
    ]


def test_each_wrong_entry_is_reported_at_its_own_line() -> None:
    text = """\
  region: eu-west-1
  account: "123456789012"
  cluster:
    compute: auto
    addons:
      aws-ebs-csi-driver: latest
      core-dns: v1.2.3-eksbuild.1
      metrics-server: v1.2.3-eksbuild.1
  network: {flowLogDays: 91}
  identity:
    domain: acme
    callbackUrls: [https://acme.example/]
    scopes:
      orders read: See orders
      orders.write: Place orders
      orders/all: Everything
"""
    assert refused(text, fluxComponents=["source", "kustomize-controller", "helm"]) == [
        (1, "fluxComponents[0]"),
        (1, "fluxComponents[2]"),
        (7, "aws.cluster.addons.aws-ebs-csi-driver"),
        (8, "aws.cluster.addons.core-dns"),
        (10, "aws.network.flowLogDays"),
        (15, "aws.identity.scopes.orders read"),
        (17, "aws.identity.scopes.orders/all"),
    ]


@pytest.mark.parametrize(
    ("right", "wrong", "path"),
    [
        ("network:", "network:\n    cidr: 10.0.0.0", "aws.network.cidr"),
        ("network:", "network: nothing #", "aws.network"),
        ('"123456789012"', "123456789012", "aws.account"),
        ("account:", "acount:", "aws.acount"),
    ],
)
def test_a_wrong_value_hides_no_other_shape_error(right: str, wrong: str, path: str) -> None:
    text = AWS.split("    zones:")[0] if "nothing" in wrong else AWS
    paths = [found for _, found in refused(text.replace(right, wrong))]
    assert path in paths
    assert {"aws.region", "aws.cluster.version", "aws.cluster.administrators[0]"} <= {*paths}


@pytest.mark.parametrize("version", ["v1.33.0", "v1.36.4", "v1.35.2-eks-1234567", "1.40"])
def test_flux_runs_on_a_supported_cluster(version: str) -> None:
    assert version_problem(version) is None


@pytest.mark.parametrize("version", ["v1.32.9", "v1.20.7-eks-d88609", "v0.9"])
def test_flux_does_not_run_on_an_old_cluster(version: str) -> None:
    assert "Upgrade" in (version_problem(version) or "")
