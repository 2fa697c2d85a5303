"""Kubeconfigs for EKS: no secret is in them, each use asks AWS for a token."""

from __future__ import annotations

import json


def eks_kubeconfig(cluster: str, endpoint: str, authority: str, region: str) -> str:
    """As `aws eks update-kubeconfig` writes it; `authority` is the cluster's CA, base64. JSON, which is YAML too."""
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
