"""Merges what a tenant inherits: built-in tier < `tiers.<name>` < `defaults` < the tenant's own entry.

A tenant of a shared product has another interval built in, and its product's shard, whatever its tier and the defaults
say. Mappings are merged key by key, lists are replaced. Each layer knows its place in the file, so that a problem of
the merged value is reported at the line that defined it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

from model.config.errors import Problem
from model.config.names import DEFAULT_SHARD
from model.config.sources import REFERENCES
from model.config.tiers import BASIC, BUILT_IN, DEFAULT_TIER, SHARED_INTERVAL, TENANT
from model.config.yaml_lines import YamlFile, YamlPath


@dataclass(frozen=True)
class Layer:
    """The values that one place defines."""

    name: str
    """The place's name in tables for people."""
    path: YamlPath | None
    """Its path in the file; None for built-in values."""
    values: Mapping[str, Any]

    def defines(self, path: YamlPath) -> bool:
        """Whether this layer defines the value at a path, or replaces a mapping around it."""
        current: Any = self.values
        for step in path:
            if not isinstance(current, dict):
                return True
            if step not in current:
                return False
            current = cast("dict[str | int, Any]", current)[step]
        return True


def winning_layer(layers: Sequence[Layer], path: YamlPath) -> Layer:
    """The layer whose value holds: the last one that defines the path."""
    return next((layer for layer in reversed(layers) if layer.defines(path)), layers[0])


def source_path(layers: Sequence[Layer], paths: Iterable[YamlPath]) -> YamlPath:
    """The path in the file at which to change one of these values: in the last layer that defines any of them.

    A value that no layer defines is added to the last one.
    """
    paths = list(paths)
    for layer in reversed(layers):
        for path in paths:
            if layer.path is not None and layer.defines(path):
                return (*layer.path, *path)
    return (*(layers[-1].path or ()), *paths[0])


@dataclass(frozen=True)
class Inheritance:
    """The layers of a tenants.yaml. Values of a wrong type are skipped here and refused by validation."""

    file: YamlFile

    @cached_property
    def _content(self) -> dict[str, Any]:
        return _mapping(self.file.content)

    @cached_property
    def tiers(self) -> Mapping[str, Any]:
        """The file's own tiers."""
        return _mapping(self._content.get("tiers"))

    @cached_property
    def defaults(self) -> Mapping[str, Any]:
        """The file's defaults."""
        return _mapping(self._content.get("defaults"))

    @cached_property
    def products(self) -> Mapping[str, Any]:
        """The file's products, as they are written."""
        return _mapping(self._content.get("products"))

    @cached_property
    def entries(self) -> Sequence[Any]:
        """The file's tenants, as they are written."""
        entries: Any = self._content.get("tenants")
        return cast("list[Any]", entries) if isinstance(entries, list) else []

    @cached_property
    def known_tiers(self) -> Sequence[str]:
        """The names of all tiers."""
        return [*dict.fromkeys([*BUILT_IN, *self.tiers])]

    def tier_layers(self, name: Any) -> list[Layer]:
        """The layers of a tier, lowest first. An unknown tier has those of basic."""
        layers = [Layer("basic (built in)", None, BASIC)]
        if isinstance(name, str):
            if BUILT_IN.get(name):
                layers.append(Layer(f"{name} (built in)", None, BUILT_IN[name]))
            if name in self.tiers:
                layers.append(Layer(f"tiers.{name}", ("tiers", name), _mapping(self.tiers[name])))
        return layers

    def tenant_layers(self, index: int) -> list[Layer]:
        """The layers of a tenant, lowest first: its tier, the defaults, its product, its entry."""
        entry = _mapping(self.entries[index])
        tier = entry.get("tier") or self.defaults.get("tier") or DEFAULT_TIER
        layers = [*self.tier_layers(tier), Layer("defaults", ("defaults",), self.defaults)]
        product = self._product(entry)
        if product is not None:
            layers.insert(1, Layer("shared product (built in)", None, {"interval": SHARED_INTERVAL}))
        if isinstance(product, str) and isinstance(self.products.get(product), dict):
            # Artifacts of a source can be fetched within its shard only.
            shard = self.products[product].get("shard", DEFAULT_SHARD)
            layers.append(Layer(f"products.{product}", ("products", product), {"shard": shard}))
        return [*layers, Layer("its entry", ("tenants", index), entry)]

    def _product(self, entry: Mapping[str, Any]) -> Any:
        """The product of a tenant; None for a source of its own. What its entry names wins over the defaults."""
        if "product" in entry or "source" in entry:
            return entry.get("product")
        return self.defaults.get("product")

    def merged(self) -> Any:
        """The file's content with every tier and tenant complete. Entries of a wrong type stay as they are."""
        if not isinstance(self.file.content, dict):
            return self.file.content
        content = dict(self._content)
        if isinstance(content.get("tiers"), dict):
            content["tiers"] = {
                name: merge(self.tier_layers(name)) if isinstance(tier, dict) else tier
                for name, tier in self.tiers.items()
            }
        if isinstance(content.get("tenants"), list):
            content["tenants"] = [
                self._merged_tenant(index) if isinstance(entry, dict) else entry
                for index, entry in enumerate(self.entries)
            ]
        return content

    def _merged_tenant(self, index: int) -> dict[str, Any]:
        entry = _mapping(self.entries[index])
        tenant = merge(self.tenant_layers(index))
        tenant["product"] = self._product(entry)
        if tenant["product"] is None:
            # Values of a tier are for the tenants of products in it.
            tenant["values"] = entry.get("values", {})
        product = self.products.get(tenant["product"]) if isinstance(tenant["product"], str) else None
        if not _mapping(product).get("rings"):
            # A ring of a tier is for the tenants of products with rings.
            tenant["ring"] = entry.get("ring")
        if tenant["product"] is not None and "source" not in entry:
            tenant.pop("source", None)
        elif "source" in tenant:
            tenant["source"] = _merged_source(self.defaults.get("source"), entry.get("source"))
        if isinstance(name := entry.get("name"), str):
            tenant["hosts"] = _named(tenant.get("hosts"), name)
            tenant["values"] = _named(tenant.get("values"), name)
        return tenant

    def source_path(self, path: YamlPath) -> YamlPath:
        """The path in the file that defined the value at a path of the merged content."""
        match path:
            case ("tenants", int(index), *inner):
                return source_path(self.tenant_layers(index), [tuple(inner)])
            case _:
                return path

    def problem(self, index: int, path: YamlPath, message: str, remedy: str) -> Problem:
        """A problem of a tenant, at the line that defined the value: in its entry, the defaults or its tier."""
        return self.file.problem(self.source_path(("tenants", index, *path)), message, remedy)


def merge(layers: Iterable[Layer]) -> dict[str, Any]:
    """The values of all layers together; later layers win."""
    merged: dict[str, Any] = {}
    for layer in layers:
        merged = _merge(merged, layer.values)
    return merged


def _merge(lower: Mapping[str, Any], upper: Mapping[str, Any]) -> dict[str, Any]:
    merged = {**lower, **upper}
    for key, value in upper.items():
        below = lower.get(key)
        if isinstance(value, dict) and isinstance(below, dict):
            merged[key] = _merge(cast("dict[str, Any]", below), cast("dict[str, Any]", value))
    return merged


def _merged_source(default: Any, own: Any) -> Any:
    """A tenant's source merged with the default source, less the default's revision if it chooses its own."""
    if not isinstance(default, dict) or not (own is None or isinstance(own, dict)):
        return cast("Any", default if own is None else own)
    mine, inherited = cast("dict[str, Any]", own or {}), cast("dict[str, Any]", default)
    if any(kind in mine for kind in REFERENCES):
        inherited = {key: value for key, value in inherited.items() if key not in REFERENCES}
    return {**inherited, **mine}


def _named(value: Any, tenant: str) -> Any:
    """The value with the tenant's name in place of the placeholder, in every text of a list or mapping."""
    if isinstance(value, str):
        return value.replace(TENANT, tenant)
    if isinstance(value, list):
        return [_named(inner, tenant) for inner in cast("list[Any]", value)]
    if isinstance(value, dict):
        return {key: _named(inner, tenant) for key, inner in cast("dict[Any, Any]", value).items()}
    return value


def _mapping(value: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}
