"""YAML files parsed together with the line number of each value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import yaml

from model.config.errors import InvalidConfigError, Problem

YamlPath = tuple[str | int, ...]
"""A path into a YAML file: ("tenants", 2, "source", "url")."""


Pair = tuple[yaml.Node, yaml.Node]
"""A key and its value."""

MERGE = "tag:yaml.org,2002:merge"
"""The tag of the key `<<`."""

MOST_VALUES = 1_000_000
"""Values in a file, with those that aliases repeat: eight levels of nine aliases each would take all memory."""


def dotted(path: YamlPath) -> str:
    """The path in dotted notation: tenants[2].source.url"""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


@dataclass(frozen=True)
class YamlFile:
    """A parsed YAML file and the line of each of its values."""

    name: str
    """The file's name in messages."""
    content: Any
    lines: Mapping[YamlPath, int]

    def line(self, path: YamlPath) -> int:
        """The line of a value; where the path does not exist, the line of its nearest existing parent."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 0)

    def problem(self, path: YamlPath, message: str, remedy: str = "") -> Problem:
        """A problem with the value at a path of this file."""
        return Problem(self.name, self.line(path), dotted(path), message, remedy)


def read(folder: Path, name: str) -> YamlFile:
    """Read a YAML file. Raises InvalidConfigError if it is missing, is not YAML, or repeats a key."""
    try:
        text = (folder / name).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InvalidConfigError([Problem(name, 0, "", "the file does not exist", f"Create {name}.")]) from None
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidConfigError([Problem(name, 0, "", f"cannot be read: {error}", "Write a UTF-8 file.")]) from error
    return parse(text, name)


def parse(text: str, name: str) -> YamlFile:
    """Parse YAML text; see `read`."""
    try:
        reader = _Reader(text, name)
        content = reader.content()
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        remedy = "Indent with spaces and close every quote and bracket."
        raise InvalidConfigError([Problem(name, line, "", f"not YAML: {error.problem or error}", remedy)]) from None
    except (yaml.YAMLError, ValueError) as error:
        remedy = "Quote values that YAML reads as a date or a special character."
        raise InvalidConfigError([Problem(name, 0, "", f"not YAML: {error}", remedy)]) from None
    except RecursionError:
        message, remedy = "nested too deeply, or an alias contains itself", "Write the values out, without aliases."
        raise InvalidConfigError([Problem(name, 0, "", message, remedy)]) from None
    if reader.problems:
        raise InvalidConfigError(reader.problems)
    return YamlFile(name, content, reader.lines)


class _Reader:
    """Builds Python values from YAML nodes and records their lines."""

    def __init__(self, text: str, name: str) -> None:
        self._loader = yaml.SafeLoader(text)
        self._name = name
        self.lines: dict[YamlPath, int] = {(): 1}
        self.problems: list[Problem] = []
        self._values = 0

    def content(self) -> Any:
        root = self._loader.get_single_node()
        return None if root is None else self._value(root, ())

    def _count(self) -> None:
        self._values += 1
        if self._values > MOST_VALUES:
            message = f"more than {MOST_VALUES:,} values, because aliases repeat others"
            raise InvalidConfigError([Problem(self._name, 0, "", message, "Write fewer aliases inside of aliases.")])

    def _value(self, node: yaml.Node, path: YamlPath) -> Any:
        self._count()
        self.lines.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            items = cast("list[yaml.Node]", node.value)
            return [self._value(item, (*path, index)) for index, item in enumerate(items)]
        return self._loader.construct_object(node, deep=True)  # pyright: ignore[reportUnknownMemberType]

    def _mapping(self, node: yaml.MappingNode, path: YamlPath) -> dict[str, Any]:
        pairs: dict[str, Pair] = {}
        for pair in self._inherited(node, path):
            pairs[str(pair[0].value)] = pair
        own: dict[str, int] = {}
        for pair in _own(node):
            line = pair[0].start_mark.line + 1
            if not isinstance(pair[0], yaml.ScalarNode):
                message, remedy = "a key must be a word", "Write `key: value`."
                self.problems.append(Problem(self._name, line, dotted(path), message, remedy))
                continue
            key = cast("str", pair[0].value)
            if key in own:
                message = f"duplicate key {key!r}, first used on line {own[key]}"
                self.problems.append(Problem(self._name, line, dotted((*path, key)), message, "Keep only one of them."))
                continue
            own[key] = line
            pairs[key] = pair
        for key, (key_node, _) in pairs.items():
            self.lines[(*path, key)] = key_node.start_mark.line + 1
        return {key: self._value(value, (*path, key)) for key, (_, value) in pairs.items()}

    def _inherited(self, node: yaml.MappingNode, path: YamlPath) -> Iterator[Pair]:
        """The keys that a mapping takes from others by YAML 1.1's merge key `<<`; of equal keys the last holds."""
        for key_node, value in cast("list[Pair]", node.value):
            if key_node.tag != MERGE:
                continue
            sources = cast("list[yaml.Node]", value.value) if isinstance(value, yaml.SequenceNode) else [value]
            # Of several mappings, the first that has a key wins.
            for source in reversed(sources):
                self._count()
                if isinstance(source, yaml.MappingNode):
                    yield from self._inherited(source, path)
                    yield from (pair for pair in _own(source) if isinstance(pair[0], yaml.ScalarNode))
                else:
                    line, message = key_node.start_mark.line + 1, "<< takes a mapping, or a list of mappings"
                    self.problems.append(Problem(self._name, line, dotted(path), message, "Write `<<: *ANCHOR`."))


def _own(node: yaml.MappingNode) -> list[Pair]:
    """The keys and values that a mapping has itself."""
    return [pair for pair in cast("list[Pair]", node.value) if pair[0].tag != MERGE]
