"""All attacks of hostile tenants, by what they attack."""

from __future__ import annotations

from tests.isolation.attack import Commit, Request
from tests.isolation.attacks import files, flux, helm, platform_objects, pods, references, rights, traffic

ATTACKS = (
    *rights.ATTACKS,
    *platform_objects.ATTACKS,
    *flux.ATTACKS,
    *references.ATTACKS,
    *helm.ATTACKS,
    *files.ATTACKS,
    *pods.ATTACKS,
    *traffic.ATTACKS,
)
REQUESTS = tuple(attack for attack in ATTACKS if isinstance(attack.action, Request))
COMMITS = tuple(attack for attack in ATTACKS if isinstance(attack.action, Commit))
