"""What a tenant has where its entry does not say: from the defaults, from its tier, from what is built in.

The later place wins: built-in tier, `tiers.<name>` of the file, `defaults`, the tenant's own entry. Mappings are merged
key by key, lists are replaced.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from model.config.document import Place
from model.config.tiers import BASIC, BUILT_IN, DEFAULT_TIER, TENANT

REFERENCES = ("branch", "tag", "semver", "commit")
"""How a source's revision can be chosen; one of them replaces any other."""


@dataclass(frozen=True)
class Layer:
    """What one place says."""

    name: str
    """How people call the place."""
    place: Place | None
    """Where it stands in the document; None for what is built in."""
    values: Mapping[str, Any]

    def says(self, path: Place) -> bool:
        """Whether the value at a path, or something around it that is no mapping, is said here."""
        current: Any = self.values
        for step in path:
            if not isinstance(current, dict):
                return True
            if step not in current:
                return False
            current = cast("dict[str | int, Any]", current)[step]
        return True


def origin(layers: Sequence[Layer], path: Place) -> Layer:
    """The last layer that says something about a path; the first one where none does."""
    return next((layer for layer in reversed(layers) if layer.says(path)), layers[0])


def merged(layers: Sequence[Layer]) -> dict[str, Any]:
    """What all layers say together."""
    whole: dict[str, Any] = {}
    for layer in layers:
        whole = _over(whole, layer.values)
    return whole


def written(layers: Sequence[Layer], paths: Iterable[Place]) -> Place:
    """Where in the document to change one of these: the last place that says something about any."""
    paths = list(paths)
    for layer in reversed(layers):
        for path in paths:
            if layer.place is not None and layer.says(path):
                return (*layer.place, *path)
    return layers[-1].place or ()


@dataclass(frozen=True)
class Inheritance:
    """What lies below the tenants' own entries in a document."""

    tiers: Mapping[str, Mapping[str, Any]]
    """The file's own."""
    defaults: Mapping[str, Any]
    _merged: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]], repr=False)

    @property
    def known_tiers(self) -> Sequence[str]:
        """The names of all tiers."""
        return [*dict.fromkeys([*BUILT_IN, *self.tiers])]

    def tier(self, entry: Any) -> Any:
        """The tier that an entry of `tenants` names or gets; anything at all where that is wrong."""
        own: Any = cast("dict[str, Any]", entry).get("tier") if isinstance(entry, dict) else None
        return self.defaults.get("tier", DEFAULT_TIER) if own is None else own

    def of_tier(self, name: Any) -> list[Layer]:
        """The layers of a tier, the lowest first. One that does not exist is as basic."""
        layers = [Layer("basic (built in)", None, BASIC)]
        if BUILT_IN.get(name):
            layers.append(Layer(f"{name} (built in)", None, BUILT_IN[name]))
        if name in self.tiers:
            layers.append(Layer(f"tiers.{name}", ("tiers", name), self.tiers[name]))
        return layers

    def layers(self, entry: Any, place: Place) -> list[Layer]:
        """Everything that says something about an entry of `tenants`, which stands at `place`, itself last."""
        own = cast("dict[str, Any]", entry) if isinstance(entry, dict) else {}
        inherited = [*self.of_tier(_word(self.tier(entry))), Layer("defaults", ("defaults",), self.defaults)]
        return [*inherited, Layer("its entry", place, own)]

    def merged(self, entry: Any) -> Any:
        """An entry of `tenants` with all that it inherits; what is no mapping as it is."""
        if not isinstance(entry, dict):
            return entry
        own = cast("dict[str, Any]", entry)
        tier = _word(self.tier(own))
        if tier not in self._merged:
            self._merged[tier] = _over(merged(self.of_tier(tier)), self.defaults)
        whole = _over(self._merged[tier], own)
        if "source" in {*own, *self.defaults}:
            whole["source"] = _source(self.defaults.get("source"), own.get("source"))
        name, hosts = own.get("name"), whole.get("hosts")
        if isinstance(name, str) and isinstance(hosts, list):
            listed = cast("list[Any]", hosts)
            whole["hosts"] = [host.replace(TENANT, name) if isinstance(host, str) else host for host in listed]
        return whole


def _word(name: Any) -> str:
    return name if isinstance(name, str) else ""


def _over(lower: Mapping[str, Any], upper: Mapping[str, Any]) -> dict[str, Any]:
    merged = {**lower, **upper}
    for key, value in upper.items():
        below = lower.get(key)
        if isinstance(value, dict) and isinstance(below, dict):
            merged[key] = _over(cast("dict[str, Any]", below), cast("dict[str, Any]", value))
    return merged


def _source(default: Any, own: Any) -> Any:
    """An entry's own source over the defaults'; a revision of its own replaces a default one of any kind."""
    if not isinstance(default, dict) or not (own is None or isinstance(own, dict)):
        return cast("Any", default if own is None else own)
    mine, theirs = cast("dict[str, Any]", own or {}), cast("dict[str, Any]", default)
    if any(kind in mine for kind in REFERENCES):
        theirs = {key: value for key, value in theirs.items() if key not in REFERENCES}
    return {**theirs, **mine}
