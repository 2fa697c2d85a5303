"""Run the `git` program apart from the user's own Git: no configuration, identity, credentials or hooks of theirs."""

from __future__ import annotations

import os
import shutil
import subprocess
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


class GitError(Exception):
    """`git` refused; the text is what it printed."""


@cache
def program() -> str:
    """Path of `git`. Raises GitError if the machine has none."""
    found = shutil.which("git")
    if not found:
        raise GitError("There is no `git` on PATH. Install Git 2.34 or newer, then try again.")
    return found


@cache
def http_backend() -> str:
    """Path of `git http-backend`, the program behind smart HTTP. Raises GitError if this Git came without it."""
    asked = subprocess.run([program(), "--exec-path"], check=True, capture_output=True, text=True, env=environment())
    path = Path(asked.stdout.strip()) / "git-http-backend"
    if not path.exists():
        raise GitError(
            f"This Git has no http-backend: {path} does not exist. Install the full Git package (Alpine: git-daemon, "
            "Fedora: git-core together with git), then try again."
        )
    return str(path)


def environment(**more: str) -> dict[str, str]:
    """The whole environment that `git` gets, and nothing of the caller's but PATH."""
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
    subprocess.run(
        [program(), "init", "--quiet", "--bare", "--template=", f"--initial-branch={default_branch}", str(repository)],
        check=True,
        capture_output=True,
        env=environment(),
    )
    for key, value in REPOSITORY_CONFIG.items():
        run(repository, "config", key, value)
