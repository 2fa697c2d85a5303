"""Products that many tenants run: `products` in tenants.yaml. Each is cloned once, with one deploy key."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated

from pydantic import AfterValidator, Field

from model.config.base import Finding, Model, rule_error
from model.config.images import Automation, ImageKey, ProductImage
from model.config.keys import KeyConfirmed, KeyGeneration
from model.config.names import DEFAULT_SHARD, LABEL_PATTERN, MAXIMUM_PRODUCT
from model.config.notifications import Notification
from model.config.rings import Batch, Ring, RingName, Version, first_ring, ordered, ring_findings
from model.config.sources import Source
from model.config.tiers import TIMEOUT, Interval, Shard, Timeout
from model.config.webhooks import OidcWebhook, ProductWebhook, WebhookSettings


def _product_name(value: str) -> str:
    if not re.fullmatch(LABEL_PATTERN, value) or len(value) > MAXIMUM_PRODUCT:
        remedy = f"Use up to {MAXIMUM_PRODUCT} lower-case letters, digits and hyphens, such as shop."
        raise rule_error(f"{value!r} is not a valid product name", remedy)
    return value


HOOKED_INTERVAL = "10m0s"
"""How often a product with a webhook is polled."""

ProductName = Annotated[str, AfterValidator(_product_name)]


class Product(Model):
    """A repository that several tenants run, in a namespace of the platform's: product-NAME."""

    source: Source
    interval: Interval = Field(
        default="1m0s",
        description="How often Flux asks the repository for a new revision; 10m0s by default where a webhook tells it",
    )
    timeout: Timeout = Field(default=TIMEOUT, description="How long a clone of the repository may take: 30s to 10m")
    shard: Shard = Field(
        default=DEFAULT_SHARD,
        description="The Flux controllers that reconcile it and all its tenants, whatever shard their tiers name",
    )
    images: dict[ImageKey, ProductImage] = Field(
        default={}, description="Its images by a name for markers, whose newest versions the automation commits"
    )
    automation: Automation | None = Field(
        default=None, description="Commits new versions of its images to its repository"
    )
    notify: list[Notification] = Field(
        default=[], description="Who is notified of commits that its tenants cannot apply; default: none"
    )
    webhook: ProductWebhook | None = Field(
        default=None, description="What makes Flux fetch it at once, in stacks with webhooks"
    )
    rings: dict[RingName, Ring] = Field(
        default={}, description="Groups of tenants that a version reaches one after the other; none: all at once"
    )
    rollback_to: Version | None = Field(
        default=None,
        alias="rollbackTo",
        description="The oldest version that data fits once a newer one has used it; older ones are refused then",
    )
    key_generation: KeyGeneration = 1
    key_confirmed: KeyConfirmed = 1

    def written_by(self, cluster: str) -> bool:
        """Whether a cluster's stack commits new versions of the images."""
        return self.automation is not None and self.automation.writer == cluster

    @property
    def first_ring(self) -> str | None:
        """The ring of tenants that name none; None for a product without rings."""
        return first_ring(self.rings)

    @property
    def ordered_rings(self) -> list[str]:
        """Its rings, each after the one before it."""
        return ordered(self.rings)

    def reference(self, ring: str | None, batch: Batch | None = None) -> Mapping[str, str]:
        """The revision of a ring, as spec.ref of a GitRepository; of the source for a product without rings."""
        ref = self.rings[ring].revision(batch) if ring else None
        return ref.reference if ref else self.source.reference

    @property
    def oidc(self) -> OidcWebhook | None:
        """The CI job that may call."""
        return self.webhook.oidc if self.webhook else None

    @property
    def wants_github_hook(self) -> bool:
        """Whether pushes to it call a webhook, in a stack with webhooks.

        Hooks need the right to administrate a repository, as deploy keys do: by default those with a key have one.
        """
        if self.webhook and self.webhook.github is not None:
            return self.webhook.github
        return self.source.private and self.source.github_repository is not None and self.source.commit is None

    def polled_every(self, webhooks: WebhookSettings | None) -> str:
        """The interval in a stack with these settings: with a hook, polling is the net below it."""
        told = self.wants_github_hook and webhooks is not None
        return HOOKED_INTERVAL if told and "interval" not in self.model_fields_set else self.interval


def product_rules(product: Product) -> Iterator[Finding]:
    """Values of a product that are valid, but not together; except those of its source."""
    if product.webhook and product.webhook.github and product.source.github_repository is None:
        message = f"{product.source.url} is not on GitHub, so GitHub has no webhook for it"
        yield ("webhook", "github"), message, "Remove it, or let a CI job call with `oidc:`."
    yield from ring_findings(product.rings)
