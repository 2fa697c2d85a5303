"""The policy pack itself, in its own environment, run by the real `pulumi` command."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import psutil
import pytest

from local import pulumi
from local.home import PROJECT
from tests.platform import Platform, Stack, eventually

PACK = PROJECT / "pipeline/policy"

GOOD = """
import pulumi
import pulumi_kubernetes as kubernetes

opts = pulumi.ResourceOptions(provider=kubernetes.Provider("eu", kubeconfig=KUBECONFIG, cluster_identifier="eu"))
kubernetes.core.v1.Secret("key", metadata={"name": "policy-key"}, string_data={"identity": KEY}, opts=opts)
"""
WITHOUT_IDENTIFIER = GOOD.replace(', cluster_identifier="eu"', "")
KEY_IN_THE_OPEN = GOOD.replace(".Secret(", ".ConfigMap(").replace("string_data=", "data=")
TENANT_WITHOUT_NAMESPACE = f'{GOOD}\npulumi.ComponentResource("saas:tenant:TenantSpace", "alpha", {{}})\n'


class Sample:
    """A small program of its own, on the tests' platform."""

    def __init__(self, platform: Platform, folder: Path) -> None:
        self.home, self.folder = platform.home, folder
        options = "{toolchain: pip, virtualenv: .venv}"
        (folder / "Pulumi.yaml").write_text(f"name: sample\nruntime: {{name: python, options: {options}}}\n")
        (folder / ".venv").symlink_to(PROJECT / ".venv")
        pulumi.ensure_stack(self.home, "policy", cwd=folder)

    def write(self, program: str) -> None:
        key = "-----BEGIN " + "PRIVATE KEY-----\nMIG2"
        text = program.replace("KUBECONFIG", repr(str(self.home.kubeconfig))).replace("KEY", repr(key))
        (self.folder / "__main__.py").write_text(text)

    def run(
        self, command: str, *options: str, config: dict[str, Any] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """`pulumi COMMAND` with the policy pack and these exceptions."""
        file = self.folder / "exceptions.json"
        file.write_text(json.dumps(config or {}))
        arguments = [command, "--stack", "policy", "--policy-pack", str(PACK), "--policy-pack-config", str(file)]
        return pulumi.run(self.home, [*arguments, *options], cwd=self.folder, stream=False, check=False)


@pytest.fixture
def sample(platform: Platform, tmp_path: Path) -> Sample:
    return Sample(platform, tmp_path)


def test_a_program_that_breaks_no_rule_passes(sample: Sample) -> None:
    sample.write(GOOD)
    done = sample.run("preview")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "saas-in-eks@v1.0.0" in done.stdout, "the pack was not run"


@pytest.mark.parametrize(
    ("program", "rule"),
    [
        (WITHOUT_IDENTIFIER, "cluster-identifier"),
        (KEY_IN_THE_OPEN, "no-plain-text-secrets"),
        (TENANT_WITHOUT_NAMESPACE, "tenant-isolation"),
    ],
)
def test_a_program_that_breaks_a_rule_is_refused_with_its_name(sample: Sample, program: str, rule: str) -> None:
    sample.write(program)
    done = sample.run("preview")
    assert done.returncode != 0
    assert f"[mandatory]  {rule} " in done.stdout
    assert done.stdout.count("[mandatory]") == 1, done.stdout


def test_an_update_does_not_create_a_resource_that_breaks_a_rule(sample: Sample, platform: Platform) -> None:
    sample.write(KEY_IN_THE_OPEN)
    assert sample.run("up", "--yes", "--skip-preview").returncode != 0
    assert platform.get("/api/v1/namespaces/default/configmaps/policy-key") is None


def test_an_exception_needs_a_reason_and_a_resource_with_its_type(sample: Sample) -> None:
    def allowed(**exception: str) -> dict[str, Any]:
        return {"cluster-identifier": {"exceptions": [exception]}}

    sample.write(WITHOUT_IDENTIFIER)
    item, reason = "pulumi:providers:kubernetes::eu", "kept as it was deployed in 2020"
    assert sample.run("preview", config=allowed(resource=item, reason=reason)).returncode == 0
    assert sample.run("preview", config=allowed(resource=item, reason="")).returncode != 0
    assert sample.run("preview", config=allowed(resource=item)).returncode != 0
    assert sample.run("preview", config=allowed(resource="eu", reason=reason)).returncode != 0


def test_the_pack_ends_with_the_command_that_started_it(sample: Sample) -> None:
    sample.write(GOOD)
    sample.run("preview")
    eventually(
        lambda: not [item for item in psutil.process_iter(["cmdline"]) if str(PACK) in (item.info["cmdline"] or [])]
    )


def test_the_program_breaks_no_rule(stack: Stack) -> None:
    stack.run("preview", "--policy-pack", str(PACK), "--policy-pack-config", str(PACK / "exceptions.json"))
