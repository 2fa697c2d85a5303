"""Everything wrong with an input: collected first, reported together."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Mistake:
    """One thing that its author has to change."""

    file: str
    line: int
    """Counted from 1; 0 where the mistake is the whole file's."""
    where: str
    """The path inside the document, such as `tenants[2].source.url`; empty for the whole document."""
    message: str
    """What is wrong."""
    remedy: str = ""
    """What to write instead."""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        subject = f"{self.where}: " if self.where else ""
        remedy = f"\n    {self.remedy}" if self.remedy else ""
        return f"{place}: {subject}{self.message}{remedy}"


class MistakesError(Exception):
    """All mistakes of all inputs, in the order of their lines."""

    def __init__(self, mistakes: Iterable[Mistake]) -> None:
        self.mistakes = sorted(set(mistakes))
        count = len(self.mistakes)
        heading = "1 mistake" if count == 1 else f"{count} mistakes"
        super().__init__("\n".join([f"{heading}; nothing was changed.", *map(str, self.mistakes)]))


def nearest(word: str, known: Iterable[str]) -> str:
    """A remedy that names the known word nearest to `word`, else all of them."""
    choices = sorted(known)
    near = difflib.get_close_matches(word, choices, n=1, cutoff=0.6)
    return f"Did you mean {near[0]}?" if near else f"Known here: {', '.join(choices)}."
