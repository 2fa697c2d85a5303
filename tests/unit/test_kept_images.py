"""Images that a registry keeps, because tenants.yaml names their version."""

from __future__ import annotations

from model.config.kept_images import MOST, kept_tags, too_many
from model.config.tenants import TenantList, parse
from model.config.yaml_lines import parse as lines

PRODUCT = 'source: {url: "ssh://git@github.com/acme/shop", branch: main, private: true}'


def listed(product: str, *tenants: str) -> TenantList:
    entries = "".join(f"  - {tenant}\n" for tenant in tenants)
    return parse(lines(f"products:\n  shop:\n    {PRODUCT}\n{product}tenants:\n{entries}", "tenants.yaml"))


def pinned(name: str, tag: str) -> str:
    return f"{{name: {name}, product: shop, pin: {{tag: {tag}, until: 2027-01-31, reason: x}}}}"


def test_a_pins_image_is_kept_with_and_without_the_v_of_its_tag() -> None:
    assert kept_tags(listed("", pinned("alpha", "v1.3.9"))) == ["*1.3.9"]
    assert kept_tags(listed("", pinned("alpha", "main-7"), pinned("beta", "main-7"))) == ["main-7"]


def test_a_tag_that_no_image_can_have_needs_no_rule() -> None:
    assert kept_tags(listed("", pinned("alpha", "release/7"))) == []


def test_tags_of_pins_come_first_then_those_that_run_and_may_run_again() -> None:
    product = """\
    images: {app: {repository: product, semver: ">=1.0.0"}}
    automation: {writer: prod-eu, hold: 1.4.2}
    rings:
      canary: {ref: {branch: main}}
      broad: {ref: {tag: v1.5.0}, after: canary, previous: v1.4.0}
"""
    other = "{name: beta, product: shop, images: [{name: registry.acme.example/product, newTag: 1.6.0-beta}]}"
    found = kept_tags(listed(product, other, pinned("alpha", "v1.3.9")))
    assert found == ["*1.3.9", "1.6.0-beta", "1.4.2", "*1.5.0", "*1.4.0"]


def test_more_versions_than_ecr_has_rules_for_are_a_warning() -> None:
    tags = [f"*1.{number}.0" for number in range(MOST + 1)]
    assert too_many(tags[:-1]) is None
    assert "*1.45.0 may expire" in (too_many(tags) or "")
