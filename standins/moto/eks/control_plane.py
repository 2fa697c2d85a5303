"""The Kubernetes control plane that an EKS cluster of this platform is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import yaml

from local.access import administrator
from local.home import Home
from local.kubeapi import ApiError


class NoControlPlaneError(Exception):
    """The platform's control plane does not answer; the text says what to do."""


@dataclass(frozen=True)
class ControlPlane:
    """What EKS tells of a cluster's API server."""

    endpoint: str
    certificate_authority: str
    """PEM, base64."""
    version: str
    """Major and minor, such as 1.36."""


def embedded(home: Home) -> ControlPlane:
    """The platform's control plane, asked for its version. Raises NoControlPlaneError."""
    try:
        entry = yaml.safe_load(Path(home.kubeconfig).read_text())["clusters"][0]["cluster"]
        answer = administrator(home).get("/version")
    except (FileNotFoundError, OSError, ApiError) as error:
        raise NoControlPlaneError(
            f"the platform's control plane, which is the body of an EKS cluster, does not answer ({error}): start it "
            "with `make up`"
        ) from error
    if answer is None:
        raise NoControlPlaneError("the platform's API server tells no version: look at kube-apiserver.log")
    version = f"{answer['major']}.{answer['minor'].rstrip('+')}"
    return ControlPlane(entry["server"], entry["certificate-authority-data"], version)
