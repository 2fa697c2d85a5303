"""Generations of keys in tenants.yaml, and fingerprints."""

from __future__ import annotations

import pytest

from model.config import tenants
from model.config.errors import InvalidConfigError
from model.config.keys import Generations, fingerprint, generations, numbered
from model.config.stack import GITHUB_KNOWN_HOSTS
from model.config.tenants import TenantList
from model.config.yaml_lines import parse

KNOWN = "git.example.com ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
GITHUB = "url: 'ssh://git@github.com/acme/shop', branch: main, private: true"
ELSEWHERE = f"url: 'ssh://git@git.example.com/a/b', branch: main, private: true, knownHosts: {KNOWN}"
PUBLIC = "url: 'https://github.com/acme/shop', branch: main"


def listed(source: str, numbers: str = "") -> TenantList:
    return tenants.parse(parse(f"tenants:\n  - name: alpha\n    source: {{{source}}}\n    {numbers}\n", "tenants.yaml"))


@pytest.mark.parametrize(
    ("source", "numbers", "problem"),
    [
        (GITHUB, "keyGeneration: 0", "0 is too small"),
        (GITHUB, "keyGeneration: '2'", "must be a whole number"),
        (GITHUB, "keyGeneration: true", "must be a whole number"),
        (PUBLIC, "keyGeneration: 2", "the tenant has no deploy key of its own"),
        (GITHUB, "keyConfirmed: 2", "only keys for servers other than GitHub are registered by hand"),
        (ELSEWHERE, "keyConfirmed: 2", "there is no key of generation 2"),
    ],
)
def test_numbers_that_would_do_nothing_are_refused(source: str, numbers: str, problem: str) -> None:
    with pytest.raises(InvalidConfigError) as caught:
        listed(source, numbers)
    (found,) = caught.value.problems
    assert problem in found.message
    assert found.line == 4
    assert found.remedy


@pytest.mark.parametrize(
    ("source", "numbers", "expected"),
    [
        (GITHUB, "", Generations(3, 3)),
        (GITHUB, "keyGeneration: 2", Generations(4, 4)),
        (ELSEWHERE, "keyGeneration: 2", Generations(1, 2)),
        (ELSEWHERE, "keyGeneration: 2\n    keyConfirmed: 2", Generations(2, 2)),
    ],
)
def test_the_stacks_number_raises_those_of_keys_that_it_registers(
    source: str, numbers: str, expected: Generations
) -> None:
    (tenant,) = listed(source, numbers).tenants
    assert generations(3, tenant, tenant.own_source) == expected


def test_the_first_generation_has_the_name_that_it_always_had() -> None:
    assert [numbered("shop", number) for number in (1, 2)] == ["shop", "shop#2"]


def test_a_fingerprint_is_the_one_that_github_shows() -> None:
    # docs.github.com: "GitHub's SSH key fingerprints"
    assert fingerprint(GITHUB_KNOWN_HOSTS.splitlines()[0].partition(" ")[2]) == (
        "SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU"
    )
