"""The stack's configuration, checked as a whole. Its defaults stand in Pulumi.yaml and nowhere else."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Annotated, Any, get_args, get_origin

from pydantic import AfterValidator, Field

from model.config.aws import AwsSettings, combinations
from model.config.document import Document
from model.config.mistakes import Mistake, MistakesError, nearest
from model.config.network_rules import NetworkSettings
from model.config.schema import Model, examined, wrong
from model.config.unsound import found_by

CONTROLLERS = (
    "source-controller",
    "kustomize-controller",
    "helm-controller",
    "notification-controller",
    "image-reflector-controller",
    "image-automation-controller",
)
"""The controllers that `flux install` knows."""

REQUIRED_CONTROLLERS = ("source-controller", "kustomize-controller")

GITHUB_KNOWN_HOSTS = """\
github.com ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl
github.com ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBEmKSENjQEezOmxkZMy7opKgwFB9nkt5YRrYMjNuG5N87uRgg6CLrbo5wAdT/y6v0mKV0U2w0WZ2YB/++Tpockg=
github.com ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABgQCj7ndNxQowgcQnjshcLrqPEiiphnt+VTTvDP6mHBL9j1aNUkY4Ue1gvwnGLVlOhGeYrnZaMgRK6+PKCUXaDbC7qtbW8gIkhL7aGCsOr/C56SJMy/BCZfxd1nWzAOxSDPgVsmerOBYfNqltV9/hWCqBywINIR+5dIg6JTJ72pcEpEjcYgXkE2YEFXV1JHnsKgbLWNlhScqb2UmyRkQyytRLtL+38TGxkxCflmO+5Z8CSSNY7GidjMIZ7Q4zMjA2n1nGrlTDkzwDCsw+wqFPGQA179cnfGWOWRVruj16z6XyvxvjJwbz0wQZ75XK5tKSb7FNyeIEs4TT4jk+S4dhPeAUC5y+bDYirYgM4GC7uEnztnZyaVWQ7B381AK4Qdrwt51ZqExKbQpTUNn+EjqoTwvqNj4kqx5QUCI0ThS/YkOxJCXmPUWZbhjpCg56i+2aB6CmK2JGhn57K5mj0MNdBXA4/WnwH6XoPWJzK5Nyu2zB3nAZp+S5hpQs+p1vN1/wsjk=
"""  # noqa: E501 - host keys cannot be broken
"""GitHub's host keys as GitHub publishes them (docs: "GitHub's SSH key fingerprints")."""


def _cluster(value: str) -> str:
    # EKS' rule for a cluster's name, less the characters that a folder or a label value cannot have.
    if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", value):
        raise wrong(
            f"{value!r} cannot name a cluster", "Write lower-case letters, digits and hyphens, such as prod-eu."
        )
    return value


def _owner(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9](-?[A-Za-z0-9]){0,38}", value):
        raise wrong(f"{value!r} is no GitHub user or organization", "Write the name in the URL: github.com/OWNER.")
    return value


def _repository(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,100}", value) or value in (".", "..") or value.endswith(".git"):
        raise wrong(
            f"{value!r} cannot name a GitHub repository", "Write letters, digits, hyphens, dots and underscores."
        )
    return value


def _sha256(value: str) -> str:
    if value and not re.fullmatch(r"[0-9a-f]{64}", value):
        raise wrong(f"{value!r} is no SHA-256", "Write the 64 hexadecimal digits that `sha256sum install.yaml` prints.")
    return value


def _controller(value: str) -> str:
    if value not in CONTROLLERS:
        raise wrong(f"{value!r} is not a controller of Flux", nearest(value, CONTROLLERS))
    return value


def _components(value: list[str]) -> list[str]:
    if repeated := next((name for name in value if value.count(name) > 1), None):
        raise wrong(f"{repeated} is there twice", "Name each controller once.")
    if lacking := [name for name in REQUIRED_CONTROLLERS if name not in value]:
        raise wrong(f"tenants cannot work without {' and '.join(lacking)}", f"Add {', '.join(lacking)}.")
    return value


class Settings(Model):
    """What a stack's configuration holds, key by key as in Pulumi.yaml, which explains each."""

    cluster: Annotated[str, AfterValidator(_cluster)]
    kubeconfig: str = Field(min_length=1)
    aws: AwsSettings | None = None
    network: NetworkSettings | None = None
    tenants_file: str = Field(alias="tenantsFile", min_length=1)
    mirrors_file: str = Field(alias="mirrorsFile")
    owner: Annotated[str, AfterValidator(_owner)]
    repository: Annotated[str, AfterValidator(_repository)]
    branch: str = Field(min_length=1)
    known_hosts: str = Field(alias="knownHosts")
    flux_manifest: str = Field(alias="fluxManifest", min_length=1)
    flux_manifest_sha256: Annotated[str, AfterValidator(_sha256)] = Field(alias="fluxManifestSha256")
    flux_components: Annotated[list[Annotated[str, AfterValidator(_controller)]], AfterValidator(_components)] = Field(
        alias="fluxComponents"
    )
    flux_lockdown: bool = Field(alias="fluxLockdown")

    @property
    def github_known_hosts(self) -> str:
        """The host keys by which GitHub is known."""
        return self.known_hosts or GITHUB_KNOWN_HOSTS

    @property
    def unpinned(self) -> bool:
        """Whether Flux would be installed as whoever answers for its manifest's URL has it today."""
        return self.flux_manifest.startswith(("https://", "http://")) and not self.flux_manifest_sha256


def keys() -> dict[str, Any]:
    """Each key of the configuration with the type of its values."""
    fields = Settings.model_fields.items()
    return {field.alias or name: _kind(field.annotation) for name, field in fields}


def _kind(annotation: Any) -> Any:
    """str, bool or list; dict for settings of their own."""
    kinds = [kind for kind in get_args(annotation) or (annotation,) if isinstance(kind, type)]
    if any(issubclass(kind, Model) for kind in kinds):
        return dict
    return get_origin(annotation) or annotation or str


def parse(source: Document) -> Settings:
    """The configuration of a stack. Raises MistakesError with all that is wrong."""
    settings, found = look(source)
    if found:
        raise MistakesError(found)
    return settings


def look(source: Document) -> tuple[Settings, list[Mistake]]:
    """The configuration of a stack as far as it is right (see unsound.py), and all that is wrong with it."""
    settings, found = examined(Settings, source)
    found += found_by((lambda: _combinations(settings, source), lambda: _unpinned(settings, source)))
    return settings, found


def _combinations(settings: Settings, source: Document) -> Iterable[Mistake]:
    return combinations(settings.aws, source, ("aws",)) if settings.aws else ()


def _unpinned(settings: Settings, source: Document) -> Iterator[Mistake]:
    if settings.unpinned:
        message = "a manifest from the network needs its digest"
        remedy = "Download and read it, then set fluxManifestSha256 to what `sha256sum` prints for it."
        yield source.mistake(("fluxManifest",), message, remedy)
