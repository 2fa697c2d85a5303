"""Warnings: quotas that exceed the nodes, and all warnings together."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from fractions import Fraction
from typing import Any

import pytest
import yaml

from model import warnings
from model.config import tenants
from model.config.aws import AwsSettings
from model.config.tenants import Tenant
from model.config.yaml_lines import parse
from tests.program.recorder import CHECKOUT

GIB = 1024**3


def stack(**nodes: Any) -> AwsSettings:
    """The production stack with other nodes; `adopt` and `compute` belong to the cluster."""
    content = yaml.safe_load((CHECKOUT / "Pulumi.prod-eu.yaml").read_text())["config"]["saas-in-eks:aws"]
    cluster = content["cluster"]
    if nodes.get("compute", "nodes") == "nodes":
        cluster["nodes"] = {"instanceTypes": ["m7g.large"], "minimum": 3, "maximum": 9}
        cluster["compute"] = "nodes"
    cluster |= {key: nodes.pop(key) for key in ("adopt", "addons", "compute", "nodes") if key in nodes}
    cluster["nodes"] |= nodes
    return AwsSettings.model_validate(content)


def with_quotas(*quotas: dict[str, Any], tier: str = "basic") -> Sequence[Tenant]:
    """Tenants of a tier, each with these changes to its quota."""
    source = {"url": "https://github.com/acme/shop", "branch": "main"}
    given = {"tier": tier, "source": source}
    entries = [{"name": f"{tier}-{index}", "quota": quota, **given} for index, quota in enumerate(quotas)]

    return tenants.parse(parse(yaml.safe_dump({"tenants": entries}), "tenants.yaml")).tenants


def warned(listed: Sequence[Tenant], **nodes: Any) -> str:
    warning = warnings.overcommitment(listed, stack(**nodes))
    assert warning is not None
    return warning


def test_no_warning_while_the_nodes_hold_all_quotas() -> None:
    # 8 nodes of 2 CPUs and 8 GiB, of which three quarters are for tenants: 12 CPUs and 48 GiB.
    exactly = [{"requests.cpu": 6, "requests.memory": "24Gi", "limits.memory": "64Gi"}] * 2
    assert warnings.overcommitment(with_quotas(*exactly), stack(desired=8)) is None
    assert warnings.overcommitment([], stack(desired=8)) is None
    # Nothing adds nodes up to the maximum.
    assert warnings.overcommitment(with_quotas(*exactly), stack(desired=7, maximum=9)) is not None


def test_a_warning_names_the_sum_the_tiers_and_the_capacity() -> None:
    listed = [*with_quotas({"requests.cpu": 4}, {"requests.cpu": "6001m"}), *with_quotas({}, tier="premium")]
    assert warned(listed, desired=8).splitlines() == [
        "The tenants' quotas exceed 8 nodes of m7g.large; if all tenants used their quotas, pods would stay pending:",
        "  requests.cpu: 18 in total (basic 10, premium 8), the nodes hold 12",
        "  Raise aws.cluster.nodes.desired, or lower quotas. Ignore this if you overcommit on purpose.",
    ]


def test_a_tenant_without_a_limit_exceeds_any_nodes() -> None:
    warning = warned(with_quotas({"requests.memory": None, "limits.memory": None}), desired=9)
    assert "requests.memory: no limit in total" in warning
    assert "requests.cpu" not in warning


@pytest.mark.parametrize(
    ("types", "cpus", "gib", "pods"),
    [
        (["m7g.large"], 2, 8, 29),
        (["m7g.medium"], 1, 4, 8),
        (["c7i-flex.xlarge"], 4, 8, 58),
        (["r8g.4xlarge"], 16, 128, 110),
        (["m7g.2xlarge", "r7g.large", "c7g.2xlarge"], 2, 16, 29),
    ],
)
def test_capacity_counts_on_the_smallest_instance_type(types: list[str], cpus: int, gib: int, pods: int) -> None:
    nodes = warnings.capacity(stack(instanceTypes=types, minimum=1))
    assert nodes is not None
    usable = Fraction(3, 4)
    expected = {"requests.cpu": cpus * usable, "requests.memory": gib * GIB * usable, "pods": pods * usable}
    assert nodes.amounts == expected


def test_a_node_has_addresses_for_few_pods() -> None:
    # 3 nodes of m7g.large: 87 pods, of which three quarters are for tenants.
    listed = with_quotas(
        {"requests.cpu": "500m", "requests.memory": "1Gi", "pods": 33},
        {"requests.cpu": "500m", "requests.memory": "1Gi", "pods": 33},
    )
    assert "pods: 66 in total (basic 66), the nodes hold 65" in warned(listed)
    prefixes = {"version": "v1.21.1-eksbuild.1", "configuration": {"env": {"ENABLE_PREFIX_DELEGATION": "true"}}}
    assert warnings.overcommitment(listed, stack(addons={"vpc-cni": prefixes})) is None


def test_auto_mode_holds_what_its_cpu_limit_allows() -> None:
    auto = stack(compute="auto", nodes={"instanceTypes": ["m7g.large"], "cpuLimit": 8})
    # Four nodes, each with 2 CPUs, 8 GiB and 110 pods.
    fitting = with_quotas({"requests.cpu": 6, "requests.memory": "24Gi", "limits.memory": None, "pods": 330})
    assert warnings.overcommitment(fitting, auto) is None
    for quota, line in (
        ({"requests.cpu": 7}, "requests.cpu: 7"),
        ({"requests.memory": "25Gi", "limits.memory": None}, "requests.memory: 25Gi"),
        ({"pods": 331}, "pods: 331"),
    ):
        warning = warnings.overcommitment(with_quotas(quota), auto)
        assert warning is not None
        assert "8 CPUs of Auto Mode (4 nodes of m7g.large)" in warning
        assert line in warning
        assert "Raise aws.cluster.nodes.cpuLimit" in warning


def test_a_replaced_node_group_needs_room_for_both() -> None:
    current = {"instanceTypes": ["m7g.large"]}
    assert warnings.group_replacement(current, {"instanceTypes": ["m7g.large"]}, 6) is None
    warning = warnings.group_replacement(current, {"instanceTypes": ["m8g.large"]}, 6)
    assert warning is not None
    assert "every pod moves at once" in warning
    assert "L-1216C47A" in warning
    assert "6 vCPUs" in warning


def test_nodes_of_another_release_are_behind() -> None:
    assert warnings.nodes_behind("1.36.1-20261101", "1.36.1-20261101") is None
    assert "1.36.2-20261201 is the one to run" in (warnings.nodes_behind("1.36.1-20261101", "1.36.2-20261201") or "")


def test_no_warning_if_the_capacity_is_unknown() -> None:
    far_too_much = with_quotas({"requests.cpu": 10_000})
    for unknown in (None, stack(adopt=True), stack(instanceTypes=["m7g.large", "t4g.large"])):
        assert warnings.capacity(unknown) is None
        assert warnings.overcommitment(far_too_much, unknown) is None


def test_all_warnings_are_printed_together() -> None:
    listed = [tenant.model_copy(update={"role": "admin"}) for tenant in with_quotas({"requests.cpu": 10_000})]
    role, quota, support = warnings.all_warnings(listed, stack(), date(2030, 1, 1))
    assert (role[:14], quota[:20], support[:10]) == ("The role admin", "The tenants' quotas ", "Kubernetes")
    assert list(warnings.all_warnings(with_quotas({}), None, date(2030, 1, 1))) == []


def test_a_quota_of_memory_too_small_for_containers_without_limits_is_warned_about() -> None:
    fits = [
        *with_quotas({}, {"limits.memory": "60Gi"}, {"limits.memory": None}),
        *with_quotas({}, tier="premium"),
    ]
    assert list(warnings.memory_without_limits(fits)) == []
    small = with_quotas({"limits.memory": "16Gi"}, {"limits.memory": "16Gi"})
    (warning,) = warnings.memory_without_limits(small)
    assert "(tier basic) has room for 4 containers that set no limit of memory, and for 20 pods" in warning
    assert "each counts 4Gi of limits.memory, 16Gi. Lower limits.default.memory" in warning
