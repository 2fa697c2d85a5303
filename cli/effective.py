"""What tenants really get, and where each value comes from: `python -m cli.effective [TENANT]`."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from cli.text_table import text_table
from model.config import document, tenants
from model.config.document import Document, Place
from model.config.inheritance import Layer, origin
from model.config.mistakes import MistakesError, nearest
from model.config.tenants import Tenant
from model.config.tiers import Tier

CHECKOUT = Path(__file__).resolve().parent.parent
FILE = "tenants.yaml"


def overview(source: Document) -> str:
    """A line for each tenant: its tier, the settings that people ask for most, and what differs from its tier."""
    rows: list[Sequence[str]] = []
    for index, tenant in enumerate(tenants.parse(source)):
        own = tenants.origins(source, index)[-1].values
        quota = [tenant.quota.get(key, "any") for key in ("requests.cpu", "requests.memory", "pods")]
        rows.append([tenant.name, tenant.tier, *quota, tenant.pod_security, tenant.role, ", ".join(_changed(own))])
    head = ("tenant", "tier", "cpu", "memory", "pods", "pod security", "role", "its own")
    return text_table(head, rows, numbers=(2, 3, 4))


def settings(source: Document, name: str) -> str:
    """Each setting of one tenant with its value and its origin. Raises KeyError where there is no such tenant."""
    entries = tenants.parse(source)
    index = next((index for index, tenant in enumerate(entries) if tenant.name == name), None)
    if index is None:
        raise KeyError(name)
    layers = tenants.origins(source, index)
    rows = [[_spelled(path), value, _where(source, layers, path)] for path, value in _values(entries[index], layers)]
    return text_table(("setting", "value", "from"), rows)


def _values(tenant: Tenant, layers: Sequence[Layer]) -> Iterator[tuple[Place, str]]:
    whole = tenant.model_dump(by_alias=True, exclude_none=True)
    order = ["name", "tier", "source", *(field.alias or name for name, field in Tier.model_fields.items()), "aws"]
    for key in order:
        if key in whole:
            yield from _leaves((key,), whole[key])
        if key == "quota":
            lifted = {path for layer in layers for path in _nulls(("quota",), layer.values.get("quota"))}
            yield from ((path, "no limit") for path in sorted(lifted) if path[-1] not in tenant.quota)


def _leaves(path: Place, value: Any) -> Iterator[tuple[Place, str]]:
    if isinstance(value, dict):
        for key, inner in cast("dict[str, Any]", value).items():
            yield from _leaves((*path, key), inner)
    elif isinstance(value, list):
        nothing = "any" if path == ("registries",) else "none"
        yield path, "; ".join(_brief(item) for item in cast("list[Any]", value)) or nothing
    else:
        yield path, _brief(value)


def _nulls(path: Place, value: Any) -> Iterator[Place]:
    if isinstance(value, dict):
        yield from ((*path, key) for key, inner in cast("dict[str, Any]", value).items() if inner is None)


def _brief(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_brief(inner)}" for key, inner in cast("dict[str, Any]", value).items() if inner)
    if isinstance(value, list):
        return " ".join(_brief(item) for item in cast("list[Any]", value))
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def _where(source: Document, layers: Sequence[Layer], path: Place) -> str:
    layer = origin(layers, path)
    if layer.place is None:
        return layer.name
    inner = path
    while (*layer.place, *inner) not in source.lines and inner:
        inner = inner[:-1]
    return f"{layer.name}, line {source.line((*layer.place, *inner))}"


def _changed(own: Mapping[str, Any]) -> Iterator[str]:
    for field, info in Tier.model_fields.items():
        key = info.alias or field
        if isinstance(own.get(key), dict):
            yield from (f"{key}.{inner}" for inner in cast("dict[str, Any]", own[key]))
        elif key in own:
            yield key


def _spelled(path: Place) -> str:
    return " ".join(map(str, path))


def main() -> int:
    """Print the table of all tenants, or of the one that is named."""
    try:
        source = document.read(CHECKOUT / FILE, FILE)
        if len(sys.argv) < 2:
            print(overview(source))
            return 0
        names = [tenant.name for tenant in tenants.parse(source)]
        if sys.argv[1] not in names:
            sys.stderr.write(f"{FILE} has no tenant {sys.argv[1]!r}. {nearest(sys.argv[1], names)}\n")
            return 1
        print(settings(source, sys.argv[1]))
    except MistakesError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
