"""A query to Prometheus' HTTP API, for the gate of a rollout."""

from __future__ import annotations

import http.client
import json
import math
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from typing import Any

from cli.errors import CommandError

TIMEOUT = 15
"""Seconds for Prometheus to answer."""
LONGEST = 4 * 1024 * 1024
"""Bytes of an answer."""
REMEDY = "Name it with --prometheus URL, such as http://localhost:9090, and try the query there."


def query(url: str, text: str) -> Mapping[str, float]:
    """The newest sample of each namespace, the highest if it has several; "" for samples without a namespace.

    What is not a number is infinite, so that it is above each bound.
    """
    if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
        raise CommandError(f"{url!r} is not the address of Prometheus", REMEDY)
    data = urllib.parse.urlencode({"query": text, "timeout": f"{TIMEOUT}s"}).encode()
    try:
        # A POST, because the names of a thousand tenants are longer than an address may be.
        with urllib.request.urlopen(f"{url.rstrip('/')}/api/v1/query", data, TIMEOUT) as response:  # noqa: S310 - http or https, see above
            body = response.read(LONGEST + 1)
    except urllib.error.HTTPError as error:
        raise CommandError(f"Prometheus refuses the query: {_said(error.read(LONGEST))}", REMEDY) from None
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise CommandError(f"Prometheus at {url} does not answer: {error}", REMEDY) from None
    if len(body) > LONGEST:
        raise CommandError("the answer of Prometheus is too long", "Write a query with one sample for each namespace.")
    try:
        return _samples(json.loads(body)["data"])
    except (ValueError, KeyError, TypeError, AttributeError):
        message = f"the answer of Prometheus has no samples: {_said(body)}"
        raise CommandError(message, "Write a query whose result is an instant vector or a scalar.") from None


def _samples(data: dict[str, Any]) -> Mapping[str, float]:
    if data["resultType"] == "scalar":
        return {"": _number(data["result"])}
    if data["resultType"] != "vector":
        raise ValueError(data["resultType"])
    found: dict[str, float] = {}
    for sample in data["result"]:
        namespace = sample["metric"].get("namespace", "")
        found[namespace] = max(found.get(namespace, -math.inf), _number(sample["value"]))
    return found


def _number(sample: list[Any]) -> float:
    number = float(sample[1])
    return math.inf if math.isnan(number) else number


def _said(body: bytes) -> str:
    try:
        return str(json.loads(body)["error"])
    except (ValueError, KeyError, TypeError):
        return body[:200].decode(errors="replace")
