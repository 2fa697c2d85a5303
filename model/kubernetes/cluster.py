"""A cluster as its clients see it: the Kubernetes versions that Flux supports, and EKS kubeconfigs."""

from __future__ import annotations

import json
import re

MINIMUM = (1, 33)
"""Oldest Kubernetes version of Flux 2.9 (the constraint of `flux check --pre`)."""


def version_problem(version: str) -> str | None:
    """Why Flux does not run on a cluster of this version, and what to do; None if it does.

    `version` is what the API server answers to GET /version as gitVersion: v1.36.4, v1.35.2-eks-1234567.
    """
    found = re.match(r"v?(\d+)\.(\d+)", version)
    if found is None:
        return f"{version!r} is not a Kubernetes version. Check which server the kubeconfig names."
    if (int(found[1]), int(found[2])) >= MINIMUM:
        return None
    wanted = ".".join(map(str, MINIMUM))
    return (
        f"The cluster runs Kubernetes {version}; Flux needs {wanted} or newer. "
        "Upgrade the control plane, one minor version at a time, then run this again."
    )


def eks_kubeconfig(cluster: str, endpoint: str, authority: str, region: str) -> str:
    """Kubeconfig as `aws eks update-kubeconfig` writes it, in JSON. It holds no secret: each use asks AWS for a token.

    `authority` is the cluster's CA certificate, base64.
    """
    command = ["--region", region, "eks", "get-token", "--cluster-name", cluster, "--output", "json"]
    user = {"exec": {"apiVersion": "client.authentication.k8s.io/v1beta1", "command": "aws", "args": command}}
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": cluster, "cluster": {"server": endpoint, "certificate-authority-data": authority}}],
            "users": [{"name": cluster, "user": user}],
            "contexts": [{"name": cluster, "context": {"cluster": cluster, "user": cluster}}],
            "current-context": cluster,
        }
    )
