"""The AWS stand-in's resource types and functions against the official SDK's classes: names, required ones, types."""

from __future__ import annotations

import collections.abc
import importlib
import inspect
import pkgutil
import typing
from collections.abc import Iterator, Mapping
from importlib import metadata
from typing import Any

import pytest
from botocore.session import Session
from pulumi import Output, _types

from standins.aws import VERSION
from standins.aws.configuration import FUNCTIONS, KINDS
from standins.aws.constraints import compiled
from standins.aws.engine import AwsKind
from standins.provider import Property

SERVICES = (
    *("ec2", "iam", "eks", "sts", "kms", "logs", "ecr", "cognito-idp"),
    *("backup", "cloudwatch", "events", "guardduty", "sns", "ssm", "elbv2", "apigatewayv2", "s3"),
)


def sdk_class(token: str) -> type:
    package, name = token.split(":")[1].split("/")[0], token.rpartition(":")[2]
    module = importlib.import_module(f"pulumi_aws.{package}")
    found = getattr(module, name)
    assert found.pulumi_type == token
    return found


def arguments(kind: type[AwsKind]) -> type:
    module = importlib.import_module(sdk_class(kind.token).__module__)
    name = kind.token.rpartition(":")[2]
    # An object of the same name has the usual one.
    return getattr(module, f"{name}InitArgs", None) or getattr(module, f"{name}Args")


def described(args: type) -> dict[str, tuple[bool, Any]]:
    """Each property of an Args class by its Pulumi name: whether it is required, and its type."""
    python = {pulumi: name for name, pulumi in _types.input_type_py_to_pulumi_names(args).items()}
    parameters = inspect.signature(args.__init__).parameters
    return {
        name: (parameters[python[name]].default is inspect.Parameter.empty, hint)
        for name, hint in _types.input_type_types(args).items()
    }


def classes(hint: Any) -> Iterator[type]:
    """The plain types and Args classes in a type hint."""
    if typing.get_origin(hint) in (collections.abc.Awaitable, Output):
        return
    for part in typing.get_args(hint) or (hint,):
        if typing.get_args(part):
            yield from classes(part)
        elif isinstance(part, type) and part is not type(None):
            yield part


def mismatches(where: str, properties: Mapping[str, Property], args: type) -> Iterator[str]:
    known = described(args)
    for name, declared in properties.items():
        if name == "tagsAll" and not where.count("."):
            continue  # the official provider puts it in
        if name not in known:
            yield f"{where}.{name} is no property of {args.__name__}"
            continue
        required, hint = known[name]
        if required != declared.required:
            yield f"{where}.{name} is {'' if required else 'not '}required"
        found = set(classes(hint))
        nested = [each for each in found if each.__name__.endswith("Args")]
        if declared.unsupported:
            continue
        if isinstance(declared.of, Mapping):
            if not nested:
                yield f"{where}.{name} has no properties"
            for each in nested:
                yield from mismatches(f"{where}.{name}", declared.of, each)
        elif nested and str not in found:
            yield f"{where}.{name} is an object"
        scalar = declared.of if isinstance(declared.of, type) else declared.type
        if scalar in (str, bool, int, float) and not nested and scalar not in found:
            yield f"{where}.{name} is {found}, not {scalar}"
    missing = [name for name, (required, _) in known.items() if required and name not in properties]
    yield from (f"{where}.{name} is required, and unknown here" for name in missing)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.token)
def test_each_property_exists_in_the_official_sdk(kind: type[AwsKind]) -> None:
    assert list(mismatches(kind.token, kind.properties, arguments(kind))) == []


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.token)
def test_each_output_exists_in_the_official_sdk(kind: type[AwsKind]) -> None:
    assert set(kind.outputs) - set(_types.resource_types(sdk_class(kind.token))) == set()


def test_no_type_is_declared_twice() -> None:
    tokens = [kind.token for kind in KINDS]
    assert len(tokens) == len(set(tokens))


@pytest.mark.parametrize("token", FUNCTIONS)
def test_each_function_exists_in_the_official_sdk(token: str) -> None:
    package = token.split(":")[1].split("/")[0]
    module = importlib.import_module("pulumi_aws" if package == "index" else f"pulumi_aws.{package}")
    names = [each.name for each in pkgutil.iter_modules(module.__path__) if each.name.startswith("get_")]
    sources = [inspect.getsource(importlib.import_module(f"{module.__name__}.{name}")) for name in names]
    assert any(f"'{token}'" in source for source in sources)


@pytest.mark.parametrize("service", SERVICES)
def test_every_pattern_of_the_services_in_use_can_be_checked(service: str) -> None:
    model: Any = Session().get_service_model(service)
    for name in model.shape_names:
        pattern = model.shape_for(name).metadata.get("pattern")
        if pattern:
            compiled(pattern)


def test_the_version_equals_the_sdks() -> None:
    assert metadata.version("pulumi-aws") == VERSION
