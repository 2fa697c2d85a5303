"""AWS stand-in: container image repositories."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from standins.aws.documents import check_principals, is_json, kept_text, same_document
from standins.aws.kind import REGION, TAGS, AwsKind, autoname, changed, tag_dict, tag_list
from standins.aws.session import AwsError
from standins.aws.tagging import update_tags
from standins.provider import Property, Values

MISSING = ("RepositoryNotFoundException",)
NO_POLICY = (*MISSING, "RepositoryPolicyNotFoundException", "LifecyclePolicyNotFoundException")


class Repository(AwsKind):
    """A repository. Its name and its encryption are for ever."""

    token = "aws:ecr/repository:Repository"  # noqa: S105 - a type's name
    properties = {
        "encryptionConfigurations": Property(
            list,
            replaces=True,
            of={
                "encryptionType": Property(default="AES256", choices=("AES256", "KMS")),
                "kmsKey": Property(computed=True),
            },
        ),
        "forceDelete": Property(bool),
        "imageScanningConfiguration": Property(dict, of={"scanOnPush": Property(bool, required=True)}),
        "imageTagMutability": Property(
            default="MUTABLE",
            choices=("MUTABLE", "IMMUTABLE", "MUTABLE_WITH_EXCLUSION", "IMMUTABLE_WITH_EXCLUSION"),
        ),
        "imageTagMutabilityExclusionFilters": Property(
            list, of={"filter": Property(required=True), "filterType": Property(required=True, choices=("WILDCARD",))}
        ),
        "name": Property(replaces=True),
        **TAGS,
        **REGION,
    }
    outputs = ("arn", "registryId", "repositoryUrl")

    def check(self, name: str, inputs: Values, seed: bytes) -> Iterable[tuple[str, str]]:
        autoname(inputs, name, seed, most=256)
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

    def create(self, inputs: Values) -> tuple[str, Values]:
        encryption = next(iter(inputs.get("encryptionConfigurations") or []), None)
        if encryption and encryption.get("kmsKey"):
            self._check_key(encryption["kmsKey"])
        self.aws.call(
            "ecr",
            "create_repository",
            repositoryName=inputs["name"],
            encryptionConfiguration=encryption,
            imageScanningConfiguration=inputs.get("imageScanningConfiguration"),
            imageTagMutability=inputs["imageTagMutability"],
            imageTagMutabilityExclusionFilters=inputs.get("imageTagMutabilityExclusionFilters"),
            tags=tag_list(inputs["tagsAll"]),
        )
        return self.made(inputs["name"], inputs)

    def _check_key(self, key: str) -> None:
        """ECR asks KMS for a grant on the key; the emulator does not."""
        found = self.aws.find("kms", "describe_key", ("NotFoundException",), KeyId=key)
        if found is None or not found["KeyMetadata"]["Enabled"]:
            reason = f"The KMS key {key} does not exist, or is not enabled"
            raise AwsError("ecr.CreateRepository", "KmsException", reason)

    def read(self, identifier: str, state: Values) -> tuple[str, Values] | None:
        answer = self.aws.find("ecr", "describe_repositories", MISSING, repositoryNames=[identifier])
        if answer is None:
            return None
        one = answer["repositories"][0]
        tags = self.aws.call("ecr", "list_tags_for_resource", resourceArn=one["repositoryArn"])["tags"]
        encryption = one.get("encryptionConfiguration") or {"encryptionType": "AES256"}
        return identifier, {
            "arn": one["repositoryArn"],
            "encryptionConfigurations": [encryption],
            "forceDelete": state.get("forceDelete"),
            "imageScanningConfiguration": one.get("imageScanningConfiguration"),
            "imageTagMutability": one["imageTagMutability"],
            "imageTagMutabilityExclusionFilters": one.get("imageTagMutabilityExclusionFilters") or [],
            "name": one["repositoryName"],
            "region": self.aws.region,
            "registryId": one["registryId"],
            "repositoryUrl": one["repositoryUri"],
            **self.tag_state(tag_dict(tags), state),
        }

    def update(self, identifier: str, state: Values, inputs: Values) -> Values:
        if changed(self, state, inputs, "imageTagMutability", "imageTagMutabilityExclusionFilters"):
            self.aws.call(
                "ecr",
                "put_image_tag_mutability",
                repositoryName=identifier,
                imageTagMutability=inputs["imageTagMutability"],
                imageTagMutabilityExclusionFilters=inputs.get("imageTagMutabilityExclusionFilters"),
            )
        if changed(self, state, inputs, "imageScanningConfiguration"):
            scanning = inputs.get("imageScanningConfiguration") or {"scanOnPush": False}
            method = "put_image_scanning_configuration"
            self.aws.call("ecr", method, repositoryName=identifier, imageScanningConfiguration=scanning)
        update_tags(self.aws, "ecr", state["arn"], state["tagsAll"], inputs["tagsAll"], as_list=True)
        return self.made(identifier, inputs)[1]

    def delete(self, identifier: str, state: Values) -> None:
        force = bool(state.get("forceDelete"))
        self.aws.find("ecr", "delete_repository", MISSING, repositoryName=identifier, force=force)


def _types(configurations: Any) -> list[Any]:
    return [one.get("encryptionType", "AES256") for one in configurations]


class RepositoryPolicy(AwsKind):
    """Who may use a repository."""

    token = "aws:ecr/repositoryPolicy:RepositoryPolicy"  # noqa: S105 - a type's name
    properties = {
        "policy": Property(required=True),
        "repository": Property(required=True, replaces=True),
        **REGION,
    }
    outputs = ("registryId",)

    def check(self, name: str, inputs: Values, seed: bytes) -> Iterable[tuple[str, str]]:
        if reason := is_json(inputs.get("policy")):
            yield "policy", reason

    def same(self, name: str, old: Any, new: Any) -> bool:
        return name == "policy" and same_document(old, new)

    def create(self, inputs: Values) -> tuple[str, Values]:
        self._put(inputs)
        return self.made(inputs["repository"], inputs)

    def _put(self, inputs: Values) -> None:
        repository, policy = inputs["repository"], inputs["policy"]
        check_principals(self.aws, "ecr.SetRepositoryPolicy", policy, "InvalidParameterException")
        self.aws.call("ecr", "set_repository_policy", repositoryName=repository, policyText=policy)

    def read(self, identifier: str, state: Values) -> tuple[str, Values] | None:
        answer = self.aws.find("ecr", "get_repository_policy", NO_POLICY, repositoryName=identifier)
        if answer is None:
            return None
        policy = kept_text(answer["policyText"], state.get("policy"))
        return identifier, {
            "policy": policy,
            "region": self.aws.region,
            "registryId": answer["registryId"],
            "repository": answer["repositoryName"],
        }

    def update(self, identifier: str, state: Values, inputs: Values) -> Values:
        self._put(inputs)
        return self.made(identifier, inputs)[1]

    def delete(self, identifier: str, state: Values) -> None:
        self.aws.find("ecr", "delete_repository_policy", NO_POLICY, repositoryName=identifier)


class LifecyclePolicy(AwsKind):
    """Which images a repository deletes by itself."""

    token = "aws:ecr/lifecyclePolicy:LifecyclePolicy"  # noqa: S105 - a type's name
    # A policy has no identity of its own: deleting the old one after the new one was put would delete that.
    properties = {
        "policy": Property(required=True, replaces=True),
        "repository": Property(required=True, replaces=True),
        **REGION,
    }
    outputs = ("registryId",)
    delete_before_replace = True

    def check(self, name: str, inputs: Values, seed: bytes) -> Iterable[tuple[str, str]]:
        policy = inputs.get("policy")
        if reason := is_json(policy):
            yield "policy", reason
        elif isinstance(policy, str):
            yield from (("policy", reason) for reason in _rule_mistakes(json.loads(policy).get("rules")))

    def same(self, name: str, old: Any, new: Any) -> bool:
        return name == "policy" and same_document(old, new)

    def create(self, inputs: Values) -> tuple[str, Values]:
        repository, policy = inputs["repository"], inputs["policy"]
        self.aws.call("ecr", "put_lifecycle_policy", repositoryName=repository, lifecyclePolicyText=policy)
        return self.made(repository, inputs)

    def read(self, identifier: str, state: Values) -> tuple[str, Values] | None:
        answer = self.aws.find("ecr", "get_lifecycle_policy", NO_POLICY, repositoryName=identifier)
        if answer is None:
            return None
        policy = kept_text(answer["lifecyclePolicyText"], state.get("policy"))
        return identifier, {
            "policy": policy,
            "region": self.aws.region,
            "registryId": answer["registryId"],
            "repository": answer["repositoryName"],
        }

    def delete(self, identifier: str, state: Values) -> None:
        self.aws.find("ecr", "delete_lifecycle_policy", NO_POLICY, repositoryName=identifier)


def _rule_mistakes(rules: Any) -> Iterable[str]:
    """What ECR refuses about the rules; the emulator checks their form only."""
    if not isinstance(rules, list) or not rules:
        yield "has no rules"
        return
    priorities = [rule.get("rulePriority") for rule in rules]
    if len(set(priorities)) < len(priorities):
        yield f"two rules have the same rulePriority: {priorities}"
    for rule in rules:
        selection = rule.get("selection", {})
        lists = {"tagPrefixList", "tagPatternList"} & {key for key, value in selection.items() if value}
        if selection.get("tagStatus") == "tagged" and len(lists) != 1:
            yield f"rule {rule.get('rulePriority')}: tagged needs one of tagPrefixList and tagPatternList"
        if selection.get("tagStatus") == "any" and rule.get("rulePriority") != max(priorities):
            yield f"rule {rule.get('rulePriority')}: a rule for any image has to be the last one"


KINDS = (Repository, RepositoryPolicy, LifecyclePolicy)
