"""Rings of a product in tenants.yaml: what tenants run, the remedy for each mistake, pins and windows."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime
from hashlib import sha256
from itertools import pairwise
from typing import Any

import pytest
import yaml

from model.config import tenants
from model.config.errors import InvalidConfigError
from model.config.rings import Window, percentile, precedence
from model.config.tenants import TenantList
from model.config.yaml_lines import parse
from model.kubernetes import products
from model.kubernetes.notifications import product_subject
from model.warnings import all_warnings

SOURCE = {"url": "https://github.com/acme/shop", "branch": "main", "path": "./kustomize"}
RINGS: dict[str, Any] = {
    "broad": {"ref": {"tag": "v1.4.2"}, "after": "early"},
    "canary": {},
    "early": {"ref": {"tag": "v1.5.0"}, "after": "canary", "soak": "24h", "maxFailed": "1%"},
}
PIN = {"tag": "v1.3.9", "until": date(2026, 12, 31), "reason": "contract 4711"}


def text(rings: Any = RINGS, *entries: dict[str, Any], **more: Any) -> str:
    listed = [{"name": f"tenant-{n}", "product": "shop", **entry} for n, entry in enumerate(entries, 1)]
    shop = {"source": SOURCE} | ({"rings": rings} if rings else {})
    return yaml.safe_dump({**more, "products": {"shop": shop}, "tenants": listed}, sort_keys=False)


def load(*arguments: Any, **more: Any) -> TenantList:
    return tenants.parse(parse(text(*arguments, **more), "tenants.yaml"))


def problems(*arguments: Any, **more: Any) -> list[str]:
    with pytest.raises(InvalidConfigError) as refused:
        load(*arguments, **more)
    return [str(problem) for problem in refused.value.problems]


def test_each_ring_and_each_pinned_version_is_a_source() -> None:
    other, long = {**PIN, "tag": "Release/1"}, {**PIN, "tag": "v" * 200}
    entries = ({"pin": PIN}, {"ring": "broad", "pin": PIN}, {"ring": "early"}, {}, {"pin": other}, {"pin": long})
    listed = load(RINGS, *entries)
    shop = listed.products["shop"]
    found = {each.source: each.reference for each in products.revisions("shop", shop, listed.tenants)}
    assert found == {
        "shop-canary": {"branch": "main"},
        "shop-early": {"tag": "v1.5.0"},
        "shop-broad": {"tag": "v1.4.2"},
        "shop-pin-release-1-971f5793": {"tag": "Release/1"},
        "shop-pin-v1.3.9": {"tag": "v1.3.9"},
        f"shop-pin-{'v' * 60}-{sha256(b'v' * 200).hexdigest()[:8]}": {"tag": "v" * 200},
    }
    used = [products.revision("shop", shop, tenant).source for tenant in listed.tenants][:5]
    pinned = "shop-pin-v1.3.9"
    assert used == [pinned, pinned, "shop-early", "shop-canary", "shop-pin-release-1-971f5793"]
    assert [each.source for each in products.fetched_revisions("shop", shop)] == ["shop-canary"]
    subject = product_subject("shop", shop, "eu")
    assert [each["name"] for each in subject.sources] == ["shop-canary", "shop-early", "shop-broad"]
    assert subject.status_source["name"] == "shop-canary"


def test_another_ring_changes_the_kustomizations_source_and_ring_only() -> None:
    def kustomization(**entry: Any) -> dict[str, Any]:
        listed = load(RINGS, entry)
        return products.kustomization(listed.tenants[0], "shop", listed.products["shop"])

    canary, early, pinned = kustomization(), kustomization(ring="early"), kustomization(pin=PIN)
    assert (canary["spec"]["sourceRef"]["name"], early["spec"]["sourceRef"]["name"]) == ("shop-canary", "shop-early")
    canary["spec"]["sourceRef"]["name"] = "shop-early"
    canary["metadata"]["labels"]["saas-in-eks.io/ring"] = "early"
    assert canary == early
    assert pinned["metadata"]["labels"]["saas-in-eks.io/ring"] == "canary"
    assert pinned["spec"]["sourceRef"]["name"] == "shop-pin-v1.3.9"


def test_a_tenants_percentile_never_changes() -> None:
    # Other numbers would give running tenants another version.
    names = ("acme", "globex", "initech", "wayne", "tenant-6", "tenant-1", "tenant-5", "tenant-103")
    assert [percentile(name) for name in names] == [72, 99, 63, 3, 15, 30, 47, 97]
    counted = Counter(percentile(f"tenant-{n:05}") // 20 for n in range(10_000))
    assert all(1850 < counted[batch] < 2150 for batch in range(5))


def sources_of(listed: TenantList) -> dict[str, str]:
    """The sources of early, and what each is to fetch."""
    found = products.revisions("shop", listed.products["shop"], ())
    return {each.source: each.reference["tag"] for each in found if each.ring == "early"}


def users_of(listed: TenantList) -> list[str]:
    shop = listed.products["shop"]
    return [products.kustomization(one, "shop", shop)["spec"]["sourceRef"]["name"] for one in listed.tenants]


def test_a_version_reaches_one_batch_after_the_other() -> None:
    early = [{"ring": "early", "name": name} for name in ("wayne", "tenant-1", "acme", "tenant-103")]
    names = ["shop-early", "shop-early.30-60", "shop-early.60-90", "shop-early.90-100"]
    for reached, new in ((None, 4), ("30%", 1), ("90%", 3)):
        rollout = {"batches": "30%", "previous": "v1.4.2"} | ({"reached": reached} if reached else {})
        listed = load(changed("early", **rollout), *early)
        assert sources_of(listed) == dict(zip(names, ["v1.5.0"] * new + ["v1.4.2"] * (4 - new), strict=True))
        # Tenants stay at their sources: none is at one that has still the artifact of another version.
        assert users_of(listed) == names
    assert sources_of(load(RINGS)) == {"shop-early": "v1.5.0"}
    assert users_of(load(RINGS, *early)) == ["shop-early"] * 4
    pinned = load(changed("early", batches="30%"), {**early[1], "pin": PIN})
    assert users_of(pinned) == ["shop-pin-v1.3.9"]
    labels = products.kustomization(listed.tenants[2], "shop", listed.products["shop"])["metadata"]["labels"]
    assert labels["saas-in-eks.io/ring"] == "early"


def test_no_source_of_a_batch_gets_the_tenants_of_another_size() -> None:
    found = [sources_of(load(changed("early", batches=f"{size}%"))).keys() - {"shop-early"} for size in range(5, 51)]
    tenants = {f"tenant-{n}" for n in range(400)}
    members: dict[str, set[str]] = {}
    for size, sources in zip(range(5, 51), found, strict=True):
        ring = load(changed("early", batches=f"{size}%")).products["shop"].rings["early"]
        batches = {f"shop-early.{each.start}-{each.end}": each for each in ring.parts[1:]}
        assert batches.keys() == sources
        for source, batch in batches.items():
            here = {tenant for tenant in tenants if ring.part(tenant) == batch}
            assert members.setdefault(source, here) == here


def test_a_ring_of_a_tier_holds_for_products_with_rings_only() -> None:
    tiers: Any = {"defaults": {"ring": "early"}, "tiers": {"gold": {"ring": "broad"}}}
    assert [tenant.ring for tenant in load(RINGS, {"ring": "canary"}, {}, **tiers).tenants] == ["canary", "early"]
    (plain,) = load(None, {"tier": "gold"}, **tiers).tenants
    assert plain.ring is None
    (own,) = tenants.parse(
        parse(yaml.safe_dump({**tiers, "tenants": [{"name": "alpha", "source": SOURCE}]}), "tenants.yaml")
    ).tenants
    assert own.ring is None


def changed(ring: str, **values: Any) -> dict[str, Any]:
    return {**RINGS, ring: {**RINGS[ring], **values}}


@pytest.mark.parametrize(
    ("rings", "entry", "part"),
    [
        (RINGS, {"ring": "earl"}, "tenants[0].ring: unknown ring 'earl' of shop\n    Did you mean early?"),
        (None, {"ring": "early"}, "the product shop has no rings\n    Remove it, or define rings below products.shop."),
        (changed("early", after="canry"), {}, "rings.early.after: unknown ring 'canry'\n    Did you mean canary?"),
        (changed("early", after="broad"), {}, "rings.broad.after: broad and early come after each other"),
        (changed("early", after="early"), {}, "rings.early.after: early come after each other"),
        ({**RINGS, "other": {}}, {}, "canary and other are both without `after`\n    Write `after: canary`."),
        (changed("early", ref={"branch": "main"}), {}, "only the first ring may follow a branch"),
        (changed("early", ref={"semver": ">=1.0.0"}), {}, "rings.early.ref.semver: only the first ring may follow"),
        (changed("early", ref={"tag": "v1", "commit": "0" * 40}), {}, "a ring has one revision, found tag and commit"),
        (changed("canary", ref={}), {}, "rings.canary.ref: a ring has one revision, found none"),
        (changed("early", ref=None), {}, "early has no revision\n    Write `ref: {tag: …}`"),
        (changed("canary", soak="1h"), {}, "rings.canary.soak: soak is about the ring before, and canary has none"),
        (changed("canary", maxFailed=1), {}, "rings.canary.maxFailed: maxFailed is about the ring before"),
        (changed("canary", metrics={"query": "up", "max": 1}), {}, "metrics is about the ring before"),
        (changed("early", metrics={"query": "up", "max": float("nan")}), {}, "rings.early.metrics.max: "),
        (changed("early", soak="1d"), {}, "'1d' is not a duration\n    Write numbers with units"),
        (changed("early", maxFailed="120%"), {}, "'120%' is not a number of tenants"),
        (changed("early", refused=["v1.5.0"]), {}, "rings.early.ref.tag: v1.5.0 is refused in early"),
        (changed("early", windows=[{"from": "2 am", "for": "1h"}]), {}, "'2 am' is not a time of day"),
        (changed("early", windows=[{"from": "02:00", "for": "25h"}]), {}, "'25h' is not between 0 and 24h"),
        (changed("early", windows=[{"from": "02:00", "for": "1h", "zone": "Berlin"}]), {}, "no time zone 'Berlin'"),
        (changed("early", windows=[{"from": "02:00", "for": "1h", "zone": "../etc"}]), {}, "no time zone '../etc'"),
        (changed("early", windows=[{"from": "02:00", "for": "1h", "zone": "Europe"}]), {}, "no time zone 'Europe'"),
        (changed("canary", batches="20%"), {}, "no gate is between batches of canary, because it is the first ring"),
        (changed("early", batches="20"), {}, "'20' is not a share\n    Write whole percents, such as 20%."),
        (changed("early", batches="2%"), {}, "'2%' is not between 5% and 50%"),
        (changed("early", batches="20%", reached="30%"), {}, "30% of early are not whole batches"),
        (changed("early", reached="20%", previous="v1"), {}, "20% of early are not whole batches"),
        (changed("early", batches="20%", reached="100%"), {}, "'100%' is not between 0% and 100%"),
        (changed("early", batches="20%", reached="20%"), {}, "early does not say what the batches after 20% run"),
        ({**RINGS, "write": {}}, {}, "the ring name 'write' is reserved"),
        ({**RINGS, "pin-v1": {}}, {}, "the ring name 'pin-v1' is reserved"),
        ({**RINGS, "Late": {}}, {}, "'Late' is not a valid ring name"),
        (RINGS, {"pin": {"tag": "v1", "until": "soon", "reason": "x"}}, "pin.until: 'soon' is not a date"),
        (RINGS, {"pin": {"tag": "v1", "until": "2027-01-31"}}, "pin.reason: is missing"),
    ],
)
def test_a_mistake_in_rings_has_a_remedy(rings: Any, entry: dict[str, Any], part: str) -> None:
    found = problems(rings, entry)
    assert any(part in problem for problem in found), found
    assert all(problem.startswith("tenants.yaml:") for problem in found)


def test_tags_sort_as_semantic_versions() -> None:
    ordered = ["v1.4.0-rc.2", "1.4.0-rc.10", "v1.4.0-rc.x", "v1.4.0", "v1.4.10", "1.10.0", "v2.0.0"]
    keys = [key for tag in ordered if (key := precedence(tag))]
    assert len(keys) == len(ordered)
    assert all(older < newer for older, newer in pairwise(keys))
    assert precedence("1.4.0") == precedence("v1.4.0")
    assert [precedence(tag) for tag in ("main", "v1.4", "release-1.4.0")] == [None] * 3


def test_a_ring_is_only_for_tenants_of_shared_products() -> None:
    own = {"name": "alpha", "source": SOURCE, "ring": "early", "pin": PIN, "synthetic": True}
    with pytest.raises(InvalidConfigError) as refused:
        tenants.parse(parse(yaml.safe_dump({"tenants": [own]}), "tenants.yaml"))
    assert [problem.path for problem in refused.value.problems] == [
        f"tenants[0].{key}" for key in ("pin", "ring", "synthetic")
    ]


def test_a_pin_is_warned_about_for_two_weeks_and_then_refused() -> None:
    listed = load(RINGS, {"pin": PIN})

    def found(month: int, day: int) -> tuple[int, int]:
        today = date(2026 + month // 13, (month - 1) % 12 + 1, day)
        warned = [each for each in all_warnings(listed.tenants, None, today) if "pinned to v1.3.9" in each]
        return len(warned), len([*tenants.expired_pins(listed, today)])

    assert [found(12, 16), found(12, 17), found(12, 31), found(13, 1)] == [(0, 0), (1, 0), (1, 0), (0, 1)]
    (problem,) = tenants.expired_pins(listed, date(2027, 1, 1))
    assert problem.path == "tenants[0].pin.until"
    assert problem.line > 1


def opened(window: dict[str, Any], *moments: str) -> list[bool]:
    parsed = Window.model_validate({"from": "02:00", "for": "4h", **window})
    return [parsed.is_open(datetime.fromisoformat(moment).replace(tzinfo=UTC)) for moment in moments]


def test_a_window_opens_by_the_clock_of_its_zone() -> None:
    berlin = {"days": ["tue"], "zone": "Europe/Berlin"}
    # In summer 02:00 is midnight in UTC, in winter one o'clock.
    summer = ("2026-07-06T23:59", "2026-07-07T00:00", "2026-07-07T03:59", "2026-07-07T04:00", "2026-07-08T01:00")
    assert opened(berlin, *summer) == [False, True, True, False, False]
    assert opened(berlin, "2026-12-01T00:59", "2026-12-01T01:00") == [False, True]


def test_a_window_lasts_as_long_when_the_clocks_change() -> None:
    berlin = {"days": ["sun"], "zone": "Europe/Berlin", "from": "01:00"}
    spring = ("2026-03-28T23:59", "2026-03-29T00:00", "2026-03-29T03:59", "2026-03-29T04:00")
    assert opened(berlin, *spring) == [False, True, True, False]
    autumn = ("2026-10-24T22:59", "2026-10-24T23:00", "2026-10-25T02:59", "2026-10-25T03:00")
    assert opened(berlin, *autumn) == [False, True, True, False]


def test_a_window_goes_on_after_midnight() -> None:
    late = {"days": ["mon"], "from": "22:00"}
    assert opened(late, "2026-07-06T22:00", "2026-07-07T01:59", "2026-07-07T02:00", "2026-07-07T22:00") == [
        True,
        True,
        False,
        False,
    ]
