"""The platform's AWS emulator in this process: moto with the platform's additions."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from moto.server import ThreadedMotoServer

from standins.moto import api_gateway, backup, cognito, ec2, eks, logs, s3, ssm
from standins.moto.eks import ControlPlane
from standins.tests.unit.aws_stand_in import emulated

CONTROL_PLANE = ControlPlane("https://127.0.0.1:6443", "Q0E=", "1.36")


@contextmanager
def emulator() -> Iterator[None]:
    """Runs the emulator; AWS' tools use it meanwhile. Its EKS clusters are described by CONTROL_PLANE."""
    for additions in (api_gateway, backup, cognito, ec2, logs, s3, ssm):
        additions.install()
    eks.install(lambda: CONTROL_PLANE)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        emulated(patch, f"http://{host}:{port}")
        yield
    server.stop()


def trust(service: str) -> str:
    """A trust policy for one of AWS' services."""
    statement = {"Effect": "Allow", "Action": ["sts:AssumeRole", "sts:TagSession"], "Principal": {"Service": service}}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def allow(action: str) -> str:
    """A policy that allows one action."""
    return json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": action, "Resource": "*"}]})
