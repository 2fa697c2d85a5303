"""`./saas rollout merge-scheduled`: which pull requests are merged, and when; on real Git repositories."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cli import __main__ as command_line
from cli import scheduled_merges
from cli.errors import CommandError
from tests.unit.test_pull_request import clone as clone  # a fixture
from tests.unit.test_pull_request import git
from tests.unit.test_rollout_commands import TEXT

FRIDAY = datetime(2026, 11, 27, 3, 0, tzinfo=UTC)
"""Within the window of the ring broad: on Fridays from 02:00 for 4h."""
BRANCH = "saas/scheduled-shop-broad"
PROMOTED = TEXT.replace("broad: {after: early, ref: {tag: v1.4.1}", "broad: {after: early, ref: {tag: v1.4.2}")
GH = """\
#!/bin/sh
# Lists pull requests from a file, and writes down which are merged.
case "$1 $2" in
"pr list") cat "$REQUESTS/list" ;;
"pr merge") [ ! -e "$REQUESTS/refuses" ] || { echo "not mergeable" >&2; exit 1; }; echo "$*" >> "$REQUESTS/merged" ;;
esac
"""
Merge = Callable[..., Any]


@pytest.fixture
def merge(clone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Merge:
    """Runs the command with one pull request that has this text; returns what it says and what GitHub was asked for."""
    (tmp_path / "bin" / "gh").write_text(GH)
    main(clone, TEXT)

    def run(
        text: str = PROMOTED, *options: str, now: datetime = FRIDAY, files: tuple[str, ...] = (), **pull: Any
    ) -> tuple[list[str], str, str]:
        monkeypatch.setattr(scheduled_merges, "_now", lambda: now)
        git(clone, "checkout", "--quiet", "-B", BRANCH, "main")
        (clone / "tenants.yaml").write_text(text)
        for name in files:
            (clone / name).write_text("changed")
        git(clone, "add", ".")
        git(clone, "commit", "--quiet", "--allow-empty", "-m", "promotion")
        git(clone, "push", "--quiet", "--force", "origin", BRANCH)
        head = git(clone, "rev-parse", "HEAD").strip()
        git(clone, "checkout", "--quiet", "main")
        found = {
            "number": 7,
            "url": "https://github.example/pull/7",
            "headRefName": BRANCH,
            "headRefOid": head,
            "baseRefName": "main",
            "isCrossRepository": False,
            "isDraft": False,
            "reviewDecision": "APPROVED",
            **pull,
        }
        (tmp_path / "requests" / "list").write_text(json.dumps([found]))
        arguments = ["rollout", "merge-scheduled", "--json", "--file", str(clone / "tenants.yaml"), *options]
        result = CliRunner().invoke(command_line.app, arguments, catch_exceptions=False)
        shown = json.loads(result.stdout)
        assert result.exit_code == any(each["error"] for each in shown)
        merged = tmp_path / "requests" / "merged"
        said = [reason for each in shown for reason in (*each["reasons"], *filter(None, [each["error"]]))]
        return said, merged.read_text() if merged.exists() else "", head

    return run


def main(clone: Path, text: str) -> None:
    """Push a text to the main branch."""
    (clone / "tenants.yaml").write_text(text)
    git(clone, "commit", "--quiet", "-am", "main")
    git(clone, "push", "--quiet", "origin", "main")


def test_an_approved_promotion_is_merged_while_its_ring_is_open(merge: Merge) -> None:
    said, merged, head = merge()
    assert (said, merged) == ([], f"pr merge 7 --squash --match-head-commit {head}\n")


def test_a_dry_run_merges_nothing(merge: Merge) -> None:
    assert merge(PROMOTED, "--dry-run")[:2] == ([], "")


@pytest.mark.parametrize("hour", [1, 6])
def test_it_waits_outside_of_the_window(merge: Merge, hour: int) -> None:
    said, merged, _ = merge(now=FRIDAY.replace(hour=hour))
    assert (said, merged) == (["broad is open on fri from 02:00 for 4h, UTC"], "")


@pytest.mark.parametrize(
    ("pull", "reason"),
    [
        ({"reviewDecision": "REVIEW_REQUIRED"}, "it is not approved"),
        ({"reviewDecision": "CHANGES_REQUESTED"}, "it is not approved"),
        ({"reviewDecision": ""}, "it is not approved"),  # the branch needs no review
        ({"isCrossRepository": True}, "it is a draft, from a fork, or not for the main branch"),
        ({"isDraft": True}, "it is a draft, from a fork, or not for the main branch"),
        ({"baseRefName": "other"}, "it is a draft, from a fork, or not for the main branch"),
    ],
)
def test_only_approved_requests_for_main_are_merged(merge: Merge, pull: dict[str, Any], reason: str) -> None:
    assert merge(**pull)[:2] == ([reason], "")


def test_other_branches_are_not_looked_at(merge: Merge) -> None:
    assert merge(headRefName="saas/promote-shop-broad")[:2] == ([], "")


@pytest.mark.parametrize(
    ("text", "files"),
    [
        (PROMOTED.replace("fri", "mon, tue, wed, thu, fri, sat, sun"), ()),
        (PROMOTED.replace("ref: {tag: v1.4.2}\n", "ref: {tag: v1.5.0}\n"), ()),
        (PROMOTED.replace("ring: early", "ring: early\n    role: cluster-admin"), ()),
        (TEXT.replace("  - {name: canary-001, product: shop, synthetic: true}\n", ""), ()),
        (PROMOTED, ("other",)),
        (PROMOTED, ("new",)),
        (PROMOTED.replace("tag: v1.4.2}, windows", "branch: other}, windows"), ()),
        (TEXT, ()),
    ],
)
def test_only_the_version_of_one_ring_may_change(merge: Merge, text: str, files: tuple[str, ...]) -> None:
    said, merged, _ = merge(text, files=files)
    assert len(said) == 1
    assert merged == ""


def test_windows_holds_and_refusals_are_those_of_main(merge: Merge, clone: Path) -> None:
    main(clone, TEXT.replace("broad: {after: early,", "broad: {after: early, hold: the fair, refused: [v1.4.2],"))
    stale = git(clone, "rev-parse", "main~1").strip()
    promoted = PROMOTED.replace("broad: {after: early,", "broad: {after: early, hold: the fair, refused: [v1.4.2],")
    assert "v1.4.2 is refused in broad" in merge(promoted)[0][0]
    git(clone, "checkout", "--quiet", "-B", "main", stale)
    said, merged, _ = merge()  # a branch from before
    assert said == ["broad is held: the fair", "v1.4.2 was rolled back in broad, which refuses it"]
    assert merged == ""


def test_a_merge_that_github_refuses_is_an_error(merge: Merge, tmp_path: Path) -> None:
    (tmp_path / "requests" / "refuses").touch()
    said, merged, _ = merge()
    assert "not mergeable" in said[0]
    assert merged == ""


def test_a_ring_without_windows_is_open_at_all_times(merge: Merge) -> None:
    promoted = TEXT.replace("ref: {tag: v1.4.2}", "ref: {tag: v1.5.0}")
    assert merge(promoted, now=FRIDAY.replace(hour=1))[0] == []


def test_a_scheduled_promotion_needs_a_pull_request(tmp_path: Path) -> None:
    (tmp_path / "tenants.yaml").write_text(TEXT)
    arguments = ["rollout", "promote", "shop", "--ring", "broad", "--to", "v1.4.2", "--scheduled"]
    for more in ([], ["--pr", "--break-glass", "v1.4.1 loses orders"]):
        words = [*arguments, *more, "--file", str(tmp_path / "tenants.yaml")]
        with pytest.raises(CommandError, match="--scheduled is about a pull request that can wait"):
            CliRunner().invoke(command_line.app, words, catch_exceptions=False)
    assert os.listdir(tmp_path) == ["tenants.yaml"]
