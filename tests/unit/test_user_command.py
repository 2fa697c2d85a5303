"""`./saas tenant users`, on the emulator of Cognito."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from typer.testing import CliRunner

from cli import __main__ as command_line
from cli import aws, pulumi
from cli.errors import CommandError
from standins.tests.unit.aws_emulator import emulator
from tests.unit.aws_command import in_process

TENANTS = """\
tenants:
  - name: shop
    source: {url: "https://github.com/acme/shop", branch: main}
  - name: shop-orders
    source: {url: "https://github.com/acme/shop", branch: main}
"""
SUSPENDED = TENANTS.replace("  - name: shop-", "    suspended: {since: 2026-11-26, reason: unpaid}\n  - name: shop-", 1)
BOTH = SUSPENDED + "    leaving: {since: 2026-11-26, until: 2026-12-26}\n"
ONLY_ORDERS = TENANTS + "    leaving: {since: 2026-11-26, until: 2026-12-26}\n"
Run = Callable[..., dict[str, Any]]


class Users:
    """A user pool with users of two tenants."""

    def __init__(self) -> None:
        self.cognito: Any = boto3.client("cognito-idp", region_name="eu-west-1")
        self.pool = self.cognito.create_user_pool(PoolName="users")["UserPool"]["Id"]
        for group in ("shop", "shop-orders"):
            self.cognito.create_group(UserPoolId=self.pool, GroupName=group)

    def add(self, name: str, *groups: str) -> None:
        of = {"UserPoolId": self.pool, "Username": name}
        self.cognito.admin_create_user(**of)
        for group in groups:
            self.cognito.admin_add_user_to_group(**of, GroupName=group)

    def disable(self, name: str) -> None:
        self.cognito.admin_disable_user(UserPoolId=self.pool, Username=name)

    @property
    def enabled(self) -> set[str]:
        found = self.cognito.list_users(UserPoolId=self.pool)["Users"]
        return {user["Username"] for user in found if user["Enabled"]}

    @property
    def groups(self) -> set[str]:
        return {group["GroupName"] for group in self.cognito.list_groups(UserPoolId=self.pool)["Groups"]}


@pytest.fixture(scope="module")
def account() -> Iterator[None]:
    with emulator():
        yield


@pytest.fixture
def pool(account: None) -> Users:
    made = Users()
    made.add("jo", "shop")
    made.add("kim", "shop")
    made.add("gone", "shop")
    made.disable("gone")
    made.add("both", "shop", "shop-orders")
    made.add("other", "shop-orders")
    return made


@pytest.fixture
def run(pool: Users, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs the command for shop, with these tenants; returns what it says."""
    in_process(monkeypatch)
    issuer = f"https://cognito-idp.eu-west-1.amazonaws.com/{pool.pool}"
    outputs = {"aws": {"region": "eu-west-1"}, "identity": {"issuer": issuer}}
    monkeypatch.setattr(pulumi, "outputs", lambda *_: outputs)

    def command(text: str, *options: str, tenant: str = "shop") -> dict[str, Any]:
        (tmp_path / "tenants.yaml").write_text(text)
        arguments = ["tenant", "users", tenant, "--json", "--file", str(tmp_path / "tenants.yaml"), *options]
        result = CliRunner().invoke(command_line.app, arguments, catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    return command


def test_users_of_a_suspended_tenant_are_disabled_and_the_same_ones_enabled_again(run: Run, pool: Users) -> None:
    said = run(SUSPENDED)
    assert (said["disabled"], said["kept"]) == (["jo", "kim"], {"both": ["shop-orders"]})
    assert pool.enabled == {"both", "other"}
    assert run(SUSPENDED)["disabled"] == []
    assert run(TENANTS)["enabled"] == ["jo", "kim"]
    assert pool.enabled == {"jo", "kim", "both", "other"}, "who was disabled before stays so"
    assert pool.groups == {"shop", "shop-orders"}
    assert run(TENANTS)["enabled"] == []


def test_a_dry_run_changes_nobody(run: Run, pool: Users) -> None:
    before = pool.enabled
    assert run(SUSPENDED, "--dry-run")["disabled"] == ["jo", "kim"]
    assert (pool.enabled, pool.groups) == (before, {"shop", "shop-orders"})


@pytest.mark.parametrize("operation", ["create-group", "admin-add-user-to-group", "admin-disable-user"])
def test_a_killed_run_is_finished_by_the_next_and_undone_by_resume(
    run: Run, pool: Users, operation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = aws.call

    def killed(region: str, service: str, called: str, *options: str) -> dict[str, Any]:
        answer = call(region, service, called, *options)
        if called == operation:
            raise KeyboardInterrupt
        return answer

    with monkeypatch.context() as patch:
        patch.setattr(aws, "call", killed)
        with pytest.raises(AssertionError):
            run(SUSPENDED)
    run(SUSPENDED)
    assert pool.enabled == {"both", "other"}
    run(TENANTS)
    assert pool.enabled == {"jo", "kim", "both", "other"}


def test_a_user_of_two_tenants_can_sign_in_once_one_of_them_runs_again(run: Run, pool: Users) -> None:
    run(BOTH)
    run(BOTH, tenant="shop-orders")
    assert pool.enabled == set()
    run(SUSPENDED, tenant="shop-orders")
    assert pool.enabled == {"both", "other"}
    run(SUSPENDED)
    assert pool.enabled == {"both", "other"}
    run(TENANTS)
    assert pool.enabled == {"jo", "kim", "both", "other"}
    run(BOTH)
    run(BOTH, tenant="shop-orders")
    run(ONLY_ORDERS)
    assert pool.enabled == {"jo", "kim", "both"}


def test_a_stack_without_users_is_a_mistake(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulumi, "outputs", lambda *_: {"aws": {"region": "eu-west-1"}})
    with pytest.raises(CommandError, match="the stack has no users"):
        run(SUSPENDED)
