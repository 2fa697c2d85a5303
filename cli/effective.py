"""Tables of tenants' effective settings, with the line that defines each value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TextIO, cast

from rich.console import Console
from rich.table import Table

from model.config.inheritance import Layer, winning_layer
from model.config.tenants import Tenant, TenantList
from model.config.tiers import Tier
from model.config.yaml_lines import YamlFile, YamlPath

UNLIMITED = 10_000


def overview(listed: TenantList) -> Table:
    """A row for each tenant: its tier, its most important settings, and the keys of its own entry."""
    table = new_table("tenant", "tier", "state", "cpu", "memory", "pods", "pod security", "role", "own settings")
    for column in table.columns[3:6]:
        column.justify = "right"
    for index, tenant in enumerate(listed.tenants):
        own = listed.inheritance.tenant_layers(index)[-1].values
        quota = [tenant.quota.get(key, "any") for key in ("requests.cpu", "requests.memory", "pods")]
        table.add_row(
            tenant.name,
            tenant.tier,
            tenant.state,
            *quota,
            tenant.pod_security,
            tenant.role,
            ", ".join(_own_settings(own)),
        )
    return table


def departed(listed: TenantList) -> Table:
    """A row for each tenant that has left."""
    table = new_table("departed", "since", "backup", "break glass")
    for left in listed.content.departed:
        table.add_row(left.name, left.since, left.backup.id if left.backup else "none", left.break_glass or "")
    return table


def settings(listed: TenantList, name: str) -> Table:
    """Every setting of a tenant with its value and the line that defines it. Raises KeyError for an unknown tenant."""
    index = next((index for index, tenant in enumerate(listed.tenants) if tenant.name == name), None)
    if index is None:
        raise KeyError(name)
    layers = listed.inheritance.tenant_layers(index)
    table = new_table("setting", "from", "value")  # a long value last: in a pipe, columns are as wide as their longest
    for path, value in _values(listed.tenants[index], layers):
        table.add_row(" ".join(map(str, path)), _source(listed.inheritance.file, layers, path), value)
    return table


def print_table(table: Table, file: TextIO | None = None) -> None:
    """Print a table, to a pipe or file as plain text without wrapping."""
    console = Console(file=file, highlight=False, markup=False)
    if console.is_terminal:
        console.print(table)
        return
    console.width = UNLIMITED
    with console.capture() as output:
        console.print(table)
    for line in output.get().splitlines():
        print(line.rstrip(), file=file)


def new_table(*columns: str) -> Table:
    """A table without lines."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(column, overflow="fold")  # a terminal's width wraps values, but never cuts them
    return table


def _values(tenant: Tenant, layers: Sequence[Layer]) -> Iterator[tuple[YamlPath, str]]:
    whole = tenant.model_dump(by_alias=True, exclude_none=True)
    order = [
        "name",
        "tier",
        "suspended",
        "leaving",
        "product",
        "source",
        "keyGeneration",
        "keyConfirmed",
        *(field.alias or name for name, field in Tier.model_fields.items()),
        "images",
        "patches",
        "pin",
        "synthetic",
        "aws",
    ]
    for key in order:
        if key in whole:
            yield from _leaves((key,), whole[key])
        if key == "quota":
            lifted = {path for layer in layers for path in _nulls(("quota",), layer.values.get("quota"))}
            yield from ((path, "no limit") for path in sorted(lifted) if path[-1] not in tenant.quota)


def _leaves(path: YamlPath, value: Any) -> Iterator[tuple[YamlPath, str]]:
    if isinstance(value, dict):
        for key, inner in cast("dict[str, Any]", value).items():
            yield from _leaves((*path, key), inner)
    elif isinstance(value, list):
        empty = "any" if path == ("registries",) else "none"
        yield path, "; ".join(_short(item) for item in cast("list[Any]", value)) or empty
    else:
        yield path, _short(value)


def _nulls(path: YamlPath, value: Any) -> Iterator[YamlPath]:
    if isinstance(value, dict):
        yield from ((*path, key) for key, inner in cast("dict[str, Any]", value).items() if inner is None)


def _short(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_short(inner)}" for key, inner in cast("dict[str, Any]", value).items() if inner)
    if isinstance(value, list):
        return " ".join(_short(item) for item in cast("list[Any]", value))
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def _source(file: YamlFile, layers: Sequence[Layer], path: YamlPath) -> str:
    layer = winning_layer(layers, path)
    return layer.name if layer.path is None else f"{layer.name}, line {file.line((*layer.path, *path))}"


def _own_settings(own: Mapping[str, Any]) -> Iterator[str]:
    for field, info in Tier.model_fields.items():
        key = info.alias or field
        if isinstance(own.get(key), dict):
            yield from (f"{key}.{inner}" for inner in cast("dict[str, Any]", own[key]))
        elif key in own:
            yield key
