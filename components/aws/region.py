"""Zones and instance types of the region, checked before anything is created: each region has others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import pulumi
import pulumi_aws as aws

from components.aws.context import AwsContext
from components.configuration import Configuration, refusal
from model.config.aws import AwsSettings, instance_type_problems, zone_problem
from model.config.base import Finding


def check_region(configuration: Configuration, context: AwsContext | None) -> None:
    """Raise pulumi.RunError for zones that the account lacks, and instance types that EC2 does not offer in them."""
    settings = configuration.settings.aws
    if settings is None or context is None or settings.cluster.adopt:
        return
    # First the zones: a missing one offers no types.
    if findings := [*_zones(settings, context)] or [*_instance_types(settings, context)]:
        raise refusal(configuration.stack_file.problem(("aws", *path), *found) for path, *found in findings)


def _zones(settings: AwsSettings, context: AwsContext) -> Iterator[Finding]:
    if settings.network.existing:
        return  # EKS checks those of its subnets
    found = aws.get_availability_zones(opts=pulumi.InvokeOptions(provider=context.provider))
    zones = dict(zip(found.names, found.zone_ids, strict=True))
    if problem := zone_problem(context.region, settings.network.zones, zones):
        yield ("network", "zones"), *problem


def _instance_types(settings: AwsSettings, context: AwsContext) -> Iterator[Finding]:
    types, network = settings.cluster.nodes.instance_types, settings.network
    zones = [] if network.existing else [f"{context.region}{zone}" for zone in network.zones]
    offered = _zones_by_type(context, types)
    if offered.keys() < set(types):
        offered = _zones_by_type(context)  # all types, of which one is suggested
    for path, message, remedy in instance_type_problems(context.region, types, zones, offered):
        yield ("cluster", "nodes", "instanceTypes", *path), message, remedy


def _zones_by_type(context: AwsContext, types: Sequence[str] = ()) -> Mapping[str, set[str]]:
    """The zones in which EC2 offers these types, or every type."""
    found = aws.ec2.get_instance_type_offerings(
        location_type="availability-zone",
        filters=[{"name": "instance-type", "values": list(types)}] if types else None,
        opts=pulumi.InvokeOptions(provider=context.provider),
    )
    zones: dict[str, set[str]] = {}
    for kind, zone in zip(found.instance_types, found.locations, strict=True):
        zones.setdefault(kind, set()).add(zone)
    return zones
