"""The stack's configuration as the engine passes it, with the lines of the stack's file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pulumi

from model.config import stack, stack_shards
from model.config.base import validate
from model.config.errors import InvalidConfigError, raise_if_any
from model.config.stack_shards import StackShard
from model.config.yaml_lines import YamlFile


def read_stack_file(folder: Path) -> YamlFile:
    """The stack's configuration; for a shard that of its platform, except for `platform` and `shard`.

    Raises InvalidConfigError if a shard's own part is wrong, or does not fit to its platform's.
    """
    name = f"Pulumi.{pulumi.get_stack()}.yaml"
    written = stack.written(folder, name, pulumi.get_project()) if (folder / name).is_file() else YamlFile(name, {}, {})
    own = YamlFile(name, _from_engine(), written.lines)
    platform = own.content["platform"]
    shard = _shard(own) if own.content["shard"] else None
    findings = [*stack_shards.configuration_findings(shard, platform, pulumi.get_stack())]
    if platform:
        known = stack.keys()
        findings += stack_shards.foreign_keys([key for key in written.content if key in known], _file_of(platform))
    raise_if_any(own.problem(*finding) for finding in findings)
    return _with_platform(folder, own, platform, shard) if platform and shard else own


def _with_platform(folder: Path, own: YamlFile, platform: str, shard: StackShard) -> YamlFile:
    """The platform's configuration with the shard's own part; lines are those of the platform's file."""
    name = _file_of(platform)
    if not (folder / name).is_file():
        message = f"the platform's file {name} does not exist"
        raise InvalidConfigError([own.problem(("platform",), message, "Write the name of the platform's stack.")])
    theirs = stack.written(folder, name, pulumi.get_project())
    others = _shard(theirs) if theirs.content.get("shard") else None
    if theirs.content.get("platform"):
        problem = own.problem(("platform",), f"{platform} is a shard itself", "Write the stack of the cluster.")
    elif others is None:
        remedy = f"Write `shard: {{count: {shard.count}}}` there, and move its tenants by `./saas shard move`."
        problem = theirs.problem((), f"{platform} has no shards: its stack has all tenants", remedy)
    elif others.count != shard.count:
        message = f"{platform} has {others.count} shards, not {shard.count}"
        problem = own.problem(("shard", "count"), message, f"Write count: {others.count}, or change {name} as well.")
    else:
        given = {key: _as_from_engine(key, value) for key, value in theirs.content.items() if value is not None}
        # Its recipients are notified by the platform's stack, whose secrets no other stack can read.
        mine = {"platform": platform, "shard": own.content["shard"], "notifications": []}
        return YamlFile(name, {**own.content, **given, **mine}, theirs.lines)
    raise InvalidConfigError([problem])


def _shard(file: YamlFile) -> StackShard:
    return validate(StackShard, file.content["shard"], file, lambda path: ("shard", *path))


def _file_of(stack_name: str) -> str:
    return f"Pulumi.{stack_name}.yaml"


def _as_from_engine(key: str, value: Any) -> Any:
    """A value of a file as the engine passes it: a number may be a text, and an empty mapping is none."""
    if stack.keys().get(key) is str and not isinstance(value, (list, dict)):
        return str(value)
    return value if value != {} else None


def _from_engine() -> dict[str, Any]:
    """The values of all keys, defaults of Pulumi.yaml included."""
    config = pulumi.Config()
    readers: dict[Any, Callable[[str], Any]] = {
        bool: config.get_bool,
        int: config.get_int,
        list: config.get_object,
        dict: config.get_object,
        str: config.get,
    }
    content = {key: readers[kind](key) for key, kind in stack.keys().items()}
    for key, value in content.items():
        if value is None and stack.keys()[key] is str:
            content[key] = ""  # the engine drops empty text
        elif value == {}:
            content[key] = None
    return content
