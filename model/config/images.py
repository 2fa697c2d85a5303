"""Images of a product, and the automation that commits their newest versions to the product's repository."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from model.config.base import Finding, Model, rule_error
from model.config.git import is_version_range, ssh_address
from model.config.mirrors import Mirror, locate, locate_image
from model.config.names import LABEL_PATTERN
from model.config.overrides import TAG
from model.config.sources import Reference, Semver, Source
from model.config.tiers import seconds

SHORTEST_INTERVAL, LONGEST_INTERVAL = 10, 24 * 3600
LONGEST_PATTERN = 256
HTTP_PORT, HTTPS_PORT = 80, 443

IMAGE = re.compile(
    r"(?P<registry>[a-z0-9-]+(\.[a-z0-9-]+)+(:\d{1,5})?|localhost(:\d{1,5})?)/"
    r"(?P<name>[a-z0-9]+([._/-]+[a-z0-9]+)*)"
)
REPOSITORY = re.compile(r"[a-z0-9]+([._/-]+[a-z0-9]+)*")
VERSION = re.compile(r"v?\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?")


def _image_key(value: str) -> str:
    if not re.fullmatch(LABEL_PATTERN, value):
        remedy = "Use lower-case letters, digits and hyphens, such as app."
        raise rule_error(f"{value!r} is not a valid name for an image", remedy)
    return value


def _repository(value: str) -> str:
    if re.search(r"[:@][^/]*$", value) and not IMAGE.fullmatch(value):
        raise rule_error(f"{value!r} has a tag or digest", "Write the image without it: semver chooses the tag.")
    if not IMAGE.fullmatch(value) and not REPOSITORY.fullmatch(value):
        remedy = "Write a repository of aws.registry, such as product, or HOST/NAME, such as ghcr.io/acme/product."
        raise rule_error(f"{value!r} is not the name of an image", remedy)
    return value


def _pattern(value: str) -> str:
    if len(value) > LONGEST_PATTERN:
        raise rule_error("the pattern is too long", f"Write at most {LONGEST_PATTERN} characters.")
    try:
        re.compile(value)
    except re.error as error:
        remedy = "Write one such as ^main-(?P<n>[0-9]+)$."
        raise rule_error(f"{value!r} is not a regular expression: {error}", remedy) from None
    if found := re.search(r"\(\?[=!<](?!P)|\\[1-9]", value):
        raise rule_error(
            f"Flux's regular expressions have no {found[0]}", "Write it without look-around or references."
        )
    return value


def _interval(value: str) -> str:
    if not SHORTEST_INTERVAL <= seconds(value) <= LONGEST_INTERVAL:
        raise rule_error(f"{value!r} is not between 10s and 24h", "Write a duration in between; 1m0s is usual.")
    return value


def _hold(value: str) -> str:
    if not TAG.fullmatch(value):
        raise rule_error(f"{value!r} is not a tag", "Write the version to stay at, such as 1.4.2.")
    return value


def _cluster(value: str) -> str:
    if not re.fullmatch(LABEL_PATTERN, value):
        raise rule_error(f"{value!r} is not the name of a cluster", "Write the setting `cluster` of one stack.")
    return value


Order = Literal["asc", "desc"]
ImageKey = Annotated[str, AfterValidator(_image_key)]


class FilterTags(Model):
    """Tags that count, and the part of them that is compared."""

    pattern: Annotated[str, AfterValidator(_pattern)] = Field(min_length=1, description="A regular expression of RE2")
    extract: str | None = Field(default=None, min_length=1, description="What is compared, such as $n")


class ProductImage(Model):
    """An image of a product, and which of its tags is the newest: exactly one of semver, numerical, alphabetical."""

    repository: Annotated[str, AfterValidator(_repository)] = Field(
        description="A repository of the stack's registry, such as product, or a full name: HOST/NAME"
    )
    semver: Semver | None = None
    numerical: Order | None = Field(default=None, description="Tags are numbers; asc: the highest is the newest")
    alphabetical: Order | None = Field(default=None, description="Tags are text; asc: the last one is the newest")
    filter_tags: FilterTags | None = Field(default=None, alias="filterTags")

    @property
    def on_ecr(self) -> bool:
        """Whether Amazon has the image in a private registry, which asks for a role."""
        return self.in_stacks_registry or re.match(r"\d{12}\.dkr[.-]ecr[.-]", self.repository) is not None

    @property
    def host(self) -> str | None:
        """The registry's name; None for the stack's own."""
        return None if self.in_stacks_registry else self.repository.partition("/")[0].partition(":")[0]

    @property
    def in_stacks_registry(self) -> bool:
        """Whether the repository is one of `aws.registry`."""
        return IMAGE.fullmatch(self.repository) is None


class Automation(Model):
    """Commits the newest versions of a product's images to its repository, from one stack."""

    writer: Annotated[str, AfterValidator(_cluster)] = Field(
        description="The cluster of the only stack that commits: two would undo each other's commits"
    )
    to: Reference | None = Field(
        default=None, description="The branch to commit to, for a pull request; default: the source's own branch"
    )
    interval: Annotated[str, AfterValidator(_interval)] = Field(
        default="1m0s", description="How often the registry is asked for new tags: 10s to 24h"
    )
    hold: Annotated[str, AfterValidator(_hold)] | None = Field(
        default=None, description="The version to stay at, so that the automation does not undo a rollback"
    )
    email: str | None = Field(
        default=None,
        pattern=r"^[^@\s<>]+@[^@\s<>]+$",
        description="The address of the commits' author; a GitHub user's with the signing key makes them verified",
    )


def automation_findings(
    images: Mapping[str, ProductImage], automation: Automation | None, source: Source
) -> Iterator[Finding]:
    """Rules of a product's images and automation; paths are relative to the product."""
    for name, image in images.items():
        kinds = [kind for kind in ("semver", "numerical", "alphabetical") if getattr(image, kind) is not None]
        if len(kinds) != 1:
            found = "none" if not kinds else " and ".join(kinds)
            remedy = "Write exactly one of semver, numerical and alphabetical, such as semver: '>=1.0.0'."
            yield ("images", name), f"which tag is the newest has to be said in one way, found {found}", remedy
    if images and automation is None:
        yield ("images",), "images without automation are not looked at", "Add `automation:`, or remove them."
    if automation is None:
        return
    if not images:
        yield ("automation",), "there are no images to update", "Add `images:`, or remove it."
    if not source.private or not source.url.startswith("ssh://"):
        message = "the automation pushes to the product's repository, for which it needs a deploy key"
        yield ("automation",), message, "Write an ssh:// URL and `private: true` in the source."
    if source.branch is None:
        message = "the automation commits to branches, and the source has no branch"
        yield ("automation",), message, "Write `branch:` in the source: a tag or commit never changes."
    if automation.hold and any(image.semver for image in images.values()) and not _is_version(automation.hold):
        message = f"{automation.hold!r} is not a version, and the images have a semver range"
        yield ("automation", "hold"), message, "Write all three numbers, such as 1.4.2."


def _is_version(text: str) -> bool:
    return VERSION.fullmatch(text) is not None and is_version_range(f"={text}")


def ports(products: Iterable[tuple[Source, Mapping[str, ProductImage]]], mirrors: Sequence[Mirror]) -> list[int]:
    """Where the Git servers and registries of products with an automation listen, besides registries on AWS."""
    found: set[int] = set()
    for source, images in products:
        found.add(ssh_address(locate(source.url, mirrors).url)[1])
        for image in images.values():
            if not image.in_stacks_registry:
                place = locate_image(image.repository, mirrors)
                port = place.image.partition("/")[0].partition(":")[2]
                found.add(int(port) if port else HTTP_PORT if place.insecure else HTTPS_PORT)
    return sorted(found)
