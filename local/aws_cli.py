"""AWS' command line on this machine: `python -m local.aws_cli`. It has the operations of AWS' API and `eks get-token`.

Kubeconfigs for EKS call the latter. It checks that the emulator has the cluster, and that this machine would reach its
endpoint; then answers with the administrator's client certificate for the platform's control plane, which takes the
place of every EKS cluster. AWS answers with a token; Kubernetes' clients accept both.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from ipaddress import ip_address, ip_network
from urllib.parse import urlsplit

from local.access import ADMINISTRATOR, ADMINISTRATORS, authority
from local.home import Home
from local.pki import split
from standins.aws import command
from standins.aws.command import UsageError
from standins.aws.session import AwsError, Session
from standins.provider import RefusedError, Values

PRIVATE = ("10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.168.0.0/16")
VERSION = "2.31.0"
"""A version that is new enough for pulumi-eks."""
KINDS = ("client.authentication.k8s.io/v1beta1", "client.authentication.k8s.io/v1")
ADDRESS = "EKS_STANDIN_CLIENT_ADDRESS"
"""Environment variable: the IPv4 address from which this machine would reach EKS. The control plane is on loopback, so
that this command refuses what the endpoint's access settings and security groups would keep out."""
OFFICE = "203.0.113.10"
"""The address without that variable: in publicAccess of Pulumi.prod-eu.yaml."""
USAGE = "aws [--region REGION] eks get-token --cluster-name NAME [--role-arn ARN] [--region REGION] [--output json]"


def arguments(given: Sequence[str]) -> dict[str, str]:
    """The options of `eks get-token`. Raises UsageError for others."""
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
        raise UsageError(f"this stand-in for AWS' CLI takes {USAGE}")
    if options.get("--output", "json") != "json":
        raise UsageError("this stand-in for AWS' CLI answers in JSON only: --output json")
    return options


def credential(home: Home, options: dict[str, str]) -> dict[str, object]:
    """The ExecCredential for a cluster that exists. Raises RefusedError with AWS' error if it does not."""
    aws = Session()
    aws.open_from_environment(options.get("--region", ""))
    cluster = aws.call("eks", "describe_cluster", name=options["--cluster-name"])["cluster"]
    _check_reachable(aws, cluster, os.environ.get(ADDRESS, OFFICE))
    asked = json.loads(os.environ.get("KUBERNETES_EXEC_INFO") or "{}").get("apiVersion", KINDS[0])
    if asked not in KINDS:
        raise RefusedError(f"KUBERNETES_EXEC_INFO asks for {asked}, and there are {' and '.join(KINDS)}")
    certificate, key = split(authority(home).client(ADMINISTRATOR, ADMINISTRATORS).read_text())
    status = {"clientCertificateData": certificate, "clientKeyData": key}
    return {"kind": "ExecCredential", "apiVersion": asked, "spec": {}, "status": status}


def _check_reachable(aws: Session, cluster: Values, address: str) -> None:
    """Raise RefusedError if the endpoint does not let in this address: connections would time out."""
    network = cluster["resourcesVpcConfig"]
    groups = {"Name": "group-id", "Values": network["securityGroupIds"]}
    rules: list[Values] = []
    # kubectl and the Kubernetes provider start this program again and again, and EC2's client is slow to make.
    if network["securityGroupIds"] and _is_private(address):
        rules = aws.list("ec2", "describe_security_group_rules", "SecurityGroupRules", Filters=[groups])
    if not reaches(network, rules, address):
        raise RefusedError(
            f"dial tcp {urlsplit(cluster['endpoint']).netloc}: i/o timeout. {address} is in none of the networks that "
            f"reach the endpoint of {cluster['name']}: change publicAccess or privateAccess through EKS' API"
        )


def reaches(network: Values, rules: Sequence[Values], address: str) -> bool:
    """Whether an address gets through to a cluster's endpoint, by its VPC settings and its security groups' rules.

    In the VPC and in networks connected to it, the endpoint's name has private addresses.
    """
    here = ip_address(address)
    if not _is_private(address):
        allowed = network["publicAccessCidrs"] if network["endpointPublicAccess"] else []
        return any(here in ip_network(cidr) for cidr in allowed)
    return network["endpointPrivateAccess"] and any(
        not rule["IsEgress"]
        and rule["IpProtocol"] in ("tcp", "-1")
        and (rule["IpProtocol"] == "-1" or rule["FromPort"] <= 443 <= rule["ToPort"])
        and here in ip_network(rule.get("CidrIpv4") or "0.0.0.0/32")
        for rule in rules
    )


def _is_private(address: str) -> bool:
    return any(ip_address(address) in ip_network(private) for private in PRIVATE)


def main(given: Sequence[str]) -> int:
    """Print the answer. Returns the exit code that AWS' CLI has for the same mistake."""
    if list(given) == ["--version"]:
        print(f"aws-cli/{VERSION} saas-in-eks-stand-in")
        return 0
    try:
        answer = credential(Home.default(), arguments(given)) if "get-token" in given else command.answer(given)
        print(json.dumps(answer, default=str))
    except AwsError as error:
        operation = error.operation.partition(".")[2]
        print(f"\nAn error occurred ({error.code}) when calling the {operation} operation: {error}", file=sys.stderr)
        return 254
    except UsageError as error:
        print(f"aws: error: {error}", file=sys.stderr)
        return 252
    except RefusedError as error:
        print(f"aws: error: {error}", file=sys.stderr)
        return 254
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
