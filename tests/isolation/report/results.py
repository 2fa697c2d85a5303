"""What the isolation tests recorded, read back from pytest's JUnit file."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

DEFENDED = "defended"
UNDEFENDED = "without the defence"


@dataclass(frozen=True)
class Result:
    """One attempt, and what came of it."""

    promise: str
    defence: str
    attack: str
    mode: str
    """With all defences, or without this one."""
    by: str
    """How it was tried."""
    answer: str
    """What the system said; without the defence, what got through."""
    as_expected: bool
    """Refused where it is defended against; let through where it is not."""


@dataclass(frozen=True)
class Network:
    """Who reaches whom, as the evaluator judged it."""

    rows: Sequence[str]
    columns: Sequence[str]
    found: Mapping[tuple[str, str], bool]
    intended: Mapping[tuple[str, str], bool]

    def as_text(self) -> str:
        """For a property of a test."""
        cells = [[*place, allowed, self.intended[place]] for place, allowed in self.found.items()]
        return json.dumps({"rows": list(self.rows), "columns": list(self.columns), "cells": cells})

    @staticmethod
    def of_text(text: str) -> Network:
        """The opposite of `as_text`."""
        content = json.loads(text)
        cells = [((row, column), allowed, intended) for row, column, allowed, intended in content["cells"]]
        found = {place: allowed for place, allowed, _ in cells}
        return Network(content["rows"], content["columns"], found, {place: intended for place, _, intended in cells})


@dataclass
class Results:
    """Everything that one run of the suite said."""

    attempts: list[Result] = field(default_factory=list[Result])
    compatible: list[tuple[str, bool]] = field(default_factory=list[tuple[str, bool]])
    """What ordinary products consist of, and whether it worked."""
    network: Network | None = None
    tests: int = 0
    failed: list[str] = field(default_factory=list[str])
    """Tests that did not hold, or did not run."""

    @property
    def promises(self) -> list[str]:
        """Each promise, in the order in which it was first tested."""
        return list(dict.fromkeys(one.promise for one in self.attempts))

    def of_promise(self, promise: str, mode: str) -> list[Result]:
        """The attempts to break a promise."""
        return [one for one in self.attempts if one.promise == promise and one.mode == mode]

    def counterparts(self, attack: str) -> list[Result]:
        """The same attack without its defence, or without one of them."""
        return [one for one in self.attempts if one.attack == attack and one.mode == UNDEFENDED]


def read(junit: Path) -> Results:
    """The results in a file that `pytest --junitxml` wrote."""
    results = Results()
    for case in ElementTree.parse(junit).iter("testcase"):
        held = not any(case.find(tag) is not None for tag in ("failure", "error", "skipped"))
        results.tests += 1
        if not held:
            results.failed.append(f"{case.get('classname')}.{case.get('name')}")
        for record in _records(case):
            if "attack" in record:
                results.attempts.append(_result(record, held))
            elif "compatible" in record:
                results.compatible.append((record["compatible"], held))
            elif "network" in record:
                results.network = Network.of_text(record["network"])
    return results


def _records(case: ElementTree.Element) -> Iterator[dict[str, str]]:
    """A test's properties; one that tried several things says the same names again."""
    record: dict[str, str] = {}
    for one in case.iter("property"):
        name, value = one.get("name", ""), one.get("value", "")
        if name in record:
            yield record
            record = {}
        record[name] = value
    if record:
        yield record


def _result(record: Mapping[str, str], held: bool) -> Result:
    return Result(
        record["promise"],
        record["defence"],
        record["attack"],
        record["mode"],
        record["by"],
        record.get("answer", ""),
        held,
    )
