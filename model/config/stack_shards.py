"""Shards of a stack: its tenants in several stacks, each with a state of its own.

Flux's controllers have shards, too, which are something else: model/kubernetes/shards.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Any

from pydantic import Field

from model.config.base import Finding, Model
from model.config.errors import Problem
from model.config.tenants import Tenant, TenantList
from model.config.yaml_lines import YamlFile

MAXIMUM_SHARDS = 100
MOVING_TO = "movingTo"
"""Key of a tenant in the outputs of a stack: the stack to which `./saas shard move` is moving the tenant's state."""


class StackShard(Model):
    """Which part of the tenants a stack has. Without an index it is the platform's stack, which has none of them."""

    count: int = Field(ge=1, le=MAXIMUM_SHARDS)
    index: int | None = Field(default=None, ge=1)


def hashed_shard(name: str, count: int) -> int:
    """The shard of a tenant by its name: 1 to `count`.

    The shard with the highest hash wins, so that another shard takes its share of all others and moves nothing else.
    """
    return max(range(1, count + 1), key=lambda index: sha256(f"{index}/{name}".encode()).digest())


def shard_of(tenant: Tenant, count: int) -> int:
    """The shard that a tenant's entry names, or that of its name's hash."""
    return tenant.stack_shard or hashed_shard(tenant.name, count)


def stack_name(platform: str, index: int) -> str:
    """The name of a shard's stack. It is fixed, so that no two stacks can have the same tenants."""
    return f"{platform}-{index}"


def shard_names(platform: str, count: int) -> list[str]:
    """The names of the stacks of all shards."""
    return [stack_name(platform, index) for index in range(1, count + 1)]


def tenants_of(listed: TenantList, shard: StackShard | None) -> TenantList:
    """The tenants that a stack has, and the products if it is the platform's."""
    if shard is None:
        return listed
    here = [
        index
        for index, tenant in enumerate(listed.tenants)
        if shard.index is not None and shard_of(tenant, shard.count) == shard.index
    ]
    return listed.part(here, products=shard.index is None)


def configuration_findings(shard: StackShard | None, platform: str, stack: str) -> Iterator[Finding]:
    """A shard's keys that do not go together, or not with the stack's name."""
    index = shard.index if shard else None
    if platform and (shard is None or index is None):
        remedy = f"Write `shard: {{count: 5, index: 1}}`, as in {stack_name(platform, 1)}, the first of five."
        yield ("platform",), f"a stack of {platform}'s tenants needs the shard that it has", remedy
    elif shard and index and not platform:
        remedy = "Add `platform:`, the stack of the cluster; or remove index in the platform's own stack."
        yield ("shard", "index"), "a shard needs the stack of its platform", remedy
    elif shard and index and index > shard.count:
        yield ("shard", "index"), f"there is no shard {index} of {shard.count}", f"Write 1 to {shard.count}."
    elif index and stack != (name := stack_name(platform, index)):
        message = f"the stack of this shard is called {name}, not {stack}"
        yield ("shard", "index"), message, "Rename the stack, or correct the index: so no two stacks have one tenant."


def foreign_keys(own: Sequence[str], platform_file: str) -> Iterator[Finding]:
    """Keys in the file of a shard's stack that the platform's stack decides."""
    for key in own:
        if key not in ("platform", "shard"):
            yield (key,), f"{key} is the same for all shards", f"Write it in {platform_file} only."


def written_shards(listed: TenantList, shard: StackShard | None) -> Iterator[Problem]:
    """Shards in tenants' entries that the stack does not have."""
    for index, tenant in enumerate(listed.tenants):
        if shard and tenant.stack_shard and tenant.stack_shard > shard.count:
            message = f"there is no shard {tenant.stack_shard} of {shard.count}"
            remedy = f"Write 1 to {shard.count}, or remove it for the shard of the name's hash."
            yield listed.problem(index, ("stackShard",), message, remedy)


def displaced(
    everyone: TenantList,
    here: TenantList,
    shard: StackShard | None,
    stack: str,
    platform: str,
    outputs: Mapping[str, Mapping[str, Any]],
) -> Iterator[Problem]:
    """Tenants whose state is in another stack than that of their shard, if either is this stack, or has no shard now.

    `outputs` are those of the platform's stack and of its shards after their last update. Without this, the stack that
    has a tenant would delete it, and another would take its objects over.
    """
    names = {tenant.name for tenant in here.tenants}
    stacks = {platform, *shard_names(platform, shard.count if shard else 0)}
    for index, tenant in enumerate(everyone.tenants):
        for holder, values in outputs.items():
            misplaced = (holder == stack) != (tenant.name in names) or holder not in stacks
            if tenant.name in values.get("tenants", {}) and misplaced:
                owner = stack_name(platform, shard_of(tenant, shard.count)) if shard else platform
                message = f"{tenant.name} belongs to the stack {owner}, and its state is in {holder}"
                remedy = f"Move it with `./saas shard move {tenant.name} --platform {platform}`, then run this again."
                yield everyone.problem(index, ("name",), message, remedy)


def unfinished_moves(
    everyone: TenantList, stack: str, platform: str, outputs: Mapping[str, Mapping[str, Any]]
) -> Iterator[Problem]:
    """Tenants whose move from or to this stack was interrupted.

    Their state may be in either stack or in both, wherever their entries say by now that they belong.
    """
    indexes = {tenant.name: index for index, tenant in enumerate(everyone.tenants)}
    for holder, values in outputs.items():
        for name, summary in values.get("tenants", {}).items():
            target = summary.get(MOVING_TO)
            if target and stack in (holder, target):
                message = f"the move of {name} from {holder} to {target} was interrupted"
                if name in indexes:
                    remedy = f"Run `./saas shard move {name} --platform {platform}`, then this again."
                    yield everyone.problem(indexes[name], ("name",), message, remedy)
                else:
                    remedy = f"Restore its entry, run `./saas shard move {name} --platform {platform}`, and go on then."
                    yield everyone.inheritance.file.problem(("tenants",), message, remedy)


def outdated_platform(
    file: YamlFile, shard: StackShard | None, platform: str, outputs: Mapping[str, Any]
) -> Iterator[Problem]:
    """A platform whose last update made none of what its shards need, or has another number of them."""
    found = int(outputs.get("shards", 0))
    if shard and found != shard.count:
        known = f"{found} shards" if found else "no shards"
        message = f"{platform} had {known} after its last update, not {shard.count}"
        yield file.problem(("shard",), message, f"Run `pulumi up --stack {platform}` first.")


def products_in_use(listed: TenantList, itself: str, outputs: Mapping[str, Mapping[str, Any]]) -> Iterator[Problem]:
    """Products that the file lacks, and that a tenant of a shard still runs after its last update."""
    users: dict[str, tuple[str, str]] = {}
    for stack, values in outputs.items():
        # The platform's own tenants, if it has any, go in the same update.
        for tenant, summary in values.get("tenants", {}).items() if stack != itself else ():
            if (product := summary.get("product")) and product not in listed.products:
                users.setdefault(product, (tenant, stack))
    for product, (tenant, stack) in sorted(users.items()):
        message = f"{tenant} runs the product {product} until the next update of the stack {stack}"
        remedy = f"Restore products.{product}, run `pulumi up --stack {stack}`, and remove it then."
        yield listed.inheritance.file.problem(("products",), message, remedy)


def flux_shards_until_now(outputs: Mapping[str, Mapping[str, Any]]) -> dict[str, bool]:
    """Shards of Flux' controllers that tenants of any stack had after its last update, and whether one has charts.

    The platform's stack is updated first: controllers have to stay until the shards' stacks have deleted what they
    finalize.
    """
    found: dict[str, bool] = {}
    for values in outputs.values():
        for name, charts in values.get("fluxShards", {}).items():
            found[name] = found.get(name, False) or charts
    return found
