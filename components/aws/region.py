"""Zones and instance types of the region, checked before anything is created: each region has others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pulumi
import pulumi_aws as aws

from components.aws.context import AwsContext
from components.configuration import Configuration, refusal
from model.config.aws import unknown_types, zone_problem, zones_without_types

PLACE = ("aws", "cluster", "nodes", "instanceTypes")


def check_region(configuration: Configuration, context: AwsContext | None) -> None:
    """Raise pulumi.RunError for zones that the account lacks, and instance types that EC2 does not offer in them."""
    settings, file = configuration.settings.aws, configuration.stack_file
    if settings is None or context is None or settings.cluster.adopt:
        return
    region, types = context.region, settings.cluster.nodes.instance_types
    # The zones of an existing network are those of its subnets, which EKS checks.
    letters = [] if settings.network.existing else settings.network.zones
    if letters and (problem := zone_problem(region, letters, _zones(context))):
        raise refusal([file.problem(("aws", "network", "zones"), *problem)])
    zones_of = _zones_by_type(context, types)
    if zones_of.keys() < set(types):
        problems = unknown_types(region, types, _zones_by_type(context))  # all types, of which one is suggested
        raise refusal(file.problem((*PLACE, *path), message, remedy) for path, message, remedy in problems)
    if problem := zones_without_types(region, [f"{region}{letter}" for letter in letters], zones_of):
        if not configuration.earlier.get("aws"):
            raise refusal([file.problem(PLACE, *problem)])
        # A cluster that runs must remain changeable, and other types may be other nodes.
        pulumi.log.warn(f"aws.cluster.nodes.instanceTypes: {'. '.join(problem)}")


def _zones(context: AwsContext) -> Mapping[str, str]:
    """The IDs of the account's zones by their names."""
    found = aws.get_availability_zones(opts=pulumi.InvokeOptions(provider=context.provider))
    return dict(zip(found.names, found.zone_ids, strict=True))


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
