"""Generations of keys: a higher number makes a new key, switches to it, and only then withdraws the old one."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Protocol

from pydantic import Field

from model.config.base import Finding
from model.config.sources import Source

Generation = Annotated[int, Field(ge=1, le=9999)]
KeyGeneration = Annotated[
    Generation,
    Field(alias="keyGeneration", description="A higher number makes new keys and withdraws the old ones"),
]
KeyConfirmed = Annotated[
    Generation,
    Field(
        alias="keyConfirmed",
        description="The generation that is registered with a server other than GitHub, so that Flux reads with it",
    ),
]


class Holder(Protocol):
    """A product or tenant with a deploy key."""

    @property
    def key_generation(self) -> int: ...
    @property
    def key_confirmed(self) -> int: ...


@dataclass(frozen=True)
class Generations:
    """The generations of one deploy key."""

    used: int
    """The generation that Flux reads with."""
    newest: int
    """The generation that a repository's owner has to register; Flux uses it once that is confirmed."""


def generation(stack: int, holder: Holder) -> int:
    """The generation of a product's or tenant's keys: raising the stack's number raises that of all."""
    return stack + holder.key_generation - 1


def by_hand(source: Source) -> bool:
    """Whether a source has a deploy key that its owner registers, because its server is not GitHub."""
    return source.private and source.github_repository is None


def generations(stack: int, holder: Holder, source: Source) -> Generations:
    """The generations of a source's deploy key. The stack's number leaves keys alone that are registered by hand."""
    if by_hand(source):
        return Generations(holder.key_confirmed, holder.key_generation)
    number = generation(stack, holder)
    return Generations(number, number)


def numbered(name: str, number: int) -> str:
    """The name of a generation's key. The first one's has no number: it is from before there were generations."""
    return name if number == 1 else f"{name}#{number}"


def fingerprint(public_key: str) -> str:
    """The fingerprint of a public key in OpenSSH's format, as `ssh-keygen -l` and GitHub show it."""
    digest = hashlib.sha256(base64.b64decode(public_key.split()[1])).digest()
    return f"SHA256:{base64.b64encode(digest).decode().rstrip('=')}"


def unused_generation(holder: Holder, source: Source | None) -> Iterator[Finding]:
    """A generation of a tenant that has no key."""
    if holder.key_generation > 1 and (source is None or not source.private):
        remedy = "Remove it. A shared product's key has the generation of products.NAME.keyGeneration."
        yield ("keyGeneration",), "the tenant has no deploy key of its own", remedy


def key_findings(holder: Holder, source: Source | None) -> Iterator[Finding]:
    """Confirmations of keys that are not registered by hand, or do not exist."""
    if holder.key_confirmed > 1 and (source is None or not by_hand(source)):
        message = "only keys for servers other than GitHub are registered by hand"
        yield ("keyConfirmed",), message, "Remove it: on GitHub, the program registers keys by itself."
    elif holder.key_confirmed > holder.key_generation:
        message = f"there is no key of generation {holder.key_confirmed}"
        yield ("keyConfirmed",), message, f"Write at most keyGeneration, which is {holder.key_generation}."


def unreachable(stack: int, holder: Holder, source: Source, earlier: Mapping[str, Any]) -> Finding | None:
    """A generation that would leave Flux without a key, by what the output `deployKeys` said after the last update.

    One that goes back would have the name of a key that is no more, and another key under it.
    """
    # The engine keeps numbers as floats.
    before = int(earlier.get("generation", 1))
    if by_hand(source):
        if "toRegister" not in earlier or holder.key_confirmed in (before, int(earlier["toRegister"])):
            return None
        message = f"the key of generation {holder.key_confirmed} cannot be registered yet: it does not exist"
        remedy = "Raise keyGeneration first, and confirm it once its key is registered."
        return ("keyConfirmed",), message, f"Write `keyConfirmed: {before}`, which is in use. {remedy}"
    number = generation(stack, holder)
    if number >= before:
        return None
    message = f"generation {number} of the key is lower than the last update's, {before}"
    return (
        ("keyGeneration",),
        message,
        f"Write `keyGeneration: {before - stack + 1}` or more: a generation is used once.",
    )
