"""Pulumi's property values: protobuf structs whose leaves may be secret or not known yet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from google.protobuf import struct_pb2

_SIGNATURE = "4dabf18193072939515e22adb298388d"
_SECRET = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105 - the protocol's marker of a secret, itself no secret
_UNKNOWNS = frozenset(
    {
        "04da6b54-80e4-46f7-96ec-b56ff0331ba9",  # string, and anything else nowadays
        "1c4a061d-8072-4f0a-a4cb-0ff528b18fe7",  # boolean
        "3eeb2bf0-c639-47a8-9e75-3b44932eb421",  # number
        "6a19a0b0-7e62-4c92-b797-7f8e31da9cc2",  # array
        "dd056dcd-154b-4c76-9bd3-c8f88648b5ff",  # object
    }
)


@dataclass(frozen=True)
class Secret:
    """A value that must not appear in plain text, neither in the state nor in logs."""

    value: Any

    def __repr__(self) -> str:
        return "[secret]"


class Unknown:
    """A value that is known only after another resource was created."""

    def __repr__(self) -> str:
        return "[unknown]"


UNKNOWN = Unknown()


def from_struct(struct: struct_pb2.Struct) -> dict[str, Any]:
    """A struct as a dict, with `Secret` and `UNKNOWN` where the engine marks them."""
    return {key: from_value(value) for key, value in struct.fields.items()}


def from_value(value: struct_pb2.Value) -> Any:
    """A value of a struct, as `from_struct` reads it."""
    kind = value.WhichOneof("kind")
    if kind == "string_value":
        text = value.string_value
        return UNKNOWN if text in _UNKNOWNS else text
    if kind == "struct_value":
        fields = value.struct_value.fields
        if _SIGNATURE in fields and fields[_SIGNATURE].string_value == _SECRET:
            return Secret(from_value(fields["value"]))
        return {key: from_value(item) for key, item in fields.items()}
    if kind == "list_value":
        return [from_value(item) for item in value.list_value.values]
    if kind == "number_value":
        number = value.number_value
        # Structs have doubles only; resources mostly have integers.
        return int(number) if number.is_integer() else number
    if kind == "bool_value":
        return value.bool_value
    return None


def to_struct(data: dict[str, Any]) -> struct_pb2.Struct:
    """The inverse of `from_struct`."""
    struct = struct_pb2.Struct()
    for key, item in data.items():
        _fill(struct.fields[key], item)
    return struct


def _fill(target: struct_pb2.Value, item: Any) -> None:
    if isinstance(item, str):
        target.string_value = item
    elif isinstance(item, bool):
        target.bool_value = item
    elif isinstance(item, dict):
        fields = target.struct_value.fields
        # An empty struct would otherwise not be set at all.
        target.struct_value.SetInParent()
        for key, value in item.items():
            _fill(fields[key], value)
    elif isinstance(item, list):
        target.list_value.SetInParent()
        for value in item:
            _fill(target.list_value.values.add(), value)
    elif item is None:
        target.null_value = struct_pb2.NULL_VALUE
    elif isinstance(item, Secret):
        _fill(target.struct_value.fields[_SIGNATURE], _SECRET)
        _fill(target.struct_value.fields["value"], item.value)
    elif isinstance(item, Unknown):
        target.string_value = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
    else:
        target.number_value = item


def plain(item: Any) -> Any:
    """The value without its secret marks."""
    if isinstance(item, Secret):
        return plain(item.value)
    if isinstance(item, dict):
        return {key: plain(value) for key, value in item.items()}
    if isinstance(item, list):
        return [plain(value) for value in item]
    return item


def has_unknown(item: Any) -> bool:
    """Whether the value, or a value inside it, is unknown."""
    if isinstance(item, Secret):
        return has_unknown(item.value)
    if isinstance(item, dict):
        return any(has_unknown(value) for value in item.values())
    if isinstance(item, list):
        return any(has_unknown(value) for value in item)
    return item is UNKNOWN


def mark_secrets(item: Any, like: Any) -> Any:
    """The plain value, secret at the paths at which `like` is secret."""
    if isinstance(like, Secret):
        return Secret(item)
    if isinstance(item, dict) and isinstance(like, dict):
        return {key: mark_secrets(value, like.get(key)) for key, value in item.items()}
    if isinstance(item, list) and isinstance(like, list):
        rest = [None] * (len(item) - len(like))
        return [mark_secrets(value, pattern) for value, pattern in zip(item, [*like, *rest], strict=False)]
    return item
