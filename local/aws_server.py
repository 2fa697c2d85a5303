"""The emulator of AWS: moto on loopback, with EKS by the platform's control plane. Run as a program: HOME PORT."""

from __future__ import annotations

import sys
from pathlib import Path

import yaml
from moto.server import main as serve

from local.access import administrator
from local.home import Home
from local.kubeapi import ApiError
from standins.moto import cognito, ec2, eks


def control_plane(home: Home) -> eks.ControlPlane:
    """The platform's control plane, asked for its version. Raises eks.NoControlPlaneError."""
    try:
        cluster = yaml.safe_load(Path(home.kubeconfig).read_text())["clusters"][0]["cluster"]
        answer = administrator(home).get("/version")
    except (OSError, ApiError) as error:
        raise eks.NoControlPlaneError(
            f"the platform's control plane, which an EKS cluster is here, does not answer ({error}): start it with "
            "`make up`"
        ) from error
    if answer is None:
        raise eks.NoControlPlaneError("the platform's API server has no version: look at kube-apiserver.log")
    version = f"{answer['major']}.{answer['minor'].rstrip('+')}"
    return eks.ControlPlane(cluster["server"], cluster["certificate-authority-data"], version)


def main() -> None:
    home, port = Home(Path(sys.argv[1])), sys.argv[2]
    ec2.install()
    cognito.install()
    eks.install(lambda: control_plane(home))
    serve(["--host", "127.0.0.1", "--port", port])


if __name__ == "__main__":
    main()
