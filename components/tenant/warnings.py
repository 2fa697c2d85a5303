"""What is no mistake, and whoever runs the program should know all the same."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import pulumi

from model.config import fair_share, tiers
from model.config.aws import AwsSettings, support_warning
from model.config.tenants import Tenant


def advise(tenants: Sequence[Tenant], aws: AwsSettings | None) -> None:
    """Warn of reconcilers that may do more than a product needs, of quotas that the nodes cannot hold, and of a
    Kubernetes version that AWS stops supporting."""
    for text in (
        *tiers.role_warnings({tenant.name: tenant.role for tenant in tenants}),
        fair_share.warning(tenants, aws),
        support_warning(aws, date.today()),
    ):
        if text:
            pulumi.log.warn(text)
