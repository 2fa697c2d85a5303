"""AWS stand-in: roles, policies and identity providers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from standins.aws.documents import (
    INLINE_LIMIT,
    MANAGED_LIMIT,
    NO_SUCH_ENTITY,
    TRUST_LIMIT,
    check_principals,
    check_size,
    is_json,
    kept_text,
    same_document,
)
from standins.aws.kind import TAGS, AwsKind, autoname, changed, tag_changes, tag_dict, tag_list
from standins.aws.session import AwsError
from standins.provider import Property, RefusedError, Values

_UNSUPPORTED = Property(unsupported=True)
MAX_VERSIONS = 5
"""Of a managed policy."""


class Role(AwsKind):
    """A role. Its name and path are for ever."""

    token = "aws:iam/role:Role"  # noqa: S105 - a type's name
    properties = {
        "assumeRolePolicy": Property(required=True),
        "description": Property(),
        "forceDetachPolicies": Property(bool, default=False),
        "maxSessionDuration": Property(int, default=3600),
        "name": Property(replaces=True),
        "namePrefix": _UNSUPPORTED,
        "path": Property(default="/", replaces=True),
        "permissionsBoundary": Property(),
        "inlinePolicies": Property(list, computed=True, unsupported=True),
        "managedPolicyArns": Property(list, computed=True, unsupported=True),
        **TAGS,
    }
    outputs = ("arn", "createDate", "uniqueId")

    def check(self, name: str, inputs: Values, seed: bytes) -> Iterable[tuple[str, str]]:
        autoname(inputs, name, seed, most=64)
        yield from super().check(name, inputs, seed)
        if reason := is_json(inputs.get("assumeRolePolicy")):
            yield "assumeRolePolicy", reason

    def same(self, name: str, old: Any, new: Any) -> bool:
        return name == "assumeRolePolicy" and same_document(old, new)

    def create(self, inputs: Values) -> tuple[str, Values]:
        self._check_references("iam.CreateRole", inputs)
        self.aws.call(
            "iam",
            "create_role",
            RoleName=inputs["name"],
            Path=inputs["path"],
            AssumeRolePolicyDocument=inputs["assumeRolePolicy"],
            Description=inputs.get("description"),
            MaxSessionDuration=inputs["maxSessionDuration"],
            PermissionsBoundary=inputs.get("permissionsBoundary"),
            Tags=tag_list(inputs["tagsAll"]),
        )
        return self.made(inputs["name"], inputs)

    def _check_references(self, operation: str, inputs: Values) -> None:
        check_size(operation, inputs["assumeRolePolicy"], TRUST_LIMIT, "ACLSizePerRole")
        check_principals(self.aws, operation, inputs["assumeRolePolicy"])
        boundary = inputs.get("permissionsBoundary")
        if boundary and self.aws.find("iam", "get_policy", NO_SUCH_ENTITY, PolicyArn=boundary) is None:
            reason = f"Scope ARN: {boundary} does not exist or is not attachable."
            raise AwsError(operation, "NoSuchEntity", reason)

    def read(self, identifier: str, state: Values) -> tuple[str, Values] | None:
        answer = self.aws.find("iam", "get_role", NO_SUCH_ENTITY, RoleName=identifier)
        if answer is None:
            return None
        role = answer["Role"]
        return identifier, {
            "forceDetachPolicies": state.get("forceDetachPolicies", False),
            "arn": role["Arn"],
            "assumeRolePolicy": kept_text(role["AssumeRolePolicyDocument"], state.get("assumeRolePolicy")),
            "createDate": role["CreateDate"].strftime("%Y-%m-%dT%H:%M:%SZ"),
            "description": role.get("Description", ""),
            "inlinePolicies": [],
            "managedPolicyArns": self._attached(identifier),
            "maxSessionDuration": role["MaxSessionDuration"],
            "name": role["RoleName"],
            "path": role["Path"],
            "permissionsBoundary": role.get("PermissionsBoundary", {}).get("PermissionsBoundaryArn", ""),
            "uniqueId": role["RoleId"],
            **self.tag_state(tag_dict(role.get("Tags")), state),
        }

    def _attached(self, name: str) -> list[str]:
        policies = self.aws.list("iam", "list_attached_role_policies", "AttachedPolicies", RoleName=name)
        return sorted(policy["PolicyArn"] for policy in policies)

    def update(self, identifier: str, state: Values, inputs: Values) -> Values:
        self._check_references("iam.UpdateRole", inputs)
        if changed(self, state, inputs, "assumeRolePolicy"):
            document = inputs["assumeRolePolicy"]
            self.aws.call("iam", "update_assume_role_policy", RoleName=identifier, PolicyDocument=document)
        if changed(self, state, inputs, "description", "maxSessionDuration"):
            self.aws.call(
                "iam",
                "update_role",
                RoleName=identifier,
                Description=inputs.get("description", ""),
                MaxSessionDuration=inputs["maxSessionDuration"],
            )
        if changed(self, state, inputs, "permissionsBoundary"):
            if inputs.get("permissionsBoundary"):
                boundary = inputs["permissionsBoundary"]
                self.aws.call("iam", "put_role_permissions_boundary", RoleName=identifier, PermissionsBoundary=boundary)
            else:
                self.aws.call("iam", "delete_role_permissions_boundary", RoleName=identifier)
        gone, added = tag_changes(state["tagsAll"], inputs["tagsAll"])
        if gone:
            self.aws.call("iam", "untag_role", RoleName=identifier, TagKeys=gone)
        if added:
            self.aws.call("iam", "tag_role", RoleName=identifier, Tags=tag_list(added))
        return self.made(identifier, inputs)[1]

    def delete(self, identifier: str, state: Values) -> None:
        if state.get("forceDetachPolicies") and self.read(identifier, state):
            for arn in self._attached(identifier):
                self.aws.call("iam", "detach_role_policy", RoleName=identifier, PolicyArn=arn)
            for name in self.aws.list("iam", "list_role_policies", "PolicyNames", RoleName=identifier):
                self.aws.call("iam", "delete_role_policy", RoleName=identifier, PolicyName=name)
        self.aws.find("iam", "delete_role", NO_SUCH_ENTITY, RoleName=identifier)


class RolePolicy(AwsKind):
    """A policy that is part of a role."""

    token = "aws:iam/rolePolicy:RolePolicy"  # noqa: S105 - a type's name
    properties = {
        "name": Property(replaces=True),
        "namePrefix": _UNSUPPORTED,
        "policy": Property(required=True),
        "role": Property(required=True, replaces=True),
    }

    def check(self, name: str, inputs: Values, seed: bytes) -> Iterable[tuple[str, str]]:
        autoname(inputs, name, seed, most=128)
        if reason := is_json(inputs.get("policy")):
            yield "policy", reason

    def same(self, name: str, old: Any, new: Any) -> bool:
        return name == "policy" and same_document(old, new)

    def create(self, inputs: Values) -> tuple[str, Values]:
        self._put(inputs)
        return self.made(f"{inputs['role']}:{inputs['name']}", inputs)

    def _put(self, inputs: Values) -> None:
        check_size("iam.PutRolePolicy", inputs["policy"], INLINE_LIMIT, "PolicySizePerRole")
        self.aws.call(
            "iam",
            "put_role_policy",
            RoleName=inputs["role"],
            PolicyName=inputs["name"],
            PolicyDocument=inputs["policy"],
        )

    def read(self, identifier: str, state: Values) -> tuple[str, Values] | None:
        role, _, name = identifier.partition(":")
        answer = self.aws.find("iam", "get_role_policy", NO_SUCH_ENTITY, RoleName=role, PolicyName=name)
        if answer is None:
            return None
        policy = kept_text(answer["PolicyDocument"], state.get("policy"))
        return identifier, {"name": answer["PolicyName"], "policy": policy, "role": answer["RoleName"]}

    def update(self, identifier: str, state: Values, inputs: Values) -> Values:
        self._put(inputs)
        return self.made(identifier, inputs)[1]

    def delete(self, identifier: str, state: Values) -> None:
        role, _, name = identifier.partition(":")
        self.aws.find("iam", "delete_role_policy", NO_SUCH_ENTITY, RoleName=role, PolicyName=name)


class RolePolicyAttachment(AwsKind):
    """A managed policy at a role."""

    token = "aws:iam/rolePolicyAttachment:RolePolicyAttachment"  # noqa: S105 - a type's name
    properties = {
        "policyArn": Property(required=True, replaces=True),
        "role": Property(required=True, replaces=True),
    }

    def create(self, inputs: Values) -> tuple[str, Values]:
        role, arn = inputs["role"], inputs["policyArn"]
        self.aws.call("iam", "attach_role_policy", RoleName=role, PolicyArn=arn)
        return self.made(f"{role}/{arn}", inputs)

    def read(self, identifier: str, state: Values) -> tuple[str, Values] | None:
        role, _, arn = identifier.partition("/")
        if self.aws.find("iam", "get_role", NO_SUCH_ENTITY, RoleName=role) is None:
            return None
        policies = self.aws.list("iam", "list_attached_role_policies", "AttachedPolicies", RoleName=role)
        if arn not in [policy["PolicyArn"] for policy in policies]:
            return None
        return identifier, {"policyArn": arn, "role": role}

    def delete(self, identifier: str, state: Values) -> None:
        role, _, arn = identifier.partition("/")
        self.aws.find("iam", "detach_role_policy", NO_SUCH_ENTITY, RoleName=role, PolicyArn=arn)


class Policy(AwsKind):
    """A managed policy of the account's own: a changed document is a new version, of which AWS keeps five."""

    token = "aws:iam/policy:Policy"  # noqa: S105 - a type's name
    properties = {
        "delayAfterPolicyCreationInMs": _UNSUPPORTED,
        "description": Property(replaces=True),
        "name": Property(replaces=True),
        "namePrefix": _UNSUPPORTED,
        "path": Property(default="/", replaces=True),
        "policy": Property(required=True),
        **TAGS,
    }
    outputs = ("arn", "attachmentCount", "policyId")

    def check(self, name: str, inputs: Values, seed: bytes) -> Iterable[tuple[str, str]]:
        autoname(inputs, name, seed, most=128)
        yield from super().check(name, inputs, seed)
        if reason := is_json(inputs.get("policy")):
            yield "policy", reason

    def same(self, name: str, old: Any, new: Any) -> bool:
        return name == "policy" and same_document(old, new)

    def create(self, inputs: Values) -> tuple[str, Values]:
        check_size("iam.CreatePolicy", inputs["policy"], MANAGED_LIMIT, "PolicySize")
        answer = self.aws.call(
            "iam",
            "create_policy",
            PolicyName=inputs["name"],
            Path=inputs["path"],
            PolicyDocument=inputs["policy"],
            Description=inputs.get("description"),
            Tags=tag_list(inputs["tagsAll"]),
        )
        return self.made(answer["Policy"]["Arn"], inputs)

    def read(self, identifier: str, state: Values) -> tuple[str, Values] | None:
        answer = self.aws.find("iam", "get_policy", NO_SUCH_ENTITY, PolicyArn=identifier)
        if answer is None:
            return None
        policy = answer["Policy"]
        version = self.aws.call(
            "iam", "get_policy_version", PolicyArn=identifier, VersionId=policy["DefaultVersionId"]
        )["PolicyVersion"]
        tags = self.aws.list("iam", "list_policy_tags", "Tags", PolicyArn=identifier)
        return identifier, {
            "arn": policy["Arn"],
            "attachmentCount": policy["AttachmentCount"],
            "description": policy.get("Description", ""),
            "name": policy["PolicyName"],
            "path": policy["Path"],
            "policy": kept_text(version["Document"], state.get("policy")),
            "policyId": policy["PolicyId"],
            **self.tag_state(tag_dict(tags), state),
        }

    def update(self, identifier: str, state: Values, inputs: Values) -> Values:
        if changed(self, state, inputs, "policy"):
            check_size("iam.CreatePolicyVersion", inputs["policy"], MANAGED_LIMIT, "PolicySize")
            old = self._other_versions(identifier)
            if len(old) + 1 >= MAX_VERSIONS:
                oldest = min(old, key=lambda version: int(version.removeprefix("v")))
                self.aws.call("iam", "delete_policy_version", PolicyArn=identifier, VersionId=oldest)
            self.aws.call(
                "iam",
                "create_policy_version",
                PolicyArn=identifier,
                PolicyDocument=inputs["policy"],
                SetAsDefault=True,
            )
        gone, added = tag_changes(state["tagsAll"], inputs["tagsAll"])
        if gone:
            self.aws.call("iam", "untag_policy", PolicyArn=identifier, TagKeys=gone)
        if added:
            self.aws.call("iam", "tag_policy", PolicyArn=identifier, Tags=tag_list(added))
        return self.made(identifier, inputs)[1]

    def _other_versions(self, arn: str) -> list[str]:
        versions = self.aws.list("iam", "list_policy_versions", "Versions", PolicyArn=arn)
        return [version["VersionId"] for version in versions if not version["IsDefaultVersion"]]

    def delete(self, identifier: str, state: Values) -> None:
        answer = self.aws.find("iam", "get_policy", NO_SUCH_ENTITY, PolicyArn=identifier)
        if answer is None:
            return
        for version in self._other_versions(identifier):
            self.aws.call("iam", "delete_policy_version", PolicyArn=identifier, VersionId=version)
        if answer["Policy"]["AttachmentCount"]:  # which the emulator does not look at
            reason = "Cannot delete a policy attached to entities."
            raise AwsError("iam.DeletePolicy", "DeleteConflict", reason)
        self.aws.call("iam", "delete_policy", PolicyArn=identifier)


class OpenIdConnectProvider(AwsKind):
    """An issuer of tokens whose holders may take roles."""

    token = "aws:iam/openIdConnectProvider:OpenIdConnectProvider"  # noqa: S105 - a type's name
    properties = {
        "clientIdLists": Property(list, of=str, required=True, unordered=True),
        "thumbprintLists": Property(list, of=str, computed=True),
        "url": Property(required=True, replaces=True),
        **TAGS,
    }
    outputs = ("arn",)

    def check(self, name: str, inputs: Values, seed: bytes) -> Iterable[tuple[str, str]]:
        yield from super().check(name, inputs, seed)
        url = inputs.get("url")
        if isinstance(url, str) and not url.startswith("https://"):
            yield "url", f"expected {url!r} to begin with https://"

    def same(self, name: str, old: Any, new: Any) -> bool:
        return name == "url" and str(old).removeprefix("https://") == str(new).removeprefix("https://")

    def create(self, inputs: Values) -> tuple[str, Values]:
        answer = self.aws.call(
            "iam",
            "create_open_id_connect_provider",
            Url=inputs["url"],
            ClientIDList=inputs["clientIdLists"],
            ThumbprintList=inputs.get("thumbprintLists"),
            Tags=tag_list(inputs["tagsAll"]),
        )
        return self.made(answer["OpenIDConnectProviderArn"], inputs)

    def read(self, identifier: str, state: Values) -> tuple[str, Values] | None:
        method = "get_open_id_connect_provider"
        answer = self.aws.find("iam", method, NO_SUCH_ENTITY, OpenIDConnectProviderArn=identifier)
        if answer is None:
            return None
        return identifier, {
            "arn": identifier,
            "clientIdLists": answer["ClientIDList"],
            "thumbprintLists": answer["ThumbprintList"],
            "url": answer["Url"].removeprefix("https://"),
            **self.tag_state(tag_dict(answer.get("Tags")), state),
        }

    def update(self, identifier: str, state: Values, inputs: Values) -> Values:
        provider = {"OpenIDConnectProviderArn": identifier}
        if changed(self, state, inputs, "thumbprintLists"):
            method = "update_open_id_connect_provider_thumbprint"
            self.aws.call("iam", method, **provider, ThumbprintList=inputs["thumbprintLists"])
        if changed(self, state, inputs, "clientIdLists"):
            raise RefusedError("the emulator of AWS can't change clientIdLists: destroy the provider and make it anew")
        gone, added = tag_changes(state["tagsAll"], inputs["tagsAll"])
        if gone:
            self.aws.call("iam", "untag_open_id_connect_provider", **provider, TagKeys=gone)
        if added:
            self.aws.call("iam", "tag_open_id_connect_provider", **provider, Tags=tag_list(added))
        return self.made(identifier, inputs)[1]

    def delete(self, identifier: str, state: Values) -> None:
        method = "delete_open_id_connect_provider"
        self.aws.find("iam", method, NO_SUCH_ENTITY, OpenIDConnectProviderArn=identifier)


KINDS = (Role, RolePolicy, RolePolicyAttachment, Policy, OpenIdConnectProvider)
