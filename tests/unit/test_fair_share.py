"""When the tenants' quotas are more than the nodes hold, and what is said then."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import pytest
import yaml

from model.config import fair_share, tenants
from model.config.aws import AwsSettings
from model.config.document import parse
from model.config.tenants import Tenant
from tests.program.recorder import CHECKOUT

GIB = 1024**3


def stack(**nodes: Any) -> AwsSettings:
    """Production's own stack with other nodes; `adopt` and `compute` are the cluster's."""
    content = yaml.safe_load((CHECKOUT / "Pulumi.prod-eu.yaml").read_text())["config"]["saas-in-eks:aws"]
    cluster = content["cluster"]
    cluster |= {key: nodes.pop(key) for key in ("adopt", "compute") if key in nodes}
    cluster["nodes"] |= nodes
    return AwsSettings.model_validate(content)


def promised(*quotas: dict[str, Any]) -> Sequence[Tenant]:
    """Basic tenants, each with a quota that differs in this."""
    source = {"url": "https://github.com/acme/shop", "branch": "main"}
    entries = [{"name": f"tenant-{index}", "quota": quota, "source": source} for index, quota in enumerate(quotas)]
    return tenants.parse(parse(yaml.safe_dump({"tenants": entries}), "tenants.yaml"))


def warned(quotas: Sequence[dict[str, Any]], **nodes: Any) -> str:
    said = fair_share.warning(promised(*quotas), stack(**nodes))
    assert said is not None
    return said


def test_nothing_is_said_while_the_nodes_hold_what_is_promised() -> None:
    # 8 nodes of 2 CPUs and 8 GiB, of which three quarters are for tenants: 12 CPUs and 48 GiB.
    exactly = [{"requests.cpu": 6, "requests.memory": "24Gi", "limits.memory": "64Gi"}] * 2
    assert fair_share.warning(promised(*exactly), stack(maximum=8)) is None
    assert fair_share.warning([], stack(maximum=8)) is None


def test_a_promise_too_many_is_shown_as_a_table_with_what_to_do() -> None:
    said = warned([{"requests.cpu": 6}, {"requests.cpu": "6001m"}], maximum=8)
    assert said.startswith("The tenants' quotas promise more cpu than the nodes hold;")
    rows = [re.split(r"\s{2,}", line) for line in said.splitlines()[3:-1]]
    assert rows == [
        ["basic", "2", "12", "8Gi"],
        ["promised", "2", "12", "8Gi"],
        ["held by 8 nodes of m7g.large", "12", "48Gi"],
    ]
    assert said.endswith("leave it.")


def test_each_tier_has_its_line() -> None:
    source = {"url": "https://github.com/acme/shop", "branch": "main"}
    entries = [{"name": f"tenant-{n}", "tier": tier, "source": source} for n, tier in enumerate(["premium", "basic"])]
    table = fair_share.table(tenants.parse(parse(yaml.safe_dump({"tenants": entries}), "tenants.yaml")), None)
    assert [line.split() for line in table.splitlines()[2:]] == [
        ["basic", "1", "2", "4Gi"],
        ["premium", "1", "8", "16Gi"],
        ["promised", "2", "10", "20Gi"],
    ]


def test_a_tenant_without_a_limit_is_promised_more_than_any_nodes_hold() -> None:
    said = warned([{"requests.memory": None, "limits.memory": None}], maximum=100)
    assert "promise more memory than" in said
    assert "no limit" in said


@pytest.mark.parametrize(
    ("types", "cpus", "gib"),
    [
        (["m7g.large"], 2, 8),
        (["m7g.medium"], 1, 4),
        (["c7i-flex.xlarge"], 4, 8),
        (["r8g.4xlarge"], 16, 128),
        (["m7g.2xlarge", "r7g.large", "c7g.2xlarge"], 2, 16),
    ],
)
def test_nodes_hold_as_much_as_the_smallest_of_their_types(types: list[str], cpus: int, gib: int) -> None:
    held = fair_share.capacity(stack(instanceTypes=types, maximum=1))
    assert held is not None
    usable = Fraction(3, 4)
    assert held.amounts == {"requests.cpu": cpus * usable, "requests.memory": gib * GIB * usable}


def test_auto_mode_is_known_by_its_limit_of_cpus_only() -> None:
    content = stack(compute="auto", cpuLimit=8)
    assert (
        fair_share.warning(promised({"requests.cpu": 6, "requests.memory": None, "limits.memory": None}), content)
        is None
    )
    said = fair_share.warning(promised({"requests.cpu": 7}), content)
    assert said is not None
    assert "8 CPUs of Auto Mode" in said
    assert "unknown" in said


def test_nothing_is_guessed_about_nodes_that_the_stack_does_not_tell() -> None:
    far_too_much = promised({"requests.cpu": 10_000})
    for unknown in (None, stack(adopt=True), stack(instanceTypes=["m7g.large", "t4g.large"])):
        assert fair_share.capacity(unknown) is None
        assert fair_share.warning(far_too_much, unknown) is None
