"""Tenants that have left: `departed` in tenants.yaml. Only a tenant that it names may vanish from `tenants`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from model.config.base import Model, rule_error
from model.config.names import tenant_name_problem


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


Date = Annotated[str, BeforeValidator(_text), AfterValidator(_date)]


class Departed(Model):
    """A tenant that has left with all its data. Its name is not given to another tenant."""

    name: Annotated[str, AfterValidator(_name)]
    since: Date = Field(description="The day on which it left")
    backup: str | None = Field(default=None, min_length=1, description="Where a backup of its data is kept")


Finding = tuple[int, str, str]
"""The index of a departed tenant, message, remedy."""


def departed_findings(departed: Iterable[Departed], tenants: Mapping[str, int]) -> Iterator[Finding]:
    """Departed tenants that are listed twice, or are tenants; `tenants` are the lines of those by name."""
    seen: set[str] = set()
    for index, left in enumerate(departed):
        if left.name in seen:
            yield index, f"{left.name} has departed twice", "Keep only one of them."
        elif left.name in tenants:
            remedy = (
                "Choose another name for the new tenant: it would get what the other left, such as its objects in "
                "buckets and its users. Remove the name here only when nothing is left."
            )
            yield index, f"{left.name} has departed, and is a tenant on line {tenants[left.name]}", remedy
        seen.add(left.name)
