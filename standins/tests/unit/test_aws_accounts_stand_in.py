"""The stand-in for pulumi-resource-aws: roles, images and users, on the platform's emulator."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Any

import pytest

from standins.aws.cognito import UserPool
from standins.aws.session import Session
from standins.tests.unit.aws_emulator import allow, emulator, trust
from standins.tests.unit.aws_stand_in import Plugin, State

ROLE, POLICY, INLINE = "iam/role:Role", "iam/policy:Policy", "iam/rolePolicy:RolePolicy"
ATTACHMENT, ISSUER = (
    "iam/rolePolicyAttachment:RolePolicyAttachment",
    "iam/openIdConnectProvider:OpenIdConnectProvider",
)
REPOSITORY, READERS, EXPIRY = (
    "ecr/repository:Repository",
    "ecr/repositoryPolicy:RepositoryPolicy",
    "ecr/lifecyclePolicy:LifecyclePolicy",
)
POOL, DOMAIN, CLIENT = (
    "cognito/userPool:UserPool",
    "cognito/userPoolDomain:UserPoolDomain",
    "cognito/userPoolClient:UserPoolClient",
)
SERVER, GROUP = "cognito/resourceServer:ResourceServer", "cognito/userGroup:UserGroup"
MANIFEST = json.dumps(
    {
        "schemaVersion": 2,
        "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
        "config": {
            "mediaType": "application/vnd.docker.container.image.v1+json",
            "size": 1,
            "digest": f"sha256:{'a' * 64}",
        },
        "layers": [],
    }
)
TAGS = [*enumerate([*(f"*1.{minor}.0" for minor in range(48)), "1.0.0", "a/b", "1.0.0"], 1)]
names = (f"it-{number}" for number in itertools.count(1))


@pytest.fixture(scope="module")
def plugin() -> Iterator[Plugin]:
    with emulator():
        yield Plugin(defaultTags={"tags": {"Project": "saas"}})


@pytest.fixture
def role(plugin: Plugin) -> tuple[str, State]:
    return plugin.create(ROLE, name=next(names), assumeRolePolicy=trust("ec2.amazonaws.com"))


def test_a_role_with_policies_is_not_deleted(plugin: Plugin, role: tuple[str, State]) -> None:
    identifier, policy = plugin.create(POLICY, name=next(names), policy=allow("s3:GetObject"))
    attached, attachment = plugin.create(ATTACHMENT, role=role[0], policyArn=identifier)
    assert "DeleteConflict" in plugin.refusal("delete", ROLE, *role)
    assert "DeleteConflict" in plugin.refusal("delete", POLICY, identifier, policy)
    plugin.delete(ATTACHMENT, attached, attachment)
    plugin.delete(ROLE, *role)
    plugin.delete(POLICY, identifier, policy)
    assert plugin.read(ROLE, *role)[0] == ""


def test_a_role_that_is_forced_loses_its_policies(plugin: Plugin) -> None:
    forced = {"name": next(names), "assumeRolePolicy": trust("ec2.amazonaws.com"), "forceDetachPolicies": True}
    identifier, state = plugin.create(ROLE, **forced)
    plugin.create(INLINE, role=identifier, policy=allow("s3:GetObject"))
    plugin.delete(ROLE, identifier, state)
    assert plugin.read(ROLE, identifier, state)[0] == ""


@pytest.mark.parametrize(
    ("kind", "change", "code"),
    [
        (ROLE, {"permissionsBoundary": "arn:aws:iam::123456789012:policy/missing"}, "NoSuchEntity: Scope ARN"),
        (ROLE, {"maxSessionDuration": 60}, "3600"),
        (ATTACHMENT, {"policyArn": "arn:aws:iam::123456789012:policy/missing"}, "NoSuchEntity"),
        (ATTACHMENT, {"role": "missing", "policyArn": "arn:aws:iam::123456789012:policy/x"}, "NoSuchEntity"),
    ],
)
def test_a_wrong_reference_has_the_code_of_iam(
    plugin: Plugin, role: tuple[str, State], kind: str, change: State, code: str
) -> None:
    right = {"assumeRolePolicy": trust("ec2.amazonaws.com")} if kind == ROLE else {"role": role[0]}
    assert code in plugin.refusal("create", kind, **right | change)


def test_a_trust_policy_names_only_who_exists(plugin: Plugin) -> None:
    document = json.loads(trust("ec2.amazonaws.com"))
    document["Statement"][0]["Principal"] = {"AWS": "arn:aws:iam::123456789012:role/missing"}
    refused = plugin.refusal("create", ROLE, assumeRolePolicy=json.dumps(document))
    assert 'MalformedPolicyDocument: Invalid principal in policy: "AWS"' in refused


def test_a_trust_policy_is_compared_by_its_meaning(plugin: Plugin, role: tuple[str, State]) -> None:
    policy = json.loads(trust("ec2.amazonaws.com"))
    policy["Statement"][0]["Principal"]["Service"] = ["ec2.amazonaws.com"]
    inputs: State = {"name": role[0], "assumeRolePolicy": json.dumps(policy, indent=2)}
    assert plugin.diff(ROLE, role[1], **inputs) == ([], [])
    assert plugin.diff(ROLE, role[1], **inputs | {"assumeRolePolicy": trust("eks.amazonaws.com")})[1] == []
    assert plugin.diff(ROLE, role[1], **inputs | {"path": "/other/"})[1] == ["path"]


def test_a_policy_keeps_five_versions(plugin: Plugin) -> None:
    inputs: State = {"name": next(names), "policy": allow("s3:GetObject")}
    identifier, state = plugin.create(POLICY, **inputs)
    for number in range(6):
        inputs["policy"] = allow(f"s3:Get{number}")
        state = plugin.update(POLICY, identifier, state, **inputs)
    assert "s3:Get5" in state["policy"]
    assert "s3:Get5" in plugin.read(POLICY, identifier)[1]["policy"]
    plugin.delete(POLICY, identifier, state)


def test_a_policy_has_a_limit(plugin: Plugin) -> None:
    assert "LimitExceeded" in plugin.refusal("create", POLICY, policy=allow("s3:" + "a" * 6200))


def test_an_issuer_is_known_by_its_url(plugin: Plugin) -> None:
    inputs: State = {"url": "https://oidc.example.com/id/1", "clientIdLists": ["sts.amazonaws.com"]}
    identifier, state = plugin.create(ISSUER, **inputs, thumbprintLists=["a" * 40])
    assert plugin.diff(ISSUER, state, **inputs) == ([], [])
    plugin.delete(ISSUER, identifier, state)


def repository(**more: Any) -> State:
    return {
        "name": f"prod/{next(names)}",
        "imageTagMutability": "IMMUTABLE_WITH_EXCLUSION",
        "imageTagMutabilityExclusionFilters": [{"filter": "dev-*", "filterType": "WILDCARD"}],
        "imageScanningConfiguration": {"scanOnPush": True},
        **more,
    }


def test_a_repository_with_images_is_deleted_only_by_force(plugin: Plugin) -> None:
    identifier, state = plugin.create(REPOSITORY, **repository())
    emulated = Session()
    emulated.open_from_environment("eu-west-1")
    emulated.call("ecr", "put_image", repositoryName=identifier, imageManifest=MANIFEST, imageTag="1.0.0")
    assert "RepositoryNotEmptyException" in plugin.refusal("delete", REPOSITORY, identifier, state)
    plugin.delete(REPOSITORY, identifier, {**state, "forceDelete": True})
    assert plugin.read(REPOSITORY, identifier, state)[0] == ""


def test_a_repository_is_encrypted_with_a_key_that_exists(plugin: Plugin) -> None:
    key = "arn:aws:kms:eu-west-1:123456789012:key/00000000-0000-0000-0000-000000000000"
    wrong = repository(encryptionConfigurations=[{"encryptionType": "KMS", "kmsKey": key}])
    assert "KmsException" in plugin.refusal("create", REPOSITORY, **wrong)
    _, right = plugin.create("kms/key:Key")
    encrypted = repository(encryptionConfigurations=[{"encryptionType": "KMS", "kmsKey": right["arn"]}])
    identifier, state = plugin.create(REPOSITORY, **encrypted)
    assert plugin.diff(REPOSITORY, state, **encrypted) == ([], [])
    plain = encrypted | {"encryptionConfigurations": [{"encryptionType": "AES256"}]}
    assert plugin.diff(REPOSITORY, state, **plain)[1] == ["encryptionConfigurations"]
    plugin.delete(REPOSITORY, identifier, state)


def test_filters_go_with_mutability_that_excludes(plugin: Plugin) -> None:
    assert plugin.failures(REPOSITORY, imageTagMutability="IMMUTABLE_WITH_EXCLUSION")
    assert plugin.failures(REPOSITORY, **repository(imageTagMutability="IMMUTABLE"))


def test_a_repositorys_policies_are_compared_by_their_meaning(plugin: Plugin, role: tuple[str, State]) -> None:
    identifier, _ = plugin.create(REPOSITORY, **repository())
    statement = {"Effect": "Allow", "Principal": {"AWS": [role[1]["arn"]]}, "Action": ["ecr:BatchGetImage"]}
    policy = {"Version": "2012-10-17", "Statement": [statement]}
    _, readers = plugin.create(READERS, repository=identifier, policy=json.dumps(policy))
    assert plugin.diff(READERS, readers, repository=identifier, policy=json.dumps(policy, indent=1)) == ([], [])
    statement["Principal"] = {"AWS": "arn:aws:iam::123456789012:role/missing"}
    refused = plugin.refusal("create", READERS, repository=identifier, policy=json.dumps(policy))
    assert "InvalidParameterException: Invalid principal" in refused


def test_rules_of_expiry_are_checked(plugin: Plugin) -> None:
    rule = {
        "rulePriority": 1,
        "selection": {"tagStatus": "tagged", "countType": "imageCountMoreThan", "countNumber": 1},
        "action": {"type": "expire"},
    }
    found = plugin.failures(EXPIRY, repository="x", policy=json.dumps({"rules": [rule, rule]}))
    assert [reason for _, reason in found if "same rulePriority" in reason]
    assert [reason for _, reason in found if "tagPatternList" in reason]
    kept = [{**rule, "rulePriority": n, "selection": {**rule["selection"], "tagPatternList": [tag]}} for n, tag in TAGS]
    found = plugin.failures(EXPIRY, repository="x", policy=json.dumps({"rules": kept}))
    assert [reason for _, reason in found] == [
        "51 rules, of which ECR takes 50 at most",
        "two rules have the tag pattern 1.0.0",
        "'a/b' is no tag pattern: it takes what tags have, and 4 * at most",
    ]
    assert not plugin.failures(EXPIRY, repository="x", policy=json.dumps({"rules": kept[:49]}))


ATTRIBUTE = {
    "name": "tenantID",
    "attributeDataType": "String",
    "stringAttributeConstraints": {"minLength": "2", "maxLength": "63"},
}


def pool_inputs(**more: Any) -> State:
    return {
        "name": next(names),
        "usernameAttributes": ["email"],
        "usernameConfiguration": {"caseSensitive": False},
        "mfaConfiguration": "OPTIONAL",
        "softwareTokenMfaConfiguration": {"enabled": True},
        "passwordPolicy": {"minimumLength": 14, "requireNumbers": True},
        "schemas": [ATTRIBUTE],
        **more,
    }


@pytest.fixture
def pool(plugin: Plugin) -> Iterator[tuple[str, State]]:
    identifier, state = plugin.create(POOL, **pool_inputs())
    yield identifier, state
    plugin.delete(POOL, identifier, state)


def test_a_protected_pool_is_not_deleted(plugin: Plugin) -> None:
    inputs = pool_inputs(deletionProtection="ACTIVE")
    identifier, state = plugin.create(POOL, **inputs)
    assert "deletion protection is activated" in plugin.refusal("delete", POOL, identifier, state)
    inputs["deletionProtection"] = "INACTIVE"
    state = plugin.update(POOL, identifier, state, **inputs)
    plugin.delete(POOL, identifier, state)


def test_reading_a_pool_shows_no_change(plugin: Plugin, pool: tuple[str, State]) -> None:
    assert plugin.read(POOL, *pool) == pool
    assert plugin.diff(POOL, pool[1], **pool_inputs(name=pool[1]["name"])) == ([], [])


def test_a_pools_attributes_can_only_be_added(plugin: Plugin, pool: tuple[str, State]) -> None:
    plan = {**ATTRIBUTE, "name": "plan", "mutable": True}
    more = pool_inputs(name=pool[1]["name"], schemas=[ATTRIBUTE, plan])
    assert plugin.diff(POOL, pool[1], **more) == (["schemas"], [])
    state = plugin.update(POOL, *pool, **more)
    assert [item["name"] for item in state["schemas"]] == ["tenantID", "plan"]
    fewer = plugin.refusal("update", POOL, pool[0], state, **pool_inputs(name=pool[1]["name"]))
    assert "cannot modify or remove schema items" in fewer


def test_the_order_of_an_attributes_properties_does_not_matter() -> None:
    limits = {"minLength": "2", "maxLength": "63"}
    other_order = {**ATTRIBUTE, "stringAttributeConstraints": dict(reversed(limits.items()))}
    assert list(other_order["stringAttributeConstraints"]) != list(limits)
    assert UserPool(Session()).same("schemas", [{**ATTRIBUTE}], [other_order])


def test_an_update_of_a_pool_leaves_immutable_settings_alone(plugin: Plugin, pool: tuple[str, State]) -> None:
    state = plugin.update(POOL, *pool, **pool_inputs(name=pool[1]["name"], autoVerifiedAttributes=["email"]))
    assert state["usernameAttributes"] == ["email"]
    assert state["autoVerifiedAttributes"] == ["email"]


def test_threat_protection_needs_its_plan(plugin: Plugin) -> None:
    protection = {"advancedSecurityMode": "ENFORCED"}
    assert plugin.failures(POOL, **pool_inputs(userPoolAddOns=protection))
    assert not plugin.failures(POOL, **pool_inputs(userPoolAddOns=protection, userPoolTier="PLUS"))


def test_a_pool_with_a_domain_is_not_deleted(plugin: Plugin, pool: tuple[str, State]) -> None:
    identifier, domain = plugin.create(DOMAIN, domain=next(names), userPoolId=pool[0])
    assert "has a domain configured" in plugin.refusal("delete", POOL, *pool)
    plugin.delete(DOMAIN, identifier, domain)


def client_inputs(pool: str, **more: Any) -> State:
    return {
        "name": "app",
        "userPoolId": pool,
        "allowedOauthFlowsUserPoolClient": True,
        "allowedOauthFlows": ["code"],
        "allowedOauthScopes": ["openid", "saas/read"],
        "callbackUrls": ["https://app.example.com/callback"],
        "readAttributes": ["email", "custom:tenantID"],
        "accessTokenValidity": 30,
        "tokenValidityUnits": {"accessToken": "minutes"},
        **more,
    }


def test_a_client_asks_for_scopes_that_exist(plugin: Plugin, pool: tuple[str, State]) -> None:
    assert "Invalid scope requested: saas/read" in plugin.refusal("create", CLIENT, **client_inputs(pool[0]))
    scope = {"scopeName": "read", "scopeDescription": "Read"}
    plugin.create(SERVER, identifier="saas", name="saas", userPoolId=pool[0], scopes=[scope])
    identifier, client = plugin.create(CLIENT, **client_inputs(pool[0]))
    assert plugin.diff(CLIENT, client, **client_inputs(pool[0])) == ([], [])
    changed = plugin.update(CLIENT, identifier, client, **client_inputs(pool[0], accessTokenValidity=20))
    assert changed["accessTokenValidity"] == 20


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"allowedOauthScopes": ["openid"], "accessTokenValidity": 4}, "Invalid range for token validity"),
        ({"allowedOauthScopes": ["openid"], "readAttributes": ["custom:other"]}, "Invalid read attributes"),
        ({"allowedOauthScopes": ["openid"], "explicitAuthFlows": ["ALLOW_ALL"]}, "which has to be"),
        ({"userPoolId": "eu-west-1_missing"}, "ResourceNotFoundException"),
    ],
)
def test_a_wrong_client_is_refused(plugin: Plugin, pool: tuple[str, State], change: State, reason: str) -> None:
    assert reason in plugin.refusal("create", CLIENT, **client_inputs(pool[0], **change))


def test_refresh_tokens_rotate_on_the_plans_that_have_it(plugin: Plugin) -> None:
    identifier, _ = plugin.create(POOL, **pool_inputs(userPoolTier="LITE"))
    wanted = client_inputs(identifier, allowedOauthScopes=["openid"], explicitAuthFlows=["ALLOW_USER_SRP_AUTH"])
    rotation = {"feature": "ENABLED", "retryGracePeriodSeconds": 30}
    refused = plugin.refusal("create", CLIENT, **wanted, refreshTokenRotation=rotation)
    assert "FeatureUnavailableInTierException" in refused
    wanted["explicitAuthFlows"].append("ALLOW_REFRESH_TOKEN_AUTH")
    assert plugin.create(CLIENT, **wanted)[0]


def test_a_group_is_renamed_by_another(plugin: Plugin, pool: tuple[str, State]) -> None:
    _, group = plugin.create(GROUP, name="tenant-001", userPoolId=pool[0], description="One")
    other = {"userPoolId": pool[0], "description": "Other"}
    assert plugin.diff(GROUP, group, name="tenant-001", **other) == (["description"], [])
    assert plugin.diff(GROUP, group, name="tenant-002", **other)[1] == ["name"]
