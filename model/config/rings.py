"""Rings of a shared product: groups of tenants that a new version reaches one after the other."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from hashlib import sha256
from typing import Annotated, Any, Literal, NamedTuple
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from model.config.base import Finding, Model, rule_error
from model.config.departures import Date
from model.config.errors import suggestion
from model.config.images import VERSION
from model.config.names import LABEL_PATTERN, PIN_PREFIX
from model.config.sources import REFERENCES, Commit, Reference, Semver
from model.config.tiers import DURATION, LONGEST_INTERVAL, seconds

LONGEST_RING = 30
"""Begins the names of sources of pinned versions, after the product's name."""
RESERVED_RING = "write"
"""The image automation's source has it after the product's name."""
WARNED_BEFORE = timedelta(days=14)
LONGEST_WINDOW = 24 * 3600
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


def _ring_name(value: str) -> str:
    if not re.fullmatch(LABEL_PATTERN, value) or len(value) > LONGEST_RING:
        remedy = f"Use up to {LONGEST_RING} lower-case letters, digits and hyphens, such as early."
        raise rule_error(f"{value!r} is not a valid ring name", remedy)
    if value == RESERVED_RING or value.startswith(PIN_PREFIX):
        raise rule_error(f"the ring name {value!r} is reserved", "Choose another name, such as early.")
    return value


def _duration(value: str) -> str:
    if not re.fullmatch(DURATION, value):
        raise rule_error(f"{value!r} is not a duration", "Write numbers with units, such as 30m, 24h or 1h30m.")
    return value


def _soak(value: str) -> str:
    if seconds(_duration(value)) > LONGEST_INTERVAL:
        raise rule_error(f"{value!r} is longer than a year", "Write a shorter one, such as 72h.")
    return value


def _window_length(value: str) -> str:
    if not 0 < seconds(_duration(value)) <= LONGEST_WINDOW:
        raise rule_error(f"{value!r} is not between 0 and 24h", "Write a shorter one, such as 4h.")
    return value


def _text(value: Any) -> Any:
    return str(value) if type(value) is int else value


def _max_failed(value: str) -> str:
    number = value.removesuffix("%")
    if not re.fullmatch(r"\d{1,6}", number) or (number != value and int(number) > 100):
        raise rule_error(f"{value!r} is not a number of tenants", "Write a number such as 3, or a share such as 1%.")
    return value


def _batches(value: str) -> str:
    if not 5 <= _percents(value) <= 50:
        raise rule_error(f"{value!r} is not between 5% and 50%", "Write the share of a batch, such as 20%.")
    return value


def _reached(value: str) -> str:
    if not 0 < _percents(value) < 100:
        raise rule_error(f"{value!r} is not between 0% and 100%", "Remove `reached` if the whole ring has the version.")
    return value


def _percents(value: str) -> int:
    if not re.fullmatch(r"\d{1,3}%", value):
        raise rule_error(f"{value!r} is not a share", "Write whole percents, such as 20%.")
    return int(value.removesuffix("%"))


def _minutes(value: Any) -> Any:
    # Without quotes, YAML reads 22:00 as a number of base 60.
    return f"{value // 60:02}:{value % 60:02}" if type(value) is int else value


def _time_of_day(value: str) -> str:
    if not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", value):
        raise rule_error(f"{value!r} is not a time of day", 'Write hours and minutes in quotes, such as "02:00".')
    return value


def _zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ValueError, OSError, KeyError):  # also a folder of the database, or a path out of it
        remedy = "Write a name of the time zone database, such as Europe/Berlin or UTC."
        raise rule_error(f"there is no time zone {value!r}", remedy) from None
    return value


def _version(value: str) -> str:
    if precedence(value) is None:
        raise rule_error(f"{value!r} is not a version", "Write a tag such as v1.4.0.")
    return value


Version = Annotated[str, AfterValidator(_version)]
RingName = Annotated[str, AfterValidator(_ring_name)]


class Revision(Model):
    """What a ring runs: exactly one of branch, tag, semver, commit."""

    branch: Reference | None = None
    tag: Reference | None = None
    semver: Semver | None = None
    commit: Commit | None = None

    @property
    def reference(self) -> Mapping[str, str]:
        """The spec.ref of the ring's GitRepository."""
        return {kind: value for kind in REFERENCES if (value := getattr(self, kind)) is not None}


class Window(Model):
    """When a version may reach a ring."""

    days: list[Day] = Field(default=list(DAYS), min_length=1, description="The days on which it opens")
    start: Annotated[str, BeforeValidator(_minutes), AfterValidator(_time_of_day)] = Field(
        alias="from", description="When it opens, such as 02:00"
    )
    length: Annotated[str, AfterValidator(_window_length)] = Field(alias="for", description="How long, up to 24h")
    zone: Annotated[str, AfterValidator(_zone)] = Field(default="UTC", description="The time zone of days and times")

    def is_open(self, now: datetime) -> bool:
        """Whether it is open at a time. Its length is in real hours, also when the clocks change meanwhile."""
        zone = ZoneInfo(self.zone)
        today = now.astimezone(zone).date()
        for day in (today - timedelta(days=1), today):
            opens = datetime.combine(day, time.fromisoformat(self.start), zone).astimezone(UTC)
            if DAYS[day.weekday()] in self.days and opens <= now < opens + timedelta(seconds=seconds(self.length)):
                return True
        return False

    def __str__(self) -> str:
        """For people: mon, tue from 02:00 for 4h, Europe/Berlin."""
        return f"{', '.join(self.days)} from {self.start} for {self.length}, {self.zone}"


class Metrics(Model):
    """What Prometheus has to say of the ring before."""

    query: str = Field(
        min_length=1,
        max_length=4000,
        description="PromQL; $tenants is a regular expression for the names of the ring's tenants",
    )
    most: float = Field(alias="max", allow_inf_nan=False, description="The highest value that lets a version go on")

    def about(self, tenants: Iterable[str]) -> str:
        """The query for these tenants."""
        return self.query.replace("$tenants", "|".join(sorted(tenants)))


class Batch(NamedTuple):
    """A part of a ring's tenants: those whose percentile is between two numbers."""

    start: int
    end: int

    def __str__(self) -> str:
        """For people: 20-40%."""
        return f"{self.start}-{self.end}%"


def percentile(tenant: str) -> int:
    """A number from 0 to 99 that a tenant has by its name alone, whatever other tenants there are.

    The first 8 bytes of the name's SHA-256 as a number, modulo 100. Another hash would move tenants between batches.
    """
    return int.from_bytes(sha256(tenant.encode()).digest()[:8], "big") % 100


class Ring(Model):
    """A group of tenants that run the same revision of a product."""

    ref: Revision | None = Field(
        default=None, description="Its revision; the first ring's may be that of the product's source"
    )
    after: str | None = Field(default=None, description="The ring before it; only the first ring has none")
    soak: Annotated[str, AfterValidator(_soak)] = Field(
        default="0s", description="How long a version has to run in the ring before without a failure"
    )
    max_failed: Annotated[
        str, BeforeValidator(_text), AfterValidator(_max_failed), WithJsonSchema({"type": ["string", "integer"]})
    ] = Field(
        default="5%",
        alias="maxFailed",
        description="How many customers of the ring before may have failed: a number or a share, rounded down",
    )
    metrics: Metrics | None = Field(
        default=None, description="A query to Prometheus: a tenant of the ring before with a higher value has failed"
    )
    windows: list[Window] = Field(default=[], description="When a version may reach it; empty: at any time")
    batches: Annotated[str, AfterValidator(_batches)] | None = Field(
        default=None, description="The share of its tenants that one promotion reaches, 5% to 50%; none: all of them"
    )
    reached: Annotated[str, AfterValidator(_reached)] | None = Field(
        default=None, description="The share that runs `ref` by now; others run `previous`. None: all run `ref`"
    )
    hold: str | None = Field(default=None, min_length=1, description="Why no version is promoted to it")
    refused: list[Reference] = Field(default=[], description="Versions that are not promoted to it any more")
    previous: Reference | None = Field(default=None, description="The tag before, to which a rollback goes back")

    @property
    def parts(self) -> list[Batch]:
        """Its batches in their order; empty if a version reaches all tenants at once."""
        if self.batches is None:
            return []
        size = _percents(self.batches)
        return [Batch(start, min(start + size, 100)) for start in range(0, 100, size)]

    def part(self, tenant: str) -> Batch | None:
        """The batch of a tenant; None in a ring without batches."""
        return self.parts[percentile(tenant) // _percents(self.batches)] if self.batches else None

    @property
    def share(self) -> int:
        """How many percent of it run `ref`."""
        return _percents(self.reached) if self.reached else 100

    def revision(self, batch: Batch | None) -> Revision | None:
        """What a batch runs."""
        return Revision(tag=self.previous) if batch and batch.start >= self.share else self.ref

    def may_fail(self, customers: int) -> int:
        """How many of so many customers may fail."""
        share, found, _ = self.max_failed.partition("%")
        return customers * int(share) // 100 if found else int(share)


class Pin(Model):
    """The version of one tenant, whatever its ring runs."""

    tag: Reference
    until: Date = Field(description="The last day; afterwards the program refuses it")
    reason: str = Field(min_length=1, description="Why, such as a contract")

    @property
    def last_day(self) -> date:
        """The last day on which it holds."""
        return date.fromisoformat(self.until)


def precedence(tag: str) -> tuple[Any, ...] | None:
    """A key that sorts tags as semantic versions; None if a tag is no version."""
    if not VERSION.fullmatch(tag):
        return None
    numbers, _, pre = tag.removeprefix("v").partition("-")
    parts = [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in pre.split(".")]
    return (*map(int, numbers.split(".")), parts if pre else [(2, 0, "")])


def first_ring(rings: Mapping[str, Ring]) -> str | None:
    """The ring that new versions reach first; None without rings."""
    return next((name for name, ring in rings.items() if ring.after is None), None)


def ordered(rings: Mapping[str, Ring]) -> list[str]:
    """The names of the rings, each after the one before it."""
    found: list[str] = []
    while more := [name for name, ring in rings.items() if name not in found and ring.after in (None, *found)]:
        found += more
    return found


def ring_findings(rings: Mapping[str, Ring]) -> Iterator[Finding]:
    """Values of a product's rings that are valid, but not together."""
    first = [name for name, ring in rings.items() if ring.after is None]
    for name in first[1:]:
        yield ("rings", name), f"{first[0]} and {name} are both without `after`", f"Write `after: {first[0]}`."
    for name, ring in rings.items():
        if ring.after is not None and ring.after not in rings:
            yield ("rings", name, "after"), f"unknown ring {ring.after!r}", suggestion(ring.after, rings)
        elif (circle := _circle(rings, name)) and name == min(circle):
            message = f"{' and '.join(circle)} come after each other"
            yield ("rings", name, "after"), message, "Remove `after` of the first one."
        yield from _revision_findings(name, ring)


def _revision_findings(name: str, ring: Ring) -> Iterator[Finding]:
    kinds = list(ring.ref.reference) if ring.ref else []
    if ring.ref and len(kinds) != 1:
        found = " and ".join(kinds) or "none"
        yield ("rings", name, "ref"), f"a ring has one revision, found {found}", "Write one, such as `tag: v1.4.2`."
    if ring.after is None:
        for key in sorted({"soak", "max_failed", "metrics", "windows"} & ring.model_fields_set):
            shown = "maxFailed" if key == "max_failed" else key
            message = f"{shown} is about the ring before, and {name} has none"
            yield ("rings", name, shown), message, "Remove it, or write `after:`."
        if ring.batches:
            message = f"no gate is between batches of {name}, because it is the first ring"
            yield ("rings", name, "batches"), message, "Remove `batches`, or write `after:`."
    elif ring.ref is None:
        remedy = "Write `ref: {tag: …}` with the version that it runs."
        yield ("rings", name), f"{name} has no revision", remedy
    elif moving := [kind for kind in kinds if kind in ("branch", "semver")]:
        message = f"only the first ring may follow a {moving[0]}: it moves without the gate"
        yield ("rings", name, "ref", moving[0]), message, "Write the version that the ring runs: `tag: …`."
    if ring.reached and ring.share not in [batch.end for batch in ring.parts]:
        remedy = "Write a multiple of `batches`, or go back with `./saas rollout rollback`."
        yield ("rings", name, "reached"), f"{ring.reached} of {name} are not whole batches", remedy
    if ring.reached and ring.previous is None:
        remedy = "Write `previous:` with its tag; or remove `reached` if all tenants have the new version."
        yield ("rings", name), f"{name} does not say what the batches after {ring.reached} run", remedy
    for place, window in enumerate(ring.windows):
        if window in ring.windows[:place]:
            yield ("rings", name, "windows", place), "the same window is listed twice", "Keep only one of them."
    if ring.ref and ring.ref.tag in ring.refused:
        remedy = f"Roll {name} back to another version, or remove it from `refused`."
        yield ("rings", name, "ref", "tag"), f"{ring.ref.tag} is refused in {name}", remedy


def _circle(rings: Mapping[str, Ring], name: str) -> list[str]:
    """The rings that come after each other, beginning with this one; empty if it is in no circle."""
    found, current = [name], rings[name].after
    while current is not None and current in rings and current not in found:
        found.append(current)
        current = rings[current].after
    return found if current == name else []


def expired(pin: Pin, today: date) -> tuple[str, str] | None:
    """Message and remedy for a pin whose last day is over."""
    if today <= pin.last_day:
        return None
    return f"the pin to {pin.tag} ended on {pin.until}", "Remove the pin, or write a later day after asking again."


def ending(pins: Iterable[tuple[str, Pin]], today: date) -> Iterator[str]:
    """Warnings of pins in their last days."""
    for tenant, pin in pins:
        if today <= pin.last_day <= today + WARNED_BEFORE:
            yield f"{tenant} is pinned to {pin.tag} until {pin.until} only ({pin.reason}): an error afterwards"


def closed(windows: Sequence[Window], now: datetime) -> str:
    """The windows in words if there are any and none is open; else empty."""
    if not windows or any(window.is_open(now) for window in windows):
        return ""
    return "; or ".join(map(str, windows))
