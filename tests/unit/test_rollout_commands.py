"""`./saas rollout …`: what the commands write, and what they refuse."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cli import __main__ as command_line
from cli import prometheus, pull_request, rollout, tenants_file
from cli.pull_request import Proposal
from cli.tenants_file import Change, Edit
from tests.unit.test_rollout import COMMIT, NOW, OLD, deployment, kustomization, running, source

TEXT = """\
# Our customers.
products:
  shop:
    source: {url: "ssh://git@github.com/acme/shop", branch: main, private: true}
    images: {app: {repository: ghcr.io/acme/shop, semver: ">=1.0.0"}}
    automation: {writer: eu}
    rings:
      canary: {}   # follows main
      early:
        after: canary
        ref: {tag: v1.4.2}
        soak: 24h
      broad: {after: early, ref: {tag: v1.4.1}, windows: [{days: [fri], from: "02:00", for: 4h}]}
  plain:
    source: {url: "https://github.com/acme/plain", branch: main}

tenants:
  - {name: canary-001, product: shop, synthetic: true}
  - name: acme   # pays most
    product: shop
    ring: early
"""
PROMOTED = TEXT.replace(
    "        ref: {tag: v1.4.2}\n        soak: 24h\n",
    "        ref: {tag: v1.5.0}\n        soak: 24h\n        previous: v1.4.2\n",
)
ROLLED_BACK = PROMOTED.replace("tag: v1.5.0", "tag: v1.4.2").replace("previous: v1.4.2", "refused: [v1.5.0]")
Saas = Callable[..., str]


class FakeCluster:
    """The lists of a cluster in which canary-001 runs COMMIT of main, and acme v1.4.2."""

    def __init__(self, _: Any = None) -> None:
        canary, acme = kustomization("canary-001"), kustomization("acme")
        acme["spec"]["sourceRef"]["name"] = "shop-early"
        acme["status"]["lastAppliedRevision"] = f"v1.4.2@sha1:{OLD}"
        sources = [
            source("shop-canary", f"main@sha1:{COMMIT}", branch="main"),
            source("shop-early", f"v1.4.2@sha1:{OLD}", tag="v1.4.2"),
        ]
        self._lists = {
            "kustomizations": [canary, acme],
            "gitrepositories": sources,
            "deployments": [deployment("acme")],
        }

    def get(self, path: str) -> dict[str, Any] | None:
        return {"items": self._lists.get(path.rpartition("/")[2].partition("?")[0], [])}


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(rollout, "Kubectl", FakeCluster)
    monkeypatch.setattr(rollout, "_now", lambda: NOW)
    path = tmp_path / "tenants.yaml"
    path.write_text(TEXT)
    return path


@pytest.fixture
def saas(file: Path) -> Saas:
    """Runs `./saas rollout …` on the file; returns what it prints."""

    def run(*arguments: str) -> str:
        words = ["rollout", *arguments, "--file", str(file)]
        result = CliRunner().invoke(command_line.app, words, catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.stdout

    return run


@pytest.fixture
def refused(file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Saas:
    """Runs a command that fails and leaves the file as it was; returns its error."""

    def run(*arguments: str) -> str:
        before = file.read_text()
        monkeypatch.setattr(sys, "argv", ["saas", "rollout", *arguments, "--file", str(file)])
        with pytest.raises(SystemExit) as ended:
            command_line.main()
        assert ended.value.code == 1
        assert file.read_text() == before
        printed = capsys.readouterr()
        return printed.out + printed.err

    return run


EARLY = ("promote", "shop", "--ring", "early", "--to", "v1.5.0", "--commit", COMMIT)
BACK = ("rollback", "shop", "--ring", "early")


def test_a_promotion_changes_one_ring_and_twice_is_once(saas: Saas, file: Path) -> None:
    assert "+        ref: {tag: v1.5.0}" in saas(*EARLY, "--dry-run")
    assert file.read_text() == TEXT
    saas(*EARLY)
    assert file.read_text() == PROMOTED
    assert saas(*EARLY) == "nothing to change.\n"
    assert json.loads(saas(*EARLY, "--json"))["changed"] is False
    assert file.read_text() == PROMOTED


def test_a_rollback_goes_back_and_refuses_the_version(saas: Saas, refused: Saas, file: Path) -> None:
    saas(*EARLY)
    saas(*BACK)
    assert file.read_text() == ROLLED_BACK
    assert saas(*BACK) == "nothing to change.\n"
    assert "v1.5.0 was rolled back in early, which refuses it" in refused(*EARLY)
    # Not even in an emergency without a word in the file.
    assert "v1.5.0 is refused in early" in refused(*EARLY, "--break-glass", "orders are lost")
    assert "not known\n    Name it with --to TAG." in refused("rollback", "shop", "--ring", "broad")


def test_a_rollback_of_the_first_ring_holds_the_images(saas: Saas, refused: Saas, file: Path) -> None:
    first = ("rollback", "shop", "--ring", "canary")
    assert "which version of the images to hold" in refused(*first, "--to", "release-7")
    saas(*first, "--to", "v1.4.2")
    assert file.read_text() == TEXT.replace("{}   #", "{ref: {tag: v1.4.2}}   #").replace("eu}", "eu, hold: 1.4.2}")
    assert saas(*first, "--to", "v1.4.2") == "nothing to change.\n"
    saas("release", "shop", "--ring", "canary")
    assert "hold" not in file.read_text()


def test_the_gate_refuses_and_breaking_the_glass_is_recorded(
    saas: Saas, refused: Saas, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = refused(*EARLY[:-1], OLD)
    assert f"v1.5.0 may not reach early now:\n  - canary is to run main@sha1:{COMMIT}, not v1.5.0" in said
    assert "Wait, or write --break-glass REASON" in said
    assert "broad is open on fri from 02:00 for 4h, UTC" in refused(
        "promote", "shop", "--ring", "broad", "--to", "v1.4.2"
    )
    titles: list[dict[str, str]] = []

    def propose(*_: Any, **options: str) -> Proposal:
        titles.append(options)
        return Proposal(Change("tenants.yaml", "", ""), "https://github.example/pull/1")

    monkeypatch.setattr(pull_request, "propose", propose)
    glass = ("--break-glass", "orders\nare lost")
    assert "pull/1" in saas(*EARLY[:-1], OLD, *glass, "--pr")
    assert titles[0]["trailer"] == "Break-glass: orders are lost"
    assert titles[0]["branch"] == "saas/promote-shop-early"
    assert "\nshop: early to v1.5.0\n\nBreak-glass: orders are lost\n" in saas(*EARLY[:-1], OLD, *glass)
    assert file.read_text() == PROMOTED


def test_a_scheduled_promotion_waits_for_windows_and_for_nothing_else(
    saas: Saas, refused: Saas, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    branches: list[str] = []

    def propose(*_: Any, **options: str) -> Proposal:
        branches.append(options["branch"])
        return Proposal(Change("tenants.yaml", "", ""), "https://github.example/pull/1")

    monkeypatch.setattr(pull_request, "propose", propose)
    scheduled = ("promote", "shop", "--ring", "broad", "--to", "v1.4.2", "--commit", OLD, "--pr", "--scheduled")
    assert "pull/1" in saas(*scheduled)
    assert branches == ["saas/scheduled-shop-broad"]
    assert "broad is open on fri" in refused(*scheduled[:-1])
    assert "early is to run" in refused(*scheduled[:5], "v1.5.0", "--commit", COMMIT, "--pr", "--scheduled")
    file.write_text(TEXT.replace("broad: {after: early,", "broad: {after: early, hold: the fair,"))
    assert "broad is held: the fair" in refused(*scheduled)


BATCHES = (
    TEXT.replace("        soak: 24h\n", "        soak: 24h\n        batches: 20%\n")
    + """\
  - {name: wayne, product: shop, ring: early}
  - {name: tenant-5, product: shop, ring: early}
"""
)
"""Early has wayne in its first batch, tenant-5 in the third and acme in the fourth."""


def under_way(reached: str, version: str = "v1.5.0") -> str:
    """BATCHES while a version has reached a share of early; all of it without one."""
    added = f"        reached: {reached}\n" if reached else ""
    text = BATCHES.replace("tag: v1.4.2", f"tag: {version}")
    return text.replace("batches: 20%\n", f"batches: 20%\n{added}        previous: v1.4.2\n")


@pytest.fixture
def deploy(file: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From now on the cluster runs what the file says at this moment."""

    def deployed() -> None:
        observed = running(tenants_file.load(file))
        monkeypatch.setattr(rollout.model, "observe", lambda *_: observed)

    file.write_text(BATCHES)
    deployed()
    return deployed


def test_each_promotion_reaches_the_next_batch(
    saas: Saas, refused: Saas, file: Path, deploy: Callable[[], None]
) -> None:
    for share, judged in (("20%", "0-20%"), ("60%", "40-60%")):
        saas(*EARLY)
        assert file.read_text() == under_way(share)
        # Before it is deployed, and twice at the same time, it goes no further.
        assert f"  - early {judged} is to run v1.4.2@sha1:{OLD}, not v1.5.0" in refused(*EARLY)
        deploy()
    saas(*EARLY)
    assert file.read_text() == under_way("")
    deploy()
    assert saas(*EARLY) == "nothing to change.\n"


def test_a_rollback_returns_all_batches(saas: Saas, file: Path, deploy: Callable[[], None]) -> None:
    file.write_text(under_way("60%"))
    deploy()
    for _ in range(2):
        saas(*BACK)
        assert file.read_text() == BATCHES.replace("batches: 20%\n", "batches: 20%\n        refused: [v1.5.0]\n")


def test_windows_and_hold_close_a_ring_between_batches(refused: Saas, file: Path, deploy: Callable[[], None]) -> None:
    closing = '        hold: the fair\n        windows: [{days: [fri], from: "02:00", for: 4h}]\n'
    file.write_text(under_way("20%").replace("        batches: 20%\n", f"        batches: 20%\n{closing}"))
    deploy()
    said = refused(*EARLY)
    assert "early is held: the fair" in said
    assert "early is open on fri from 02:00 for 4h, UTC" in said


def test_another_version_goes_where_the_one_under_way_is(
    saas: Saas, refused: Saas, file: Path, deploy: Callable[[], None]
) -> None:
    file.write_text(under_way("60%"))
    deploy()
    fix = ("promote", "shop", "--ring", "early", "--to", "v1.5.1", "--commit")
    assert "canary is to run" in refused(*fix, OLD)
    saas(*fix, COMMIT)
    assert file.read_text() == under_way("60%", "v1.5.1")
    same = ("promote", "shop", "--ring", "early", "--to", "v1.4.2", "--break-glass", "v1.5.1 loses orders")
    assert "v1.4.2 is the version of the batches that v1.5.1 has not reached\n    Run `./saas rollout rollback" in (
        refused(*same)
    )


def test_an_emergency_reaches_one_batch_or_all(
    saas: Saas, refused: Saas, file: Path, deploy: Callable[[], None]
) -> None:
    glass = ("--break-glass", "v1.4.2 loses orders")
    assert "--all-batches skips the gates between batches" in refused(*EARLY, "--all-batches")
    for share in ("20%", "60%"):
        saas(*EARLY, *glass)
        assert file.read_text() == under_way(share)
    saas(*EARLY, *glass, "--all-batches")
    assert file.read_text() == under_way("")
    file.write_text(BATCHES)
    saas(*EARLY, *glass, "--all-batches")
    assert file.read_text() == under_way("")
    file.write_text(BATCHES.replace("tag: v1.4.2", f"commit: {OLD}"))
    assert "early runs no tag, which its later batches would keep" in refused(*EARLY, *glass)


def test_a_pull_request_goes_no_further_than_what_was_judged(
    saas: Saas, file: Path, deploy: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    edits: list[Edit] = []

    def propose(_: Path, edit: Edit, **__: str) -> Proposal:
        edits.append(edit)
        return Proposal(Change("tenants.yaml", "", ""), "https://github.example/pull/1")

    monkeypatch.setattr(pull_request, "propose", propose)
    file.write_text(under_way("20%"))
    deploy()
    saas(*EARLY, "--pr")
    (edit,) = edits
    # The main branch may have gone on since.
    assert edit(under_way("20%")) == under_way("60%")
    assert [edit(under_way(share)) for share in ("60%", "80%", "")] == [
        under_way(share) for share in ("60%", "80%", "")
    ]


def test_the_data_of_each_batch_has_to_fit(saas: Saas, refused: Saas, file: Path, deploy: Callable[[], None]) -> None:
    def rule(text: str, oldest: str) -> str:
        return text.replace("    rings:\n", f"    rollbackTo: {oldest}\n    rings:\n")

    # The first batch went back to v1.4.0 before v1.4.2, which the others run, changed the data.
    file.write_text(rule(under_way("20%", "v1.4.0"), "v1.4.2"))
    deploy()
    to = ("promote", "shop", "--ring", "early", "--to", "v1.4.0", "--break-glass", "now")
    assert "data needs v1.4.2 or later, so v1.4.0 cannot read it" in refused(*to)
    assert "so v1.3.0 cannot read it" in refused(*BACK, "--to", "v1.3.0")
    # A pinned tenant is compared with what its own batch runs.
    file.write_text(rule(under_way("20%"), "v1.5.0"))
    pin = ("--tag", "v1.4.1", "--until", "2027-01-31", "--reason", "contract")
    assert "data needs v1.5.0 or later" in refused("pin", "wayne", *pin)
    saas("pin", "acme", *pin)


def test_a_ring_with_metrics_asks_prometheus(
    saas: Saas, refused: Saas, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    query = 'errors{namespace=~"$tenants"}'
    metrics = f"        soak: 24h\n        metrics: {{query: '{query}', max: 0.01}}\n"
    file.write_text(TEXT.replace("        soak: 24h\n", metrics))
    asked: list[tuple[str, str]] = []
    answer = {"canary-001": 0.5}

    def ask(url: str, text: str) -> dict[str, float]:
        asked.append((url, text))
        return answer

    monkeypatch.setattr(prometheus, "query", ask)
    monkeypatch.delenv("PROMETHEUS_URL", raising=False)
    assert "early has metrics, which Prometheus answers\n    Name it with --prometheus URL" in refused(*EARLY)
    monkeypatch.setenv("PROMETHEUS_URL", "http://metrics")
    assert "canary-001 fails: the query's value is 0.5, and 0.01 may be" in refused(*EARLY)
    assert asked == [("http://metrics", 'errors{namespace=~"canary-001"}')]
    answer["canary-001"] = 0
    saas(*EARLY, "--prometheus", "http://other")
    assert asked[-1][0] == "http://other"


def test_a_held_ring_gets_no_version_until_it_is_released(saas: Saas, refused: Saas, file: Path) -> None:
    for _ in range(2):
        saas("hold", "shop", "--ring", "early", "--reason", "the fair")
    assert file.read_text() == TEXT.replace("soak: 24h\n", "soak: 24h\n        hold: the fair\n")
    assert "early is held: the fair" in refused(*EARLY)
    for _ in range(2):
        saas("release", "shop", "--ring", "early")
    assert file.read_text() == TEXT


def test_a_pin_is_written_once_and_removed_without_a_trace(saas: Saas, refused: Saas, file: Path) -> None:
    pin = ("pin", "acme", "--tag", "v1.3.9", "--reason", "contract 4711", "--until")
    for _ in range(2):
        saas(*pin, "2027-01-31")
    line = "    pin: {tag: v1.3.9, until: 2027-01-31, reason: contract 4711}\n"
    assert file.read_text() == f"{TEXT}{line}"
    for _ in range(2):
        saas("unpin", "acme")
    assert file.read_text() == TEXT
    assert "2026-11-25 is over" in refused(*pin, "2026-11-25")
    assert "'soon' is not a date" in refused(*pin, "soon")
    assert "there is no tenant 'acmee'\n    Did you mean acme?" in refused("unpin", "acmee")


def test_no_command_goes_back_to_a_version_that_cannot_read_the_data(saas: Saas, refused: Saas, file: Path) -> None:
    text = TEXT.replace("    rings:\n", "    rollbackTo: v1.4.1\n    rings:\n")
    file.write_text(text)
    why = "data needs v1.4.1 or later, so v1.4.0 cannot read it\n    Choose a later version"
    assert why in refused(*BACK, "--to", "v1.4.0")
    assert why in refused("rollback", "shop", "--ring", "canary", "--to", "v1.4.0")
    assert why in refused("promote", "shop", "--ring", "early", "--to", "v1.4.0", "--break-glass", "now")
    pin = ("pin", "acme", "--until", "2027-01-31", "--reason", "contract 4711", "--tag")
    assert why in refused(*pin, "v1.4.0")
    assert "old is not a version, so it may be older than v1.4.1" in refused(*pin, "old")
    saas(*pin, "v1.5.0")
    file.write_text(file.read_text().replace("ref: {tag: v1.4.2}", "ref: {tag: v1.4.0}"))
    assert why in refused("unpin", "acme")
    file.write_text(text)
    saas(*BACK, "--to", "v1.4.1")
    assert "ref: {tag: v1.4.1}" in file.read_text()
    # What never ran a version that changed the data goes back as far as it likes.
    file.write_text(text.replace("ref: {tag: v1.4.2}", "ref: {tag: v1.4.0}"))
    saas(*BACK, "--to", "v1.3.0")


def test_the_status_has_a_row_for_each_ring(saas: Saas) -> None:
    shown = [line.split() for line in saas("status").splitlines()]
    assert shown[1] == ["shop", "canary", "main", "main@aaaaaaaa", "1", "0", "0", "2026-11-25", "06:00", "UTC"]
    assert shown[2][:7] == ["shop", "early", "v1.4.2", "v1.4.2@bbbbbbbb", "1", "0", "0"]
    assert shown[3] == ["shop", "broad", "v1.4.1", "0", "0", "0"]
    assert [row["ring"] for row in json.loads(saas("status", "shop", "--json"))] == ["canary", "early", "broad"]


def test_the_status_has_a_row_for_each_batch(saas: Saas, file: Path, deploy: Callable[[], None]) -> None:
    file.write_text(under_way("20%"))
    deploy()
    shown = [line.split() for line in saas("status").splitlines() if " early " in line]
    assert [row[2:6] for row in shown] == [
        ["0-20%", "v1.5.0", "v1.5.0@aaaaaaaa", "1"],
        ["20-40%", "v1.4.2", "0", "0"],
        ["40-60%", "v1.4.2", "v1.4.2@bbbbbbbb", "1"],
        ["60-80%", "v1.4.2", "v1.4.2@bbbbbbbb", "1"],
        ["80-100%", "v1.4.2", "0", "0"],
    ]


def test_unknown_rings_and_products_have_a_remedy(refused: Saas) -> None:
    assert "shop has no ring 'earl'\n    Did you mean early?" in refused("rollback", "shop", "--ring", "earl")
    assert "there is no product 'shp'\n    Did you mean shop?" in refused("status", "shp")
    assert "the product plain has no rings\n    Define them below" in refused("rollback", "plain", "--ring", "early")


def test_the_commit_of_a_tag_is_asked_of_the_repository(tmp_path: Path) -> None:
    def git(*arguments: str) -> str:
        who = ["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "tag.gpgsign=false"]
        return subprocess.run(
            ["git", *who, *arguments], cwd=tmp_path, check=True, capture_output=True, text=True
        ).stdout

    git("init", "--quiet")
    git("commit", "--quiet", "--allow-empty", "--message", "one")
    git("tag", "light")
    git("tag", "--annotate", "--message", "a version", "v1.5.0")
    commit = git("rev-parse", "HEAD").strip()
    assert rollout._remote_commit(str(tmp_path), "light") == commit
    assert rollout._remote_commit(str(tmp_path), "v1.5.0") == commit
    with pytest.raises(rollout.CommandError, match="has no tag v2"):
        rollout._remote_commit(str(tmp_path), "v2")
    with pytest.raises(rollout.CommandError, match="cannot be read"):
        rollout._remote_commit(str(tmp_path / "none"), "v2")
