"""Mirrors that repositories are read from instead, like Git's insteadOf: for air-gapped and embedded clusters."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from model.config import yaml_lines
from model.config.base import Model, rule_error, validate
from model.config.errors import Problem, raise_if_any
from model.config.git import known_hosts_error
from model.config.yaml_lines import YamlFile

IMAGES = "oci://"
"""How a prefix of images' names begins."""


def _url(value: str) -> str:
    try:
        parts = urlsplit(value)
        usable = parts.scheme in ("https", "http", "ssh") and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise rule_error(f"{value!r} is not the URL of a mirror", "Write https://HOST/PATH/ or ssh://git@HOST/PATH/.")
    return value


class Mirror(Model):
    """A mirror: `prefix` at the start of a repository's URL is replaced by `url`.

    A prefix that begins with oci:// is one of images' names; its mirror's URL begins with https:// or http://.
    """

    prefix: str = Field(min_length=1)
    url: Annotated[str, AfterValidator(_url)]
    known_hosts: str = Field(default="", alias="knownHosts")
    """The mirror's SSH host keys, as in a known_hosts file."""


class MirrorsFile(Model):
    """The file that the stack's `mirrorsFile` names."""

    mirrors: list[Mirror]


@dataclass(frozen=True)
class Location:
    """The URL that a repository is actually read from."""

    url: str
    known_hosts: str
    """Empty if there is no mirror, or it names no host keys."""


def locate(url: str, mirrors: Sequence[Mirror]) -> Location:
    """Apply the mirror with the longest matching prefix, as Git does."""
    matching = [mirror for mirror in mirrors if url.startswith(mirror.prefix)]
    if not matching:
        return Location(url, "")
    mirror = max(matching, key=lambda mirror: len(mirror.prefix))
    return Location(mirror.url + url.removeprefix(mirror.prefix), mirror.known_hosts)


@dataclass(frozen=True)
class ImageLocation:
    """Where the tags of an image are actually read from."""

    image: str
    """A reference without a tag: HOST/NAME."""
    insecure: bool
    """Whether over unencrypted HTTP, which only a mirror's URL can ask for."""


def locate_image(image: str, mirrors: Sequence[Mirror]) -> ImageLocation:
    """Apply the mirror with the longest matching prefix to an image's name."""
    scheme, _, rest = locate(f"{IMAGES}{image}", mirrors).url.partition("://")
    return ImageLocation(rest, scheme == "http")


def plain_http(mirrors: Sequence[Mirror], *, images: bool = False) -> list[str]:
    """The hosts (with ports) of mirrors that are read over unencrypted HTTP: those of repositories, or of images."""
    urls = [urlsplit(mirror.url) for mirror in mirrors if mirror.prefix.startswith(IMAGES) == images]
    return sorted({url.netloc.rpartition("@")[2] for url in urls if url.scheme == "http"})


def load(folder: Path, name: str) -> tuple[Mirror, ...]:
    """Read a mirrors file; no name, no mirrors. Raises InvalidConfigError."""
    if not name:
        return ()
    return parse(yaml_lines.read(folder, name))


def parse(file: YamlFile) -> tuple[Mirror, ...]:
    """The mirrors of a file. Raises InvalidConfigError."""
    mirrors = validate(MirrorsFile, file.content, file).mirrors
    raise_if_any(_broken_rules(mirrors, file))
    return tuple(mirrors)


def _broken_rules(mirrors: Sequence[Mirror], file: YamlFile) -> Iterator[Problem]:
    prefixes = [mirror.prefix for mirror in mirrors]
    for index, mirror in enumerate(mirrors):
        if (first := prefixes.index(mirror.prefix)) < index:
            message = f"{mirror.prefix} has a mirror on line {file.line(('mirrors', first))}"
            yield file.problem(("mirrors", index, "prefix"), message, "Keep only one of them.")
        if mirror.prefix.startswith(IMAGES) and not mirror.url.startswith(("https://", "http://")):
            yield file.problem(("mirrors", index, "url"), "a registry is read over HTTP", "Write https://HOST/PATH/.")
        if not mirror.known_hosts or not mirror.url.startswith("ssh://"):
            continue
        if error := known_hosts_error(mirror.known_hosts, mirror.url):
            yield file.problem(("mirrors", index, "knownHosts"), *error)
