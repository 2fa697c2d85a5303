"""The emulator of AWS: moto on loopback, with EKS by the platform's control plane. Run as a program: HOME PORT."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import yaml
from moto.server import main as serve

from local.access import administrator
from local.home import Home
from local.kubeapi import ApiError
from standins.moto import api_gateway, backup, calls, cognito, ec2, eks, logs, s3, ssm

DEFINITION_SECONDS = 30.0


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


def bring_auto_mode(home: Home) -> None:
    """Define the kinds of objects that Auto Mode brings into a cluster, and wait until they are served."""
    api = administrator(home)
    for definition in yaml.safe_load_all((Path(__file__).parent / "auto_mode.yaml").read_text()):
        api.apply(
            f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{definition['metadata']['name']}", definition
        )
        group, plural = definition["spec"]["group"], definition["spec"]["names"]["plural"]
        deadline = time.monotonic() + DEFINITION_SECONDS
        while not api.answers(f"/apis/{group}/v1/{plural}") and time.monotonic() < deadline:
            time.sleep(0.1)


def main() -> None:
    home, port = Home(Path(sys.argv[1])), sys.argv[2]
    for additions in (api_gateway, backup, cognito, ec2, logs, s3, ssm):
        additions.install()
    calls.install(home.aws_calls)
    eks.install(lambda: control_plane(home), lambda: bring_auto_mode(home))
    serve(["--host", "127.0.0.1", "--port", port])


if __name__ == "__main__":
    main()
