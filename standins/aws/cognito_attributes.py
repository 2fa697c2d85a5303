"""Attributes of a user pool's users, as Pulumi and as Cognito have them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from standins.provider import Property, Values

CUSTOM = "custom:"
SCHEMA = {
    "attributeDataType": Property(required=True, choices=("Boolean", "Number", "String", "DateTime")),
    "developerOnlyAttribute": Property(bool, default=False),
    "mutable": Property(bool, default=False),
    "name": Property(required=True),
    "numberAttributeConstraints": Property(dict, of={"maxValue": Property(), "minValue": Property()}),
    "required": Property(bool, default=False),
    "stringAttributeConstraints": Property(dict, of={"maxLength": Property(), "minLength": Property()}),
}


def schema_mistakes(schemas: Any) -> Iterable[tuple[str, str]]:
    """What Cognito refuses about attributes by their names and combinations."""
    for index, one in enumerate(schemas if isinstance(schemas, list) else []):
        name = one.get("name") if isinstance(one, dict) else None
        if not isinstance(name, str):
            continue
        if name.startswith((CUSTOM, "dev:")):
            yield f"schemas[{index}].name", f"{name}: leave out the prefix, Cognito adds it"
        elif not 1 <= len(name) <= 20:
            yield f"schemas[{index}].name", f"expected length of {name} to be in the range (1 - 20)"


def schema_request(one: Values) -> Values:
    """An attribute in a request. A string without limits has the limits that Cognito would put in."""
    made = {
        "AttributeDataType": one["attributeDataType"],
        "DeveloperOnlyAttribute": one.get("developerOnlyAttribute", False),
        "Mutable": one.get("mutable", False),
        "Name": one["name"],
        "Required": one.get("required", False),
    }
    for key, field, ends in (
        ("numberAttributeConstraints", "NumberAttributeConstraints", ("MinValue", "MaxValue")),
        ("stringAttributeConstraints", "StringAttributeConstraints", ("MinLength", "MaxLength")),
    ):
        if given := one.get(key):
            limits = {end: given.get(end[0].lower() + end[1:]) for end in ends}
            made[field] = {end: str(value) for end, value in limits.items() if value not in (None, "")}
    return made


def described_schemas(actual: list[Values], known: Any) -> list[Values]:
    """The attributes that the program declared, as Cognito has them, and custom ones that somebody else added."""
    declared = [one["name"] for one in known or ()]
    found = []
    for one in actual:
        name = one["Name"].removeprefix("dev:").removeprefix(CUSTOM)
        if one["Name"].startswith((CUSTOM, "dev:")) or name in declared:
            found.append(_described(name, one))
    return sorted(found, key=lambda one: declared.index(one["name"]) if one["name"] in declared else len(declared))


def _described(name: str, one: Values) -> Values:
    told: Values = {
        "attributeDataType": one["AttributeDataType"],
        "developerOnlyAttribute": one.get("DeveloperOnlyAttribute", False),
        "mutable": one.get("Mutable", False),
        "name": name,
        "required": one.get("Required", False),
    }
    if number := one.get("NumberAttributeConstraints"):
        told["numberAttributeConstraints"] = {
            "maxValue": number.get("MaxValue", ""),
            "minValue": number.get("MinValue", ""),
        }
    if text := one.get("StringAttributeConstraints"):
        told["stringAttributeConstraints"] = {
            "maxLength": text.get("MaxLength", ""),
            "minLength": text.get("MinLength", ""),
        }
    return told
