"""Which sources are read from a mirror, as Git's insteadOf does: for air-gapped clusters and the embedded platform."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import Field

from model.config import document
from model.config.schema import Model, validated


class Mirror(Model):
    """Every URL that starts with `prefix` is read from `url` and the rest of it instead."""

    prefix: str = Field(min_length=1)
    url: str = Field(min_length=1)
    known_hosts: str = Field(default="", alias="knownHosts")
    """The mirror's SSH host keys, as in a known_hosts file."""


class MirrorsFile(Model):
    """The file that the stack's `mirrorsFile` names."""

    mirrors: list[Mirror]


@dataclass(frozen=True)
class Location:
    """Where a source is really read from."""

    url: str
    known_hosts: str
    """Empty where the mirror says nothing of host keys, or there is no mirror."""


def locate(url: str, mirrors: Sequence[Mirror]) -> Location:
    """Apply the mirror with the longest matching prefix, as Git does."""
    matching = [mirror for mirror in mirrors if url.startswith(mirror.prefix)]
    if not matching:
        return Location(url, "")
    mirror = max(matching, key=lambda mirror: len(mirror.prefix))
    return Location(mirror.url + url.removeprefix(mirror.prefix), mirror.known_hosts)


def plain_http(mirrors: Sequence[Mirror]) -> list[str]:
    """The hosts, perhaps with ports, of mirrors that are read without encryption."""
    urls = [urlsplit(mirror.url) for mirror in mirrors]
    return sorted({url.netloc.rpartition("@")[2] for url in urls if url.scheme == "http"})


def load(path: Path, name: str) -> tuple[Mirror, ...]:
    """Read a mirrors file. Raises MistakesError."""
    return tuple(validated(MirrorsFile, document.read(path, name)).mirrors)
