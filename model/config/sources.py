"""Git repositories that Flux reads products from: a tenant's own, and those that tenants share."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Annotated, ClassVar
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from model.config.base import Finding, Model, rule_error
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
from model.config.mirrors import Location, Mirror, locate

REFERENCES = ("branch", "tag", "semver", "commit")
"""The keys that choose a source's revision; each replaces an inherited one of any kind."""


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
    if not value:
        raise rule_error("is empty", "Write the name of a branch or tag.")
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
    """The Git repository of a product. Exactly one of branch, tag, semver, commit."""

    unsupported: ClassVar[Mapping[str, str]] = UNSUPPORTED

    url: Url
    branch: Reference | None = None
    tag: Reference | None = None
    semver: Semver | None = None
    commit: Commit | None = None
    path: RepositoryPath = "./"
    private: bool = Field(default=False, description="Read over SSH with a deploy key of its own")
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

    @property
    def app_url(self) -> str | None:
        """The URL by which a GitHub App reads a private repository; None for all that needs no App."""
        return (
            f"https://{GITHUB}/{'/'.join(self.github_repository)}" if self.private and self.github_repository else None
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


def source_rules(source: Source) -> Iterator[Finding]:
    """Values of a source that are valid, but not together. Paths begin with `source`."""
    yield from revision_rules(source)
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
    if source.host == GITHUB and source.github_repository is None:
        message = f"{source.url!r} is not a GitHub repository"
        yield ("source", "url"), message, f"Write {'ssh://git@' if over_ssh else 'https://'}github.com/OWNER/NAME."
    if source.known_hosts and not over_ssh:
        yield ("source", "knownHosts"), "host keys are for SSH only", "Remove knownHosts from an https source."
    elif source.known_hosts and (error := known_hosts_error(source.known_hosts, source.url)):
        yield ("source", "knownHosts"), *error


def revision_rules(source: Source | DefaultSource) -> Iterator[Finding]:
    """More than one revision."""
    given = [kind for kind in REFERENCES if getattr(source, kind) is not None]
    if len(given) > 1:
        yield ("source", given[1]), f"{' and '.join(given)} exclude each other", "Keep only one of them."


def location(source: Source, mirrors: Sequence[Mirror], github_known_hosts: str) -> Location:
    """The URL that a source is actually read from, and the host keys of its server."""
    found = locate(source.url, mirrors)
    if found.known_hosts or found.url != source.url:
        return found
    known_hosts = source.known_hosts or (github_known_hosts if source.host == GITHUB else "")
    return Location(found.url, known_hosts)
