"""What a stack costs on AWS a month, estimated from list prices (prices.yaml) and assumed traffic.

`python -m model.costs` writes docs/costs.md, --check says whether it is fresh, --tenants is about those of today.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from model import prices as price_file
from model import tenants
from model.aws import AwsSettings, combinations
from model.aws_facts import GATEWAY_ENDPOINTS
from model.document import read
from model.mistakes import Mistake, MistakesError
from model.prices import Prices, UserPrice
from model.schema import examined

CHECKOUT = Path(__file__).resolve().parent.parent
STACK = "Pulumi.prod-eu.yaml"
FILE = CHECKOUT / "docs" / "costs.md"
DAYS_PER_MONTH = 30
NUMBERS = ("fewest nodes", "most nodes", "USD", "tenants", "nodes", "all together", "each tenant")
"""Columns that hold numbers."""


@dataclass(frozen=True)
class Line:
    """What one thing costs a month."""

    component: str
    what: str
    usd: float


@dataclass(frozen=True)
class Estimate:
    """What a stack costs a month with so many tenants on so many nodes."""

    tenants: int
    nodes: int
    lines: Sequence[Line]

    @property
    def total(self) -> float:
        """Everything, in USD."""
        return sum(line.usd for line in self.lines)

    @property
    def per_tenant(self) -> float:
        """Each tenant's equal part of everything, in USD."""
        return self.total / max(1, self.tenants)


class Costs:
    """The costs of one stack."""

    def __init__(self, settings: AwsSettings, prices: Prices) -> None:
        """Raises MistakesError where prices.yaml has no price for what the stack uses."""
        self.settings, self.prices = settings, prices
        self._instance_type = settings.cluster.nodes.instance_types[0]
        lacking = ""
        if settings.region != prices.region:
            lacking = f"holds prices of {prices.region} only, and the stack is in {settings.region}"
        elif self._instance_type not in prices.instances:
            lacking = f"has no price for {self._instance_type}"
        if lacking:
            remedy = "Add what https://aws.amazon.com/pricing/ says, with the month."
            raise MistakesError([Mistake(price_file.FILE, 0, "", lacking, remedy)])
        self._instance = prices.instances[self._instance_type]

    @property
    def tenants_per_node(self) -> int:
        """How many tenants' pods fit on a node, by what they ask of its CPUs; at least one."""
        assumed = self.prices.assumed
        return max(1, int(self._instance.cpus * assumed.usable_cpus / assumed.tenant_cpus))

    @property
    def fewest_nodes(self) -> int:
        """How many nodes run with no tenants at all."""
        cluster = self.settings.cluster
        # Auto Mode goes down to what Flux and CoreDNS need, which one node has.
        return 1 if cluster.compute == "auto" else cluster.nodes.minimum

    @property
    def most_nodes(self) -> int:
        """How many nodes may run."""
        cluster = self.settings.cluster
        return cluster.nodes.cpu_limit // self._instance.cpus if cluster.compute == "auto" else cluster.nodes.maximum

    @property
    def most_tenants(self) -> int:
        """How many tenants have room."""
        return self.most_nodes * self.tenants_per_node

    def estimate(self, count: int, nodes: int | None = None) -> Estimate:
        """With so many tenants on so many nodes, or on as many nodes as they need."""
        needed = max(self.fewest_nodes, math.ceil(count / self.tenants_per_node)) if nodes is None else nodes
        network = [] if self.settings.network.existing or self.settings.cluster.adopt else [*self._network()]
        lines = [*network, *self._cluster(needed), *self._registry(), *self._identity(count)]
        return Estimate(count, needed, lines)

    @property
    def another_tenant(self) -> float:
        """What one tenant more adds where nodes are full and no user is free, in USD."""
        users = self.prices.assumed.users_per_tenant * self._user.usd if self._user else 0
        return self._node / self.tenants_per_node + users

    @property
    def _node(self) -> float:
        unit, settings = self.prices.prices, self.settings.cluster
        fee = 1 + (unit.auto_mode_share.usd if settings.compute == "auto" else 0)
        running = self._instance.usd * fee * self.prices.hours_per_month
        return running + settings.nodes.disk_gib * unit.disk_gib_month.usd

    @property
    def _user(self) -> UserPrice | None:
        return self.prices.users[self.settings.identity.plan] if self.settings.identity else None

    def _logs(self, component: str, what: str, written: float, days: int) -> Iterator[Line]:
        unit, assumed = self.prices.prices, self.prices.assumed
        kept = written * days / DAYS_PER_MONTH * assumed.log_compression
        yield Line(component, f"{what}: {written:g} GB written", written * unit.log_gb.usd)
        stored = kept * unit.log_storage_gb_month.usd
        yield Line(component, f"{what}: {kept:g} GB kept for {days} days, compressed", stored)

    def _network(self) -> Iterator[Line]:
        unit, assumed, settings = self.prices.prices, self.prices.assumed, self.settings.network
        hours, component = self.prices.hours_per_month, "network"
        if gateways := {"none": 0, "single": 1, "perZone": len(settings.zones)}[settings.nat]:
            yield Line(component, f"{_count(gateways, 'NAT gateway')}", gateways * hours * unit.nat_hour.usd)
            addresses = gateways * hours * unit.public_address_hour.usd
            yield Line(component, f"{_count(gateways, 'public IPv4 address', 'es')} for NAT", addresses)
            yield Line(component, f"{assumed.nat_gb:g} GB through NAT", assumed.nat_gb * unit.nat_gb.usd)
        if services := [one for one in settings.endpoints if one not in GATEWAY_ENDPOINTS]:
            zones = len(services) * len(settings.zones)
            what = f"{_count(len(services), 'interface endpoint')} in {len(settings.zones)} zones"
            yield Line(component, what, zones * hours * unit.endpoint_zone_hour.usd)
            through = assumed.endpoint_gb * unit.endpoint_gb.usd
            yield Line(component, f"{assumed.endpoint_gb:g} GB through interface endpoints", through)
        if settings.flow_log_days:
            yield from self._logs(component, "flow logs", assumed.flow_log_gb, settings.flow_log_days)
            yield Line(component, "KMS key of the flow logs", unit.key_month.usd)

    def _cluster(self, nodes: int) -> Iterator[Line]:
        unit, assumed, settings = self.prices.prices, self.prices.assumed, self.settings.cluster
        if settings.adopt:
            return
        component, hours = "cluster", self.prices.hours_per_month
        yield Line(component, "EKS control plane", hours * unit.cluster_hour.usd)
        yield from self._logs(component, "control plane logs", assumed.cluster_log_gb, settings.log_days)
        yield Line(component, "KMS keys of the secrets and the logs", 2 * unit.key_month.usd)
        running = nodes * self._instance.usd * hours
        yield Line("nodes", f"{nodes} x {self._instance_type}", running)
        if settings.compute == "auto":
            yield Line("nodes", "Auto Mode's fee", running * unit.auto_mode_share.usd)
        disk = settings.nodes.disk_gib
        yield Line("nodes", f"{nodes} x {disk} GiB of gp3 disk", nodes * disk * unit.disk_gib_month.usd)

    def _registry(self) -> Iterator[Line]:
        if registry := self.settings.registry:
            stored = len(registry.repositories) * self.prices.assumed.image_gb_per_repository
            what = (
                f"{stored:g} GB of images in {_count(len(registry.repositories), 'repository', plural='repositories')}"
            )
            yield Line("registry", what, stored * self.prices.prices.image_gb_month.usd)
            yield Line("registry", "KMS key of the images", self.prices.prices.key_month.usd)

    def _identity(self, count: int) -> Iterator[Line]:
        if self._user and self.settings.identity:
            users = count * self.prices.assumed.users_per_tenant
            paid = max(0, users - self._user.free)
            what = f"{users:,} active users, {paid:,} beyond the free ones, {self.settings.identity.plan}"
            yield Line("identity", what, paid * self._user.usd)


def _count(number: int, thing: str, ending: str = "s", plural: str = "") -> str:
    return f"{number} {thing if number == 1 else plural or thing + ending}"


def stack_settings(path: Path, name: str) -> tuple[AwsSettings, str]:
    """A stack file's AWS side, and its tenants file. Raises MistakesError with all that is wrong."""
    source = read(path, name)
    place = ("config", "saas-in-eks:aws")
    content = cast("dict[str, Any]", source.content or {})
    config = cast("dict[str, Any]", content.get("config") or {})
    if place[1] not in config:
        raise MistakesError([source.mistake(place, "is missing", "Only what a stack has on AWS can be counted.")])
    settings, found = examined(AwsSettings, source, place)
    if found := [*found, *combinations(settings, source, place)]:
        raise MistakesError(found)
    return settings, str(config.get("saas-in-eks:tenantsFile", "tenants.yaml"))


def render(stack: str, costs: Costs) -> str:
    """docs/costs.md."""
    least, most = costs.estimate(1, costs.fewest_nodes), costs.estimate(costs.most_tenants, costs.most_nodes)
    assumed, prices = costs.prices.assumed, costs.prices
    return f"""# What {stack} costs

Generated by `python -m model.costs` from [`{stack}`](../{stack}) and [`{price_file.FILE}`](../{price_file.FILE});
`make check` says when it is stale. USD a month, on-demand list prices of {prices.region} without tax, discounts or
credits, and except for Cognito's users without AWS' free tier. **An estimate**: no bill stands behind it. In the price
file each price has the page where AWS publishes it, and the month of the newest source that showed it: none was read
from AWS' own pages for this, and the months reach from {min(_seen(prices))} to {max(_seen(prices))}.

## By component

With one tenant on {least.nodes} nodes, the fewest, and with {most.tenants} tenants on {most.nodes}, the most.

{_table(("component", "fewest nodes", "most nodes"), _by_component(least, most))}

Line by line:

{_table(("component", "what, with the most nodes", "USD"), _by_line(most))}

## By tenant

A tenant is assumed to ask for {assumed.tenant_cpus:g} CPUs and to have {assumed.users_per_tenant:,} active users;
tenants have {assumed.usable_cpus:.0%} of a node's CPUs: {costs.tenants_per_node} tenants a node. Everything is shared,
so each bears an equal part. Another tenant costs nothing as long as the nodes have room and users are free. In the
long run it costs {_usd(costs.another_tenant)}: its part of a node and its users.

{_table(("tenants", "nodes", "all together", "each tenant"), _by_tenants(costs))}

`python -m model.costs --tenants` tells it for the tenants that the stack has today. What a tenant did cost is in Cost
Explorer, by the tag `tenant`, for what belongs to one tenant alone.

## What choices cost

| instead of what {stack} has | USD |
|---|---:|
{_choices(costs)}

## Assumed

{_assumed(costs)}

The numbers are in [`{price_file.FILE}`](../{price_file.FILE}): put in what your own bill says. CloudWatch's part is the
least certain; the audit log of a busy API server is most of it.

## Not counted

- What tenants bring: load balancers, volumes, databases, queues, and their pods' logs and metrics.
- Traffic to the internet, between zones and between regions.
- Requests to KMS, scans beyond ECR's basic one, queries of logs.
- Cognito's text messages and e-mails, tokens for machines, users who come through SAML or OIDC.
- KMS' first two yearly rotations, each {_usd(prices.prices.key_month.usd)} a month and key more.
- Nodes that come and go: spot prices, Savings Plans, what an upgrade runs twice for a while.
- The state's backend, GitHub, AWS' support plans, tax.
- The credits and the free tier of a new account.
"""


def _seen(prices: Prices) -> list[str]:
    unit = [getattr(prices.prices, name) for name in type(prices.prices).model_fields]
    return [price.seen for price in (*unit, *prices.instances.values(), *prices.users.values())]


def _table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    numbers = ["---:" if title in NUMBERS else "---" for title in titles]
    return "\n".join("| " + " | ".join(row) + " |" for row in (titles, numbers, *rows))


def _usd(amount: float) -> str:
    return f"{amount:,.2f}"


def _by_line(estimate: Estimate) -> Iterator[Sequence[str]]:
    return ((line.component, line.what, _usd(line.usd)) for line in estimate.lines)


def _by_component(least: Estimate, most: Estimate) -> Iterator[Sequence[str]]:
    for component in dict.fromkeys(line.component for line in most.lines):
        yield (
            component,
            *(_usd(sum(line.usd for line in it.lines if line.component == component)) for it in (least, most)),
        )
    yield "**all**", f"**{_usd(least.total)}**", f"**{_usd(most.total)}**"


def _by_tenants(costs: Costs) -> Iterator[Sequence[str]]:
    for count in sorted({1, 10, 25, costs.most_tenants}):
        if count <= costs.most_tenants:
            it = costs.estimate(count)
            yield str(count), str(it.nodes), _usd(it.total), _usd(it.per_tenant)


def _choices(costs: Costs) -> str:
    settings, network = costs.settings, costs.settings.network
    kept = [one for one in network.endpoints if one in GATEWAY_ENDPOINTS]
    others: dict[str, dict[str, Any]] = {"no flow logs": {"flow_log_days": 0}}
    if network.nat != "none":
        others = {
            "one NAT gateway, whose zone takes all others with it": {"nat": "single"},
            "no interface endpoints, so that NAT carries their traffic": {"endpoints": kept},
            **others,
        }
    now, rows = costs.estimate(1).total, list[str]()
    for what, change in others.items():
        changed = settings.model_copy(update={"network": network.model_copy(update=change)})
        difference = Costs(changed, costs.prices).estimate(1).total - now
        if "endpoints" in change and difference:
            difference += costs.prices.assumed.endpoint_gb * costs.prices.prices.nat_gb.usd
        if difference:
            rows.append(f"| {what} | {difference:+,.2f} |")
    return "\n".join(rows)


def _assumed(costs: Costs) -> str:
    assumed = costs.prices.assumed
    return "\n".join(
        f"- {line}"
        for line in (
            f"{assumed.nat_gb:g} GB through NAT, {assumed.endpoint_gb:g} GB through interface endpoints",
            f"{assumed.cluster_log_gb:g} GB of control plane logs and {assumed.flow_log_gb:g} GB of flow logs, stored "
            f"at {assumed.log_compression:.0%} of their size",
            f"{assumed.image_gb_per_repository:g} GB of images in a repository",
            "nodes that run all the time, on demand",
        )
    )


def main() -> int:
    """Write the file, check it, or print what today's tenants cost."""
    parser = argparse.ArgumentParser(prog="python -m model.costs", description=main.__doc__)
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument("--check", action="store_true", help="only tell whether docs/costs.md is up to date")
    choice.add_argument("--tenants", action="store_true", help="only print what today's tenants.yaml costs")
    arguments = parser.parse_args()
    try:
        settings, tenants_file = stack_settings(CHECKOUT / STACK, STACK)
        costs = Costs(settings, price_file.load(CHECKOUT))
        if arguments.tenants:
            there = costs.estimate(len(tenants.load(CHECKOUT / tenants_file, tenants_file)))
            sys.stdout.write(
                f"{_count(there.tenants, 'tenant')} on {_count(there.nodes, 'node')}: {_usd(there.total)} USD a month, "
                f"{_usd(there.per_tenant)} each; one more for good {_usd(costs.another_tenant)}.\n"
            )
            return 0
        text = render(STACK, costs)
    except MistakesError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    if not arguments.check:
        FILE.write_text(text, encoding="utf-8")
        return 0
    if FILE.exists() and FILE.read_text(encoding="utf-8") == text:
        return 0
    sys.stderr.write("docs/costs.md is stale: run `python -m model.costs`.\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
