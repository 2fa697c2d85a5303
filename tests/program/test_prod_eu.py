"""The whole program with production's own configuration."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import pulumi
import pytest
import yaml

from local.rehearsal import NEW_TENANT
from model.checks import LONGEST_ROLE
from model.config import stack
from model.config.aws import STANDARD_SUPPORT
from model.config.yaml_lines import YamlFile
from tests.program.conftest import Run
from tests.program.recorder import CHECKOUT, ProgramError, Recording, defaults

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
    if config["aws"]["cluster"]["compute"] == "nodes":  # without Auto Mode's load balancers
        del config["webhooks"]
    return {**config, "fluxManifest": "install.yaml"}


NODES: dict[str, Any] = {
    "compute": "nodes",
    "nodes": {"instanceTypes": ["m7g.large"], "minimum": 3, "maximum": 9},
    "addons": {
        "vpc-cni": "v1.21.1-eksbuild.1",
        "coredns": "v1.13.1-eksbuild.1",
        "kube-proxy": "v1.36.0-eksbuild.2",
        "eks-pod-identity-agent": "v1.3.10-eksbuild.1",
        "aws-ebs-csi-driver": "v1.53.0-eksbuild.1",
        "amazon-cloudwatch-observability": "v4.6.0-eksbuild.1",
    },
}
"""Settings of the cluster for managed nodes in place of Auto Mode."""


def run_production(run: Run, preview: bool = False, **aws: Any) -> Recording:
    tenants = (CHECKOUT / "tenants.yaml").read_text()
    return run(tenants, config=production(**aws), stack_name="prod-eu", preview=preview)


def test_productions_preview_shows_every_resource(run: Run) -> None:
    planned, made = run_production(run, preview=True), run_production(run)
    assert planned.registrations.keys() == made.registrations.keys()
    components = {resource.type for resource in made.registrations.values() if resource.type.startswith("saas:")}
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


ZONES = "aws:index/getAvailabilityZones:getAvailabilityZones"
TOKYO = {"names": [f"ap-northeast-1{zone}" for zone in "acd"], "zoneIds": ["apne1-az4", "apne1-az1", "apne1-az2"]}


def test_zones_that_the_region_lacks_are_refused_before_anything_is_made(run: Run) -> None:
    config = production(region="ap-northeast-1")
    refusal = r"aws.network.zones: the account has no ap-northeast-1b.*\n.*Write `zones: \[a, c, d\]`"
    with pytest.raises(ProgramError, match=refusal):
        run("tenants: []\n", config=config, stack_name="prod-eu", answers={ZONES: TOKYO})
    config["aws"]["network"]["zones"] = ["a", "c", "d"]
    assert run("tenants: []\n", config=config, stack_name="prod-eu", answers={ZONES: TOKYO}).of("aws:ec2/subnet:Subnet")


TYPES = "aws:ec2/getInstanceTypeOfferings:getInstanceTypeOfferings"
OFFERED = {"m7g.large": "abc", "m7g.xlarge": "ab", "g5.xlarge": "a"}


def offerings(asked: dict[str, Any]) -> dict[str, list[str]]:
    """EC2's answer in a region with three types, not all in each zone."""
    types = asked["filters"][0]["values"] if asked.get("filters") else OFFERED
    pairs = [(kind, f"eu-west-1{letter}") for kind in types for letter in OFFERED.get(kind, "")]
    return {"instanceTypes": [kind for kind, _ in pairs], "locations": [zone for _, zone in pairs]}


@pytest.mark.parametrize("compute", ["auto", "nodes"])
@pytest.mark.parametrize(
    ("types", "refusal"),
    [
        (["m7g.large", "m7g.3xlarge"], r"instanceTypes\[1\]: EC2 has no m7g.3xlarge in eu-west-1\n +Did you mean m7g"),
        (["x9z.metal"], r"instanceTypes\[0\]: EC2 has no x9z.metal in eu-west-1\n +Write one that `aws ec2 descr"),
        (["m7g.xlarge"], r"instanceTypes: EC2 has none of these types in eu-west-1c: no node would run there"),
        (["m7g.xlarge", "m7g.large"], ""),
    ],
)
def test_instance_types_that_the_region_lacks_are_refused(
    run: Run, compute: str, types: list[str], refusal: str
) -> None:
    config = production(cluster=NODES) if compute == "nodes" else production()
    config["aws"]["cluster"]["nodes"]["instanceTypes"] = types
    arguments = {"config": config, "stack_name": "prod-eu", "answers": {TYPES: offerings}}
    if not refusal:
        assert run("tenants: []\n", **arguments).of("eks:index:Cluster")
        return
    with pytest.raises(ProgramError, match=rf"aws\.cluster\.nodes\.{refusal}"):
        run("tenants: []\n", **arguments)


def test_a_running_cluster_is_only_warned_of_a_zone_without_its_types(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    config = production()
    config["aws"]["cluster"]["nodes"]["instanceTypes"] = ["m7g.xlarge"]
    earlier = {"aws": {"region": "eu-west-1", "account": config["aws"]["account"]}}
    run("tenants: []\n", config=config, stack_name="prod-eu", answers={TYPES: offerings}, earlier=earlier)
    assert "EC2 has none of these types in eu-west-1c" in caplog.text


@pytest.mark.parametrize(("key", "other"), [("region", "us-east-1"), ("account", "999999999999")])
def test_a_stack_cannot_move_to_another_region_or_account(run: Run, key: str, other: str) -> None:
    location = {"region": "eu-west-1", "account": production()["aws"]["account"]}
    assert run("tenants: []\n", config=production(), stack_name="prod-eu", earlier={"aws": location}).outputs[
        "aws"
    ] == (location)
    refusal = rf"Pulumi.prod-eu.yaml: aws.{key}: {location[key]} is not the {key} of the stack's resources"
    with pytest.raises(ProgramError, match=refusal):
        run("tenants: []\n", config=production(), stack_name="prod-eu", earlier={"aws": {**location, key: other}})


def test_everything_in_the_cluster_waits_for_its_nodes(run: Run) -> None:
    recording = run_production(run, cluster=NODES)
    group = recording.resource("aws:eks/nodeGroup:NodeGroup", "prod-eu").urn
    provider = recording.resource("pulumi:providers:kubernetes", "prod-eu")
    assert group in recording.needs(provider)
    for resource in recording.registrations.values():
        if resource.type.startswith("kubernetes:"):
            assert resource.request.provider.startswith(provider.urn)


def test_every_aws_resource_uses_the_stacks_aws_provider(run: Run) -> None:
    recording = run_production(run)
    provider = recording.resource("pulumi:providers:aws", "aws")
    assert provider.inputs["allowedAccountIds"] == '["123456789012"]'
    for tag in ("Project", "Stack"):
        assert tag in provider.inputs["defaultTags"]
    for resource in recording.registrations.values():
        if resource.type.startswith("aws:"):
            assert resource.request.provider.startswith(provider.urn), resource.urn


def test_resources_with_data_are_protected_until_protection_is_off(run: Run) -> None:
    holds_data = {
        "eks:index:Cluster",
        "aws:kms/key:Key",
        "aws:ec2/vpc:Vpc",
        "aws:ec2/eip:Eip",
        "aws:ecr/repository:Repository",
        "aws:cognito/userPool:UserPool",
        "aws:backup/vault:Vault",
        "aws:s3/bucket:Bucket",
    }
    for protection in (True, False):
        recording = run_production(run, protection=protection)
        found = [resource for resource in recording.registrations.values() if resource.type in holds_data]
        assert {resource.type for resource in found} == holds_data
        assert all(resource.request.protect is protection for resource in found)


def test_a_tenants_config_map_tells_how_to_verify_tokens(run: Run) -> None:
    recording = run_production(run)
    config_map = recording.resource("kubernetes:core/v1:ConfigMap", "tenant-001")
    assert config_map.inputs["metadata"]["namespace"] == "tenant-001"
    assert config_map.inputs["data"]["OIDC_ISSUER"].startswith("https://cognito-idp.eu-west-1.")
    assert config_map.inputs["data"]["OIDC_TENANT"] == "tenant-001"


def test_adding_a_tenant_changes_no_other_resource(run: Run) -> None:
    before = run_production(run)
    tenants = (CHECKOUT / "tenants.yaml").read_text()
    another = NEW_TENANT.replace("tenant-of-a-pull-request", "tenant-003")
    after = run(tenants + another, config=production(), stack_name="prod-eu")
    for urn, resource in before.registrations.items():
        assert after.registrations[urn].inputs == resource.inputs
    new = after.registrations.keys() - before.registrations.keys()
    assert new
    assert {urn.split("::")[-1].partition("/")[0] for urn in new} == {"tenant-003"}
    association = after.resource("aws:eks/podIdentityAssociation:PodIdentityAssociation", "tenant-003").urn
    applied = after.resource("kubernetes:kustomize.toolkit.fluxcd.io/v1:Kustomization", "tenant-003")
    assert association in after.needs(applied)


def test_every_role_has_a_boundary_that_the_deploy_role_cannot_change(run: Run) -> None:
    config = production()
    del config["webhooks"]
    config["fluxComponents"] = ["source-controller", "kustomize-controller", "image-reflector-controller"]
    tenants = (CHECKOUT / "tenants.yaml").read_text() + NEW_TENANT
    manifest = (CHECKOUT / "tests/program/install.yaml").read_text()
    files = {"install.yaml": manifest.replace("image-automation-controller", "image-reflector-controller")}
    recording = run(tenants, config=config, files=files, stack_name="prod-eu")
    held = {role.name: role.inputs.get("permissionsBoundary") for role in recording.of("aws:iam/role:Role")}
    policy = "arn:aws:iam::123456789012:policy/saas-in-eks-prod-eu"
    assert held.pop("tenant-of-a-pull-request") == f"{policy}-tenants-boundary"
    assert set(held.values()) == {f"{policy}-platform-boundary"}
    assert not recording.of("aws:iam/policy:Policy")


def test_the_deploy_role_may_manage_every_key_by_its_own_policy(run: Run) -> None:
    for key in run_production(run).of("aws:kms/key:Key"):
        named = [statement["Principal"] for statement in json.loads(key.inputs["policy"])["Statement"]]
        assert {"AWS": "arn:aws:iam::123456789012:role/saas-in-eks-deploy"} in named, key.name


def test_a_version_near_the_end_of_support_is_warned_of(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(pulumi.log, "warn", said.append)
    monkeypatch.setitem(STANDARD_SUPPORT, "1.36", date.today().isoformat())
    assert run_production(run).of("eks:index:Cluster")
    assert [line for line in said if "Kubernetes 1.36 leaves EKS' standard support" in line]


def test_nodes_carry_the_providers_default_tags(run: Run) -> None:
    recording = run_production(run, cluster=NODES)
    given = json.loads(recording.resource("pulumi:providers:aws", "aws").inputs["defaultTags"])["tags"]
    assert given["Stack"] == "prod-eu"
    template = recording.resource("aws:ec2/launchTemplate:LaunchTemplate", "prod-eu-node").inputs
    assert all(given.items() <= resource["tags"].items() for resource in template["tagSpecifications"])


VERSIONS = "aws:eks/getAddonVersion:getAddonVersion"


def offered(default: str, newest: str) -> dict[str, Any]:
    """EKS' answers about vpc-cni; it has any version of the other add-ons."""

    def answer(asked: dict[str, Any]) -> dict[str, str]:
        if asked["addonName"] != "vpc-cni":
            return {"version": "v999.0.0-eksbuild.1" if asked["mostRecent"] else "v0.0.0-eksbuild.1"}
        return {"version": newest if asked["mostRecent"] else default}

    return {VERSIONS: answer}


def run_with_addons(run: Run, answers: dict[str, Any]) -> Recording:
    return run(
        (CHECKOUT / "tenants.yaml").read_text(), config=production(cluster=NODES), stack_name="prod-eu", answers=answers
    )


def test_the_preview_shows_which_versions_eks_has_of_each_addon(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    run_with_addons(run, offered("v1.21.1-eksbuild.1", "v1.22.0-eksbuild.1"))
    assert "vpc-cni v1.21.1-eksbuild.1 (default v1.21.1-eksbuild.1, newest v1.22.0-eksbuild.1)" in caplog.text
    assert "vpc-cni v1.21.1-eksbuild.1 is older" not in caplog.text
    run_with_addons(run, offered("v1.21.1-eksbuild.3", "v1.22.0-eksbuild.1"))
    assert "vpc-cni v1.21.1-eksbuild.1 is older than v1.21.1-eksbuild.3, EKS' default" in caplog.text


def test_an_addon_version_that_eks_lacks_stops_before_anything_is_made(run: Run) -> None:
    with pytest.raises(ProgramError, match=r"aws.cluster.addons.vpc-cni: EKS has no vpc-cni v1\.21\.1-eksbuild\.1"):
        run_with_addons(run, offered("v1.20.4-eksbuild.1", "v1.20.5-eksbuild.2"))


VPC = "vpc-0123456789abcdef0"
SUBNETS = {"subnet-0123456789abcdef0": "eu-west-1a", "subnet-0123456789abcdef1": "eu-west-1b"}
THEIRS = {
    "aws:ec2/getVpc:getVpc": {"id": VPC, "enableDnsSupport": True, "enableDnsHostnames": True},
    "aws:ec2/getSubnet:getSubnet": lambda asked: {
        "id": asked["id"],
        "vpcId": VPC,
        "availabilityZone": SUBNETS[asked["id"]],
        "tags": {"kubernetes.io/role/internal-elb": "1"},
    },
}


def test_eks_chooses_service_addresses_in_an_existing_vpc_only(run: Run) -> None:
    made = run_production(run).resource("eks:index:Cluster", "prod-eu").inputs
    assert made["kubernetesServiceIpAddressRange"] == "172.20.0.0/16"
    config = production()
    config["aws"]["network"] = {"existing": {"vpc": VPC, "privateSubnets": [*SUBNETS]}}
    del config["webhooks"]
    recording = run((CHECKOUT / "tenants.yaml").read_text(), config=config, stack_name="prod-eu", answers=THEIRS)
    assert "kubernetesServiceIpAddressRange" not in recording.resource("eks:index:Cluster", "prod-eu").inputs


def test_the_names_of_a_stack_leave_room_for_every_role(run: Run) -> None:
    config = production(cluster=NODES)
    recording = run((CHECKOUT / "tenants.yaml").read_text(), config=config, stack_name="prod-eu")
    names = {role.inputs["name"] for role in recording.of("aws:iam/role:Role")}
    own = [name for name in names if name.startswith("saas-in-eks-prod-eu-")]
    assert max(own, key=len) == f"saas-in-eks-prod-eu-{LONGEST_ROLE}"
    with pytest.raises(ProgramError, match=r"cluster: c+ is too long"):
        run(config={**config, "cluster": "c" * 37}, stack_name="prod-eu")


WRONG_STACK = """\
config:
  saas-in-eks:owner: acme
  saas-in-eks:fluxManifest: https://example.com/install.yaml
  saas-in-eks:aws:
    region: eu-west-11
    account: "12"
    network:
      nat: each
      reserved:
        - somewhere
        - 10.0.1.0/24
    cluster:
      version: "1.21"
      administrators: [platform-engineer]
      addons:
        vpc-cni: latest
        core-dns: v1.13.1-eksbuild.1
        kube-proxy: v1.36.0-eksbuild.2
"""

WRONG_TENANTS = """\
tenants:
  - {name: A, source: {url: "https://github.com/acme/a", branch: main}}
  - name: shop
    source: {url: "https://github.com/acme/shop", branch: main}
    identity: pool
    aws:
      statements:
        - actions: [s3:GetObject]
          resources: [arn:aws:s3:::acme-data/*]
"""


def test_all_shape_errors_of_all_files_come_before_anything_is_registered(run: Run) -> None:
    assert refused(run, WRONG_STACK, WRONG_TENANTS) == [
        "Pulumi.prod-eu.yaml:5: aws.region: 'eu-west-11' is not an AWS region",
        "Pulumi.prod-eu.yaml:6: aws.account: '12' is not an AWS account",
        "Pulumi.prod-eu.yaml:8: aws.network.nat: Input should be 'single', 'perZone' or 'none'",
        "Pulumi.prod-eu.yaml:10: aws.network.reserved[0]: 'somewhere' is not a network",
        "Pulumi.prod-eu.yaml:13: aws.cluster.version: Kubernetes 1.21 is not in EKS' standard support",
        "Pulumi.prod-eu.yaml:14: aws.cluster.administrators[0]: 'platform-engineer' is not an ARN",
        "Pulumi.prod-eu.yaml:16: aws.cluster.addons.vpc-cni: 'latest' is not a version of an EKS add-on",
        "Pulumi.prod-eu.yaml:17: aws.cluster.addons.core-dns: 'core-dns' is not an EKS add-on",
        "tenants.yaml:2: tenants[0].name: 'A' is not a valid namespace name",
    ]


def test_all_broken_rules_of_all_files_come_before_anything_is_registered(run: Run) -> None:
    stack, tenants = WRONG_STACK, WRONG_TENANTS.replace("name: A", "name: alpha")
    for wrong, right in (
        ("eu-west-11", "eu-west-1"),
        ('"12"', '"123456789012"'),
        ("each", "single"),
        ("somewhere", "10.9.0.0/16"),
        ("1.21", "1.36"),
        ("platform-engineer", "arn:aws:iam::123456789012:role/platform-engineer"),
        ("latest", "v1.21.1-eksbuild.1"),
        ("core-dns", "coredns"),
    ):
        stack = stack.replace(wrong, right)
    assert refused(run, stack, tenants) == [
        "Pulumi.prod-eu.yaml:3: fluxManifest: a downloaded manifest needs a digest",
        "Pulumi.prod-eu.yaml:11: aws.network.reserved[1]: the VPC's 10.0.0.0/16 overlaps 10.0.1.0/24",
        "Pulumi.prod-eu.yaml:12: aws.cluster: the cluster's endpoint could be reached from its own pods only, so that "
        "not even Pulumi could use it",
        "Pulumi.prod-eu.yaml:15: aws.cluster.addons: alpha, shop may claim storage (quota requests.storage), and no "
        "add-on of the cluster creates volumes",
        "Pulumi.prod-eu.yaml:15: aws.cluster.addons: the version of eks-pod-identity-agent is not pinned",
        "tenants.yaml:5: tenants[1].identity: a pool needs a stack with a user pool, and this stack has none",
        "tenants.yaml:9: tenants[1].aws.statements[0].resources[0]: arn:aws:s3:::acme-data/* does not contain the "
        "tenant's name",
    ]


def refused(run: Run, stack: str, tenants: str) -> list[str]:
    """The problems of these inputs, without their remedies."""
    config = {key.partition(":")[2]: value for key, value in yaml.safe_load(stack)["config"].items()}
    with pytest.raises(ProgramError) as caught:
        run(tenants, config=config, files={"Pulumi.prod-eu.yaml": stack}, stack_name="prod-eu")
    heading, *lines = str(caught.value).splitlines()
    problems = [line for line in lines if not line.startswith("    ")]
    assert heading == f"{len(problems)} problems; nothing was changed."
    assert len(lines) == 2 * len(problems), "each problem has a remedy"
    return problems


def test_webhooks_reach_flux_by_an_api_and_a_load_balancer_of_their_own(run: Run) -> None:
    recording = run_production(run)
    (route,) = recording.of("aws:apigatewayv2/route:Route")
    assert route.inputs["routeKey"] == "POST /hook/{id}"
    (stage,) = recording.of("aws:apigatewayv2/stage:Stage")
    assert stage.inputs["defaultRouteSettings"] == {"throttlingRateLimit": 10, "throttlingBurstLimit": 20}
    (balancer,) = recording.of("aws:lb/loadBalancer:LoadBalancer")
    assert balancer.inputs["internal"] is True
    (binding,) = recording.of("kubernetes:eks.amazonaws.com/v1:TargetGroupBinding")
    assert binding.inputs["spec"]["serviceRef"] == {"name": "webhook-receiver", "port": 80}
    controller = recording.resource("kubernetes:apps/v1:Deployment", "kustomize-controller")
    assert controller.urn in recording.needs(binding)
    own = {
        subnet.inputs["cidrBlock"]
        for subnet in recording.of("aws:ec2/subnet:Subnet")
        if subnet.inputs["tags"]["Name"].startswith("saas-in-eks-prod-eu-webhooks")
    }
    assert own == {"10.0.192.0/22", "10.0.196.0/22", "10.0.200.0/22"} == {*balancer_networks()}


def balancer_networks() -> tuple[str, ...]:
    """The networks that may send to the receiver in production."""
    config = {**defaults(), **production(), "network": None}
    return stack.parse(YamlFile("Pulumi.prod-eu.yaml", config, {})).webhook_networks
