"""Shards of a stack: which tenants a stack has."""

from __future__ import annotations

from collections import Counter

import pytest
import yaml

from model.config import tenants, yaml_lines
from model.config.stack_shards import StackShard, hashed_shard, shard_of, tenants_of
from model.config.tenants import TenantList

SOURCE = {"url": "https://github.com/acme/shop", "branch": "main"}
NAMES = [f"tenant-{number:04}" for number in range(1000)]


def listed(*names: str, **shards: int) -> TenantList:
    entries = [{"name": name, "source": SOURCE} for name in names]
    entries += [{"name": name, "source": SOURCE, "stackShard": shard} for name, shard in shards.items()]
    products = {"shop": {"source": SOURCE}}
    return tenants.parse(yaml_lines.parse(yaml.safe_dump({"products": products, "tenants": entries}), "tenants.yaml"))


def test_hashes_are_those_of_all_releases() -> None:
    """Another hash would move tenants: these values never change."""
    names = ("acme", "globex", "initech", "tenant-001", "tenant-002", "tenant-003")
    assert {name: [hashed_shard(name, count) for count in (1, 2, 5, 10)] for name in names} == GOLDEN


GOLDEN = {
    "acme": [1, 1, 1, 7],
    "globex": [1, 2, 4, 4],
    "initech": [1, 1, 5, 5],
    "tenant-001": [1, 2, 2, 10],
    "tenant-002": [1, 1, 5, 5],
    "tenant-003": [1, 1, 1, 9],
}


@pytest.mark.parametrize("count", [2, 5, 10])
def test_hashes_spread_tenants_evenly(count: int) -> None:
    sizes = Counter(hashed_shard(name, count) for name in NAMES)
    assert sizes.keys() == set(range(1, count + 1))
    # Four standard deviations of a fair choice.
    share = len(NAMES) / count
    assert all(abs(size - share) < 4 * share**0.5 for size in sizes.values()), sizes


def test_another_shard_takes_its_share_and_moves_no_other_tenant() -> None:
    moved = [name for name in NAMES if hashed_shard(name, 5) != hashed_shard(name, 6)]
    assert {hashed_shard(name, 6) for name in moved} == {6}
    assert len(NAMES) / 6 * 0.7 < len(moved) < len(NAMES) / 6 * 1.3


def test_every_tenant_is_in_one_shard_and_none_in_the_platforms_stack() -> None:
    everyone = listed(*NAMES[:200], special=3)
    parts = [tenants_of(everyone, StackShard(count=5, index=index)) for index in range(1, 6)]
    names = [tenant.name for part in parts for tenant in part.tenants]
    assert sorted(names) == sorted(tenant.name for tenant in everyone.tenants)
    assert "special" in {tenant.name for tenant in parts[2].tenants}
    assert shard_of(everyone.tenants[-1], 5) == 3
    assert [len(part.products) for part in parts] == [0] * 5
    platform = tenants_of(everyone, StackShard(count=5))
    assert (platform.tenants, list(platform.products)) == ((), ["shop"])
    assert tenants_of(everyone, None) is everyone


def test_tenants_of_a_shard_keep_their_lines() -> None:
    everyone = listed(alpha=1, beta=2, gamma=2)
    part = tenants_of(everyone, StackShard(count=2, index=2))
    for place, index in ((0, 1), (1, 2)):
        found, expected = (
            one.problem(number, ("source", "url"), "is wrong", "Correct it.")
            for one, number in ((part, place), (everyone, index))
        )
        assert (found.line, found.line > 0) == (expected.line, True)
    assert part.sources[0].source == everyone.tenants[1].source
