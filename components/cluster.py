"""The Kubernetes cluster, and the provider of everything inside it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_kubernetes as kubernetes

from components.kubectl import KubectlError, kubectl
from components.preflight import Preflight
from model.kubernetes.cluster import version_problem


class Cluster(pulumi.ComponentResource):
    """A Kubernetes cluster, provisioned or existing."""

    cluster_name: str
    kubernetes_version: pulumi.Output[str]
    kubeconfig: pulumi.Input[str]
    """A path, or a kubeconfig's text."""
    provider: kubernetes.Provider
    """Registers everything inside the cluster."""
    ready: Sequence[pulumi.Resource]
    """Nodes that can run pods, for `depends_on`."""
    uid: str = ""
    """Of the namespace kube-system, which tells clusters apart; empty for a cluster that the stack provisions."""


@dataclass(frozen=True)
class ExistingClusterArgs:
    """A cluster that the stack does not manage."""

    cluster_name: str
    """Identifies the cluster in the state: as long as it stays, a changed kubeconfig replaces nothing."""
    kubeconfig: str
    """Path of the kubeconfig; its current context is used. The state holds the path, not the content."""
    check: Preflight


class ExistingCluster(Cluster):
    """Existing cluster, used through its kubeconfig after checking that Flux supports its version."""

    def __init__(self, name: str, args: ExistingClusterArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        version = server_version(args.kubeconfig)
        if problem := version_problem(version):
            raise pulumi.RunError(problem)
        args.check(args.kubeconfig)
        self.uid = args.check.cluster_uid
        super().__init__("saas:cluster:ExistingCluster", name, None, opts)
        self.cluster_name = args.cluster_name
        self.kubernetes_version = pulumi.Output.from_input(version)
        self.kubeconfig = args.kubeconfig
        self.provider = cluster_provider(name, args.cluster_name, args.kubeconfig, self)
        self.ready = [self.provider]
        self.register_outputs({"kubernetesVersion": self.kubernetes_version})


def cluster_provider(
    name: str,
    cluster_name: str,
    kubeconfig: pulumi.Input[str],
    parent: pulumi.Resource,
    depends_on: Sequence[pulumi.Resource] = (),
    hooks: pulumi.ResourceHookBinding | None = None,
) -> kubernetes.Provider:
    """Provider of the objects in a cluster; `kubeconfig` is a path or a kubeconfig's text."""
    return kubernetes.Provider(
        name,
        kubeconfig=kubeconfig,
        # Fixed from the first deployment on: without it, a changed kubeconfig would replace everything in the cluster.
        cluster_identifier=cluster_name,
        enable_server_side_apply=True,
        # An update that was killed may leave objects that the state does not know: adopt them instead of failing.
        # Others' objects are refused before, by components/preflight.py.
        upsert_existing_objects=True,
        # A changed key is updated in its Secret: a replacement would leave Flux without a key for a moment.
        enable_secret_mutable=True,
        enable_config_map_mutable=True,
        opts=pulumi.ResourceOptions(parent=parent, depends_on=list(depends_on), hooks=hooks),
    )


def server_version(kubeconfig: str) -> str:
    """The API server's version. Raises pulumi.RunError if it does not answer."""
    try:
        answer = kubectl(kubeconfig, "get", "--raw", "/version")
    except KubectlError as error:
        raise pulumi.RunError(
            f"The cluster of {kubeconfig} does not answer: {error}\n"
            "Start it (`make up` for the embedded platform) or correct the kubeconfig, then run this again."
        ) from error
    return str(json.loads(answer)["gitVersion"])
