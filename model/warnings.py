"""Warnings that do not stop a deployment."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from typing import Any

from model.config.aws import AwsSettings, NodeSettings, end_of_support, has_accelerators
from model.config.quantities import Kind, amount, shown
from model.config.rings import ending
from model.config.tenants import Tenant
from model.config.tiers import RECONCILER_ROLE

WIDE_ROLES: Mapping[str, str] = {
    "admin": "DaemonSets, commands in pods, acting as any service account, and everything that operators add to it",
    "cluster-admin": "any verb on objects of any kind, including those of every operator and roles without limits",
}
"""Permissions of Kubernetes' own roles beyond the default role that admission policies do not refuse."""

COUNTED: Mapping[str, Kind] = {"requests.cpu": "cpu", "requests.memory": "bytes", "pods": "count"}
"""The guaranteed resources: requests, and addresses for pods. Limits guarantee nothing."""

USABLE = Fraction(3, 4)
"""The share of a node for tenants; the kubelet, system pods and Flux need the rest."""

GIB_PER_CPU = {"c": 2, "m": 4, "r": 8}
GIB = 1024**3

INTERFACES = {"medium": (2, 4), "large": (3, 10), "xlarge": (4, 15), "2xlarge": (4, 15)}
"""Network interfaces, and addresses of each, by an instance's size. Larger ones exceed the kubelet's limit."""
KUBELET_PODS, KUBELET_PODS_ABOVE_30_CPUS = 110, 250
"""The most pods of a node that EKS sets, whatever addresses it has."""


@dataclass(frozen=True)
class Capacity:
    """The capacity for tenants of a stack's nodes."""

    nodes: str
    amounts: Mapping[str, Fraction]
    """By the key of the quota."""
    setting: str
    """The setting that adds nodes."""


def capacity(aws: AwsSettings | None) -> Capacity | None:
    """None if it is unknown: for an existing cluster, or instance types of other families.

    A node group has as many nodes as `desired` says: nothing adds any. Auto Mode adds nodes up to its limit of CPUs.
    """
    if aws is None or aws.cluster.adopt:
        return None
    nodes = aws.cluster.nodes
    sizes = [_size(kind) for kind in nodes.instance_types]
    known = [size for size in sizes if size]
    if len(known) < len(sizes):
        return None
    # AWS chooses among the types: count on the smallest.
    cpus, gib = min(cpus for cpus, _ in known), min(gib for _, gib in known)
    types = " or ".join(nodes.instance_types)
    if aws.cluster.compute == "auto":
        number = nodes.cpu_limit // cpus
        name, setting = f"{nodes.cpu_limit} CPUs of Auto Mode ({number} nodes of {types})", "cpuLimit"
        # Auto Mode gives each node whole prefixes of addresses.
        pods = KUBELET_PODS
    else:
        number = nodes.number
        name, setting = f"{number} nodes of {types}", "desired"
        pods = min(pods_per_node(kind, prefixes=_has_prefixes(aws)) for kind in nodes.instance_types)
    one = {"requests.cpu": cpus, "requests.memory": gib * GIB, "pods": pods}
    return Capacity(name, {key: number * amount * USABLE for key, amount in one.items()}, setting)


def pods_per_node(instance_type: str, *, prefixes: bool) -> int:
    """How many pods a node of a managed group holds: an address of a network interface each, but the first.

    With prefixes instead of single addresses (ENABLE_PREFIX_DELEGATION of the VPC CNI), sixteen times as many.
    """
    size = instance_type.partition(".")[2]
    cpus, _ = _size(instance_type) or (0, 0)
    most = KUBELET_PODS_ABOVE_30_CPUS if cpus > 30 else KUBELET_PODS
    if size not in INTERFACES:
        return most
    interfaces, addresses = INTERFACES[size]
    return min(most, interfaces * (addresses - 1) * (16 if prefixes else 1) + 2)


def _has_prefixes(aws: AwsSettings) -> bool:
    """Whether the VPC CNI gives nodes whole prefixes of addresses."""
    addon = aws.cluster.addons.get("vpc-cni")
    environment: Any = addon.configuration.get("env") if addon else None
    return isinstance(environment, Mapping) and ("ENABLE_PREFIX_DELEGATION", "true") in environment.items()


def _size(instance_type: str) -> tuple[int, int] | None:
    """CPUs and GiB of an instance type of the families c, m and r, whose names define them."""
    found = re.fullmatch(r"([cmr])[5-9]\d*[a-z]*(?:-flex)?\.(medium|large|(\d*)xlarge)", instance_type)
    if not found:
        return None
    cpus = {"medium": 1, "large": 2}.get(found[2]) or 4 * int(found[3] or 1)
    return cpus, cpus * GIB_PER_CPU[found[1]]


def overcommitment(tenants: Sequence[Tenant], aws: AwsSettings | None) -> str | None:
    """A warning if the tenants' quotas together exceed what the nodes can hold; None if unknown."""
    nodes = capacity(aws)
    if nodes is None or not tenants:
        return None
    lines: list[str] = []
    for key, available in nodes.amounts.items():
        promised = total(tenants, key)
        if promised is None or promised > available:
            lines.append(f"  {key}: {_by_tier(tenants, key)}, the nodes hold {shown(available, COUNTED[key])}")
    if not lines:
        return None
    return "\n".join(
        [
            f"The tenants' quotas exceed {nodes.nodes}; if all tenants used their quotas, pods would stay pending:",
            *lines,
            f"  Raise aws.cluster.nodes.{nodes.setting}, or lower quotas. Ignore this if you overcommit on purpose.",
        ]
    )


def total(tenants: Sequence[Tenant], key: str) -> Fraction | None:
    """The sum of the tenants' quotas; None if one of them has no limit."""
    quotas = [tenant.quota.get(key) for tenant in tenants]
    limited = [amount(quota) for quota in quotas if quota is not None]
    return sum(limited, Fraction(0)) if len(limited) == len(quotas) else None


def _by_tier(tenants: Sequence[Tenant], key: str) -> str:
    """The sum of all quotas and each tier's part: "18 in total (basic 10, premium 8)"."""
    tiers = sorted({tenant.tier for tenant in tenants})
    parts = (f"{tier} {_shown(total([t for t in tenants if t.tier == tier], key), key)}" for tier in tiers)
    return f"{_shown(total(tenants, key), key)} in total ({', '.join(parts)})"


def _shown(number: Fraction | None, key: str) -> str:
    return "no limit" if number is None else shown(number, COUNTED[key])


def memory_without_limits(tenants: Sequence[Tenant]) -> Iterator[str]:
    """A warning for each tier whose quota of `limits.memory` is used up before its pods, if they set no limits."""
    seen: set[tuple[str, int]] = set()
    for tenant in tenants:
        pods, quota = tenant.quota.get("pods"), tenant.quota.get("limits.memory")
        limit = tenant.limits.default.get("memory") or tenant.limits.max.get("memory")
        if not (pods and quota and limit):
            continue
        room = int(amount(quota) // amount(limit))
        if room < USABLE * amount(pods) and (tenant.tier, room) not in seen:
            seen.add((tenant.tier, room))
            yield (
                f"The quota of {tenant.name} (tier {tenant.tier}) has room for {room} containers that set no limit of "
                f"memory, and for {amount(pods)} pods: each counts {limit} of limits.memory, {quota}. Lower "
                "limits.default.memory, or raise limits.memory in quota. Ignore this if its containers set limits."
            )


def wide_roles(tenants: Sequence[Tenant]) -> Iterator[str]:
    """A warning for each role that permits reconcilers more than a product usually needs."""
    for role, permissions in WIDE_ROLES.items():
        if names := [tenant.name for tenant in tenants if tenant.role == role]:
            shown_names = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
            yield (
                f"The role {role} gives the reconcilers of {shown_names} more permissions than a product usually "
                f"needs: {permissions}. Admission policies still protect their limits, network policies and Flux "
                f"objects. Remove `role:` for the default, {RECONCILER_ROLE}."
            )


def accelerators(aws: AwsSettings | None) -> Iterator[str]:
    """A warning for each instance type whose accelerators the nodes' AMI has no drivers for."""
    if aws is None or aws.cluster.adopt or aws.cluster.compute == "auto":
        return
    for kind in filter(has_accelerators, aws.cluster.nodes.instance_types):
        yield (
            f"{kind} has accelerators, which are paid for and not usable: the nodes run the standard AMI, without "
            "drivers and device plugin for them. Choose another type, such as m7g.large, in "
            "aws.cluster.nodes.instanceTypes."
        )


def nodes_behind(current: str, newest: str) -> str | None:
    """A warning if the nodes run another release of their AMI than the stack will give them."""
    if not current or current == newest:
        return None
    return (
        f"The nodes are behind: they run the AMI release {current}, and {newest} is the one to run. `pulumi up` "
        "replaces them, a third at a time. To stay, set aws.cluster.nodes.release."
    )


def group_replacement(
    current: Mapping[str, Sequence[str]], wanted: Mapping[str, Sequence[str]], cpus: int | None
) -> str | None:
    """A warning before a node group is replaced, by the settings that no group can change.

    `cpus` are those of the new group; None if unknown.
    """
    changed = [key for key, value in wanted.items() if sorted(current.get(key, [])) != sorted(value)]
    if not changed:
        return None
    more = f" the {cpus} vCPUs of the new group" if cpus else " the vCPUs of the new group"
    return (
        f"The node group is replaced, because of {', '.join(changed)}: the new one is created first, then all nodes of "
        f"the old one are drained together, so that every pod moves at once. Your quota of vCPUs (L-1216C47A) needs "
        f"room for{more} beside the old one's."
    )


def group_cpus(nodes: NodeSettings) -> int | None:
    """The virtual CPUs of the managed node group, at the largest of its instance types; None if unknown."""
    sizes = [_size(kind) for kind in nodes.instance_types]
    known = [size[0] for size in sizes if size]
    return nodes.number * max(known) if len(known) == len(sizes) else None


def all_warnings(tenants: Sequence[Tenant], aws: AwsSettings | None, today: date) -> Iterator[str]:
    """Every warning about a stack and its tenants."""
    yield from wide_roles(tenants)
    yield from memory_without_limits(tenants)
    yield from accelerators(aws)
    yield from ending(((tenant.name, tenant.pin) for tenant in tenants if tenant.pin), today)
    for text in (overcommitment(tenants, aws), end_of_support(aws, today)):
        if text:
            yield text
