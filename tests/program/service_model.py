"""Checks what a program registers against the descriptions by which AWS' own SDK knows its services."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import botocore.session

from tests.program.recorder import Recording

OPERATIONS: Mapping[str, tuple[str, str, Mapping[str, str]]] = {
    # Pulumi type -> service, operation that creates it, and inputs with another name there. Inputs of another operation
    # or place have a path; "" for inputs that the provider does not send.
    "aws:ecr/repository:Repository": (
        "ecr",
        "CreateRepository",
        {"name": "repositoryName", "encryptionConfigurations": "encryptionConfiguration", "forceDelete": ""},
    ),
    "aws:ecr/lifecyclePolicy:LifecyclePolicy": (
        "ecr",
        "PutLifecyclePolicy",
        {"repository": "repositoryName", "policy": "lifecyclePolicyText"},
    ),
    "aws:ecr/repositoryPolicy:RepositoryPolicy": (
        "ecr",
        "SetRepositoryPolicy",
        {"repository": "repositoryName", "policy": "policyText"},
    ),
    "aws:eks/podIdentityAssociation:PodIdentityAssociation": ("eks", "CreatePodIdentityAssociation", {}),
    "aws:cognito/userPool:UserPool": (
        "cognito-idp",
        "CreateUserPool",
        {
            "name": "PoolName",
            "schemas": "Schema",
            "passwordPolicy": "Policies.PasswordPolicy",
            "tags": "UserPoolTags",
            "softwareTokenMfaConfiguration": "",
        },
    ),
    "aws:cognito/userPoolDomain:UserPoolDomain": ("cognito-idp", "CreateUserPoolDomain", {}),
    "aws:cognito/resourceServer:ResourceServer": ("cognito-idp", "CreateResourceServer", {}),
    "aws:cognito/userPoolClient:UserPoolClient": ("cognito-idp", "CreateUserPoolClient", {"name": "ClientName"}),
    "aws:cognito/userGroup:UserGroup": ("cognito-idp", "CreateGroup", {"name": "GroupName"}),
    "aws:cognito/managedLoginBranding:ManagedLoginBranding": ("cognito-idp", "CreateManagedLoginBranding", {}),
}
INSIDE = {
    "fromemailaddress": "from",
    "attributesrequireverificationbeforeupdates": "attributesrequireverificationbeforeupdate",
}
"""Nested properties with another name in the API, in lower case."""
UNICODE = {
    r"\p{Z}": " ",
    r"\p{L}": "a-zA-Z",
    r"\p{M}": "",
    r"\p{N}": "0-9",
    r"\p{S}": "$+<=>^`|~",
    r"\p{P}": r"!-#%-*,-/:;?@\[-\]_{}",
}
"""ASCII replacements of character classes that Python's regular expressions lack."""


def problems(recording: Recording) -> list[str]:
    """Registered resources of the types in OPERATIONS that their service would refuse."""
    session = botocore.session.get_session()
    found: list[str] = []
    for registration in recording.registrations.values():
        if registration.type not in OPERATIONS:
            continue
        service, operation, names = OPERATIONS[registration.type]
        shape = session.get_service_model(service).operation_model(operation).input_shape
        value: dict[str, Any] = {}
        for key, inner in registration.inputs.items():
            if isinstance(inner, list) and names.get(key, "").endswith("Configuration"):
                inner = inner[0]  # at most one, which the provider's schema writes as a list
            if path := names.get(key, key):
                target = value
                *outer, last = path.split(".")
                for step in outer:
                    target = target.setdefault(step, {})
                target[last] = inner
        found += _check(shape, value, f"{registration.name} {operation}")
    return found


def _check(shape: Any, value: Any, at: str) -> Iterator[str]:
    rules = shape.metadata
    if shape.type_name == "structure":
        members = {name.lower(): (name, member) for name, member in shape.members.items()}
        given = {key.lower() for key in value} | {"clienttoken"}
        yield from (f"{at}: lacks {name}" for name in shape.required_members if name.lower() not in given)
        for key, inner in value.items():
            if found := members.get(INSIDE.get(key.lower(), key.lower())):
                name, member = found
                # Tags are a mapping for Pulumi, whatever they are for the service; ids are the mocks'.
                if not (name == "tags" and member.type_name == "list") and not name.endswith("Id"):
                    yield from _check(member, inner, f"{at}.{name}")
            else:
                yield f"{at}: {key} is unknown"
    elif shape.type_name == "list":
        yield from _within(rules, len(value), at)
        for index, inner in enumerate(value):
            yield from _check(shape.member, inner, f"{at}[{index}]")
    elif shape.type_name == "map":
        for key, inner in value.items():
            yield from _check(shape.key, key, f"{at}.{key}")
            yield from _check(shape.value, inner, f"{at}.{key}")
    elif shape.type_name == "string":
        if not isinstance(value, str):
            yield f"{at}: {value!r} is no text"
            return
        yield from _within(rules, len(value), at)
        if value not in rules.get("enum", [value]):
            yield f"{at}: {value!r} is not among {rules['enum']}"
        pattern = rules.get("pattern", "")
        for unicode, ascii_ in UNICODE.items():
            pattern = pattern.replace(unicode, ascii_)
        if pattern and not re.search(rf"\A(?:{pattern})\Z", value):
            yield f"{at}: {value!r} does not match {pattern}"
    elif shape.type_name in ("integer", "long"):
        if isinstance(value, bool) or int(value) != value:
            yield f"{at}: {value!r} is no whole number"
        else:
            yield from _within(rules, value, at)
    elif shape.type_name == "boolean" and not isinstance(value, bool):
        yield f"{at}: {value!r} is neither true nor false"


def _within(rules: Mapping[str, Any], number: float, at: str) -> Iterator[str]:
    if not rules.get("min", number) <= number <= rules.get("max", number):
        yield f"{at}: {number} is not within {rules.get('min', '')} and {rules.get('max', '')}"
