"""What tenants.yaml may say, and what it answers to mistakes."""

from __future__ import annotations

import re
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from cli import editor_schema, effective
from model.config import names, tenants
from model.config.document import parse
from model.config.mirrors import Mirror
from model.config.mistakes import MistakesError
from model.config.tenants import Tenant

GOOD: dict[str, Any] = {"name": "alpha", "source": {"url": "https://github.com/acme/shop", "branch": "main"}}


def load(text: str, *mirrors: Mirror) -> tuple[Tenant, ...]:
    return tenants.parse(parse(text, "tenants.yaml"), mirrors)


def mistakes(text: str) -> list[str]:
    with pytest.raises(MistakesError) as refused:
        load(text)
    return [str(mistake) for mistake in refused.value.mistakes]


def entry(**changes: Any) -> str:
    """One tenant with some values changed; `source__url` reaches into the source, None takes away."""
    tenant: dict[str, Any] = {**GOOD, "source": dict(GOOD["source"])}
    for key, value in changes.items():
        place, _, inner = key.partition("__")
        target, name = (tenant[place], inner) if inner else (tenant, place)
        if value is None:
            target.pop(name, None)
        else:
            target[name] = value
    return yaml.safe_dump({"tenants": [tenant]}, sort_keys=False)


def test_defaults_fill_what_a_tenant_leaves_open() -> None:
    text = """\
defaults: {interval: 5m, prune: true, role: admin, source: {path: ./kustomize, branch: main}}
tenants:
  - {name: alpha, source: {url: "https://github.com/acme/shop"}}
  - {name: beta, interval: 1h, prune: false, source: {url: "https://github.com/acme/shop", tag: v1, path: deploy}}
"""
    alpha, beta = load(text)
    assert (alpha.interval, alpha.prune, alpha.role, alpha.source.path) == ("5m", True, "admin", "./kustomize")
    assert alpha.source.reference == {"branch": "main"}
    assert (beta.interval, beta.prune, beta.source.path) == ("1h", False, "./deploy")
    assert beta.source.reference == {"tag": "v1"}


def test_a_file_without_tenants_is_fine() -> None:
    assert load("tenants: []\n") == ()


def test_every_mistake_is_reported_at_once_with_its_line() -> None:
    text = """\
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
    found = mistakes(text)
    assert re.findall(r"^tenants\.yaml:(\d+): ", "\n".join(found), re.MULTILINE) == "2 4 6 7 8 10 11 12".split()
    for part, mistake in zip(
        [
            "Write alpha",
            "Write ssh://git@github.com/acme/shop.git",
            "reserved",
            "Did you mean interval?",
            "branch and tag contradict",
            "Add one of branch, tag",
            "already on line 9",
            "Write true or false",
        ],
        found,
        strict=True,
    ):
        assert part in mistake


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("tenants: [", "not YAML"),
        ("tenants: 2026-99-99", "not YAML"),
        ("tenants: &a [*a]", "contains itself"),
        ("tenants:\n\t- x", "not YAML"),
        ("", "has to be a mapping with the key tenants"),
        ("- a\n", "has to be a mapping with the key tenants"),
        ("tenants:\n", "has to be a list, not nothing"),
        ("tenants: {a: b}\n", "has to be a list"),
        ("tenant: []\n", "Did you mean tenants?"),
        ("tenants: [a]\n", "tenants[0]: has to be a mapping"),
        ("tenants: []\ntenants: []\n", "the key 'tenants' is there twice, first on line 1"),
        ("defaults: {rol: admin}\ntenants: []\n", "Did you mean role?"),
        ("defaults: {source: {branch: a, tag: b}}\ntenants: []\n", "contradict"),
        ("defaults: []\ntenants: []\n", "has to be a mapping"),
        (entry(name=None), "tenants[0].name: is missing"),
        (entry(source=None), "tenants[0].source: is missing"),
        (entry(source__url=None), "tenants[0].source.url: is missing"),
        (entry(name=17), "Put it in quotes"),
        (entry(name="a"), "2 to 63"),
        (entry(name="a" * 64), "2 to 63"),
        (entry(name="-a"), "cannot name a namespace"),
        (entry(name="flux-system"), "reserved"),
        (entry(name="default"), "reserved"),
        (entry(interval="1 minute"), "is not a duration"),
        (entry(interval="0s"), "without a pause"),
        (entry(interval=60), "Put it in quotes"),
        (entry(role="a b"), "ClusterRole"),
        (entry(source__url="http://github.com/a/b"), "Write https://github.com/a/b"),
        (entry(source__url="git://github.com/a/b"), "does not read git://"),
        (entry(source__url="file:///srv/a"), "is not the URL"),
        (entry(source__url="https://github.com"), "is not the URL"),
        (entry(source__url="https://github.com:x/a/b"), "is not the URL"),
        (entry(source__url="https://me:pw@github.com/a/b"), "credentials"),
        (entry(source__url="https://github.com/a/b?ref=x"), "Leave out what follows"),
        (entry(source__url="https://github.com/a b"), "is not the URL"),
        (entry(source__url="ssh://git@github.com/a/b"), "SSH asks for a key"),
        (entry(source__private=True), "Write ssh://git@github.com/acme/shop"),
        (entry(source__url="ssh://git@git.example.com/a", source__private=True), "ssh-keyscan git.example.com"),
        (entry(source__url="ssh://git@github.com/a/b/c", source__private=True), "no repository on GitHub"),
        (entry(source__knownHosts="x y"), "host keys are for SSH"),
        (entry(source__path="/etc"), "leaves the repository"),
        (entry(source__path="a/../../b"), "leaves the repository"),
        (entry(source__branch="a b"), "cannot name a branch"),
        (entry(source__branch=None, source__commit="abc"), "full commit id"),
        (entry(source__branch=1.0), "Put it in quotes"),
    ],
)
def test_a_mistake_gets_its_remedy(text: str, said: str) -> None:
    assert said in "\n".join(mistakes(text))


def test_a_mirror_that_knows_the_host_keys_is_enough() -> None:
    text = entry(source__url="ssh://git@git.example.com/a", source__private=True)
    mirror = Mirror.model_validate(
        {"prefix": "ssh://git@git.example.com/", "url": "ssh://git@mirror/", "knownHosts": "mirror key"}
    )
    (tenant,) = load(text, mirror)
    found = tenants.location(tenant, [mirror], "github's")
    assert (found.url, found.known_hosts) == ("ssh://git@mirror/a", "mirror key")


def test_the_longest_prefix_of_a_mirror_wins() -> None:
    (tenant,) = load(entry())
    mirrors = [
        Mirror(prefix="https://github.com/", url="https://one/"),
        Mirror(prefix="https://github.com/acme/", url="https://two/"),
    ]
    assert tenants.location(tenant, mirrors, "").url == "https://two/shop"


@given(st.from_regex(r"[a-z0-9][a-z0-9-]{0,61}[a-z0-9]", fullmatch=True))
def test_a_name_that_kubernetes_takes_is_taken_unless_reserved(name: str) -> None:
    if name in ("default", "flux-system") or name.startswith("kube-"):
        assert "reserved" in mistakes(entry(name=name))[0]
    elif name in names.TOP_LEVEL_DOMAINS or re.fullmatch("[a-z]{2}", name):
        assert "top-level domain" in mistakes(entry(name=name))[0]
    else:
        assert load(entry(name=name))[0].name == name


@given(st.text(max_size=80))
def test_any_text_is_a_good_name_or_gets_an_answer(name: str) -> None:
    try:
        (tenant,) = load(entry(name=name))
    except MistakesError as error:
        assert all(mistake.remedy for mistake in error.mistakes)
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
def test_any_yaml_is_tenants_or_mistakes_never_a_crash(content: Any) -> None:
    text = yaml.safe_dump(content)
    try:
        found = load(text)
    except MistakesError as error:
        assert error.mistakes
    else:
        for tenant in found:
            assert effective.settings(parse(text, "tenants.yaml"), tenant.name)


@given(st.text(max_size=200))
def test_any_text_is_tenants_or_mistakes_never_a_crash(text: str) -> None:
    try:
        load(text)
    except MistakesError as error:
        assert error.mistakes


def test_the_editor_schema_takes_the_sample_and_refuses_a_typo() -> None:
    schema = yaml.safe_load(editor_schema.render())
    validator = jsonschema.Draft202012Validator(schema)
    sample = yaml.safe_load((editor_schema.FILE.parent / "tenants.yaml").read_text())
    assert not list(validator.iter_errors(sample))
    assert list(validator.iter_errors({"tenants": [{"name": "alpha", "sourc": {}}]}))
    assert list(validator.iter_errors({"tenants": [{"name": "Alpha"}]}))
    assert list(validator.iter_errors({"tenants": [{"name": "al", "source": {"url": "x", "branch": "a", "tag": "b"}}]}))


def test_the_committed_editor_schema_is_fresh() -> None:
    assert editor_schema.FILE.read_text() == editor_schema.render()
