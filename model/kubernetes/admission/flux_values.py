"""Bounds of durations, numbers and lists in Flux's objects, generated from its CustomResourceDefinitions.

A controller decodes all objects of a kind together. One duration that overflows Go's 64 bits, which the schemas allow,
stops it for every tenant, and a very short one keeps it busy. A rule from the installed schemas covers the fields of
each Flux release.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from model.kubernetes.admission.policy import TENANTS_USER, Check, Policy, Rule
from model.kubernetes.manifests import Manifest

SOURCES = "source.toolkit.fluxcd.io"
RELEASES = "helm.toolkit.fluxcd.io"
CHARTS: Mapping[str, tuple[str, ...]] = {
    RELEASES: ("helmreleases",),
    SOURCES: ("helmcharts", "helmrepositories", "ocirepositories"),
}
"""Kinds of Flux, by their group, that tenants with Helm may write; all others are the platform's."""

DURATION_NAME = re.compile(r"(interval|timeout|duration|period|delay|deadline|ttl|age)$", re.IGNORECASE)
"""Names of fields that hold durations even if the schema has no pattern."""

SHORTEST_INTERVAL, LONGEST_INTERVAL = "1m", "720h"
SHORTEST_TIMEOUT, LONGEST_TIMEOUT, LONGEST_SOURCE_TIMEOUT = "1s", "10m", "2m"
NUMBERS = {"retries": (-1, 100), "maxHistory": (1, 20)}
"""Bounds of numbers by the last part of their path. -1 retries without end, but after ever longer pauses."""
OTHER_NUMBERS = (0, 100)
LONGEST_LIST = 100


@dataclass(frozen=True)
class Fields:
    """Paths of fields that a controller turns into work, such as `spec.install.timeout`.

    `[]` and `{}` after a part of the path mean every item of a list or a map.
    """

    timeouts: tuple[str, ...]
    """Durations for which a worker waits."""
    intervals: tuple[str, ...]
    """All other durations."""
    numbers: tuple[str, ...]
    lists: tuple[str, ...]


def bounded_fields(definitions: Iterable[Manifest]) -> Fields:
    """The fields of all kinds that tenants may write, in every served version."""
    found = sorted({field for definition in definitions for field in _fields(definition)})
    by_sort = {sort: tuple(path for path, of in found if of == sort) for sort in ("duration", "number", "list")}
    timeouts = tuple(path for path in by_sort["duration"] if _name(path).lower().endswith("timeout"))
    intervals = tuple(path for path in by_sort["duration"] if path not in timeouts)
    return Fields(timeouts, intervals, by_sort["number"], by_sort["list"])


def _fields(definition: Manifest) -> Iterator[tuple[str, str]]:
    if definition["kind"] != "CustomResourceDefinition":
        return
    spec: Manifest = definition["spec"]
    if spec["names"]["plural"] in CHARTS.get(spec["group"], ()):
        versions: list[Manifest] = spec["versions"]
        for version in versions:
            properties: Manifest = version["schema"]["openAPIV3Schema"].get("properties", {})
            if version["served"] and "spec" in properties:
                yield from _walk("spec", properties["spec"])


def _walk(path: str, schema: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    kind = schema.get("type")
    if kind in ("integer", "number") or schema.get("x-kubernetes-int-or-string"):
        yield path, "number"
    elif kind == "string" and _is_duration(_name(path), schema):
        yield path, "duration"
    elif kind == "array":
        yield path, "list"
        yield from _walk(f"{path}[]", schema["items"])
    if isinstance(schema.get("additionalProperties"), dict):
        yield from _walk(f"{path}{{}}", schema["additionalProperties"])
    for name, field in schema.get("properties", {}).items():
        yield from _walk(f"{path}.{name}", field)


def _name(path: str) -> str:
    return path.rpartition(".")[2].rstrip("[]{}")


def _is_duration(name: str, schema: Mapping[str, Any]) -> bool:
    if pattern := schema.get("pattern"):
        with contextlib.suppress(re.error):  # Python does not know all of RE2's syntax
            return bool(re.search(pattern, "1m30s")) and not re.search(pattern, "word")
    return schema.get("format") == "duration" or (bool(DURATION_NAME.search(name)) and "enum" not in schema)


def flux_values(fields: Fields) -> Policy:
    """The policy that bounds these fields."""
    longest = f"(request.resource.group == '{SOURCES}' ? '{LONGEST_SOURCE_TIMEOUT}' : '{LONGEST_TIMEOUT}')"
    numbers = "{" + ", ".join(f"'{path}': {list(_number_bounds(path))}" for path in fields.numbers) + "}"
    sorts = {
        "timeouts": (fields.timeouts, _within("value", f"'{SHORTEST_TIMEOUT}'", "variables.longest")),
        "intervals": (fields.intervals, _within("value", f"'{SHORTEST_INTERVAL}'", f"'{LONGEST_INTERVAL}'")),
        "numbers": (
            fields.numbers,
            "value >= variables.bounds[path][0] && value <= variables.bounds[path][1]",
        ),
        "lists": (fields.lists, f"value.size() <= {LONGEST_LIST}"),
    }
    return Policy(
        name="saas-tenant-flux-values",
        promise="No duration, number or list in a tenant's Flux object stops a controller or keeps it busy.",
        rules=tuple(Rule(group, resources) for group, resources in CHARTS.items()),
        conditions={"tenants-user": TENANTS_USER},
        variables={
            "spec": "dyn(object).spec",
            "longest": longest,
            "bounds": numbers,
            **{sort: _values(paths) for sort, (paths, _) in sorts.items()},
            **{f"wrong_{sort}": _outside(sort, paths, within) for sort, (paths, within) in sorts.items()},
        },
        checks=(
            _check(
                "timeouts",
                "a worker that waits too long, or fails at once, keeps objects of other tenants waiting",
                f"'a timeout is between {SHORTEST_TIMEOUT} and ' + variables.longest",
                f"Write timeouts between {SHORTEST_TIMEOUT} and {LONGEST_TIMEOUT}, or "
                f"{LONGEST_SOURCE_TIMEOUT} in sources, for example 90s.",
            ),
            _check(
                "intervals",
                "Flux cannot read every duration, and short ones keep it busy",
                f"'an interval is between {SHORTEST_INTERVAL} and {LONGEST_INTERVAL}'",
                f"Write intervals between {SHORTEST_INTERVAL} and {LONGEST_INTERVAL}, for example 10m.",
            ),
            _check(
                "numbers",
                "a number is too small or too large",
                "'allowed are ' + variables.wrong_numbers.map(path, path + ' from ' + "
                "string(variables.bounds[path][0]) + ' to ' + string(variables.bounds[path][1])).join(', ')",
                "Write a number within the limits.",
            ),
            _check(
                "lists",
                "a list is too long",
                f"'a list has at most {LONGEST_LIST} items'",
                f"Write at most {LONGEST_LIST} items.",
            ),
        ),
    )


def _within(value: str, lowest: str, highest: str) -> str:
    """CEL: whether a text is a duration within bounds.

    CEL's own duration() fails for durations that overflow. Five digits in 20 characters cannot.
    """
    readable = f"{value}.size() <= 20 && {value}.matches('^([0-9]{{1,5}}([.][0-9]+)?(ms|s|m|h))+$')"
    return f"{readable} && duration({value}) >= duration({lowest}) && duration({value}) <= duration({highest})"


def _number_bounds(path: str) -> tuple[int, int]:
    return NUMBERS.get(_name(path), OTHER_NUMBERS)


def _values(paths: Sequence[str]) -> str:
    """CEL: a map from each path to the list of its values."""
    return "{" + ", ".join(f"'{path}': {_value('variables.spec', path.removeprefix('spec'))}" for path in paths) + "}"


def _value(item: str, path: str, depth: int = 0) -> str:
    """CEL: the list of a field's values below an item."""
    head, many, rest = re.fullmatch(r"([^\[{]*)(\[\]|\{\})?(.*)", path).groups()  # pyright: ignore[reportOptionalMemberAccess]
    field = item + "".join(f".?{part}" for part in head.split(".")[1:])
    if not many:
        return f"{field}.optMap(value, [value]).orValue([])" if head else f"[{item}]"
    one = f"item{depth}"
    inner = f".map({one}, {_value(one, rest, depth + 1)}).flatten()"
    optional = field if head else f"optional.of({item})"
    if many == "[]":
        return f"{optional}.orValue([]){inner}"
    return f"{optional}.orValue({{}}).map(key, {optional}.orValue({{}})[key]){inner}"


def _outside(sort: str, paths: Sequence[str], within: str) -> str:
    """CEL: paths of a sort of which a value is not within its bounds; a list, since a map's order differs each time."""
    return f"{list(paths)!r}.filter(path, !variables.{sort}[path].all(value, {within}))"


def _check(sort: str, why: str, allowed: str, remedy: str) -> Check:
    wrong = f"variables.wrong_{sort}"
    return Check(
        f"{wrong}.size() == 0",
        f"{why}. {remedy}",
        f"'{why}: ' + {wrong}.join(', ') + '. Here ' + {allowed} + '.'",
    )
