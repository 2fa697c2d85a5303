"""What is no mistake, and whoever runs the program should know all the same."""

from __future__ import annotations

from collections.abc import Sequence

import pulumi

from model import fair_share, tiers
from model.aws import AwsSettings
from model.tenants import Tenant


def advise(tenants: Sequence[Tenant], aws: AwsSettings | None) -> None:
    """Warn of reconcilers that may do more than a product needs, and of quotas that the nodes cannot hold."""
    for text in (
        *tiers.role_warnings({tenant.name: tenant.role for tenant in tenants}),
        fair_share.warning(tenants, aws),
    ):
        if text:
            pulumi.log.warn(text)
