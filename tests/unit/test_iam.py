"""Tenants' access to AWS: refused statements, and whether the policies withstand attacks."""

from __future__ import annotations

import re
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import yaml

from model import checks
from model.config import tenants
from model.config.aws_access import AwsAccess
from model.config.errors import InvalidConfigError
from model.config.yaml_lines import parse
from model.iam import tenant_policy as iam
from model.iam.boundary import ambiguous_names, boundary, own_names
from model.iam.documents import allow, document, key_policy, pod_identity_trust
from tests.iam_decisions import ACCOUNT, Attempt, Session, assume
from tests.iam_lint import findings

CLUSTER = f"arn:aws:eks:eu-west-1:{ACCOUNT}:cluster/eu"
SQS = f"arn:aws:sqs:eu-west-1:{ACCOUNT}"
TABLE = f"arn:aws:dynamodb:eu-west-1:{ACCOUNT}:table/orders"
KEY = f"arn:aws:kms:eu-west-1:{ACCOUNT}:key/0123"
SOURCE = {"url": "https://github.com/acme/shop", "branch": "main"}
NOT_NAMED = "does not contain the tenant's name"
OWN_OBJECTS = {"actions": ["s3:GetObject"], "resources": ["arn:aws:s3:::acme-data/${tenant}/*"]}
LEADING_KEYS = {
    "ForAllValues:StringLike": {"dynamodb:LeadingKeys": ["${tenant}", "${tenant}#*"]},
    "Null": {"dynamodb:LeadingKeys": "false"},
}


def problems(text: str, account: str | None = ACCOUNT) -> list[str]:
    """The problems of a tenants.yaml."""
    try:
        listed = tenants.parse(parse(text, "tenants.yaml"))
        return [str(problem) for problem in sorted(set(checks.aws_access(listed, account)))]
    except InvalidConfigError as error:
        return [str(problem) for problem in error.problems]


def listing(*others: str, **aws: Any) -> str:
    """A tenants.yaml with a tenant shop that has this access, and others without any."""
    entries: list[dict[str, Any]] = [{"name": "shop", "source": SOURCE, "aws": aws}]
    return yaml.safe_dump({"tenants": [*entries, *({"name": name, "source": SOURCE} for name in others)]})


def statement(resource: str = "", *actions: str, **more: Any) -> dict[str, Any]:
    given = {"actions": list(actions)} if actions else {}
    return {**OWN_OBJECTS, **given, **({"resources": [resource]} if resource else {}), **more}


def test_all_refusals_are_reported_with_line_and_remedy() -> None:
    text = """\
tenants:
  - name: shop
    source: {url: "https://github.com/acme/shop", branch: main}
    aws:
      statements:
        - actions:
            - s3:GetObject
            - s3:*
          resources:
            - "*"
            - arn:aws:s3:::acme-data/*
            - arn:aws:s3:::acme-data/cafe/*
        - actions: [sqs:SendMessage]
          resources:
            - arn:aws:sqs:eu-west-1:999999999999:shop-orders
  - name: cafe
    source: {url: "https://github.com/acme/cafe", branch: main}
"""
    found = problems(text)
    lines = re.findall(r"^tenants\.yaml:(\d+): ", "\n".join(found), re.MULTILINE)
    assert lines == ["8", "10", "11", "12", "15"]
    parts = [
        "every action of the service",
        "the resources of all tenants",
        NOT_NAMED,
        "resources of the tenant cafe",
        "another account",
    ]
    for part, problem in zip(parts, found, strict=True):
        assert part in problem
        assert "\n    " in problem


@pytest.mark.parametrize(
    "action",
    "* iam:* iam:PassRole IAM:GetUser organizations:ListAccounts account:GetContactInformation sts:AssumeRole "
    "eks:CreateAccessEntry kms:PutKeyPolicy s3:PutBucketPolicy ssm:StartSession".split(),
)
def test_the_platform_teams_actions_are_refused_even_if_justified(action: str) -> None:
    reason = "the platform team says that this is fine"
    text = listing(statements=[statement("arn:aws:s3:::acme-shop", action, justification=reason)])
    assert any(
        "even with a justification" in problem or "is not an AWS action" in problem for problem in problems(text)
    )


@pytest.mark.parametrize(
    ("resource", "actions", "why"),
    [
        ("arn:aws:s3:::acme-data/shop*", [], "resources of the tenant shop-eu"),
        ("arn:aws:s3:::acme-data/sho?/*", [], NOT_NAMED),
        ("arn:aws:s3:::acme-data/workshop/*", [], NOT_NAMED),
        ("arn:aws:s3:::acme-*/shop/*", [], "wildcard before"),
        ("arn:aws:s3:::shop-*", [], "resources of the tenant shop-eu"),
        ("arn:aws:s3:::acme-shop-eu/*", [], "resources of the tenant shop-eu"),
        ("arn:aws:s3:::acme-data/eu/shop/*", [], "in another tenant's folder"),
        ("arn:aws:s3:::acme-data/eu/backup-shop", [], "in another tenant's folder"),
        ("arn:aws:s3:::acme-shop/eu/backup-shop/*", [], "in another tenant's folder"),
        (f"{SQS}:eu-shop-orders", ["sqs:SendMessage"], NOT_NAMED),
        (
            f"arn:aws:states:eu-west-1:{ACCOUNT}:stateMachine:orders",
            ["states:StartExecution"],
            NOT_NAMED,
        ),
        (KEY, ["kms:Decrypt"], NOT_NAMED),
        (TABLE, ["dynamodb:GetItem"], NOT_NAMED),
    ],
)
def test_a_resource_of_other_tenants_needs_a_justification(resource: str, actions: list[str], why: str) -> None:
    refused = problems(listing("shop-eu", statements=[statement(resource, *actions)]))
    assert [why in problem for problem in refused] == [True]
    reason = "shared with all tenants on purpose"
    assert problems(listing("shop-eu", statements=[statement(resource, *actions, justification=reason)])) == []


@pytest.mark.parametrize(
    ("resource", "actions", "conditions"),
    [
        ("", [], {}),
        ("arn:aws:s3:::acme-data/${aws:PrincipalTag/kubernetes-namespace}/*", [], {}),
        ("arn:aws:s3:::acme-shop/*", [], {}),
        ("arn:aws:s3:::shop-uploads/*", [], {}),
        (f"{SQS}:shop-orders", ["sqs:SendMessage"], {}),
        (f"arn:aws:states:eu-west-1:{ACCOUNT}:stateMachine:shop-orders", ["states:StartExecution"], {}),
        ("arn:aws:s3:::acme-data", ["s3:ListBucket"], {"StringLike": {"s3:prefix": "${tenant}/*"}}),
        (TABLE, ["dynamodb:GetItem"], LEADING_KEYS),
        (KEY, ["kms:Decrypt"], {"StringEquals": {"aws:ResourceTag/tenant": "shop"}}),
    ],
)
def test_the_tenants_own_resources_need_no_justification(
    resource: str, actions: list[str], conditions: dict[str, Any]
) -> None:
    given = statement(resource, *actions, conditions=conditions)
    assert problems(listing("cafe", statements=[given])) == []
    assert any(
        "no justification" in item for item in problems(listing(statements=[{**given, "justification": "x" * 10}]))
    )


def test_a_name_that_is_part_of_another_tenants_name_does_not_match() -> None:
    text = listing("mart", "shop", statements=[statement(), statement("arn:aws:s3:::acme-shop-mart/*")])
    assert problems(text.replace("name: shop\n", "name: shop-mart\n", 1)) == []


def test_a_condition_that_scans_evade_is_not_enough() -> None:
    conditions = {key: value for key, value in LEADING_KEYS.items() if key != "Null"}
    given = statement(TABLE, "dynamodb:Scan", conditions=conditions)
    assert any(NOT_NAMED in problem for problem in problems(listing(statements=[given])))


@pytest.mark.parametrize(
    ("aws", "part"),
    [
        ({}, "has no use"),
        ({"statements": [statement(NotAction=["s3:GetObject"])]}, "unknown key 'NotAction'"),
        ({"statements": [statement(principals=["*"])]}, "unknown key 'principals'"),
        ({"statements": [statement(), statement()]}, "this repeats statement 1"),
        ({"statements": [statement("s3://acme-data/shop")]}, "is not an ARN"),
        ({"statements": [statement("", "GetObject")]}, "is not an AWS action"),
        ({"statements": [statement("arn:aws:s3:::acme/${name}/*")]}, "Write ${tenant}"),
        ({"statements": [statement(conditions={"StringSame": {"a": "b"}})]}, "is not an IAM condition operator"),
        ({"statements": [statement(conditions={"Null": {"a": True}})]}, "must be a list"),
        ({"statements": [statement("*", justification="short")]}, "Write the reason"),
        ({"policies": ["arn:aws:iam::aws:policy/AmazonS3FullAccess"]}, "not limited to this tenant"),
        ({"policies": [{"arn": "arn:aws:iam::aws:policy/AmazonS3FullAccess"}]}, "justification: is missing"),
        *(
            (
                {"policies": [{"arn": f"arn:aws:iam::aws:policy/{name}", "justification": "x" * 10}]},
                "even with a justification",
            )
            for name in ("AdministratorAccess", "PowerUserAccess", "IAMFullAccess")
        ),
        (
            {"policies": [{"arn": "arn:aws:iam::999999999999:policy/own", "justification": "x" * 10}]},
            "belongs to another account",
        ),
        ({"serviceAccount": "Podinfo", "statements": [statement()]}, "not a valid ServiceAccount name"),
        (
            {"statements": [statement(f"arn:aws:s3:::acme-{index}-shop/{'x' * 900}") for index in range(11)]},
            "IAM's limit is 10240",
        ),
    ],
)
def test_other_problems_get_their_remedy(aws: dict[str, Any], part: str) -> None:
    found = problems(listing(**aws))
    assert any(part in problem for problem in found), found


def test_a_stack_without_aws_refuses_access_to_aws() -> None:
    assert ["has no AWS account" in item for item in problems(listing(statements=[statement()]), None)] == [True]


def test_default_statements_hold_for_every_tenant_without_its_own() -> None:
    text = yaml.safe_dump(
        {
            "defaults": {"source": SOURCE, "aws": {"serviceAccount": "podinfo", "statements": [statement()]}},
            "tenants": [{"name": "t1"}, {"name": "t2", "aws": {"serviceAccount": "web"}}, {"name": "t3", "aws": None}],
        }
    )
    assert problems(text) == []
    first, second, third = tenants.parse(parse(text, "tenants.yaml")).tenants
    assert first.aws
    assert second.aws
    assert (first.aws.service_account, second.aws.service_account, third.aws) == ("podinfo", "web", None)
    assert "acme-data/t2/*" in iam.inline_policy(second.aws, "t2")
    # A problem of the defaults is reported once, at its line.
    wrong = problems(text.replace("${tenant}/", ""))
    assert ["defaults.aws.statements[0].resources[0]" in problem for problem in wrong] == [True]


def test_the_example_in_the_documentation_is_accepted() -> None:
    page = (Path(__file__).parents[2] / "docs/product-teams/aws-access.md").read_text()
    example = yaml.safe_load(page.split("```yaml\n")[1].split("```")[0])
    assert problems(yaml.safe_dump({**example, "defaults": {**example["defaults"], "source": SOURCE}})) == []


def test_role_names_fit_iam_and_stay_different() -> None:
    assert iam.role_name("saas-in-eks-prod-eu", "tenant-001") == "saas-in-eks-prod-eu-tenant-tenant-001"
    long = [iam.role_name("saas-in-eks-prod-eu", "x" * 60 + end) for end in ("a", "b")]
    assert all(len(name) == 64 for name in long)
    assert len(set(long)) == 2
    assert long == [iam.role_name("saas-in-eks-prod-eu", "x" * 60 + end) for end in ("a", "b")]


def test_the_documents_fit_iams_limits_and_pass_the_linter() -> None:
    access = AwsAccess.model_validate({"statements": [statement(), statement(TABLE, "dynamodb:GetItem")]})
    assert iam.compact_size(boundary(ACCOUNT)) <= iam.MANAGED_LIMIT
    trust = pod_identity_trust(ACCOUNT, CLUSTER, "shop", "podinfo")
    assert [findings(item) for item in (boundary(ACCOUNT), trust, iam.inline_policy(access, "shop"))] == [[], [], []]
    assert findings(boundary(ACCOUNT).replace("s3:prefix", "s3:prefixx"))
    assert findings(trust.replace("sts:TagSession", "sts:TagSessions"))


# Attacks, decided by a simulator of IAM that is not ours. The role may do everything: what holds is the boundary.

POD = {"kubernetes-namespace": "shop", "kubernetes-service-account": "podinfo"}
WIDE = document(allow(["*"], ["*"]))
HELD = Session([WIDE], boundary(ACCOUNT), POD)
BARE = Session([WIDE], None, POD)
ANOTHERS = {"aws:ResourceTag/tenant": "cafe"}
OF_KEY = key_policy(ACCOUNT)
THEIRS = "arn:aws:s3:::theirs/shop/x"
OPEN_BUCKET = document({**allow(["s3:GetObject"], [THEIRS]), "Principal": {"AWS": "*"}})
OPEN_ROLE = document({"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": "*"}})

ATTACKS = {
    "another's object": Attempt("s3:GetObject", "arn:aws:s3:::acme-data/cafe/secret"),
    "an object of no tenant": Attempt("s3:GetObject", "arn:aws:s3:::acme-data/secret"),
    "another's object whose name ends like the own": Attempt("s3:GetObject", "arn:aws:s3:::acme-data/cafe/x-shop"),
    "an object in a folder of another's that is called like the own": Attempt(
        "s3:PutObject", "arn:aws:s3:::acme-data/cafe/shop/x"
    ),
    "an object in a folder of another's that ends like the own": Attempt(
        "s3:PutObject", "arn:aws:s3:::acme-data/cafe/x-shop/y"
    ),
    "an object that is tagged for another": Attempt(
        "s3:GetObject", "arn:aws:s3:::acme-data/shop/x", {"s3:ExistingObjectTag/tenant": "cafe"}
    ),
    "a list of another's objects": Attempt("s3:ListBucket", "arn:aws:s3:::acme-data", {"s3:prefix": "cafe/"}),
    "a list of all objects": Attempt("s3:ListBucket", "arn:aws:s3:::acme-data"),
    "the names of all buckets": Attempt("s3:ListAllMyBuckets", "*"),
    "another's queue": Attempt("sqs:ReceiveMessage", f"{SQS}:cafe-orders"),
    "another's queue with a name like the own": Attempt("sqs:ReceiveMessage", f"{SQS}:shopping-orders"),
    "another's secret": Attempt(
        "secretsmanager:GetSecretValue", f"arn:aws:secretsmanager:eu-west-1:{ACCOUNT}:secret:cafe/db-AbCdEf"
    ),
    "another's items": Attempt("dynamodb:GetItem", TABLE, {"dynamodb:LeadingKeys": ["cafe#1"]}),
    "another's items in addition to its own": Attempt(
        "dynamodb:BatchGetItem", TABLE, {"dynamodb:LeadingKeys": ["shop#1", "cafe#1"]}
    ),
    "a scan of the shared table": Attempt("dynamodb:Scan", TABLE),
    "another's key": Attempt("kms:Decrypt", KEY, ANOTHERS, resource_policy=OF_KEY),
    "a tag that makes another's the own": Attempt(
        "sqs:TagQueue", f"{SQS}:cafe-orders", {**ANOTHERS, "aws:RequestTag/tenant": "shop", "aws:TagKeys": ["tenant"]}
    ),
    "a tag that makes the own another's": Attempt(
        "sqs:TagQueue", f"{SQS}:shop-orders", {"aws:RequestTag/tenant": "cafe", "aws:TagKeys": ["tenant"]}
    ),
    "no tag any more": Attempt("sqs:UntagQueue", f"{SQS}:shop-orders", {"aws:TagKeys": ["tenant"]}),
    "another account": Attempt("s3:GetObject", THEIRS, resource_account="999999999999", resource_policy=OPEN_BUCKET),
    "a policy for itself": Attempt("iam:PutRolePolicy", f"arn:aws:iam::{ACCOUNT}:role/tenant"),
    "life without boundary": Attempt("iam:DeleteRolePermissionsBoundary", f"arn:aws:iam::{ACCOUNT}:role/tenant"),
    "another's role": Attempt("sts:AssumeRole", f"arn:aws:iam::{ACCOUNT}:role/cafe", resource_policy=OPEN_ROLE),
    "another's association": Attempt("eks:CreatePodIdentityAssociation", CLUSTER),
    "its data for the world": Attempt("s3:PutBucketPolicy", "arn:aws:s3:::acme-shop"),
    "its data for the world, by ACL": Attempt("s3:PutObjectAcl", "arn:aws:s3:::acme-shop/x"),
    "a node's shell": Attempt("ssm:StartSession", f"arn:aws:ec2:eu-west-1:{ACCOUNT}:instance/i-0123456789abcdef0"),
}


def test_the_boundary_stops_every_attack_by_an_unlimited_role() -> None:
    decided = dict(zip(ATTACKS, HELD.decisions(*ATTACKS.values()), strict=True))
    assert decided == dict.fromkeys(ATTACKS, "ExplicitlyDenied")


def test_without_the_boundary_the_same_attacks_succeed() -> None:
    # Otherwise the test above would prove nothing.
    decided = dict(zip(ATTACKS, BARE.decisions(*ATTACKS.values()), strict=True))
    assert decided == dict.fromkeys(ATTACKS, "Allowed")


def test_the_boundary_permits_access_to_the_tenants_own_resources() -> None:
    own = [
        Attempt("s3:GetObject", "arn:aws:s3:::acme-data/shop/x"),
        Attempt("s3:PutObject", "arn:aws:s3:::acme-shop/x"),
        Attempt("s3:ListBucket", "arn:aws:s3:::acme-data", {"s3:prefix": "shop/"}),
        Attempt("s3:ListBucket", "arn:aws:s3:::acme-shop"),
        Attempt("sqs:SendMessage", f"{SQS}:anything", {"aws:ResourceTag/tenant": "shop"}),
        Attempt("dynamodb:Query", TABLE, {"dynamodb:LeadingKeys": ["shop", "shop#1"]}),
        Attempt("dynamodb:Scan", f"arn:aws:dynamodb:eu-west-1:{ACCOUNT}:table/shop-orders"),
        Attempt("kms:Decrypt", KEY, {"aws:ResourceTag/tenant": "shop"}, resource_policy=OF_KEY),
        Attempt("states:StartExecution", f"arn:aws:states:eu-west-1:{ACCOUNT}:stateMachine:any"),
    ]
    assert HELD.decisions(*own) == ["Allowed"] * len(own)


def test_names_that_validation_accepts_pass_the_boundary() -> None:
    actions = {
        "s3": "s3:*",
        "dynamodb": "dynamodb:DescribeTable",
        "sqs": "sqs:SendMessage",
        "sns": "sns:Publish",
        "secretsmanager": "secretsmanager:GetSecretValue",
        "ssm": "ssm:GetParameter",
    }
    attempts: list[Attempt] = []
    for service, action in actions.items():
        for pattern in own_names(service, "shop"):
            fields = pattern.split(":", 5)
            name = fields[5].replace("*", "x")
            region, account = ("", "") if service == "s3" else ("eu-west-1", ACCOUNT)
            arn = f"arn:aws:{service}:{region}:{account}:{name}"
            action = ("s3:GetObject" if "/" in name else "s3:ListBucket") if service == "s3" else action
            if "table/" in name and name.count("/") == 2:
                action, arn = "dynamodb:Query", arn.replace("/x", "/index/x")
            assert problems(listing("cafe", statements=[statement(arn, action)])) == []
            attempts.append(Attempt(action, arn))
    assert len(attempts) > 20
    for pattern in ambiguous_names("s3", "shop"):
        arn = pattern.replace("*", "x")
        assert any(
            "in another tenant's folder" in item for item in problems(listing("cafe", statements=[statement(arn)]))
        )
        assert not HELD.may(Attempt("s3:GetObject", arn))
    assert HELD.decisions(*attempts) == ["Allowed"] * len(attempts)


def test_only_objects_in_the_tenants_bucket_or_root_folder_are_in_reach() -> None:
    steps, own_buckets = ("shop", "shop-x", "x-shop", "cafe"), ("shop", "shop-x", "x-shop")
    keys = [key for depth in (1, 2, 3) for key in product(steps, repeat=depth)]
    objects = list(product((*own_buckets, "acme"), keys))
    tried = [Attempt("s3:PutObject", f"arn:aws:s3:::{bucket}/{'/'.join(key)}") for bucket, key in objects]
    for (bucket, key), decision in zip(objects, HELD.decisions(*tried), strict=True):
        own = bucket in own_buckets or (key[0] == "shop" and len(key) > 1)
        # What the boundary denies although it is the tenant's: names that wildcards cannot tell from a neighbour's.
        lost = "shop" in key[1:-1] or "x-shop" in key
        assert (decision == "Allowed") == (own and not lost), (bucket, key)


def test_a_justified_role_reaches_nothing_tagged_for_another_tenant() -> None:
    justified = Session([WIDE], boundary(ACCOUNT), {**POD, "reach": "justified"})
    assert justified.may(Attempt("s3:GetObject", "arn:aws:s3:::acme-catalogue/prices"))
    assert not justified.may(Attempt("sqs:ReceiveMessage", f"{SQS}:orders", ANOTHERS))
    assert not justified.may(ATTACKS["a policy for itself"])


def test_a_session_without_a_tenant_tag_may_do_nothing() -> None:
    assert not Session([WIDE], boundary(ACCOUNT), {}).may(Attempt("s3:GetObject", "arn:aws:s3:::acme-data/shop/x"))


def test_only_the_tenants_own_pods_get_the_role() -> None:
    trust = pod_identity_trust(ACCOUNT, CLUSTER, "shop", "podinfo")
    assert assume(trust, POD, CLUSTER) == ["Allowed"] * 2
    elsewhere = [
        assume(trust, {**POD, "kubernetes-namespace": "cafe"}, CLUSTER),
        assume(trust, {**POD, "kubernetes-service-account": "default"}, CLUSTER),
        assume(trust, {}, CLUSTER),
        assume(trust, POD, CLUSTER.replace("/eu", "/us")),
        assume(trust, POD, CLUSTER, "999999999999"),
    ]
    assert elsewhere == [["ImplicitlyDenied"] * 2] * len(elsewhere)
