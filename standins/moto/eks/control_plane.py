"""The Kubernetes control plane that an EKS cluster of this emulator is."""

from __future__ import annotations

from dataclasses import dataclass


class NoControlPlaneError(Exception):
    """The control plane does not answer; the text says what to do."""


@dataclass(frozen=True)
class ControlPlane:
    """What EKS answers about a cluster's API server."""

    endpoint: str
    certificate_authority: str
    """PEM, base64."""
    version: str
    """Major and minor, such as 1.36."""
