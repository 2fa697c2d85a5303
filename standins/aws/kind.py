"""What the AWS stand-in's resource types and functions have in common: names, tags, comparing documents."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from standins.aws.session import Session
from standins.codec import has_unknown
from standins.provider import UNKNOWN, Kind, Property, RefusedError, Values, refused_arguments

REGION = {"region": Property(computed=True, ignored=True, unsupported=True)}
"""An input of each type of pulumi-aws 7: everything here is in the provider's region."""

TAGS = {"tags": Property(dict, of=str), "tagsAll": Property(dict, of=str)}
"""`tagsAll` is computed from `tags` and the provider's default tags, so a changed default is an update."""

MAX_TAGS = 50


class AwsKind(Kind):
    """A resource type on AWS. `aws` is what it calls the API with."""

    def __init__(self, aws: Session) -> None:
        self.aws = aws

    def check(self, name: str, inputs: Values, seed: bytes) -> Iterable[tuple[str, str]]:
        if "tagsAll" in self.properties:
            yield from self._check_tags(inputs)

    def _check_tags(self, inputs: Values) -> Iterable[tuple[str, str]]:
        tags = inputs.get("tags", {})
        if has_unknown(tags):
            inputs["tagsAll"] = UNKNOWN
            return
        told = tags.items() if isinstance(tags, dict) else ()
        inputs["tagsAll"] = {**self.aws.default_tags, **{key: tag for key, tag in told if isinstance(tag, str)}}
        for key in inputs["tagsAll"]:
            if key.lower().startswith("aws:"):
                yield "tags", f"{key}: AWS keeps tags that begin with aws: to itself"
        if len(inputs["tagsAll"]) > MAX_TAGS:
            yield "tags", f"{len(inputs['tagsAll'])} tags, of which AWS takes {MAX_TAGS} at most"

    def tag_state(self, actual: Mapping[str, str], state: Values) -> Values:
        """`tags` and `tagsAll` by what AWS has: the provider's own are among `tags` only if the program said them."""
        everything = {key: value for key, value in actual.items() if not key.startswith("aws:")}
        told, default = state.get("tags") or {}, self.aws.default_tags
        own = {key: value for key, value in everything.items() if key in told or default.get(key) != value}
        return {"tags": own, "tagsAll": everything}

    def made(self, identifier: str, state: Values) -> tuple[str, Values]:
        """As `read`, of what has just been made or changed. `state` holds what the API does not tell."""
        found = self.read(identifier, state)
        if found is None:
            raise RefusedError(f"{identifier} was deleted as soon as it was made or changed: run `pulumi refresh`")
        return found


def autoname(inputs: Values, name: str, seed: bytes, *, most: int, key: str = "name", prefix: str = "") -> None:
    """Put in the name that the official provider makes up where the program says none: NAME-1a2b3c4.

    `most` is how many characters the service takes. An older name stays if the type's `autonamed` is `key`.
    """
    if inputs.get(key) is None:
        end = f"-{seed.hex()[:7]}"
        inputs[key] = f"{prefix}{name}"[: most - len(end)] + end


def tag_changes(actual: Mapping[str, str], wanted: Mapping[str, str]) -> tuple[list[str], dict[str, str]]:
    """Which keys have to go, and which tags have to be set."""
    gone = [key for key in actual if key not in wanted and not key.startswith("aws:")]
    return gone, {key: value for key, value in wanted.items() if actual.get(key) != value}


def tag_list(tags: Mapping[str, str] | None) -> list[dict[str, str]]:
    """Tags as most services take them."""
    return [{"Key": key, "Value": value} for key, value in (tags or {}).items()]


def tag_dict(tags: Iterable[Mapping[str, str]] | None) -> dict[str, str]:
    """The inverse of `tag_list`."""
    return {tag["Key"]: tag.get("Value", "") for tag in tags or ()}


def changed(kind: Kind, state: Values, inputs: Values, *names: str) -> bool:
    """Whether an update changes one of these properties."""
    return any(
        kind.properties[name].differs(state.get(name), inputs.get(name))
        and not kind.same(name, state.get(name), inputs.get(name))
        for name in names
    )


@dataclass(frozen=True)
class AwsFunction:
    """A function: its arguments, and what answers it."""

    arguments: Mapping[str, Property]
    answer: Callable[[Session, Values], Values]

    def bound(self, aws: Session) -> Callable[[Values], Values]:
        """The function as a provider has it."""

        def call(arguments: Values) -> Values:
            given: dict[str, Any] = {key: value for key, value in arguments.items() if value is not None}
            if wrong := [reason for _, reason in refused_arguments(self.arguments, given)]:
                raise RefusedError("; ".join(wrong))
            return self.answer(aws, given)

        return call
