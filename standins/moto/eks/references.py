"""Checks that roles, subnets, keys and groups in a request to EKS exist in their services, with EKS' error codes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from standins.moto.eks.errors import refuse

Values = dict[str, Any]


class References:
    """Lookups in one region of one account."""

    def __init__(self, account: str, region: str) -> None:
        from moto.ec2.models import ec2_backends
        from moto.iam.models import iam_backends
        from moto.kms.models import kms_backends
        from moto.logs.models import logs_backends

        self._iam = iam_backends[account]["aws"]
        self._ec2 = ec2_backends[account][region]
        self._kms = kms_backends[account][region]
        self._logs = logs_backends[account][region]

    def role(self, arn: str, service: str | None = None) -> None:
        """Check that the role exists and that `service` may assume it."""
        found = next((role for role in self._iam.roles.values() if role.arn == arn), None)
        if found is None:
            raise refuse(f"Role with arn: {arn}, could not be assumed because it does not exist or the trusted entity "
                         "is not correct")  # fmt: skip
        if service and service not in _services(json.loads(found.assume_role_policy_document)):
            raise refuse(f"Role with arn: {arn}, could not be assumed because it does not exist or the trusted entity "
                         f"is not correct: its trust policy lacks {service}")  # fmt: skip

    def principal(self, arn: str) -> None:
        """Check that the role or user exists."""
        known = [*self._iam.roles.values(), *self._iam.users.values()]
        if all(principal.arn != arn for principal in known):
            raise refuse(f"The specified principalArn is invalid: invalid principal: {arn}")

    def subnets(self, identifiers: Iterable[str]) -> list[Any]:
        """moto's subnets, which must belong to the same VPC."""
        known = {subnet.id: subnet for zone in self._ec2.subnets.values() for subnet in zone.values()}
        for identifier in identifiers:
            if identifier not in known:
                raise refuse(f"The subnet ID '{identifier}' does not exist (Service: Ec2, Status Code: 400)")
        subnets = [known[identifier] for identifier in identifiers]
        if len({subnet.vpc_id for subnet in subnets}) > 1:
            raise refuse("Provided subnets belong to different VPCs. Please provide subnets of the same VPC")
        return subnets

    def cidr(self, vpc: str) -> str:
        """The VPC's addresses."""
        return self._ec2.vpcs[vpc].cidr_block

    def security_groups(self, identifiers: Iterable[str], vpc: str) -> None:
        """The groups exist, in the VPC."""
        for identifier in identifiers:
            group = self._ec2.get_security_group_from_id(identifier)
            if group is None or group.vpc_id != vpc:
                raise refuse(f"The security group '{identifier}' does not exist in VPC '{vpc}'")

    def key(self, arn: str) -> None:
        """The KMS key exists and is not about to go."""
        found = next((key for key in self._kms.keys.values() if key.arn == arn), None)
        if found is None or found.key_state != "Enabled":
            raise refuse(f"Key '{arn}' is not an enabled symmetric KMS key of this region")

    def launch_template(self, given: Mapping[str, str]) -> Values:
        """The template's id, name and version. EKS takes exactly one of id and name."""
        if ("id" in given) == ("name" in given):
            raise refuse("You must specify either the launch template ID or the launch template name, but not both.")
        for template in self._ec2.launch_templates.values():
            if given.get("id") == template.id or given.get("name") == template.name:
                version = given.get("version") or str(template.default_version_number)
                if not version.isdigit() or int(version) not in {each.number for each in template.versions}:
                    raise refuse(f"Launch template {template.id} has no version {version}")
                return {"id": template.id, "name": template.name, "version": version}
        raise refuse(f"The specified launch template, {given.get('id') or given.get('name')}, does not exist.")

    def make_security_group(self, name: str, vpc: str, tags: Mapping[str, str]) -> str:
        """The group that EKS gives each cluster."""
        description = "EKS created security group applied to ENI that is attached to EKS Control Plane master nodes"
        return self._ec2.create_security_group(name, description, vpc, tags=dict(tags)).id

    def delete_security_group(self, identifier: str) -> None:
        """Delete the network interface, unless it is gone already."""
        if self._ec2.get_security_group_from_id(identifier):
            self._ec2.delete_security_group(group_id=identifier)

    def make_log_group(self, name: str) -> None:
        """As EKS does when it has logs to write and there is no group for them."""
        if name not in self._logs.groups:
            self._logs.create_log_group(name, {})


def write_late_logs(deleted: set[str]) -> None:
    """Let EKS create the log group of a deleted cluster again, once: what it still has to write comes late.

    `deleted` are the names of such groups.
    """
    from moto.logs.models import LogsBackend

    delete = LogsBackend.delete_log_group

    def delete_log_group(self: LogsBackend, log_group_name: str) -> None:
        delete(self, log_group_name)
        if log_group_name in deleted:
            deleted.remove(log_group_name)
            self.create_log_group(log_group_name, {})

    LogsBackend.delete_log_group = delete_log_group


def _services(trust: Mapping[str, Any]) -> set[str]:
    statements = trust["Statement"] if isinstance(trust["Statement"], list) else [trust["Statement"]]
    services: set[str] = set()
    for statement in statements:
        named = statement.get("Principal", {})
        named = named.get("Service", []) if isinstance(named, dict) else []
        if statement["Effect"] == "Allow":
            services |= {named} if isinstance(named, str) else set(named)
    return services
