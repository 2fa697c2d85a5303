"""tenants.yaml: one entry per tenant of the SaaS, merged with what it inherits and validated."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Annotated, Any, ClassVar, cast
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from model.config.aws_access import AwsAccess
from model.config.base import Finding, Model, rule_error, validate
from model.config.errors import Problem, raise_if_any, suggestion
from model.config.git import (
    GITHUB,
    PUBLIC_URL,
    RSA_REMEDY,
    foreign_notation,
    is_version_range,
    known_hosts_error,
    pasted_page,
    rsa_message,
    rsa_only,
)
from model.config.inheritance import REFERENCES, Inheritance, source_path
from model.config.mirrors import Location, Mirror, locate
from model.config.names import LABEL_PATTERN, tenant_name_problem
from model.config.tiers import DEFAULT_TIER, TENANT, Tier, contradictions
from model.config.yaml_lines import YamlFile, YamlPath


def _tier_name(value: str) -> str:
    if not re.fullmatch(LABEL_PATTERN, value):
        remedy = "Use lower-case letters, digits and hyphens, such as gold."
        raise rule_error(f"{value!r} is not a valid tier name", remedy)
    return value


def _name(value: str) -> str:
    if problem := tenant_name_problem(value):
        raise rule_error(*problem)
    return value


def _url(value: str) -> str:
    """Validate the URL of a source. Flux supports http, https and ssh."""
    if error := foreign_notation(value):
        raise rule_error(*error)
    try:
        parts = urlsplit(value)
        valid_port = parts.port is None or parts.port > 0
    except ValueError:
        valid_port, parts = False, urlsplit("")
    if not valid_port or not parts.hostname or not parts.path.strip("/") or re.search(r"\s", value):
        raise rule_error(f"{value!r} is not a repository URL", PUBLIC_URL)
    if remedy := pasted_page(value):
        raise rule_error("this is a page for browsers, not a repository", remedy)
    if parts.scheme == "http":
        raise rule_error("http is not encrypted", f"Write https://{value.removeprefix('http://')}.")
    if parts.scheme not in ("https", "ssh"):
        raise rule_error(f"Flux does not support {parts.scheme}:// URLs", "Write an https:// or ssh:// URL.")
    if parts.password or (parts.scheme == "https" and parts.username):
        raise rule_error(
            "the URL contains credentials", "Remove them; for a private source use ssh:// and private: true."
        )
    if parts.query or parts.fragment:
        raise rule_error(
            "the URL has a query or fragment",
            "Remove everything from ? or #; choose a revision with branch, tag, semver or commit.",
        )
    return value


def _path(value: str) -> str:
    path = PurePosixPath(value)
    if path.is_absolute() or ".." in path.parts:
        raise rule_error(f"{value!r} is outside the repository", "Write a folder inside it, such as ./kustomize.")
    return f"./{path}" if str(path) != "." else "./"


def _semver(value: str) -> str:
    if not is_version_range(value):
        remedy = "Write versions with =, !=, >, <, >=, <=, ~ or ^ before them, as in >=1.0.0 <2.0.0 or 1.2.x || ^2.0."
        raise rule_error(f"{value!r} is not a range of versions", remedy)
    return value


def _commit(value: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", value):
        raise rule_error(f"{value!r} is not a full commit id", "Write all 40 hexadecimal digits, in quotes.")
    return value


def reference(value: str) -> str:
    """Validate the name of a branch or tag. Raises rule_error."""
    if found := re.match(r"refs/(heads|tags|remotes/[^/]+)/(?=.)", value):
        raise rule_error(f"{value!r} is the full name of a reference", f"Write {value[found.end() :]}.")
    # Git's rules for names of branches and tags (git-check-ref-format).
    if re.search(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|\.lock(/|$)|/\.|^[./-]|[./]$|^@$", value):
        raise rule_error(
            f"{value!r} is not a valid name of a branch or tag", "Write the name as `git branch` shows it."
        )
    return value


Url = Annotated[
    str, AfterValidator(_url), Field(description="https:// for a public repository, ssh:// for a private one")
]
Reference = Annotated[str, AfterValidator(reference)]
Commit = Annotated[str, AfterValidator(_commit)]
Semver = Annotated[
    str, AfterValidator(_semver), Field(min_length=1, description="A range of versions such as >=1.0.0 <2.0.0")
]
RepositoryPath = Annotated[str, AfterValidator(_path), Field(description="The folder with the product's kustomization")]
TierName = Annotated[str, AfterValidator(_tier_name)]
Name = Annotated[
    str, AfterValidator(_name), Field(description="The tenant's name, which is also its namespace; never changes")
]


OWN_CERTIFICATES = (
    "Own CAs, passwords and tokens are not supported: read the repository over SSH, with an ssh:// URL, "
    "`private: true` and `knownHosts:`."
)
UNSUPPORTED: Mapping[str, str] = dict.fromkeys(
    "ca caCert caFile certFile keyFile certSecretRef secretRef insecure insecureSkipTLS insecureSkipTLSVerify username "
    "password token bearerToken provider proxy proxySecretRef".split(),
    OWN_CERTIFICATES,
)
"""Keys of Flux, its CLI and Git for access over https."""


class Source(Model):
    """The Git repository of a tenant's product. Exactly one of branch, tag, semver, commit."""

    unsupported: ClassVar[Mapping[str, str]] = UNSUPPORTED

    url: Url
    branch: Reference | None = None
    tag: Reference | None = None
    semver: Semver | None = None
    commit: Commit | None = None
    path: RepositoryPath = "./"
    private: bool = Field(default=False, description="Read over SSH with the tenant's own deploy key")
    known_hosts: str | None = Field(
        default=None, alias="knownHosts", min_length=1, description="The SSH server's host keys, if it is not GitHub"
    )

    @property
    def reference(self) -> Mapping[str, str]:
        """The spec.ref of the GitRepository."""
        return {kind: value for kind in REFERENCES if (value := getattr(self, kind)) is not None}

    @property
    def host(self) -> str:
        """The server's name, in lower case."""
        return urlsplit(self.url).hostname or ""

    @property
    def github_repository(self) -> tuple[str, str] | None:
        """Owner and name of a repository on GitHub; None for other servers."""
        steps = urlsplit(self.url).path.strip("/").removesuffix(".git").split("/")
        return (steps[0], steps[1]) if self.host == GITHUB and len(steps) == 2 else None


class Tenant(Tier):
    """A customer: a namespace, and the product that Flux applies to it. Complete with all inherited values."""

    name: Name
    source: Source
    tier: str = Field(default=DEFAULT_TIER, description="Its tier: basic, premium or one below tiers")
    aws: AwsAccess | None = Field(default=None, description="Its permissions on AWS; default: none")
    adopt: bool = Field(
        default=False, description="Take over a namespace that exists already; removing the tenant keeps it"
    )


class DefaultSource(Model):
    """Default values of every tenant's source."""

    unsupported: ClassVar[Mapping[str, str]] = UNSUPPORTED

    url: Url | None = None
    branch: Reference | None = None
    tag: Reference | None = None
    semver: Semver | None = None
    commit: Commit | None = None
    path: RepositoryPath | None = None
    private: bool | None = None
    known_hosts: str | None = Field(default=None, alias="knownHosts", min_length=1)


class Defaults(Tier):
    """Default values of every tenant, whatever its tier."""

    source: DefaultSource | None = None
    tier: str = DEFAULT_TIER
    aws: AwsAccess | None = None


class TenantsFile(Model):
    """The content of tenants.yaml."""

    defaults: Defaults | None = None
    tiers: dict[TierName, Tier] = Field(
        default={}, description="Custom tiers, based on basic, and changes to basic and premium"
    )
    tenants: list[Tenant]

    @model_validator(mode="before")
    @classmethod
    def _is_mapping(cls, content: Any) -> Any:
        if not isinstance(content, dict):
            raise rule_error(
                "must be a mapping with the key tenants", "Begin with `tenants:`, or `tenants: []` for none."
            )
        return cast("dict[str, Any]", content)


@dataclass(frozen=True)
class TenantList:
    """The tenants of a file in its order, and the layers that their values come from."""

    tenants: tuple[Tenant, ...]
    inheritance: Inheritance
    content: TenantsFile

    def problem(self, index: int, path: YamlPath, message: str, remedy: str) -> Problem:
        """A problem of a tenant, at the line that defined the value: in its entry, the defaults or its tier."""
        return self.inheritance.problem(index, path, message, remedy)


def parse(file: YamlFile) -> TenantList:
    """The tenants of a file, after both rounds of validation. Raises InvalidConfigError with a round's problems."""
    listed = merge_and_validate(file)
    raise_if_any(broken_rules(listed))
    return listed


def merge_and_validate(file: YamlFile) -> TenantList:
    """Round one: every tenant merged with what it inherits, and all shapes. Raises InvalidConfigError."""
    inheritance = Inheritance(file)
    content = validate(TenantsFile, inheritance.merged(), file, inheritance.source_path)
    return TenantList(tuple(content.tenants), inheritance, content)


def broken_rules(listed: TenantList) -> Iterator[Problem]:
    """Round two: values that are valid, but not together."""
    yield from _rules_of_tiers_and_defaults(listed)
    for index, tenant in enumerate(listed.tenants):
        for path, message, remedy in (*_tier_rules(listed, tenant.tier), *_source_rules(tenant.source)):
            yield listed.problem(index, path, message, remedy)
        layers = listed.inheritance.tenant_layers(index)
        for paths, message, remedy in contradictions(tenant):
            yield listed.inheritance.file.problem(source_path(layers, paths), message, remedy)
    yield from _duplicate_names(listed)
    yield from _shared_hosts(listed)


def _rules_of_tiers_and_defaults(listed: TenantList) -> Iterator[Problem]:
    """The rules of tiers and defaults hold even if no tenant uses them."""
    file, defaults = listed.inheritance.file, listed.content.defaults
    for name, tier in listed.content.tiers.items():
        layers = listed.inheritance.tier_layers(name)
        for paths, message, remedy in contradictions(tier):
            yield file.problem(source_path(layers, paths), message, remedy)
    if defaults:
        for path, message, remedy in _tier_rules(listed, defaults.tier):
            yield file.problem(("defaults", *path), message, remedy)
        if defaults.source:
            for path, message, remedy in _revision_rules(defaults.source):
                yield file.problem(("defaults", *path), message, remedy)


def _tier_rules(listed: TenantList, tier: str) -> Iterator[Finding]:
    known = listed.inheritance.known_tiers
    if tier not in known:
        yield ("tier",), f"unknown tier {tier!r}", f"{suggestion(tier, known)} Define custom tiers below `tiers:`."


def _source_rules(source: Source) -> Iterator[Finding]:
    yield from _revision_rules(source)
    if not source.reference:
        remedy = f"Add one of {', '.join(REFERENCES)}, such as `branch: main`."
        yield ("source",), "the revision is missing", remedy
    over_ssh = source.url.startswith("ssh://")
    if source.private and not over_ssh and rsa_only(source.host):
        yield ("source", "private"), rsa_message(source.host), RSA_REMEDY
    elif source.private and not over_ssh:
        remedy = f"Write ssh://git@{source.host}{urlsplit(source.url).path}, or private: false."
        yield ("source", "private"), "a private source needs SSH and a deploy key", remedy
    if over_ssh and not source.private:
        yield ("source", "url"), "SSH needs a deploy key", "Add `private: true`, or write an https:// URL."
    if source.private and source.host == GITHUB and source.github_repository is None:
        message = f"{source.url!r} is not a GitHub repository"
        yield ("source", "url"), message, "Write ssh://git@github.com/OWNER/NAME."
    if source.known_hosts and not over_ssh:
        yield ("source", "knownHosts"), "host keys are for SSH only", "Remove knownHosts from an https source."
    elif source.known_hosts and (error := known_hosts_error(source.known_hosts, source.url)):
        yield ("source", "knownHosts"), *error


def _revision_rules(source: Source | DefaultSource) -> Iterator[Finding]:
    given = [kind for kind in REFERENCES if getattr(source, kind) is not None]
    if len(given) > 1:
        yield ("source", given[1]), f"{' and '.join(given)} exclude each other", "Keep only one of them."


def _duplicate_names(listed: TenantList) -> Iterator[Problem]:
    first: dict[str, int] = {}
    for index, tenant in enumerate(listed.tenants):
        if tenant.name in first:
            line = listed.inheritance.file.line(("tenants", first[tenant.name], "name"))
            message = f"duplicate tenant {tenant.name!r}, first defined on line {line}"
            yield listed.problem(index, ("name",), message, "Give each tenant a name of its own.")
        first.setdefault(tenant.name, index)


def _shared_hosts(listed: TenantList) -> Iterator[Problem]:
    """Hosts of more than one tenant: the same host, or a host that another tenant's wildcard covers.

    A wildcard covers every name below it, however deep, as in HTTPRoutes. Of two equal hosts the second is reported.
    """
    file, tenants = listed.inheritance.file, listed.tenants
    owners: dict[str, list[int]] = {}
    for index, tenant in enumerate(tenants):
        for host in dict.fromkeys(tenant.hosts):
            owners.setdefault(host, []).append(index)
    for index, tenant in enumerate(tenants):
        for host in dict.fromkeys(tenant.hosts):
            rivals = [(host, owner) for owner in owners[host][:1] if owner < index]
            rivals += [(wildcard, owner) for wildcard in _wildcards_over(host) for owner in owners.get(wildcard, ())]
            for rival_host, owner in rivals:
                other = tenants[owner].name
                if other == tenant.name:
                    continue
                path = listed.inheritance.source_path(("tenants", index, "hosts"))
                if path[0] != "tenants":
                    message = f"{host} would belong to both {other} and {tenant.name}"
                    yield file.problem(path, message, f"Write {TENANT} in it, or give each tenant its own hosts.")
                    continue
                covered = f" through {rival_host}" if rival_host != host else ""
                message = f"{host} already belongs to {other}{covered} (line {file.line(('tenants', owner, 'hosts'))})"
                remedy = "Remove it here or there: a host belongs to one tenant only."
                yield file.problem((*path, tenant.hosts.index(host)), message, remedy)


def _wildcards_over(host: str) -> Iterator[str]:
    """The wildcards that cover a host, except the host itself."""
    labels = host.removeprefix("*.").split(".")
    for start in range(0 if host.startswith("*.") else 1, len(labels)):
        wildcard = f"*.{'.'.join(labels[start:])}"
        if wildcard != host:
            yield wildcard


def location(tenant: Tenant, mirrors: Sequence[Mirror], github_known_hosts: str) -> Location:
    """The URL that a tenant's source is actually read from, and the host keys of its server."""
    found = locate(tenant.source.url, mirrors)
    if found.known_hosts or found.url != tenant.source.url:
        return found
    known_hosts = tenant.source.known_hosts or (github_known_hosts if tenant.source.host == GITHUB else "")
    return Location(found.url, known_hosts)
