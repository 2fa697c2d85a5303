"""A change of tenants.yaml or a stack's file as a pull request: pushed to its own branch, opened with GitHub's `gh`.

The commit is made from Git's objects, so the working tree stays as it is, and with it a person's unfinished work. A
branch of the same name that has an open pull request gets a commit more; without a change it gets none.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from cli.errors import CommandError
from cli.tenants_file import Change, Check, Edit, edited
from model.config import tenants

REMOTE = "origin"
ATTEMPTS = 5
"""How often a push is tried again because others have pushed meanwhile."""


@dataclass(frozen=True)
class Proposal:
    """A change, and the address of its pull request; without one if the main branch has the change already."""

    change: Change
    url: str | None


def propose(
    path: Path, edit: Edit, *, branch: str, title: str, body: str, trailer: str = "", check: Check = tenants.parse
) -> Proposal:
    """Push the edit of a file to a branch and open a pull request. Both are reused if they exist.

    The commit's message is the title, and the trailer below it.
    """
    message = f"{title}\n\n{trailer}" if trailer else title
    path = path.resolve()
    folder = path.parent
    base = _default_branch(folder)
    change = Change(path.name, "", "")
    for _ in range(ATTEMPTS):
        url = _open_request(folder, branch)
        tips = _fetched(folder, base, branch)
        start = tips[branch] if url and branch in tips else tips[base]
        name = f"{git(folder, 'rev-parse', '--show-prefix')}{path.name}"
        proposed = _edited(folder, tips[base], name, edit, check)
        change = _edited(folder, start, name, edit, check)
        if url is None and not proposed.changed:
            return Proposal(proposed, None)
        if change.changed:
            commit = _commit(folder, start, name, change.after, message)
            # With a lease: what others have pushed meanwhile is never overwritten, but edited anew.
            lease = f"--force-with-lease=refs/heads/{branch}:{tips.get(branch, '')}"
            pushed = _run(folder, "git", "push", "--quiet", lease, REMOTE, f"{commit}:refs/heads/{branch}")
            if pushed.returncode != 0:
                if "stale info" in pushed.stderr or "rejected" in pushed.stderr:
                    continue
                raise CommandError(f"git push failed:\n{pushed.stderr.strip()}", "May you push to this repository?")
        return Proposal(proposed, url or _opened(folder, base, branch, title, body))
    raise CommandError(f"others push to {branch} all the time", "Try again in a minute.")


def _edited(folder: Path, commit: str, name: str, edit: Edit, check: Check) -> Change:
    shown = _run(folder, "git", "show", f"{commit}:{name}")
    if shown.returncode != 0:
        raise CommandError(f"the main branch has no {name}", "Commit and push the file first.")
    return edited(name.rpartition("/")[2], shown.stdout, edit, check)


def _default_branch(folder: Path) -> str:
    listed = _run(folder, "git", "ls-remote", "--symref", REMOTE, "HEAD")
    if listed.returncode != 0 or not listed.stdout.startswith("ref: refs/heads/"):
        raise CommandError(
            f"the repository has no reachable remote {REMOTE!r}:\n{listed.stderr.strip()}",
            "Clone the infra repository from GitHub, and run the command there.",
        )
    return listed.stdout.split("\t", 1)[0].removeprefix("ref: refs/heads/")


def _fetched(folder: Path, *branches: str) -> dict[str, str]:
    """The commits of those of these branches that exist on the remote; fetched."""
    listed = git(folder, "ls-remote", REMOTE, *(f"refs/heads/{branch}" for branch in branches))
    tips = {line.split("\trefs/heads/")[1]: line.split("\t")[0] for line in listed.splitlines()}
    git(folder, "fetch", "--quiet", "--no-write-fetch-head", REMOTE, *tips.values())
    return tips


def _commit(folder: Path, parent: str, name: str, text: str, message: str) -> str:
    blob = git(folder, "hash-object", "-w", "--stdin", given=text)
    mode = git(folder, "ls-tree", "--full-tree", parent, name).split(" ", 1)[0]
    with tempfile.TemporaryDirectory() as scratch:
        index = {"GIT_INDEX_FILE": str(Path(scratch) / "index")}
        git(folder, "read-tree", parent, extra=index)
        git(folder, "update-index", "--cacheinfo", f"{mode},{blob},{name}", extra=index)
        tree = git(folder, "write-tree", extra=index)
    signed = _run(folder, "git", "config", "--type=bool", "commit.gpgsign").stdout.strip() == "true"
    return git(folder, "commit-tree", *(["-S"] if signed else []), "-p", parent, "-m", message, tree)


def _open_request(folder: Path, branch: str) -> str | None:
    listed = gh(folder, "pr", "list", "--head", branch, "--state", "open", "--json", "url")
    found = json.loads(listed)
    return str(found[0]["url"]) if found else None


def _opened(folder: Path, base: str, branch: str, title: str, body: str) -> str:
    made = gh(folder, "pr", "create", "--base", base, "--head", branch, "--title", title, "--body", body)
    return made.splitlines()[-1]


def gh(folder: Path, *arguments: str) -> str:
    """What GitHub's command line answers in a clone."""
    try:
        done = _run(folder, "gh", *arguments)
    except FileNotFoundError:
        remedy = "Install it (https://cli.github.com) and run `gh auth login`, or edit without --pr and push yourself."
        raise CommandError("--pr needs GitHub's command line, gh", remedy) from None
    if done.returncode != 0:
        raise CommandError(f"gh {arguments[0]} {arguments[1]} failed:\n{done.stderr.strip()}", "Run `gh auth status`.")
    return done.stdout.strip()


def git(folder: Path, *arguments: str, given: str | None = None, extra: dict[str, str] | None = None) -> str:
    """What Git answers in a clone."""
    done = _run(folder, "git", *arguments, given=given, extra=extra)
    if done.returncode != 0:
        raise CommandError(f"git {arguments[0]} failed:\n{done.stderr.strip()}")
    return done.stdout.strip()


def _run(
    folder: Path, *command: str, given: str | None = None, extra: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    # Bytes, because text mode would turn the file's line ends into others.
    done = subprocess.run(
        command,
        cwd=folder,
        input=None if given is None else given.encode(),
        env={**os.environ, **(extra or {})},
        capture_output=True,
        check=False,
    )
    return subprocess.CompletedProcess(command, done.returncode, done.stdout.decode(), done.stderr.decode())
