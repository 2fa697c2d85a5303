"""The stack's configuration: the keys of Pulumi.<stack>.yaml. Their defaults live only in Pulumi.yaml."""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, cast, get_args, get_origin

from pydantic import AfterValidator, BeforeValidator, Field

from model.config import aws, notifications, yaml_lines
from model.config.aws import AwsSettings, gateway_subnet, public_subnet, service_cidr
from model.config.base import Model, rule_error, validate
from model.config.errors import InvalidConfigError, Problem, raise_if_any, suggestion
from model.config.git import known_hosts_error
from model.config.keys import Generation
from model.config.names import CONTROLLERS, FLUX_SIZES, LABEL_PATTERN
from model.config.network import NODE_LOCAL_DNS, ClusterAddresses, NetworkSettings
from model.config.notifications import Notification
from model.config.sources import reference
from model.config.stack_shards import StackShard
from model.config.webhooks import WebhookSettings
from model.config.yaml_lines import YamlFile, YamlPath

SHORTEST_DEADLINE, LONGEST_DEADLINE = 5, 600
REQUIRED_CONTROLLERS = ("source-controller", "kustomize-controller")
NOTIFICATION_CONTROLLER = "notification-controller"

GITHUB_KNOWN_HOSTS = """\
github.com ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl
github.com ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBEmKSENjQEezOmxkZMy7opKgwFB9nkt5YRrYMjNuG5N87uRgg6CLrbo5wAdT/y6v0mKV0U2w0WZ2YB/++Tpockg=
github.com ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABgQCj7ndNxQowgcQnjshcLrqPEiiphnt+VTTvDP6mHBL9j1aNUkY4Ue1gvwnGLVlOhGeYrnZaMgRK6+PKCUXaDbC7qtbW8gIkhL7aGCsOr/C56SJMy/BCZfxd1nWzAOxSDPgVsmerOBYfNqltV9/hWCqBywINIR+5dIg6JTJ72pcEpEjcYgXkE2YEFXV1JHnsKgbLWNlhScqb2UmyRkQyytRLtL+38TGxkxCflmO+5Z8CSSNY7GidjMIZ7Q4zMjA2n1nGrlTDkzwDCsw+wqFPGQA179cnfGWOWRVruj16z6XyvxvjJwbz0wQZ75XK5tKSb7FNyeIEs4TT4jk+S4dhPeAUC5y+bDYirYgM4GC7uEnztnZyaVWQ7B381AK4Qdrwt51ZqExKbQpTUNn+EjqoTwvqNj4kqx5QUCI0ThS/YkOxJCXmPUWZbhjpCg56i+2aB6CmK2JGhn57K5mj0MNdBXA4/WnwH6XoPWJzK5Nyu2zB3nAZp+S5hpQs+p1vN1/wsjk=
"""  # noqa: E501 - host keys cannot be broken
"""GitHub's host keys as GitHub publishes them (docs: "GitHub's SSH key fingerprints")."""


def _cluster(value: str) -> str:
    # EKS allows more characters, but the name is also a folder and a label value.
    if not re.fullmatch(LABEL_PATTERN, value):
        raise rule_error(
            f"{value!r} is not a valid cluster name", "Use lower-case letters, digits and hyphens, such as prod-eu."
        )
    return value


def _owner(value: str) -> str:
    if not value:
        raise rule_error("is missing", "Write the GitHub user or organization that has the infra repository.")
    if not re.fullmatch(r"[A-Za-z0-9](-?[A-Za-z0-9])*(_[A-Za-z0-9]+)?", value) or len(value) > 39:
        raise rule_error(
            f"{value!r} is not a GitHub user or organization", "Write the name in the URL: github.com/OWNER."
        )
    return value


def _repository(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,100}", value) or value in (".", "..") or value.endswith(".git"):
        raise rule_error(
            f"{value!r} is not a valid GitHub repository name", "Use letters, digits, hyphens, dots and underscores."
        )
    return value


def _sha256(value: str) -> str:
    if value and not re.fullmatch(r"[0-9a-f]{64}", value):
        raise rule_error(
            f"{value!r} is not a SHA-256", "Write the 64 hexadecimal digits that `sha256sum install.yaml` prints."
        )
    return value


def _image(value: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9._:/-]*(:[\w.-]+)?@sha256:[0-9a-f]{64}", value):
        raise rule_error(
            f"{value!r} does not pin an image", "Write IMAGE@sha256:DIGEST of an image with Python 3.11 or newer."
        )
    return value


def _deadline(value: str) -> str:
    if not re.fullmatch(r"[0-9]{1,4}s", value) or not SHORTEST_DEADLINE <= int(value[:-1]) <= LONGEST_DEADLINE:
        raise rule_error(
            f"{value!r} is not a deadline from {SHORTEST_DEADLINE}s to {LONGEST_DEADLINE}s", "20s is usual."
        )
    return value


def _controller(value: str) -> str:
    if value not in CONTROLLERS:
        raise rule_error(f"{value!r} is not a Flux controller", suggestion(value, CONTROLLERS))
    return value


def _components(value: list[str]) -> list[str]:
    if missing := [name for name in REQUIRED_CONTROLLERS if name not in value]:
        raise rule_error(f"tenants need {' and '.join(missing)}", f"Add {', '.join(missing)}.")
    return value


def _flux_size(value: str) -> str:
    if value not in FLUX_SIZES:
        raise rule_error(f"{value!r} is not a size of Flux's controllers", suggestion(value, FLUX_SIZES))
    return value


def _deploy_keys(value: str) -> str:
    if value not in ("keys", "app"):
        raise rule_error(f"{value!r} is not a way to read private repositories", suggestion(value, ("keys", "app")))
    return value


EMPTY = BeforeValidator(lambda value: value or None)
"""Settings whose default in Pulumi.yaml is an empty mapping."""


class GithubAppSettings(Model):
    """The GitHub App by which Flux reads the infra repository and products. Its key is the secret `githubAppKey`."""

    id: str = Field(pattern=r"^\d+$")
    installation: str = Field(pattern=r"^\d+$")


class Settings(Model):
    """A stack's configuration. Pulumi.yaml describes each key."""

    cluster: Annotated[str, AfterValidator(_cluster)]
    kubeconfig: str = Field(min_length=1)
    aws: AwsSettings | None = None
    network: NetworkSettings | None = None
    webhooks: Annotated[WebhookSettings | None, EMPTY] = None
    tenants_file: str = Field(alias="tenantsFile", min_length=1)
    mirrors_file: str = Field(alias="mirrorsFile")
    owner: Annotated[str, AfterValidator(_owner)]
    repository: Annotated[str, AfterValidator(_repository)]
    branch: Annotated[str, AfterValidator(reference), Field(min_length=1)]
    known_hosts: str = Field(alias="knownHosts")
    deploy_keys: Annotated[str, AfterValidator(_deploy_keys)] = Field(alias="deployKeys")
    github_app: Annotated[GithubAppSettings | None, EMPTY] = Field(alias="githubApp")
    key_generation: Generation = Field(alias="keyGeneration")
    flux_manifest: str = Field(alias="fluxManifest", min_length=1)
    flux_manifest_sha256: Annotated[str, AfterValidator(_sha256)] = Field(alias="fluxManifestSha256")
    flux_components: Annotated[list[Annotated[str, AfterValidator(_controller)]], AfterValidator(_components)] = Field(
        alias="fluxComponents"
    )
    flux_lockdown: bool = Field(alias="fluxLockdown")
    flux_size: Annotated[str, AfterValidator(_flux_size)] = Field(alias="fluxSize")
    watchdog_image: Annotated[str, AfterValidator(_image)] = Field(alias="watchdogImage")
    watchdog_deadline: Annotated[str, AfterValidator(_deadline)] = Field(alias="watchdogDeadline")
    notifications: list[Notification]
    platform: str
    shard: Annotated[StackShard | None, EMPTY]

    @property
    def is_shard(self) -> bool:
        """Whether the stack has tenants of a platform that another stack has."""
        return bool(self.platform)

    @property
    def github_known_hosts(self) -> str:
        """GitHub's SSH host keys."""
        return self.known_hosts or GITHUB_KNOWN_HOSTS

    @property
    def protected(self) -> bool:
        """Whether the engine refuses to delete what holds data: on AWS, unless `protection` is off."""
        return self.aws is not None and self.aws.protection

    @property
    def webhook_networks(self) -> tuple[str, ...]:
        """Networks from which a load balancer of the stack forwards webhooks."""
        if self.webhooks is None or self.webhooks.by != "apiGateway" or self.aws is None:
            return ()
        return tuple(gateway_subnet(self.aws.network, zone) for zone in self.aws.network.zones)

    @property
    def unpinned(self) -> bool:
        """Whether Flux's manifest is downloaded without a digest that pins its content."""
        return self.flux_manifest.startswith(("https://", "http://")) and not self.flux_manifest_sha256

    @property
    def cluster_addresses(self) -> ClusterAddresses:
        """The address ranges of the cluster, as far as the configuration defines them."""
        known = _addresses_on_aws(self.aws)
        if self.network is None:
            return known
        ranges = tuple(self.network.ranges) or known.ranges
        resolvers = (*known.resolvers, *map(str, self.network.resolvers))
        return ClusterAddresses(ranges, resolvers, known.public_subnets)


def _addresses_on_aws(settings: AwsSettings | None) -> ClusterAddresses:
    if settings is None or settings.cluster.adopt or settings.network.existing:
        return ClusterAddresses()
    services = service_cidr(settings.network)
    # EKS answers DNS at the tenth address. In Auto Mode there are no DNS pods that a policy could select.
    dns = str(ip_network(services).network_address + 10)
    zones = () if settings.network.nat == "none" else settings.network.zones
    public = tuple(public_subnet(settings.network, zone) for zone in zones)
    return ClusterAddresses((settings.network.cidr, services), (NODE_LOCAL_DNS, dns), public)


GITHUB_APP_KEY = "githubAppKey"
"""The secret with the private key of the GitHub App."""


def project_name(folder: Path) -> str:
    """The name of the project in a folder's Pulumi.yaml, which begins the keys of stacks' files.

    Raises InvalidConfigError if there is none.
    """
    file = yaml_lines.read(folder, "Pulumi.yaml")
    name = _mapping(file, (), file.content).get("name")
    if not isinstance(name, str):
        raise InvalidConfigError([file.problem((), "the project has no name", "Add a line `name: saas-in-eks`.")])
    return name


def written(folder: Path, name: str, project: str) -> YamlFile:
    """The project's keys of a stack's file with their values and lines; without the defaults of Pulumi.yaml.

    Raises InvalidConfigError for a file that is not a stack's.
    """
    return own_keys(yaml_lines.read(folder, name), project)


def own_keys(file: YamlFile, project: str) -> YamlFile:
    """The same of a stack's file that is read."""
    prefix = f"{project}:"
    lines: dict[YamlPath, int] = {}
    for path, line in file.lines.items():
        match path:
            case ("config", str(key), *inner) if key.startswith(prefix):
                lines[(key.removeprefix(prefix), *inner)] = line
            case _:
                pass
    config = _mapping(file, ("config",), _mapping(file, (), file.content).get("config"))
    own = {key.removeprefix(prefix): value for key, value in config.items() if key.startswith(prefix)}
    return YamlFile(file.name, own, lines)


def _mapping(file: YamlFile, path: YamlPath, value: Any) -> dict[str, Any]:
    """A value that has to be a mapping if there is any. Raises InvalidConfigError."""
    if value is None or isinstance(value, dict):
        return cast("dict[str, Any]", value or {})
    raise InvalidConfigError([file.problem(path, "must be a mapping", "Write `key: value` lines below it.")])


def keys() -> dict[str, Any]:
    """The keys of the configuration and the type of their values."""
    fields = Settings.model_fields.items()
    return {field.alias or name: _plain_type(field.annotation) for name, field in fields}


def _plain_type(annotation: Any) -> Any:
    """str, bool or list; dict for nested settings."""
    if get_origin(annotation) is list:
        return list
    types = [kind for kind in get_args(annotation) or (annotation,) if isinstance(kind, type)]
    if any(issubclass(kind, Model) for kind in types):
        return dict
    return get_origin(annotation) or annotation or str


def parse(file: YamlFile) -> Settings:
    """Validate a stack's configuration and apply its rules. Raises InvalidConfigError with every problem."""
    settings = validate(Settings, file.content, file)
    raise_if_any(broken_rules(settings, file))
    return settings


def broken_rules(settings: Settings, file: YamlFile) -> Iterator[Problem]:
    """Values of a stack's configuration that are valid, but not together."""
    if settings.aws:
        for path, message, remedy in aws.broken_rules(settings.aws):
            yield file.problem(("aws", *path), message, remedy)
    yield from _webhooks(settings, file)
    if settings.unpinned:
        message = "a downloaded manifest needs a digest"
        remedy = "Download and review it, then set fluxManifestSha256 to the output of `sha256sum`."
        yield file.problem(("fluxManifest",), message, remedy)
    if settings.deploy_keys == "app" and settings.github_app is None:
        message = "deployKeys: app needs the App that Flux reads with"
        remedy = "Add `githubApp: {id: …, installation: …}`, and its key by `pulumi config set --secret githubAppKey`."
        yield file.problem(("deployKeys",), message, remedy)
    if settings.deploy_keys == "keys" and settings.github_app:
        yield file.problem(("githubApp",), "githubApp has no effect without deployKeys: app", "Remove it, or add that.")
    for path, message, remedy in notifications.broken_rules(settings.notifications):
        yield file.problem(("notifications", *path), message, remedy)
    if settings.known_hosts and (error := known_hosts_error(settings.known_hosts, "ssh://git@github.com")):
        message, remedy = error
        yield file.problem(("knownHosts",), message, f"{remedy} Leave it empty for the keys that GitHub publishes.")


def _webhooks(settings: Settings, file: YamlFile) -> Iterator[Problem]:
    """Webhooks that would not reach Flux."""
    webhooks, network = settings.webhooks, settings.network or NetworkSettings()
    if webhooks is None:
        return
    if NOTIFICATION_CONTROLLER not in settings.flux_components:
        message = f"webhooks need {NOTIFICATION_CONTROLLER}, which receives them"
        yield file.problem(("webhooks",), message, f"Add {NOTIFICATION_CONTROLLER} to fluxComponents, or remove this.")
    if webhooks.by == "apiGateway":
        yield from _gateway(webhooks, settings.aws, file)
    elif webhooks.host is None:
        remedy = "Add `host:`, the public name that leads to the receiver, such as flux.example.com."
        yield file.problem(("webhooks", "by"), f"by: {webhooks.by} needs the host that GitHub sends to", remedy)
    if webhooks.by == "ingress" and settings.flux_lockdown and not network.webhooks:
        message = "no namespace may send webhooks to Flux, so the ingress controller's pods cannot"
        remedy = "Write the ingress controller's namespace: `network: {webhooks: [ingress-nginx]}`."
        yield file.problem(("webhooks", "by"), message, remedy)
    if webhooks.ingress_class and webhooks.by != "ingress":
        message = f"ingressClass has no effect with by: {webhooks.by}"
        yield file.problem(("webhooks", "ingressClass"), message, "Remove ingressClass.")


def _gateway(webhooks: WebhookSettings, aws: AwsSettings | None, file: YamlFile) -> Iterator[Problem]:
    """Why API Gateway has no way into the cluster."""
    other = "write `by: ingress` or `by: none` with a host"
    if webhooks.host is not None:
        message = "host has no effect with by: apiGateway, which gives its API a name"
        yield file.problem(("webhooks", "host"), message, "Remove host.")
    if aws is None:
        yield file.problem(("webhooks", "by"), "by: apiGateway needs the stack's part on AWS", f"Add aws, or {other}.")
    elif aws.cluster.adopt or aws.network.existing:
        message = "by: apiGateway needs subnets of its own in the stack's VPC, and here the VPC exists already"
        yield file.problem(("webhooks", "by"), message, f"{other[0].upper()}{other[1:]}.")
    elif aws.cluster.compute != "auto":
        message = "by: apiGateway needs a controller that registers pods with a load balancer, which Auto Mode has"
        yield file.problem(("webhooks", "by"), message, f"Write compute: auto for the cluster, or {other}.")
