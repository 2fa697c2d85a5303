"""AWS stand-in: log groups of CloudWatch."""

from __future__ import annotations

from collections.abc import Iterable

from standins.aws.kind import REGION, TAGS, AwsKind, autoname, changed, tag_changes
from standins.aws.kms import allows_service
from standins.aws.session import AwsError
from standins.provider import Property, Values

_MISSING = ["ResourceNotFoundException"]
_DAYS = (0, 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653)


class LogGroup(AwsKind):
    """A group of logs, which are kept for the same time and encrypted with the same key."""

    token = "aws:cloudwatch/logGroup:LogGroup"  # noqa: S105 - a type's name
    properties = {
        "name": Property(computed=True, replaces=True),
        "retentionInDays": Property(int, default=0, choices=_DAYS),
        "kmsKeyId": Property(),
        "skipDestroy": Property(bool, default=False),
        "logGroupClass": Property(computed=True, replaces=True),
        **TAGS,
        **REGION,
    }
    outputs = ("arn", "region")

    def check(self, name: str, inputs: Values, seed: bytes) -> Iterable[tuple[str, str]]:
        autoname(inputs, name, seed, most=512)
        yield from super().check(name, inputs, seed)

    def create(self, inputs: Values) -> tuple[str, Values]:
        self._require_key("logs.CreateLogGroup", inputs)
        name = inputs["name"]
        self.aws.call(
            "logs",
            "create_log_group",
            logGroupName=name,
            kmsKeyId=inputs.get("kmsKeyId"),
            logGroupClass=inputs.get("logGroupClass"),
            tags=inputs["tagsAll"] or None,
        )
        self._keep(name, {}, inputs)
        return self.made(name, inputs)

    def _require_key(self, operation: str, inputs: Values) -> None:
        """CloudWatch encrypts with the key at once, so the key's policy has to let it."""
        arn = inputs.get("kmsKeyId")
        if not arn:
            return
        found = self.aws.find("kms", "describe_key", ["NotFoundException"], KeyId=arn)
        usable = found is not None and found["KeyMetadata"]["Enabled"] and arn.startswith("arn:")
        if usable:
            policy = self.aws.call("kms", "get_key_policy", KeyId=arn, PolicyName="default")["Policy"]
            usable = allows_service(policy, f"logs.{self.aws.region}.amazonaws.com")
        if not usable:
            group = self.aws.arn("logs", f"log-group:{inputs['name']}")
            message = f"The specified KMS key does not exist or is not allowed to be used with Arn '{group}'"
            raise AwsError(operation, "AccessDeniedException", f"{message}: {arn}")

    def _keep(self, name: str, state: Values, inputs: Values) -> None:
        if changed(self, state, inputs, "retentionInDays"):
            days = inputs["retentionInDays"]
            if days:
                self.aws.call("logs", "put_retention_policy", logGroupName=name, retentionInDays=days)
            else:
                self.aws.call("logs", "delete_retention_policy", logGroupName=name)

    def _find(self, name: str) -> Values | None:
        groups = self.aws.list("logs", "describe_log_groups", "logGroups", logGroupNamePrefix=name)
        return next((group for group in groups if group["logGroupName"] == name), None)

    def read(self, identifier: str, state: Values) -> tuple[str, Values] | None:
        found = self._find(identifier)
        if found is None:
            return None
        arn = found["arn"].removesuffix(":*")
        return identifier, {
            "name": identifier,
            "retentionInDays": found.get("retentionInDays", 0),
            "kmsKeyId": found.get("kmsKeyId"),
            "skipDestroy": state.get("skipDestroy", False),
            "logGroupClass": found.get("logGroupClass") or state.get("logGroupClass") or "STANDARD",
            "arn": arn,
            "region": self.aws.region,
            **self.tag_state(self.aws.call("logs", "list_tags_for_resource", resourceArn=arn)["tags"], state),
        }

    def update(self, identifier: str, state: Values, inputs: Values) -> Values:
        if changed(self, state, inputs, "kmsKeyId"):
            self._require_key("logs.AssociateKmsKey", inputs)
            if inputs.get("kmsKeyId"):
                self.aws.call("logs", "associate_kms_key", logGroupName=identifier, kmsKeyId=inputs["kmsKeyId"])
            else:
                self.aws.call("logs", "disassociate_kms_key", logGroupName=identifier)
        self._keep(identifier, state, inputs)
        gone, new = tag_changes(state["tagsAll"], inputs["tagsAll"])
        if gone:
            self.aws.call("logs", "untag_resource", resourceArn=state["arn"], tagKeys=gone)
        if new:
            self.aws.call("logs", "tag_resource", resourceArn=state["arn"], tags=new)
        return self.made(identifier, inputs)[1]

    def delete(self, identifier: str, state: Values) -> None:
        if not state.get("skipDestroy"):
            self.aws.find("logs", "delete_log_group", _MISSING, logGroupName=identifier)


KINDS = (LogGroup,)
