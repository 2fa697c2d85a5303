"""What `python -m cli.effective` shows of a file."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from cli import effective
from model.config.document import parse

TEXT = """\
defaults:
  interval: 5m
tiers:
  gold:
    quota: {requests.cpu: 4}
    hosts: ["{tenant}.acme.example"]
tenants:
  - name: alpha
    tier: gold
    quota:
      pods: null
    source: {url: "https://github.com/acme/shop", branch: main}
    aws: {statements: [{actions: [sqs:SendMessage], resources: ["arn:aws:sqs:eu-west-1:123456789012:alpha"]}]}
  - name: beta
    helm: true
    source: {url: "https://github.com/acme/shop", branch: main}
"""


def shown(name: str, text: str = TEXT) -> dict[str, tuple[str, str]]:
    """Value and origin by setting."""
    rows = effective.settings(parse(text, "tenants.yaml"), name).splitlines()[2:]
    cells = [re.split(r"\s{2,}", row) for row in rows]
    return {setting: (value, origin) for setting, value, origin in cells}


def test_every_value_tells_the_line_to_change_it_at() -> None:
    found = shown("alpha")
    assert found["tier"] == ("gold", "its entry, line 9")
    assert found["quota requests.cpu"] == ("4", "tiers.gold, line 5")
    assert found["quota requests.memory"] == ("4Gi", "basic (built in)")
    assert found["hosts"] == ("alpha.acme.example", "tiers.gold, line 6")
    assert found["interval"] == ("5m", "defaults, line 2")
    assert found["quota pods"] == ("no limit", "its entry, line 11")
    allowed, origin = found["aws statements"]
    assert "sqs:SendMessage" in allowed
    assert origin == "its entry, line 13"


def test_lists_tell_what_it_means_that_they_are_empty() -> None:
    found = shown("beta")
    assert found["registries"][0] == "any"
    assert found["priorityClasses"][0] == found["hosts"][0] == "none"
    assert (found["helm"], found["prune"]) == (("yes", "its entry, line 15"), ("yes", "basic (built in)"))


def test_the_overview_shows_what_each_tenant_changes_for_itself() -> None:
    alpha, beta = effective.overview(parse(TEXT, "tenants.yaml")).splitlines()[2:]
    assert alpha.split() == ["alpha", "gold", "4", "4Gi", "any", "baseline", "saas-tenant-reconciler", "quota.pods"]
    assert beta.split() == ["beta", "basic", "2", "4Gi", "20", "baseline", "saas-tenant-reconciler", "helm"]


def test_the_command_shows_the_file_of_the_checkout(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments in ([], ["tenant-001"]):
        monkeypatch.setattr(sys, "argv", ["effective", *arguments])
        assert effective.main() == 0
        assert "tenant-001" in capsys.readouterr().out


def test_the_command_says_what_is_wrong(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "argv", ["effective", "tenant-01"])
    assert effective.main() == 1
    assert capsys.readouterr().err == "tenants.yaml has no tenant 'tenant-01'. Did you mean tenant-001?\n"
    monkeypatch.setattr(effective, "CHECKOUT", tmp_path)
    (tmp_path / "tenants.yaml").write_text("tenants: [{}]")
    assert effective.main() == 1
    assert "tenants[0].name: is missing" in capsys.readouterr().err
