"""Tenants' IAM roles: trust, boundary, and the order of creation and deletion."""

from __future__ import annotations

import json
from typing import Any

import pulumi_aws as aws
import pytest
from pulumi import Output, export

from components.tenant.aws_role import TenantBoundary, TenantBoundaryArgs, TenantRole, TenantRoleArgs
from model.config.aws_access import AwsAccess
from tests.iam_decisions import Attempt, Session, assume
from tests.iam_lint import findings
from tests.program.recorder import Recording, aws_context, record

ACCOUNT = "123456789012"
CLUSTER = f"arn:aws:eks:eu-west-1:{ACCOUNT}:cluster/prod-eu"
ROLE = "aws:iam/role:Role"
POLICY = "aws:iam/policy:Policy"
INLINE = "aws:iam/rolePolicy:RolePolicy"
ATTACHMENT = "aws:iam/rolePolicyAttachment:RolePolicyAttachment"
ASSOCIATION = "aws:eks/podIdentityAssociation:PodIdentityAssociation"

STATEMENT = {"actions": ["s3:GetObject"], "resources": ["arn:aws:s3:::acme-data/${tenant}/*"]}
READER = {"arn": "arn:aws:iam::aws:policy/AmazonBedrockReadOnly", "justification": "models are nobody's data"}


def roles(*tenants: str, preview: bool = False, cluster_arn: Any = CLUSTER, **access: Any) -> Recording:
    """A program with the boundary and a role for each tenant."""
    given = AwsAccess.model_validate({"statements": [STATEMENT], **access})

    def program() -> None:
        context = aws_context()
        boundary = TenantBoundary("tenants", TenantBoundaryArgs(context=context))
        vpc = aws.ec2.Vpc("network", cidr_block="10.0.0.0/16")
        for tenant in tenants:
            args = TenantRoleArgs(
                context=context,
                tenant=tenant,
                access=given,
                cluster_name="prod-eu",
                cluster_arn=vpc.arn if cluster_arn is None else cluster_arn,
                boundary_arn=boundary.arn,
                depends_on=[vpc],
            )
            role = TenantRole(tenant, args)
            export(f"{tenant}-arn", role.arn)
            export(f"{tenant}-ready", role.ready[0].urn)
        export("boundary", Output.from_input(boundary.arn))

    return record(program, preview=preview)


def test_each_tenant_gets_a_role_within_the_shared_boundary() -> None:
    recording = roles("shop", "cafe")
    assert len(recording.of(POLICY)) == 1
    role = recording.resource(ROLE, "shop").inputs
    assert role["name"] == "saas-prod-eu-tenant-shop"
    assert role["permissionsBoundary"] == recording.outputs["boundary"]
    assert role["maxSessionDuration"] == 3600
    assert role["tags"] == {"tenant": "shop"}
    assert json.loads(recording.resource(INLINE, "shop").inputs["policy"])["Statement"] == [
        {"Effect": "Allow", "Action": ["s3:GetObject"], "Resource": ["arn:aws:s3:::acme-data/shop/*"]}
    ]


@pytest.mark.parametrize(("given", "account"), [({}, "shop"), ({"serviceAccount": "podinfo"}, "podinfo")])
def test_only_pods_of_the_service_account_get_it(given: dict[str, Any], account: str) -> None:
    recording = roles("shop", **given)
    association = recording.resource(ASSOCIATION, "shop").inputs
    assert (association["clusterName"], association["namespace"]) == ("prod-eu", "shop")
    assert association["serviceAccount"] == account
    assert association["roleArn"] == recording.outputs["shop-arn"]
    # Tags of the session are what the boundary goes by.
    assert "disableSessionTags" not in association
    trust = recording.resource(ROLE, "shop").inputs["assumeRolePolicy"]
    pod = {"kubernetes-namespace": "shop", "kubernetes-service-account": account}
    assert assume(trust, pod, CLUSTER) == ["Allowed"] * 2
    assert assume(trust, {**pod, "kubernetes-namespace": "cafe"}, CLUSTER) == ["ImplicitlyDenied"] * 2


def test_the_association_is_created_last_and_deleted_first() -> None:
    recording = roles("shop", policies=[READER])
    association = recording.resource(ASSOCIATION, "shop")
    before = recording.needs(association)
    for type_ in (ROLE, POLICY, INLINE, ATTACHMENT, "aws:ec2/vpc:Vpc"):
        assert {resource.urn for resource in recording.of(type_)} <= before
    assert recording.outputs["shop-ready"] == association.urn


def test_roles_do_not_reach_other_tenants_data() -> None:
    recording = roles("shop", "cafe")
    boundary = recording.of(POLICY)[0].inputs["policy"]
    for tenant, other in (("shop", "cafe"), ("cafe", "shop")):
        policy = recording.resource(INLINE, tenant).inputs["policy"]
        session = Session([policy], boundary, {"kubernetes-namespace": tenant, "kubernetes-service-account": tenant})
        own, foreign = (Attempt("s3:GetObject", f"arn:aws:s3:::acme-data/{name}/x") for name in (tenant, other))
        assert session.decisions(own, foreign) == ["Allowed", "ExplicitlyDenied"]


def test_a_role_with_a_justification_is_tagged() -> None:
    recording = roles("shop", policies=[READER])
    assert recording.resource(ROLE, "shop").inputs["tags"] == {"tenant": "shop", "reach": "justified"}
    assert recording.resource(ATTACHMENT, "shop-AmazonBedrockReadOnly").inputs["policyArn"] == READER["arn"]
    assert not roles("shop", statements=[], policies=[READER]).of(INLINE)


def test_the_policies_pass_the_iam_linter() -> None:
    recording = roles("shop")
    documents = [
        recording.resource(ROLE, "shop").inputs["assumeRolePolicy"],
        recording.resource(INLINE, "shop").inputs["policy"],
        recording.of(POLICY)[0].inputs["policy"],
    ]
    assert [findings(resource) for resource in documents] == [[], [], []]


def test_a_preview_lacks_only_values_that_aws_decides() -> None:
    preview, update = roles("shop", preview=True, cluster_arn=None), roles("shop", cluster_arn=None)
    assert preview.registrations.keys() == update.registrations.keys()
    role, planned = update.resource(ROLE, "shop").inputs, preview.resource(ROLE, "shop").inputs
    unknown = {key for key in role if planned.get(key) != role[key]}
    assert unknown == {"assumeRolePolicy", "permissionsBoundary"}
    assert preview.resource(INLINE, "shop").inputs["policy"] == update.resource(INLINE, "shop").inputs["policy"]
