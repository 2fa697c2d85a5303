"""The tables of `./saas tenant list` and `./saas tenant show`."""

from __future__ import annotations

import io
import re

from rich.table import Table

from cli import effective
from model.config import tenants
from model.config.yaml_lines import parse

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


LISTED = tenants.parse(parse(TEXT, "tenants.yaml"))


def rows(table: Table) -> list[str]:
    """The printed rows of a table, without its head."""
    output = io.StringIO()
    effective.print_table(table, output)
    return output.getvalue().splitlines()[1:]


def shown(name: str) -> dict[str, tuple[str, str]]:
    """Value and source by setting."""
    cells = [re.split(r"\s{2,}", row) for row in rows(effective.settings(LISTED, name))]
    return {setting: (value, source) for setting, source, value in cells}


def test_every_value_has_the_line_that_defines_it() -> None:
    found = shown("alpha")
    assert found["tier"] == ("gold", "its entry, line 9")
    assert found["quota requests.cpu"] == ("4", "tiers.gold, line 5")
    assert found["quota requests.memory"] == ("4Gi", "basic (built in)")
    assert found["hosts"] == ("alpha.acme.example", "tiers.gold, line 6")
    assert found["interval"] == ("5m", "defaults, line 2")
    assert found["quota pods"] == ("no limit", "its entry, line 11")
    allowed, source = found["aws statements"]
    assert "sqs:SendMessage" in allowed
    assert source == "its entry, line 13"


def test_empty_lists_are_shown_as_any_or_none() -> None:
    found = shown("beta")
    assert found["registries"][0] == "any"
    assert found["priorityClasses"][0] == found["hosts"][0] == "none"
    assert (found["helm"], found["prune"]) == (("yes", "its entry, line 15"), ("yes", "basic (built in)"))


def test_the_overview_shows_the_own_settings_of_each_tenant() -> None:
    alpha, beta = rows(effective.overview(LISTED))
    same = ("baseline", "saas-tenant-reconciler")
    assert alpha.split() == ["alpha", "gold", "active", "4", "4Gi", "any", *same, "quota.pods"]
    assert beta.split() == ["beta", "basic", "active", "2", "4Gi", "20", *same, "helm"]


def test_a_pipe_gets_plain_lines_without_wrapping() -> None:
    table = effective.settings(LISTED, "alpha")
    (statement,) = [row for row in rows(table) if row.startswith("aws statements")]
    assert "arn:aws:sqs:eu-west-1:123456789012:alpha" in statement
    assert not any("\x1b" in row or row.endswith(" ") for row in rows(table))
