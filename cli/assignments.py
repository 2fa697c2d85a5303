"""Settings on a command line, such as `quota.requests.cpu=4`, by the keys that tenants.yaml knows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import NoneType
from typing import Any, cast, get_args, get_origin

from cli.errors import CommandError
from model.config import yaml_lines
from model.config.base import Model
from model.config.errors import InvalidConfigError, suggestion
from model.config.tenants import Tenant
from model.config.yaml_lines import YamlPath


def assignment(text: str) -> tuple[YamlPath, Any]:
    """Path and value of KEY=VALUE. The value is YAML, except for a key that takes text only."""
    name, found, value = text.partition("=")
    if not found:
        raise CommandError(f"{text!r} sets nothing", "Write KEY=VALUE, such as --set quota.requests.cpu=4.")
    path, annotation = _resolved(name)
    if (kinds := set(_kinds(annotation))) and kinds <= {str, NoneType}:
        return path, value
    try:
        return path, yaml_lines.parse(value, f"--set {name}").content
    except InvalidConfigError as error:
        raise CommandError(str(error.problems[0])) from None


def key(name: str) -> YamlPath:
    """The path of a key in dotted notation; what is below a mapping with free keys is one key."""
    return _resolved(name)[0]


def nested(assignments: Iterable[tuple[YamlPath, Any]]) -> dict[str, Any]:
    """The values by their paths."""
    content: dict[str, Any] = {}
    for path, value in assignments:
        holder = content
        for step in path[:-1]:
            holder = holder.setdefault(cast("str", step), {})
        holder[cast("str", path[-1])] = value
    return content


def differences(wanted: Mapping[str, Any], found: Mapping[str, Any], path: YamlPath = ()) -> Iterator[YamlPath]:
    """Where `found` lacks a value of `wanted`, or has another one."""
    for name, value in wanted.items():
        own = found.get(name)
        if isinstance(value, dict) and isinstance(own, dict):
            yield from differences(cast("dict[str, Any]", value), cast("dict[str, Any]", own), (*path, name))
        elif name not in found or value != own or type(value) is not type(own):
            yield (*path, name)


def _resolved(name: str) -> tuple[YamlPath, Any]:
    path: YamlPath = ()
    model: type[Model] = Tenant
    words = name.split(".")
    if words[0] == "name":
        raise CommandError("a tenant's name never changes", "Add another tenant, and let this one leave.")
    while True:
        word = words.pop(0)
        fields = {field.alias or own: field for own, field in model.model_fields.items()}
        if word not in fields:
            holder = f" of {yaml_lines.dotted(path)}" if path else ""
            remedy = model.unsupported.get(word) or suggestion(word, fields)
            raise CommandError(f"unknown key {word!r}{holder}", remedy)
        annotation: Any = fields[word].annotation
        path = (*path, word)
        if not words:
            return path, annotation
        kinds = list(_kinds(annotation))
        if dict in kinds:
            return (*path, ".".join(words)), None
        inner = next((kind for kind in kinds if issubclass(kind, Model)), None)
        if inner is None:
            raise CommandError(f"{word!r} has no keys", f"Write {yaml_lines.dotted(path)}=VALUE.")
        model = inner


def _kinds(annotation: Any) -> Iterator[type]:
    """The types of the values: of all alternatives, without their contents."""
    origin = get_origin(annotation)
    if origin in (dict, list):
        yield cast("type", origin)
    elif get_args(annotation):
        yield from (kind for inner in get_args(annotation) for kind in _kinds(inner))
    elif isinstance(annotation, type):
        yield annotation
