"""The stack's configuration."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from model import settings
from model.document import Document
from model.kubernetes import version_problem
from model.mistakes import MistakesError
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


@pytest.mark.parametrize("version", ["v1.33.0", "v1.36.4", "v1.35.2-eks-1234567", "1.40"])
def test_flux_runs_on_a_supported_cluster(version: str) -> None:
    assert version_problem(version) is None


@pytest.mark.parametrize("version", ["v1.32.9", "v1.20.7-eks-d88609", "v0.9"])
def test_flux_does_not_run_on_an_old_cluster(version: str) -> None:
    assert "Upgrade" in (version_problem(version) or "")
