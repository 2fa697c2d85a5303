"""Networks in CIDR notation."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from model.config.schema import wrong

N = TypeVar("N")


def network_in(value: str, make: Callable[..., N], otherwise: str) -> N:
    """The network that a text names; raises what to write instead, `otherwise` where nobody can guess what was meant.

    `make` is the class of networks that are wanted, or `ip_network`.
    """
    try:
        return make(value)
    except ValueError:
        try:
            remedy = f"Write {make(value, strict=False)}."
        except ValueError:
            remedy = otherwise
        raise wrong(f"{value!r} is no network", remedy) from None
