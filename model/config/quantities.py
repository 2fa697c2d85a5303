"""Kubernetes quantities: 500m, 2, 1.5, 256Mi, 10Gi."""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache
from typing import Literal

Kind = Literal["cpu", "bytes", "count"]

_DECIMAL = {"E": 18, "P": 15, "T": 12, "G": 9, "M": 6, "k": 3, "": 0, "m": -3}
_BINARY = {"Ei": 6, "Pi": 5, "Ti": 4, "Gi": 3, "Mi": 2, "Ki": 1}

_ONE = Fraction(1)

EXAMPLES: dict[Kind, str] = {
    "cpu": "500m for half a CPU, 2 for two",
    "bytes": "256Mi or 10Gi",
    "count": "a whole number such as 20",
}


@lru_cache(maxsize=4096)
def amount(text: str) -> Fraction:
    """A quantity as a number of CPUs, bytes or objects. Raises ValueError for an invalid quantity."""
    found = re.fullmatch(r"(\d+(?:\.\d*)?|\.\d+)([EPTGM]i|Ki|[EPTGMkm]?)", text)
    if not found:
        raise ValueError(f"{text!r} is not a quantity")
    suffix = found[2]
    scale = Fraction(1024) ** _BINARY[suffix] if suffix in _BINARY else Fraction(10) ** _DECIMAL[suffix]
    return Fraction(found[1]) * scale


@lru_cache(maxsize=4096)
def canonical(text: str) -> str:
    """The same amount in the API server's own notation: 1000m becomes 1, 1024Mi becomes 1Gi.

    Any other notation would show up as drift in every preview.
    """
    number = amount(text)
    if text.endswith("i") and number >= 1024 and number.denominator == 1:
        return _shortest(number, {suffix: Fraction(1024) ** power for suffix, power in _BINARY.items()} | {"": _ONE})
    return _shortest(number, {suffix: Fraction(10) ** power for suffix, power in _DECIMAL.items()})


def _shortest(number: Fraction, scales: dict[str, Fraction]) -> str:
    if number == 0:
        return "0"
    suffix, scale = next((suffix, scale) for suffix, scale in scales.items() if (number / scale).denominator == 1)
    return f"{number / scale}{suffix}"


def quantity_error(text: str, kind: Kind) -> tuple[str, str] | None:
    """Message and remedy for an invalid amount of this kind; None for a valid amount."""
    try:
        number = amount(text)
    except ValueError:
        return f"{text!r} is not a Kubernetes quantity", f"Write {EXAMPLES[kind]}."
    if kind == "cpu" and (number * 1000).denominator != 1:
        return f"{text!r} is finer than a thousandth of a CPU", "Write 1m or a multiple of it."
    if kind == "bytes" and text.endswith("m"):
        return f"{text!r} is {float(number):g} bytes", f"Write {text[:-1]}Mi."
    if kind != "cpu" and number.denominator != 1:
        return f"{text!r} is not a whole number", f"Write {EXAMPLES[kind]}."
    return None


def shown(number: Fraction, kind: Kind) -> str:
    """An amount with three significant digits, for people: 13.5, 54Gi."""
    if kind != "bytes":
        return f"{float(number):.3g}" if number < 1000 else f"{round(number):,}"
    power = max((p for p in _BINARY.values() if number >= 1024**p), default=0)
    suffix = next((s for s, p in _BINARY.items() if p == power), "")
    return f"{float(number / 1024**power):.3g}{suffix}"
