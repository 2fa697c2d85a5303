"""The AWS side of a stack: `saas-in-eks:aws` in its configuration. The defaults are what production should have."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from datetime import date, timedelta
from functools import partial
from ipaddress import IPv4Network
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from model.config.aws_facts import ADDONS, GATEWAY_ENDPOINTS, INTERFACE_ENDPOINTS, REGIONS, STANDARD_SUPPORT
from model.config.document import Document, Place
from model.config.mistakes import Mistake, nearest
from model.config.networks import network_in
from model.config.schema import Model, wrong
from model.config.unsound import found_by, sound, unless_unsound

REQUIRED_ADDONS = ("vpc-cni", "coredns", "kube-proxy", "eks-pod-identity-agent")
"""What no cluster of nodes can do without; Auto Mode brings them along."""
ZONES = "abcdef"
"""The letters that a region's zones can have here."""
MAXIMUM_ZONES = len(ZONES)
SUPPORT_NOTICE = timedelta(days=60)
"""How long before the end of a Kubernetes version's standard support it is told."""
PRIVATE_BITS, PUBLIC_BITS = 3, 6
"""By how much a subnet's prefix is longer than the network's: /19 and /22 in a /16."""

LOG_RETENTION_DAYS = tuple(
    map(int, "1 3 5 7 14 30 60 90 120 150 180 365 400 545 731 1096 1827 2192 2557 2922 3288 3653".split())
)


def _region(value: str) -> str:
    if value not in REGIONS:
        raise wrong(f"{value!r} is no region of AWS", nearest(value, REGIONS))
    return value


def _account(value: str) -> str:
    if not re.fullmatch(r"[0-9]{12}", value):
        raise wrong(f"{value!r} is no AWS account", 'Write its twelve digits in quotes: "123456789012".')
    return value


def _cidr(value: str) -> str:
    return str(network_in(value, IPv4Network, "Write an IPv4 network such as 10.0.0.0/16."))


def _vpc_cidr(value: str) -> str:
    network = IPv4Network(_cidr(value))
    if not 16 <= network.prefixlen <= 22:
        remedy = "Write a network from /16 (65,536 addresses) to /22 (1,024)."
        raise wrong(f"{value} is not of a size that this network can be divided from", remedy)
    if not network.is_private and not network.subnet_of(IPv4Network("100.64.0.0/10")):
        raise wrong(f"{value} belongs to the internet", "Write a private network, within 10.0.0.0/8 or 172.16.0.0/12.")
    return value


def _allowed(value: str) -> str:
    if IPv4Network(_cidr(value)).prefixlen < 8:
        raise wrong(
            f"{value} opens the cluster's endpoint to most of the internet",
            "Name the networks that need it, such as your office's 203.0.113.0/24.",
        )
    return value


def _zone(value: str) -> str:
    if not re.fullmatch(r"[a-f]", value):
        raise wrong(
            f"{value!r} is no zone's letter", "Write letters, as in [a, b, c] for eu-west-1a, eu-west-1b, eu-west-1c."
        )
    return value


def _zones(value: Sequence[str]) -> Sequence[str]:
    if len(set(value)) != len(value):
        raise wrong("a zone is there twice", "Name each zone once.")
    if not 2 <= len(value) <= MAXIMUM_ZONES:
        raise wrong("EKS needs subnets in two zones at least", f"Name 2 to {MAXIMUM_ZONES} zones; three are usual.")
    return value


def _version(value: str) -> str:
    if value not in STANDARD_SUPPORT:
        known = ", ".join(f"{version} (until {end})" for version, end in STANDARD_SUPPORT.items())
        raise wrong(f"EKS has no Kubernetes {value} in standard support", f"Write one of {known}, in quotes.")
    return value


def _endpoint(value: str) -> str:
    if value not in (*GATEWAY_ENDPOINTS, *INTERFACE_ENDPOINTS):
        raise wrong(f"no endpoint is known for {value!r}", nearest(value, (*GATEWAY_ENDPOINTS, *INTERFACE_ENDPOINTS)))
    return value


def _addon(value: str) -> str:
    if value not in ADDONS:
        raise wrong(f"{value!r} is no add-on that this cluster can have", nearest(value, ADDONS))
    return value


def _addon_version(value: str) -> str:
    if not re.fullmatch(r"v\d+\.\d+\.\d+-eksbuild\.\d+", value):
        remedy = "Write one that `aws eks describe-addon-versions` lists for it, such as v1.2.3-eksbuild.1."
        raise wrong(f"{value!r} is no version of an EKS add-on", remedy)
    return value


def _log_days(value: int) -> int:
    if value not in LOG_RETENTION_DAYS:
        near = min(LOG_RETENTION_DAYS, key=lambda days: abs(days - value))
        raise wrong(f"CloudWatch cannot keep logs for {value} days", f"Write {near}, or another number that it offers.")
    return value


def arn(value: str) -> str:
    """Check the form of an ARN. Raises pydantic's error with what to write."""
    if not re.fullmatch(r"arn:aws[a-z-]*:[a-z0-9-]+:[a-z0-9-]*:([0-9]{12}|aws)?:\S+", value):
        raise wrong(f"{value!r} is no ARN", "Write it as AWS shows it: arn:aws:iam::123456789012:role/NAME.")
    return value


def _principal(value: str) -> str:
    if not re.fullmatch(r"arn:aws[a-z-]*:iam::[0-9]{12}:(role|user)/\S+", arn(value)):
        remedy = (
            "Write the ARN of an IAM role: arn:aws:iam::123456789012:role/NAME (for SSO, the role below aws-reserved/)."
        )
        raise wrong(f"{value!r} is neither a role nor a user", remedy)
    return value


def _identifier(prefix: str) -> AfterValidator:
    def check(value: str) -> str:
        if not re.fullmatch(rf"{prefix}-[0-9a-f]{{8,17}}", value):
            raise wrong(
                f"{value!r} is not an id that AWS gives", f"Write it as AWS shows it: {prefix}-0123456789abcdef0."
            )
        return value

    return AfterValidator(check)


def _repository_name(value: str) -> str:
    if not re.fullmatch(r"(?:[a-z0-9]+(?:[._-][a-z0-9]+)*/)*[a-z0-9]+(?:[._-][a-z0-9]+)*", value) or len(value) > 200:
        raise wrong(
            f"{value!r} cannot name an ECR repository", "Write lower-case letters, digits, and . _ - / between them."
        )
    return value


def _tag_filter(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9._*-]{1,128}", value) or value.count("*") > 2:
        raise wrong(f"{value!r} is no filter for tags", "Write a tag with at most two *, such as dev-*.")
    if value.strip("*") == "":
        raise wrong("this would make every tag mutable", "Name the tags that may move, such as latest or dev-*.")
    return value


def _url(value: str) -> str:
    if not re.fullmatch(r"https://[^\s#*{}]+|http://localhost(:\d+)?(/[^\s#*{}]*)?", value):
        raise wrong(f"{value!r} is not a URL that Cognito redirects to", "Write https://HOST/PATH without *, # and {}.")
    return value


def _tenant_url(value: str) -> str:
    _url(value.replace("{tenant}", "tenant"))
    return value


def _domain(value: str) -> str:
    if not re.fullmatch(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", value) or re.search("aws|amazon|cognito", value):
        remedy = "Write lower-case letters, digits and hyphens, without the words aws, amazon and cognito."
        raise wrong(f"{value!r} cannot be the prefix of a Cognito domain", remedy)
    return value


def _scope(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9._:-]{1,64}", value):
        raise wrong(f"{value!r} cannot name a scope", "Write letters, digits and . _ : -, such as orders.read.")
    return value


Cidr = Annotated[str, AfterValidator(_cidr)]
LogDays = Annotated[int, AfterValidator(_log_days)]
Arn = Annotated[str, AfterValidator(arn)]
Principal = Annotated[str, AfterValidator(_principal)]
SubnetId = Annotated[str, _identifier("subnet")]


class ExistingNetworkSettings(Model):
    """A VPC that somebody else provisioned."""

    vpc: Annotated[str, _identifier("vpc")]
    private_subnets: list[SubnetId] = Field(alias="privateSubnets", min_length=2)
    public_subnets: list[SubnetId] = Field(default=[], alias="publicSubnets")


class NetworkSettings(Model):
    """The cluster's VPC."""

    cidr: Annotated[str, AfterValidator(_vpc_cidr)] = "10.0.0.0/16"
    zones: Annotated[list[Annotated[str, AfterValidator(_zone)]], AfterValidator(_zones)] = ["a", "b", "c"]
    """Letters of the region's zones, chosen for good: EKS moves no control plane into another set of zones.

    A letter means the same subnets in any order and company. The first zone has the gateway of `nat: single`.
    """
    reserved: list[Cidr] = []
    """Networks that must stay reachable: offices, VPNs, peers. The VPC may not overlap them."""
    nat: Literal["single", "perZone", "none"] = "perZone"
    endpoints: list[Annotated[str, AfterValidator(_endpoint)]] = ["s3"]
    flow_log_days: LogDays | Literal[0] = Field(default=90, alias="flowLogDays")
    """How long flow logs are kept; 0 for no flow logs."""
    existing: ExistingNetworkSettings | None = None


class NodeSettings(Model):
    """The managed node group."""

    instance_types: list[str] = Field(default=["m7g.large"], alias="instanceTypes", min_length=1)
    minimum: int = Field(default=3, ge=0)
    maximum: int = Field(default=9, ge=1)
    disk_gib: int = Field(default=50, alias="diskGib", ge=20, le=16384)
    capacity: Literal["onDemand", "spot"] = "onDemand"
    release: str = ""
    """The AMI's release, such as 1.36.1-20261110; empty for the newest when the group is made or upgraded."""
    cpu_limit: int = Field(default=64, alias="cpuLimit", ge=2)
    """With Auto Mode, which scales by itself: how many virtual CPUs the nodes may have together."""


class ClusterSettings(Model):
    """The EKS cluster."""

    adopt: bool = False
    """Use the EKS cluster of this name that exists, and leave it as it is."""
    version: Annotated[str, AfterValidator(_version)] = "1.36"
    compute: Literal["nodes", "auto"] = "nodes"
    nodes: NodeSettings = NodeSettings()
    public_access: list[Annotated[str, AfterValidator(_allowed)]] = Field(default=[], alias="publicAccess")
    """Networks that may reach the API server over the internet; empty for none."""
    administrators: list[Principal] = []
    viewers: list[Principal] = []
    log_days: LogDays = Field(default=90, alias="logDays")
    addons: dict[Annotated[str, AfterValidator(_addon)], Annotated[str, AfterValidator(_addon_version)]] = {}
    """Versions of EKS add-ons. Those that the cluster cannot do without have to be named."""


class RegistrySettings(Model):
    """ECR repositories for the products' images."""

    repositories: list[Annotated[str, AfterValidator(_repository_name)]] = []
    mutable_tags: list[Annotated[str, AfterValidator(_tag_filter)]] = Field(
        default=[], alias="mutableTags", max_length=5
    )
    """Tags that may be moved to another image; all others are immutable."""
    keep_releases: int = Field(default=100, alias="keepReleases", ge=10)
    """How many tagged images stay. Choose more than can be running at a time."""
    untagged_days: int = Field(default=14, alias="untaggedDays", ge=1)


class EmailSettings(Model):
    """Who writes to the users. Without it Cognito does, 50 mails a day at most."""

    identity: Arn
    """The address or domain that SES verified."""
    sender: str = Field(pattern=r"^[^@<>]*<?[^@<>\s]+@[^@<>\s]+>?$")


class IdentitySettings(Model):
    """The Cognito user pool of the SaaS."""

    plan: Literal["LITE", "ESSENTIALS", "PLUS"] = "ESSENTIALS"
    mfa: Literal["OFF", "OPTIONAL", "ON"] = "OPTIONAL"
    domain: Annotated[str, AfterValidator(_domain)]
    callback_urls: list[Annotated[str, AfterValidator(_url)]] = Field(alias="callbackUrls", min_length=1)
    logout_urls: list[Annotated[str, AfterValidator(_url)]] = Field(default=[], alias="logoutUrls")
    scopes: dict[Annotated[str, AfterValidator(_scope)], str] = {}
    """Scopes of the SaaS' API, each with what it permits."""
    tenant_callback_urls: list[Annotated[str, AfterValidator(_tenant_url)]] = Field(
        default=[], alias="tenantCallbackUrls"
    )
    """For a tenant with a client of its own, {tenant} being its name; none: as all others."""
    tenant_logout_urls: list[Annotated[str, AfterValidator(_tenant_url)]] = Field(default=[], alias="tenantLogoutUrls")
    login_pages: Literal["classic", "managed"] = Field(default="classic", alias="loginPages")
    email: EmailSettings | None = None


class AwsSettings(Model):
    """Everything that a stack has on AWS."""

    region: Annotated[str, AfterValidator(_region)]
    account: Annotated[str, AfterValidator(_account)]
    """The account that the stack lives in; credentials for another one are refused."""
    protection: bool = True
    """Whether what holds data refuses to be deleted. Taking a stack down begins with `false` and `pulumi up`."""
    network: NetworkSettings = NetworkSettings()
    cluster: ClusterSettings = ClusterSettings()
    registry: RegistrySettings | None = None
    identity: IdentitySettings | None = None

    @property
    def partition(self) -> str:
        """The ARNs' second field."""
        return "aws"


def private_subnet(network: NetworkSettings, zone: str) -> str:
    """The private subnet of a zone: the eighth of the network that its letter stands for."""
    return str(list(IPv4Network(network.cidr).subnets(PRIVATE_BITS))[ZONES.index(zone)])


def public_subnet(network: NetworkSettings, zone: str) -> str:
    """The public subnet of a zone: the eighth of the network's last eighth that its letter stands for."""
    last = list(IPv4Network(network.cidr).subnets(PRIVATE_BITS))[-1]
    return str(list(last.subnets(PUBLIC_BITS - PRIVATE_BITS))[ZONES.index(zone)])


def service_cidr(network: NetworkSettings) -> str:
    """Where the cluster's services are, for good: 172.20.0.0/16, unless the VPC itself lies near it."""
    there = IPv4Network("172.16.0.0/12")
    return "10.100.0.0/16" if IPv4Network(network.cidr).overlaps(there) else "172.20.0.0/16"


def combinations(settings: AwsSettings, source: Document, base: Place) -> Iterator[Mistake]:
    """What is wrong between values that are right by themselves; `base` is where the settings stand in the document."""
    rules: Sequence[Callable[[AwsSettings, Document, Place], Iterator[Mistake]]] = (
        _without_effect,
        _overlapping,
        _out_of_reach,
        _impossible_nodes,
        _mixed_processors,
        _not_pinned,
        _brought_anyway,
        _ahead_of_the_cluster,
        _of_another_account,
        _named_twice,
        _pages_beyond_plan,
    )
    return found_by(partial(rule, settings, source, base) for rule in rules)


def _without_effect(settings: AwsSettings, source: Document, base: Place) -> Iterator[Mistake]:
    network, cluster = settings.network, settings.cluster
    yield from _unused(network, source, (*base, "network"), {"existing"} if network.existing else set())
    yield from _unused(cluster, source, (*base, "cluster"), {"adopt", "version"} if cluster.adopt else set())
    if cluster.adopt and "network" in settings.model_fields_set:
        message, remedy = "an adopted cluster has its network", "Remove network."
        yield source.mistake((*base, "network"), message, remedy)


def _overlapping(settings: AwsSettings, source: Document, base: Place) -> Iterator[Mistake]:
    network = settings.network
    own = IPv4Network(network.cidr)
    for index, reserved in sound(network.reserved):
        if own.overlaps(IPv4Network(reserved)):
            message = f"the VPC's {network.cidr} overlaps {reserved}"
            yield source.mistake((*base, "network", "reserved", index), message, "Choose another cidr for the VPC.")
        elif IPv4Network(service_cidr(network)).overlaps(IPv4Network(reserved)):
            message = f"the cluster's services, at {service_cidr(network)}, overlap {reserved}"
            remedy = "Hosts there would be out of the pods' reach: choose another network for one of them."
            yield source.mistake((*base, "network", "reserved", index), message, remedy)


def _out_of_reach(settings: AwsSettings, source: Document, base: Place) -> Iterator[Mistake]:
    network = settings.network
    if network.nat == "none" and not network.existing and not settings.cluster.adopt:
        needed = {"s3", "ecr.api", "ecr.dkr", "sts", "ec2", "eks", "eks-auth", "logs"}
        if lacking := sorted(needed - {endpoint for _, endpoint in sound(network.endpoints)}):
            message = "without NAT the nodes reach AWS through endpoints only"
            yield source.mistake((*base, "network", "nat"), message, f"Add to endpoints: {', '.join(lacking)}.")


def _impossible_nodes(settings: AwsSettings, source: Document, base: Place) -> Iterator[Mistake]:
    compute, nodes, place = settings.cluster.compute, settings.cluster.nodes, (*base, "cluster", "nodes")
    meaningless = {"minimum", "maximum", "release"} if compute == "auto" else {"cpu_limit"}
    for name in sorted(meaningless & nodes.model_fields_set):
        key = NodeSettings.model_fields[name].alias or name
        message = f"{key} means nothing where compute is {compute}"
        yield source.mistake((*place, key), message, f"Remove {key}.")
    if nodes.minimum > nodes.maximum:
        message = f"the minimum of {nodes.minimum} is above the maximum of {nodes.maximum}"
        yield source.mistake((*place, "minimum"), message, "Swap them or correct one.")


def _mixed_processors(settings: AwsSettings, source: Document, base: Place) -> Iterator[Mistake]:
    if len({is_arm(kind) for _, kind in sound(settings.cluster.nodes.instance_types)}) > 1:
        message = "one node group cannot mix processors"
        remedy = "Name instance types of one kind: Graviton, such as m7g.large, or Intel and AMD, such as m7i.large."
        yield source.mistake((*base, "cluster", "nodes", "instanceTypes"), message, remedy)


def _not_pinned(settings: AwsSettings, source: Document, base: Place) -> Iterator[Mistake]:
    cluster = settings.cluster
    if cluster.adopt or cluster.compute == "auto":
        return
    if lacking := [name for name in REQUIRED_ADDONS if name not in cluster.addons]:
        message = f"the version of {', '.join(lacking)} is not pinned"
        version = unless_unsound(cluster.version, max(STANDARD_SUPPORT))
        example = f"aws eks describe-addon-versions --kubernetes-version {version} --addon-name {lacking[0]}"
        yield source.mistake((*base, "cluster", "addons"), message, f"Add it; `{example}` lists them.")


def _brought_anyway(settings: AwsSettings, source: Document, base: Place) -> Iterator[Mistake]:
    cluster = settings.cluster
    if cluster.compute == "auto" and not cluster.adopt:
        for name in cluster.addons:
            if name in REQUIRED_ADDONS:
                message = f"Auto Mode brings {name} along, and a second one would be in its way"
                yield source.mistake((*base, "cluster", "addons", name), message, f"Remove {name}.")


def _ahead_of_the_cluster(settings: AwsSettings, source: Document, base: Place) -> Iterator[Mistake]:
    version, proxy = settings.cluster.version, settings.cluster.addons.get("kube-proxy")
    if proxy and not settings.cluster.adopt and _minor(proxy) > _minor(version):
        message = f"kube-proxy {proxy} is newer than the cluster, which is {version}"
        command = f"aws eks describe-addon-versions --kubernetes-version {version} --addon-name kube-proxy"
        remedy = f"Write one of {version}, as `{command}` lists them, or raise the cluster's version with it."
        yield source.mistake((*base, "cluster", "addons", "kube-proxy"), message, remedy)


def _minor(version: str) -> tuple[int, ...]:
    """(1, 36) for 1.36 and for v1.36.0-eksbuild.2."""
    return tuple(int(number) for number in version.removeprefix("v").split(".")[:2])


def _of_another_account(settings: AwsSettings, source: Document, base: Place) -> Iterator[Mistake]:
    cluster = settings.cluster
    for kind, principals in (("administrators", cluster.administrators), ("viewers", cluster.viewers)):
        for index, principal in sound(principals):
            if f"::{settings.account}:" not in principal:
                message = f"{principal} is of another account than {settings.account}"
                yield source.mistake((*base, "cluster", kind, index), message, "Name a role of the stack's account.")


def _named_twice(settings: AwsSettings, source: Document, base: Place) -> Iterator[Mistake]:
    administrators = {principal for _, principal in sound(settings.cluster.administrators)}
    for index, principal in sound(settings.cluster.viewers):
        if principal in administrators:
            message = f"{principal} is an administrator already"
            yield source.mistake((*base, "cluster", "viewers", index), message, "Name it once.")


def _pages_beyond_plan(settings: AwsSettings, source: Document, base: Place) -> Iterator[Mistake]:
    identity = settings.identity
    if identity and identity.plan == "LITE" and identity.login_pages == "managed":
        message, remedy = "the plan LITE has the classic pages only", "Write plan: ESSENTIALS, or loginPages: classic."
        yield source.mistake((*base, "identity", "loginPages"), message, remedy)


def support_warning(settings: AwsSettings | None, today: date) -> str | None:
    """What to do about a Kubernetes version that AWS stops or stopped supporting; None while there is time."""
    if settings is None or settings.cluster.adopt:
        return None
    version = settings.cluster.version
    end = date.fromisoformat(STANDARD_SUPPORT[version])
    if end - today > SUPPORT_NOTICE:
        return None
    leaves = "leaves" if end >= today else "left"
    newer = min(
        (known for known in STANDARD_SUPPORT if _minor(known) > _minor(version)), key=_minor, default="a newer one"
    )
    return (
        f"Kubernetes {version} {leaves} EKS' standard support on {end}, after which AWS upgrades the control plane by "
        f"itself, without its nodes and add-ons: set aws.cluster.version to {newer}."
    )


def _unused(settings: Model, source: Document, place: Place, sensible: set[str]) -> Iterator[Mistake]:
    """What is set although only `sensible` has a meaning; nothing where that is empty."""
    for name in sorted(settings.model_fields_set - sensible if sensible else ()):
        key = type(settings).model_fields[name].alias or name
        message = f"what exists is used as it is, so {key} would do nothing"
        yield source.mistake((*place, key), message, f"Remove {key}.")


def processor(instance_type: str) -> str:
    """The AMI type of Amazon Linux 2023 that an instance type needs."""
    return "AL2023_ARM_64_STANDARD" if is_arm(instance_type) else "AL2023_x86_64_STANDARD"


def is_arm(instance_type: str) -> bool:
    """Whether an instance type has a Graviton processor."""
    # The letter after the generation's number tells: m7g, c8gn, t4g are Graviton; a1 was the first.
    family = instance_type.split(".")[0]
    return family == "a1" or re.fullmatch(r"[a-z]+\d+g[a-z]*", family) is not None
