"""Parameter validation by AWS' API descriptions: enumerations, patterns and lengths.

botocore checks types and required parameters only, and an emulator accepts most values.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from typing import Any

Shape = Any
"""A shape of botocore's, whose attributes depend on its type."""


def violations(shape: Shape, value: Any, where: str) -> Iterator[str]:
    """The faults of a parameter, in sentences, by the service's own description of it."""
    if shape.type_name == "structure" and isinstance(value, dict):
        for name, item in value.items():
            if name in shape.members:
                yield from violations(shape.members[name], item, f"{where}.{name}" if where else name)
    elif shape.type_name == "list" and isinstance(value, (list, tuple)):
        yield from _outside(shape, len(value), where, "items")
        for index, item in enumerate(value):
            yield from violations(shape.member, item, f"{where}[{index}]")
    elif shape.type_name == "map" and isinstance(value, dict):
        yield from _outside(shape, len(value), where, "entries")
        for key, item in value.items():
            yield from violations(shape.key, key, f"{where}'s key")
            yield from violations(shape.value, item, f"{where}.{key}")
    elif shape.type_name == "string" and isinstance(value, str):
        yield from _text(shape, value, where)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield from _outside(shape, value, where, "")


def _text(shape: Shape, value: str, where: str) -> Iterator[str]:
    values = shape.metadata.get("enum")
    if values and value not in values:
        known = ", ".join(values) if len(values) <= 30 else f"one of {len(values)} values that its API describes"
        yield f"{where} is {value!r}, which has to be {known}"
    yield from _outside(shape, len(value), where, "characters")
    pattern = shape.metadata.get("pattern")
    if pattern and not compiled(pattern).fullmatch(value):
        yield f"{where} is {value!r}, which has to match {pattern}"


def _outside(shape: Shape, size: float, where: str, unit: str) -> Iterator[str]:
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    if least is not None and size < float(least):
        yield f"{where} is {size} {unit}".rstrip() + f", which has to be {least} at least"
    if most is not None and size > float(most):
        yield f"{where} is {size} {unit}".rstrip() + f", which may be {most} at most"


_CLASSES = {"L": r"\w", "M": r"\w", "N": r"\w", "Z": r"\s", "S": r"\S", "P": r"\S"}
"""Classes of Unicode characters that Python's expressions lack -> a wider class that Python has."""


@functools.cache
def compiled(pattern: str) -> re.Pattern[str]:
    """A pattern of AWS' API descriptions, which are written for Java."""
    known = re.sub(r"\\p\{([A-Z])[a-z]?\}", lambda found: _CLASSES[found[1]], pattern)
    return re.compile(re.sub(r"\\w-(?=[^\]])", r"\\w\\-", known))
