"""The rules of the policy pack: each finds violations, and passes resources that keep it."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from pipeline.policy import rules
from pipeline.policy.rules import RULES, SECRET, STACK_RULES, UNKNOWN, Provider, Resource, description_of, name_of

ROOT = "arn:aws:iam::123456789012:root"
CIDRS = ["203.0.113.0/24"]


def aws(token: str, **props: Any) -> Resource:
    """An AWS resource: aws("ec2/eip:Eip", domain="vpc")."""
    return resource(f"aws:{token}", **props)


def resource(token: str, name: str = "it", **props: Any) -> Resource:
    return Resource(token, name, f"urn:pulumi:test::saas::{token}::{name}", props)


def broken(item: Resource) -> set[str]:
    """The names of the rules that a resource breaks."""
    return {name_of(rule) for rule in RULES if list(rule(item))}


def document(**statement: Any) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **statement}]})


@pytest.mark.parametrize("token", ["eks/cluster:Cluster", "component"])
def test_a_public_endpoint_needs_an_allow_list(token: str) -> None:
    def cluster(**access: Any) -> Resource:
        return resource("eks:index:Cluster", **access) if token == "component" else aws(token, vpcConfig=access)

    def is_open(item: Resource) -> bool:
        return "endpoint-allow-list" in broken(item)

    assert is_open(cluster(endpointPublicAccess=True))
    assert is_open(cluster()), "AWS' default is public"
    assert is_open(cluster(endpointPublicAccess=True, publicAccessCidrs=[*CIDRS, "0.0.0.0/0"]))
    assert not is_open(cluster(endpointPublicAccess=True, publicAccessCidrs=CIDRS))
    assert not is_open(cluster(endpointPublicAccess=False))
    assert not is_open(cluster(endpointPublicAccess=True, publicAccessCidrs=UNKNOWN)), "the update will tell"


def test_no_security_group_lets_the_whole_internet_in() -> None:
    rule, group = "vpc/securityGroupIngressRule:SecurityGroupIngressRule", "ec2/securityGroup:SecurityGroup"
    for item in (
        aws(rule, cidrIpv4="0.0.0.0/0"),
        aws(rule, cidrIpv6="::/0"),
        aws(group, ingress=[{"cidrBlocks": ["10.0.0.0/16", "0.0.0.0/0"]}]),
        aws(group, ingress=[{"ipv6CidrBlocks": ["::/0"]}]),
    ):
        assert "closed-security-groups" in broken(item), item
    for item in (
        aws(rule, cidrIpv4="10.0.0.0/16"),
        aws(rule, referencedSecurityGroupId=UNKNOWN),
        aws(group, egress=[{"cidrBlocks": ["0.0.0.0/0"]}]),
        aws(group, ingress=UNKNOWN),
    ):
        assert "closed-security-groups" not in broken(item), item


CLUSTER = "eks/cluster:Cluster"
REPOSITORY = "ecr/repository:Repository"
LOG_GROUP = "cloudwatch/logGroup:LogGroup"
TEMPLATE = "ec2/launchTemplate:LaunchTemplate"


@pytest.mark.parametrize(
    ("open_one", "encrypted"),
    [
        (aws(CLUSTER), aws(CLUSTER, encryptionConfig={"provider": {"keyArn": UNKNOWN}, "resources": ["secrets"]})),
        (resource("eks:index:Cluster"), resource("eks:index:Cluster", encryptionConfigKeyArn="arn:aws:kms:…")),
        (
            aws(REPOSITORY, encryptionConfigurations=[{"encryptionType": "AES256"}]),
            aws(REPOSITORY, encryptionConfigurations=[{"encryptionType": "KMS", "kmsKey": UNKNOWN}]),
        ),
        (aws(LOG_GROUP, retentionInDays=90), aws(LOG_GROUP, kmsKeyId=UNKNOWN)),
        (
            aws(TEMPLATE, blockDeviceMappings=[{"deviceName": "/dev/xvda", "ebs": {"volumeSize": 50}}]),
            aws(TEMPLATE, blockDeviceMappings=[{"deviceName": "/dev/xvda", "ebs": {"encrypted": "true"}}]),
        ),
        (aws(TEMPLATE), aws(TEMPLATE, blockDeviceMappings=[{"ebs": {"encrypted": True}}])),
    ],
    ids=["secrets", "secrets-component", "images", "logs", "disk", "default-disk"],
)
def test_secrets_images_logs_and_disks_are_encrypted(open_one: Resource, encrypted: Resource) -> None:
    assert "encrypted-stores" in broken(open_one)
    assert "encrypted-stores" not in broken(encrypted)


def test_log_groups_have_a_retention_period() -> None:
    assert "log-retention" in broken(aws(LOG_GROUP))
    assert "log-retention" in broken(aws(LOG_GROUP, retentionInDays=0))
    assert "log-retention" not in broken(aws(LOG_GROUP, retentionInDays=90))


def test_an_image_tag_cannot_be_moved() -> None:
    assert "immutable-tags" in broken(aws(REPOSITORY))
    assert "immutable-tags" in broken(aws(REPOSITORY, imageTagMutability="MUTABLE_WITH_EXCLUSION"))
    assert "immutable-tags" not in broken(aws(REPOSITORY, imageTagMutability="IMMUTABLE"))
    assert "immutable-tags" not in broken(aws(REPOSITORY, imageTagMutability="IMMUTABLE_WITH_EXCLUSION"))


@pytest.mark.parametrize("token", rules.data.HOLDS_DATA)
def test_resources_that_hold_data_are_protected(token: str) -> None:
    item = resource(token)
    assert "protected-data" in broken(item)
    assert "protected-data" not in broken(Resource(item.type, item.name, item.urn, item.props, protect=True))


def test_container_logs_go_with_their_tenant() -> None:
    def group(name: str) -> Resource:
        made = aws(LOG_GROUP)
        return Resource(made.type, made.name, made.urn, {"name": name})

    assert "protected-data" not in broken(group("/aws/containerinsights/prod-eu/application/tenant-001"))
    assert "protected-data" in broken(group("/aws/eks/prod-eu/cluster"))


def test_the_infra_repository_may_be_retained_instead() -> None:
    token = "github:index/repository:Repository"
    assert "protected-data" in broken(Resource(token, "infra", "urn", retain_on_delete=False))
    assert "protected-data" not in broken(Resource(token, "infra", "urn", retain_on_delete=True))
    # The engine does not tell a policy pack; the tests over the recorded program know.
    assert "protected-data" not in broken(Resource(token, "infra", "urn", retain_on_delete=None))


def test_a_tenants_own_user_pool_may_be_retained_and_the_shared_one_not() -> None:
    def pool(types: str, kept: bool | None) -> Resource:
        urn = f"urn:pulumi:test::saas::{types}::shop"
        return Resource("aws:cognito/userPool:UserPool", "shop", urn, retain_on_delete=kept)

    shared = "saas:identity:Identity$aws:cognito/userPool:UserPool"
    own = f"saas:identity:TenantIdentity${shared}"
    assert "protected-data" not in broken(pool(own, True))
    assert "protected-data" not in broken(pool(own, None)), "as the engine tells it"
    assert "protected-data" in broken(pool(own, False))
    assert "protected-data" in broken(pool(shared, None))


ROLE, POLICY, KEY = "iam/role:Role", "iam/rolePolicy:RolePolicy", "kms/key:Key"
READ = {"Action": ["s3:GetObject"], "Resource": ["arn:aws:s3:::tenant-001/*"]}


@pytest.mark.parametrize(
    "item",
    [
        aws(POLICY, policy=document(Action="*", Resource="arn:aws:s3:::tenant-001")),
        aws(POLICY, policy=document(Action=["s3:*"], Resource=["arn:aws:s3:::tenant-001"])),
        aws(POLICY, policy=document(Action="s3:GetObject", Resource="*")),
        aws(POLICY, policy=document(Action="s3:GetObject", Resource="arn:aws:s3:::*")),
        aws(POLICY, policy=document(NotAction="iam:*", Resource="arn:aws:s3:::tenant-001")),
        aws(POLICY, policy=document(Action="s3:GetObject", NotResource="arn:aws:s3:::tenant-001")),
        aws(POLICY, policy=json.loads(document(Action="s3:GetObject", Resource="*"))),
        aws(POLICY, policy="{not JSON"),
        aws(ROLE, assumeRolePolicy=document(Action="sts:AssumeRole", Principal="*")),
        aws(ROLE, assumeRolePolicy=document(Action="sts:AssumeRole", Principal={"AWS": [ROOT, "*"]})),
        aws(ROLE, inlinePolicies=[{"name": "all", "policy": document(Action="*", Resource="*")}]),
        aws(ROLE, managedPolicyArns=["arn:aws:iam::aws:policy/AmazonS3FullAccess"]),
        aws("iam/rolePolicyAttachment:RolePolicyAttachment", policyArn="arn:aws:iam::aws:policy/AdministratorAccess"),
        aws("ecr/repositoryPolicy:RepositoryPolicy", policy=document(Action="ecr:BatchGetImage", Principal="*")),
        aws(KEY, policy=document(Action="kms:*", Resource="*", Principal={"AWS": "arn:aws:iam::123456789012:role/x"})),
        aws(KEY, policy=document(Action="kms:Decrypt", Resource="*", Principal="*")),
    ],
)
def test_a_wildcard_permission_is_found(item: Resource) -> None:
    assert "narrow-permissions" in broken(item)


@pytest.mark.parametrize(
    "item",
    [
        aws(POLICY, policy=document(**READ)),
        aws(POLICY, policy=json.dumps({"Statement": {"Effect": "Deny", "Action": "*", "Resource": "*"}})),
        aws(POLICY, policy=document(Action="ecr:GetAuthorizationToken", Resource="*")),
        aws(POLICY, policy=UNKNOWN),
        aws(ROLE, assumeRolePolicy=document(Action="sts:AssumeRole", Principal={"Service": "ec2.amazonaws.com"})),
        aws("iam/rolePolicyAttachment:RolePolicyAttachment", policyArn="arn:aws:iam::aws:policy/AmazonEKS_CNI_Policy"),
        # Without it the key's policy could never be changed again.
        aws(KEY, policy=document(Action="kms:*", Resource="*", Principal={"AWS": ROOT})),
        resource("kubernetes:core/v1:ConfigMap", policy="not IAM's"),
    ],
)
def test_a_narrow_permission_passes(item: Resource) -> None:
    assert "narrow-permissions" not in broken(item)


def test_data_leaves_by_a_vpc_endpoint_to_named_accounts_only() -> None:
    endpoint = "ec2/vpcEndpoint:VpcEndpoint"

    def is_open(**props: Any) -> bool:
        return "limited-endpoints" in broken(aws(endpoint, **props))

    anyone = {"Principal": "*", "Resource": "*"}
    own = {"StringEqualsIfExists": {"aws:ResourceAccount": ["123456789012"]}}
    assert is_open()
    assert is_open(policy=document(**anyone, Action="*"))
    assert is_open(policy=document(**anyone, Action="s3:*"))
    assert not is_open(policy=document(**anyone, Action="*", Condition=own))
    assert not is_open(policy=document(**anyone, Action=["s3:GetObject"]))
    assert not is_open(policy=UNKNOWN)
    assert "narrow-permissions" not in broken(aws(endpoint, policy=document(**anyone, Action="*", Condition=own)))


def test_pods_cannot_get_their_nodes_credentials() -> None:
    def template(**options: Any) -> Resource:
        return aws(TEMPLATE, metadataOptions=options)

    assert "instance-metadata" in broken(aws(TEMPLATE))
    assert "instance-metadata" in broken(template(httpTokens="optional", httpPutResponseHopLimit=1))
    assert "instance-metadata" in broken(template(httpTokens="required", httpPutResponseHopLimit=2))
    assert "instance-metadata" not in broken(template(httpTokens="required", httpPutResponseHopLimit=1))
    assert "instance-metadata" in broken(aws("eks/nodeGroup:NodeGroup")), "EKS' own template lets pods in"
    assert "instance-metadata" not in broken(aws("eks/nodeGroup:NodeGroup", launchTemplate={"id": UNKNOWN}))


@pytest.mark.parametrize(
    ("rule", "wrong", "right"),
    [
        (
            "control-plane-logs",
            {"enabledClusterLogTypes": ["api", "audit"]},
            {"enabledClusterLogTypes": ["api", "audit", "authenticator", "controllerManager", "scheduler"]},
        ),
        ("standard-support", {"upgradePolicy": {"supportType": "EXTENDED"}}, {"upgradePolicy": UNKNOWN}),
        ("standard-support", {}, {"upgradePolicy": {"supportType": "STANDARD"}}),
        ("api-authentication", {"authenticationMode": "API_AND_CONFIG_MAP"}, {"authenticationMode": "API"}),
        ("api-authentication", {}, {"authenticationMode": "API"}),
    ],
)
def test_a_cluster_setting_is_checked(rule: str, wrong: Mapping[str, Any], right: Mapping[str, Any]) -> None:
    assert rule in broken(resource("eks:index:Cluster", **wrong))
    assert rule not in broken(resource("eks:index:Cluster", **right))


def test_the_cluster_inside_the_eks_component_is_checked_too() -> None:
    assert "api-authentication" in broken(aws(CLUSTER, accessConfig={"authenticationMode": "CONFIG_MAP"}))
    assert "api-authentication" not in broken(aws(CLUSTER, accessConfig={"authenticationMode": "API"}))
    assert {"control-plane-logs", "standard-support"} <= broken(aws(CLUSTER))


def test_a_kubernetes_provider_needs_a_cluster_identifier() -> None:
    token = "pulumi:providers:kubernetes"
    assert "cluster-identifier" in broken(resource(token, kubeconfig="kubeconfig"))
    assert "cluster-identifier" not in broken(resource(token, clusterIdentifier="prod-eu"))
    inside = Resource(token, "eks", f"urn:pulumi:test::saas::eks:index:Cluster${token}::eks")
    assert "cluster-identifier" not in broken(inside), "pulumi-eks' own"


KEY_TEXT = "-----BEGIN PRIVATE KEY-----\nMIG2AgEAMBAG"


@pytest.mark.parametrize(
    "item",
    [
        resource("kubernetes:core/v1:Secret", stringData={"identity": KEY_TEXT}),
        resource("kubernetes:core/v1:Secret", data={"identity": base64.b64encode(KEY_TEXT.encode()).decode()}),
        resource("kubernetes:core/v1:ConfigMap", data={"values": ["a", f"key: {'AKIA' + 'ABCDEFGHIJKLMNOP'}"]}),
        resource("github:index/repositoryFile:RepositoryFile", content="token: ghp_" + "a" * 36),
        aws(TEMPLATE, userData="PULUMI_ACCESS_TOKEN=pul-" + "0a" * 20),
    ],
)
def test_a_credential_in_plain_text_is_found_and_not_repeated(item: Resource) -> None:
    assert "no-plain-text-secrets" in broken(item)
    (said,) = rules.no_plain_text_secrets(item)
    assert not any(text in said for text in ("MIG2", "AKIA", "ghp_", "pul-"))


def test_a_credential_that_is_marked_as_a_secret_passes() -> None:
    for text in (SECRET, {"identity": SECRET, "identity.pub": "ecdsa-sha2 AAAA"}):
        assert "no-plain-text-secrets" not in broken(resource("kubernetes:core/v1:Secret", stringData=text))


def test_every_aws_resource_has_the_providers_tags() -> None:
    def made_by(**settings: Any) -> Resource:
        item = aws("ec2/vpc:Vpc")
        return Resource(item.type, item.name, item.urn, provider=Provider("pulumi:providers:aws", settings))

    assert "tagged-resources" in broken(aws("ec2/vpc:Vpc")), "made by the default provider"
    assert "tagged-resources" in broken(made_by(region="eu-west-1"))
    assert "tagged-resources" in broken(made_by(defaultTags='{"tags": {"Project": "saas"}}'))
    assert "tagged-resources" not in broken(made_by(defaultTags='{"tags": {"Project": "saas", "Stack": "prod-eu"}}'))
    assert "tagged-resources" not in broken(made_by(defaultTags={"tags": {"Project": "saas", "Stack": "prod-eu"}}))
    assert "tagged-resources" not in broken(made_by(defaultTags=UNKNOWN))


def test_a_launch_template_tags_the_resources_it_creates() -> None:
    everything = {"Project": "saas", "Stack": "prod-eu"}
    defaults = Provider("pulumi:providers:aws", {"defaultTags": {"tags": everything}})

    def lacks(**props: Any) -> str:
        item = aws(TEMPLATE, **props)
        return " ".join(rules.tagged_resources(Resource(item.type, item.name, item.urn, item.props, provider=defaults)))

    def specified(*kinds: str, tags: Any = everything) -> list[dict[str, Any]]:
        return [{"resourceType": kind, "tags": tags} for kind in kinds]

    assert all(kind in lacks() for kind in ("instance", "volume", "network-interface"))
    only = lacks(tagSpecifications=specified("instance", "volume"))
    assert "network-interface lack Project, Stack" in only
    assert "volume" not in only
    started = ("instance", "volume", "network-interface")
    assert "lack Stack" in lacks(tagSpecifications=specified(*started, tags={"Project": "saas"}))
    assert lacks(tagSpecifications=specified(*started)) == ""
    assert lacks(tagSpecifications=specified(*started, tags=UNKNOWN)) == ""
    assert lacks(tagSpecifications=UNKNOWN) == lacks(tagSpecifications=[UNKNOWN]) == ""


def tenant(name: str, namespace: str, *objects: tuple[str, dict[str, Any]]) -> list[Resource]:
    space = Resource(rules.isolation.TENANT, name, f"urn:{name}")
    labels = dict.fromkeys(rules.isolation.REQUIRED_LABELS, "baseline")
    inside = [(rules.isolation.NAMESPACE, {"name": namespace, "labels": labels}), *objects]
    return [
        Resource(rules.isolation.ADMISSION, "guardrails", "urn:guardrails"),
        space,
        *(Resource(kind, name, f"{space.urn}::{kind}", {"metadata": data}, parent=space.urn) for kind, data in inside),
    ]


def complete(name: str, namespace: str) -> list[Resource]:
    return tenant(name, namespace, *((kind, {"namespace": namespace}) for kind in rules.isolation.REQUIRED_OBJECTS))


def isolation(resources: list[Resource]) -> list[str]:
    return [f"{urn} {problem}" for urn, problem in rules.tenant_isolation(resources)]


def test_a_tenant_with_all_isolation_objects_passes() -> None:
    assert isolation(complete("alpha", "alpha") + complete("beta", "beta")) == []


def test_a_tenant_of_a_shared_product_has_its_account_in_the_products_namespace() -> None:
    def with_account_in(namespace: str) -> list[Resource]:
        others = [kind for kind in rules.isolation.REQUIRED_OBJECTS if kind != rules.isolation.ACCOUNT]
        account = (rules.isolation.ACCOUNT, {"namespace": namespace})
        return tenant("alpha", "alpha", account, *((kind, {"namespace": "alpha"}) for kind in others))

    assert isolation(with_account_in("product-shop")) == []
    assert len(isolation(with_account_in("default"))) == 1


@pytest.mark.parametrize("kind", rules.isolation.REQUIRED_OBJECTS)
def test_a_tenant_without_an_isolation_object_is_found(kind: str) -> None:
    without = [item for item in complete("alpha", "alpha") if item.type != kind]
    (said,) = isolation(without + complete("beta", "beta"))
    assert "urn:alpha" in said
    assert kind.split(":")[-1] in said
    elsewhere = Resource(kind, "alpha", "urn", {"metadata": {"namespace": "default"}}, parent="urn:alpha")
    assert isolation([*without, elsewhere]), "in another namespace it isolates nothing"


def test_a_tenant_without_its_own_namespace_is_found() -> None:
    (said,) = isolation([Resource(rules.isolation.TENANT, "alpha", "urn:alpha")])
    assert "0 namespaces" in said
    (said,) = isolation(complete("alpha", "shared") + complete("beta", "shared"))
    assert "shares shared with alpha" in said


def test_a_tenant_with_cluster_wide_rights_is_found() -> None:
    binding = Resource(rules.isolation.CLUSTER_WIDE, "alpha", "urn:binding", parent="urn:alpha")
    (said,) = isolation([*complete("alpha", "alpha"), binding])
    assert "urn:binding" in said


@pytest.mark.parametrize("label", rules.isolation.REQUIRED_LABELS)
def test_a_namespace_without_a_required_label_is_found(label: str) -> None:
    resources = complete("alpha", "alpha")
    (namespace,) = [item for item in resources if item.type == rules.isolation.NAMESPACE]
    del namespace.props["metadata"]["labels"][label]
    (said,) = isolation(resources)
    assert label in said


def test_tenants_without_admission_policies_are_found() -> None:
    (said,) = isolation([item for item in complete("alpha", "alpha") if item.type != rules.isolation.ADMISSION])
    assert "Guardrails" in said


def test_an_exception_lets_one_resource_break_one_rule() -> None:
    item, other = (
        aws(LOG_GROUP),
        Resource(f"aws:{LOG_GROUP}", "other", f"urn:pulumi:test::saas::a$aws:{LOG_GROUP}::other"),
    )
    config = {"exceptions": [{"resource": f"aws:{LOG_GROUP}::it", "reason": "kept for the auditors, for ever"}]}
    allowed = rules.parse(config)
    assert list(rules.broken_by(item, rules.log_retention, allowed)) == []
    assert list(rules.broken_by(other, rules.log_retention, allowed))
    nested = rules.parse(
        {"exceptions": [{"resource": f"aws:{LOG_GROUP}::other", "reason": "the same, in a component"}]}
    )
    assert list(rules.broken_by(other, rules.log_retention, nested)) == []
    assert rules.parse({}) == []


def test_an_exception_applies_to_stack_rules_too() -> None:
    lone = [Resource(rules.isolation.TENANT, "alpha", "urn:p:s::p::saas:tenant:TenantSpace::alpha")]
    config = {"exceptions": [{"resource": "saas:tenant:TenantSpace::alpha", "reason": "moves out this week"}]}
    assert list(rules.broken_in_stack(lone, rules.tenant_isolation)) != []
    assert list(rules.broken_in_stack(lone, rules.tenant_isolation, rules.parse(config))) == []


def test_every_rule_is_in_the_documentation() -> None:
    written = (Path(__file__).parents[2] / "docs/policy.md").read_text()
    rows = [f"| `{name_of(rule)}` | {description_of(rule)} |" for rule in (*RULES, *STACK_RULES)]
    assert [row for row in rows if row not in written] == []
