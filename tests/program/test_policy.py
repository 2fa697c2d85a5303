"""The program with each stack's own file breaks no rule of the policy pack, in previews as in updates."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
import yaml
from google.protobuf import json_format

from pipeline.policy.rules import (
    RULES,
    SECRET,
    STACK_RULES,
    UNKNOWN,
    Provider,
    Resource,
    broken_by,
    broken_in_stack,
    name_of,
    parse,
)
from pipeline.policy.rules.data import protected_data
from tests.program.conftest import Run
from tests.program.recorder import CHECKOUT, Recording, Registration
from tests.program.test_tenant_role import roles

STACKS = sorted({path.name.split(".")[1] for path in CHECKOUT.glob("Pulumi.*.yaml")})

SIGNATURE = "4dabf18193072939515e22adb298388d"
SECRET_SIGNATURE = "1b47061264138c4ac30d75fd1eb44270"
OUTPUT_SIGNATURE = "d0e6a833031e9bbcd3f4e8bde6ca49a4"
UNKNOWN_VALUE = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
"""How Pulumi's protocol marks values."""


def resources(recording: Recording) -> list[Resource]:
    """Everything that the program registered, as the rules see it."""
    registered = recording.registrations
    return [_resource(item, registered) for item in registered.values() if item.type != "pulumi:pulumi:Stack"]


def _resource(item: Registration, registered: Mapping[str, Registration]) -> Resource:
    made_by = registered.get(item.request.provider.rpartition("::")[0])
    return Resource(
        type=item.type,
        name=item.name,
        urn=item.urn,
        props=_props(item),
        protect=item.request.protect,
        retain_on_delete=item.request.retainOnDelete,
        parent=item.parent,
        provider=Provider(made_by.type, _props(made_by)) if made_by else None,
    )


def _props(item: Registration) -> dict[str, Any]:
    return _marked(json_format.MessageToDict(item.request.object))


def _marked(value: Any) -> Any:
    if isinstance(value, list):
        return [_marked(inner) for inner in value]
    if isinstance(value, dict):
        kind = value.get(SIGNATURE)
        if kind == SECRET_SIGNATURE or (kind == OUTPUT_SIGNATURE and value.get("secret")):
            return SECRET
        if kind == OUTPUT_SIGNATURE:
            return _marked(value["value"]) if "value" in value else UNKNOWN
        return {key: _marked(inner) for key, inner in value.items()}
    return UNKNOWN if value == UNKNOWN_VALUE else value


def broken(recording: Recording, allowed: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Every rule that is broken, where, and what to do."""
    stack = resources(recording)
    one_by_one = [
        f"{name_of(rule)}: {resource.type} {resource.name}: {problem}"
        for rule in RULES
        for resource in stack
        for problem in broken_by(resource, rule, parse(allowed.get(name_of(rule), {})))
    ]
    together = [
        f"{name_of(rule)}: {urn}: {problem}"
        for rule in STACK_RULES
        for urn, problem in broken_in_stack(stack, rule, parse(allowed.get(name_of(rule), {})))
    ]
    return one_by_one + together


@pytest.fixture
def allowed() -> dict[str, dict[str, Any]]:
    """The exceptions that the pack is configured with, rule by rule."""
    return json.loads((CHECKOUT / "pipeline/policy/exceptions.json").read_text())


@pytest.fixture
def program(run: Run, image_manifest: str) -> Callable[..., Recording]:
    """The program with the stack's file, except for the files that the stack's own machine has."""

    def call(stack: str, *, preview: bool, more_tenants: str = "") -> Recording:
        written = yaml.safe_load((CHECKOUT / f"Pulumi.{stack}.yaml").read_text())["config"]
        config = {key.partition(":")[2]: value for key, value in written.items()}
        elsewhere = {"kubeconfig", "mirrorsFile", "fluxManifest", "fluxManifestSha256"}
        config = {key: value for key, value in config.items() if key not in elsewhere}
        tenants = (CHECKOUT / "tenants.yaml").read_text() + more_tenants
        files = {"install.yaml": image_manifest}
        return run(tenants, config=config, preview=preview, stack_name=stack, files=files)

    return call


@pytest.mark.parametrize("preview", [False, True], ids=["update", "preview"])
@pytest.mark.parametrize("stack", STACKS)
def test_no_stack_breaks_a_rule(
    program: Callable[..., Recording], stack: str, preview: bool, allowed: dict[str, dict[str, Any]]
) -> None:
    assert broken(program(stack, preview=preview), allowed) == []


@pytest.mark.parametrize("preview", [False, True], ids=["update", "preview"])
def test_a_tenant_with_its_own_user_pool_breaks_no_rule(
    program: Callable[..., Recording], preview: bool, allowed: dict[str, dict[str, Any]]
) -> None:
    tenant = '  - {name: tenant-003, identity: pool, source: {url: "https://github.com/acme/a", branch: main}}\n'
    recording = program("prod-eu", preview=preview, more_tenants=tenant)
    pool = recording.resource("aws:cognito/userPool:UserPool", "tenant-003")
    assert (pool.request.retainOnDelete, pool.request.protect) == (True, False)
    assert recording.outputs["identityPools"].keys() == {"tenant-003"}
    assert broken(recording, allowed) == []
    passed = [replace(item, retain_on_delete=None) for item in resources(recording)]
    assert [item.urn for item in passed if list(broken_by(item, protected_data))] == [], "as the engine tells it"


def test_the_tenants_boundary_is_the_only_exception(
    allowed: dict[str, dict[str, Any]],
) -> None:
    def wide(permitted: Mapping[str, Mapping[str, Any]]) -> list[str]:
        return [item for item in broken(recording, permitted) if item.startswith("narrow-permissions")]

    recording = roles("shop", "cafe")
    assert {item.split(": ")[1] for item in wide({})} == {"aws:iam/policy:Policy tenants"}
    assert wide(allowed) == []
