"""The whole program with production's own configuration."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from local.rehearsal import NEW_TENANT
from tests.program.conftest import Run
from tests.program.recorder import CHECKOUT, ProgramError, Recording

NAMESPACE = "kubernetes:core/v1:Namespace"


def production(**aws: Any) -> dict[str, Any]:
    """Pulumi.prod-eu.yaml, with changes below `aws`."""
    content = yaml.safe_load((CHECKOUT / "Pulumi.prod-eu.yaml").read_text())["config"]
    config = {key.partition(":")[2]: value for key, value in content.items()}
    for key, value in aws.items():
        config["aws"] = {
            **config["aws"],
            key: {**config["aws"].get(key, {}), **value} if isinstance(value, dict) else value,
        }
    return {**config, "fluxManifest": "install.yaml"}


def run_production(run: Run, preview: bool = False, **aws: Any) -> Recording:
    tenants = (CHECKOUT / "tenants.yaml").read_text()
    return run(tenants, config=production(**aws), stack_name="prod-eu", preview=preview)


def test_production_comes_up_whole_and_its_preview_shows_every_resource(run: Run) -> None:
    planned, made = run_production(run, preview=True), run_production(run)
    assert planned.registrations.keys() == made.registrations.keys()
    components = {one.type for one in made.registrations.values() if one.type.startswith("saas:")}
    assert components >= {
        "saas:network:Network",
        "saas:cluster:EksCluster",
        "saas:registry:Registry",
        "saas:identity:Identity",
        "saas:identity:TenantIdentity",
        "saas:flux:FluxInstallation",
        "saas:tenant:TenantSpace",
    }
    assert "saas:cluster:ExistingCluster" not in components


def test_everything_in_the_cluster_waits_for_its_nodes(run: Run) -> None:
    recording = run_production(run)
    group = recording.one("aws:eks/nodeGroup:NodeGroup", "prod-eu").urn
    provider = recording.one("pulumi:providers:kubernetes", "prod-eu")
    assert group in recording.needs(provider)
    for one in recording.registrations.values():
        if one.type.startswith("kubernetes:"):
            assert one.request.provider.startswith(provider.urn)


def test_every_aws_resource_goes_through_the_provider_that_tags_it_and_knows_its_account(run: Run) -> None:
    recording = run_production(run)
    provider = recording.one("pulumi:providers:aws", "aws")
    assert provider.inputs["allowedAccountIds"] == '["123456789012"]'
    for tag in ("Project", "Stack"):
        assert tag in provider.inputs["defaultTags"]
    for one in recording.registrations.values():
        if one.type.startswith("aws:"):
            assert one.request.provider.startswith(provider.urn), one.urn


def test_what_holds_data_refuses_to_be_deleted_until_protection_is_off(run: Run) -> None:
    holds_data = {
        "eks:index:Cluster",
        "aws:kms/key:Key",
        "aws:ec2/vpc:Vpc",
        "aws:ec2/eip:Eip",
        "aws:ecr/repository:Repository",
        "aws:cognito/userPool:UserPool",
    }
    for protection in (True, False):
        recording = run_production(run, protection=protection)
        found = [one for one in recording.registrations.values() if one.type in holds_data]
        assert {one.type for one in found} == holds_data
        assert all(one.request.protect is protection for one in found)


def test_a_tenant_learns_how_to_verify_its_users_tokens(run: Run) -> None:
    recording = run_production(run)
    told = recording.one("kubernetes:core/v1:ConfigMap", "tenant-001")
    assert told.inputs["metadata"]["namespace"] == "tenant-001"
    assert told.inputs["data"]["OIDC_ISSUER"].startswith("https://cognito-idp.eu-west-1.")
    assert told.inputs["data"]["OIDC_TENANT"] == "tenant-001"


def test_only_tenants_change_when_only_tenants_change(run: Run) -> None:
    before = run_production(run)
    tenants = (CHECKOUT / "tenants.yaml").read_text()
    another = NEW_TENANT.replace("tenant-of-a-pull-request", "tenant-003")
    after = run(tenants + another, config=production(), stack_name="prod-eu")
    for urn, one in before.registrations.items():
        assert after.registrations[urn].inputs == one.inputs
    new = after.registrations.keys() - before.registrations.keys()
    assert new
    # The first tenant with a role of its own brings the boundary that all of them will share.
    assert {urn.split("::")[-1].partition("/")[0] for urn in new} == {"tenant-003", "tenants"}
    assert after.one("aws:iam/role:Role", "tenant-003").inputs["permissionsBoundary"].endswith(":tenants")
    association = after.one("aws:eks/podIdentityAssociation:PodIdentityAssociation", "tenant-003").urn
    applied = after.one("kubernetes:kustomize.toolkit.fluxcd.io/v1:Kustomization", "tenant-003")
    assert association in after.needs(applied)


def test_every_mistake_of_every_file_is_told_before_anything_is_registered(run: Run) -> None:
    config = production(
        region="eu-west-11",
        account="12",
        network={"cidr": "10.0.0.0/16", "reserved": ["10.0.1.0/24"], "nat": "each"},
        cluster={"version": "1.21", "administrators": ["platform-engineer"]},
    )
    with pytest.raises(ProgramError) as caught:
        run("tenants: [{name: A}]", config=config, stack_name="prod-eu")
    said = str(caught.value)
    for part in ("aws.region", "aws.account", "aws.network.nat", "aws.cluster.version", "administrators", "tenants[0]"):
        assert part in said
    assert "nothing was changed" in said
