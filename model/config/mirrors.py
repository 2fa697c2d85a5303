"""Mirrors that repositories are read from instead, like Git's insteadOf: for air-gapped and embedded clusters."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import Field

from model.config import yaml_lines
from model.config.base import Model, validate
from model.config.errors import Problem, raise_if_any
from model.config.yaml_lines import YamlFile


class Mirror(Model):
    """A mirror: `prefix` at the start of a repository's URL is replaced by `url`."""

    prefix: str = Field(min_length=1)
    url: str = Field(min_length=1)
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


def plain_http(mirrors: Sequence[Mirror]) -> list[str]:
    """The hosts (with ports) of mirrors that are read over unencrypted HTTP."""
    urls = [urlsplit(mirror.url) for mirror in mirrors]
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
