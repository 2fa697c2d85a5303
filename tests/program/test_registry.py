"""ECR: immutable tags, read access, and expiry."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pulumi
import pytest

from components.aws.registry import Registry, RegistryArgs
from model.config.aws import RegistrySettings
from standins.aws.ecr import rule_mistakes
from tests.iam_lint import findings
from tests.program import service_model
from tests.program.conftest import Run
from tests.program.recorder import Recording, aws_context, record
from tests.program.test_prod_eu import production

NODES = "arn:aws:iam::123456789012:role/saas-prod-eu-node"
CLUSTER = "arn:aws:eks:eu-west-1:123456789012:cluster/prod-eu"
REPOSITORY = "aws:ecr/repository:Repository"


def registry(
    preview: bool = False,
    *,
    image_scanner: bool = True,
    protected: bool = True,
    nodes: bool = True,
    kept_tags: Sequence[str] = (),
    **settings: Any,
) -> Recording:
    def program() -> None:
        args = RegistryArgs(
            context=aws_context(protected=protected),
            settings=RegistrySettings.model_validate({"repositories": ["product", "team/worker"], **settings}),
            cluster_name="prod-eu",
            cluster_arn=pulumi.Output.from_input(CLUSTER),
            pull_roles=[pulumi.Output.from_input(NODES)] if nodes else [],
            image_scanner=image_scanner,
            kept_tags=kept_tags,
        )
        pulumi.export("urls", dict(Registry("prod-eu", args).repository_urls))

    return record(program, preview=preview)


def policy(found: Recording, type_: str, name: str) -> dict[str, Any]:
    return json.loads(found.resource(type_, name).inputs["policy"])


def test_tags_are_immutable() -> None:
    repository = registry().resource(REPOSITORY, "prod-eu-product").inputs
    assert repository["name"] == "prod-eu/product"
    assert repository["imageTagMutability"] == "IMMUTABLE"
    assert "imageTagMutabilityExclusionFilters" not in repository


def test_only_listed_tags_are_mutable() -> None:
    repository = registry(mutableTags=["dev-*"]).resource(REPOSITORY, "prod-eu-product").inputs
    assert repository["imageTagMutability"] == "IMMUTABLE_WITH_EXCLUSION"
    assert repository["imageTagMutabilityExclusionFilters"] == [{"filter": "dev-*", "filterType": "WILDCARD"}]


def test_images_are_scanned_and_encrypted() -> None:
    found = registry()
    key = found.resource("aws:kms/key:Key", "prod-eu-images")
    assert key.inputs["enableKeyRotation"] is True
    repository = found.resource(REPOSITORY, "prod-eu-product")
    assert repository.inputs["imageScanningConfiguration"] == {"scanOnPush": True}
    assert [resource["encryptionType"] for resource in repository.inputs["encryptionConfigurations"]] == ["KMS"]
    assert key.urn in repository.depends_on


@pytest.mark.parametrize("protected", [True, False])
def test_images_are_protected_until_protection_is_off(protected: bool) -> None:
    found = registry(protected=protected)
    for repository in found.of(REPOSITORY):
        assert repository.request.protect is protected
        assert repository.inputs["forceDelete"] is not protected
    assert found.resource("aws:kms/key:Key", "prod-eu-images").request.protect is protected


PULL = {"ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"}


def test_nodes_and_flux_pull_and_only_the_image_scanner_lists() -> None:
    found = registry()
    statements = policy(found, "aws:ecr/repositoryPolicy:RepositoryPolicy", "prod-eu-product")["Statement"]
    roles = "arn:aws:iam:eu-west-1:123456789012:prod-eu-"
    assert {resource["Principal"]["AWS"][0]: set(resource["Action"]) for resource in statements} == {
        NODES: PULL,
        f"{roles}sources": PULL,
        f"{roles}image-scanner": {"ecr:BatchGetImage", "ecr:ListImages"},
    }


@pytest.mark.parametrize(
    ("role", "account", "actions"),
    [
        ("sources", "source-controller", PULL),
        ("image-scanner", "image-reflector-controller", {"ecr:BatchGetImage", "ecr:ListImages"}),
    ],
)
def test_flux_controllers_read_these_repositories_only(role: str, account: str, actions: set[str]) -> None:
    found = registry()
    token, reading = policy(found, "aws:iam/rolePolicy:RolePolicy", f"prod-eu-{role}")["Statement"]
    assert token["Action"] == ["ecr:GetAuthorizationToken"]
    assert set(reading["Action"]) == actions
    assert reading["Resource"] == [
        f"arn:aws:ecr:eu-west-1:123456789012:prod-eu-{resource}" for resource in ("product", "team/worker")
    ]
    inputs = found.resource("aws:eks/podIdentityAssociation:PodIdentityAssociation", f"prod-eu-{role}").inputs
    assert (inputs["clusterName"], inputs["namespace"]) == ("prod-eu", "flux-system")
    assert inputs["serviceAccount"] == account
    trust = json.loads(found.resource("aws:iam/role:Role", f"prod-eu-{role}").inputs["assumeRolePolicy"])
    assert trust["Statement"][0]["Condition"]["ArnEquals"] == {"aws:SourceArn": CLUSTER}


def test_without_flux_image_scanner_there_is_no_role_for_it() -> None:
    found = registry(image_scanner=False)
    assert [role.name for role in found.of("aws:iam/role:Role")] == ["prod-eu-sources"]
    statements = policy(found, "aws:ecr/repositoryPolicy:RepositoryPolicy", "prod-eu-product")["Statement"]
    assert [resource["Sid"] for resource in statements] == ["NodesPull", "FluxPulls"]


def test_images_with_a_keep_tag_never_expire() -> None:
    found = registry(keepReleases=30, untaggedDays=7)
    rules = policy(found, "aws:ecr/lifecyclePolicy:LifecyclePolicy", "prod-eu-product")["rules"]
    marked, untagged, releases = (
        rule["selection"] for rule in sorted(rules, key=lambda resource: resource["rulePriority"])
    )
    assert marked["tagPatternList"] == ["keep-*"]
    assert (untagged["tagStatus"], untagged["countNumber"], untagged["countUnit"]) == ("untagged", 7, "days")
    assert (releases["tagPatternList"], releases["countNumber"]) == (["*"], 30)


LIFECYCLE = "aws:ecr/lifecyclePolicy:LifecyclePolicy"


def test_named_versions_never_expire_each_by_a_rule_before_those_that_delete() -> None:
    found = registry(kept_tags=["*1.4.2", "main-7"])
    for repository in ("product", "team/worker"):
        rules = policy(found, LIFECYCLE, f"prod-eu-{repository}")["rules"]
        kept = [rule["selection"] for rule in rules if rule["selection"]["countNumber"] == 9999]
        # An image would have to match all patterns of a rule.
        assert [selection["tagPatternList"] for selection in kept] == [["keep-*"], ["*1.4.2"], ["main-7"]]
        assert [rule["rulePriority"] for rule in rules] == [1, 2, 3, 4, 5]
        assert rules[-1]["selection"]["tagPatternList"] == ["*"]
        assert not list(rule_mistakes(rules))
    # A new policy would be deleted with the old one: a repository has one.
    assert found.resource(LIFECYCLE, "prod-eu-product").request.deleteBeforeReplace


def test_the_versions_of_pins_rings_and_holds_in_tenants_yaml_are_kept(
    run: Run,
) -> None:
    tenants = """\
products:
  shop:
    source: {url: "ssh://git@github.com/acme/shop", branch: main, private: true}
    rings:
      canary: {ref: {branch: main}}
      broad: {ref: {tag: v1.5.0}, after: canary, previous: v1.4.2}
tenants:
  - {name: alpha, product: shop}
  - {name: beta, product: shop, ring: broad, pin: {tag: v1.3.9, until: 2099-01-31, reason: contract 4711}}
"""
    recording = run(tenants, config=production(), stack_name="prod-eu")
    rules = policy(recording, LIFECYCLE, "prod-eu-product")["rules"]
    assert [rule["selection"].get("tagPatternList") for rule in rules] == [
        ["keep-*"],
        ["*1.3.9"],
        ["*1.5.0"],
        ["*1.4.2"],
        None,
        ["*"],
    ]


def test_a_preview_without_a_registry_shows_the_same_resources() -> None:
    assert registry(preview=True).registrations.keys() == registry().registrations.keys()


def test_ecr_knows_every_input() -> None:
    assert service_model.problems(registry(mutableTags=["latest", "dev-*"])) == []


def as_on_aws(document: str) -> str:
    """With the mocks' ARNs as AWS writes them."""
    for service, region, kind in (("ecr", "eu-west-1", "repository"), ("iam", "", "role")):
        document = document.replace(
            f"arn:aws:{service}:eu-west-1:123456789012:", f"arn:aws:{service}:{region}:123456789012:{kind}/"
        )
    return document


def test_the_policies_pass_the_iam_linter() -> None:
    found = registry()
    role, rights = (
        found.resource(f"aws:iam/{kind}", "prod-eu-image-scanner") for kind in ("role:Role", "rolePolicy:RolePolicy")
    )
    repository = policy(found, "aws:ecr/repositoryPolicy:RepositoryPolicy", "prod-eu-product")
    # A repository's policy names no resource; the linter would take it for a trust policy.
    statements = [{**resource, "Resource": "*"} for resource in repository["Statement"]]
    documents = [
        role.inputs["assumeRolePolicy"],
        rights.inputs["policy"],
        json.dumps({**repository, "Statement": statements}),
    ]
    assert [findings(as_on_aws(resource)) for resource in documents] == [[], [], []]
