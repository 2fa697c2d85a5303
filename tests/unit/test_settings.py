"""The stack's configuration."""

from __future__ import annotations

import os
from collections.abc import Callable
from ipaddress import IPv4Network, ip_network
from typing import Any

import pytest
import yaml

from model.config import document, settings
from model.config.document import Document
from model.config.mistakes import MistakesError
from model.config.unsound import UNSOUND, UnsoundError, sound
from model.kubernetes.cluster import version_problem
from tests.program.recorder import CHECKOUT, defaults

GOOD = {"owner": "acme", "fluxManifest": "install.yaml"}


def parse(**changes: Any) -> settings.Settings:
    return settings.parse(Document("Pulumi.test.yaml", {**defaults(), "aws": None, **GOOD, **changes}, {}))


def test_every_key_is_declared_once_in_pulumi_yaml() -> None:
    declared = yaml.safe_load((CHECKOUT / "Pulumi.yaml").read_text())["config"]
    kinds = {str: "string", bool: "boolean", list: "array", dict: "object"}
    assert {key: entry["type"] for key, entry in declared.items()} == {
        key: kinds[kind] for key, kind in settings.keys().items()
    }
    assert all(entry["description"].endswith(".") for entry in declared.values())


def test_the_defaults_are_good_settings() -> None:
    assert parse().flux_components == list(settings.CONTROLLERS[:4])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"cluster": "Prod_EU"}, "cannot name a cluster"),
        ({"owner": "a/b"}, "no GitHub user"),
        ({"repository": "a b"}, "cannot name a GitHub repository"),
        ({"fluxManifestSha256": "abc"}, "no SHA-256"),
        ({"fluxComponents": ["source-controller"]}, "Add kustomize-controller"),
        ({"fluxComponents": ["source-controler", "kustomize-controller"]}, "Did you mean source-controller?"),
        ({"fluxComponents": ["source-controller", "source-controller", "kustomize-controller"]}, "twice"),
        ({"fluxManifest": "https://example.com/install.yaml"}, "needs its digest"),
    ],
)
def test_a_mistake_gets_its_remedy(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(MistakesError, match=said):
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


def wrong(text: str, **changes: Any) -> list[tuple[int, str]]:
    """Line and place of everything that is wrong with a stack whose `aws` is this text."""
    source = document.parse(f"aws:\n{text}", "Pulumi.test.yaml")
    whole = Document(source.file, {**defaults(), **GOOD, **source.content, **changes}, source.lines)
    with pytest.raises(MistakesError) as caught:
        settings.parse(whole)
    return [(mistake.line, mistake.where) for mistake in caught.value.mistakes]


def test_values_that_are_right_by_themselves_are_compared_whatever_is_wrong_around_them() -> None:
    assert wrong(AWS, fluxManifest="https://example.com/install.yaml") == [
        (1, "fluxManifest"),
        (2, "aws.region"),
        (5, "aws.cluster.version"),
        (7, "aws.cluster.administrators[0]"),
        (8, "aws.cluster.administrators[1]"),
        (9, "aws.cluster.addons"),
        (11, "aws.network.zones[1]"),
        (11, "aws.network.zones[2]"),
        (13, "aws.network.reserved[0]"),
        (14, "aws.network.reserved[1]"),
    ]


@pytest.mark.parametrize(
    ("right", "mistaken", "untold"),
    [
        ("network:", "network:\n    cidr: 10.0.0.0", "aws.network.reserved[1]"),
        ("network:", "network: nothing #", "aws.network.reserved[1]"),
        ('"123456789012"', "123456789012", "aws.cluster.administrators[1]"),
        ("account:", "acount:", "aws.cluster.administrators[1]"),
    ],
)
def test_nothing_is_told_of_what_depends_on_a_wrong_value(right: str, mistaken: str, untold: str) -> None:
    text = AWS.split("    zones:")[0] if "nothing" in mistaken else AWS
    told = [place for _, place in wrong(text.replace(right, mistaken))]
    assert untold not in told
    assert "aws.cluster.addons" in told


def test_each_wrong_entry_is_told_at_its_own_line() -> None:
    text = """\
  region: eu-west-1
  account: "123456789012"
  cluster:
    compute: auto
    addons:
      aws-ebs-csi-driver: latest
      core-dns: v1.2.3-eksbuild.1
      metrics-server: v1.2.3-eksbuild.1
  identity:
    domain: acme
    callbackUrls: [https://acme.example/]
    scopes:
      orders read: See orders
      orders.write: Place orders
      orders/all: Everything
"""
    assert wrong(text, fluxComponents=["source", "kustomize-controller", "helm"]) == [
        (1, "fluxComponents[0]"),
        (1, "fluxComponents[2]"),
        (7, "aws.cluster.addons.aws-ebs-csi-driver"),
        (8, "aws.cluster.addons.core-dns"),
        (14, "aws.identity.scopes.orders read"),
        (16, "aws.identity.scopes.orders/all"),
    ]


def test_looking_at_what_is_wrong_is_an_error_in_whatever_way_somebody_looks() -> None:
    looks: list[Callable[[Any], object]] = [
        *(str, bool, len, iter, hash, int, os.fspath, IPv4Network, ip_network),
        *(lambda it: it.name, lambda it: it[0], lambda it: it == "a", lambda it: "a" in [it], lambda it: f"{it}"),
        *(lambda it: "a" in it, lambda it: it < 1, lambda it: it > 1, lambda it: 1 + it, lambda it: it()),
    ]
    for look in looks:
        with pytest.raises(UnsoundError):
            look(UNSOUND)
    assert list(sound([1, UNSOUND, 3])) == [(0, 1), (2, 3)]


@pytest.mark.parametrize("version", ["v1.33.0", "v1.36.4", "v1.35.2-eks-1234567", "1.40"])
def test_flux_runs_on_a_supported_cluster(version: str) -> None:
    assert version_problem(version) is None


@pytest.mark.parametrize("version", ["v1.32.9", "v1.20.7-eks-d88609", "v0.9"])
def test_flux_does_not_run_on_an_old_cluster(version: str) -> None:
    assert "Upgrade" in (version_problem(version) or "")
