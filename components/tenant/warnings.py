"""Warnings printed by every preview and up."""

from __future__ import annotations

from datetime import date

import pulumi

from components.configuration import Configuration
from model.warnings import all_warnings


def log_warnings(configuration: Configuration) -> None:
    """Warn of wide roles, accelerators without drivers, quotas above the nodes, and a Kubernetes version's end."""
    # The platform's stack warns of its nodes for the tenants of all shards.
    listed = configuration.tenant_list if configuration.settings.is_shard else configuration.everyone
    for text in all_warnings(listed.tenants, configuration.settings.aws, date.today()):
        pulumi.log.warn(text)
