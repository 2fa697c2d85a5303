"""KMS keys of the stack's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from components.aws.context import AwsContext
from model.iam.documents import Statement, key_policy

DELETION_DAYS = 30
"""How long a deleted key can be restored; the maximum that KMS offers."""


@dataclass(frozen=True)
class EncryptionKeyArgs:
    """What the key encrypts, and which AWS services may use it besides the account's own roles."""

    context: AwsContext
    purpose: str
    """The alias, after the stack's prefix."""
    description: str
    services: Sequence[Statement] = ()


class EncryptionKey(pulumi.ComponentResource):
    """Symmetric key that AWS rotates every year. Protected like data: what it encrypted is lost with it."""

    arn: pulumi.Output[str]

    def __init__(self, name: str, args: EncryptionKeyArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("saas:encryption:EncryptionKey", name, None, opts)
        context = args.context
        key = aws.kms.Key(
            name,
            description=args.description,
            enable_key_rotation=True,
            deletion_window_in_days=DELETION_DAYS,
            policy=key_policy(context.account, args.services, context.deploy_role),
            opts=context.child(self, protect=context.protected),
        )
        aws.kms.Alias(
            name,
            name=f"alias/{context.prefix}-{args.purpose}",
            target_key_id=key.key_id,
            opts=context.child(self),
        )
        self.arn = key.arn
        self.register_outputs({"arn": self.arn})
