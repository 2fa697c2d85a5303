"""Correction of moto's EC2: it loses the description of a security group rule that names another group."""

from __future__ import annotations

from moto.ec2.models.security_groups import SecurityGroupRule


def _description(self: SecurityGroupRule) -> str | None:
    return self.ip_range.get("Description") or self.source_group.get("Description")


def install() -> None:
    """Correct moto in this process; call it before the server starts."""
    setattr(SecurityGroupRule, "description", property(_description))  # noqa: B010 - typed as it is in moto
