"""tenants.yaml: one entry per tenant of the SaaS."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, cast
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, ValidationError

from model import document
from model.aws_access import AwsAccess
from model.document import Document, Place
from model.mirrors import Location, Mirror, locate
from model.mistakes import Mistake, MistakesError
from model.names import tenant_name_problem
from model.schema import Model, mistakes, wrong

REFERENCES = ("branch", "tag", "semver", "commit")
GITHUB = "github.com"
DURATION = r"^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$"
SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def _name(value: str) -> str:
    if problem := tenant_name_problem(value):
        raise wrong(*problem)
    return value


def _interval(value: str) -> str:
    if not re.fullmatch(DURATION, value):
        raise wrong(f"{value!r} is not a duration", "Write it as Go does: 30s, 1m0s, 1h.")
    if (
        sum(float(number) * SECONDS[unit] for number, _, unit in re.findall(r"([0-9]+(\.[0-9]+)?)(ms|s|m|h)", value))
        < 1
    ):
        raise wrong(f"{value!r} would reconcile without a pause", "Write 1s or more; 1m0s is usual.")
    return value


def _url(value: str) -> str:
    """Raises what is wrong with a source's URL; Flux takes http, https and ssh URLs."""
    scp = re.fullmatch(r"(?:([\w.-]+)@)?([\w.-]+):(?!//)(.+)", value)
    if scp:
        user, host, path = scp.groups()
        raise wrong("Flux does not take Git's short SSH form", f"Write ssh://{user or 'git'}@{host}/{path}.")
    try:
        parts = urlsplit(value)
        port_is_fine = parts.port is None or parts.port > 0
    except ValueError:
        port_is_fine, parts = False, urlsplit("")
    if not port_is_fine or not parts.hostname or not parts.path.strip("/") or re.search(r"\s", value):
        raise wrong(
            f"{value!r} is not the URL of a repository", "Write https://HOST/OWNER/NAME or ssh://git@HOST/OWNER/NAME."
        )
    if parts.scheme == "http":
        raise wrong("http can be read and changed on its way", f"Write https://{value.removeprefix('http://')}.")
    if parts.scheme not in ("https", "ssh"):
        raise wrong(f"Flux does not read {parts.scheme}:// URLs", "Write an https:// or ssh:// URL.")
    if parts.password or (parts.scheme == "https" and parts.username):
        raise wrong(
            "a URL must not hold credentials", "Leave them out; for a private source use ssh:// and private: true."
        )
    if parts.query or parts.fragment:
        raise wrong(
            "a repository's URL ends with its path",
            "Leave out what follows ? or #; choose a revision with branch, tag, semver or commit.",
        )
    return value


def _path(value: str) -> str:
    path = PurePosixPath(value)
    if path.is_absolute() or ".." in path.parts:
        raise wrong(f"{value!r} leaves the repository", "Write a folder inside it, such as ./kustomize.")
    return f"./{path}" if str(path) != "." else "./"


def _commit(value: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", value):
        raise wrong(f"{value!r} is not a full commit id", "Write all 40 hexadecimal digits, in quotes.")
    return value


def _reference(value: str) -> str:
    # Git's own rules (git-check-ref-format) for what a branch or tag can be called.
    if re.search(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|\.lock(/|$)|/\.|^[./-]|[./]$|^@$", value):
        raise wrong(f"{value!r} cannot name a branch or tag", "Write the name as `git branch` shows it.")
    return value


def _role(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9:._-]+", value):
        raise wrong(f"{value!r} cannot name a ClusterRole", "Write the name of one, such as admin or cluster-admin.")
    return value


Url = Annotated[
    str, AfterValidator(_url), Field(description="https:// for a public repository, ssh:// for a private one")
]
Reference = Annotated[str, AfterValidator(_reference)]
Commit = Annotated[str, AfterValidator(_commit)]
Semver = Annotated[str, Field(min_length=1, description="A range such as >=1.0.0 <2.0.0")]
RepositoryPath = Annotated[str, AfterValidator(_path), Field(description="The folder with the product's kustomization")]
Interval = Annotated[str, AfterValidator(_interval), Field(description="How often Flux looks, as Go writes durations")]
Role = Annotated[
    str,
    AfterValidator(_role),
    Field(description="The ClusterRole that the reconciler has inside the tenant's namespace"),
]
IdentityKind = Annotated[
    Literal["group", "client", "pool"],
    Field(description="Who its users are: a group of the shared user pool, with a client of its own, or a pool"),
]
Name = Annotated[str, AfterValidator(_name), Field(description="The tenant's name and namespace; never changes")]


class Source(Model):
    """The Git repository that a tenant's product is applied from. Exactly one of branch, tag, semver, commit."""

    url: Url
    branch: Reference | None = None
    tag: Reference | None = None
    semver: Semver | None = None
    commit: Commit | None = None
    path: RepositoryPath = "./"
    private: bool = Field(default=False, description="Read over SSH with a deploy key of the tenant's own")
    known_hosts: str | None = Field(
        default=None, alias="knownHosts", min_length=1, description="The SSH server's host keys where it is not GitHub"
    )

    @property
    def reference(self) -> Mapping[str, str]:
        """What a GitRepository's spec.ref holds."""
        return {kind: value for kind in REFERENCES if (value := getattr(self, kind)) is not None}

    @property
    def host(self) -> str:
        """The server's name, in lower case."""
        return urlsplit(self.url).hostname or ""

    @property
    def github_repository(self) -> tuple[str, str] | None:
        """Owner and name where the source is on GitHub."""
        steps = urlsplit(self.url).path.strip("/").removesuffix(".git").split("/")
        return (steps[0], steps[1]) if self.host == GITHUB and len(steps) == 2 else None


class Tenant(Model):
    """One customer: a namespace, and the product that Flux applies to it."""

    name: Name
    source: Source
    interval: Interval = "1m0s"
    prune: bool = Field(default=False, description="Whether what leaves the repository leaves the cluster")
    role: Role = "cluster-admin"
    identity: IdentityKind = "group"
    aws: AwsAccess | None = Field(default=None, description="What the tenant may do on AWS; none: nothing")


class DefaultSource(Model):
    """What a source has where its tenant does not say."""

    url: Url | None = None
    branch: Reference | None = None
    tag: Reference | None = None
    semver: Semver | None = None
    commit: Commit | None = None
    path: RepositoryPath | None = None
    private: bool | None = None
    known_hosts: str | None = Field(default=None, alias="knownHosts", min_length=1)


class Defaults(Model):
    """What a tenant has where it does not say."""

    source: DefaultSource | None = None
    interval: Interval | None = None
    prune: bool | None = None
    role: Role | None = None
    identity: IdentityKind | None = None
    aws: AwsAccess | None = None


class TenantsFile(Model):
    """The whole of tenants.yaml."""

    defaults: Defaults | None = None
    tenants: list[Tenant]


def load(path: Path, name: str, mirrors: Sequence[Mirror] = ()) -> tuple[Tenant, ...]:
    """Read tenants.yaml; `name` is how messages call it. Raises MistakesError with all that is wrong."""
    return parse(document.read(path, name), mirrors)


def parse(source: Document, mirrors: Sequence[Mirror] = ()) -> tuple[Tenant, ...]:
    """The tenants of a document, each with the defaults it leaves open. See `load`."""
    found = list(_shape(source))
    whole: Any = source.content
    if not isinstance(whole, dict):
        raise MistakesError(found)
    content = cast("dict[str, Any]", whole)
    defaults: dict[str, Any] = {}
    if isinstance(content.get("defaults"), dict):
        try:
            Defaults.model_validate(content["defaults"])
            defaults = content["defaults"]
        except ValidationError as error:
            found += mistakes(Defaults, error, source, ("defaults",))
        else:
            found += _references(source, ("defaults", "source"), defaults.get("source"), required=False)
    entries = cast("list[Any]", content["tenants"]) if isinstance(content.get("tenants"), list) else []
    tenants: list[Tenant] = []
    for index, entry in enumerate(entries):
        place: Place = ("tenants", index)
        try:
            tenant = Tenant.model_validate(_with_defaults(entry, defaults))
        except ValidationError as error:
            found += mistakes(Tenant, error, source, place)
            continue
        finally:
            found += _entry_references(source, place, entry, defaults)
        tenants.append(tenant)
        found += _combinations(source, place, tenant, mirrors)
    found += _duplicates(source, entries)
    if found:
        raise MistakesError(found)
    return tuple(tenants)


def location(tenant: Tenant, mirrors: Sequence[Mirror], github_known_hosts: str) -> Location:
    """Where a tenant's source is really read from, and the host keys it is known by."""
    found = locate(tenant.source.url, mirrors)
    if found.known_hosts or found.url != tenant.source.url:
        return found
    return Location(
        found.url, tenant.source.known_hosts or (github_known_hosts if tenant.source.host == GITHUB else "")
    )


def _shape(source: Document) -> Iterator[Mistake]:
    content = source.content
    if not isinstance(content, dict):
        yield source.mistake(
            (), "has to be a mapping with the key tenants", "Begin with `tenants:`, or `tenants: []` for none."
        )
        return
    shape = dict(cast("dict[str, Any]", content))
    if isinstance(shape.get("tenants"), list):
        shape["tenants"] = []
    if isinstance(shape.get("defaults"), dict):
        shape["defaults"] = None
    try:
        TenantsFile.model_validate(shape)
    except ValidationError as error:
        yield from mistakes(TenantsFile, error, source)


def _with_defaults(entry: Any, defaults: Mapping[str, Any]) -> Any:
    """An entry's own values over the defaults; a revision of its own replaces a default one of any kind."""
    if not isinstance(entry, dict):
        return entry
    own = cast("dict[str, Any]", entry)
    merged = {**defaults, **own}
    own_source, default_source = own.get("source"), defaults.get("source")
    if (
        isinstance(default_source, dict)
        and (own_source is None or isinstance(own_source, dict))
        and "source" in {*own, *defaults}
    ):
        mine = cast("dict[str, Any]", own_source or {})
        theirs = cast("dict[str, Any]", default_source)
        if any(kind in mine for kind in REFERENCES):
            theirs = {key: value for key, value in theirs.items() if key not in REFERENCES}
        merged["source"] = {**theirs, **mine}
    own_aws, default_aws = own.get("aws"), defaults.get("aws")
    if isinstance(own_aws, dict) and isinstance(default_aws, dict):
        merged["aws"] = {**cast("dict[str, Any]", default_aws), **cast("dict[str, Any]", own_aws)}
    return merged


def _entry_references(source: Document, place: Place, entry: Any, defaults: Mapping[str, Any]) -> Iterator[Mistake]:
    merged = _with_defaults(entry, defaults)
    if isinstance(merged, dict) and "source" in merged:
        yield from _references(source, (*place, "source"), cast("dict[str, Any]", merged)["source"], required=True)


def _references(source: Document, place: Place, content: Any, *, required: bool) -> Iterator[Mistake]:
    if not isinstance(content, dict):
        return
    given = [kind for kind in REFERENCES if kind in content]
    if len(given) > 1:
        message = f"{' and '.join(given)} contradict each other"
        yield source.mistake((*place, given[1]), message, "Keep one of them.")
    if required and not given:
        yield source.mistake(
            place, "no revision is chosen", f"Add one of {', '.join(REFERENCES)}, such as `branch: main`."
        )


def _combinations(source: Document, place: Place, tenant: Tenant, mirrors: Sequence[Mirror]) -> Iterator[Mistake]:
    url, at = tenant.source.url, (*place, "source")
    over_ssh = url.startswith("ssh://")
    if tenant.source.private and not over_ssh:
        path = urlsplit(url).path
        remedy = f"Write ssh://git@{tenant.source.host}{path}, or private: false."
        yield source.mistake((*at, "private"), "a private source is read over SSH with a deploy key", remedy)
    if over_ssh and not tenant.source.private:
        yield source.mistake((*at, "url"), "SSH asks for a key", "Add `private: true`, or write an https:// URL.")
    if over_ssh and tenant.source.private and not location(tenant, mirrors, "github's").known_hosts:
        message = f"nobody knows the host keys of {tenant.source.host}"
        yield source.mistake(
            (*at, "url"),
            message,
            f"Add `knownHosts:` with what `ssh-keyscan {tenant.source.host}` prints, after checking it.",
        )
    if tenant.source.private and tenant.source.host == GITHUB and tenant.source.github_repository is None:
        yield source.mistake(
            (*at, "url"), f"{url!r} is no repository on GitHub", "Write ssh://git@github.com/OWNER/NAME."
        )
    if tenant.source.known_hosts and not over_ssh:
        yield source.mistake((*at, "knownHosts"), "host keys are for SSH", "Leave knownHosts out of an https source.")


def _duplicates(source: Document, entries: Sequence[Any]) -> Iterator[Mistake]:
    first: dict[str, int] = {}
    for index, entry in enumerate(entries):
        name = cast("dict[str, Any]", entry).get("name") if isinstance(entry, dict) else None
        if not isinstance(name, str):
            continue
        if name in first:
            line = source.line(("tenants", first[name], "name"))
            yield source.mistake(
                ("tenants", index, "name"), f"{name!r} is already on line {line}", "Tenants need different names."
            )
        first.setdefault(name, index)
