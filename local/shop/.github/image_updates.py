"""Check what Flux's image automation pushed: no older version than before, and no links below the manifests' folder.

    python3 image_updates.py --base origin/main --head HEAD --path kustomize

Versions are the values of lines with a marker, such as `newTag: 1.4.2 # {"$imagepolicy": "product-shop:app:tag"}`.
The automation takes the newest tag that the registry lists; when a registry loses tags, that is an older one. A version
that the platform holds is accepted: the automation's commit then ends with `Hold: VERSION`.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import PurePosixPath

MARKED = re.compile(r"""^[^#]*?[:-]\s+(["']?)(?P<value>[^\s"'#]+)\1\s+#\s*\{"\$imagepolicy":\s*"(?P<setter>[^"]+)"\}""")
SEMVER = re.compile(r"v?(\d+)\.(\d+)\.(\d+)(?:-([0-9A-Za-z.-]+))?(?:\+.*)?")
LINK, SUBMODULE = "120000", "160000"

Versions = dict[str, set[str]]
"""Marked values by setter: NAMESPACE:POLICY, or that with :tag, :name or :digest."""


def main() -> int:
    """Print each problem, and return 1 if there is any."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", required=True, help="what the versions have to be newer than, such as origin/main")
    parser.add_argument("--head", default="HEAD", help="what was pushed")
    parser.add_argument("--path", default=".", help="the folder that Flux applies")
    parser.add_argument(
        "--order", default="", help="a pattern whose group, such as (\\d+)$, is what to compare in tags"
    )
    given = parser.parse_args()
    problems = [
        *links(given.head, given.path),
        *downgrades(versions(given.base, given.path), versions(given.head, given.path), given.order, held(given.head)),
    ]
    for problem in problems:
        print(f"::error::{problem}")
    return 1 if problems else 0


def links(revision: str, path: str) -> Iterator[str]:
    """Symbolic links and submodules below a path, or on the way to it: Flux would follow links when it writes."""
    steps = PurePosixPath(path).parts
    parents = ["/".join(steps[:count]) for count in range(1, len(steps))]
    entries = [entry for parent in parents for entry in _tree(revision, parent, recurse=False)]
    for mode, name in [*entries, *_tree(revision, path, recurse=True)]:
        if mode in (LINK, SUBMODULE):
            yield f"{name} is a {'symbolic link' if mode == LINK else 'submodule'}: write a file in its place"


def versions(revision: str, path: str) -> Versions:
    """The marked values of all YAML files below a path."""
    found: Versions = {}
    for mode, name in _tree(revision, path, recurse=True):
        if mode not in (LINK, SUBMODULE) and name.endswith((".yaml", ".yml")):
            for line in _git("show", f"{revision}:{name}").splitlines():
                if marked := MARKED.match(line):
                    found.setdefault(marked["setter"], set()).add(marked["value"])
    return found


def held(revision: str) -> str | None:
    """The version that the platform holds, by the last line of the commit's message."""
    lines = _git("log", "-1", "--format=%B", revision).strip().splitlines()
    return lines[-1].removeprefix("Hold: ") if lines and lines[-1].startswith("Hold: ") else None


def downgrades(before: Versions, after: Versions, order: str, hold: str | None) -> Iterator[str]:
    """Values that are not newer than those before, except for the version that is held."""
    for setter, values in sorted(after.items()):
        if setter.endswith(":name"):
            continue
        for value in sorted(values - before.get(setter, set())):
            tag, digest = _parts(value, setter)
            if not tag:
                continue  # which image a digest names is said by the tag next to it
            for old in sorted(before.get(setter, set())):
                old_tag, old_digest = _parts(old, setter)
                if tag == old_tag and digest != old_digest and old_digest:
                    yield f"{setter}: tag {tag} is another image than before: it was {old_digest}, it is {digest}"
                elif tag != old_tag and not _same(tag, hold) and not _newer(tag, old_tag, order):
                    yield f"{setter}: {tag} is not newer than {old_tag}; a rollback needs `hold` in the platform's file"
    for setter in sorted(before.keys() & after.keys()):
        if setter.endswith(":digest") and before[setter] != after[setter]:
            tags = f"{setter.removesuffix(':digest')}:tag"
            if before.get(tags) == after.get(tags) and tags in before:
                yield f"{setter}: another image than before with the same tag, {', '.join(sorted(before[tags]))}"


def _parts(value: str, setter: str) -> tuple[str, str]:
    """Tag and digest of a marked value; empty where it has none."""
    if setter.endswith(":digest"):
        return "", value
    rest, _, digest = value.partition("@")
    return (rest if setter.endswith(":tag") else rest.rpartition("/")[2].partition(":")[2]), digest


def _same(tag: str, hold: str | None) -> bool:
    return hold is not None and tag.removeprefix("v") == hold.removeprefix("v")


def _newer(new: str, old: str, order: str) -> bool:
    """Whether a tag is newer. Tags that cannot be compared are not."""
    if order:
        compared = [re.search(order, tag) for tag in (new, old)]
        if not all(compared):
            return False
        new, old = (found[found.re.groups and 1] for found in compared if found)
    versions = [SEMVER.fullmatch(tag) for tag in (new, old)]
    if versions[0] and versions[1]:
        return _precedence(versions[0]) > _precedence(versions[1])
    if new.isdecimal() and old.isdecimal():
        return int(new) > int(old)
    return bool(order) and new > old


def _precedence(version: re.Match[str]) -> tuple[object, ...]:
    """Semantic versioning's order: a version without a pre-release is above those with one."""
    *numbers, prerelease = version.groups()
    steps = (prerelease or "").split(".") if prerelease else []
    ranked = tuple((0, int(step), "") if step.isdecimal() else (1, 0, step) for step in steps)
    return (*map(int, numbers), prerelease is None, ranked)


def _tree(revision: str, path: str, *, recurse: bool) -> Iterator[tuple[str, str]]:
    """Mode and path of the entries below a path; without `recurse`, of the path itself."""
    where = [] if PurePosixPath(path) == PurePosixPath(".") else ["--", str(PurePosixPath(path))]
    for record in _git("ls-tree", *(["-r"] if recurse else []), "-z", "--full-tree", revision, *where).split("\0"):
        if record:
            head, _, name = record.partition("\t")
            yield head.split()[0], name


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], check=True, stdout=subprocess.PIPE)
    return done.stdout.decode(errors="surrogateescape")


if __name__ == "__main__":
    sys.exit(main())
