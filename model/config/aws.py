"""AWS settings: `saas-in-eks:aws` in a stack's configuration. The defaults are fit for production."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import date, timedelta
from ipaddress import IPv4Network
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from model.config.base import Finding, Model, rule_error
from model.config.errors import suggestion
from model.config.network import Namespace, network_in
from model.config.yaml_lines import YamlPath

REGIONS = frozenset(
    """
    af-south-1 ap-east-1 ap-east-2 ap-northeast-1 ap-northeast-2 ap-northeast-3 ap-south-1 ap-south-2 ap-southeast-1
    ap-southeast-2 ap-southeast-3 ap-southeast-4 ap-southeast-5 ap-southeast-6 ap-southeast-7 ca-central-1 ca-west-1
    eu-central-1 eu-central-2 eu-north-1 eu-south-1 eu-south-2 eu-west-1 eu-west-2 eu-west-3 il-central-1 me-central-1
    me-south-1 mx-central-1 sa-east-1 us-east-1 us-east-2 us-west-1 us-west-2
    """.split()
)
"""The regions of the public partition, as of 2026-11-23; a test compares them with botocore's."""

PARTITIONS = {
    "cn-": "aws-cn",
    "us-gov-": "aws-us-gov",
    "us-iso-": "aws-iso",
    "us-isob-": "aws-iso-b",
    "us-isof-": "aws-iso-f",
    "eu-isoe-": "aws-iso-e",
    "eusc-": "aws-eusc",
}
"""The other partitions of AWS, by the beginning of their regions; a test compares them with botocore's."""

STANDARD_SUPPORT = {"1.34": "2026-12-02", "1.35": "2027-03-27", "1.36": "2027-08-02"}
"""EKS versions and the end of their standard support (EKS user guide, "Kubernetes versions"), as of 2026-11-23."""

GATEWAY_ENDPOINTS = ("s3", "dynamodb")
"""Services with a gateway endpoint, which is free."""

INTERFACE_ENDPOINTS = (
    "autoscaling",
    "cognito-idp",
    "ec2",
    "ecr.api",
    "ecr.dkr",
    "eks",
    "eks-auth",
    "elasticloadbalancing",
    "kms",
    "logs",
    "secretsmanager",
    "sqs",
    "ssm",
    "sts",
)
"""Services with an interface endpoint, at an hourly price per zone."""

ADDONS = (
    *("vpc-cni", "coredns", "kube-proxy", "eks-pod-identity-agent", "metrics-server", "aws-ebs-csi-driver"),
    *("aws-efs-csi-driver", "snapshot-controller", "eks-node-monitoring-agent", "amazon-cloudwatch-observability"),
    *("aws-guardduty-agent", "cert-manager", "external-dns", "kube-state-metrics", "prometheus-node-exporter"),
)
"""Well-known EKS add-ons, to suggest one for a misspelled name. Any other name is passed on to EKS."""

EBS_CSI = "aws-ebs-csi-driver"
OBSERVABILITY = "amazon-cloudwatch-observability"

AWS_POLICY = "arn:aws:iam::aws:policy/"
ADDON_ROLES: Mapping[str, tuple[str, str, str]] = {
    "vpc-cni": ("kube-system", "aws-node", f"{AWS_POLICY}AmazonEKS_CNI_Policy"),
    EBS_CSI: ("kube-system", "ebs-csi-controller-sa", f"{AWS_POLICY}service-role/AmazonEBSCSIDriverPolicy"),
    "aws-efs-csi-driver": (
        "kube-system",
        "efs-csi-controller-sa",
        f"{AWS_POLICY}service-role/AmazonEFSCSIDriverPolicy",
    ),
    # Of the agent and of Fluent Bit.
    OBSERVABILITY: ("amazon-cloudwatch", "cloudwatch-agent", f"{AWS_POLICY}CloudWatchAgentServerPolicy"),
}
"""Namespace, service account and policy of add-ons whose pods act on AWS, in place of permissions of the nodes."""

LOG_TYPES = ("api", "audit", "authenticator", "controllerManager", "scheduler")
"""All log types of an EKS control plane."""

ZONES_WITHOUT_EKS = frozenset({"use1-az3", "usw1-az2", "cac1-az3"})
"""IDs of the zones in which EKS creates no control plane (EKS user guide, "VPC and subnet requirements")."""

REQUIRED_ADDONS = ("vpc-cni", "coredns", "kube-proxy", "eks-pod-identity-agent")
"""Add-ons that a cluster with its own nodes needs; they are built into Auto Mode."""
BUILT_INTO_AUTO_MODE = (*REQUIRED_ADDONS, EBS_CSI)
ZONES = "abcdef"
"""The supported letters of availability zones."""
MAXIMUM_ZONES = len(ZONES)
MAXIMUM_RULES = 60
"""AWS' default quota of ingress rules in a security group."""
MINIMUM_BACKUP_DAYS = 7
"""The shortest time that a locked vault takes backups for. Fixed, since a lock cannot be changed but only removed."""
SUPPORT_NOTICE = timedelta(days=60)
"""How long before the end of standard support a warning is printed."""
PRIVATE_BITS, PUBLIC_BITS = 3, 6
"""How much longer a subnet's prefix is than the VPC's: /19 and /22 in a /16."""

FAMILY = r"[a-z]+\d+[a-z]*(?:-[a-z0-9]+)?|mac-m\d+[a-z]*|u-\d+tb\d+"
SIZE = r"nano|micro|small|medium|large|\d*xlarge|metal(?:-\d+xl)?"
"""An instance type is its family and its size: m7g.large."""

LOG_RETENTION_DAYS = tuple(
    map(int, "1 3 5 7 14 30 60 90 120 150 180 365 400 545 731 1096 1827 2192 2557 2922 3288 3653".split())
)


def _region(value: str) -> str:
    if other := next((name for prefix, name in PARTITIONS.items() if value.startswith(prefix)), None):
        remedy = "Only the public partition, aws, is supported: write one of its regions, and an account there."
        raise rule_error(f"{value} is in another partition of AWS, {other}, which is not supported", remedy)
    if value not in REGIONS:
        raise rule_error(f"{value!r} is not an AWS region", suggestion(value, REGIONS))
    return value


def _account(value: str) -> str:
    if not re.fullmatch(r"[0-9]{12}", value):
        raise rule_error(f"{value!r} is not an AWS account", 'Write its twelve digits in quotes: "123456789012".')
    return value


def _cidr(value: str) -> str:
    return str(network_in(value, IPv4Network, "Write an IPv4 network such as 10.0.0.0/16."))


def _vpc_cidr(value: str) -> str:
    network = IPv4Network(_cidr(value))
    if not 16 <= network.prefixlen <= 22:
        remedy = "Write a network from /16 (65,536 addresses) to /22 (1,024)."
        raise rule_error(f"{value} has the wrong size to be divided into subnets", remedy)
    if not network.is_private and not network.subnet_of(IPv4Network("100.64.0.0/10")):
        raise rule_error(f"{value} is a public network", "Write a private network, within 10.0.0.0/8 or 172.16.0.0/12.")
    return value


def _allowed(value: str) -> str:
    if IPv4Network(_cidr(value)).prefixlen < 8:
        raise rule_error(
            f"{value} would open the cluster's endpoint to most of the internet",
            "List only the networks that need access, such as your office's 203.0.113.0/24 or a VPN's 10.8.0.0/16.",
        )
    return value


def _zone(value: str) -> str:
    if not re.fullmatch(r"[a-f]", value):
        raise rule_error(
            f"{value!r} is not the letter of a zone",
            "Write letters, as in [a, b, c] for eu-west-1a, eu-west-1b, eu-west-1c.",
        )
    return value


def _zones(value: Sequence[str]) -> Sequence[str]:
    if not 2 <= len(value) <= MAXIMUM_ZONES:
        raise rule_error(
            "EKS needs subnets in at least two zones", f"List 2 to {MAXIMUM_ZONES} zones; three are usual."
        )
    return value


def _version(value: str) -> str:
    if value not in STANDARD_SUPPORT:
        known = ", ".join(f"{version} (until {end})" for version, end in STANDARD_SUPPORT.items())
        raise rule_error(f"Kubernetes {value} is not in EKS' standard support", f"Write one of {known}, in quotes.")
    return value


def _endpoint(value: str) -> str:
    if value not in (*GATEWAY_ENDPOINTS, *INTERFACE_ENDPOINTS):
        raise rule_error(f"unknown endpoint {value!r}", suggestion(value, (*GATEWAY_ENDPOINTS, *INTERFACE_ENDPOINTS)))
    return value


def _addon(value: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,99}", value):
        raise rule_error(
            f"{value!r} is not the name of an add-on", "Write it as `aws eks describe-addon-versions` does."
        )
    if value not in ADDONS and (similar := difflib.get_close_matches(value, ADDONS, n=1, cutoff=0.85)):
        raise rule_error(f"{value!r} is not an EKS add-on", f"Did you mean {similar[0]}?")
    return value


def _addon_version(value: str) -> str:
    if not re.fullmatch(r"v\d+\.\d+\.\d+-eksbuild\.\d+", value):
        remedy = "Write a version that `aws eks describe-addon-versions` lists, such as v1.2.3-eksbuild.1."
        raise rule_error(f"{value!r} is not a version of an EKS add-on", remedy)
    return value


def _addon_settings(value: Any) -> Any:
    """A version alone is the short form of an add-on's settings."""
    return {"version": _addon_version(value)} if isinstance(value, str) else value


def _service_account(value: str) -> str:
    if not re.fullmatch(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?", value):
        raise rule_error(
            f"{value!r} is not a valid ServiceAccount name", "Use lower-case letters, digits, hyphens and dots."
        )
    return value


ServiceAccountName = Annotated[str, AfterValidator(_service_account)]


def _mail_address(value: str) -> str:
    if not re.fullmatch(r"[^@<>\s]+@[^@<>\s]+\.[^@<>\s]+", value):
        raise rule_error(f"{value!r} is not a mail address", "Write NAME@HOST, such as platform@example.com.")
    return value


def _policy(value: str) -> str:
    if not re.fullmatch(r"arn:aws:iam::([0-9]{12}|aws):policy/\S+", arn(value)):
        remedy = (
            "Write the ARN of an IAM policy: arn:aws:iam::aws:policy/NAME or arn:aws:iam::123456789012:policy/NAME."
        )
        raise rule_error(f"{value!r} is not the ARN of a policy", remedy)
    return value


def _flow_log_days(value: int) -> int:
    return value and _log_days(value)


def _log_days(value: int) -> int:
    if value not in LOG_RETENTION_DAYS:
        near = min(LOG_RETENTION_DAYS, key=lambda days: abs(days - value))
        raise rule_error(
            f"CloudWatch cannot keep logs for {value} days", f"Write {near}, or another number that CloudWatch offers."
        )
    return value


def refuse_other_partitions(value: str) -> None:
    """Raise rule_error for an ARN outside the public partition."""
    if found := re.match(r"arn:(aws-[a-z-]+):", value):
        remedy = "Write an ARN of the public partition, which begins with arn:aws:."
        raise rule_error(f"{value} is in another partition of AWS, {found[1]}, which is not supported", remedy)


def arn(value: str) -> str:
    """Validate the form of an ARN. Raises rule_error."""
    refuse_other_partitions(value)
    if not re.fullmatch(r"arn:aws:[a-z0-9-]+:[a-z0-9-]*:([0-9]{12}|aws)?:\S+", value):
        raise rule_error(f"{value!r} is not an ARN", "Write it as AWS shows it: arn:aws:iam::123456789012:role/NAME.")
    return value


def _principal(value: str) -> str:
    if not re.fullmatch(r"arn:aws:iam::[0-9]{12}:(role|user)/\S+", arn(value)):
        remedy = (
            "Write the ARN of an IAM role: arn:aws:iam::123456789012:role/NAME (for SSO, the role below aws-reserved/)."
        )
        raise rule_error(f"{value!r} is not the ARN of a role or user", remedy)
    return value


def _identifier(prefix: str) -> AfterValidator:
    def check(value: str) -> str:
        if not re.fullmatch(rf"{prefix}-[0-9a-f]{{8,17}}", value):
            raise rule_error(
                f"{value!r} is not an AWS identifier", f"Write it as AWS shows it: {prefix}-0123456789abcdef0."
            )
        return value

    return AfterValidator(check)


def _instance_type(value: str) -> str:
    """Validate the form only: AWS has new types every month, and other ones in each region."""
    if re.fullmatch(rf"({FAMILY})\.({SIZE})", value):
        return value
    family, _, size = re.sub(r"^(db|ml|cache)\.", "", value.strip().lower()).partition(".")
    number = re.match(r"\d+", size)
    sizes = ("nano", "micro", "small", "medium", "large", "xlarge", "metal", f"{number[0] if number else 2}xlarge")
    similar = difflib.get_close_matches(size, sizes, n=1)
    remedy = "Write it as EC2 does: m7g.large."
    if similar and re.fullmatch(FAMILY, family):
        remedy = f"Did you mean {family}.{similar[0]}?"
    raise rule_error(f"{value!r} is not an instance type", remedy)


def _release(value: str) -> str:
    if value and not re.fullmatch(r"\d+\.\d+\.\d+-\d{8}", value):
        raise rule_error(
            f"{value!r} is not a release of the nodes' AMI", "Write one such as 1.36.1-20261110, or leave it out."
        )
    return value


def _mail_identity(value: str) -> str:
    if not arn(value).startswith("arn:aws:ses:"):
        remedy = "Write the ARN that SES shows: arn:aws:ses:eu-west-1:123456789012:identity/example.com."
        raise rule_error(f"{value} is not an identity of SES", remedy)
    return value


def _repository_name(value: str) -> str:
    if not re.fullmatch(r"(?:[a-z0-9]+(?:[._-][a-z0-9]+)*/)*[a-z0-9]+(?:[._-][a-z0-9]+)*", value) or len(value) > 200:
        raise rule_error(
            f"{value!r} is not a valid ECR repository name", "Use lower-case letters, digits, and . _ - / between them."
        )
    return value


def _tag_filter(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9._*-]{1,128}", value) or value.count("*") > 2:
        raise rule_error(f"{value!r} is not a tag filter", "Write a tag with at most two *, such as dev-*.")
    if value.strip("*") == "":
        raise rule_error("this would make every tag mutable", "List the tags that may move, such as latest or dev-*.")
    return value


def _url(value: str) -> str:
    if not re.fullmatch(r"https://[^\s#*{}]+|http://localhost(:\d+)?(/[^\s#*{}]*)?", value):
        raise rule_error(
            f"{value!r} is not a URL that Cognito can redirect to", "Write https://HOST/PATH without *, # and {}."
        )
    return value


def _tenant_url(value: str) -> str:
    _url(value.replace("{tenant}", "tenant"))
    return value


def _domain(value: str) -> str:
    if not re.fullmatch(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", value) or re.search("aws|amazon|cognito", value):
        remedy = "Use lower-case letters, digits and hyphens, without the words aws, amazon and cognito."
        raise rule_error(f"{value!r} is not a valid prefix of a Cognito domain", remedy)
    return value


def _scope(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9._:-]{1,64}", value):
        raise rule_error(
            f"{value!r} is not a valid scope name", "Use letters, digits and . _ : -, such as orders.read."
        )
    return value


Cidr = Annotated[str, AfterValidator(_cidr)]
LogDays = Annotated[int, AfterValidator(_log_days)]
Principal = Annotated[str, AfterValidator(_principal)]
SubnetId = Annotated[str, _identifier("subnet")]


class ExistingVpcSettings(Model):
    """An existing VPC, which the program leaves as it is."""

    vpc: Annotated[str, _identifier("vpc")]
    private_subnets: list[SubnetId] = Field(alias="privateSubnets", min_length=2)
    public_subnets: list[SubnetId] = Field(default=[], alias="publicSubnets")


class VpcSettings(Model):
    """The cluster's VPC."""

    cidr: Annotated[str, AfterValidator(_vpc_cidr)] = "10.0.0.0/16"
    zones: Annotated[list[Annotated[str, AfterValidator(_zone)]], AfterValidator(_zones)] = ["a", "b", "c"]
    """Letters of the region's zones. They never change: EKS cannot move a control plane to other zones.

    A letter always means the same subnets, whatever its position. The first zone has the gateway of `nat: single`.
    """
    reserved: list[Cidr] = []
    """Networks that must stay reachable, such as offices, VPNs and peers. The VPC must not overlap them."""
    nat: Literal["single", "perZone", "none"] = "perZone"
    endpoints: list[Annotated[str, AfterValidator(_endpoint)]] = ["s3"]
    endpoint_accounts: list[Annotated[str, AfterValidator(_account)]] = Field(default=[], alias="endpointAccounts")
    """Other accounts that may be written to by way of the VPC's endpoints. Reading images and objects is open."""
    flow_log_days: Annotated[int, AfterValidator(_flow_log_days)] = Field(default=90, alias="flowLogDays")
    """How many days flow logs are kept; 0 for no flow logs."""
    existing: ExistingVpcSettings | None = None


class NodeSettings(Model):
    """The nodes: a managed node group, or the limits of Auto Mode."""

    instance_types: list[Annotated[str, AfterValidator(_instance_type)]] = Field(
        default=["m7g.large"], alias="instanceTypes", min_length=1
    )
    minimum: int = Field(default=3, ge=0)
    desired: int | None = Field(default=None, ge=0)
    """The number of nodes, which nothing but this setting changes; by default the minimum."""
    maximum: int = Field(default=9, ge=1)
    disk_gib: int = Field(default=50, alias="diskGib", ge=20, le=16384)
    capacity: Literal["onDemand", "spot"] = "onDemand"
    release: Annotated[str, AfterValidator(_release)] = ""
    """The AMI's release, such as 1.36.1-20261110; empty for the newest one that AWS recommends."""
    cpu_limit: int = Field(default=64, alias="cpuLimit", ge=2)
    """The total number of virtual CPUs of Auto Mode, which scales by itself."""

    @property
    def number(self) -> int:
        """How many nodes the group has."""
        return self.minimum if self.desired is None else self.desired


class AddonSettings(Model):
    """An EKS add-on. `NAME: VERSION` is the short form."""

    version: Annotated[str, AfterValidator(_addon_version)]
    configuration: dict[str, Any] = {}
    """Values of the add-on's schema (`aws eks describe-addon-configuration`); they override the program's own."""
    conflicts: Literal["overwrite", "preserve", "none"] = "overwrite"
    """What an upgrade does with fields that something else changed in the cluster. coredns: always preserve."""
    policies: list[Annotated[str, AfterValidator(_policy)]] = []
    """IAM policies of its pods, by Pod Identity, in place of the ones that the program knows."""
    service_account: ServiceAccountName = Field(default="", alias="serviceAccount")
    """The service account of the pods that get the policies."""
    namespace: Namespace = "kube-system"


class ClusterSettings(Model):
    """The EKS cluster."""

    adopt: bool = False
    """Use the existing EKS cluster of this name, without changing it."""
    version: Annotated[str, AfterValidator(_version)] = "1.36"
    compute: Literal["nodes", "auto"] = "nodes"
    nodes: NodeSettings = NodeSettings()
    public_access: list[Annotated[str, AfterValidator(_allowed)]] = Field(default=[], alias="publicAccess")
    """Networks that may reach the API server over the internet; empty for a private endpoint."""
    private_access: list[Annotated[str, AfterValidator(_allowed)]] = Field(
        default=[], alias="privateAccess", max_length=MAXIMUM_RULES
    )
    """Networks that may reach the private endpoint: the VPC itself, and those connected to it, such as a VPN's.

    Nodes and pods of the cluster always reach it.
    """
    administrators: list[Principal] = []
    viewers: list[Principal] = []
    log_days: LogDays = Field(default=90, alias="logDays")
    addons: dict[
        Annotated[str, AfterValidator(_addon)], Annotated[AddonSettings, BeforeValidator(_addon_settings)]
    ] = {}
    """EKS add-ons with their versions. Those that the cluster needs must be listed."""


class MonitoringSettings(Model):
    """Container logs, metrics and alarms in CloudWatch."""

    emails: list[Annotated[str, AfterValidator(_mail_address)]] = []
    """Addresses that alarms are sent to. Each has to confirm its subscription."""
    log_days: LogDays = Field(default=30, alias="logDays")
    """How many days the logs of containers are kept."""
    guard_duty: bool = Field(default=False, alias="guardDuty")
    """Threat detection of the whole account in this region. It must not have a detector yet."""


class BackupSettings(Model):
    """Daily backups, by AWS Backup, of the volumes and file systems that have the tag `tenant`."""

    hour: int = Field(default=3, ge=0, le=23)
    """The hour, in UTC, at which backups begin."""
    keep_days: int = Field(default=35, alias="keepDays", ge=MINIMUM_BACKUP_DAYS, le=36500)
    """How long a backup is kept. While the vault is locked, nobody can delete it earlier."""
    lock: Literal["governance", "compliance"] = "governance"
    """Who can remove the vault's lock: an administrator, or from three days after its creation nobody, AWS included.

    Files in the bucket are locked in the same mode, each for `keepDays`.
    """


def backup_bucket(prefix: str, account: str) -> str:
    """Name of the bucket for files about tenants that leave; all accounts of AWS share such names."""
    return f"{prefix}-backups-{account}"


class RegistrySettings(Model):
    """ECR repositories for the products' images."""

    repositories: list[Annotated[str, AfterValidator(_repository_name)]] = []
    mutable_tags: list[Annotated[str, AfterValidator(_tag_filter)]] = Field(
        default=[], alias="mutableTags", max_length=5
    )
    """Filters of the mutable tags; all others are immutable."""
    keep_releases: int = Field(default=100, alias="keepReleases", ge=10)
    """How many tagged images are kept. Choose more than can be running at the same time."""
    untagged_days: int = Field(default=14, alias="untaggedDays", ge=1, le=3650)


class EmailSettings(Model):
    """The sender of mails to users. The default is Cognito, with at most 50 mails a day."""

    identity: Annotated[str, AfterValidator(_mail_identity)]
    """The ARN of the address or domain that SES verified."""
    sender: str = Field(pattern=r"^[^@<>]*<?[^@<>\s]+@[^@<>\s]+>?$")


class IdentitySettings(Model):
    """The Cognito user pool of the SaaS."""

    plan: Literal["LITE", "ESSENTIALS", "PLUS"] = "ESSENTIALS"
    mfa: Literal["OFF", "OPTIONAL", "ON"] = "OPTIONAL"
    domain: Annotated[str, AfterValidator(_domain)]
    callback_urls: list[Annotated[str, AfterValidator(_url)]] = Field(alias="callbackUrls", min_length=1)
    logout_urls: list[Annotated[str, AfterValidator(_url)]] = Field(default=[], alias="logoutUrls")
    scopes: dict[Annotated[str, AfterValidator(_scope)], str] = {}
    """Scopes of the SaaS' API and their descriptions."""
    tenant_callback_urls: list[Annotated[str, AfterValidator(_tenant_url)]] = Field(
        default=[], alias="tenantCallbackUrls"
    )
    """For app clients of single tenants, with {tenant} for the name; empty: as callbackUrls."""
    tenant_logout_urls: list[Annotated[str, AfterValidator(_tenant_url)]] = Field(default=[], alias="tenantLogoutUrls")
    login_pages: Literal["classic", "managed"] = Field(default="classic", alias="loginPages")
    email: EmailSettings | None = None


class AwsSettings(Model):
    """A stack's resources on AWS."""

    region: Annotated[str, AfterValidator(_region)]
    account: Annotated[str, AfterValidator(_account)]
    """The stack's account; credentials for any other account are refused."""
    protection: bool = True
    """Protects resources that hold data from deletion. Before `pulumi destroy`, set it to false and run `pulumi up`."""
    boundaries: Literal["bootstrap", "stack"] = "stack"
    """Who holds the permissions boundaries of the stack's roles.

    bootstrap: pipeline/bootstrap.yaml, so that the role that deploys can neither change them nor make a role without
    one. stack: the stack itself, for accounts without it; then only the tenants' roles have one.
    """
    network: VpcSettings = VpcSettings()
    cluster: ClusterSettings = ClusterSettings()
    registry: RegistrySettings | None = None
    identity: IdentitySettings | None = None
    monitoring: MonitoringSettings | None = None
    backup: BackupSettings | None = None


def private_subnet(network: VpcSettings, zone: str) -> str:
    """The private subnet of a zone: an eighth of the network, chosen by the zone's letter."""
    return str(list(IPv4Network(network.cidr).subnets(PRIVATE_BITS))[ZONES.index(zone)])


def public_subnet(network: VpcSettings, zone: str) -> str:
    """The public subnet of a zone: an eighth of the network's last eighth, chosen by the zone's letter."""
    last = list(IPv4Network(network.cidr).subnets(PRIVATE_BITS))[-1]
    return str(list(last.subnets(PUBLIC_BITS - PRIVATE_BITS))[ZONES.index(zone)])


def gateway_subnet(network: VpcSettings, zone: str) -> str:
    """The subnet of a zone for the load balancer of webhooks: an eighth of the network's last eighth but one.

    No pod is there, so that a network policy can tell the load balancer from pods.
    """
    last_but_one = list(IPv4Network(network.cidr).subnets(PRIVATE_BITS))[-2]
    return str(list(last_but_one.subnets(PUBLIC_BITS - PRIVATE_BITS))[ZONES.index(zone)])


def service_cidr(network: VpcSettings) -> str:
    """The address range of Kubernetes Services, which never changes: 172.20.0.0/16 unless the VPC is close to it."""
    close = IPv4Network("172.16.0.0/12")
    return "10.100.0.0/16" if IPv4Network(network.cidr).overlaps(close) else "172.20.0.0/16"


def broken_rules(settings: AwsSettings) -> Iterator[Finding]:
    """Values that are valid, but not together. Paths begin at `aws`."""
    for rule in (
        _without_effect,
        _overlapping_networks,
        _missing_endpoints,
        _impossible_nodes,
        _mixed_processors,
        _missing_addons,
        _addons_built_into_auto_mode,
        _incomplete_addon_roles,
        _unmanaged_monitoring,
        _kube_proxy_newer_than_cluster,
        _foreign_principals,
        _viewer_is_administrator,
        _unreachable_endpoint,
        _managed_login_needs_plan,
    ):
        yield from rule(settings)


def _without_effect(settings: AwsSettings) -> Iterator[Finding]:
    network, cluster = settings.network, settings.cluster
    if network.existing:
        yield from _unused_keys(network, ("network",), "an existing VPC", {"existing"})
    if cluster.adopt:
        yield from _unused_keys(cluster, ("cluster",), "an adopted cluster", {"adopt", "version"})
        if "network" in settings.model_fields_set:
            yield ("network",), "an adopted cluster already has a network", "Remove network."


def _unused_keys(settings: Model, path: YamlPath, owner: str, used: set[str]) -> Iterator[Finding]:
    for name in sorted(settings.model_fields_set - used):
        key = type(settings).model_fields[name].alias or name
        yield (*path, key), f"{key} has no effect with {owner}", f"Remove {key}."


def _overlapping_networks(settings: AwsSettings) -> Iterator[Finding]:
    network = settings.network
    services = service_cidr(network)
    for index, reserved in enumerate(network.reserved):
        path: YamlPath = ("network", "reserved", index)
        if IPv4Network(network.cidr).overlaps(IPv4Network(reserved)):
            yield path, f"the VPC's {network.cidr} overlaps {reserved}", "Choose another cidr for the VPC."
        elif IPv4Network(services).overlaps(IPv4Network(reserved)):
            message = f"the range of Kubernetes Services, {services}, overlaps {reserved}"
            yield path, message, "Pods could not reach hosts there: change the VPC's cidr or this network."


def _missing_endpoints(settings: AwsSettings) -> Iterator[Finding]:
    network = settings.network
    if network.nat == "none" and not network.existing and not settings.cluster.adopt:
        needed = {"s3", "ecr.api", "ecr.dkr", "sts", "ec2", "eks", "eks-auth", "logs"}
        if missing := sorted(needed - {*network.endpoints}):
            message = "without NAT, nodes reach AWS through endpoints only"
            yield ("network", "nat"), message, f"Add to endpoints: {', '.join(missing)}."


def _impossible_nodes(settings: AwsSettings) -> Iterator[Finding]:
    compute, nodes = settings.cluster.compute, settings.cluster.nodes
    unused = {"minimum", "desired", "maximum", "release"} if compute == "auto" else {"cpu_limit"}
    for name in sorted(unused & nodes.model_fields_set):
        key = NodeSettings.model_fields[name].alias or name
        yield ("cluster", "nodes", key), f"{key} has no effect with `compute: {compute}`", f"Remove {key}."
    if nodes.minimum > nodes.maximum:
        message = f"the minimum of {nodes.minimum} is above the maximum of {nodes.maximum}"
        yield ("cluster", "nodes", "minimum"), message, "Lower minimum or raise maximum."
    elif not nodes.minimum <= nodes.number <= nodes.maximum:
        message = f"{nodes.number} is not between the minimum of {nodes.minimum} and the maximum of {nodes.maximum}"
        yield ("cluster", "nodes", "desired"), message, "Change desired, or widen minimum and maximum."


def _mixed_processors(settings: AwsSettings) -> Iterator[Finding]:
    if len({is_arm(kind) for kind in settings.cluster.nodes.instance_types}) > 1:
        message = "a node group cannot mix processor architectures"
        remedy = "List either Graviton instance types, such as m7g.large, or Intel and AMD ones, such as m7i.large."
        yield ("cluster", "nodes", "instanceTypes"), message, remedy


def _missing_addons(settings: AwsSettings) -> Iterator[Finding]:
    cluster = settings.cluster
    if cluster.adopt or cluster.compute == "auto":
        return
    if missing := [name for name in REQUIRED_ADDONS if name not in cluster.addons]:
        message = f"the version of {', '.join(missing)} is not pinned"
        command = f"aws eks describe-addon-versions --kubernetes-version {cluster.version} --addon-name {missing[0]}"
        yield ("cluster", "addons"), message, f"Add it; `{command}` lists the versions."


def _addons_built_into_auto_mode(settings: AwsSettings) -> Iterator[Finding]:
    cluster = settings.cluster
    if cluster.compute == "auto" and not cluster.adopt:
        for name in BUILT_INTO_AUTO_MODE:
            if name in cluster.addons:
                yield ("cluster", "addons", name), f"{name} is built into Auto Mode", f"Remove {name} from addons."


def _incomplete_addon_roles(settings: AwsSettings) -> Iterator[Finding]:
    for name, addon in settings.cluster.addons.items():
        path: YamlPath = ("cluster", "addons", name)
        if addon.service_account and not addon.policies:
            yield (*path, "serviceAccount"), "a service account without policies has no use", "Add policies."
        elif addon.policies and not addon.service_account and name not in ADDON_ROLES:
            message = f"the program does not know which service account of {name} gets the policies"
            yield (*path, "policies"), message, "Add `serviceAccount:`, and `namespace:` if that is not kube-system."


def _unmanaged_monitoring(settings: AwsSettings) -> Iterator[Finding]:
    if settings.monitoring is None:
        return
    if settings.cluster.adopt:
        message = "the add-ons of an adopted cluster are not managed here"
        yield ("monitoring",), message, "Remove monitoring, and set it up where the cluster is managed."
    elif OBSERVABILITY not in settings.cluster.addons:
        version = settings.cluster.version
        command = f"aws eks describe-addon-versions --kubernetes-version {version} --addon-name {OBSERVABILITY}"
        message = f"logs and metrics of containers need the add-on {OBSERVABILITY}"
        yield ("monitoring",), message, f"Add it to cluster.addons; `{command}` lists its versions."


def _kube_proxy_newer_than_cluster(settings: AwsSettings) -> Iterator[Finding]:
    version, addon = settings.cluster.version, settings.cluster.addons.get("kube-proxy")
    proxy = addon.version if addon else ""
    if proxy and not settings.cluster.adopt and _minor(proxy) > _minor(version):
        message = f"kube-proxy {proxy} is newer than the cluster's version {version}"
        command = f"aws eks describe-addon-versions --kubernetes-version {version} --addon-name kube-proxy"
        remedy = f"Write a version of {version}, as `{command}` lists them, or raise the cluster's version, too."
        yield ("cluster", "addons", "kube-proxy"), message, remedy


def _minor(version: str) -> tuple[int, ...]:
    """(1, 36) for 1.36 and for v1.36.0-eksbuild.2."""
    return tuple(int(number) for number in version.removeprefix("v").split(".")[:2])


def addon_version_problem(name: str, pinned: str, default: str, newest: str) -> tuple[str, str] | None:
    """Message and remedy for an add-on's version that EKS does not have yet; None for one that it may have."""
    if _addon_order(pinned) <= _addon_order(newest):
        return None
    return f"EKS has no {name} {pinned} for this version of Kubernetes", f"Write {default}, or {newest}, the newest."


def is_behind(pinned: str, default: str) -> bool:
    """Whether an add-on's version is older than the one that EKS installs by default."""
    return _addon_order(pinned) < _addon_order(default)


def _addon_order(version: str) -> tuple[int, ...]:
    """(1, 21, 1, 2) for v1.21.1-eksbuild.2."""
    return tuple(int(number) for number in re.findall(r"\d+", version))


def _foreign_principals(settings: AwsSettings) -> Iterator[Finding]:
    cluster = settings.cluster
    for key, principals in (("administrators", cluster.administrators), ("viewers", cluster.viewers)):
        for index, principal in enumerate(principals):
            if f"::{settings.account}:" not in principal:
                message = f"{principal} belongs to another account than {settings.account}"
                yield ("cluster", key, index), message, "Use a role of the stack's account."


def _viewer_is_administrator(settings: AwsSettings) -> Iterator[Finding]:
    for index, principal in enumerate(settings.cluster.viewers):
        if principal in settings.cluster.administrators:
            yield ("cluster", "viewers", index), f"{principal} is also an administrator", "Remove it from viewers."


def _unreachable_endpoint(settings: AwsSettings) -> Iterator[Finding]:
    cluster = settings.cluster
    if not (cluster.adopt or cluster.public_access or cluster.private_access):
        message = "the cluster's endpoint could be reached from its own pods only, so that not even Pulumi could use it"
        remedy = (
            "List the networks of the machines that run Pulumi: in publicAccess over the internet, in privateAccess "
            "from the VPC or a network connected to it."
        )
        yield ("cluster",), message, remedy


def _managed_login_needs_plan(settings: AwsSettings) -> Iterator[Finding]:
    identity = settings.identity
    if identity and identity.plan == "LITE" and identity.login_pages == "managed":
        message = "the plan LITE has classic login pages only"
        yield ("identity", "loginPages"), message, "Write plan: ESSENTIALS, or loginPages: classic."


def end_of_support(settings: AwsSettings | None, today: date) -> str | None:
    """A warning shortly before and after the end of a Kubernetes version's standard support."""
    if settings is None or settings.cluster.adopt:
        return None
    version = settings.cluster.version
    end = date.fromisoformat(STANDARD_SUPPORT[version])
    if end - today > SUPPORT_NOTICE:
        return None
    leaves = "leaves" if end >= today else "left"
    newer = (known for known in STANDARD_SUPPORT if _minor(known) > _minor(version))
    target = min(newer, key=_minor, default="a newer version")
    return (
        f"Kubernetes {version} {leaves} EKS' standard support on {end}. After that, AWS upgrades the control plane "
        f"automatically, but not its nodes and add-ons: set aws.cluster.version to {target}."
    )


def processor(instance_type: str) -> str:
    """The AMI type of Amazon Linux 2023 for an instance type."""
    return "AL2023_ARM_64_STANDARD" if is_arm(instance_type) else "AL2023_x86_64_STANDARD"


def ami_release_parameter(version: str, instance_type: str) -> str:
    """Name of the public SSM parameter with the newest release of the nodes' AMI."""
    kind = "arm64" if is_arm(instance_type) else "x86_64"
    return f"/aws/service/eks/optimized-ami/{version}/amazon-linux-2023/{kind}/standard/recommended/release_version"


def has_accelerators(instance_type: str) -> bool:
    """Whether an instance type has GPUs, machine learning chips, video cards or FPGAs."""
    return re.match(r"(g|gr|p|inf|trn|dl|vt|f|cg)\d", instance_type) is not None


def is_arm(instance_type: str) -> bool:
    """Whether an instance type has a Graviton processor."""
    # A g after the generation's number: m7g, c8gn, t4g. The first generation was a1.
    family = instance_type.split(".")[0]
    return family == "a1" or re.fullmatch(r"[a-z]+\d+g[a-z]*", family) is not None


OFFERINGS = "aws ec2 describe-instance-type-offerings --region {region} --location-type availability-zone"


def unknown_types(region: str, types: Sequence[str], known: Collection[str]) -> Iterator[Finding]:
    """Instance types that EC2 does not have in the region."""
    for index, kind in enumerate(types):
        if kind not in known:
            similar = difflib.get_close_matches(kind, sorted(known), n=1)
            command = OFFERINGS.format(region=region)
            remedy = f"Did you mean {similar[0]}?" if similar else f"Write one that `{command}` lists."
            yield (index,), f"EC2 has no {kind} in {region}", remedy


def zones_without_types(
    region: str, zones: Sequence[str], zones_of: Mapping[str, Collection[str]]
) -> tuple[str, str] | None:
    """Message and remedy for zones in which EC2 has none of the instance types, given the zones of each."""
    if not (empty := [zone for zone in zones if not any(zone in offered for offered in zones_of.values())]):
        return None
    command = f"{OFFERINGS.format(region=region)} --filters Name=location,Values={empty[0]}"
    message = f"EC2 has none of these types in {' and '.join(empty)}: no node would run there"
    return message, f"Add one that `{command}` lists."


def zone_problem(region: str, zones: Sequence[str], found: Mapping[str, str]) -> tuple[str, str] | None:
    """Message and remedy for zones that the region lacks, or where EKS does not run.

    `found` are the IDs of the account's zones by their names. A letter is another zone in each account.
    """
    usable = [
        zone for zone in ZONES if f"{region}{zone}" in found and found[f"{region}{zone}"] not in ZONES_WITHOUT_EKS
    ]
    if not (wrong := [zone for zone in zones if zone not in usable]):
        return None
    names = ", ".join(f"{region}{zone}" for zone in wrong)
    return (
        f"the account has no {names}, or EKS does not run there",
        f"Write `zones: [{', '.join(usable[:3])}]`" + (f", or others of {', '.join(usable)}." if usable[3:] else "."),
    )
