"""Products that many tenants run: `products` in tenants.yaml. Each is cloned once, with one deploy key."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field

from model.config.base import Model, rule_error
from model.config.names import DEFAULT_SHARD, LABEL_PATTERN, MAXIMUM_PRODUCT
from model.config.notifications import Notification
from model.config.sources import Source
from model.config.tiers import TIMEOUT, Interval, Shard, Timeout


def _product_name(value: str) -> str:
    if not re.fullmatch(LABEL_PATTERN, value) or len(value) > MAXIMUM_PRODUCT:
        remedy = f"Use up to {MAXIMUM_PRODUCT} lower-case letters, digits and hyphens, such as shop."
        raise rule_error(f"{value!r} is not a valid product name", remedy)
    return value


ProductName = Annotated[str, AfterValidator(_product_name)]


class Product(Model):
    """A repository that several tenants run, in a namespace of the platform's: product-NAME."""

    source: Source
    interval: Interval = Field(default="1m0s", description="How often Flux asks the repository for a new revision")
    timeout: Timeout = Field(default=TIMEOUT, description="How long a clone of the repository may take: 30s to 10m")
    shard: Shard = Field(
        default=DEFAULT_SHARD,
        description="The Flux controllers that reconcile it and all its tenants, whatever shard their tiers name",
    )
    notify: list[Notification] = Field(
        default=[], description="Who is notified of commits that its tenants cannot apply; default: none"
    )
