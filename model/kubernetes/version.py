"""Which Kubernetes versions Flux runs on, as `flux check --pre` knows them."""

from __future__ import annotations

import re

MINIMUM = (1, 33)
"""Of Flux 2.9 (its `check` command's constraint)."""


def version_problem(version: str) -> str | None:
    """Why Flux does not run on a cluster of this version, and what to do; None where it does.

    `version` is what the API server answers to GET /version as gitVersion: v1.36.4, v1.35.2-eks-1234567.
    """
    found = re.match(r"v?(\d+)\.(\d+)", version)
    if found is None:
        return f"{version!r} is no Kubernetes version. Check which server the kubeconfig names."
    if (int(found[1]), int(found[2])) >= MINIMUM:
        return None
    wanted = ".".join(map(str, MINIMUM))
    return (
        f"The cluster runs Kubernetes {version}; Flux needs {wanted} or newer. "
        "Upgrade the control plane, one minor version at a time, then run this again."
    )
