"""The isolation report shows what the tests found, failures first."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from model.kubernetes.admission.shards import OF_WATCHDOG
from tests.isolation import report
from tests.isolation.defences import POLICIES
from tests.isolation.report import Network, Results, read
from tests.isolation.runner import UNDEFENDED

SUITE = """\
import json

def tell(record, attack, mode, answer):
    attempt = {
        "promise": "A tenant stays in its namespace", "defence": "RBAC", "attack": attack,
        "answer": answer, "mode": mode, "by": "direct API call",
    }
    record("attempt", json.dumps(attempt))

def test_two_attacks_in_one(record_property):
    tell(record_property, "writes <elsewhere>", "defended", "forbidden | by `RBAC`")
    tell(record_property, "reads elsewhere", "defended", "forbidden")

def test_without(record_property):
    tell(record_property, "writes <elsewhere>", "without the defence", "created")

def test_products(record_property):
    record_property("compatible", "Deployment")

def test_that_does_not_hold(record_property):
    tell(record_property, "becomes root", "defended", "created")
    assert False
"""

RUN = ("2026-01-01", "abc1234", {"kube-apiserver": "v1.36.0"})


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    folder = tmp_path_factory.mktemp("suite")
    (folder / "test_suite.py").write_text(SUITE)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--junitxml=junit.xml", "."]
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}  # plugins take longer than these tests
    subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=False)
    return read(folder / "junit.xml")


def test_every_attempt_is_read(results: Results) -> None:
    assert [(item.attack, item.mode, passed) for item, passed in results.attempts] == [
        ("writes <elsewhere>", "defended", True),
        ("reads elsewhere", "defended", True),
        ("writes <elsewhere>", "without the defence", True),
        ("becomes root", "defended", False),
    ]
    assert [item.answer for item, _ in results.tried(UNDEFENDED)] == ["created"]
    assert results.compatible == [("Deployment", True)]


def test_an_attack_that_got_through_is_reported_first(results: Results) -> None:
    text = report.markdown(results, *RUN)
    assert "**1 of 4 tests did not hold:**" in text
    assert "test_that_does_not_hold" in text
    assert "| becomes root | direct API call | **not repelled** created |" in text
    assert "| writes \\<elsewhere\\> | direct API call | forbidden \\| by \\`RBAC\\` | RBAC: got through |" in text


def test_answers_of_the_system_are_not_markup(results: Results) -> None:
    shown = report.as_html(report.markdown(results, *RUN), "")
    assert "writes &lt;elsewhere&gt;" in shown
    assert "forbidden | by `RBAC`" in shown
    assert shown.count("<h3>") == 1


def test_the_picture_marks_unintended_connections() -> None:
    rows, columns = ["web 80"], ["a", "b"]
    found = {("web 80", "a"): True, ("web 80", "b"): True}
    network = Network(rows, columns, found, {("web 80", "a"): True, ("web 80", "b"): False})
    assert Network.of_text(network.as_text()) == network
    drawing = report.picture(network)
    assert drawing.count(report.WRONG) == 2, "the cell and the legend"
    text = report.markdown(Results(network=network), *RUN)
    assert "| connections that have to be blocked, and are | 0 of 1 |" in text
    assert drawing in report.as_html(text, drawing)


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "junit.xml")


def test_every_admission_policy_is_documented() -> None:
    written = (Path(__file__).parents[2] / "docs/isolation.md").read_text()
    rows = [f"| `{policy.name}` | {policy.promise} |" for policy in (*POLICIES.values(), OF_WATCHDOG)]
    assert [row for row in rows if row not in written] == []
