"""The states of a tenant: active, suspended, leaving, departed. No other tenant gets the name of a departed one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from model.config.base import Finding, Model, rule_error
from model.config.names import tenant_name_problem

ACTIVE, SUSPENDED, LEAVING = "active", "suspended", "leaving"
"""The states of a tenant. One that has departed is no tenant any more."""


def _name(value: str) -> str:
    if problem := tenant_name_problem(value):
        raise rule_error(*problem)
    return value


def _text(value: Any) -> Any:
    # YAML reads 2026-11-26 as a date.
    return value.isoformat() if type(value) is date else value


def _date(value: str) -> str:
    try:
        # fromisoformat takes other notations, too.
        valid = bool(re.fullmatch(r"\d{4}-\d\d-\d\d", value)) and bool(date.fromisoformat(value))
    except ValueError:
        valid = False
    if not valid:
        raise rule_error(f"{value!r} is not a date", "Write year, month and day, such as 2026-11-26.")
    return value


def _sha256(value: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{64}", value):
        raise rule_error(f"{value!r} is not a SHA-256 checksum", "Write its 64 hexadecimal digits, as sha256sum does.")
    return value


Date = Annotated[str, BeforeValidator(_text), AfterValidator(_date)]
"""Year, month and day. Text in this notation is ordered as the days are."""
Sha256 = Annotated[str, AfterValidator(_sha256)]


class Suspension(Model):
    """A tenant whose pods are stopped. Its data stays."""

    since: Date = Field(description="The day on which it was suspended")
    reason: str = Field(min_length=1, description="Why")


class Backup(Model):
    """A backup of a tenant's data."""

    id: str = Field(min_length=1, description="Where it is kept")
    sha256: Sha256 | None = Field(default=None, description="Its checksum, if it is a file")
    restored: Date | None = Field(default=None, description="The day on which it was restored once, as a test")


class Leaving(Model):
    """A tenant that is suspended, and whose data is kept until a day."""

    since: Date = Field(description="The day on which it left")
    until: Date = Field(description="The first day on which its data may be deleted")
    backup: Backup | None = Field(default=None, description="A backup of its data")


class Departed(Model):
    """A tenant that has left with all its data. Its name is not given to another tenant."""

    name: Annotated[str, AfterValidator(_name)]
    since: Date = Field(description="The day on which its data was deleted")
    backup: Backup | None = Field(default=None, description="A backup of its data")
    break_glass: str | None = Field(
        default=None,
        alias="breakGlass",
        min_length=1,
        description="Why it was deleted at once, without the time and the backup of a tenant that leaves",
    )


def departed_findings(departed: Iterable[Departed], tenants: Mapping[str, int]) -> Iterator[Finding]:
    """Departed tenants that are listed twice, or are tenants; `tenants` are the lines of those by name."""
    seen: set[str] = set()
    for index, left in enumerate(departed):
        if left.name in seen:
            yield (index, "name"), f"{left.name} has departed twice", "Keep only one of them."
        elif left.name in tenants:
            remedy = (
                "Choose another name for the new tenant: it would get what the other left, such as its objects in "
                "buckets and its users. Remove the name here only when nothing is left."
            )
            yield (index, "name"), f"{left.name} has departed, and is a tenant on line {tenants[left.name]}", remedy
        seen.add(left.name)


def state_findings(suspended: Suspension | None, leaving: Leaving | None) -> Iterator[Finding]:
    """Values of a tenant's state that are valid, but not together."""
    if suspended and leaving:
        remedy = "Remove suspended: a tenant that leaves is suspended anyway."
        yield ("suspended",), "suspended and leaving exclude each other", remedy
    if leaving and leaving.until < leaving.since:
        message = f"{leaving.until} is before it left, on {leaving.since}"
        yield ("leaving", "until"), message, "Write a later day, or the same."
    if leaving and leaving.backup and (leaving.backup.restored or leaving.since) < leaving.since:
        message = f"the backup was restored on {leaving.backup.restored}, before the tenant left on {leaving.since}"
        remedy = "Restore a backup that was made after the tenant's last pod ended, and write that day."
        yield ("leaving", "backup", "restored"), message, remedy


def purge_obstacle(since: str, until: str, backup: Backup | None) -> tuple[str, str] | None:
    """Why the data of a tenant that is leaving may not be deleted on a day, and what to do before; None if it may."""
    if since < until:
        return f"its data is kept until {until}", "Wait until then."
    if backup is None:
        return "no backup of its data is recorded", "Make one, and record it below `leaving.backup`."
    if backup.restored is None:
        return "its backup was never restored", "Restore it as a test, and record the day as `restored`."
    return None


def departure_obstacle(
    left: Departed, deployed: Mapping[str, Any], today: date, *, protected: bool
) -> tuple[str, str] | None:
    """Why an update may not delete a departed tenant, and what to do before; None if it may.

    `deployed` are the tenant's outputs of the last update. What the file said in between stopped no pod.
    """
    leaving = deployed.get("state") == LEAVING
    if left.break_glass and not leaving and protected:
        message = f"{left.name} was {deployed.get('state', ACTIVE)} in the last update, which protects its namespace"
        return (
            message,
            f"Restore its entry, run `./saas tenant leave {left.name} --keep 0d`, update, and purge it then.",
        )
    if left.break_glass:
        return None
    if left.since > today.isoformat():
        return f"{left.name} departs in the future, on {left.since}", "Purge it on that day."
    if not leaving:
        message = f"{left.name} was {deployed.get('state', ACTIVE)} in the last update, not leaving"
        remedy = (
            f"Restore its entry, run `./saas tenant leave {left.name} --keep 30d`, update, and purge it when its time "
            "is over. To delete its data at once, write the reason as `breakGlass`."
        )
        return message, remedy
    if obstacle := purge_obstacle(left.since, str(deployed["until"]), left.backup):
        message, remedy = obstacle
        return f"{left.name} may not depart: {message}", f"Restore its entry. {remedy}"
    return None
