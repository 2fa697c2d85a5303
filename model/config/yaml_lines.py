"""YAML files parsed together with the line number of each value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import yaml

from model.config.errors import InvalidConfigError, Problem

YamlPath = tuple[str | int, ...]
"""A path into a YAML file: ("tenants", 2, "source", "url")."""


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

    def content(self) -> Any:
        root = self._loader.get_single_node()
        return None if root is None else self._value(root, ())

    def _value(self, node: yaml.Node, path: YamlPath) -> Any:
        self.lines.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            items = cast("list[yaml.Node]", node.value)
            return [self._value(item, (*path, index)) for index, item in enumerate(items)]
        return self._loader.construct_object(node, deep=True)  # pyright: ignore[reportUnknownMemberType]

    def _mapping(self, node: yaml.MappingNode, path: YamlPath) -> dict[str, Any]:
        self._loader.flatten_mapping(node)
        content: dict[str, Any] = {}
        for key_node, value_node in cast("list[tuple[yaml.Node, yaml.Node]]", node.value):
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                message, remedy = "a key must be a word", "Write `key: value`."
                self.problems.append(Problem(self._name, line, dotted(path), message, remedy))
                continue
            key = cast("str", key_node.value)
            inner = (*path, key)
            if key in content:
                message = f"duplicate key {key!r}, first used on line {self.lines[inner]}"
                self.problems.append(Problem(self._name, line, dotted(inner), message, "Keep only one of them."))
                continue
            self.lines[inner] = line
            content[key] = self._value(value_node, inner)
        return content
