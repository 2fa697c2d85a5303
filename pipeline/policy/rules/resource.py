"""Resources as the rules see them: plain data, from the engine or from a test's recording."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


class Hidden:
    """A value that a rule cannot see: unknown or secret."""

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
    """Its inputs under Pulumi's names (camelCase); UNKNOWN or SECRET where a value cannot be seen."""
    protect: bool = False
    retain_on_delete: bool | None = None
    """None in the engine, which passes protect to a policy pack, but not this."""
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
        """The value at a path; None if absent, UNKNOWN or SECRET where it, or a value around it, is hidden."""
        value: Any = self.props
        for key in path:
            if isinstance(value, Hidden):
                return value
            value = value.get(key) if isinstance(value, Mapping) else None
        return value

    def items(self, *path: str) -> Sequence[Any]:
        """The elements of a list, without hidden ones; empty for anything else."""
        value = self.get(*path)
        return [each for each in value if not isinstance(each, Hidden)] if isinstance(value, list) else []


Rule = Callable[[Resource], Iterator[str]]
"""Yields a sentence for each violation: what is wrong, and the remedy. Its docstring is the rule's description."""

StackRule = Callable[[Sequence[Resource]], Iterator[tuple[str, str]]]
"""The same over all resources of a stack: yields the URN of the resource, and the sentence."""


def name_of(rule: Rule | StackRule) -> str:
    """The rule's name in the policy pack's configuration and in messages."""
    return rule.__name__.replace("_", "-")


def description_of(rule: Rule | StackRule) -> str:
    """The rule's description: its docstring, on one line."""
    assert rule.__doc__, f"{rule.__name__} has no docstring"
    return " ".join(rule.__doc__.split())


def is_anywhere(cidr: object) -> bool:
    """Whether an address range is the whole internet."""
    return isinstance(cidr, str) and cidr.endswith("/0")


def anywhere(cidrs: Iterable[object]) -> list[str]:
    """Which of these address ranges are the whole internet."""
    return [str(cidr) for cidr in cidrs if is_anywhere(cidr)]
