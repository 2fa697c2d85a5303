"""Change to moto's S3: the default retention of a bucket with Object Lock can change while it has objects.

`install` makes it in this process before the server starts.
"""

from __future__ import annotations

from moto.s3.exceptions import InvalidBucketState
from moto.s3.models import S3Backend


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


def install() -> None:
    """Change moto's class in place."""
    S3Backend.put_object_lock_configuration = put_object_lock_configuration
