"""Lives of tenants in random order: commands, edits by hand and updates, some of them killed.

A state machine for hypothesis. What an update does is another matter for the program alone and for the engine.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Literal

import pytest
import yaml
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from typer.main import get_command

from cli import __main__ as command_line
from cli import tenants as commands
from cli import tenants_file, yaml_edit
from cli.errors import CommandError
from model.config import yaml_lines
from model.config.departures import ACTIVE, LEAVING, SUSPENDED
from model.config.errors import InvalidConfigError

SAAS = get_command(command_line.app)

ABSENT = "absent"
OWN = ("gamma", "delta", "epsilon")
"""Names of the tenants that the rules are about."""
NAMES, TIERS = st.sampled_from(OWN), st.sampled_from(["basic", "premium"])
KILLED = st.sampled_from(["", "", "", "before", "after"])
"""Whether a command is killed, before or after its file is in place."""
LATER = "later"
UPDATES = st.sampled_from([LATER, None, None, 0, 2, 4])
"""Whether an update follows a command: later, at once, or killed after so many steps."""
Then = int | str | None
REVERTED = st.sampled_from([True, True, False])
"""Whether a person undoes an edit, after the update that it was for."""
Outcome = Literal["refused", "killed", "done"]
SOURCE = {"url": "ssh://git@github.com/acme/product", "branch": "main", "private": True}


@dataclass
class Entry:
    """What the file has to say of a tenant."""

    tier: str
    state: str = ACTIVE
    since: date | None = None
    until: str = ""
    restored: bool = False

    @property
    def known(self) -> bool:
        """Whether the file has the tenant."""
        return self.state != ABSENT


@dataclass
class Written:
    """What the file has to say: tenants in their order, and whether departed ones have a backup that was restored."""

    tenants: dict[str, Entry] = field(default_factory=dict[str, Entry])
    departed: dict[str, bool] = field(default_factory=dict[str, bool])


@dataclass(frozen=True)
class Namespace:
    """A tenant's namespace in the cluster: its uid stands for all data in it."""

    uid: str
    state: str


class Life(RuleBasedStateMachine):
    """No tenant is lost, none is there twice, and no data goes without a purge of a tenant that was stopped."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.file, self.beginning = file, file.read_text()
        self.others = [entry["name"] for entry in self.entries()]
        """Tenants that no rule is about, in their order."""
        self.written = Written()
        self.accepted, self.deployed = self.beginning, Written()
        """The file and what it said at the last update that ended."""
        self.last_days: dict[str, set[str]] = {}
        """Those that the cluster may know by now: of the last update that ended, and of killed ones since."""
        self.purged = 0

    def begin(self) -> None:
        """One tenant that runs, and one that may be purged."""
        self.add("gamma", "basic")
        self.add("delta", "basic")
        self.leave_in_order("delta", 0)

    def update(self, after: int | None) -> Outcome:
        """Update the stack, and kill that after so many steps."""
        raise NotImplementedError

    def namespaces(self) -> dict[str, Namespace]:
        """The namespaces of the tenants that the rules are about."""
        raise NotImplementedError

    def command(self, *arguments: str, allowed: bool, changes: bool, killed: str) -> bool:
        """Run `./saas tenant …`. Returns whether it has changed the file."""
        replace = tenants_file._replace

        def replaced(path: Path, text: str) -> None:
            replace(path, text)
            sys.exit(137)

        with pytest.MonkeyPatch.context() as patch:
            if killed == "before":
                patch.setattr(os, "fsync", lambda _: sys.exit(137))
            if killed == "after":
                patch.setattr(tenants_file, "_replace", replaced)
            try:
                SAAS.main(["tenant", *arguments, "--file", str(self.file)], standalone_mode=False)
                refusal = ""
            except (CommandError, InvalidConfigError, SystemExit) as error:
                refusal = repr(error)
        assert bool(refusal) == (not allowed or bool(changes and killed)), refusal
        return allowed and changes and killed != "before"

    @rule(name=NAMES, tier=TIERS, killed=KILLED, then=UPDATES)
    def add(self, name: str, tier: str, killed: str = "", then: Then = LATER) -> None:
        """Add a tenant; one that is there already stays as it is."""
        known, before = self.written, self.written.tenants.get(name)
        allowed = before.tier == tier if before else name not in known.departed
        source = ("--url", SOURCE["url"], "--branch", SOURCE["branch"], "--private", "--path", "./kustomize")
        if self.command(
            "add", name, "--tier", tier, *map(str, source), allowed=allowed, changes=not before, killed=killed
        ):
            known.tenants[name] = Entry(tier)
        self.update_then(then)

    @rule(name=NAMES, tier=TIERS, killed=KILLED, then=UPDATES)
    def change(self, name: str, tier: str, killed: str = "", then: Then = LATER) -> None:
        """Change a tenant's tier."""
        entry = self.entry(name)
        changes = entry.known and entry.tier != tier
        if self.command("set", name, "--tier", tier, allowed=entry.known, changes=changes, killed=killed):
            entry.tier = tier
        self.update_then(then)

    @rule(name=NAMES, killed=KILLED, then=UPDATES)
    def suspend(self, name: str, killed: str = "", then: Then = LATER) -> None:
        """Suspend a tenant that is not leaving."""
        entry = self.entry(name)
        allowed = entry.known and entry.state != LEAVING
        changes = entry.state == ACTIVE
        if self.command("suspend", name, "--reason", "unpaid", allowed=allowed, changes=changes, killed=killed):
            entry.state = SUSPENDED
        self.update_then(then)

    @rule(name=NAMES, killed=KILLED, then=UPDATES)
    def resume(self, name: str, killed: str = "", then: Then = LATER) -> None:
        """Let a tenant run again."""
        entry = self.entry(name)
        changes = entry.known and entry.state != ACTIVE
        if self.command("resume", name, allowed=entry.known, changes=changes, killed=killed):
            self.written.tenants[name] = Entry(entry.tier)
        self.update_then(then)

    @rule(name=NAMES, days=st.sampled_from([0, 0, 30]), killed=KILLED, then=UPDATES)
    def leave(self, name: str, days: int, killed: str = "", then: Then = LATER) -> None:
        """Let a tenant leave, or leave on another day."""
        entry = self.entry(name)
        since = entry.since or commands.today()
        until = (since + timedelta(days)).isoformat()
        changes = entry.known and entry.until != until
        if self.command("leave", name, "--keep", f"{days}d", allowed=entry.known, changes=changes, killed=killed):
            entry.state, entry.since, entry.until = LEAVING, since, until
        self.update_then(then)

    @rule(name=NAMES, killed=KILLED, then=UPDATES)
    def back_up(self, name: str, killed: str = "", then: Then = LATER) -> None:
        """Record a backup that was restored."""
        entry = self.entry(name)
        backup = f"leaving.backup={{id: 's3://b/{name}', restored: {commands.today()}}}"
        allowed = entry.state == LEAVING
        changes = not entry.restored
        if self.command("set", name, "--set", backup, allowed=allowed, changes=changes, killed=killed):
            entry.restored = True
        self.update_then(then)

    @rule(name=NAMES, confirmed=st.sampled_from([True, True, False]), killed=KILLED, then=UPDATES)
    def purge(self, name: str, confirmed: bool, killed: str = "", then: Then = LATER) -> None:
        """Let a tenant depart whose time is over and whose backup was restored."""
        known, entry = self.written, self.entry(name)
        may = entry.restored and entry.until <= commands.today().isoformat()
        allowed = confirmed and (may or name in known.departed)
        if self.command(
            "purge", name, "--confirm", name if confirmed else "alpha", allowed=allowed, changes=may, killed=killed
        ):
            del known.tenants[name]
            known.departed[name] = True
        self.update_then(then)

    @rule(name=NAMES, days=st.sampled_from([0, 0, 30]))
    def leave_in_order(self, name: str, days: int) -> None:
        """The way to a purge, which random steps seldom find: leave, update, record a backup."""
        self.leave(name, days, then=None)
        self.back_up(name)

    @rule(name=NAMES, reverted=REVERTED)
    def delete_by_hand(self, name: str, reverted: bool) -> None:
        """Delete a tenant's entry."""
        if name in self.written.tenants:
            self.edit(lambda text: yaml_edit.remove(text, ("tenants", self.place(name))))
            del self.written.tenants[name]
            deployed = name in self.namespaces()
            assert (self.updated(None) == "refused") or not deployed
            if reverted:
                self.revert()

    @rule(name=NAMES, after=st.integers(2, 6))
    def delete_after_a_killed_update(self, name: str, after: int) -> None:
        """Add a tenant, kill the update that deploys it, and delete its entry: no outputs know it."""
        self.add(name, "basic", then=after)
        self.delete_by_hand(name, reverted=True)

    @rule(name=NAMES, restored=st.booleans(), after=st.none() | st.integers(0, 5), reverted=REVERTED)
    def depart_by_hand(self, name: str, restored: bool, after: int | None, reverted: bool) -> None:
        """Move a tenant's entry to the departed ones, whatever its state, with a record of a backup or without."""
        if name in self.written.tenants:
            today = commands.today()
            backup = {"backup": {"id": f"s3://b/{name}", "restored": today}} if restored else {}
            self.edit(lambda text: yaml_edit.remove(text, ("tenants", self.place(name))))
            self.edit(lambda text: yaml_edit.append(text, ("departed",), {"name": name, "since": today, **backup}))
            del self.written.tenants[name]
            self.written.departed[name] = restored
            self.updated(after)
            if reverted:
                self.revert()

    @rule()
    def revert(self) -> None:
        """Restore the file of the last update that ended."""
        self.file.write_text(self.accepted)
        self.written = deepcopy(self.deployed)

    @rule(then=UPDATES)
    def update_then(self, then: Then) -> None:
        """Update now, or later."""
        if not isinstance(then, str):
            self.updated(then)

    @rule()
    def follow_the_remedies(self) -> None:
        """Every refusal names a way out: the last file that was accepted, with all that is in the cluster."""
        self.revert()
        for name in sorted(self.namespaces().keys() - self.written.tenants.keys()):
            self.add(name, "basic")
        assert self.updated(None) == "done"

    def updated(self, after: int | None) -> Outcome:
        """Update, and compare the cluster before and after."""
        before, today = self.namespaces(), commands.today().isoformat()
        outcome = self.update(after)
        found = self.namespaces()
        assert {name: each.uid for name, each in found.items() if name in before}.items() <= {
            name: each.uid for name, each in before.items()
        }.items()
        for name in sorted(before.keys() - found.keys()):
            assert before[name].state == LEAVING, f"{name} was deleted, and was {before[name].state} before"
            assert self.written.departed.get(name), f"{name} was deleted without a purge"
            assert min(self.last_days[name]) <= today, f"{name} was deleted before its last day"
            self.purged += 1
        if outcome == "refused":
            assert found == before
            return outcome
        for name, entry in self.written.tenants.items():
            self.last_days.setdefault(name, set[str]()).add(entry.until)
        if outcome == "done":
            assert {name: each.state for name, each in found.items()} == {
                name: each.state for name, each in self.written.tenants.items()
            }
            self.accepted, self.deployed = self.file.read_text(), deepcopy(self.written)
            self.last_days = {name: {entry.until} for name, entry in self.written.tenants.items()}
        return outcome

    def entry(self, name: str) -> Entry:
        """What the file has to say of a tenant, also of one that it does not have."""
        return self.written.tenants.get(name, Entry("", ABSENT))

    def place(self, name: str) -> int:
        """The index of a tenant's entry."""
        return [entry["name"] for entry in self.entries()].index(name)

    def entries(self) -> list[dict[str, Any]]:
        """The tenants' entries in the file."""
        return yaml_lines.parse(self.file.read_text(), self.file.name).content["tenants"]

    def edit(self, change: Callable[[str], str]) -> None:
        """Edit the file as a person does."""
        self.file.write_text(change(self.file.read_text()))

    @invariant()
    def the_file_has_exactly_these_tenants(self) -> None:
        """No command loses or repeats an entry, and none changes the text around it."""
        text = self.file.read_text()
        content = yaml.load(text, yaml.CSafeLoader)
        own = [entry for entry in content["tenants"] if entry["name"] not in self.others]
        assert [entry["name"] for entry in content["tenants"]] == [*self.others, *self.written.tenants]
        assert [(entry["tier"], "leaving" in entry, "suspended" in entry) for entry in own] == [
            (entry.tier, entry.state == LEAVING, entry.state == SUSPENDED) for entry in self.written.tenants.values()
        ]
        assert [left["name"] for left in content.get("departed", [])] == [*self.written.departed]
        assert text.startswith(self.beginning)
