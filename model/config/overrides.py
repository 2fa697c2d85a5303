"""What a tenant changes of its product: values of variables, images, patches. Flux applies them after Kustomize."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, cast

import yaml
from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema
from pydantic_core import InitErrorDetails, ValidationError

from model.config.base import Finding, Model, rule_error

VARIABLE_PATTERN = r"^[A-Za-z_][A-Za-z0-9_]*$"
"""Names of variables that Flux substitutes, those of a shell."""
TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
"""Tags of images."""
OPERATIONS: Mapping[str, tuple[str, ...]] = {
    "add": ("path", "value"),
    "replace": ("path", "value"),
    "test": ("path", "value"),
    "remove": ("path",),
    "copy": ("path", "from"),
    "move": ("path", "from"),
}
"""Operations of a JSON patch (RFC 6902), each with the keys that it needs."""


def _values(given: Any) -> Any:
    """Validate variables and their values. It removes variables whose value is null."""
    if not isinstance(given, dict):
        return given
    values: dict[str, str] = {}
    errors: list[InitErrorDetails] = []
    for key, value in cast("dict[Any, Any]", given).items():
        error = _variable_error(key, value)
        if error:
            errors.append(InitErrorDetails(type=rule_error(*error), loc=(str(key),), input=value))
        elif value is not None:
            values[key] = value
    if errors:
        raise ValidationError.from_exception_data("values", errors)
    return values


def _variable_error(key: Any, value: Any) -> tuple[str, str] | None:
    if not isinstance(key, str) or not re.fullmatch(VARIABLE_PATTERN, key):
        remedy = "Use letters, digits and underscores, with no digit in front, such as greeting or REPLICAS."
        return f"{key!r} is not a valid name of a variable", remedy
    if isinstance(value, bool | int | float):
        # YAML has changed the text already: 1.10 is 1.1 here, and no is False.
        return f"must be text, not {value!r}", 'Put it in quotes, exactly as the product needs it: "…".'
    if not isinstance(value, str | None):
        return "must be text", "Write one value for each variable."
    if value and re.search(r"[\r\n]", value):
        return "has several lines, which Flux would join", "Write it in one line, or use a patch."
    return None


def _patch(text: str) -> str:
    """Validate a patch, and return it as JSON: Kustomize reads YAML that begins with a bracket as JSON only."""
    try:
        content: Any = yaml.safe_load(text)
    except yaml.YAMLError as error:
        message = f"is not YAML: {str(error).splitlines()[0]}"
        raise rule_error(message, "Write a list of operations or a part of an object.") from None
    if isinstance(content, list):
        for number, operation in enumerate(cast("list[Any]", content), start=1):
            _check_operation(number, operation)
    elif not isinstance(content, dict) or not content:
        remedy = "Write a list such as `- {op: replace, path: /spec/replicas, value: 3}`, or a part of an object."
        raise rule_error("is neither a JSON patch nor a part of an object", remedy)
    return json.dumps(content, default=str)


def _check_operation(number: int, operation: Any) -> None:
    given = cast("dict[str, Any]", operation) if isinstance(operation, dict) else {}
    needed = OPERATIONS.get(str(given.get("op")))
    if needed is None:
        raise rule_error(f"operation {number} has no valid `op`", f"Write one of {', '.join(OPERATIONS)}.")
    if missing := [key for key in needed if key not in given]:
        raise rule_error(f"operation {number} has no `{missing[0]}`", f"{given['op']} needs {' and '.join(needed)}.")
    if not str(given["path"]).startswith("/"):
        raise rule_error(f"operation {number} has the path {given['path']!r}", "Begin it with a slash: /spec/replicas.")


def _tag(value: str) -> str:
    if not TAG.fullmatch(value):
        raise rule_error(f"{value!r} is not a tag of an image", "Write the tag alone, such as 1.4.2.")
    return value


def _digest(value: str) -> str:
    if not re.fullmatch(r"sha256:[0-9a-f]{64}", value):
        raise rule_error(f"{value!r} is not a digest", "Write sha256: and 64 hexadecimal digits.")
    return value


def _image_name(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9._-]+(:\d+(?=/))?(/[a-z0-9._-]+)*", value):
        raise rule_error(
            f"{value!r} is not the name of an image", "Write it without tag and digest, such as ghcr.io/acme/app."
        )
    return value


Values = Annotated[
    dict[str, str],
    BeforeValidator(_values),
    WithJsonSchema(
        {
            "type": "object",
            "propertyNames": {"pattern": VARIABLE_PATTERN},
            "additionalProperties": {"type": ["string", "null"]},
        }
    ),
]
ImageName = Annotated[str, AfterValidator(_image_name)]


class ImageOverride(Model):
    """Another image than the product's: `images` of a Kustomization. At least one of newName, newTag, digest."""

    name: ImageName = Field(description="The image's name in the product, without tag")
    new_name: ImageName | None = Field(default=None, alias="newName", description="Another name")
    new_tag: Annotated[str, AfterValidator(_tag)] | None = Field(
        default=None, alias="newTag", description="Another tag, such as 1.4.2"
    )
    digest: Annotated[str, AfterValidator(_digest)] | None = Field(
        default=None, description="An exact image, as sha256:…"
    )


class PatchTarget(Model):
    """The objects that a patch changes. Names and kinds are regular expressions, selectors are those of kubectl."""

    group: str | None = Field(default=None, min_length=1)
    version: str | None = Field(default=None, min_length=1)
    kind: str | None = Field(default=None, min_length=1)
    name: str | None = Field(default=None, min_length=1)
    label_selector: str | None = Field(default=None, alias="labelSelector", min_length=1)
    annotation_selector: str | None = Field(default=None, alias="annotationSelector", min_length=1)


class Patch(Model):
    """A change of the product's objects: `patches` of a Kustomization."""

    patch: Annotated[str, AfterValidator(_patch)] = Field(
        description="A JSON patch as a YAML list, or a part of an object (strategic merge), as text"
    )
    target: PatchTarget | None = Field(default=None, description="Its objects; without: the one that the patch names")


def image_findings(images: Sequence[ImageOverride]) -> Iterator[Finding]:
    """Values of image overrides that are valid, but not together."""
    names = [image.name for image in images]
    for index, image in enumerate(images):
        if image.new_name is None and image.new_tag is None and image.digest is None:
            message = f"changes nothing of {image.name}"
            yield ("images", index), message, "Add newName, newTag or digest."
        if image.name in names[:index]:
            yield ("images", index, "name"), f"{image.name} is listed twice", "Keep only one of them."


def patch_findings(patches: Sequence[Patch]) -> Iterator[Finding]:
    """Patches that do not say which objects they change, or that are repeated."""
    for index, patch in enumerate(patches):
        if patch in patches[:index]:
            yield ("patches", index), "this patch is listed twice", "Keep only one of them."
        content: Any = yaml.safe_load(patch.patch)
        if patch.target is not None:
            if not patch.target.model_dump(exclude_none=True):
                remedy = "Write kind: or name: below it, or leave target out."
                yield ("patches", index, "target"), "selects every object of the product", remedy
        elif isinstance(content, list):
            remedy = "Add `target: {kind: Deployment, name: NAME}`."
            yield ("patches", index), "a list of operations does not say which objects it changes", remedy
        elif not (content.get("kind") and _name_of(content)):
            remedy = "Write apiVersion, kind and metadata.name into it, or add target."
            yield ("patches", index, "patch"), "does not say which object it changes", remedy


def _name_of(content: Mapping[str, Any]) -> Any:
    metadata = content.get("metadata")
    return cast("dict[str, Any]", metadata).get("name") if isinstance(metadata, dict) else None
