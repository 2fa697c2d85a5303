"""Read and change the content of a bare repository, one commit at a time, with Git's plumbing."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from local.gitserver import git

NO_COMMIT = "0" * 40


class BranchMovedError(Exception):
    """Somebody pushed to the branch while the commit was made; read it again and decide again."""


@dataclass(frozen=True)
class Person:
    """Author or committer."""

    name: str
    email: str


@dataclass(frozen=True)
class Entry:
    """A file, folder, symbolic link or submodule in a tree.

    `type` is Git's: blob, tree or commit. `size` is in bytes.
    """

    path: str
    mode: str
    type: str
    sha: str
    size: int


@dataclass(frozen=True)
class Commit:
    """A commit. Times are ISO 8601 in UTC."""

    sha: str
    tree: str
    parents: tuple[str, ...]
    author: Person
    authored_at: str
    committer: Person
    committed_at: str
    message: str


def resolve(repository: Path, ref: str) -> str | None:
    """The commit that a branch, tag or hash names; None if there is none."""
    if ref.startswith("-"):
        return None
    for candidate in (f"refs/heads/{ref}", f"refs/tags/{ref}", ref):
        try:
            out = git.run(repository, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{candidate}^{{commit}}")
        except git.GitError:
            continue
        return out.decode().strip()
    return None


def branch_tip(repository: Path, branch: str) -> str | None:
    """The newest commit of a branch; None if there is no such branch."""
    try:
        out = git.run(repository, "rev-parse", "--verify", "--quiet", f"refs/heads/{branch}^{{commit}}")
    except git.GitError:
        return None
    return out.decode().strip()


def default_branch(repository: Path) -> str:
    """The branch that HEAD names, which an empty repository has too."""
    return git.run(repository, "symbolic-ref", "--short", "HEAD").decode().strip()


def set_default_branch(repository: Path, branch: str) -> None:
    git.run(repository, "symbolic-ref", "HEAD", f"refs/heads/{branch}")


def branches(repository: Path) -> dict[str, str]:
    """Branch name -> newest commit."""
    out = git.run(repository, "for-each-ref", "--format=%(objectname) %(refname:lstrip=2)", "refs/heads").decode()
    return {name: sha for sha, name in (line.split(" ", 1) for line in out.splitlines())}


def set_branch(repository: Path, branch: str, new: str | None, old: str) -> None:
    """Make a branch (old = NO_COMMIT), move it, or delete it (new = None).

    Raises BranchMovedError if it is not at `old` any more.
    """
    try:
        if new is None:
            git.run(repository, "update-ref", "-d", f"refs/heads/{branch}", old)
        else:
            git.run(repository, "update-ref", f"refs/heads/{branch}", new, old)
    except git.GitError as error:
        if branch_tip(repository, branch) != (None if old == NO_COMMIT else old):
            raise BranchMovedError(branch) from error
        raise


def is_branch_name(name: str) -> bool:
    """Whether Git allows a branch of that name."""
    if name.startswith("-"):
        return False
    try:
        git.run(Path("/nonexistent"), "check-ref-format", f"refs/heads/{name}")
    except git.GitError:
        return False
    return True


def _entries(listing: bytes) -> list[Entry]:
    found = []
    for record in listing.split(b"\0"):
        if record:
            head, path = record.split(b"\t", 1)
            mode, kind, sha, size = head.decode().split()
            found.append(Entry(path.decode(errors="surrogateescape"), mode, kind, sha, 0 if size == "-" else int(size)))
    return found


def entry(repository: Path, commit: str, path: str) -> Entry | None:
    """What a commit has at a path; None if nothing."""
    listing = git.run(repository, "ls-tree", "-z", "--long", commit, "--", path)
    return next((each for each in _entries(listing) if each.path == path), None)


def folder(repository: Path, commit: str, path: str) -> list[Entry]:
    """What a folder holds; the root folder's path is empty."""
    tree = f"{commit}:{path}" if path else commit
    prefix = f"{path}/" if path else ""
    listing = _entries(git.run(repository, "ls-tree", "-z", "--long", tree))
    return [Entry(prefix + each.path, each.mode, each.type, each.sha, each.size) for each in listing]


def blob(repository: Path, sha: str) -> bytes:
    """A file's content."""
    return git.run(repository, "cat-file", "blob", sha)


_FORMAT = "%H%x00%T%x00%P%x00%an%x00%ae%x00%at%x00%cn%x00%ce%x00%ct%x00%B%x00%x00"


def log(repository: Path, commit: str, *, path: str | None = None, count: int = 30, skip: int = 0) -> list[Commit]:
    """The newest commits that led to a commit, or of those the ones that changed a path."""
    only = ["--", path] if path else ["--"]
    out = git.run(repository, "log", f"--format={_FORMAT}", f"-n{count}", f"--skip={skip}", commit, *only)
    found = []
    for record in out.decode(errors="replace").split("\0\0\n"):
        if not record.strip("\n\0"):
            continue
        sha, tree, parents, an, ae, at, cn, ce, ct, message = record.rstrip("\0").split("\0")
        found.append(
            Commit(
                sha=sha,
                tree=tree,
                parents=tuple(parents.split()),
                author=Person(an, ae),
                authored_at=_iso(at),
                committer=Person(cn, ce),
                committed_at=_iso(ct),
                message=message.rstrip("\n"),
            )
        )
    return found


def _iso(seconds: str) -> str:
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def commit_files(
    repository: Path,
    branch: str,
    files: dict[str, bytes | None],
    message: str,
    author: Person,
    committer: Person,
    *,
    parent: str | None,
) -> str:
    """Write files (None: delete) onto a branch as one commit and return its hash.

    `parent` is the tip that the caller looked at, None for a branch without commits. Raises BranchMovedError, and
    changes nothing, if the branch has another tip by now.
    """
    with tempfile.TemporaryDirectory(prefix="commit-") as scratch:
        index = {"GIT_INDEX_FILE": str(Path(scratch) / "index")}
        if parent:
            git.run(repository, "read-tree", parent, env=index)
        lines: list[bytes] = []
        for path, content in files.items():
            if content is None:
                lines.append(b"0 %s\t%s" % (NO_COMMIT.encode(), path.encode()))
                continue
            known = entry(repository, parent, path) if parent else None
            mode = known.mode if known is not None and known.type == "blob" else "100644"
            sha = git.run(repository, "hash-object", "-w", "--stdin", stdin=content).strip()
            lines.append(b"%s %s\t%s" % (mode.encode(), sha, path.encode()))
        git.run(
            repository, "update-index", "--replace", "-z", "--index-info", stdin=b"\0".join(lines) + b"\0", env=index
        )
        tree = git.run(repository, "write-tree", env=index).decode().strip()
    people = {
        "GIT_AUTHOR_NAME": author.name,
        "GIT_AUTHOR_EMAIL": author.email,
        "GIT_COMMITTER_NAME": committer.name,
        "GIT_COMMITTER_EMAIL": committer.email,
    }
    onto = ["-p", parent] if parent else []
    new = git.run(repository, "commit-tree", tree, *onto, stdin=message.encode(), env=people).decode().strip()
    set_branch(repository, branch, new, parent or NO_COMMIT)
    return new
