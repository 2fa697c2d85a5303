"""The Kubernetes cluster that everything else stands on."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pulumi
import pulumi_kubernetes as kubernetes

from model.kubernetes.version import version_problem


class Cluster(pulumi.ComponentResource):
    """A cluster, however it came to be."""

    cluster_name: str
    kubernetes_version: pulumi.Output[str]
    provider: kubernetes.Provider
    """Reaches the cluster; everything inside it is registered with this provider."""
    capacity: Sequence[pulumi.Resource] = ()
    """What in the cluster pods need to run on, where that is not there from the beginning."""


@dataclass(frozen=True)
class ExistingClusterArgs:
    """A cluster that somebody else provisioned."""

    cluster_name: str
    """Identifies the cluster for good: a changed kubeconfig replaces nothing as long as this name stays."""
    kubeconfig: str
    """Path of the kubeconfig; its current context is used. The path, not the content, is what the state keeps."""


class ExistingCluster(Cluster):
    """Uses a cluster through its kubeconfig, after checking that Flux runs on it."""

    def __init__(self, name: str, args: ExistingClusterArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        version = server_version(args.kubeconfig)
        if problem := version_problem(version):
            raise pulumi.RunError(problem)
        super().__init__("saas:cluster:ExistingCluster", name, None, opts)
        self.cluster_name = args.cluster_name
        self.kubernetes_version = pulumi.Output.from_input(version)
        self.provider = cluster_provider(name, args.cluster_name, args.kubeconfig, self)
        self.register_outputs({"kubernetesVersion": self.kubernetes_version})


def cluster_provider(
    name: str,
    cluster_name: str,
    kubeconfig: pulumi.Input[str],
    parent: pulumi.Resource,
    depends_on: Sequence[pulumi.Resource] = (),
) -> kubernetes.Provider:
    """The provider of what is in a cluster; `kubeconfig` is a path or a kubeconfig's text."""
    return kubernetes.Provider(
        name,
        kubeconfig=kubeconfig,
        # Says which cluster it is for good: without it, a changed kubeconfig would replace everything in the cluster.
        cluster_identifier=cluster_name,
        enable_server_side_apply=True,
        # An update that was killed may have made objects that the state does not know: take them up, don't fail.
        upsert_existing_objects=True,
        # A key that changes is changed in its Secret: a replacement would leave Flux without one for a moment.
        enable_secret_mutable=True,
        enable_config_map_mutable=True,
        opts=pulumi.ResourceOptions(parent=parent, depends_on=list(depends_on)),
    )


def server_version(kubeconfig: str) -> str:
    """What the cluster's API server says its version is. Raises pulumi.RunError where it does not answer."""
    # kubectl reads every kind of kubeconfig, EKS' `aws eks get-token` included.
    kubectl = shutil.which("kubectl", path=str(Path(sys.executable).parent)) or shutil.which("kubectl")
    if kubectl is None:
        raise pulumi.RunError("kubectl is missing: install this project's requirements.txt, which brings it.")
    command = [kubectl, "get", "--raw", "/version", "--kubeconfig", kubeconfig, "--request-timeout=20s"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    if answer.returncode != 0:
        raise pulumi.RunError(
            f"The cluster of {kubeconfig} does not answer: {answer.stderr.strip()}\n"
            "Start it (`make up` for the embedded platform) or correct the kubeconfig, then run this again."
        )
    return str(json.loads(answer.stdout)["gitVersion"])
