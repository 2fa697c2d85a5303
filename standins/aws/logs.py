"""CloudWatch of the AWS stand-in: log groups."""

from __future__ import annotations

from standins.aws.engine import REGION, TAGS, AwsKind, Call, Field, Tagging
from standins.aws.kms import allows_service
from standins.aws.session import Session
from standins.provider import Values

_DAYS = (0, 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653)


class LogGroup(AwsKind):
    """A group of logs with one retention time and one encryption key."""

    token = "aws:cloudwatch/logGroup:LogGroup"  # noqa: S105 - a type's name
    service = "logs"
    capitals = False
    properties = {
        "name": Field(computed=True, replaces=True, api="logGroupName"),
        "retentionInDays": Field(int, default=0, choices=_DAYS),
        "kmsKeyId": Field(),
        "skipDestroy": Field(bool, default=False, api=None),
        "logGroupClass": Field(computed=True, replaces=True),
        **TAGS,
        **REGION,
    }
    outputs = {"arn": ""}
    longest_name = 512
    identity = "{name}"
    key = {"logGroupName": "{id}"}
    missing = ("ResourceNotFoundException",)
    born = {"retentionInDays": 0}
    creates = Call("create_log_group")
    updates = (
        Call("associate_kms_key", when=("kmsKeyId",), otherwise="disassociate_kms_key"),
        Call("put_retention_policy", when=("retentionInDays",), otherwise="delete_retention_policy"),
    )
    deletes = Call("delete_log_group")
    tagging = Tagging(
        by={"resourceArn": "{arn}"}, tags="tags", keys="tagKeys", pairs=None, listed="list_tags_for_resource"
    )

    def require(self, operation: str, inputs: Values) -> None:
        """Refuse a key that CloudWatch may not use: it encrypts at once, so the key's policy has to allow it."""
        arn = inputs.get("kmsKeyId")
        if not arn or operation not in ("CreateLogGroup", "AssociateKmsKey"):
            return
        found = self.aws.find("kms", "describe_key", ["NotFoundException"], KeyId=arn)
        usable = found is not None and found["KeyMetadata"]["Enabled"] and arn.startswith("arn:")
        if usable:
            policy = self.aws.call("kms", "get_key_policy", KeyId=arn, PolicyName="default")["Policy"]
            usable = allows_service(policy, f"logs.{self.aws.region}.amazonaws.com")
        if not usable:
            group = self.aws.arn("logs", f"log-group:{inputs['name']}")
            message = f"The specified KMS key does not exist or is not allowed to be used with Arn '{group}'"
            raise self.refusal(operation, "AccessDeniedException", f"{message}: {arn}")

    def find(self, scope: Values) -> Values | None:
        groups = self.aws.list("logs", "describe_log_groups", "logGroups", logGroupNamePrefix=scope["id"])
        return next((group for group in groups if group["logGroupName"] == scope["id"]), None)

    def describe(self, scope: Values, found: Values) -> Values:
        state = super().describe(scope, found)
        return state | {
            "arn": found["arn"].removesuffix(":*"),
            "retentionInDays": state["retentionInDays"] or 0,
            "logGroupClass": state["logGroupClass"] or scope.get("logGroupClass") or "STANDARD",
        }

    def delete(self, identifier: str, state: Values) -> None:
        if not state.get("skipDestroy"):
            super().delete(identifier, state)


def get_log_groups(aws: Session, arguments: Values) -> Values:
    """The function getLogGroups: names and ARNs by a prefix."""
    prefix = arguments.get("logGroupNamePrefix")
    found = aws.list("logs", "describe_log_groups", "logGroups", logGroupNamePrefix=prefix)
    names, arns = [group["logGroupName"] for group in found], [group["arn"].removesuffix(":*") for group in found]
    return {**arguments, "id": aws.region, "region": aws.region, "logGroupNames": names, "arns": arns}


KINDS = (LogGroup,)
