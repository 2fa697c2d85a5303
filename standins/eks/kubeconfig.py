"""The kubeconfigs that pulumi-eks writes."""

from __future__ import annotations

from typing import Any


def kubeconfig(
    name: str, endpoint: str, region: str, authority: str, *, profile: str | None = None, role: str | None = None
) -> dict[str, Any]:
    """A kubeconfig whose user runs `aws eks get-token` at each use, with a profile of AWS' CLI and a role if given.

    `authority` is the cluster's CA, base64.
    """
    arguments = ["--region", region, "eks", "get-token", "--cluster-name", name, "--output", "json"]
    arguments += ["--role", role] if role else []
    arguments += ["--profile", profile] if profile else []
    information = {"name": "KUBERNETES_EXEC_INFO", "value": '{"apiVersion": "client.authentication.k8s.io/v1beta1"}'}
    return {
        "apiVersion": "v1",
        "clusters": [{"cluster": {"server": endpoint, "certificate-authority-data": authority}, "name": "kubernetes"}],
        "contexts": [{"context": {"cluster": "kubernetes", "user": "aws"}, "name": "aws"}],
        "current-context": "aws",
        "kind": "Config",
        "users": [
            {
                "name": "aws",
                "user": {
                    "exec": {
                        "apiVersion": "client.authentication.k8s.io/v1beta1",
                        "command": "aws",
                        "args": arguments,
                        "env": [information],
                    }
                },
            }
        ],
    }


def region_of(arn: str) -> str:
    """The region in an ARN. Raises ValueError if the text is not an ARN."""
    fields = arn.split(":")
    if len(fields) < 4 or fields[0] != "arn":
        raise ValueError(f"Invalid ARN: '{arn}'")
    return fields[3]
