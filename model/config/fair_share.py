"""Whether the quotas of all tenants together are more than the nodes can hold."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from cli.text_table import text_table
from model.config.aws import AwsSettings
from model.config.quantities import Kind, amount, shown
from model.config.tenants import Tenant

COUNTED: Mapping[str, Kind] = {"requests.cpu": "cpu", "requests.memory": "bytes"}
"""What a tenant is promised: its requests. Limits are no promise."""

USABLE = Fraction(3, 4)
"""The part of a node that is left for tenants beside the kubelet, system pods and Flux; as in prices.yaml."""

GIB_PER_CPU = {"c": 2, "m": 4, "r": 8}
GIB = 1024**3


@dataclass(frozen=True)
class Capacity:
    """What a stack's nodes hold for tenants when there are as many of them as there may be."""

    nodes: str
    amounts: Mapping[str, Fraction]
    """By the key of the quota that promises it; what nobody can know beforehand is left out."""


def capacity(aws: AwsSettings | None) -> Capacity | None:
    """None where the stack does not tell: a cluster that somebody else made, or instances of an unknown size."""
    if aws is None or aws.cluster.adopt:
        return None
    nodes = aws.cluster.nodes
    if aws.cluster.compute == "auto":
        # Auto Mode chooses instances by itself, so their memory is unknown.
        return Capacity(f"{nodes.cpu_limit} CPUs of Auto Mode", {"requests.cpu": nodes.cpu_limit * USABLE})
    sizes = [_size(kind) for kind in nodes.instance_types]
    known = [size for size in sizes if size]
    if len(known) < len(sizes):
        return None
    # Which of the types a node has is up to AWS: count on the smallest.
    cpus, gib = min(cpus for cpus, _ in known), min(gib for _, gib in known)
    amounts = {"requests.cpu": nodes.maximum * cpus * USABLE, "requests.memory": nodes.maximum * gib * GIB * USABLE}
    return Capacity(f"{nodes.maximum} nodes of {' or '.join(nodes.instance_types)}", amounts)


def _size(instance_type: str) -> tuple[int, int] | None:
    """CPUs and GiB of an instance type of the families c, m and r, whose names tell."""
    found = re.fullmatch(r"([cmr])\d+[a-z]*(?:-flex)?\.(medium|large|(\d*)xlarge)", instance_type)
    if not found:
        return None
    cpus = {"medium": 1, "large": 2}.get(found[2]) or 4 * int(found[3] or 1)
    return cpus, cpus * GIB_PER_CPU[found[1]]


def table(tenants: Sequence[Tenant], held: Capacity | None) -> str:
    """Each tier's promises, their sum, and what the nodes hold. See docs/tenants.md."""
    head = ("", "tenants", *COUNTED)
    rows: list[Sequence[str]] = []
    for tier in sorted({tenant.tier for tenant in tenants}):
        members = [tenant for tenant in tenants if tenant.tier == tier]
        rows.append([tier, str(len(members)), *_shown(promised(members))])
    rows.append(["promised", str(len(tenants)), *_shown(promised(tenants))])
    if held:
        cells = (shown(held.amounts[key], kind) if key in held.amounts else "unknown" for key, kind in COUNTED.items())
        rows.append([f"held by {held.nodes}", "", *cells])
    return text_table(head, rows, numbers=range(1, len(head)))


def promised(tenants: Sequence[Tenant]) -> Mapping[str, Fraction | None]:
    """The sum of the tenants' quotas; None where one of them has no limit."""
    sums: dict[str, Fraction | None] = {}
    for key in COUNTED:
        quotas = [tenant.quota.get(key) for tenant in tenants]
        limited = [amount(quota) for quota in quotas if quota is not None]
        sums[key] = sum(limited, Fraction(0)) if len(limited) == len(quotas) else None
    return sums


def warning(tenants: Sequence[Tenant], aws: AwsSettings | None) -> str | None:
    """What to tell whoever runs the program; None where everything fits, or nobody knows."""
    held = capacity(aws)
    if held is None or not tenants:
        return None
    sums = promised(tenants)
    beyond = [key for key, there in held.amounts.items() if (promise := sums[key]) is None or promise > there]
    if not beyond:
        return None
    more = " and ".join(key.partition(".")[2] for key in beyond)
    return (
        f"The tenants' quotas promise more {more} than the nodes hold; "
        f"if all took what they are promised, pods would wait.\n{table(tenants, held)}\n"
        "Raise the nodes' maximum, or lower quotas; if you count on tenants not taking all, leave it."
    )


def _shown(sums: Mapping[str, Fraction | None]) -> list[str]:
    return ["no limit" if (total := sums[key]) is None else shown(total, kind) for key, kind in COUNTED.items()]
