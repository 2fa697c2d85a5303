"""Problems found in the inputs: each with its file, line and remedy, reported together."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(frozen=True, order=True)
class Problem:
    """A value that its author has to change."""

    file: str
    line: int
    """Counted from 1; 0 for a problem of the whole file."""
    path: str
    """The path inside the file, such as `tenants[2].source.url`; empty for the whole file."""
    message: str
    """The problem, such as "is missing"."""
    remedy: str = field(default="", compare=False)
    """The correction, as an instruction: "Write …"."""

    def __str__(self) -> str:
        location = f"{self.file}:{self.line}" if self.line else self.file
        subject = f"{self.path}: " if self.path else ""
        remedy = f"\n    {self.remedy}" if self.remedy else ""
        return f"{location}: {subject}{self.message}{remedy}"


class InvalidConfigError(Exception):
    """All problems of all inputs, sorted by file and line."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        # A wrong default is inherited by every tenant, but reported once.
        self.problems = sorted(set(problems))
        count = len(self.problems)
        heading = "1 problem" if count == 1 else f"{count} problems"
        super().__init__("\n".join([f"{heading}; nothing was changed.", *map(str, self.problems)]))


def raise_if_any(problems: Iterable[Problem]) -> None:
    """Raise InvalidConfigError unless `problems` is empty."""
    if found := list(problems):
        raise InvalidConfigError(found)


def suggestion(word: str, known: Iterable[str]) -> str:
    """A remedy for a misspelled word: "Did you mean …?" with the most similar known word, else the list of all."""
    choices = sorted(known)
    similar = difflib.get_close_matches(word, choices, n=1, cutoff=0.6)
    return f"Did you mean {similar[0]}?" if similar else f"Valid here: {', '.join(choices)}."
