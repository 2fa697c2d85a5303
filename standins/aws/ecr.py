"""ECR of the AWS stand-in: repositories for container images, and their policies."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

from standins.aws.engine import REGION, TAGS, AwsKind, Call, Field, Tagging
from standins.aws.policies import check_principals
from standins.provider import Values

MAX_RULES, MAX_WILDCARDS = 50, 4
"""Of a lifecycle policy, and of a pattern in it."""


class _Ecr(AwsKind):
    service = "ecr"
    capitals = False
    key = {"repositoryName": "{id}"}


class Repository(_Ecr):
    """A repository. Another name or encryption replaces it."""

    token = "aws:ecr/repository:Repository"  # noqa: S105 - a type's name
    properties = {
        "encryptionConfigurations": Field(
            list,
            replaces=True,
            single=True,
            api="encryptionConfiguration",
            of={
                "encryptionType": Field(default="AES256", choices=("AES256", "KMS")),
                "kmsKey": Field(computed=True),
            },
        ),
        "forceDelete": Field(bool, api=None),
        "imageScanningConfiguration": Field(dict, of={"scanOnPush": Field(bool, required=True)}),
        "imageTagMutability": Field(
            default="MUTABLE",
            choices=("MUTABLE", "IMMUTABLE", "MUTABLE_WITH_EXCLUSION", "IMMUTABLE_WITH_EXCLUSION"),
        ),
        "imageTagMutabilityExclusionFilters": Field(
            list, of={"filter": Field(required=True), "filterType": Field(required=True, choices=("WILDCARD",))}
        ),
        "name": Field(replaces=True, api="repositoryName"),
        **TAGS,
        **REGION,
    }
    outputs = {"arn": "repositoryArn", "registryId": "", "repositoryUrl": "repositoryUri"}
    longest_name = 256
    identity = "{name}"
    missing = ("RepositoryNotFoundException",)
    creates = Call("create_repository")
    reads = Call("describe_repositories", {"repositoryNames": ["{id}"]}, answer="repositories.0")
    updates = (
        Call("put_image_tag_mutability", when=("imageTagMutability", "imageTagMutabilityExclusionFilters")),
        Call("put_image_scanning_configuration", when=("imageScanningConfiguration",)),
    )
    deletes = Call("delete_repository", {"force": "{forceDelete}"})
    tagging = Tagging(by={"resourceArn": "{arn}"}, tags="tags", keys="tagKeys", listed="list_tags_for_resource")

    def check(self, name: str, inputs: Values, seed: bytes) -> Iterable[tuple[str, str]]:
        yield from super().check(name, inputs, seed)
        filters, kind = inputs.get("imageTagMutabilityExclusionFilters"), inputs.get("imageTagMutability")
        if isinstance(kind, str) and bool(filters) != kind.endswith("_WITH_EXCLUSION"):
            yield (
                "imageTagMutabilityExclusionFilters",
                "has to be given exactly where imageTagMutability is one of the ..._WITH_EXCLUSION",
            )

    def same(self, name: str, old: Any, new: Any) -> bool:
        plain = [{"encryptionType": "AES256"}]
        if name == "encryptionConfigurations":
            return _types(old or plain) == _types(new or plain) == ["AES256"]
        return name == "imageScanningConfiguration" and not (old or {}).get("scanOnPush") and not new

    def require(self, operation: str, inputs: Values) -> None:
        """Refuse a key that does not exist: ECR asks KMS for a grant on it."""
        key = next(iter(inputs.get("encryptionConfigurations") or []), {}).get("kmsKey")
        if not key or operation != "CreateRepository":
            return
        found = self.aws.find("kms", "describe_key", ("NotFoundException",), KeyId=key)
        if found is None or not found["KeyMetadata"]["Enabled"]:
            raise self.refusal(operation, "KmsException", f"The KMS key {key} does not exist, or is not enabled")

    def change(self, call: Call, scope: Values, inputs: Values) -> None:
        super().change(call, scope, {"imageScanningConfiguration": {"scanOnPush": False}, **inputs})


def _types(configurations: Any) -> list[Any]:
    return [configuration.get("encryptionType", "AES256") for configuration in configurations]


class _RepositoryDocument(_Ecr):
    """A policy that a repository has."""

    identity = "{repository}"
    outputs = {"registryId": ""}
    missing = (
        "RepositoryNotFoundException",
        "RepositoryPolicyNotFoundException",
        "LifecyclePolicyNotFoundException",
    )


class RepositoryPolicy(_RepositoryDocument):
    """The permissions on a repository."""

    token = "aws:ecr/repositoryPolicy:RepositoryPolicy"  # noqa: S105 - a type's name
    properties = {
        "policy": Field(required=True, api="policyText", document=True),
        "repository": Field(required=True, replaces=True, api="repositoryName"),
        **REGION,
    }
    creates = Call("set_repository_policy")
    reads = Call("get_repository_policy")
    updates = (Call("set_repository_policy", when=("policy",)),)
    deletes = Call("delete_repository_policy")

    def require(self, operation: str, inputs: Values) -> None:
        check_principals(self.aws, f"ecr.{operation}", inputs["policy"], "InvalidParameterException")


class LifecyclePolicy(_RepositoryDocument):
    """Rules by which a repository deletes images."""

    token = "aws:ecr/lifecyclePolicy:LifecyclePolicy"  # noqa: S105 - a type's name
    # A policy has no identity of its own: deleting the old one after the new one was put would delete that.
    properties = {
        "policy": Field(required=True, replaces=True, api="lifecyclePolicyText", document=True),
        "repository": Field(required=True, replaces=True, api="repositoryName"),
        **REGION,
    }
    delete_before_replace = True
    creates = Call("put_lifecycle_policy")
    reads = Call("get_lifecycle_policy")
    deletes = Call("delete_lifecycle_policy")

    def check(self, name: str, inputs: Values, seed: bytes) -> Iterable[tuple[str, str]]:
        mistakes = list(super().check(name, inputs, seed))
        yield from mistakes
        if isinstance(inputs.get("policy"), str) and not mistakes:
            yield from (("policy", reason) for reason in rule_mistakes(json.loads(inputs["policy"]).get("rules")))


def rule_mistakes(rules: Any) -> Iterable[str]:
    """Rules that ECR refuses; the emulator checks their form only."""
    if not isinstance(rules, list) or not rules:
        yield "has no rules"
        return
    priorities = [rule.get("rulePriority") for rule in rules]
    if len(set(priorities)) < len(priorities):
        yield f"two rules have the same rulePriority: {priorities}"
    if len(rules) > MAX_RULES:
        yield f"{len(rules)} rules, of which ECR takes {MAX_RULES} at most"
    patterns = [pattern for rule in rules for pattern in rule.get("selection", {}).get("tagPatternList") or ()]
    for pattern in sorted({pattern for pattern in patterns if patterns.count(pattern) > 1}):
        yield f"two rules have the tag pattern {pattern}"
    for pattern in patterns:
        if not re.fullmatch(r"[A-Za-z0-9._*-]{1,128}", pattern) or pattern.count("*") > MAX_WILDCARDS:
            yield f"{pattern!r} is no tag pattern: it takes what tags have, and {MAX_WILDCARDS} * at most"
    for rule in rules:
        selection = rule.get("selection", {})
        lists = {"tagPrefixList", "tagPatternList"} & {key for key, value in selection.items() if value}
        if selection.get("tagStatus") == "tagged" and len(lists) != 1:
            yield f"rule {rule.get('rulePriority')}: tagged needs one of tagPrefixList and tagPatternList"
        if selection.get("tagStatus") == "any" and rule.get("rulePriority") != max(priorities):
            yield f"rule {rule.get('rulePriority')}: a rule for any image has to be the last one"


KINDS = (Repository, RepositoryPolicy, LifecyclePolicy)
