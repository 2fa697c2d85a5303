"""A resource as the rules see it: plain data, wherever it comes from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


class Hidden:
    """A value that a rule cannot look at."""

    def __init__(self, why: str) -> None:
        self.why = why

    def __repr__(self) -> str:
        return self.why


UNKNOWN = Hidden("known after the update only")
SECRET = Hidden("secret")


@dataclass(frozen=True)
class Provider:
    """The provider that makes a resource."""

    type: str
    props: Mapping[str, Any]


@dataclass(frozen=True)
class Resource:
    """One resource of a stack."""

    type: str
    name: str
    urn: str
    props: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Its inputs under Pulumi's names (camelCase); UNKNOWN and SECRET stand where a value cannot be seen."""
    protect: bool = False
    retain_on_delete: bool | None = None
    """None where nobody tells: the engine tells a policy pack about protect, not about this."""
    parent: str = ""
    """The parent's URN."""
    provider: Provider | None = None
    """None for the default provider, and for components."""

    @property
    def types(self) -> str:
        """The types of the components around it and its own, from outside to inside, as its URN has them."""
        parts = self.urn.split("::")
        return parts[2] if len(parts) > 3 else self.type

    def get(self, *path: str) -> Any:
        """What is there; None for nothing, UNKNOWN or SECRET where that, or something around it, is hidden."""
        value: Any = self.props
        for key in path:
            if isinstance(value, Hidden):
                return value
            value = value.get(key) if isinstance(value, Mapping) else None
        return value

    def items(self, *path: str) -> Sequence[Any]:
        """The elements of a list that can be seen; none for no list."""
        value = self.get(*path)
        return [one for one in value if not isinstance(one, Hidden)] if isinstance(value, list) else []


Rule = Callable[[Resource], Iterator[str]]
"""What is wrong with a resource, a sentence each, and what to do about it. Its docstring says what has to hold."""

StackRule = Callable[[Sequence[Resource]], Iterator[tuple[str, str]]]
"""The same over all resources of a stack: the URN of the resource that is wrong, and the sentence."""


def name_of(rule: Rule | StackRule) -> str:
    """What the rule is called in the policy pack's configuration and in messages."""
    return rule.__name__.replace("_", "-")


def description_of(rule: Rule | StackRule) -> str:
    """What has to hold."""
    assert rule.__doc__, f"{rule.__name__} does not say what has to hold"
    return " ".join(rule.__doc__.split())


def is_anywhere(cidr: object) -> bool:
    """Whether an address range is the whole internet."""
    return isinstance(cidr, str) and cidr.endswith("/0")


def anywhere(cidrs: Iterable[object]) -> list[str]:
    """Which of these address ranges are the whole internet."""
    return [str(cidr) for cidr in cidrs if is_anywhere(cidr)]
