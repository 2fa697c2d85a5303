"""tenants.yaml: valid entries, and the remedy for each problem."""

from __future__ import annotations

import re
from datetime import date
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from cli import editor_schema, effective
from model import checks
from model.config import names, tenants
from model.config.errors import InvalidConfigError
from model.config.mirrors import Mirror
from model.config.sources import location
from model.config.tenants import Tenant
from model.config.yaml_lines import parse

GOOD: dict[str, Any] = {"name": "alpha", "source": {"url": "https://github.com/acme/shop", "branch": "main"}}


def load(text: str) -> tuple[Tenant, ...]:
    return tenants.parse(parse(text, "tenants.yaml")).tenants


def problems(text: str) -> list[str]:
    with pytest.raises(InvalidConfigError) as refused:
        load(text)
    return [str(problem) for problem in refused.value.problems]


def unknown_hosts(text: str, *mirrors: Mirror) -> list[str]:
    return [str(problem) for problem in checks.unknown_hosts(tenants.parse(parse(text, "tenants.yaml")), mirrors)]


def entry(**changes: Any) -> str:
    """A tenant with changed values; `source__url` is a key of the source, None removes a key."""
    tenant: dict[str, Any] = {**GOOD, "source": dict(GOOD["source"])}
    for key, value in changes.items():
        place, _, inner = key.partition("__")
        target, name = (tenant[place], inner) if inner else (tenant, place)
        if value is None:
            target.pop(name, None)
        else:
            target[name] = value
    return yaml.safe_dump({"tenants": [tenant]}, sort_keys=False)


def test_defaults_complete_a_tenant() -> None:
    text = """\
defaults: {interval: 5m, prune: true, role: admin, source: {path: ./kustomize, branch: main}}
tenants:
  - {name: alpha, source: {url: "https://github.com/acme/shop"}}
  - {name: beta, interval: 1h, prune: false, source: {url: "https://github.com/acme/shop", tag: v1, path: deploy}}
"""
    alpha, beta = load(text)
    assert (alpha.interval, alpha.prune, alpha.role, alpha.own_source.path) == ("5m", True, "admin", "./kustomize")
    assert alpha.own_source.reference == {"branch": "main"}
    assert (beta.interval, beta.prune, beta.own_source.path) == ("1h", False, "./deploy")
    assert beta.own_source.reference == {"tag": "v1"}


def test_a_file_without_tenants_is_valid() -> None:
    assert load("tenants: []\n") == ()


ROUND_ONE = """\
tenants:
  - name: Alpha
    source:
      url: git@github.com:acme/shop.git
      branch: main
  - name: kube-system
    intervall: 1m
    source: {url: "https://github.com/acme/shop", branch: main, tag: v1}
  - name: beta
    source: {url: "https://github.com/acme/shop"}
  - name: beta
    prune: "yes"
    source: {url: "https://github.com/acme/shop", branch: main}
"""


def test_all_shape_errors_are_reported_together_with_their_lines() -> None:
    found = problems(ROUND_ONE)
    assert lines(found) == [2, 4, 6, 7, 12]
    remedies = ["Write alpha", "Write ssh://git@github.com/acme/shop.git", "reserved", "Did you mean interval?"]
    for part, problem in zip([*remedies, "Write true or false"], found, strict=True):
        assert part in problem


def test_all_broken_rules_are_reported_together_once_the_shapes_are_right() -> None:
    text = ROUND_ONE
    for wrong, right in (
        ("Alpha", "alpha"),
        ("git@github.com:acme", "https://github.com/acme"),
        ("kube-system", "gamma"),
        ("intervall", "interval"),
        ('"yes"', "yes"),
    ):
        text = text.replace(wrong, right)
    found = problems(text)
    assert lines(found) == [8, 10, 11]
    for part, problem in zip(
        ["branch and tag exclude", "Add one of branch, tag", "first defined on line 9"], found, strict=True
    ):
        assert part in problem


def lines(found: list[str]) -> list[int]:
    return [int(line) for line in re.findall(r"^tenants\.yaml:(\d+): ", "\n".join(found), re.MULTILINE)]


def test_a_problem_of_a_default_is_reported_once_at_its_own_line() -> None:
    text = """\
defaults:
  interval: 1 m
  source: {url: "https://github.com/acme/shop", branch: main, path: /etc}
tiers:
  gold: {quota: {pod: 1}}
tenants:
  - {name: alpha, tier: gold}
  - {name: beta, tier: gold, interval: 5m}
"""
    found = problems(text)
    assert lines(found) == [2, 3, 5]
    assert [problem.split(" ")[1] for problem in found] == [
        "defaults.interval:",
        "defaults.source.path:",
        "tiers.gold.quota.pod:",
    ]


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("tenants: [", "not YAML"),
        ("tenants: 2026-99-99", "not YAML"),
        ("tenants: &a [*a]", "contains itself"),
        ("tenants:\n\t- x", "not YAML"),
        ("", "must be a mapping with the key tenants"),
        ("- a\n", "must be a mapping with the key tenants"),
        ("tenants:\n", "must be a list, not nothing"),
        ("tenants: {a: b}\n", "must be a list"),
        ("tenant: []\n", "Did you mean tenants?"),
        ("tenants: [a]\n", "tenants[0]: must be a mapping"),
        ("tenants: []\ntenants: []\n", "duplicate key 'tenants', first used on line 1"),
        ("defaults: {rol: admin}\ntenants: []\n", "Did you mean role?"),
        ("defaults: {source: {branch: a, tag: b}}\ntenants: []\n", "exclude each other"),
        ("defaults: []\ntenants: []\n", "must be a mapping"),
        (entry(name=None), "tenants[0].name: is missing"),
        (entry(source=None), "tenants[0].source: is missing"),
        (entry(source__url=None), "tenants[0].source.url: is missing"),
        (entry(name=17), "Put it in quotes"),
        (entry(name="a"), "2 to 63"),
        (entry(name="a" * 64), "2 to 63"),
        (entry(name="-a"), "not a valid namespace name"),
        (entry(name="flux-system"), "reserved"),
        (entry(name="default"), "reserved"),
        (entry(interval="1 minute"), "is not a duration"),
        (entry(interval="0s"), "without a pause"),
        (entry(interval=60), "Put it in quotes"),
        (entry(role="a b"), "ClusterRole"),
        (entry(source__url="http://github.com/a/b"), "Write https://github.com/a/b"),
        (entry(source__url="git://github.com/a/b"), "does not support git://"),
        (entry(source__url="file:///srv/a"), "is not a repository URL"),
        (entry(source__url="https://github.com"), "is not a repository URL"),
        (entry(source__url="https://github.com:x/a/b"), "is not a repository URL"),
        (entry(source__url="https://me:pw@github.com/a/b"), "credentials"),
        (entry(source__url="https://github.com/a/b?ref=x"), "Remove everything from ?"),
        (entry(source__url="https://github.com/a b"), "is not a repository URL"),
        (entry(source__url="ssh://git@github.com/a/b"), "SSH needs a deploy key"),
        (entry(source__private=True), "Write ssh://git@github.com/acme/shop"),
        (entry(source__url="ssh://git@github.com/a/b/c", source__private=True), "is not a GitHub repository"),
        (entry(source__knownHosts="x y"), "host keys are for SSH only"),
        (entry(source__path="/etc"), "is outside the repository"),
        (entry(source__path="a/../../b"), "is outside the repository"),
        (entry(source__branch="a b"), "not a valid name of a branch"),
        (entry(source__branch=None, source__commit="abc"), "full commit id"),
        (entry(source__branch=1.0), "Put it in quotes"),
    ],
)
def test_a_problem_gets_its_remedy(text: str, part: str) -> None:
    assert part in "\n".join(problems(text))


def test_a_private_source_needs_host_keys_or_a_mirror_with_them() -> None:
    text = entry(source__url="ssh://git@git.example.com/a", source__private=True)
    (problem,) = unknown_hosts(text)
    assert "tenants[0].source.url: the host keys of git.example.com are unknown" in problem
    assert "ssh-keyscan git.example.com" in problem
    mirror = Mirror.model_validate(
        {"prefix": "ssh://git@git.example.com/", "url": "ssh://git@mirror/", "knownHosts": "mirror key"}
    )
    assert unknown_hosts(text, mirror) == []
    (tenant,) = load(text)
    found = location(tenant.own_source, [mirror], "github's")
    assert (found.url, found.known_hosts) == ("ssh://git@mirror/a", "mirror key")


def test_the_longest_prefix_of_a_mirror_wins() -> None:
    (tenant,) = load(entry())
    mirrors = [
        Mirror(prefix="https://github.com/", url="https://one/"),
        Mirror(prefix="https://github.com/acme/", url="https://two/"),
    ]
    assert location(tenant.own_source, mirrors, "").url == "https://two/shop"


@given(st.from_regex(r"[a-z0-9][a-z0-9-]{0,61}[a-z0-9]", fullmatch=True))
def test_a_valid_namespace_name_is_accepted_unless_reserved(name: str) -> None:
    if name in ("default", "flux-system") or name.startswith("kube-"):
        assert "reserved" in problems(entry(name=name))[0]
    elif name in names.TOP_LEVEL_DOMAINS or re.fullmatch("[a-z]{2}", name):
        assert "top-level domain" in problems(entry(name=name))[0]
    else:
        assert load(entry(name=name))[0].name == name


@given(st.text(max_size=80))
def test_any_text_is_a_valid_name_or_gets_a_remedy(name: str) -> None:
    try:
        (tenant,) = load(entry(name=name))
    except InvalidConfigError as error:
        assert all(problem.remedy for problem in error.problems)
    else:
        assert re.fullmatch(r"[a-z0-9][a-z0-9-]{0,61}[a-z0-9]", tenant.name)


yaml_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)
keys = st.sampled_from(
    "name source url branch tag path private tenants defaults interval tier tiers quota limits default max cpu memory "
    "requests.cpu limits.memory pods hosts services registries network egress cidr ports aws statements".split()
)
words = st.sampled_from(["gold", "premium", "500m", "1.5Ki", "0.001Gi", "10.0.0.0/8", "LoadBalancer", "*.a.example"])
near_misses = st.recursive(
    yaml_values | words,
    lambda inner: st.dictionaries(keys, inner, max_size=5) | st.lists(inner, max_size=3),
    max_leaves=20,
)
tiers = st.dictionaries(st.sampled_from(["gold", "premium"]), st.dictionaries(keys, near_misses, max_size=4))
entries = st.dictionaries(keys, near_misses, max_size=4).map(lambda other: {**GOOD, **other})


@given(
    st.fixed_dictionaries(
        {"tenants": st.lists(near_misses | entries, max_size=4)}, optional={"defaults": near_misses, "tiers": tiers}
    )
    | near_misses
)
def test_any_yaml_is_accepted_or_refused_never_a_crash(content: Any) -> None:
    text = yaml.safe_dump(content)
    try:
        listed = tenants.parse(parse(text, "tenants.yaml"))
    except InvalidConfigError as error:
        assert error.problems
        assert all(problem.remedy for problem in error.problems)
    else:
        for tenant in listed.tenants:
            assert effective.settings(listed, tenant.name).row_count


@given(st.text(max_size=200))
def test_any_text_is_accepted_or_refused_never_a_crash(text: str) -> None:
    try:
        load(text)
    except InvalidConfigError as error:
        assert error.problems


def test_the_editor_schema_accepts_tenants_yaml_and_refuses_typos() -> None:
    schema = yaml.safe_load(editor_schema.render())
    validator = jsonschema.Draft202012Validator(schema)
    for name in ("tenants.yaml", "tenants.sample.yaml"):
        assert not list(validator.iter_errors(yaml.safe_load((editor_schema.FILE.parent / name).read_text())))
    assert list(validator.iter_errors({"tenants": [{"name": "alpha", "sourc": {}}]}))
    assert list(validator.iter_errors({"tenants": [{"name": "Alpha"}]}))
    assert list(validator.iter_errors({"tenants": [{"name": "al", "source": {"url": "x", "branch": "a", "tag": "b"}}]}))


def test_the_committed_editor_schema_is_up_to_date() -> None:
    assert editor_schema.FILE.read_text() == editor_schema.render()


LEFT = "tenants: []\ndeparted:\n  - {name: alpha, since: 2026-11-26}\n"


TODAY = date(2026, 12, 26)
KEPT = "{name: alpha, since: 2026-12-26, backup: {id: s3://b/alpha, restored: 2026-12-01}}"
LEAVING = {"state": "leaving", "until": "2026-12-26"}


def vanished(departed: str, *, protected: bool = False, **deployed: Any) -> str:
    listed = tenants.parse(parse(f"{entry(name='beta')}\ndeparted: [{departed}]\n", "tenants.yaml"))
    return "\n".join(map(str, tenants.vanished(listed, {"beta": {}, **deployed}, TODAY, protected=protected)))


def test_a_tenant_of_the_last_update_may_not_vanish() -> None:
    problem = vanished("", alpha=LEAVING)
    assert problem.startswith("tenants.yaml:1: tenants: alpha was deployed by the last update and is neither in")
    assert "./saas tenant leave alpha --keep 30d" in problem


def test_a_tenant_departs_after_its_time_with_a_restored_backup() -> None:
    assert vanished(KEPT, alpha=LEAVING) == ""


def test_in_an_emergency_a_tenant_departs_at_once_unless_it_is_protected() -> None:
    at_once = "{name: alpha, since: 2026-11-26, breakGlass: a test}"
    assert vanished(at_once, alpha={"namespace": "alpha"}) == ""
    assert "./saas tenant leave alpha --keep 0d" in vanished(at_once, protected=True, alpha={"namespace": "alpha"})
    assert vanished(at_once, protected=True, alpha={**LEAVING, "until": "2027-01-01"}) == ""


@pytest.mark.parametrize(
    ("departed", "deployed", "problem"),
    [
        (KEPT, {"namespace": "alpha"}, "alpha was active in the last update, not leaving"),
        (KEPT, {"state": "suspended"}, "alpha was suspended in the last update, not leaving"),
        (KEPT, {**LEAVING, "until": "2026-12-27"}, "its data is kept until 2026-12-27"),
        (KEPT.replace("since: 2026-12-26", "since: 2026-12-27"), LEAVING, "departs in the future, on 2026-12-27"),
        (KEPT.replace(", restored: 2026-12-01", ""), LEAVING, "its backup was never restored"),
        ("{name: alpha, since: 2026-12-26}", LEAVING, "no backup of its data is recorded"),
    ],
)
def test_a_tenant_does_not_depart_before(departed: str, deployed: dict[str, str], problem: str) -> None:
    said = vanished(departed, alpha=deployed)
    assert re.match(rf"tenants.yaml:\d+: departed\[0\]: .*{re.escape(problem)}\n    \w", said)


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ("suspended: {since: 2026-11-26}", "suspended.reason: is missing"),
        ("suspended: {reason: unpaid}", "suspended.since: is missing"),
        ("suspended: unpaid", "suspended: must be a mapping"),
        ("leaving: {since: 2026-11-26}", "leaving.until: is missing"),
        ("leaving: {since: 2026-11-26, until: 2026-11-25}", "leaving.until: 2026-11-25 is before it left"),
        ("leaving: {since: 2026-11-26, until: soon}", "leaving.until: 'soon' is not a date"),
        ("leaving: {since: 2026-11-26, until: 2026-11-27, backup: s3://b}", "leaving.backup: must be a mapping"),
        (
            "leaving: {since: 2026-11-26, until: 2026-11-27, backup: {id: b, sha256: abc}}",
            "leaving.backup.sha256: 'abc' is not a SHA-256 checksum",
        ),
        (
            "leaving: {since: 2026-11-26, until: 2026-11-27, backup: {id: b, restored: 2026-11-25}}",
            "leaving.backup.restored: the backup was restored on 2026-11-25, before the tenant left",
        ),
        (
            "suspended: {since: 2026-11-26, reason: unpaid}, leaving: {since: 2026-11-26, until: 2026-11-27}",
            "suspended: suspended and leaving exclude each other",
        ),
    ],
)
def test_a_state_that_makes_no_sense_is_refused(keys: str, problem: str) -> None:
    text = "tenants:\n  - {name: alpha, source: {url: 'https://x.example/y', branch: main}, " + keys + "}\n"
    assert f"tenants.yaml:2: tenants[0].{problem}" in "\n".join(problems(text))


@pytest.mark.parametrize("same", ["id: s3://b/alpha", "sha256: " + "a1" * 32])
def test_another_tenants_backup_is_refused(same: str) -> None:
    backup = "{id: s3://b/beta, %s}" if same.startswith("sha") else "{%s}"
    leaving = f"leaving: {{since: 2026-11-26, until: 2026-11-26, backup: {backup % same}}}"
    beta = "{name: beta, source: {url: 'https://x.example/y', branch: main}, " + leaving + "}"
    alpha = f"{{name: alpha, since: 2026-11-26, backup: {{id: s3://b/alpha, sha256: {'a1' * 32}}}}}"
    found = "\n".join(problems(f"tenants:\n  - {beta}\ndeparted:\n  - {alpha}\n"))
    assert f"tenants.yaml:2: tenants[0].leaving.backup.{same.partition(':')[0]}: this is the backup of alpha" in found


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (LEFT.replace("[]", "[{name: alpha, source: {url: 'https://x.example/y', branch: main}}]"), "on line 1"),
        (LEFT + "  - {name: alpha, since: 2026-11-27}\n", "alpha has departed twice"),
        (LEFT.replace("2026-11-26", "2026-02-30"), "not YAML|is not a date"),
        (LEFT.replace("2026-11-26", "20261126"), "must be text"),
        (LEFT.replace("2026-11-26", "'20261126'"), "'20261126' is not a date"),
        (LEFT.replace("2026-11-26", "2026-11-26 10:00:00"), "must be text"),
        (LEFT.replace("alpha", "kube-system"), "is reserved"),
        (LEFT.replace("since", "on"), "unknown key"),
    ],
)
def test_departed_tenants_keep_their_names(text: str, problem: str) -> None:
    assert re.search(problem, "\n".join(problems(text)))
