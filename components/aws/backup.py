"""AWS Backup: a locked vault, a daily plan for what belongs to tenants, and a locked bucket for files about them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from components.aws.context import AwsContext
from components.aws.kms import EncryptionKey, EncryptionKeyArgs
from components.aws.roles import create_role
from model.config.aws import AWS_POLICY, MINIMUM_BACKUP_DAYS, BackupSettings, backup_bucket
from model.config.stack import Settings
from model.iam.boundary import TENANT_TAG
from model.iam.documents import files_policy, service_trust

CHANGEABLE_DAYS = 3
"""How long a vault in compliance mode can still be unlocked; the shortest time that AWS Backup takes."""


@dataclass(frozen=True)
class BackupArgs:
    """When backups are made, and how long they stay."""

    context: AwsContext
    settings: BackupSettings


class Backup(pulumi.ComponentResource):
    """Vault with a lock and a key of its own, a plan that selects by the tag `tenant`, and the role that it runs as.

    And a bucket, with the same key and lock, for the Kubernetes objects of tenants that leave.
    """

    vault_name: pulumi.Output[str]
    summary: Mapping[str, pulumi.Input[str] | Mapping[str, str]]
    """What `./saas tenant backup` needs: bucket, vault, role, and the tags of what belongs to the stack."""

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
        bucket = self._bucket(name, args, key)
        self.vault_name = vault.name
        self.summary = {"bucket": bucket.bucket, "vault": vault.name, "role": role.arn, "tags": tags}
        self.register_outputs({"vaultName": self.vault_name})

    def _bucket(self, name: str, args: BackupArgs, key: EncryptionKey) -> aws.s3.Bucket:
        """S3 bucket with Object Lock: files cannot be deleted before their retention ends, and no pod reads them."""
        context, settings = args.context, args.settings
        own_name = backup_bucket(context.prefix, context.account)
        bucket = aws.s3.Bucket(
            f"{name}-backups",
            bucket=own_name,
            # S3 keeps all versions of such a bucket's objects.
            object_lock_enabled=True,
            force_destroy=not context.protected,
            opts=context.child(self, protect=context.protected),
        )
        aws.s3.BucketPublicAccessBlock(
            f"{name}-backups",
            bucket=bucket.bucket,
            block_public_acls=True,
            block_public_policy=True,
            ignore_public_acls=True,
            restrict_public_buckets=True,
            opts=context.child(self),
        )
        aws.s3.BucketServerSideEncryptionConfiguration(
            f"{name}-backups",
            bucket=bucket.bucket,
            rules=[
                {
                    "apply_server_side_encryption_by_default": {
                        "sse_algorithm": "aws:kms",
                        "kms_master_key_id": key.arn,
                    },
                    "bucket_key_enabled": True,
                }
            ],
            opts=context.child(self),
        )
        aws.s3.BucketObjectLockConfiguration(
            f"{name}-backups",
            bucket=bucket.bucket,
            rule={"default_retention": {"mode": settings.lock.upper(), "days": settings.keep_days}},
            opts=context.child(self),
        )
        aws.s3.BucketPolicy(
            f"{name}-backups",
            bucket=bucket.bucket,
            policy=files_policy(f"arn:aws:s3:::{own_name}"),
            opts=context.child(self),
        )
        return bucket


def create_backup(settings: Settings, context: AwsContext | None) -> Backup | None:
    """The stack's backups; None where the settings ask for none."""
    if not (settings.aws and settings.aws.backup and context):
        return None
    return Backup(settings.cluster, BackupArgs(context=context, settings=settings.aws.backup))
