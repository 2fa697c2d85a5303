"""All attacks of hostile tenants, by what they attack."""

from __future__ import annotations

from tests.isolation.attack import Commit, Request
from tests.isolation.attacks import (
    encrypted,
    files,
    flux,
    flux_values,
    helm,
    platform_objects,
    pods,
    references,
    rights,
    shards,
    traffic,
)

ATTACKS = (
    *rights.ATTACKS,
    *platform_objects.ATTACKS,
    *flux.ATTACKS,
    *shards.ATTACKS,
    *references.ATTACKS,
    *helm.ATTACKS,
    *flux_values.ATTACKS,
    *files.ATTACKS,
    *pods.ATTACKS,
    *traffic.ATTACKS,
    *encrypted.ATTACKS,
)
REQUESTS = tuple(attack for attack in ATTACKS if isinstance(attack.action, Request))
COMMITS = tuple(attack for attack in ATTACKS if isinstance(attack.action, Commit))
