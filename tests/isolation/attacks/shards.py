"""Attacks by labels that choose the controllers which reconcile an object: the platform's own, or another shard's."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy

from model.kubernetes.admission.shards import HELD, HOLDS
from model.kubernetes.manifests import SHARD_LABEL, Manifest
from tests.isolation import objects as of
from tests.isolation.attack import WIDE, Attack, request
from tests.isolation.defences import admission_policy

PLATFORM = {SHARD_LABEL: "platform"}


def labelled(manifest: Manifest, labels: dict[str, str]) -> Manifest:
    """The object with more labels."""
    changed = deepcopy(manifest)
    changed["metadata"].setdefault("labels", {}).update(labels)
    return changed


def with_chart_labels(release: Manifest, labels: dict[str, str]) -> Manifest:
    """The release, whose HelmChart gets these labels from helm-controller."""
    changed = deepcopy(release)
    changed["spec"]["chart"].setdefault("metadata", {})["labels"] = labels
    return changed


def _shards() -> Iterator[Attack]:
    shards = (admission_policy("shards"),)
    otherwise = f"Leave the label {SHARD_LABEL} out"
    for what, manifest in (
        ("a release is in the platform's shard", labelled(of.release(WIDE), PLATFORM)),
        ("a release is in the shard of other tenants", labelled(of.release(WIDE), {SHARD_LABEL: "customers"})),
        ("an OCI repository is in the platform's shard", labelled(of.oci_repository(WIDE), PLATFORM)),
        ("a release's chart is in the platform's shard", with_chart_labels(of.release(WIDE), PLATFORM)),
    ):
        yield request(what, shards, otherwise, manifest, WIDE)


def _holds() -> Iterator[Attack]:
    holds = (admission_policy("holds"),)
    held = of.release(WIDE, suspend=True)
    held["metadata"] |= {"name": "held", "annotations": {HELD: "{}", HOLDS: "1 0"}}
    resumed = {**held, "spec": {"suspend": False}}
    forgotten = {**held, "metadata": {**held["metadata"], "annotations": {HELD: None}}, "spec": {"suspend": True}}
    forged = of.release(WIDE)
    forged["metadata"]["annotations"] = {HOLDS: "0 0"}
    for what, manifest, verb, reason in (
        ("a held release is resumed", resumed, "merge", "Leave spec.suspend out"),
        ("the watchdog's record is removed", forgotten, "merge", "are the watchdog's"),
        ("a release claims to have been held never", forged, "apply", "are the watchdog's"),
    ):
        yield request(what, holds, reason, manifest, WIDE, verb, given=(held,))


ATTACKS = (*_shards(), *_holds())
