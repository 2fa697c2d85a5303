"""S3 of the AWS stand-in: buckets with encryption, Object Lock, a policy, and no public access."""

from __future__ import annotations

from typing import Any

from standins.aws.engine import REGION, TAGS, AwsKind, Call, Field, Tagging
from standins.provider import RefusedError, Values

_MISSING = ("404", "NoSuchBucket")


class Bucket(AwsKind):
    """A bucket. One with objects is only deleted with `forceDestroy`, which bypasses a lock in governance mode."""

    token = "aws:s3/bucket:Bucket"  # noqa: S105 - a type's name
    service = "s3"
    properties = {
        "bucket": Field(computed=True, replaces=True, api=None),
        "forceDestroy": Field(bool, default=False, api=None),
        "objectLockEnabled": Field(bool, replaces=True, api=None),
        **TAGS,
        **REGION,
    }
    outputs: Any = {}
    autonamed = "bucket"
    longest_name = 63
    identity = "{bucket}"
    key = {"Bucket": "{id}"}
    missing = _MISSING
    creates = Call("create_bucket")
    reads = Call("head_bucket")
    deletes = Call("delete_bucket")

    def creation(self, inputs: Values) -> Values:
        elsewhere = self.aws.region != "us-east-1"
        return {
            "Bucket": inputs["bucket"],
            "ObjectLockEnabledForBucket": inputs.get("objectLockEnabled"),
            "CreateBucketConfiguration": {"LocationConstraint": self.aws.region} if elsewhere else None,
        }

    def create(self, inputs: Values) -> tuple[str, Values]:
        made, _ = super().create(inputs)
        self._tag(made, inputs.get("tagsAll") or {})
        return self.made(made, inputs)

    def _tag(self, bucket: str, tags: Values) -> None:
        # S3 replaces all tags at once.
        tagged = {"TagSet": [{"Key": key, "Value": value} for key, value in tags.items()]}
        if tags:
            self.call("put_bucket_tagging", Bucket=bucket, Tagging=tagged)
        else:
            self.call("delete_bucket_tagging", Bucket=bucket)

    def retag(self, scope: Values, actual: Any, wanted: Any) -> None:
        if actual != wanted:
            self._tag(scope["id"], wanted)

    def describe(self, scope: Values, found: Values) -> Values:
        bucket = scope["id"]
        missing = ("ObjectLockConfigurationNotFoundError",)
        lock = self.aws.find("s3", "get_object_lock_configuration", missing, Bucket=bucket)
        return {
            **super().describe(scope, found),
            "bucket": bucket,
            "objectLockEnabled": lock is not None,
            "arn": f"arn:{self.aws.partition}:s3:::{bucket}",
        }

    def tags_of(self, scope: Values, found: Values) -> Values:
        answer = self.aws.find("s3", "get_bucket_tagging", ("NoSuchTagSet",), Bucket=scope["id"])
        return super().tags_of(scope, {"Tags": (answer or {}).get("TagSet")})

    def refuse_delete(self, identifier: str, state: Values, found: Values) -> None:
        versions = [
            {"Key": each["Key"], "VersionId": each["VersionId"]}
            for kind in ("Versions", "DeleteMarkers")
            for each in self.aws.list("s3", "list_object_versions", kind, Bucket=identifier)
        ]
        if versions and not state.get("forceDestroy"):
            message = "The bucket you tried to delete is not empty. You must delete all versions in the bucket."
            raise self.refusal("DeleteBucket", "BucketNotEmpty", message)
        if versions:
            delete = {"Objects": versions, "Quiet": True}
            answer = self.call("delete_objects", Bucket=identifier, Delete=delete, BypassGovernanceRetention=True)
            for error in answer.get("Errors", ()):
                raise self.refusal("DeleteObjects", error["Code"], error["Message"])


class _OfBucket(AwsKind):
    """A part of a bucket's configuration, which has no id of its own."""

    service = "s3"
    identity = "{bucket}"
    key = {"Bucket": "{id}"}
    tagging = Tagging()


class Encryption(_OfBucket):
    """How a bucket encrypts. Deleting it leaves S3's default, encryption with S3's own keys."""

    token = "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration"  # noqa: S105
    properties = {
        "bucket": Field(required=True, replaces=True, api=None),
        "rules": Field(
            list,
            required=True,
            api=None,
            at="ServerSideEncryptionConfiguration.Rules",
            of={
                "applyServerSideEncryptionByDefault": Field(
                    dict,
                    api="ApplyServerSideEncryptionByDefault",
                    of={
                        "sseAlgorithm": Field(required=True, api="SSEAlgorithm", choices=("AES256", "aws:kms")),
                        "kmsMasterKeyId": Field(api="KMSMasterKeyID"),
                    },
                ),
                "bucketKeyEnabled": Field(bool),
            },
        ),
        **REGION,
    }
    missing = (*_MISSING, "ServerSideEncryptionConfigurationNotFoundError")
    creates = Call("put_bucket_encryption")
    reads = Call("get_bucket_encryption")
    updates = (Call("put_bucket_encryption", when=("rules",)),)
    deletes = Call("delete_bucket_encryption")

    def require(self, operation: str, inputs: Values) -> None:
        for rule in inputs["rules"]:
            if key := (rule.get("applyServerSideEncryptionByDefault") or {}).get("kmsMasterKeyId"):
                self.aws.call("kms", "describe_key", KeyId=key)

    def _document(self, inputs: Values) -> Values:
        rules = self.to_api(self.properties["rules"], inputs["rules"])
        return {"ServerSideEncryptionConfiguration": {"Rules": rules}}

    def creation(self, inputs: Values) -> Values:
        return {"Bucket": inputs["bucket"], **self._document(inputs)}

    def change(self, call: Call, scope: Values, inputs: Values) -> None:
        self.call(call.operation, **self.creation(inputs))

    def describe(self, scope: Values, found: Values) -> Values:
        rules = found["ServerSideEncryptionConfiguration"]["Rules"]
        state = super().describe(scope, found)
        return state | {"bucket": scope["id"], "rules": self.from_api(self.properties["rules"], rules)}


class PublicAccessBlock(_OfBucket):
    """What a bucket refuses of public access."""

    token = "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock"  # noqa: S105 - a type's name
    properties = {
        "bucket": Field(required=True, replaces=True, api=None),
        "blockPublicAcls": Field(bool, default=False, api=None),
        "blockPublicPolicy": Field(bool, default=False, api=None),
        "ignorePublicAcls": Field(bool, default=False, api=None),
        "restrictPublicBuckets": Field(bool, default=False, api=None),
        **REGION,
    }
    missing = (*_MISSING, "NoSuchPublicAccessBlockConfiguration")
    creates = Call("put_public_access_block")
    reads = Call("get_public_access_block", answer="PublicAccessBlockConfiguration")
    updates = (
        Call(
            "put_public_access_block",
            when=("blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets"),
        ),
    )
    deletes = Call("delete_public_access_block")

    def creation(self, inputs: Values) -> Values:
        names = self.updates[0].when
        chosen = {self.spelled(name): inputs[name] for name in names}
        return {"Bucket": inputs["bucket"], "PublicAccessBlockConfiguration": chosen}

    def change(self, call: Call, scope: Values, inputs: Values) -> None:
        self.call(call.operation, **self.creation(inputs))

    def describe(self, scope: Values, found: Values) -> Values:
        chosen = {name: found.get(self.spelled(name), False) for name in self.updates[0].when}
        return super().describe(scope, found) | chosen | {"bucket": scope["id"]}


class ObjectLock(_OfBucket):
    """How long new objects of a bucket cannot be deleted. Deleting it removes the rule; the lock itself stays."""

    token = "aws:s3/bucketObjectLockConfiguration:BucketObjectLockConfiguration"  # noqa: S105 - a type's name
    properties = {
        "bucket": Field(required=True, replaces=True, api=None),
        "rule": Field(
            dict,
            api=None,
            of={
                "defaultRetention": Field(
                    dict,
                    required=True,
                    of={
                        "mode": Field(choices=("GOVERNANCE", "COMPLIANCE")),
                        "days": Field(int),
                        "years": Field(int),
                    },
                )
            },
        ),
        **REGION,
    }
    missing = (*_MISSING, "ObjectLockConfigurationNotFoundError")
    creates = Call("put_object_lock_configuration")
    reads = Call("get_object_lock_configuration", answer="ObjectLockConfiguration")
    updates = (Call("put_object_lock_configuration", when=("rule",)),)
    deletes = Call("put_object_lock_configuration", {"ObjectLockConfiguration": {"ObjectLockEnabled": "Enabled"}})

    def creation(self, inputs: Values) -> Values:
        rule = self.to_api(self.properties["rule"], inputs.get("rule"))
        configuration = {"ObjectLockEnabled": "Enabled", "Rule": rule}
        return {"Bucket": inputs["bucket"], "ObjectLockConfiguration": configuration}

    def change(self, call: Call, scope: Values, inputs: Values) -> None:
        self.call(call.operation, **self.creation(inputs))

    def require(self, operation: str, inputs: Values) -> None:
        found = self.aws.find("s3", "get_object_lock_configuration", self.missing, Bucket=inputs["bucket"])
        if found is None:
            raise RefusedError(
                f"{inputs['bucket']} has no Object Lock, which S3 switches on when it creates a bucket: set "
                "objectLockEnabled of the bucket"
            )

    def find(self, scope: Values) -> Values | None:
        found = super().find(scope)
        return found if found and found.get("Rule") else None

    def describe(self, scope: Values, found: Values) -> Values:
        # The emulator answers 0 for the unit that was not chosen.
        retention = {key: value for key, value in found["Rule"]["DefaultRetention"].items() if value}
        rule = self.from_api(self.properties["rule"], {"DefaultRetention": retention})
        return super().describe(scope, found) | {"bucket": scope["id"], "rule": rule}


class Policy(_OfBucket):
    """The policy of a bucket."""

    token = "aws:s3/bucketPolicy:BucketPolicy"  # noqa: S105 - a type's name
    properties = {
        "bucket": Field(required=True, replaces=True),
        "policy": Field(required=True, document=True),
        **REGION,
    }
    missing = (*_MISSING, "NoSuchBucketPolicy")
    creates = Call("put_bucket_policy")
    reads = Call("get_bucket_policy")
    updates = (Call("put_bucket_policy", when=("policy",)),)
    deletes = Call("delete_bucket_policy")

    def describe(self, scope: Values, found: Values) -> Values:
        return super().describe(scope, found) | {"bucket": scope["id"]}


KINDS = (Bucket, Encryption, PublicAccessBlock, ObjectLock, Policy)
