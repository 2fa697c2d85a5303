"""`aws eks get-token`, the only command of AWS' CLI that kubeconfigs for EKS need: `python -m local.aws_cli`.

Checks that the emulator has the cluster, then answers with the administrator's client certificate for the platform's
control plane, which takes the place of every EKS cluster. AWS answers with a token; Kubernetes' clients accept both.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence

from local.access import ADMINISTRATOR, ADMINISTRATORS, authority
from local.home import Home
from local.pki import split
from standins.aws.session import AwsError, Session
from standins.provider import RefusedError

VERSION = "2.31.0"
"""A version that is new enough for pulumi-eks."""
KINDS = ("client.authentication.k8s.io/v1beta1", "client.authentication.k8s.io/v1")
USAGE = "aws [--region REGION] eks get-token --cluster-name NAME [--role-arn ARN] [--region REGION] [--output json]"


class UsageError(Exception):
    """A command that this stand-in does not have."""


def arguments(given: Sequence[str]) -> dict[str, str]:
    """The options of `eks get-token`. Raises UsageError for any other command."""
    options: dict[str, str] = {}
    words: list[str] = []
    rest = list(given)
    while rest:
        word = rest.pop(0)
        name, equals, value = word.partition("=")
        if not word.startswith("--"):
            words.append(word)
        elif name not in ("--region", "--output", "--cluster-name", "--role-arn", "--role"):
            raise UsageError(f"this stand-in for AWS' CLI does not know {name}: it takes {USAGE}")
        elif not equals and not rest:
            raise UsageError(f"{name}: expected one argument")
        else:
            options[name] = value if equals else rest.pop(0)
    if words != ["eks", "get-token"] or "--cluster-name" not in options:
        raise UsageError(f"this stand-in for AWS' CLI has one command: {USAGE}")
    if options.get("--output", "json") != "json":
        raise UsageError("this stand-in for AWS' CLI answers in JSON only: --output json")
    return options


def credential(home: Home, options: dict[str, str]) -> dict[str, object]:
    """The ExecCredential for a cluster that exists. Raises RefusedError with AWS' error if it does not."""
    aws = Session()
    aws.open_from_environment(options.get("--region", ""))
    aws.call("eks", "describe_cluster", name=options["--cluster-name"])
    asked = json.loads(os.environ.get("KUBERNETES_EXEC_INFO") or "{}").get("apiVersion", KINDS[0])
    if asked not in KINDS:
        raise RefusedError(f"KUBERNETES_EXEC_INFO asks for {asked}, and there are {' and '.join(KINDS)}")
    certificate, key = split(authority(home).client(ADMINISTRATOR, ADMINISTRATORS).read_text())
    status = {"clientCertificateData": certificate, "clientKeyData": key}
    return {"kind": "ExecCredential", "apiVersion": asked, "spec": {}, "status": status}


def main(given: Sequence[str]) -> int:
    """Print the credential. Returns the exit code that AWS' CLI has for the same mistake."""
    if list(given) == ["--version"]:
        print(f"aws-cli/{VERSION} saas-in-eks-stand-in")
        return 0
    try:
        print(json.dumps(credential(Home.default(), arguments(given))))
    except UsageError as error:
        print(f"aws: error: {error}", file=sys.stderr)
        return 252
    except (AwsError, RefusedError) as error:
        print(f"aws: error: {error}", file=sys.stderr)
        return 254
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
