"""IAM of the AWS stand-in: roles, policies and identity providers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from standins.aws.engine import TAGS, AwsKind, Call, Field, Tagging
from standins.aws.policies import (
    INLINE_LIMIT,
    MANAGED_LIMIT,
    NO_SUCH_ENTITY,
    TRUST_LIMIT,
    check_principals,
    check_size,
)
from standins.provider import RefusedError, Values

MAX_VERSIONS = 5
"""Of a managed policy."""


class _Iam(AwsKind):
    service = "iam"
    missing = NO_SUCH_ENTITY


class Role(_Iam):
    """A role."""

    token = "aws:iam/role:Role"  # noqa: S105 - a type's name
    properties = {
        "assumeRolePolicy": Field(required=True, api="AssumeRolePolicyDocument", document=True),
        "description": Field(),
        "forceDetachPolicies": Field(bool, default=False, api=None),
        "maxSessionDuration": Field(int, default=3600),
        "name": Field(replaces=True, api="RoleName"),
        "path": Field(default="/", replaces=True),
        "permissionsBoundary": Field(at="PermissionsBoundary.PermissionsBoundaryArn"),
        "inlinePolicies": Field(list, computed=True, unsupported=True),
        "managedPolicyArns": Field(list, computed=True, unsupported=True),
        **TAGS,
    }
    outputs = {"arn": "", "createDate": "", "uniqueId": "RoleId"}
    longest_name = 64
    identity = "{name}"
    key = {"RoleName": "{id}"}
    creates = Call("create_role")
    reads = Call("get_role", answer="Role")
    updates = (
        Call("update_assume_role_policy", when=("assumeRolePolicy",)),
        Call("update_role", when=("description", "maxSessionDuration")),
        Call(
            "put_role_permissions_boundary",
            when=("permissionsBoundary",),
            otherwise="delete_role_permissions_boundary",
        ),
    )
    deletes = Call("delete_role")
    tagging = Tagging("tag_role", "untag_role")

    def require(self, operation: str, inputs: Values) -> None:
        check_size(f"iam.{operation}", inputs["assumeRolePolicy"], TRUST_LIMIT, "ACLSizePerRole")
        check_principals(self.aws, f"iam.{operation}", inputs["assumeRolePolicy"])
        boundary = inputs.get("permissionsBoundary")
        if boundary and self.aws.find("iam", "get_policy", NO_SUCH_ENTITY, PolicyArn=boundary) is None:
            reason = f"Scope ARN: {boundary} does not exist or is not attachable."
            raise self.refusal(operation, "NoSuchEntity", reason)

    def change(self, call: Call, scope: Values, inputs: Values) -> None:
        if call.operation == "update_assume_role_policy":  # which has another name for it than creating
            self.call(call.operation, RoleName=scope["id"], PolicyDocument=inputs["assumeRolePolicy"])
        else:
            super().change(call, scope, {"description": "", **inputs})

    def describe(self, scope: Values, found: Values) -> Values:
        return super().describe(scope, found) | {"managedPolicyArns": _attached(self, scope["id"])}

    def refuse_delete(self, identifier: str, state: Values, found: Values) -> None:
        if state.get("forceDetachPolicies"):
            for arn in _attached(self, identifier):
                self.call("detach_role_policy", RoleName=identifier, PolicyArn=arn)
            for name in self.aws.list("iam", "list_role_policies", "PolicyNames", RoleName=identifier):
                self.call("delete_role_policy", RoleName=identifier, PolicyName=name)


def _attached(kind: AwsKind, role: str) -> list[str]:
    policies = kind.aws.list("iam", "list_attached_role_policies", "AttachedPolicies", RoleName=role)
    return sorted(policy["PolicyArn"] for policy in policies)


class RolePolicy(_Iam):
    """A policy that is part of a role."""

    token = "aws:iam/rolePolicy:RolePolicy"  # noqa: S105 - a type's name
    properties = {
        "name": Field(replaces=True, api="PolicyName"),
        "policy": Field(required=True, api="PolicyDocument", document=True),
        "role": Field(required=True, replaces=True, api="RoleName"),
    }
    longest_name = 128
    identity = "{role}:{name}"
    key = {"RoleName": "{role}", "PolicyName": "{name}"}
    creates = Call("put_role_policy")
    reads = Call("get_role_policy")
    updates = (Call("put_role_policy", when=("policy",)),)
    deletes = Call("delete_role_policy")

    def require(self, operation: str, inputs: Values) -> None:
        check_size("iam.PutRolePolicy", inputs["policy"], INLINE_LIMIT, "PolicySizePerRole")


class RolePolicyAttachment(_Iam):
    """A managed policy of a role."""

    token = "aws:iam/rolePolicyAttachment:RolePolicyAttachment"  # noqa: S105 - a type's name
    properties = {
        "policyArn": Field(required=True, replaces=True),
        "role": Field(required=True, replaces=True, api="RoleName"),
    }
    identity = "{role}/{policyArn}"
    key = {"RoleName": "{role}", "PolicyArn": "{policyArn}"}
    creates = Call("attach_role_policy")
    deletes = Call("detach_role_policy")

    def find(self, scope: Values) -> Values | None:
        role, arn = scope["role"], scope["policyArn"]
        if self.aws.find("iam", "get_role", self.missing, RoleName=role) is None or arn not in _attached(self, role):
            return None
        return {"RoleName": role, "PolicyArn": arn}


class Policy(_Iam):
    """A managed policy of the account's own: a changed document is a new version, of which AWS keeps five."""

    token = "aws:iam/policy:Policy"  # noqa: S105 - a type's name
    properties = {
        "description": Field(replaces=True),
        "name": Field(replaces=True, api="PolicyName"),
        "path": Field(default="/", replaces=True),
        "policy": Field(required=True, api="PolicyDocument", document=True),
        **TAGS,
    }
    outputs = {"arn": "", "attachmentCount": "", "policyId": ""}
    longest_name = 128
    key = {"PolicyArn": "{id}"}
    creates = Call("create_policy", answer="Policy.Arn")
    reads = Call("get_policy", answer="Policy")
    updates = (Call("create_policy_version", {"SetAsDefault": True}, when=("policy",)),)
    deletes = Call("delete_policy")
    tagging = Tagging("tag_policy", "untag_policy", listed="list_policy_tags")

    def require(self, operation: str, inputs: Values) -> None:
        check_size(f"iam.{operation}", inputs["policy"], MANAGED_LIMIT, "PolicySize")

    def change(self, call: Call, scope: Values, inputs: Values) -> None:
        old = self._other_versions(scope["id"])
        if len(old) + 1 >= MAX_VERSIONS:
            oldest = min(old, key=lambda version: int(version.removeprefix("v")))
            self.call("delete_policy_version", PolicyArn=scope["id"], VersionId=oldest)
        super().change(call, scope, inputs)

    def describe(self, scope: Values, found: Values) -> Values:
        where = {"PolicyArn": scope["id"], "VersionId": found["DefaultVersionId"]}
        version = self.call("get_policy_version", **where)["PolicyVersion"]
        return super().describe(scope, {**found, "PolicyDocument": version["Document"]})

    def _other_versions(self, arn: str) -> list[str]:
        versions = self.aws.list("iam", "list_policy_versions", "Versions", PolicyArn=arn)
        return [version["VersionId"] for version in versions if not version["IsDefaultVersion"]]

    def refuse_delete(self, identifier: str, state: Values, found: Values) -> None:
        for version in self._other_versions(identifier):
            self.call("delete_policy_version", PolicyArn=identifier, VersionId=version)
        if found["AttachmentCount"]:  # which the emulator does not look at
            raise self.refusal("DeletePolicy", "DeleteConflict", "Cannot delete a policy attached to entities.")


class OpenIdConnectProvider(_Iam):
    """An issuer of tokens whose holders may take roles."""

    token = "aws:iam/openIdConnectProvider:OpenIdConnectProvider"  # noqa: S105 - a type's name
    properties = {
        "clientIdLists": Field(list, of=str, required=True, unordered=True, api="ClientIDList"),
        "thumbprintLists": Field(list, of=str, computed=True, api="ThumbprintList"),
        "url": Field(required=True, replaces=True),
        **TAGS,
    }
    outputs = {"arn": ""}
    key = {"OpenIDConnectProviderArn": "{id}"}
    creates = Call("create_open_id_connect_provider", answer="OpenIDConnectProviderArn")
    reads = Call("get_open_id_connect_provider")
    updates = (
        Call("update_open_id_connect_provider_thumbprint", when=("thumbprintLists",)),
        Call("add_client_id_to_open_id_connect_provider", when=("clientIdLists",)),
    )
    deletes = Call("delete_open_id_connect_provider")
    tagging = Tagging("tag_open_id_connect_provider", "untag_open_id_connect_provider")

    def check(self, name: str, inputs: Values, seed: bytes) -> Iterable[tuple[str, str]]:
        yield from super().check(name, inputs, seed)
        url = inputs.get("url")
        if isinstance(url, str) and not url.startswith("https://"):
            yield "url", f"expected {url!r} to begin with https://"

    def same(self, name: str, old: Any, new: Any) -> bool:
        return name == "url" and str(old).removeprefix("https://") == str(new).removeprefix("https://")

    def require(self, operation: str, inputs: Values) -> None:
        if operation == "AddClientIdToOpenIdConnectProvider":
            raise RefusedError(
                "the emulator of AWS can't change clientIdLists: destroy the provider and create it anew"
            )

    def describe(self, scope: Values, found: Values) -> Values:
        return super().describe(scope, found) | {"arn": scope["id"], "url": found["Url"].removeprefix("https://")}


KINDS = (Role, RolePolicy, RolePolicyAttachment, Policy, OpenIdConnectProvider)
