"""Edits of a YAML text that leave every other character as it is: comments, order, quotes, indentation, line ends.

A round trip through a YAML library writes the whole file anew in one style. These functions only insert, replace or cut
the text of one value. Afterwards they read the result as the program does, and refuse an edit that changed anything
else: a mapping that others take by an alias, for example.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, Literal, cast

import yaml

from model.config.errors import InvalidConfigError
from model.config.yaml_lines import YamlPath, dotted, parse

BLOCKS = ("source",)
"""Keys of a new entry whose values get a line for each key."""


INFINITE = float("inf")


class EditError(Exception):
    """The text cannot be changed in this way; says what to edit by hand."""


@dataclass
class _Node:
    kind: Literal["scalar", "alias", "mapping", "sequence"]
    start: int
    """Where its text begins; with its anchor, if it has any."""
    end: int = 0
    """Where its text ends, without comments and empty lines that follow."""
    flow: bool = False
    text: str = ""
    """A scalar's value, an alias' name."""
    children: list[_Node] = field(default_factory=list["_Node"])
    """A sequence's items; a mapping's keys and values in turn."""

    @property
    def pairs(self) -> list[tuple[_Node, _Node]]:
        return list(zip(self.children[::2], self.children[1::2], strict=True))

    def own(self, key: str | int) -> tuple[_Node, _Node] | None:
        return next((pair for pair in self.pairs if pair[0].kind == "scalar" and pair[0].text == key), None)


def set_value(text: str, path: YamlPath, value: Any) -> str:
    """The text with this value at a path; mappings that are missing on the way are added."""
    expected = _content(text)
    _assign(expected, path, value)
    node = _root(text)
    for depth, step in enumerate(path, 1):
        at = path[:depth]
        if node.kind == "sequence":
            node = node.children[cast("int", step)]
        elif node.kind == "mapping" and (pair := node.own(step)):
            node = pair[1]
        elif node.kind == "mapping":
            # With what the mapping inherits by `<<` there: YAML merges only one level.
            return _verified(text, _added(text, node, str(step), _at(expected, at)), expected, path)
        elif node.kind == "alias" and depth == len(path):
            rendered = f"{{<<: *{node.text}, {_scalar(step)}: {flow(value)}}}"
            return _verified(text, _replaced(text, node, rendered), expected, path)
        else:
            return _verified(text, _replaced(text, node, flow(_at(expected, at[:-1]))), expected, path)
    return _verified(text, _replaced(text, node, flow(value)), expected, path)


def append(text: str, path: YamlPath, value: Mapping[str, Any]) -> str:
    """The text with one more entry in the list at a path of mappings; a missing or empty list is begun."""
    expected = _content(text)
    holder = _at(expected, path[:-1])
    holder[path[-1]] = [*(holder.get(path[-1]) or []), value]
    node, key = _root(text), None
    for step in path:
        pair = node.own(step) if node.kind == "mapping" else None
        if pair is None:
            if step != path[-1]:
                raise _unsupported(path)
            end = len(text.rstrip())
            line = end + len(_rest_of_line(text, end))
            newline = _newline(text)
            before = newline * (2 if newline * 2 in text else 1)
            added = f"{before}{step}:{newline}{_block_entry(value, 2, newline)}"
            return _verified(text, text[:line] + added + (text[line:] or _newline(text)), expected, path)
        key, node = pair
    if node.kind == "sequence" and node.children and node.flow:
        last = node.children[-1]
        before = node.children[-2].end if len(node.children) > 1 else node.start
        broken = "\n" in text[before : last.start]
        separator = f",{_newline(text)}{' ' * _column(text, last.start)}" if broken else ", "
        return _verified(text, _spliced(text, last.end, last.end, separator + flow(value)), expected, path)
    if node.kind == "sequence" and node.children:
        dash = _dash(text, node, len(node.children) - 1)
        column = _column(text, dash)
        spaced = len(node.children) > 1 and re.search(r"\n[ \t]*\r?\n", text[node.children[-2].end : dash])
        at = _end_with_comments(text, node.children[-1].end, column)
        added = _newline(text) * (2 if spaced else 1) + _block_entry(value, column, _newline(text))
        return _verified(text, _spliced(text, at, at, added), expected, path)
    if (node.kind == "sequence" or (node.kind == "scalar" and node.start == node.end)) and key:
        emptied = _spliced(text, text.index(":", key.end) + 1, node.end, "")
        at = text.index(":", key.end) + 1
        at += len(_rest_of_line(emptied, at))
        if emptied[:at].rsplit("\n", 1)[-1].lstrip().startswith("{"):
            return _verified(text, _replaced(text, node, flow([value])), expected, path)
        added = _newline(text) + _block_entry(value, _column(text, key.start) + 2, _newline(text))
        return _verified(text, _spliced(emptied, at, at, added), expected, path)
    raise _unsupported(path)


def remove(text: str, path: YamlPath) -> str:
    """The text without the key or list entry at a path, and without the comments that describe an entry."""
    expected = _content(text)
    del _at(expected, path[:-1])[path[-1]]
    node, key = _root(text), None
    for step in path[:-1]:
        pair = node.own(step) if node.kind == "mapping" else None
        if node.kind == "sequence":
            node = node.children[cast("int", step)]
        elif pair:
            key, node = pair
        else:
            raise _unsupported(path)
    last = path[-1]
    if node.kind == "sequence":
        index = cast("int", last)
        item, many = node.children[index], len(node.children) > 1
        if node.flow:
            return _verified(text, _without_flow_part(text, node.children, index, index + 1), expected, path)
        dash = _dash(text, node, index)
        column = _column(text, dash)
        start = dash - column
        following = text[_end_with_comments(text, item.end, column) :].splitlines()[1:2]
        if not following or not following[0].strip() or following[0].lstrip().startswith("#"):
            start = _start_with_comments(text, start, column)
        cut = _without_lines(text, start, _end_with_comments(text, item.end, column))
        if many or key is None:
            return _verified(text, cut, expected, path)
        # After the colon, or after the list's anchor.
        named = re.compile(r"[&!]\S+").match(text, node.start)
        at = named.end() if named else text.index(":", key.end) + 1
        return _verified(text, f"{cut[:at]} []{cut[at:]}", expected, path)
    pair = node.own(last) if node.kind == "mapping" else None
    if pair is None:
        raise _unsupported(path)
    index = node.children.index(pair[0])
    if len(node.children) == 2:
        return _verified(text, _spliced(text, node.start, node.end, "{}"), expected, path)
    if node.flow:
        return _verified(text, _without_flow_part(text, node.children, index, index + 2), expected, path)
    line = pair[0].start - _column(text, pair[0].start)
    if text[line : pair[0].start].strip():  # the first key of a list's entry, after the dash
        return _verified(text, _spliced(text, pair[0].start, node.children[index + 2].start, ""), expected, path)
    end = _end_with_comments(text, pair[1].end, _column(text, pair[0].start))
    return _verified(text, _without_lines(text, line, end), expected, path)


def flow(value: Any) -> str:
    """A value on one line, as it can be written anywhere in a YAML text."""
    if isinstance(value, Mapping):
        pairs = cast("Mapping[str, Any]", value).items()
        return "{" + ", ".join(f"{_scalar(key)}: {flow(inner)}" for key, inner in pairs) + "}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ", ".join(flow(item) for item in cast("Sequence[Any]", value)) + "]"
    return _scalar(value)


def _pair(key: str, value: Any) -> str:
    """A line of a block mapping, where fewer texts need quotes."""
    plain = isinstance(value, str) and yaml.safe_dump(value, width=INFINITE, allow_unicode=True) == f"{value}\n...\n"
    return f"{_scalar(key)}: {value if plain else flow(value)}"


def _scalar(value: Any) -> str:
    # In a list, so that the text is quoted where a bracket or comma around it would end it.
    text = yaml.safe_dump([value], default_flow_style=True, width=INFINITE, allow_unicode=True).strip()
    if isinstance(value, str) and text != f"[{value}]":
        text = yaml.safe_dump([value], default_flow_style=True, default_style='"', width=INFINITE, allow_unicode=True)
    return text.strip()[1:-1]


def _block_entry(value: Mapping[str, Any], column: int, newline: str) -> str:
    """An entry of a block list, without a line end after it."""
    lines: list[str] = []
    for key, inner in value.items():
        if key in BLOCKS and isinstance(inner, Mapping) and inner:
            inner_pairs = cast("Mapping[str, Any]", inner).items()
            lines += [f"{key}:", *(f"  {_pair(name, deeper)}" for name, deeper in inner_pairs)]
        else:
            lines.append(_pair(key, inner))
    indent = " " * column
    return newline.join(f"{indent}{'  ' if index else '- '}{line}" for index, line in enumerate(lines))


def _added(text: str, mapping: _Node, key: str, value: Any) -> str:
    """The text with one more key in a mapping that has it not."""
    if not mapping.children:
        return _spliced(text, mapping.start, mapping.end, flow({key: value}))
    last = mapping.children[-1].end
    if mapping.flow:
        return _spliced(text, last, last, f", {flow({key: value})[1:-1]}")
    column = _column(text, mapping.children[0].start)
    at = _end_with_comments(text, last, column)
    return _spliced(text, at, at, f"{_newline(text)}{' ' * column}{_pair(key, value)}")


def _replaced(text: str, node: _Node, rendered: str) -> str:
    if node.kind in ("scalar", "alias") or node.flow:
        # The value of `key:` without one is right after the colon.
        separator = " " if node.start == node.end and text[node.start - 1] in ":-" else ""
        return _spliced(text, node.start, node.end, separator + rendered)
    start = len(text[: node.start].rstrip())
    return _spliced(text, start, node.end, f" {rendered}")


def _without_flow_part(text: str, parts: Sequence[_Node], first: int, after: int) -> str:
    if after < len(parts):
        return _spliced(text, parts[first].start, parts[after].start, "")
    return _spliced(text, parts[first - 1].end if first else parts[first].start, parts[-1].end, "")


def _without_lines(text: str, start: int, end: int) -> str:
    """Without the lines from `start` to the line end at `end`; the last line of a file takes the line end before it."""
    if end < len(text):
        return text[:start] + re.sub(r"\A\r?\n", "", text[end:])
    return re.sub(r"\r?\n\Z", "", text[:start])


def _spliced(text: str, start: int, end: int, new: str) -> str:
    return text[:start] + new + text[end:]


def _newline(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


def _column(text: str, at: int) -> int:
    return at - (text.rfind("\n", 0, at) + 1)


def _rest_of_line(text: str, at: int) -> str:
    return re.compile(r"[^\r\n]*").match(text, at)[0]  # type: ignore[index]


def _end_with_comments(text: str, end: int, column: int) -> int:
    """The end of the line that `end` is on, after the comments below it that are indented deeper than `column`."""
    at = end + len(_rest_of_line(text, end))
    while found := re.compile(r"\r?\n( *)#[^\r\n]*").match(text, at):
        if len(found[1]) <= column:
            break
        at = found.end()
    return at


def _start_with_comments(text: str, start: int, column: int) -> int:
    """The start of the comments right above a line, if they have its indentation."""
    while found := re.search(r"(?:\A|(?<=\n))( *)#[^\n]*\n\Z", text[:start]):
        if len(found[1]) != column:
            break
        start = found.start()
    return start


def _dash(text: str, sequence: _Node, index: int) -> int:
    """The place of the dash before an item of a block sequence."""
    start = sequence.children[index - 1].end if index else sequence.start
    between = re.finditer(r"#[^\n]*|-", text[start : sequence.children[index].start])
    return start + max(found.start() for found in between if found[0] == "-")


def _root(text: str) -> _Node:
    # The same loader as the model's reader, which is strict about the same things.
    events = yaml.parse(text, Loader=yaml.SafeLoader)
    for event in events:
        if isinstance(event, yaml.DocumentStartEvent):
            return _node(text, next(events), events)
    raise _unsupported(())


def _node(text: str, event: Any, events: Iterator[Any]) -> _Node:
    start, end = int(event.start_mark.index), int(event.end_mark.index)
    if isinstance(event, yaml.AliasEvent):
        return _Node("alias", start, end, text=str(event.anchor))
    if isinstance(event, yaml.ScalarEvent):
        if event.style in ("|", ">"):
            end = len(text[:end].rstrip())  # without the empty lines after it
        return _Node("scalar", start, end, text=str(event.value))
    mapping = isinstance(event, yaml.MappingStartEvent)
    node = _Node("mapping" if mapping else "sequence", start, flow=bool(event.flow_style))
    while not isinstance(event := cast("Any", next(events)), (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
        node.children.append(_node(text, event, events))
    # The event of a block's end is at what follows, after comments and empty lines.
    last: Any = event
    node.end = last.end_mark.index if node.flow else node.children[-1].end
    return node


def _content(text: str) -> Any:
    return deepcopy(parse(text, "").content)


def _at(content: Any, path: Sequence[Any]) -> Any:
    for step in path:
        content = content[step]
    return content


def _assign(content: Any, path: Sequence[Any], value: Any) -> None:
    for step in path[:-1]:
        if not isinstance(content, list) and not isinstance(content.get(step), (dict, list)):
            content[step] = {}
        content = content[step]
    content[path[-1]] = value


def _verified(before: str, text: str, expected: Any, path: YamlPath) -> str:
    try:
        content = parse(text, "").content
    except InvalidConfigError:
        raise _unsupported(path) from None
    if _canonical(content) != _canonical(expected):
        raise _unsupported(path)
    return text


def _canonical(content: Any) -> str:
    # Equality would take 1 for true.
    return json.dumps(content, sort_keys=True, default=repr)


def _unsupported(path: YamlPath) -> EditError:
    return EditError(
        f"{dotted(path)} cannot be changed without changing something else: it is written with an anchor that others "
        "refer to, or in an unusual form\n    Edit it by hand, or write its values out without anchors and aliases."
    )
