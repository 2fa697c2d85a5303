"""As much of kubectl's JSONPath as waiting for an object's field needs: fields, indexes, `[*]` and equality filters."""

from __future__ import annotations

import json
import re
from typing import Any

Step = tuple[str, str, str]

_STEP = re.compile(
    r"""
      \.(?P<field>[\w-]+(?:\\\.[\w-]+)*)
    | \[(?P<index>-?\d+)\]
    | \[(?P<all>\*)\]
    | \['(?P<quoted>[^']+)'\]
    | \[\?\(@\.(?P<key>[\w-]+)\s*==\s*["'](?P<value>[^"']*)["']\)\]
    """,
    re.VERBOSE,
)


def parse(text: str) -> tuple[list[Step], str | None]:
    """The steps of `{.status.phase}=Running`, and the value to equal, if one is given. Raises ValueError."""
    match = re.fullmatch(r"\{?(?P<path>(?:\.|\[).*?)\}?(?:=(?P<value>[^\]]*))?", text, re.DOTALL)
    if text.startswith("{"):
        match = re.fullmatch(r"\{(?P<path>[^}]*)\}(?:=(?P<value>.*))?", text, re.DOTALL)
    if not match:
        raise ValueError(f"not a JSONPath such as {{.status.phase}}=Running: {text!r}")
    steps: list[Step] = []
    position = 0
    path = match["path"]
    while position < len(path):
        step = _STEP.match(path, position)
        if not step:
            raise ValueError(f"can't read the JSONPath {path!r} from {path[position:]!r} on")
        if step["field"] or step["quoted"]:
            steps.append(("field", (step["field"] or step["quoted"]).replace("\\.", "."), ""))
        elif step["index"]:
            steps.append(("index", step["index"], ""))
        elif step["all"]:
            steps.append(("all", "", ""))
        else:
            steps.append(("filter", step["key"], step["value"]))
        position = step.end()
    value = match["value"]
    return steps, value.strip("\"'") if value is not None else None


def find(item: Any, steps: list[Step]) -> list[Any]:
    """Every value at the path."""
    values = [item]
    for kind, key, wanted in steps:
        found: list[Any] = []
        for value in values:
            if kind == "field" and isinstance(value, dict) and key in value:
                found.append(value[key])
            elif kind == "index" and isinstance(value, list) and -len(value) <= int(key) < len(value):
                found.append(value[int(key)])
            elif kind == "all" and isinstance(value, dict | list):
                found += value.values() if isinstance(value, dict) else value
            elif kind == "filter" and isinstance(value, list):
                found += [one for one in value if isinstance(one, dict) and text(one.get(key)) == wanted]
        values = found
    return values


def text(value: Any) -> str:
    """A value as it is written to compare with it: `true`, `3`, `Running`."""
    return value if isinstance(value, str) else json.dumps(value)
