"""What can still be said where something is wrong: everything that does not depend on it.

A model that was read from a document with mistakes has UNSOUND where they are. A rule that looks at it ends there,
whatever the rule is and wherever it looks; all other rules find what they always find.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NoReturn, TypeVar

from model.config.mistakes import Mistake

T = TypeVar("T")


class UnsoundError(ValueError):
    """What was looked at is wrong, so that nothing can be said of what depends on it."""


def _looked_at(self: Any, *_: Any) -> NoReturn:
    raise UnsoundError("a value that is wrong was looked at")


class _Unsound:
    """Can be handed on, and compared by `is`; looking at it in any other way raises UnsoundError."""

    __getattr__ = __getitem__ = __call__ = __contains__ = __iter__ = __len__ = _looked_at
    __bool__ = __str__ = __format__ = __fspath__ = __int__ = __index__ = _looked_at
    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = __hash__ = _looked_at
    __add__ = __radd__ = __sub__ = __rsub__ = _looked_at

    def __repr__(self) -> str:
        return "UNSOUND"


UNSOUND: Any = _Unsound()


def sound(values: Sequence[T]) -> Iterator[tuple[int, T]]:
    """The entries of a list that are right by themselves, each with its index."""
    return ((index, value) for index, value in enumerate(values) if value is not UNSOUND)


def unless_unsound(value: T, otherwise: T) -> T:
    """The value, or another one for a rule that can do without."""
    return otherwise if value is UNSOUND else value


def found_by(rules: Iterable[Callable[[], Iterable[Mistake]]]) -> Iterator[Mistake]:
    """What rules find, each until it looks at what is wrong by itself."""
    for rule in rules:
        try:
            yield from rule()
        except UnsoundError:
            continue
