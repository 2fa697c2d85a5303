"""`./saas tenant users`: users of a tenant that is suspended or leaving cannot sign in; those of others can again."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Annotated, Any

import typer

from cli import aws, changes, pulumi, tenants_file
from cli.errors import CommandError
from cli.tenants import CHECKOUT, DryRun, File, Json, Known, tenant_of
from model.config.departures import ACTIVE

MARK = ".suspended"
"""End of the name of a group for the users that this command has disabled. No tenant's name has a dot."""


@dataclass(frozen=True)
class Pool:
    """A user pool on AWS."""

    region: str
    id: str

    def call(self, operation: str, *options: str) -> dict[str, Any]:
        """Call an operation of Cognito."""
        return aws.call(self.region, "cognito-idp", operation, "--user-pool-id", self.id, *options)

    def of_user(self, operation: str, user: str, *options: str) -> dict[str, Any]:
        """Call an operation on a user."""
        return self.call(operation, "--username", user, *options)

    def users(self, group: str) -> list[dict[str, Any]]:
        """The users of a group; none if there is no such group."""
        try:
            return self.call("list-users-in-group", "--group-name", group)["Users"]
        except aws.RefusedError as error:
            if error.code == "ResourceNotFoundException":
                return []
            raise

    def groups(self, user: str) -> set[str]:
        """The groups of a user."""
        return {group["GroupName"] for group in self.of_user("admin-list-groups-for-user", user)["Groups"]}


@dataclass
class Result:
    """What was done, by users' names."""

    disabled: list[str] = field(default_factory=list)
    enabled: list[str] = field(default_factory=list)
    kept: dict[str, list[str]] = field(default_factory=dict)
    """Users who stay enabled, with the other tenants whose users they are."""


def users(
    name: Known,
    stack: Annotated[str | None, typer.Option(help="The stack with the user pool; default: the selected one.")] = None,
    file: File = CHECKOUT / "tenants.yaml",
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Disable the users of a tenant that is suspended or leaving; enable the same ones again once it is resumed.

    Users who were disabled before stay so. Users of another tenant that runs stay enabled.

    \b
    ./saas tenant suspend acme --reason "invoice 4711 is not paid" && ./saas tenant users acme --stack prod-eu
    """
    listed = tenants_file.load(file)
    tenant = tenant_of(listed, name)
    running = {other.name for other in listed.tenants if other.state == ACTIVE} - {name}
    result = Result()
    for pool in _pools(pulumi.outputs(CHECKOUT, stack), name):
        if tenant.state == ACTIVE:
            _enable(pool, name, result, dry_run=dry_run)
        else:
            _disable(pool, name, running, result, dry_run=dry_run)
    if as_json:
        changes.print_json({"tenant": name, "dryRun": dry_run, **vars(result)})
        return
    for what, found in (("disabled", result.disabled), ("enabled", result.enabled)):
        for user in found:
            typer.echo(f"{user}: {'would be ' if dry_run else ''}{what}")
    for user, others in result.kept.items():
        typer.echo(f"{user}: stays enabled, as a user of {' and '.join(others)}")
    if not (result.disabled or result.enabled):
        typer.echo(f"{name}: nothing to change.")


def _pools(outputs: dict[str, Any], name: str) -> Iterator[Pool]:
    """The shared pool, and the tenant's own."""
    issuers = [outputs.get("identity", {}).get("issuer"), outputs.get("identityPools", {}).get(name)]
    if not any(issuers):
        raise CommandError("the stack has no users", "Name the stack with `identity` in its `aws` with --stack.")
    for issuer in filter(None, issuers):
        yield Pool(outputs["aws"]["region"], issuer.rpartition("/")[2])


def _disable(pool: Pool, name: str, running: Collection[str], result: Result, *, dry_run: bool) -> None:
    marked = {user["Username"] for user in pool.users(name + MARK)}
    for user in pool.users(name):
        known = user["Username"]
        groups = pool.groups(known)
        by_this_command = any(group.endswith(MARK) for group in groups)
        if others := sorted(groups & {*running}):
            result.kept[known] = others
        elif user["Enabled"] or (by_this_command and known not in marked):
            if not dry_run:
                _mark(pool, name, known)
                # Disabling also ends what the user has; signing out ends it for a user who is enabled again later.
                pool.of_user("admin-user-global-sign-out", known)
                pool.of_user("admin-disable-user", known)
            result.disabled.append(known)


def _mark(pool: Pool, name: str, user: str) -> None:
    """Note that a user is disabled by this command. Before it is, so that a killed run is not forgotten."""
    description = f"Users of {name} that ./saas tenant users disabled"
    try:
        pool.call("create-group", "--group-name", name + MARK, "--description", description)
    except aws.RefusedError as error:
        if error.code != "GroupExistsException":
            raise
    pool.of_user("admin-add-user-to-group", user, "--group-name", name + MARK)


def _enable(pool: Pool, name: str, result: Result, *, dry_run: bool) -> None:
    marked = [user["Username"] for user in pool.users(name + MARK)]
    result.enabled += marked
    if dry_run or not marked:
        return
    for user in marked:
        pool.of_user("admin-enable-user", user)
        pool.of_user("admin-remove-user-from-group", user, "--group-name", name + MARK)
    pool.call("delete-group", "--group-name", name + MARK)
