"""Rules about exposure: public endpoints and open security groups."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from .cluster import CLUSTER, COMPONENT
from .resource import Hidden, Resource, anywhere


def endpoint_allow_list(resource: Resource) -> Iterator[str]:
    """A cluster's Kubernetes API is private, or public for a list of address ranges."""
    if resource.type not in (CLUSTER, COMPONENT):
        return
    outer = () if resource.type == COMPONENT else ("vpcConfig",)
    # AWS' default is a public endpoint without an allow-list.
    if resource.get(*outer, "endpointPublicAccess") is False:
        return
    cidrs = resource.get(*outer, "publicAccessCidrs")
    if isinstance(cidrs, Hidden):
        return
    if not cidrs or anywhere(cidrs):
        yield (
            "its public endpoint is open to the whole internet: "
            "set endpointPublicAccess to false, or publicAccessCidrs to the ranges that need it."
        )


def closed_security_groups(resource: Resource) -> Iterator[str]:
    """No security group lets the whole internet in."""
    rules: list[Mapping[str, object]] = []
    if resource.type == "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule":
        rules = [resource.props]
    elif resource.type in ("aws:ec2/securityGroup:SecurityGroup", "aws:ec2/defaultSecurityGroup:DefaultSecurityGroup"):
        rules = [each for each in resource.items("ingress") if isinstance(each, Mapping)]
    for rule in rules:
        ranges = [rule.get("cidrIpv4"), rule.get("cidrIpv6")]
        for name in ("cidrBlocks", "ipv6CidrBlocks"):
            value = rule.get(name)
            ranges += value if isinstance(value, list) else []
        for cidr in anywhere(ranges):
            yield f"it lets {cidr} in: name the ranges or security groups that need it."
