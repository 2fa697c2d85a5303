"""Read and commit to bare repositories with the `git` program, apart from the user's own Git configuration."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

REPOSITORY_CONFIG = {
    # As GitHub: a client may ask for any commit by its hash, and may leave out files it does not need yet.
    "uploadpack.allowAnySHA1InWant": "true",
    "uploadpack.allowFilter": "true",
    # Housekeeping runs within the push that calls for it, so that no process is left behind when the platform stops.
    "gc.autoDetach": "false",
    # Survives a machine that is switched off, not only a process that is killed.
    "core.fsync": "committed,reference",
}
"""Configuration of every repository."""

NO_COMMIT = "0" * 40

NOTE_PUSHES = """\
#!/bin/sh
# Notes each change of a branch or tag, by a push or by the GitHub stand-in, for this repository's webhooks.
[ "$1" = committed ] || exit 0
note=$(mktemp {events}/.XXXXXXXXXX) || exit 0
{{ echo push; (cd "${{0%/*}}/.." && pwd); cat; }} >"$note"
mv "$note" {events}/"${{note##*/.}}"
"""
"""A hook of Git's own: pushes and commits both move branches with its reference transactions."""


class GitError(Exception):
    """`git` failed; the text is what it printed."""


class BranchMovedError(Exception):
    """Somebody pushed to the branch while the commit was made; read it again and decide again."""


@dataclass(frozen=True)
class Person:
    """Author or committer."""

    name: str
    email: str


@dataclass(frozen=True)
class Entry:
    """A file, folder, symbolic link or submodule in a tree. `type` is Git's: blob, tree or commit."""

    path: str
    mode: str
    type: str
    sha: str


@dataclass(frozen=True)
class Commit:
    """A commit."""

    sha: str
    committer: Person
    message: str


@cache
def program() -> str:
    """Path of `git`. Raises GitError if the machine has none."""
    found = shutil.which("git")
    if not found:
        raise GitError("There is no `git` on PATH. Install Git 2.34 or newer, then try again.")
    return found


def environment(**more: str) -> dict[str, str]:
    """The whole environment that `git` gets: nothing of the caller's but PATH, so no configuration or credentials."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": "/nonexistent",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_SYSTEM": os.devnull,
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_LITERAL_PATHSPECS": "1",
        "LC_ALL": "C",
        **more,
    }


def run(repository: Path, *arguments: str, stdin: bytes = b"", env: dict[str, str] | None = None) -> bytes:
    """What `git ARGUMENTS` prints in a bare repository. Raises GitError with its message if it fails."""
    done = subprocess.run(
        [program(), f"--git-dir={repository}", *arguments],
        input=stdin,
        capture_output=True,
        env=environment(**(env or {})),
    )
    if done.returncode:
        raise GitError(done.stderr.decode(errors="replace").strip() or f"git {arguments[0]} failed")
    return done.stdout


def init(repository: Path, default_branch: str) -> None:
    """Make an empty bare repository whose HEAD names the default branch."""
    run(repository, "init", "--quiet", "--bare", "--template=", f"--initial-branch={default_branch}", str(repository))
    for key, value in REPOSITORY_CONFIG.items():
        run(repository, "config", key, value)


def note_pushes(repository: Path, events: Path) -> None:
    """From now on, write each change of a branch into a file of its own in the folder `events`.

    The file is the lines "push", the repository's path, and OLD NEW REF for each reference.
    """
    hook = repository / "hooks" / "reference-transaction"
    hook.parent.mkdir(exist_ok=True)
    partial = hook.with_name(f"{hook.name}.partial")
    partial.write_text(NOTE_PUSHES.format(events=shlex.quote(str(events))))
    partial.chmod(0o755)
    partial.replace(hook)


def find_commit(repository: Path, revision: str) -> str | None:
    """The hash of the commit that a revision names; None if there is none."""
    try:
        arguments = ("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
        return run(repository, *arguments).decode().strip()
    except GitError:
        return None


def branch_tip(repository: Path, branch: str) -> str | None:
    """The newest commit of a branch; None if there is no such branch."""
    return find_commit(repository, f"refs/heads/{branch}")


def default_branch(repository: Path) -> str:
    """The branch that HEAD names, which an empty repository has too."""
    return run(repository, "symbolic-ref", "--short", "HEAD").decode().strip()


def set_default_branch(repository: Path, branch: str) -> None:
    run(repository, "symbolic-ref", "HEAD", f"refs/heads/{branch}")


def set_branch(repository: Path, branch: str, new: str | None, old: str) -> None:
    """Make a branch (old = NO_COMMIT), move it, or delete it (new = None).

    Raises BranchMovedError if it is not at `old` any more.
    """
    ref = f"refs/heads/{branch}"
    try:
        run(repository, "update-ref", *(("-d", ref) if new is None else (ref, new)), old)
    except GitError as error:
        if branch_tip(repository, branch) != (None if old == NO_COMMIT else old):
            raise BranchMovedError(branch) from error
        raise


def entry(repository: Path, commit: str, path: str) -> Entry | None:
    """The file or folder at a path of a commit; None if there is none."""
    for record in run(repository, "ls-tree", "-z", commit, "--", path).split(b"\0"):
        head, _, name = record.partition(b"\t")
        if name.decode(errors="surrogateescape") == path:
            mode, kind, sha = head.decode().split()
            return Entry(path, mode, kind, sha)
    return None


def blob(repository: Path, sha: str) -> bytes:
    """A file's content."""
    return run(repository, "cat-file", "blob", sha)


def log(repository: Path, revision: str, *, path: str | None = None, count: int = 30) -> list[Commit]:
    """The newest commits that led to a revision, or of those the ones that changed a path; newest first."""
    only = ["--", path] if path else ["--"]
    form = "%H%x00%cn%x00%ce%x00%B%x00%x00"
    out = run(repository, "log", f"--format={form}", f"-n{count}", "--end-of-options", revision, *only)
    found = []
    for record in out.decode(errors="replace").split("\0\0\n"):
        if record:
            sha, name, email, message = record.split("\0")
            found.append(Commit(sha, Person(name, email), message.rstrip("\n")))
    return found


def commit_files(
    repository: Path,
    branch: str,
    files: dict[str, bytes | None],
    message: str,
    person: Person,
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
            run(repository, "read-tree", parent, env=index)
        lines: list[bytes] = []
        for path, content in files.items():
            if content is None:
                lines.append(b"0 %s\t%s" % (NO_COMMIT.encode(), path.encode()))
                continue
            known = entry(repository, parent, path) if parent else None
            mode = known.mode if known is not None and known.type == "blob" else "100644"
            sha = run(repository, "hash-object", "-w", "--stdin", stdin=content).strip()
            lines.append(b"%s %s\t%s" % (mode.encode(), sha, path.encode()))
        records = b"\0".join(lines) + b"\0"
        run(repository, "update-index", "--replace", "-z", "--index-info", stdin=records, env=index)
        tree = run(repository, "write-tree", env=index).decode().strip()
    people = {
        f"GIT_{role}_{field}": value
        for role in ("AUTHOR", "COMMITTER")
        for field, value in (("NAME", person.name), ("EMAIL", person.email))
    }
    onto = ["-p", parent] if parent else []
    new = run(repository, "commit-tree", tree, *onto, stdin=message.encode(), env=people).decode().strip()
    set_branch(repository, branch, new, parent or NO_COMMIT)
    return new
