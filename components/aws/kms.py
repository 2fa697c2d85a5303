"""A KMS key of the stack's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from model.iam.documents import Statement, key_policy

DELETION_DAYS = 30
"""How long a deleted key can be brought back; the most that KMS offers."""


@dataclass(frozen=True)
class EncryptionKeyArgs:
    """What the key is for, and who may use it besides the account's own roles."""

    alias: str
    description: str
    account: str
    protected: bool
    """Whether it refuses to be deleted: what it encrypted is lost with it."""
    aws: aws.Provider
    services: Sequence[Statement] = ()


class EncryptionKey(pulumi.ComponentResource):
    """A symmetric key that AWS rotates every year."""

    arn: pulumi.Output[str]

    def __init__(self, name: str, args: EncryptionKeyArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("saas:encryption:EncryptionKey", name, None, opts)
        own = pulumi.ResourceOptions(parent=self, provider=args.aws)
        key = aws.kms.Key(
            name,
            description=args.description,
            enable_key_rotation=True,
            deletion_window_in_days=DELETION_DAYS,
            policy=key_policy(args.account, args.services),
            opts=pulumi.ResourceOptions.merge(own, pulumi.ResourceOptions(protect=args.protected)),
        )
        aws.kms.Alias(name, name=f"alias/{args.alias}", target_key_id=key.key_id, opts=own)
        self.arn = key.arn
        self.register_outputs({"arn": self.arn})
