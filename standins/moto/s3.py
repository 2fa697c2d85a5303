"""Changes to moto's S3: a bucket with objects changes its default retention; a policy's conditions are not forgotten.

`install` makes them in this process before the server starts.
"""

from __future__ import annotations

import json

from moto.iam.access_control import IAMPolicy, PermissionResult
from moto.s3.exceptions import InvalidBucketState
from moto.s3.models import FakeBucket, S3Backend


def put_object_lock_configuration(
    self: S3Backend,
    bucket_name: str,
    lock_enabled: bool,
    mode: str | None = None,
    days: int | None = None,
    years: int | None = None,
) -> None:
    """The operation PutObjectLockConfiguration."""
    bucket = self.get_bucket(bucket_name)
    if not bucket.is_versioned:
        raise InvalidBucketState("Versioning must be 'Enabled' on the bucket to apply a Object Lock configuration")
    if lock_enabled:
        bucket.object_lock_enabled = True
    bucket.default_lock_mode, bucket.default_lock_days, bucket.default_lock_years = mode, days, years


def get_permission(self: FakeBucket, action: str, resource: str) -> PermissionResult:
    """What the bucket's policy says without conditions. moto takes a statement with one for one without."""
    document = json.loads(self.policy or b"{}")
    plain = [statement for statement in document.get("Statement", ()) if not statement.get("Condition")]
    if not plain:
        return PermissionResult.NEUTRAL
    return IAMPolicy(json.dumps({**document, "Statement": plain})).is_action_permitted(action, resource)


def install() -> None:
    """Change moto's classes in place."""
    FakeBucket.get_permission = get_permission
    S3Backend.put_object_lock_configuration = put_object_lock_configuration
