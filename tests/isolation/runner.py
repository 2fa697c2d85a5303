"""Runs attacks, by requests and by commits: refused with their defences, successful without them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Protocol

from tests.isolation.attack import Attack
from tests.isolation.defences import LOCKDOWN, POLICIES, SPACE, Defences

DEFENDED, UNDEFENDED = "defended", "without the defence"


@dataclass(frozen=True)
class Outcome:
    """The result of an attack."""

    answer: str
    """The message of the API server or Flux; empty if there was none in time."""
    got_through: bool
    damage: tuple[str, ...] = ()
    """Side effects that must not happen even if the attack is refused: the neighbour changed, the product replaced."""
    failed_checks: frozenset[tuple[str, int]] = frozenset()
    """The checks that fail while their policies only warn: policy and number of the check."""


Outcomes = dict[tuple[str, bool], Outcome | Exception]
"""By the attack's key, and whether it was defended against."""


class Arena(Protocol):
    """A cluster with hostile tenants."""

    @property
    def defences(self) -> Defences: ...

    def settle(self) -> None:
        """Wait until the removal of defences has taken effect in the API server."""
        ...

    def carry_out(self, attacks: Sequence[Attack], *, defended: bool) -> Mapping[str, Outcome | Exception]:
        """The outcome of each attack by its key."""
        ...


def run(
    arena: Arena,
    attacks: Sequence[Attack],
    selected: Callable[[Attack, bool], bool],
    together: frozenset[str] = frozenset(),
) -> Outcomes:
    """Carry out the selected attacks, with their defences (True) and without (False), stage by stage.

    Of the defences `together`, all are removed for an attack without one of them: the arena tells from the answer which
    of them would have refused it, and that these are those that the attack names.
    """
    outcomes: Outcomes = {}
    for stage in stages(attacks, together):
        refused = [attack for attack in attacks if attack.despite == stage and selected(attack, True)]
        through = [
            attack for attack in attacks if stage and _removed(attack, together) == stage and selected(attack, False)
        ]
        if refused or through:
            arena.defences.only_without(stage)
            arena.settle()
            for some, defended in ((refused, True), (through, False)):
                found = arena.carry_out(some, defended=defended)
                outcomes |= {(key, defended): outcome for key, outcome in found.items()}
    arena.defences.only_without(frozenset())
    arena.settle()
    return outcomes


def _removed(attack: Attack, together: frozenset[str]) -> frozenset[str]:
    return attack.without | together if attack.without & together else attack.without


def stages(attacks: Sequence[Attack], together: frozenset[str] = frozenset()) -> list[frozenset[str]]:
    """The sets of defences to be removed, in an order in which few have to be removed and restored."""
    left = {attack.despite for attack in attacks} | {_removed(attack, together) for attack in attacks}
    ordered: list[frozenset[str]] = [frozenset()]
    while left := left - {ordered[-1]}:
        last = ordered[-1]
        ordered.append(min(left, key=lambda stage: (_cost(stage ^ last), sorted(stage))))
    return ordered


def _cost(moved: frozenset[str]) -> int:
    # The lockdown restarts Flux' controllers; a namespace's limits take a while to disappear.
    return len(moved) + 100 * (LOCKDOWN in moved) + 10 * len(moved & SPACE)


Record = Callable[[str, object], None]


@dataclass(frozen=True)
class Attempt:
    """A line of the report: an attack, how it was carried out, and the answer."""

    promise: str
    defence: str
    attack: str
    mode: str
    by: str
    answer: str

    def record(self, record_property: Record) -> None:
        """Record it as a property of the test, which pytest writes into its JUnit file."""
        record_property("attempt", json.dumps(asdict(self)))


def attempt(attack: Attack, outcome: Outcome | Exception, *, defended: bool) -> Attempt:
    """An attack and its outcome as the report shows them."""
    answer = "" if isinstance(outcome, Exception) else " ".join(outcome.answer.split())[:300]
    mode = DEFENDED if defended else UNDEFENDED
    return Attempt(attack.promise, attack.refused_by, attack.name, mode, attack.action.by, answer)


def policies(defences: frozenset[str]) -> frozenset[str]:
    """The defences that are admission policies."""
    return defences & POLICIES.keys()
