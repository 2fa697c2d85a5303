"""Warnings printed by every preview and up."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import pulumi

from model.config.aws import AwsSettings
from model.config.tenants import Tenant
from model.warnings import all_warnings


def log_warnings(tenants: Sequence[Tenant], aws: AwsSettings | None) -> None:
    """Warn of wide roles, accelerators without drivers, quotas above the nodes, and a Kubernetes version's end."""
    for text in all_warnings(tenants, aws, date.today()):
        pulumi.log.warn(text)
