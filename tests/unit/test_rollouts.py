"""The watchdog's reports: one for each commit, however many tenants cannot apply it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.test_watchdog import flux_object
from watchdog.watchdog import (
    AT_ONCE,
    LONGEST_ROLLOUT,
    MINUTE,
    RETRY,
    SETTLED,
    Failure,
    Hold,
    Item,
    Report,
    Rollouts,
    failing_percent,
    plain,
    reduce,
)

OLD, BAD, GOOD = (f"main@sha1:{digit * 40}" for digit in "abc")
WHY = "kustomize build failed: open /tmp/x/kustomization-12345/kustomize/missing.yaml: no such file"


def source(name: str = "shop", revision: str = BAD, namespace: str = "") -> Item:
    found = reduce("gitrepositories", flux_object(name))
    assert found
    return replace(found, key=("gitrepositories", namespace or f"product-{name}", name), revision=revision)


def tenant(name: str, of: Item, *, applied: str = OLD, failure: str = "", **changes: object) -> Item:
    found = reduce("kustomizations", flux_object(name))
    assert found
    key = ("kustomizations", of.key[1], name)
    state = {"applied": applied, "attempted": of.revision, "ready": not failure, "failure": failure, "source": of.key}
    reason = "BuildFailed" if failure else "ReconciliationSucceeded"
    return replace(found, key=key, ready_reason=reason, **{**state, **changes})


def failing(of: Item, count: int, failure: str = WHY) -> list[Item]:
    return [tenant(f"tenant-{number:03}", of, failure=failure) for number in range(count)]


class Clock:
    """Rollouts, looked at every second; every report arrives."""

    def __init__(self, *, arrives: bool = True) -> None:
        self.rollouts, self.now, self.arrives = Rollouts(), 1000.0, arrives

    def actions(self, seconds: float, *items: Item) -> list[Report | Failure]:
        found: list[Report | Failure] = []
        for _ in range(int(seconds)):
            self.now += 1
            new = self.rollouts.look(self.now, items)
            found += new
            for action in new if self.arrives else ():
                self.rollouts.sent(action)
        return found

    def reports(self, seconds: float, *items: Item) -> list[Report]:
        return [action for action in self.actions(seconds, *items) if isinstance(action, Report)]

    def notified(self, seconds: float, *items: Item) -> list[str]:
        """Messages for single tenants."""
        return [action.message for action in self.actions(seconds, *items) if isinstance(action, Failure)]


def test_fifty_tenants_that_fail_of_one_commit_are_one_report() -> None:
    shop = source()
    (report,) = Clock().reports(3600, shop, *failing(shop, 50))
    named = "tenant-000, tenant-001, tenant-002, tenant-003, tenant-004 and 45 more"
    assert report.message == (
        f"{BAD} cannot be applied: 50 of 50 tenants of shop ({named}). tenant-000: BuildFailed: "
        "kustomize build failed: open kustomize/missing.yaml: no such file"
    )


def test_tenants_with_a_source_of_their_own_are_reported_one_by_one() -> None:
    sources = [source(name, namespace=name) for name in ("alpha", "beta")]
    reports = Clock().reports(600, *sources, *(tenant(of.key[2], of, failure=WHY) for of in sources))
    assert [report.message.partition(". ")[0] for report in reports] == [
        f"{BAD} cannot be applied: alpha",
        f"{BAD} cannot be applied: beta",
    ]


def test_each_tenant_of_a_product_is_notified_of_its_own_failure_once() -> None:
    shop, alone = source(), source("alpha", namespace="alpha")
    messages = Clock().notified(3600, shop, *failing(shop, 2), alone, tenant("alpha", alone, failure=WHY))
    why = "BuildFailed: kustomize build failed: open kustomize/missing.yaml: no such file"
    assert messages == [f"{BAD} cannot be applied: tenant-00{n}. {why}" for n in range(2)]


def test_few_reports_are_sent_at_a_time_and_none_is_lost() -> None:
    shop, clock = source(), Clock()
    clock.actions(SETTLED, shop, *failing(shop, 50))
    for _ in range(12):
        assert len(clock.actions(1, shop, *failing(shop, 50))) == AT_ONCE
    assert len(clock.actions(60, shop, *failing(shop, 50))) == 51 - 12 * AT_ONCE


def test_a_tenant_that_fails_later_is_notified_although_the_product_was_reported() -> None:
    shop, clock = source(), Clock()
    first, second = failing(shop, 2)
    assert len(clock.notified(600, shop, first, tenant("tenant-001", shop, applied=BAD))) == 1
    (message,) = clock.notified(600, shop, first, second)
    assert "tenant-001" in message


def test_failures_are_reported_once_they_have_lasted() -> None:
    shop, clock = source(), Clock()
    assert not clock.reports(SETTLED, shop, *failing(shop, 3))
    assert clock.reports(1, shop, *failing(shop, 3))


def test_a_failure_that_flux_gets_over_is_not_reported() -> None:
    shop, clock = source(), Clock()
    others = [tenant(f"other-{n}", shop, applied=BAD) for n in range(3)]
    assert not clock.reports(SETTLED - 1, shop, *others, *failing(shop, 1))
    (report,) = clock.reports(600, shop, *others, tenant("tenant-000", shop, applied=BAD))
    assert report.message == f"{BAD} is applied: 4 of 4 tenants of shop."


def test_a_failed_tenant_stays_failed_while_flux_tries_again() -> None:
    shop, clock = source(), Clock()
    trying = [replace(one, failure="", ready=False, ready_reason="Progressing") for one in failing(shop, 5)]
    clock.reports(1, shop, *failing(shop, 5))
    (report,) = clock.reports(SETTLED, shop, *trying)
    assert len(report.failed) == 5


def test_tenants_that_have_not_tried_yet_are_waited_for() -> None:
    shop, clock = source(), Clock()
    late = tenant("late", shop, attempted=OLD)
    assert not clock.reports(LONGEST_ROLLOUT, shop, *failing(shop, 5), late)
    (report,) = clock.reports(1, shop, *failing(shop, 5), late)
    assert "5 of 6 tenants" in report.message


def test_each_commit_is_reported_by_itself() -> None:
    clock = Clock()
    bad, good = source(), source(revision=GOOD)
    outcomes = [one.outcome for one in clock.reports(600, bad, *failing(bad, 5))]
    fixed = [tenant(f"tenant-{n:03}", good, applied=GOOD) for n in range(5)]
    outcomes += [one.outcome for one in clock.reports(600, good, *fixed)]
    assert outcomes == [f"failed {BAD}", f"applied {GOOD}"]


def test_a_report_is_not_repeated_after_a_restart() -> None:
    shop = replace(source(), reported=f"failed {BAD}")
    assert not Clock().reports(3600, shop, *failing(shop, 5))


def test_one_that_comes_and_goes_is_reported_every_ten_minutes_at_most() -> None:
    shop, clock = source(), Clock()
    reports: list[Report] = []
    for _ in range(60):
        reports += clock.reports(SETTLED + 10, shop, *failing(shop, 2))
        reports += clock.reports(30, shop, *(tenant(f"tenant-{n:03}", shop, applied=BAD) for n in range(2)))
    assert len(reports) <= 60 * (SETTLED + 40) / (10 * MINUTE) + 1


def test_a_report_that_did_not_arrive_is_sent_again() -> None:
    shop, clock = source(), Clock(arrives=False)
    assert len(clock.reports(SETTLED + 2 * RETRY + 1, shop, *failing(shop, 5))) == 3


@pytest.mark.parametrize("reason", ["ArtifactFailed", "DependencyNotReady"])
def test_what_says_nothing_about_the_commit_is_not_reported(reason: str) -> None:
    shop = source()
    assert not Clock().reports(3600, shop, *(replace(one, ready_reason=reason) for one in failing(shop, 5)))


def test_a_tenant_that_the_watchdog_holds_has_failed_and_one_suspended_by_hand_is_left_out() -> None:
    shop = source()
    held, by_hand = (replace(one, suspended=True) for one in failing(shop, 2))
    held = replace(held, hold=Hold(BAD, 2, 0.0, True, 1, "why"), ready_reason="HeldByWatchdog")
    (report,) = Clock().reports(600, shop, held, by_hand)
    assert "1 of 1 tenants" in report.message


def test_sources_and_tenants_elsewhere_are_no_products() -> None:
    shop, chart = source(), source("chart", namespace="alpha")
    stranger = replace(tenant("x", shop, failure=WHY), source=("gitrepositories", "other", "shop"))
    assert not Clock().reports(600, shop, chart, stranger, tenant("alpha", chart, failure=WHY))


def test_nothing_is_kept_of_what_is_gone() -> None:
    shop, clock = source(), Clock()
    clock.reports(1, shop, *failing(shop, 5))
    clock.reports(1)
    assert vars(clock.rollouts) == {"_rollouts": {}}


@given(st.text(max_size=2000))
def test_no_text_brings_markup_or_lines_into_a_report(text: str) -> None:
    shop = source()
    report = Report(shop, (tenant("alpha", shop, failure=text),), 1)
    after = report.message.removeprefix(BAD)
    assert not re.search(r"[<>@\[\]|`*~!#\n\r\u2028]", after)
    assert len(report.message) < 600


@given(st.text(max_size=200_000))
def test_a_long_text_is_cut_before_it_is_searched(text: str) -> None:
    assert len(plain(text)) <= 300


def test_the_share_of_failing_tenants_is_without_the_platforms_own() -> None:
    shop = source()
    items: Iterable[Item] = (
        shop,
        *failing(shop, 1),
        tenant("ok", shop),
        replace(failing(shop, 1)[0], shard="platform"),
    )
    assert failing_percent(items) == (2, 50)
    assert failing_percent([]) == (0, 0)
