"""The emulator of AWS: moto on loopback, with EKS by the platform's control plane. Run as a program: HOME PORT."""

from __future__ import annotations

import sys
from pathlib import Path

from moto.server import main as serve

from local.home import Home
from standins.moto import cognito as aws_cognito
from standins.moto import ec2 as aws_ec2
from standins.moto import eks as aws_eks


def main() -> None:
    home, port = Home(Path(sys.argv[1])), sys.argv[2]
    aws_ec2.install()
    aws_cognito.install()
    aws_eks.install(lambda: aws_eks.embedded(home))
    serve(["--host", "127.0.0.1", "--port", port])


if __name__ == "__main__":
    main()
