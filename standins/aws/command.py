"""AWS' command line for the operations of its API: `aws SERVICE OPERATION --option value`, by botocore's description.

Options of the API's parameters only: values that are objects, or lists of them, are JSON. Not `--query`, nor commands
that the API does not have, such as `aws s3 cp`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from standins.aws.session import Session
from standins.provider import Values


class UsageError(Exception):
    """A command that AWS' command line, or this one, does not have."""


def answer(given: Sequence[str]) -> Values:
    """What an operation answers; all pages of it. Raises UsageError, or AwsError as the service answers it."""
    from botocore import xform_name  # here, as it takes long to import

    aws = Session()
    words, options = _parsed(given)
    aws.open_from_environment("".join(options.pop("region", [])))
    if options.pop("output", ["json"]) != ["json"]:
        raise UsageError("this stand-in for AWS' CLI answers in JSON only: --output json")
    if len(words) != 2:
        raise UsageError(f"a service and an operation are expected, not {' '.join(words)}")
    service = {"s3api": "s3"}.get(words[0], words[0])
    client: Any = aws.client(service)
    model = client.meta.service_model
    operations = {xform_name(name, "-"): name for name in model.operation_names}
    if words[1] not in operations:
        raise UsageError(f"{words[0]} has no operation {words[1]}")
    shape = model.operation_model(operations[words[1]]).input_shape
    members = {xform_name(name, "-"): name for name in (shape.members if shape else ())}
    if unknown := sorted({name.removeprefix("no-") for name in options} - members.keys()):
        raise UsageError(f"Unknown options: {', '.join(unknown)}")
    parameters = {members[name.removeprefix("no-")]: values for name, values in options.items()}
    parameters = {name: _value(shape.members[name], name, values) for name, values in parameters.items()}
    if missing := [name for name in (shape.required_members if shape else ()) if name not in parameters]:
        raise UsageError(f"the following arguments are required: --{xform_name(missing[0], '-')}")
    method = words[1].replace("-", "_")
    if client.can_paginate(method):
        keys = [each.expression for each in client.get_paginator(method).result_keys]
        return {key: aws.list(service, method, key, **parameters) for key in keys}
    return {key: value for key, value in aws.call(service, method, **parameters).items() if key != "ResponseMetadata"}


def _parsed(given: Sequence[str]) -> tuple[list[str], dict[str, list[str]]]:
    """The words before the options, and the options' values."""
    words: list[str] = []
    options: dict[str, list[str]] = {}
    values = words
    for word in given:
        if word.startswith("--"):
            name, equals, value = word.removeprefix("--").partition("=")
            values = options.setdefault(name, [value] if equals else [])
        else:
            values.append(word)
    return words, options


def _value(shape: Any, name: str, values: list[str]) -> Any:
    """An option's value as the API has it."""
    if shape.type_name == "boolean":
        return not values or values == ["true"]
    if shape.type_name == "list" and shape.member.type_name == "string" and not values[0].startswith("["):
        return values
    if len(values) != 1:
        raise UsageError(f"one value is expected for {name}, not {len(values)}")
    if shape.type_name in ("structure", "map", "list"):
        return json.loads(values[0])
    if shape.type_name == "blob":
        return Path(values[0]).read_bytes()
    return int(values[0]) if shape.type_name in ("integer", "long") else values[0]
