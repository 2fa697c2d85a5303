"""`./saas shard …`: which stack has a tenant, and moves of its state to another."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from cli import changes, effective, pulumi, tenants_file
from cli.errors import CommandError
from cli.tenants import CHECKOUT, DryRun, Json, tenant_of
from model.config.base import validate
from model.config.errors import suggestion
from model.config.stack import project_name, written
from model.config.stack_shards import MOVING_TO, StackShard, shard_of, stack_name
from model.config.tenants import Tenant, TenantList
from model.config.yaml_lines import YamlFile

OF_A_TENANT = frozenset(
    {
        "saas:tenant:TenantSpace",
        "saas:tenant:TenantRole",
        "saas:identity:TenantIdentity",
        "saas:notifications:Notifications",
    }
)
"""Components that are called as their tenant. All else of a tenant is in them, except for its log group."""
SPACE, LOG_GROUP = "saas:tenant:TenantSpace", "aws:cloudwatch/logGroup:LogGroup"

app = typer.Typer(no_args_is_help=True, help="Show which stack has a tenant, and move tenants between stacks.")

Platform = Annotated[str | None, typer.Option(help="The platform's stack; default: the only one that has shards.")]
Project = Annotated[Path, typer.Option(help="The folder of Pulumi.yaml.", show_default="this checkout")]


@dataclass(frozen=True)
class Shards:
    """A platform's stack, its shards and all tenants."""

    platform: str
    count: int
    listed: TenantList

    def stack_of(self, tenant: Tenant) -> str:
        """The stack that a tenant belongs to; the platform's own, if it has no shards any more."""
        return stack_name(self.platform, shard_of(tenant, self.count)) if self.count else self.platform


@app.command("list")
def list_(platform: Platform = None, project: Project = CHECKOUT, as_json: Json = False) -> None:
    """List all tenants with their stacks, and whether their entry or the hash of their name decides.

    \b
    ./saas shard list
    ./saas shard list --json | jq 'group_by(.stack) | map({stack: .[0].stack, tenants: length})'
    """
    shards = _shards(platform, project)
    rows = [
        {
            "tenant": tenant.name,
            "stack": shards.stack_of(tenant),
            "by": "its entry" if tenant.stack_shard else "its name",
        }
        for tenant in shards.listed.tenants
    ]
    if as_json:
        changes.print_json(rows)
        return
    table = effective.new_table("tenant", "stack", "by")
    for row in rows:
        table.add_row(*row.values())
    effective.print_table(table)


@app.command()
def move(
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help="Default: all tenants.")] = None,
    platform: Platform = None,
    project: Project = CHECKOUT,
    dry_run: DryRun = False,
) -> None:
    """Move the state of tenants to the stacks that they belong to, by `pulumi state move`. No object is touched.

    \b
    ./saas tenant set acme --set stackShard=2 && ./saas shard move acme
    ./saas shard move --dry-run
    """
    shards = _shards(platform, project)
    chosen = _chosen(shards.listed, names)
    engine = Pulumi(project)
    states = {name: engine.export(name) for name in engine.stacks(shards.platform)}
    plan: dict[tuple[str, str], list[str]] = {}
    for tenant in chosen:
        target = shards.stack_of(tenant)
        holders = [name for name, state in sorted(states.items()) if resources_of(state, tenant.name)]
        if len(holders) > 1:
            remedy = "Remove it from one of them with `pulumi state delete`, which touches no object."
            raise CommandError(f"the states of {' and '.join(holders)} both have {tenant.name}", remedy)
        if names and not holders:
            raise CommandError(f"no stack has {tenant.name} yet", f"Run `pulumi up --stack {target}`.")
        if holders and (holders[0] != target or _unfinished(states, tenant.name, target)):
            plan.setdefault((holders[0], target), []).append(tenant.name)
    for (source, target), moving in plan.items():
        if target not in states:
            raise CommandError(f"there is no stack {target}", f"Create it with `pulumi stack init {target}`.")
        typer.echo(f"{source} -> {target}: {', '.join(moving)}")
        if not dry_run:
            urns = [urn for name in moving for urn in resources_of(states[source], name)]
            if source != target:
                # First, so that an interruption at any point lets neither stack run, even if entries are changed back.
                _mark(engine, source, target, moving)
                engine.run("state", "move", "--yes", "--source", source, "--dest", target, *urns)
            _move_outputs(engine, [*states], target, moving)
    if not plan:
        typer.echo("Every state is where it belongs.")
    elif not dry_run:
        typer.echo(f"Now run `pulumi up` for {', '.join(dict.fromkeys(stack for pair in plan for stack in pair))}.")


class Pulumi:
    """The `pulumi` command of a project."""

    def __init__(self, project: Path) -> None:
        self._project = project

    def run(self, *arguments: str) -> str:
        """The output of a command."""
        done = pulumi.run(self._project, *arguments, "--non-interactive", capture_output=True)
        if done.returncode:
            raise CommandError(
                f"`pulumi {' '.join(arguments[:2])}` failed: {done.stderr.strip() or done.stdout.strip()}"
            )
        return done.stdout

    def stacks(self, platform: str) -> list[str]:
        """The platform's stack and those of its shards, also of such that the configuration lacks by now."""
        names = (stack["name"].rpartition("/")[2] for stack in json.loads(self.run("stack", "ls", "--json")))
        return [name for name in names if name == platform or name.removeprefix(f"{platform}-").isdigit()]

    def export(self, stack: str) -> dict[str, Any]:
        """The stack's state; secrets in it stay encrypted."""
        return json.loads(self.run("stack", "export", "--stack", stack))

    def import_(self, stack: str, state: Mapping[str, Any]) -> None:
        """Replace the stack's state."""
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            json.dump(state, file)
            file.flush()
            self.run("stack", "import", "--stack", stack, "--file", file.name)


OUTPUTS = ("tenants", "deployKeys")
"""Outputs with an entry for each tenant, by which the program knows what the stack has after its last update."""


def _mark(engine: Pulumi, source: str, target: str, names: Sequence[str]) -> None:
    """Write in the outputs of a stack where its tenants go: neither stack runs until they are there."""
    state = engine.export(source)
    tenants = _outputs(state).setdefault("tenants", {})
    for name in names:
        tenants[name] = {**tenants.get(name, {}), MOVING_TO: target}
    engine.import_(source, state)


def _move_outputs(engine: Pulumi, stacks: Sequence[str], target: str, names: Sequence[str]) -> None:
    """Move tenants' entries in the stacks' outputs, and take back the marks."""
    states = {stack: engine.export(stack) for stack in stacks}
    found: dict[str, dict[str, Any]] = {output: {} for output in OUTPUTS}
    for output in OUTPUTS:
        # The target's own win, which an update may have written since an interrupted move.
        for stack in sorted(stacks, key=lambda stack: stack == target):
            known = _outputs(states[stack]).get(output, {})
            found[output] |= {
                name: {key: value for key, value in known[name].items() if key != MOVING_TO}
                for name in names
                if known.get(name, {}).keys() - {MOVING_TO}
            }
    # The marked stack last, so that both refuse to run until then.
    for stack in sorted(stacks, key=lambda stack: stack != target):
        outputs = _outputs(states[stack])
        before = {output: dict(outputs.get(output, {})) for output in OUTPUTS}
        after = {
            output: {name: value for name, value in before[output].items() if name not in names}
            | (found[output] if stack == target else {})
            for output in OUTPUTS
        }
        if after != before:
            outputs |= after
            engine.import_(stack, states[stack])


def _outputs(state: Mapping[str, Any]) -> dict[str, Any]:
    """The stack's outputs in its state; empty before its first update."""
    for resource in _all_resources(state):
        if resource["type"] == "pulumi:pulumi:Stack":
            return resource.setdefault("outputs", {})
    return {}


def _unfinished(states: Mapping[str, Any], tenant: str, target: str) -> bool:
    """Whether outputs name another stack than that which has the tenant, or a move, after an interrupted one."""
    outputs = {stack: _outputs(state).get("tenants", {}) for stack, state in states.items()}
    known = {stack: tenants[tenant] for stack, tenants in outputs.items() if tenant in tenants}
    return bool(known.keys() - {target}) or MOVING_TO in known.get(target, {})


def resources_of(state: Mapping[str, Any], tenant: str) -> list[str]:
    """URNs of a tenant's components, and of its log group; nothing if its namespace is not in the state."""
    found = [resource["urn"] for resource in _all_resources(state) if _is_of(resource, tenant)]
    return found if any(f"::{SPACE}::" in urn for urn in found) else []


def _is_of(resource: Mapping[str, Any], tenant: str) -> bool:
    name = resource["urn"].rpartition("::")[2]
    if resource["type"] == LOG_GROUP:
        return name == f"{tenant}/logs"
    return resource["type"] in OF_A_TENANT and name == tenant


def _all_resources(state: Mapping[str, Any]) -> list[dict[str, Any]]:
    return (state.get("deployment") or {}).get("resources") or []


def _chosen(listed: TenantList, names: Sequence[str] | None) -> list[Tenant]:
    return [tenant_of(listed, name) for name in names] if names else list(listed.tenants)


def _shards(platform: str | None, project: Path) -> Shards:
    found = dict(_platforms(project))
    if platform is None:
        sharded = [name for name, config in found.items() if config.content.get("shard")]
        if len(sharded) != 1:
            named = f"{' and '.join(sharded)} have" if sharded else "no stack has"
            raise CommandError(
                f"{named} shards", "Write `--platform NAME`; docs/shards.md says how a stack gets shards."
            )
        platform = sharded[0]
    if platform not in found:
        raise CommandError(f"there is no platform {platform!r}", suggestion(platform, found))
    config = found[platform]
    own = config.content.get("shard")
    shard = validate(StackShard, own, config, lambda path: ("shard", *path)) if own else None
    listed = tenants_file.load(project / str(config.content.get("tenantsFile") or "tenants.yaml"))
    return Shards(platform, shard.count if shard else 0, listed)


def _platforms(project: Path) -> Iterator[tuple[str, YamlFile]]:
    """The stacks that are no shard of another, with the project's keys of their files."""
    name = project_name(project)
    for path in sorted(project.glob("Pulumi.*.yaml")):
        file = written(project, path.name, name)
        if file.content and "platform" not in file.content:
            yield path.name.removeprefix("Pulumi.").removesuffix(".yaml"), file
