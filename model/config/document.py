"""YAML that remembers on which line each value stands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import yaml

from model.config.mistakes import Mistake, MistakesError

Place = tuple[str | int, ...]
"""A path into a document: ("tenants", 2, "source", "url")."""


def spell(place: Place) -> str:
    """The path as people write it: tenants[2].source.url"""
    spelled = ""
    for step in place:
        spelled += f"[{step}]" if isinstance(step, int) else f".{step}" if spelled else step
    return spelled


@dataclass(frozen=True)
class Document:
    """A parsed file and the line of each of its values."""

    file: str
    content: Any
    lines: Mapping[Place, int]

    def line(self, place: Place) -> int:
        """The line of a value, or of the nearest thing around it that was written down."""
        while place and place not in self.lines:
            place = place[:-1]
        return self.lines.get(place, 0)

    def mistake(self, place: Place, message: str, remedy: str = "") -> Mistake:
        """A mistake at a place of this document."""
        return Mistake(self.file, self.line(place), spell(place), message, remedy)


def read(path: Path, name: str) -> Document:
    """Read a YAML file; `name` is how messages call it.

    Raises MistakesError where the file is missing, is not YAML, or names a key twice.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise MistakesError([Mistake(name, 0, "", "there is no such file", f"Create {name}.")]) from None
    except (OSError, UnicodeDecodeError) as error:
        raise MistakesError([Mistake(name, 0, "", f"cannot be read: {error}")]) from error
    return parse(text, name)


def parse(text: str, name: str) -> Document:
    """Parse YAML text; see `read`."""
    lines: dict[Place, int] = {(): 1}
    mistakes: list[Mistake] = []
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        content = None if node is None else _build(loader, node, (), lines, mistakes, name)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        remedy = "Indent with spaces and close every quote and bracket."
        raise MistakesError([Mistake(name, line, "", f"not YAML: {error.problem or error}", remedy)]) from None
    except (yaml.YAMLError, ValueError) as error:
        raise MistakesError([Mistake(name, 0, "", f"not YAML: {error}")]) from None
    except RecursionError:
        raise MistakesError([Mistake(name, 0, "", "is nested too deep, or an alias contains itself")]) from None
    if mistakes:
        raise MistakesError(mistakes)
    return Document(name, content, lines)


def _build(
    loader: yaml.SafeLoader, node: yaml.Node, place: Place, lines: dict[Place, int], mistakes: list[Mistake], name: str
) -> Any:
    lines.setdefault(place, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        loader.flatten_mapping(node)
        content: dict[str, Any] = {}
        for key_node, value_node in cast("list[tuple[yaml.Node, yaml.Node]]", node.value):
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                mistakes.append(Mistake(name, line, spell(place), "a key has to be a word"))
                continue
            key = cast("str", key_node.value)
            inner = (*place, key)
            if key in content:
                first = lines[inner]
                message = f"the key {key!r} is there twice, first on line {first}"
                mistakes.append(Mistake(name, line, spell(inner), message, "Keep one of them."))
                continue
            lines[inner] = line
            content[key] = _build(loader, value_node, inner, lines, mistakes, name)
        return content
    if isinstance(node, yaml.SequenceNode):
        items = cast("list[yaml.Node]", node.value)
        return [_build(loader, item, (*place, i), lines, mistakes, name) for i, item in enumerate(items)]
    return loader.construct_object(node, deep=True)  # pyright: ignore[reportUnknownMemberType]
