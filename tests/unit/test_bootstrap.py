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
from moto.iam.aws_managed_policies import aws_managed_policies_data

from model.iam.boundary import boundary
from model.iam.documents import allow, document, key_policy
from tests.cloudformation import Template
from tests.iam_decisions import Attempt, Session
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

    # Parameters that AWS publishes are no secrets: a denial that spares them counts as one for all others.
    denied = any(
        s["Effect"] == "Deny" and (s.get("Resource") == "*" or _spares_aws(s)) and matches(s) for s in statements
    )
    return not denied and any(s["Effect"] == "Allow" and matches(s) for s in statements)


def _spares_aws(statement: Statement) -> bool:
    return statement.get("NotResource") == [f"arn:aws:ssm:{REGION}:*:parameter/aws/service/*"]


def explicit(statements: Sequence[Statement]) -> set[str]:
    """The allowed actions that change something."""
    actions = {action for item in statements if item["Effect"] == "Allow" for action in item["Action"]}
    reading = ("Describe", "Get", "List")
    return {action for action in actions if not action.partition(":")[2].startswith(reading)}


ADMINISTRATORS_ONLY = {
    *("backup:DeleteBackupVaultLockConfiguration", "backup:DeleteRecoveryPoint"),
    *("s3:DeleteBucket", "s3:DeleteBucketPolicy", "s3:DeleteObjectVersion", "s3:ListBucketVersions"),
}
"""Calls of a destroy that the deploy role must not make."""

UNREHEARSED = {
    # What AWS' services do in the name of the role, or check when it makes something with tags.
    *("backup-storage:MountCapsule", "ec2:RunInstances", "route53:AssociateVPCWithHostedZone"),
    *("iam:CreateServiceLinkedRole", "iam:PassRole", "kms:CreateGrant", "kms:Decrypt", "kms:GenerateDataKey"),
    "kms:RetireGrant",
    *(f"{service}:TagResource" for service in ("backup", "cloudwatch", "cognito-idp", "ecr", "eks", "events")),
    *(f"{service}:TagResource" for service in ("guardduty", "kms", "logs", "sns")),
    *("elasticloadbalancing:AddTags", "iam:TagRole"),
    # Tags that change.
    *("apigateway:PUT", "elasticloadbalancing:RemoveTags"),
    *(f"{service}:UntagResource" for service in ("backup", "cloudwatch", "cognito-idp", "ecr", "eks", "events")),
    *(f"{service}:UntagResource" for service in ("kms", "logs", "sns")),
    *("ec2:DeleteTags", "iam:UntagRole"),
    # Settings that a rehearsal does not change.
    *("backup:UpdateBackupPlan", "cognito-idp:AddCustomAttributes", "cognito-idp:UpdateGroup"),
    *("cognito-idp:UpdateResourceServer", "cognito-idp:UpdateUserPoolClient", "cognito-idp:UpdateUserPoolDomain"),
    *("ec2:CreateLaunchTemplateVersion", "ec2:DeleteLaunchTemplateVersions", "ec2:ModifyLaunchTemplate"),
    *("ec2:ModifySecurityGroupRules", "ec2:ModifySubnetAttribute", "ec2:ModifyVpcEndpoint", "ec2:ReplaceRoute"),
    "ec2:ReplaceRouteTableAssociation",
    *("ec2:UpdateSecurityGroupRuleDescriptionsIngress", "ecr:PutImageScanningConfiguration"),
    *("ecr:PutImageTagMutability", "eks:UpdateAccessEntry", "eks:UpdateAddon", "eks:UpdatePodIdentityAssociation"),
    *("apigateway:PATCH", "elasticloadbalancing:ModifyListener", "elasticloadbalancing:ModifyLoadBalancerAttributes"),
    *("elasticloadbalancing:ModifyTargetGroup", "elasticloadbalancing:ModifyTargetGroupAttributes"),
    *("elasticloadbalancing:SetSecurityGroups", "elasticloadbalancing:SetSubnets"),
    *("iam:PutRolePermissionsBoundary", "iam:UpdateAssumeRolePolicy", "iam:UpdateRole", "iam:UpdateRoleDescription"),
    *("kms:PutKeyPolicy", "kms:UpdateAlias", "kms:UpdateKeyDescription"),
    *("logs:DeleteRetentionPolicy", "logs:DisassociateKmsKey"),
    # Parts that prod-eu does not have: threat detection, managed login pages.
    *("guardduty:CreateDetector", "guardduty:DeleteDetector", "guardduty:UpdateDetector"),
    *("cognito-idp:CreateManagedLoginBranding", "cognito-idp:DeleteManagedLoginBranding"),
    "cognito-idp:UpdateManagedLoginBranding",
}
"""Actions of the deploy role that a rehearsal does not call, by the reason."""


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
    wide = {f"saas-in-eks-{name}" for name in ("look", "deploy-network", "deploy-boundary", "deploy-operation")}
    wide |= {"saas-in-eks-prod-eu-platform-boundary"}
    # Its boundary denies what it could allow itself by the policy of the bucket for backups.
    known = {"saas-in-eks-deploy-operation": "RESOURCE_POLICY_PRIVILEGE_ESCALATION"}
    for name, policy in account.policies().items():
        found = [item for item in findings(json.dumps(policy)) if name not in wide or "RESOURCE_STAR" not in item]
        found = [item for item in found if not item.startswith(known.get(name, "-"))]
        assert found == [], name


def test_no_policy_exceeds_iams_size_limit_with_the_longest_names() -> None:
    account = Account(Project="p" * 25, Stack="s" * 25, Cluster="c" * 30, StateInS3="yes")
    for name, policy in account.policies().items():
        assert len(json.dumps(policy, separators=(",", ":"))) <= 6144, name


def test_cloudformation_takes_the_template_without_a_bucket_for_it() -> None:
    assert len(TEMPLATE.read_bytes()) <= 51_200


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
            # Reading a state is decrypting its secrets. API Gateway's actions are the methods of HTTP.
            assert others in ([], ["kms:Decrypt"], ["apigateway:GET"])
            assert others == [] or "*" not in statement["Resource"]


@pytest.mark.parametrize(
    "secret",
    [
        "secretsmanager:GetSecretValue",
        "ssm:GetParameters",
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


def test_a_preview_reads_parameters_of_aws_only(account: Account) -> None:
    for statement in account.permissions("preview"):
        if "ssm:GetParameter" in statement["Action"]:
            assert statement["Resource"] == [f"arn:aws:ssm:{REGION}:*:parameter/aws/service/eks/*"]
    assert [_spares_aws(item) for item in account.permissions("preview") if "ssm:GetParameter*" in item["Action"]] == [
        True
    ]


def test_the_deploy_role_can_neither_unlock_nor_delete_backups(account: Account) -> None:
    everything = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    statements = account.policies()["saas-in-eks-deploy-boundary"]["Statement"]
    for action in ("backup:DeleteBackupVaultLockConfiguration", "backup:DeleteRecoveryPoint"):
        assert not allowed([everything, *statements], action)
    assert allowed([everything, *statements], "backup:PutBackupVaultLockConfiguration")


def test_the_deploy_role_adds_files_to_the_bucket_of_backups_and_changes_no_other_bucket() -> None:
    own, state = f"arn:aws:s3:::saas-in-eks-prod-eu-backups-{ACCOUNT}", f"arn:aws:s3:::saas-in-eks-state-{ACCOUNT}"
    account = in_s3()
    role, administrator = deploy_role(account), document(allow(["*"], ["*"]))
    boundary = account.policies()["saas-in-eks-deploy-boundary"]
    made = [Attempt("s3:CreateBucket", own), Attempt("s3:PutBucketPolicy", own), Attempt("s3:PutObject", f"{own}/x")]
    assert set(role.decisions(*made)) == {"Allowed"}
    unread = [Attempt("s3:GetObject", f"{own}/tenant=acme/1.json"), Attempt("s3:DeleteObject", f"{own}/x")]
    assert "Allowed" not in role.decisions(*unread)
    refused = [
        *(Attempt(action, state) for action in ("s3:PutBucketPolicy", "s3:PutEncryptionConfiguration")),
        Attempt("s3:PutBucketVersioning", "arn:aws:s3:::acme-data"),
        *(
            Attempt(action, own)
            for action in ("s3:DeleteBucket", "s3:DeleteBucketPolicy", "s3:PutLifecycleConfiguration")
        ),
        *(Attempt(action, f"{own}/x") for action in ("s3:DeleteObjectVersion", "s3:BypassGovernanceRetention")),
        *(Attempt(action, f"{own}/x") for action in ("s3:GetObject", "s3:GetObjectVersion", "s3:DeleteObject")),
    ]
    even_with_all_policies = Session([administrator], json.dumps(boundary), {})
    assert set(even_with_all_policies.decisions(*refused)) == {"ExplicitlyDenied"}
    assert set(Session([administrator], None, {}).decisions(*refused)) == {"Allowed"}


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


ROLE = f"arn:aws:iam::{ACCOUNT}:role/saas-in-eks-prod-eu-node"
BOUNDARIES = [f"arn:aws:iam::{ACCOUNT}:policy/saas-in-eks-prod-eu-{name}-boundary" for name in ("platform", "tenants")]


def deploy_role(account: Account) -> Session:
    """The deploy role with its boundary."""
    everything = {"Version": "2012-10-17", "Statement": account.permissions("deploy")}
    boundary = account.policies()["saas-in-eks-deploy-boundary"]
    return Session([json.dumps(everything)], json.dumps(boundary), {})


@pytest.mark.parametrize(
    "action", ["iam:CreateRole", "iam:PutRolePolicy", "iam:AttachRolePolicy", "iam:PutRolePermissionsBoundary"]
)
def test_the_deploy_role_gives_rights_only_to_roles_with_a_boundary(action: str) -> None:
    """Otherwise it could make a role with any policy, which any account may assume."""
    administrator = {"iam:PolicyARN": "arn:aws:iam::aws:policy/AdministratorAccess"}
    context = administrator if action == "iam:AttachRolePolicy" else {}
    of_their_own = f"arn:aws:iam::{ACCOUNT}:policy/saas-in-eks-prod-eu-of-their-own"
    attempts = [
        Attempt(action, ROLE, {**context, **boundary})
        for boundary in (
            {},
            {"iam:PermissionsBoundary": of_their_own},
            *({"iam:PermissionsBoundary": arn} for arn in BOUNDARIES),
        )
    ]
    assert deploy_role(in_cloud()).decisions(*attempts) == [
        "ImplicitlyDenied",
        "ImplicitlyDenied",
        "Allowed",
        "Allowed",
    ]


def test_the_deploy_role_changes_no_boundary_and_no_role_of_others() -> None:
    within = {"iam:PermissionsBoundary": BOUNDARIES[0]}
    refused = [
        *(Attempt("iam:CreatePolicyVersion", arn) for arn in BOUNDARIES),
        *(Attempt("iam:DeletePolicy", arn) for arn in BOUNDARIES),
        Attempt("iam:DeleteRolePermissionsBoundary", ROLE),
        # The control plane's role too has the stack's prefix, rather than the cluster's name.
        Attempt("iam:CreateRole", f"arn:aws:iam::{ACCOUNT}:role/prod-eu-eksRole-role", within),
        Attempt(
            "iam:PassRole", f"arn:aws:iam::{ACCOUNT}:role/administrator", {"iam:PassedToService": "ec2.amazonaws.com"}
        ),
        Attempt(
            "iam:CreateOpenIDConnectProvider",
            f"arn:aws:iam::{ACCOUNT}:oidc-provider/oidc.eks.{REGION}.amazonaws.com/id/A",
        ),
    ]
    assert "Allowed" not in deploy_role(in_cloud()).decisions(*refused)


def test_a_role_within_the_platform_boundary_gets_no_further_rights_and_no_data() -> None:
    boundary = in_s3().policies()["saas-in-eks-prod-eu-platform-boundary"]
    wide = document(allow(["*"], ["*"]))
    node = Session([wide], json.dumps(boundary), {})
    attacks = [
        Attempt("iam:CreateRole", ROLE),
        Attempt("iam:PutRolePolicy", ROLE),
        Attempt("iam:CreateUser", f"arn:aws:iam::{ACCOUNT}:user/x"),
        Attempt("iam:PassRole", f"arn:aws:iam::{ACCOUNT}:role/administrator"),
        Attempt("sts:AssumeRole", f"arn:aws:iam::{ACCOUNT}:role/administrator"),
        Attempt("s3:GetObject", "arn:aws:s3:::acme-data/shop/x"),
        Attempt("dynamodb:GetItem", f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/orders"),
        Attempt("secretsmanager:GetSecretValue", f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:a"),
        Attempt("kms:Decrypt", in_s3().template.arn("StateKey"), resource_policy=key_policy(ACCOUNT)),
    ]
    assert "Allowed" not in node.decisions(*attacks)
    bare = Session([wide], None, {})
    assert set(bare.decisions(*attacks)) == {"Allowed"}


ATTACHED = (
    *(
        "AmazonEKSClusterPolicy",
        "AmazonEKSComputePolicy",
        "AmazonEKSBlockStoragePolicy",
        "AmazonEKSLoadBalancingPolicy",
    ),
    *("AmazonEKSNetworkingPolicy", "AmazonEKSWorkerNodePolicy", "AmazonEKSWorkerNodeMinimalPolicy"),
    *("AmazonEC2ContainerRegistryPullOnly", "AmazonEKS_CNI_Policy", "AmazonEBSCSIDriverPolicy"),
    *("AmazonEFSCSIDriverPolicy", "CloudWatchAgentServerPolicy"),
)
"""AWS' policies of the platform's roles."""


def test_the_platform_boundary_leaves_awss_own_policies_whole(account: Account) -> None:
    statements = account.policies()["saas-in-eks-prod-eu-platform-boundary"]["Statement"]
    known = json.loads(aws_managed_policies_data)
    lost = {
        f"{name}: {action}"
        for name in ATTACHED
        for statement in known[name]["Document"]["Statement"]
        for action in ([statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"])
        if not allowed(statements, action.replace("*", "x"))
    }
    assert lost == set()


def test_the_tenants_boundary_is_the_one_that_the_attacks_are_tried_on(account: Account) -> None:
    assert account.policies()["saas-in-eks-prod-eu-tenants-boundary"] == json.loads(boundary(ACCOUNT))


def test_the_deploy_role_manages_a_new_key_before_its_tags_count() -> None:
    """KMS may take five minutes to notice tags; the provider enables rotation right after creating a key."""
    key = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/12345678-1234-1234-1234-123456789012"
    policy = key_policy(ACCOUNT, deploy_role=f"arn:aws:iam::{ACCOUNT}:role/saas-in-eks-deploy")
    role = deploy_role(in_cloud())
    assert role.may(Attempt("kms:EnableKeyRotation", key, resource_policy=key_policy(ACCOUNT)))
    actions = ["kms:PutKeyPolicy", "kms:CreateGrant", "kms:ScheduleKeyDeletion", "kms:TagResource"]
    own = [Attempt(action, key, resource_policy=policy, principal="saas-in-eks-deploy") for action in actions]
    assert set(role.decisions(*own)) == {"Allowed"}
    others = [Attempt(action, key, resource_policy=key_policy(ACCOUNT)) for action in actions]
    assert set(role.decisions(*others)) == {"ImplicitlyDenied"}


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
    (kept,) = [item for item in boundary if item["Effect"] == "Deny" and key in item.get("Resource", ())]
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
