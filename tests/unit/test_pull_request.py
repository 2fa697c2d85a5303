"""`./saas … --pr`: a commit on a branch and a pull request, once however often the command runs."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from cli import pull_request
from cli.errors import CommandError

TEXT = "tenants:\r\n  - name: alpha\r\n    source: {url: 'https://github.com/acme/shop', branch: main}\r\n"
GH = """\
#!/bin/sh
# Keeps pull requests in a folder, a file for each.
case "$1 $2" in
"pr list") if [ -e "$REQUESTS/open" ]; then echo '[{"url": "https://github.example/pull/1"}]'; else echo '[]'; fi ;;
"pr create") echo "$@" >> "$REQUESTS/open"; echo https://github.example/pull/1 ;;
esac
"""


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=folder, capture_output=True, check=True).stdout.decode()


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clone of a bare repository, and a `gh` that remembers pull requests."""
    for key, value in {"NAME": "test", "EMAIL": "test@example.com"}.items():
        monkeypatch.setenv(f"GIT_AUTHOR_{key}", value)
        monkeypatch.setenv(f"GIT_COMMITTER_{key}", value)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    folder = tmp_path / "clone"
    git(tmp_path, "init", "--quiet", "--bare", "--initial-branch=main", "remote.git")
    git(tmp_path, "clone", "--quiet", "remote.git", str(folder))
    git(folder, "checkout", "--quiet", "-B", "main")
    (folder / "tenants.yaml").write_bytes(TEXT.encode())
    (folder / "other").write_text("other")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "-m", "first")
    git(folder, "push", "--quiet", "-u", "origin", "main")
    programs, requests = tmp_path / "bin", tmp_path / "requests"
    programs.mkdir()
    requests.mkdir()
    (programs / "gh").write_text(GH)
    (programs / "gh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("REQUESTS", str(requests))
    return folder


def helm(text: str) -> str:
    return text if "helm" in text else f"{text}    helm: true\r\n"


def propose(clone: Path) -> pull_request.Proposal:
    return pull_request.propose(
        clone / "tenants.yaml", helm, branch="saas/set-alpha", title="tenants: set alpha", body="-"
    )


def remote(clone: Path, what: str) -> str:
    return git(clone.parent / "remote.git", *what.split())


def test_a_pull_request_has_the_edit_and_the_working_tree_stays(clone: Path) -> None:
    (clone / "tenants.yaml").write_text("# a person's unfinished work\n")
    done = propose(clone)
    assert done.url == "https://github.example/pull/1"
    assert "+    helm: true" in done.change.diff
    assert remote(clone, "show saas/set-alpha:tenants.yaml") == helm(TEXT)
    assert remote(clone, "diff --name-only main saas/set-alpha").split() == ["tenants.yaml"]
    assert remote(clone, "log -1 --format=%s saas/set-alpha") == "tenants: set alpha\n"
    assert (clone / "tenants.yaml").read_text() == "# a person's unfinished work\n"
    assert git(clone, "branch", "--format=%(refname:short)") == "main\n"


def test_a_trailer_is_below_the_commits_title(clone: Path) -> None:
    file, title = clone / "tenants.yaml", "shop: early to v1"
    pull_request.propose(file, helm, branch="saas/x", title=title, body="-", trailer="Break-glass: orders")
    assert remote(clone, "log -1 --format=%B saas/x") == "shop: early to v1\n\nBreak-glass: orders\n\n"


def test_twice_is_once(clone: Path, tmp_path: Path) -> None:
    propose(clone)
    once = remote(clone, "rev-parse saas/set-alpha")
    assert propose(clone).url == "https://github.example/pull/1"
    assert remote(clone, "rev-parse saas/set-alpha") == once
    assert len((tmp_path / "requests" / "open").read_text().splitlines()) == 1


def test_a_push_without_its_pull_request_is_finished(clone: Path, tmp_path: Path) -> None:
    propose(clone)
    (tmp_path / "requests" / "open").unlink()  # killed between the push and gh
    assert propose(clone).url
    assert remote(clone, "rev-list --count main..saas/set-alpha") == "1\n"


def test_a_change_that_main_has_needs_no_pull_request(clone: Path, tmp_path: Path) -> None:
    (clone / "tenants.yaml").write_bytes(helm(TEXT).encode())
    git(clone, "commit", "--quiet", "-am", "merged")
    git(clone, "push", "--quiet", "origin", "main")
    done = propose(clone)
    assert (done.url, done.change.changed) == (None, False)
    assert list((tmp_path / "requests").iterdir()) == []


def test_the_edit_is_made_on_what_others_pushed(clone: Path) -> None:
    """Not on the clone's own, older main branch."""
    other = clone.parent / "other"
    git(clone.parent, "clone", "--quiet", "remote.git", str(other))
    (other / "tenants.yaml").write_bytes(f"# new\r\n{TEXT}".encode())
    git(other, "commit", "--quiet", "-am", "others")
    git(other, "push", "--quiet")
    propose(clone)
    assert remote(clone, "show saas/set-alpha:tenants.yaml") == f"# new\r\n{helm(TEXT)}"


def test_a_missing_gh_or_remote_is_explained(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git(clone, "remote", "rename", "origin", "elsewhere")
    with pytest.raises(CommandError, match="no reachable remote 'origin'"):
        propose(clone)
    git(clone, "remote", "rename", "elsewhere", "origin")
    (Path(os.environ["PATH"].split(os.pathsep)[0]) / "gh").unlink()
    with pytest.raises(CommandError, match="--pr needs GitHub's command line, gh"):
        propose(clone)
