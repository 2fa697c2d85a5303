"""Tags of images that a registry keeps from expiry, because tenants.yaml names their version."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from model.config.overrides import TAG
from model.config.tenants import TenantList

MOST = 45
"""ECR takes 50 rules in a policy, and each of these tags is one."""


def kept_tags(listed: TenantList) -> list[str]:
    """Patterns for tags of images: of pins first, then of what products hold, and what rings run or ran before.

    A pin to v1.4.2 is the pattern *1.4.2.
    """
    found = dict.fromkeys(pattern for version in _versions(listed) if (pattern := _pattern(version)))
    return [*found]


def too_many(tags: Sequence[str]) -> str | None:
    """A warning about tags that ECR has no rules for."""
    if len(tags) <= MOST:
        return None
    left = ", ".join(tags[MOST:])
    return f"tenants.yaml names {len(tags)} versions, and ECR keeps the images of {MOST} only: {left} may expire"


def _versions(listed: TenantList) -> Iterator[str]:
    """The tags of commits or images, the most important first."""
    yield from (tenant.pin.tag for tenant in listed.tenants if tenant.pin)
    yield from (image.new_tag for tenant in listed.tenants for image in tenant.images if image.new_tag)
    for product in listed.products.values():
        if product.automation and product.automation.hold:
            yield product.automation.hold
    for product in listed.products.values():
        for ring in product.rings.values():
            yield from filter(None, (ring.ref.tag if ring.ref else None, ring.previous))


def _pattern(version: str) -> str | None:
    """The tag of an image by the version, which may have a v in Git only; None if it cannot be a tag."""
    if not TAG.fullmatch(version):
        return None
    # It matches 11.4.2 too. That one stays longer, which does no harm.
    return f"*{version[1:]}" if re.match(r"v\d", version) else version
