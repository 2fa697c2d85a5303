"""The stand-in for pulumi-resource-eks: the real `pulumi` command, the platform's AWS, and a cluster that answers."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from local import aws, aws_cli, pulumi
from local.home import PROJECT
from standins.eks import network
from tests.platform import Platform

PROGRAM = Path(__file__).with_name("eks_program")
SETTINGS = "name: eks-plugin\nruntime: {name: python, options: {toolchain: pip, virtualenv: .venv}}\n"
COMPONENT = "eks:index:Cluster"


@dataclass
class Program:
    """The program in eks_program/, on a platform with AWS."""

    platform: Platform
    folder: Path
    first_preview: list[str] = field(default_factory=list)

    def run(self, *arguments: str, check: bool = True, **variables: str) -> subprocess.CompletedProcess[str]:
        extra = aws.environment(self.platform.home) | pulumi.EPHEMERAL_STATE | variables
        command = [*arguments, "--stack", "dev"]
        return pulumi.run(self.platform.home, command, cwd=self.folder, stream=False, check=check, extra=extra)

    def set(self, **config: str) -> None:
        for key, value in config.items():
            self.run("config", "set", key, value)

    def preview(self) -> list[str]:
        """Types and names of the resources that would be created, qualified by their components."""
        steps = json.loads(self.run("preview", "--json").stdout)["steps"]
        return sorted("::".join(step["urn"].split("::")[2:]) for step in steps if step["op"] == "create")

    def outputs(self) -> dict[str, Any]:
        return json.loads(self.run("stack", "output", "--json").stdout)

    def kubectl(self, kubeconfig: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        environment = pulumi.environment(self.platform.home) | aws.environment(self.platform.home)
        command = [str(PROJECT / ".venv/bin/kubectl"), "--kubeconfig", str(kubeconfig), *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def program(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    folder = tmp_path_factory.mktemp("eks")
    (folder / "Pulumi.yaml").write_text(SETTINGS)
    (folder / "__main__.py").symlink_to(PROGRAM / "__main__.py")
    (folder / ".venv").symlink_to(PROJECT / ".venv")
    aws.start(platform.home)
    pulumi.ensure_stack(platform.home, "dev", cwd=folder)
    made = Program(platform, folder)
    made.set(version="1.36")
    made.first_preview = made.preview()
    made.run("up", "--yes", "--skip-preview")
    yield made
    made.run("destroy", "--yes", "--skip-preview", check=False)
    aws.stop(platform.home)


def test_a_preview_tells_everything_before_there_is_a_cluster(program: Program) -> None:
    names = [name for name in program.first_preview if f"{COMPONENT}$" in name]
    kinds = {name.partition("$")[2] for name in names}
    assert {
        "eks:index:ServiceRole$aws:iam/role:Role::test-eksRole-role",
        "aws:eks/cluster:Cluster::test-eksCluster",
        "aws:eks/addon:Addon::test-kube-proxy",
        "aws:eks/addon:Addon::test-coredns",
        "eks:index:VpcCniAddon$aws:eks/addon:Addon::test-vpc-cni",
        "aws:eks/accessEntry:AccessEntry::test-administrator",
        "aws:eks/accessEntry:AccessEntry$aws:eks/accessPolicyAssociation:AccessPolicyAssociation::test-administrator-all",
        "aws:iam/openIdConnectProvider:OpenIdConnectProvider::test-oidcProvider",
        "aws:ec2/securityGroup:SecurityGroup::test-eksClusterSecurityGroup",
        "aws:ec2/securityGroup:SecurityGroup::test-nodeSecurityGroup",
        "pulumi:providers:kubernetes::test-eks-k8s",
    } <= kinds
    assert "kubernetes:core/v1:ConfigMap::inside" in program.first_preview


def test_a_second_preview_has_no_changes(program: Program) -> None:
    program.run("preview", "--expect-no-changes")
    program.run("refresh", "--yes", "--skip-preview", "--expect-no-changes")


def test_the_outputs_tell_of_the_cluster(program: Program) -> None:
    outputs = program.outputs()
    cluster = aws.session(program.platform.home).call("eks", "describe_cluster", name="test")["cluster"]
    assert json.loads(outputs["kubeconfigJson"]) == outputs["kubeconfig"]
    assert (outputs["arn"], outputs["endpoint"]) == (cluster["arn"], cluster["endpoint"])
    assert f"https://{outputs['issuer']}" == cluster["identity"]["oidc"]["issuer"]
    assert cluster["kubernetesNetworkConfig"]["serviceIpv4Cidr"] == "10.200.0.0/16"
    assert outputs["issuerArn"].endswith(f":oidc-provider/{outputs['issuer']}")


def test_the_network_plugin_enforces_policies(program: Program) -> None:
    session = aws.session(program.platform.home)
    addon = session.call("eks", "describe_addon", clusterName="test", addonName="vpc-cni")["addon"]
    assert json.loads(addon["configurationValues"])["enableNetworkPolicy"] == "true"


def test_the_kubeconfig_leads_to_the_control_plane(program: Program, tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text(program.outputs()["kubeconfigJson"])
    found = program.kubectl(path, "get", "configmap", "eks-plugin", "--output", "jsonpath={.data.made}")
    assert (found.stdout, found.stderr) == ("by pulumi", "")


def test_a_token_is_for_a_cluster_that_exists(program: Program) -> None:
    home = program.platform.home
    command = [str(home.bin / "aws"), "--region", "eu-west-1", "eks", "get-token", "--cluster-name", "missing"]
    environment = os.environ | aws.environment(home)
    refused = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert refused.returncode == 254
    assert "ResourceNotFoundException" in refused.stderr
    other = subprocess.run([*command[:1], "s3", "ls"], env=environment, capture_output=True, text=True, check=False)
    assert "s3 has no operation ls" in other.stderr


def test_inputs_without_mapping_are_refused(program: Program) -> None:
    program.set(ownNodes="false")
    refused = program.run("preview", check=False)
    program.run("config", "rm", "ownNodes")
    assert refused.returncode != 0
    assert "skipDefaultNodeGroup: the eks stand-in makes no self-managed node group" in refused.stdout + refused.stderr


def test_the_oidc_issuer_has_to_be_reachable_over_tls(program: Program) -> None:
    closed = {network.ISSUER_ADDRESS: "127.0.0.1:9", network.RETRY_SECONDS: "0.05"}
    refused = program.run("preview", check=False, **closed)
    assert refused.returncode != 0
    assert "Cannot retrieve the certificate fingerprint at the issuer URL: https://oidc" in refused.stdout


def test_an_aws_profile_gets_into_the_inner_provider(program: Program) -> None:
    steps = json.loads(program.run("preview", "--json", AWS_PROFILE="alice").stdout)["steps"]
    (step,) = [step for step in steps if step["op"] != "same"]
    assert (step["op"], step["urn"].partition("::test-")[2]) == ("update", "eks-k8s")
    assert '"--profile", "alice"' in step["newState"]["inputs"]["kubeconfig"]


def test_whoever_is_locked_out_gets_in_again_through_aws(program: Program) -> None:
    def up(**variables: str) -> subprocess.CompletedProcess[str]:
        return program.run("up", "--yes", "--skip-preview", check=False, **variables)

    program.set(public="198.51.100.0/24", made="from outside")
    locked_out = up()
    assert locked_out.returncode
    assert "configured Kubernetes cluster is unreachable" in locked_out.stdout
    # The change of access goes through EKS' API, before anything in the cluster.
    program.set(private="10.0.0.0/16", made="from the VPC")
    assert up(**{aws_cli.ADDRESS: "10.0.3.7"}).returncode == 0
    program.set(public="203.0.113.0/24", made="by pulumi")
    assert up().returncode == 0


def test_a_cluster_never_goes_back_to_an_older_version(program: Program) -> None:
    program.set(version="1.35")
    refused = program.run("up", "--yes", "--skip-preview", check=False)
    program.set(version="1.36")
    assert "Unsupported Kubernetes minor version update from 1.36 to 1.35" in refused.stdout


LOGS = "/aws/eks/test/cluster"


def test_a_cluster_leaves_only_late_logs_and_auto_mode_comes_after_it(program: Program) -> None:
    program.run("destroy", "--yes", "--skip-preview")
    assert aws.leftovers(program.platform.home) == {"log group": [LOGS]}
    aws.session(program.platform.home).call("logs", "delete_log_group", logGroupName=LOGS)
    assert program.platform.get("/api/v1/namespaces/default/configmaps/eks-plugin") is None
    program.set(auto="true")
    program.run("up", "--yes", "--skip-preview")
    session = aws.session(program.platform.home)
    cluster = session.call("eks", "describe_cluster", name="test")["cluster"]
    assert cluster["computeConfig"]["nodePools"] == ["general-purpose", "system"]
    network = cluster["kubernetesNetworkConfig"]
    assert (network["elasticLoadBalancing"], network["serviceIpv4Cidr"]) == ({"enabled": True}, "10.200.0.0/16")
    assert session.call("eks", "list_addons", clusterName="test")["addons"] == []
    program.run("preview", "--expect-no-changes")
    program.run("destroy", "--yes", "--skip-preview")
    assert aws.leftovers(program.platform.home) == {"log group": [LOGS]}
