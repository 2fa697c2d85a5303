"""The CloudFormation template for an empty account: roles, their permissions, and the state bucket."""

from __future__ import annotations

import fnmatch
import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import parliament
import pytest

from tests.cloudformation import Template
from tests.iam_lint import findings

TEMPLATE = Path(__file__).resolve().parents[2] / "pipeline" / "bootstrap.yaml"
ACCOUNT, REGION = "123456789012", "eu-west-1"
GITHUB = f"arn:aws:iam::{ACCOUNT}:oidc-provider/token.actions.githubusercontent.com"
PULUMI = f"arn:aws:iam::{ACCOUNT}:oidc-provider/api.pulumi.com/oidc"
SUBJECT = "token.actions.githubusercontent.com:sub"
ROLES = ("preview", "drift", "deploy")

Statement = Mapping[str, Any]


class Account:
    """The resources of the template, for given parameters."""

    def __init__(self, **parameters: str) -> None:
        pseudo = {"AWS::AccountId": ACCOUNT, "AWS::Region": REGION, "AWS::Partition": "aws"}
        self.template = Template(TEMPLATE, pseudo, **{"GitHubRepository": "acme/platform", **parameters})
        self.roles = {item["RoleName"]: item for item in self.template.of_type("AWS::IAM::Role").values()}

    def trust(self, role: str) -> Sequence[Statement]:
        return self.roles[f"saas-in-eks-{role}"]["AssumeRolePolicyDocument"]["Statement"]

    def permissions(self, role: str) -> Sequence[Statement]:
        """Every statement that the role has, attached and inline."""
        properties = self.roles[f"saas-in-eks-{role}"]
        attached = [self.policies()[arn.rpartition("/")[2]] for arn in properties["ManagedPolicyArns"]]
        inline = [item["PolicyDocument"] for item in properties.get("Policies", [])]
        return [statement for document in [*attached, *inline] for statement in document["Statement"]]

    def policies(self) -> Mapping[str, Mapping[str, Any]]:
        own = self.template.of_type("AWS::IAM::ManagedPolicy").values()
        return {item["ManagedPolicyName"]: item["PolicyDocument"] for item in own}


def in_cloud() -> Account:
    return Account(PulumiOrganization="acme")


def in_s3() -> Account:
    return Account(StateInS3="yes")


@pytest.fixture(params=[in_cloud, in_s3])
def account(request: pytest.FixtureRequest) -> Account:
    """Both ways to keep the state."""
    return request.param()


@cache
def _any_of(patterns: tuple[str, ...]) -> re.Pattern[str]:
    """Matches an action, in lower case, that one of IAM's patterns matches."""
    return re.compile("|".join(fnmatch.translate(pattern.lower()) for pattern in patterns) or r"(?!)")


@cache
def _reference() -> Mapping[str, Mapping[str, Any]]:
    """Every action of AWS by its name, as parliament knows it."""
    services = json.loads((Path(parliament.__file__).parent / "iam_definition.json").read_text())
    return {f"{item['prefix']}:{action['privilege']}": action for item in services for action in item["privileges"]}


def allowed(statements: Sequence[Statement], action: str) -> bool:
    """Whether a role with these statements may do this to some resource, conditions met."""

    def matches(statement: Statement) -> bool:
        listed = statement.get("Action") or []
        patterns = [listed] if isinstance(listed, str) else listed
        return _any_of(tuple(patterns)).match(action.lower()) is not None

    denied = any(s["Effect"] == "Deny" and s.get("Resource") == "*" and matches(s) for s in statements)
    return not denied and any(s["Effect"] == "Allow" and matches(s) for s in statements)


UNUSED = {
    # Flow logs of ECS clusters.
    "ecs:ListClusters",
    "ecs:ListContainerInstances",
    "ecs:ListServices",
    "ecs:ListTaskDefinitions",
    "ecs:ListTasks",
    # Launch templates that name their image by an SSM parameter; EKS chooses the nodes' image.
    "ssm:GetParameters",
}
"""Dependent actions for features that the stack does not use."""


def dependent_actions(statements: Sequence[Statement]) -> Mapping[str, set[str]]:
    """Allowed action -> its dependent actions in AWS' reference."""
    return {
        name: {needed for kind in action["resource_types"] for needed in kind["dependent_actions"]}
        for name, action in _reference().items()
        if allowed(statements, name)
    }


def test_dependent_actions_of_the_deploy_role_are_allowed(account: Account) -> None:
    statements = account.permissions("deploy")
    boundary = account.policies()["saas-in-eks-deploy-boundary"]["Statement"]
    needed = dependent_actions(statements)
    assert "route53:AssociateVPCWithHostedZone" in needed["ec2:CreateVpcEndpoint"]
    everything = {item for others in needed.values() for item in others}
    assert {item for item in everything if not (allowed(statements, item) and allowed(boundary, item))} == UNUSED


def test_cognito_may_create_its_service_linked_role_for_ses(account: Account) -> None:
    (making,) = [item for item in account.permissions("deploy") if item["Action"] == ["iam:CreateServiceLinkedRole"]]
    assert "email.cognito-idp.amazonaws.com" in making["Condition"]["StringEquals"]["iam:AWSServiceName"]


def test_every_policy_passes_the_linter(account: Account) -> None:
    # What a preview reads are settings of anything in the account; and a boundary is wide by its nature.
    wide = {"saas-in-eks-look", "saas-in-eks-deploy-network", "saas-in-eks-deploy-boundary"}
    for name, document in account.policies().items():
        found = [item for item in findings(json.dumps(document)) if name not in wide or "RESOURCE_STAR" not in item]
        assert found == [], name


def test_no_policy_exceeds_iams_size_limit_with_the_longest_names() -> None:
    account = Account(Project="p" * 25, Stack="s" * 25, Cluster="c" * 30, StateInS3="yes")
    for name, document in account.policies().items():
        assert len(json.dumps(document, separators=(",", ":"))) <= 6144, name


def test_each_role_is_assumed_from_a_single_github_environment(account: Account) -> None:
    for role, environment in {"preview": "prod-eu-preview", "drift": "prod-eu-drift", "deploy": "prod-eu"}.items():
        conditions = [item["Condition"] for item in account.trust(role) if item["Principal"]["Federated"] == GITHUB]
        assert [item["StringEquals"][SUBJECT] for item in conditions] == [
            f"repo:acme/platform:environment:{environment}"
        ]
        assert all(item["StringEquals"]["token.actions.githubusercontent.com:aud"] for item in conditions)


def test_every_trust_names_an_audience_and_a_subject_without_wildcards(account: Account) -> None:
    for role in ROLES:
        for statement in account.trust(role):
            assert set(statement["Condition"]) == {"StringEquals"}
            claims = {key.rpartition(":")[2]: value for key, value in statement["Condition"]["StringEquals"].items()}
            assert set(claims) == {"aud", "sub"}
            assert "*" not in json.dumps(claims)


def test_pulumi_cloud_deploys_but_neither_previews_nor_destroys() -> None:
    account = in_cloud()
    trusted = [item for item in account.trust("deploy") if item["Principal"]["Federated"] == PULUMI]
    subjects = json.dumps([item["Condition"]["StringEquals"]["api.pulumi.com/oidc:sub"] for item in trusted])
    assert ":operation:update:" in subjects
    assert ":operation:preview:" not in subjects
    assert ":operation:destroy:" not in subjects
    assert not any(item["Principal"]["Federated"] == PULUMI for item in account.trust("preview"))
    assert not any(item["Principal"]["Federated"] == PULUMI for item in in_s3().trust("deploy"))


@pytest.mark.parametrize("role", ["preview", "drift"])
def test_reading_roles_may_only_describe_get_and_list(account: Account, role: str) -> None:
    reading = ("Describe", "Get", "List")
    for statement in account.permissions(role):
        if statement["Effect"] == "Allow":
            others = [item for item in statement["Action"] if not item.partition(":")[2].startswith(reading)]
            # Reading a state is decrypting its secrets.
            assert others in ([], ["kms:Decrypt"])
            assert others == [] or "*" not in statement["Resource"]


@pytest.mark.parametrize(
    "secret",
    [
        "secretsmanager:GetSecretValue",
        "ssm:GetParameter",
        "ssm:GetParametersByPath",
        "cognito-idp:DescribeUserPoolClient",
        "logs:GetLogEvents",
        "ecr:BatchGetImage",
        "ec2:DescribeInstanceAttribute",
        "sts:AssumeRole",
    ],
)
def test_a_preview_reads_no_secret_even_with_administrator_access(account: Account, secret: str) -> None:
    administrator = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    assert allowed([administrator], secret)
    assert not allowed([administrator, *account.permissions("preview")], secret)


def test_each_role_is_allowed_its_own_actions(account: Account) -> None:
    for role in ROLES:
        assert allowed(account.permissions(role), "eks:DescribeCluster")
    assert allowed(account.permissions("drift"), "cognito-idp:DescribeUserPoolClient")
    for action in ("ec2:CreateVpc", "eks:CreateCluster", "ecr:CreateRepository", "cognito-idp:CreateUserPool"):
        assert allowed(account.permissions("deploy"), action)
        assert not allowed(account.permissions("preview"), action)
        assert not allowed(account.permissions("drift"), action)


def test_the_boundary_keeps_the_deploy_role_from_users_and_from_itself(account: Account) -> None:
    boundary = account.roles["saas-in-eks-deploy"]["PermissionsBoundary"]
    assert boundary == f"arn:aws:iam::{ACCOUNT}:policy/saas-in-eks-deploy-boundary"
    statements = account.policies()["saas-in-eks-deploy-boundary"]["Statement"]
    everything = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    for action in ("iam:CreateUser", "iam:CreateAccessKey", "iam:AddUserToGroup", "iam:CreateLoginProfile"):
        assert not allowed([everything, *statements], action)
    (itself,) = [item for item in statements if item.get("Sid") == "NotItself"]
    names = [arn.partition(f":{ACCOUNT}:")[2] for arn in itself["Resource"]]
    own = [f"role/saas-in-eks-{role}" for role in ROLES] + [f"policy/{name}" for name in account.policies()]
    assert [item for item in own if not any(fnmatch.fnmatchcase(item, name) for name in names)] == []


def test_the_deploy_role_cannot_give_a_role_administrator_access(account: Account) -> None:
    attaching = [item for item in account.permissions("deploy") if "iam:AttachRolePolicy" in item["Action"]]
    assert attaching != []
    for statement in attaching:
        ((_, condition),) = statement["Condition"].items()
        if "iam:PermissionsBoundary" in condition:
            # A tenant's role; what it may do at most is the boundary's affair.
            assert condition["iam:PermissionsBoundary"].endswith(":policy/saas-in-eks-prod-eu-tenant-boundary")
        else:
            for powerful in ("AdministratorAccess", "IAMFullAccess", "PowerUserAccess"):
                arn = f"arn:aws:iam::aws:policy/{powerful}"
                assert not any(fnmatch.fnmatchcase(arn, pattern) for pattern in condition["iam:PolicyARN"])


def test_a_state_in_s3_is_encrypted_versioned_private_and_retained() -> None:
    template = in_s3().template
    name = f"saas-in-eks-state-{ACCOUNT}"
    assert template.outputs["StateUrl"] == f"s3://{name}?region={REGION}"
    assert template.outputs["SecretsProvider"] == f"awskms:///alias/saas-in-eks-state?region={REGION}"
    (bucket,) = template.of_type("AWS::S3::Bucket").values()
    assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
    (rule,) = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert rule["ServerSideEncryptionByDefault"]["KMSMasterKeyID"] == template.arn("StateKey")
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    (key,) = template.of_type("AWS::KMS::Key").values()
    assert key["EnableKeyRotation"]
    for kept in ("StateBucket", "StateKey"):
        assert template.resources[kept]["DeletionPolicy"] == template.resources[kept]["UpdateReplacePolicy"] == "Retain"


def test_the_deploy_role_uses_the_states_key_and_cannot_change_it() -> None:
    account = in_s3()
    boundary = account.policies()["saas-in-eks-deploy-boundary"]["Statement"]
    key = account.template.arn("StateKey")
    (kept,) = [item for item in boundary if item["Effect"] == "Deny" and key in item["Resource"]]
    assert not {"kms:TagResource", "kms:PutKeyPolicy", "kms:ScheduleKeyDeletion"} & set(kept["NotAction"])
    assert "kms:Decrypt" in kept["NotAction"]


def test_resources_for_s3_or_pulumi_cloud_exist_only_where_used() -> None:
    assert "StateUrl" not in in_cloud().template.outputs
    assert set(in_cloud().template.of_type("AWS::S3::Bucket")) == set()
    assert set(in_s3().template.of_type("AWS::IAM::OIDCProvider")) == {"GitHubIdentity"}


def test_existing_identity_providers_are_used() -> None:
    account = Account(GitHubIdentityProvider=GITHUB, PulumiOrganization="acme", PulumiIdentityProvider=PULUMI)
    assert set(account.template.of_type("AWS::IAM::OIDCProvider")) == set()
    assert {item["Principal"]["Federated"] for item in account.trust("deploy")} == {GITHUB, PULUMI}
