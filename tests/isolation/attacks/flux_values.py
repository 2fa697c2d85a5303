"""Attacks by durations, numbers and lists in Flux's objects: too large or too small a value in every reviewed field."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from typing import Any

from model.kubernetes.admission.flux_values import LONGEST_LIST
from model.kubernetes.manifests import Manifest
from tests.isolation import objects as of
from tests.isolation.attack import HELM, OWN, WIDE, Attack, commit, request
from tests.isolation.defences import admission_policy
from tests.isolation.flux_fields import REVIEWED

POLICY = admission_policy("flux-values")
KINDS: dict[str, Callable[[str], Manifest]] = {
    "HelmRelease": of.release,
    "HelmChart": of.chart,
    "HelmRepository": of.chart_repository,
    "OCIRepository": of.oci_repository,
}
ITEMS: dict[str, Any] = {
    "matchOIDCIdentity": {"issuer": "x", "subject": "x"},
    "dependsOn": {"name": "x"},
    "ignore": {"paths": ["/x"]},
    "images": {"name": "x"},
    "patches": {"patch": "x"},
    "filters": {"name": "x"},
    "valuesFrom": {"kind": "Secret", "name": "x"},
    "postRenderers": {},
    "namespaceSelectors": {},
}
"""An item of each list that is not of text."""


def overflowing(kind: str, field: str) -> str:
    """Three million hours, which Go's 64 bits of nanoseconds do not hold; sources' timeouts have no hours."""
    return "180000000m" if field == "spec.timeout" and kind != "HelmRelease" else "3000000h"


def with_values(kind: str, namespace: str, values: Mapping[str, Any]) -> Manifest:
    """An object of Flux with values in some of its fields."""
    manifest = deepcopy(KINDS[kind](namespace))
    for field, value in values.items():
        place: Any = manifest
        *parents, last = field.replace("[]", ".[]").split(".")
        for part, following in zip(parents, [*parents[1:], last], strict=True):
            if part == "[]":
                place.append({})
                place = place[0]
            else:
                place = place.setdefault(part, [] if following == "[]" else {})
        place[last] = value
        if last == "retryInterval":
            place["name"] = "RetryOnFailure"
        if last == "matchOIDCIdentity":
            place["provider"] = "cosign"
    return manifest


def requests() -> Iterator[Attack]:
    """One attack for each end of each field's bounds, and durations that a simpler rule would misread."""

    def attack(kind: str, field: str, value: Any, what: str, reason: str) -> Attack:
        manifest = with_values(kind, WIDE, {field: value})
        return request(f"{what} in {field} of {_a(kind)}", (POLICY,), reason, manifest, WIDE)

    for kind, fields in REVIEWED.items():
        for field in (*fields.timeouts, *fields.intervals):
            reason = f": {field}. Here {'a timeout' if field in fields.timeouts else 'an interval'} is between"
            yield attack(kind, field, overflowing(kind, field), "a duration that overflows", reason)
            yield attack(kind, field, "1ms", "a millisecond", reason)
        for field in fields.numbers:
            yield attack(kind, field, 1_000_000, "a million", f"{field} from")
            yield attack(kind, field, -2, "minus two", f"{field} from")
        for field in fields.lists:
            if field == "spec.healthCheckExprs":
                continue  # refused by saas-tenant-releases, of whatever length
            name = field.rpartition(".")[2]
            items = [ITEMS.get(name, "x")] * (LONGEST_LIST + 1)
            yield attack(kind, field, items, "a long list", f"a list is too long: {field}.")
    interval = "spec.interval"
    for value in ("0s", "0.0001m", "59.999s", "721h", "2562047h47m16s", "99999999999999999999h", "1h" * 11):
        yield attack("HelmRelease", interval, value, value, f": {interval}. Here an interval is between")
    yield attack("HelmRelease", "spec.timeout", "10m1s", "a second too much", "between 1s and 10m")
    yield attack("OCIRepository", "spec.timeout", "2m1s", "a second too much", "between 1s and 2m")


def commits() -> Iterator[Attack]:
    """Commits with an overflow in all timeouts of a kind, and in all its other durations."""
    for kind, fields in REVIEWED.items():
        for what, paths in (("timeouts", fields.timeouts), ("intervals", fields.intervals)):
            if paths:
                manifest = with_values(kind, OWN, {field: overflowing(kind, field) for field in paths})
                yield commit(
                    f"a commit holds {_a(kind)} whose {what} overflow",
                    "No duration, number or list in a tenant's Flux object stops a controller or keeps it busy.",
                    f": {', '.join(paths)}. Here",
                    f"admission: {POLICY}",
                    tenant=HELM,
                    objects=(of.evil(manifest),),
                )


def _a(kind: str) -> str:
    return f"an {kind}" if kind[0] == "O" else f"a {kind}"


ATTACKS = (*requests(), *commits())
