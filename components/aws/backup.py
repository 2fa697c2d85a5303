"""AWS Backup: a locked vault, and a daily plan for everything that belongs to a tenant."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from components.aws.context import AwsContext
from components.aws.kms import EncryptionKey, EncryptionKeyArgs
from components.aws.roles import create_role
from model.config.aws import AWS_POLICY, MINIMUM_BACKUP_DAYS, BackupSettings
from model.config.stack import Settings
from model.iam.boundary import TENANT_TAG
from model.iam.documents import service_trust

CHANGEABLE_DAYS = 3
"""How long a vault in compliance mode can still be unlocked; the shortest time that AWS Backup takes."""


@dataclass(frozen=True)
class BackupArgs:
    """When backups are made, and how long they stay."""

    context: AwsContext
    settings: BackupSettings


class Backup(pulumi.ComponentResource):
    """Vault with a lock and a key of its own, a plan that selects by the tag `tenant`, and the role that it runs as."""

    vault_name: pulumi.Output[str]

    def __init__(self, name: str, args: BackupArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("saas:backup:Backup", name, None, opts)
        context, settings = args.context, args.settings
        key = EncryptionKey(
            f"{name}-backups",
            EncryptionKeyArgs(context=context, purpose="backups", description=f"Backups of {context.prefix}'s tenants"),
            pulumi.ResourceOptions(parent=self),
        )
        vault = aws.backup.Vault(
            name,
            name=context.prefix,
            kms_key_arn=key.arn,
            # With protection off, a destroy deletes the backups, too.
            force_destroy=not context.protected,
            opts=context.child(self, protect=context.protected),
        )
        aws.backup.VaultLockConfiguration(
            name,
            backup_vault_name=vault.name,
            min_retention_days=MINIMUM_BACKUP_DAYS,
            changeable_for_days=CHANGEABLE_DAYS if settings.lock == "compliance" else None,
            # A vault has one lock: deleting the old one after creating the new one would leave none.
            opts=pulumi.ResourceOptions.merge(context.child(self), pulumi.ResourceOptions(delete_before_replace=True)),
        )
        role, attachments = create_role(
            f"{name}-backup",
            context,
            self,
            role="backup",
            trust=service_trust("backup.amazonaws.com", context.account),
            policies={
                f"{name}-backup-{purpose}": f"{AWS_POLICY}service-role/AWSBackupServiceRolePolicyFor{purpose}"
                for purpose in ("Backup", "Restores")
            },
        )
        plan = aws.backup.Plan(
            name,
            name=context.prefix,
            rules=[
                {
                    "rule_name": "daily",
                    "target_vault_name": vault.name,
                    "schedule": f"cron(0 {settings.hour} * * ? *)",
                    "lifecycle": {"delete_after": settings.keep_days},
                }
            ],
            opts=context.child(self),
        )
        tags = {key: context.tags[key] for key in ("Project", "Stack") if key in context.tags}
        aws.backup.Selection(
            name,
            name="tenants",
            plan_id=plan.id,
            iam_role_arn=role.arn,
            # The role's boundary permits no others: it keeps the platform from tenants' tables and buckets.
            resources=[
                f"arn:aws:ec2:{context.region}:{context.account}:volume/*",
                f"arn:aws:elasticfilesystem:{context.region}:{context.account}:file-system/*",
            ],
            conditions=[
                {
                    "string_equals": [
                        {"key": f"aws:ResourceTag/{key}", "value": value} for key, value in sorted(tags.items())
                    ],
                    "string_likes": [{"key": f"aws:ResourceTag/{TENANT_TAG}", "value": "*"}],
                }
            ],
            # The role needs its policies when the selection is checked.
            opts=context.child(self, depends_on=attachments),
        )
        self.vault_name = vault.name
        self.register_outputs({"vaultName": self.vault_name})


def create_backup(settings: Settings, context: AwsContext | None) -> Backup | None:
    """The stack's backups; None where the settings ask for none."""
    if not (settings.aws and settings.aws.backup and context):
        return None
    return Backup(settings.cluster, BackupArgs(context=context, settings=settings.aws.backup))
