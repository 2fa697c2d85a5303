"""tenants.yaml: one entry per tenant of the SaaS."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, cast
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, ValidationError

from model.config import document
from model.config.aws_access import AwsAccess
from model.config.document import Document, Place
from model.config.hosts import overlaps
from model.config.inheritance import REFERENCES, Inheritance, Layer, merged, written
from model.config.mirrors import Location, Mirror, locate
from model.config.mistakes import Mistake, MistakesError, nearest
from model.config.names import tenant_name_problem
from model.config.schema import Model, mistakes, wrong
from model.config.tiers import DEFAULT_TIER, TENANT, Tier, problems, tier_name_problem
from model.config.unsound import UNSOUND, found_by

GITHUB = "github.com"


def _name(value: str) -> str:
    if problem := tenant_name_problem(value):
        raise wrong(*problem)
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


Url = Annotated[
    str, AfterValidator(_url), Field(description="https:// for a public repository, ssh:// for a private one")
]
Reference = Annotated[str, AfterValidator(_reference)]
Commit = Annotated[str, AfterValidator(_commit)]
Semver = Annotated[str, Field(min_length=1, description="A range such as >=1.0.0 <2.0.0")]
RepositoryPath = Annotated[str, AfterValidator(_path), Field(description="The folder with the product's kustomization")]
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


class Tenant(Tier):
    """One customer: a namespace, and the product that Flux applies to it. Complete, whatever its tier left open."""

    name: Name
    source: Source
    tier: str = Field(default=DEFAULT_TIER, description="Which tier it has: basic, premium or one of the file's own")
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


class Defaults(Tier):
    """What a tenant has where it does not say, whatever its tier."""

    source: DefaultSource | None = None
    tier: str = DEFAULT_TIER
    aws: AwsAccess | None = None


class TenantsFile(Model):
    """The whole of tenants.yaml."""

    defaults: Defaults | None = None
    tiers: dict[str, Tier] = Field(
        default={}, description="Tiers of the platform's own, on top of basic; basic and premium themselves changed"
    )
    tenants: list[Tenant]


def load(path: Path, name: str, mirrors: Sequence[Mirror] = ()) -> tuple[Tenant, ...]:
    """Read tenants.yaml; `name` is how messages call it. Raises MistakesError with all that is wrong."""
    return parse(document.read(path, name), mirrors)


def parse(source: Document, mirrors: Sequence[Mirror] = ()) -> tuple[Tenant, ...]:
    """The tenants of a document, each with what its tier and the defaults say where it does not. See `load`."""
    tenants, found = look(source, mirrors)
    if found:
        raise MistakesError(found)
    return tenants


def look(source: Document, mirrors: Sequence[Mirror] = ()) -> tuple[tuple[Tenant, ...], list[Mistake]]:
    """The tenants of a document, UNSOUND for one that is wrong by itself (see unsound.py), and all that is wrong.

    They are in the document's order, so that a tenant's index is its entry's.
    """
    found = list(_shape(source))
    inherited = inheritance(source)
    found += _below_mistakes(source, inherited)
    entries = _entries(source)
    tenants: list[Tenant] = []
    for index, entry in enumerate(entries):
        place: Place = ("tenants", index)
        whole = inherited.merged(entry)
        if isinstance(whole, dict) and "source" in whole:
            given = cast("dict[str, Any]", whole)["source"]
            found += _references(source, (*place, "source"), given, required=True)
        found += _tier_mistakes(source, inherited, inherited.layers(entry, place), inherited.tier(entry))
        try:
            tenant = Tenant.model_validate(whole)
        except ValidationError as error:
            found += mistakes(Tenant, error, source, place)
            tenants.append(UNSOUND)
            continue
        tenants.append(tenant)
        found += _combinations(source, place, tenant)
        # A mirror may know the host, and whether one does nobody can tell where the mirrors are wrong.
        found += found_by([partial(_unknown_host, source, place, tenant, mirrors)])
        found += _contradictions(source, tenant, inherited.layers(entry, place))
    found += _duplicates(source, entries)
    if not found:
        found += _host_mistakes(source, inherited, tenants)
    return tuple(tenants), found


def inheritance(source: Document) -> Inheritance:
    """What the tenants of a document inherit, as far as it is good."""
    content = _mapping(source.content)
    return Inheritance(
        {name: values for name, values in _mapping(content.get("tiers")).items() if _good(Tier, values)},
        content["defaults"] if _good(Defaults, content.get("defaults")) else {},
    )


def origins(source: Document, index: int) -> Sequence[Layer]:
    """Everything in a document that says something about the tenant with this index, its own entry last."""
    return inheritance(source).layers(_entries(source)[index], ("tenants", index))


def place_of(source: Document, index: int, path: Place) -> Place:
    """Where what holds for the tenant with this index was written: in its own entry, the defaults, or its tier."""
    return written(origins(source, index), [path])


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
    nothing: Mapping[str, Any] = {"tenants": [], "tiers": {}, "defaults": {}}
    shape |= {key: empty for key, empty in nothing.items() if isinstance(shape.get(key), type(empty))}
    try:
        TenantsFile.model_validate(shape)
    except ValidationError as error:
        yield from mistakes(TenantsFile, error, source)


def _entries(source: Document) -> Sequence[Any]:
    entries: Any = _mapping(source.content).get("tenants")
    return cast("list[Any]", entries) if isinstance(entries, list) else []


def _mapping(value: Any) -> dict[str, Any]:
    """The value where it is a mapping; else nothing, because that is reported already."""
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _good(model: type[Model], values: Any) -> bool:
    try:
        model.model_validate(values)
    except ValidationError:
        return False
    return True


def _below_mistakes(source: Document, inherited: Inheritance) -> Iterator[Mistake]:
    """What is wrong with the tiers and the defaults, whether a tenant has them or not."""
    content = _mapping(source.content)
    defaults = content.get("defaults")
    for name, values in _mapping(content.get("tiers")).items():
        place: Place = ("tiers", name)
        if problem := tier_name_problem(name):
            yield source.mistake(place, *problem)
        try:
            Tier.model_validate(values)
        except ValidationError as error:
            yield from mistakes(Tier, error, source, place)
            continue
        layers = inherited.of_tier(name)
        yield from _contradictions(source, Tier.model_validate(merged(layers)), layers)
    if isinstance(defaults, dict):
        try:
            Defaults.model_validate(defaults)
        except ValidationError as error:
            yield from mistakes(Defaults, error, source, ("defaults",))
        else:
            given = _mapping(cast("Any", defaults)).get("source")
            yield from _references(source, ("defaults", "source"), given, required=False)
            yield from _tier_mistakes(source, inherited, inherited.layers({}, ("defaults",)), inherited.tier({}))


def _tier_mistakes(source: Document, inherited: Inheritance, layers: Sequence[Layer], name: Any) -> Iterator[Mistake]:
    # What is wrong with a tier that is there is said already.
    known = {*inherited.known_tiers, *_mapping(_mapping(source.content).get("tiers"))}
    if isinstance(name, str) and name not in known:
        remedy = f"{nearest(name, known)} Tiers of your own stand below `tiers:`."
        yield source.mistake(written(layers, [("tier",)]), f"there is no tier {name!r}", remedy)


def _contradictions(source: Document, tier: Tier, layers: Sequence[Layer]) -> Iterator[Mistake]:
    for paths, message, remedy in problems(tier):
        yield source.mistake(written(layers, paths), message, remedy)


def _host_mistakes(source: Document, inherited: Inheritance, tenants: Sequence[Tenant]) -> Iterator[Mistake]:
    places = {tenant.name: index for index, tenant in enumerate(tenants)}
    entries = _entries(source)
    for name, host, other, others_host in overlaps({tenant.name: tenant.hosts for tenant in tenants}):
        index = places[name]
        layers = inherited.layers(entries[index], ("tenants", index))
        at = written(layers, [("hosts",)])
        if at[0] != "tenants":
            message = f"{host} would be {other}'s and {name}'s"
            yield source.mistake(at, message, f"Write {TENANT} in it, or give hosts to each tenant by itself.")
            continue
        line = source.line(("tenants", places[other], "hosts"))
        covered = f" by {others_host}" if others_host != host else ""
        message = f"{host} is {other}'s already{covered} (line {line})"
        yield source.mistake((*at, tenants[index].hosts.index(host)), message, "A host belongs to one tenant only.")


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


def _combinations(source: Document, place: Place, tenant: Tenant) -> Iterator[Mistake]:
    url, at = tenant.source.url, (*place, "source")
    over_ssh = url.startswith("ssh://")
    if tenant.source.private and not over_ssh:
        path = urlsplit(url).path
        remedy = f"Write ssh://git@{tenant.source.host}{path}, or private: false."
        yield source.mistake((*at, "private"), "a private source is read over SSH with a deploy key", remedy)
    if over_ssh and not tenant.source.private:
        yield source.mistake((*at, "url"), "SSH asks for a key", "Add `private: true`, or write an https:// URL.")
    if tenant.source.private and tenant.source.host == GITHUB and tenant.source.github_repository is None:
        yield source.mistake(
            (*at, "url"), f"{url!r} is no repository on GitHub", "Write ssh://git@github.com/OWNER/NAME."
        )
    if tenant.source.known_hosts and not over_ssh:
        yield source.mistake((*at, "knownHosts"), "host keys are for SSH", "Leave knownHosts out of an https source.")


def _unknown_host(source: Document, place: Place, tenant: Tenant, mirrors: Sequence[Mirror]) -> Iterator[Mistake]:
    host, private = tenant.source.host, tenant.source.url.startswith("ssh://") and tenant.source.private
    if private and not location(tenant, mirrors, "github's").known_hosts:
        remedy = f"Add `knownHosts:` with what `ssh-keyscan {host}` prints, after checking it."
        yield source.mistake((*place, "source", "url"), f"nobody knows the host keys of {host}", remedy)


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
