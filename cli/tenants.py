"""`./saas tenant …`: lists, shows and edits the entries of tenants.yaml."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from cli import assignments, changes, effective, pulumi, tenants_file, yaml_edit
from cli.errors import CommandError
from cli.tenants_file import Edit
from model.config import departures, yaml_lines
from model.config.departures import Backup
from model.config.errors import InvalidConfigError, suggestion
from model.config.tenants import Tenant, TenantList
from model.config.yaml_lines import YamlPath

CHECKOUT = Path(__file__).resolve().parent.parent

app = typer.Typer(no_args_is_help=True, help="Add tenants, change them, let them leave, and show what they get.")


def names_of_tenants(context: typer.Context, incomplete: str) -> list[str]:
    """The tenants' names, for the shell's completion."""
    listed = listed_at(context)
    return [tenant.name for tenant in listed.tenants if tenant.name.startswith(incomplete)] if listed else []


def listed_at(context: typer.Context) -> TenantList | None:
    """The content of the file that a command line names so far; None for an invalid one."""
    try:
        return tenants_file.load(Path(context.params.get("file") or CHECKOUT / "tenants.yaml"))
    except InvalidConfigError:
        return None


File = Annotated[Path, typer.Option(help="The file to read or edit.", show_default="tenants.yaml")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")]
Known = Annotated[str, typer.Argument(metavar="NAME", autocompletion=names_of_tenants)]
Tier = Annotated[str | None, typer.Option(help="basic, premium or a tier of the file.")]
Product = Annotated[str | None, typer.Option(help="A product of the file, instead of --url.")]
Url = Annotated[str | None, typer.Option(help="The product's Git repository: https://… or ssh://…")]
Branch = Annotated[str | None, typer.Option(help="The branch that Flux follows.")]
Tag = Annotated[str | None, typer.Option(help="The tag that Flux applies.")]
Semver = Annotated[str | None, typer.Option(help="A range of versions, such as '>=1.0.0 <2.0.0'.")]
Commit = Annotated[str | None, typer.Option(help="A commit's full id.")]
Folder = Annotated[str | None, typer.Option("--path", help="The folder with the product's kustomization.")]
Private = Annotated[bool | None, typer.Option("--private/--public", help="Read with a deploy key, over ssh://.")]
Settings = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Any key of an entry; VALUE is YAML.")
]
Unset = Annotated[list[str] | None, typer.Option(metavar="KEY", help="Remove a key, so that its tier's value holds.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show the difference, and change nothing.")]
Preview = Annotated[bool, typer.Option("--preview", help="Then run `pulumi preview`.")]
Stack = Annotated[str | None, typer.Option(help="The stack of the preview; default: the selected one.")]
Pr = Annotated[bool, typer.Option("--pr", help="Open a pull request, and leave the file as it is.")]


@app.command("list")
def list_(
    departed: Annotated[bool, typer.Option("--departed", help="Those that have left.")] = False,
    file: File = CHECKOUT / "tenants.yaml",
    as_json: Json = False,
) -> None:
    """List all tenants with their most important limits.

    \b
    ./saas tenant list
    ./saas tenant list --departed
    ./saas tenant list --json | jq -r '.[] | select(.leaving) | .name'
    """
    listed = tenants_file.load(file)
    if departed:
        left = [each.model_dump(by_alias=True, exclude_none=True) for each in listed.content.departed]
        if as_json:
            changes.print_json(left)
        else:
            effective.print_table(effective.departed(listed))
    elif as_json:
        changes.print_json([_plain(listed, index) for index in range(len(listed.tenants))])
    else:
        effective.print_table(effective.overview(listed))


@app.command()
def show(name: Known, file: File = CHECKOUT / "tenants.yaml", as_json: Json = False) -> None:
    """Show every setting of a tenant, with the line that defines it.

    \b
    ./saas tenant show tenant-001
    ./saas tenant show tenant-001 --json | jq .quota
    """
    listed = tenants_file.load(file)
    index = _index(listed, name)
    if as_json:
        changes.print_json(_plain(listed, index))
    else:
        effective.print_table(effective.settings(listed, name))


@app.command()
def add(
    name: Annotated[str, typer.Argument(metavar="NAME")],
    tier: Tier = None,
    product: Product = None,
    url: Url = None,
    branch: Branch = None,
    tag: Tag = None,
    semver: Semver = None,
    commit: Commit = None,
    path: Folder = None,
    private: Private = None,
    settings: Settings = None,
    file: File = CHECKOUT / "tenants.yaml",
    dry_run: DryRun = False,
    preview: Preview = False,
    stack: Stack = None,
    pr: Pr = False,
    as_json: Json = False,
) -> None:
    """Add a tenant. With the values that it has already, nothing is changed.

    \b
    ./saas tenant add acme --tier premium --product shop
    ./saas tenant add acme --url https://github.com/acme/shop --branch main --preview
    ./saas tenant add acme --product shop --set quota.requests.cpu=6 --set 'hosts=[shop.acme.example]' --pr
    """
    options = _options(tier, product, url, branch, tag, semver, commit, path, private)
    entry = {"name": name, **assignments.nested([*options, *map(assignments.assignment, settings or ())])}

    def edit(text: str) -> str:
        entries = yaml_lines.parse(text, file.name).content["tenants"]
        existing = next((found for found in entries if found["name"] == name), None)
        if existing is None:
            return yaml_edit.append(text, ("tenants",), entry)
        if differing := [yaml_lines.dotted(place) for place in assignments.differences(entry, existing)]:
            remedy = f"Change it with `./saas tenant set {name} …`."
            raise CommandError(f"{name} exists already, with another {' and '.join(differing)}", remedy)
        return text

    finish(name, "add", edit, file, dry_run=dry_run, preview=preview, stack=stack, pr=pr, as_json=as_json)


@app.command("set")
def set_(
    name: Known,
    tier: Tier = None,
    product: Product = None,
    url: Url = None,
    branch: Branch = None,
    tag: Tag = None,
    semver: Semver = None,
    commit: Commit = None,
    path: Folder = None,
    private: Private = None,
    settings: Settings = None,
    unset: Unset = None,
    file: File = CHECKOUT / "tenants.yaml",
    dry_run: DryRun = False,
    preview: Preview = False,
    stack: Stack = None,
    pr: Pr = False,
    as_json: Json = False,
) -> None:
    """Change settings of a tenant. What is not named stays as it is.

    \b
    ./saas tenant set acme --tier premium
    ./saas tenant set acme --set quota.requests.cpu=6 --unset hosts --preview
    ./saas tenant set acme --tag v1.4.2 --unset source.branch --pr
    """
    options = _options(tier, product, url, branch, tag, semver, commit, path, private)
    values = [*options, *map(assignments.assignment, settings or ())]
    removals = list(map(assignments.key, unset or ()))
    if not values and not removals:
        raise CommandError("nothing to set", "Name a setting, such as --tier premium or --set quota.requests.cpu=6.")

    def edit(text: str) -> str:
        index, entry = entry_of(text, file, name)
        for place in removals:
            if _value(entry, place) is not _MISSING:
                text = yaml_edit.remove(text, ("tenants", index, *place))
        for place, value in values:
            own = _value(entry, place)
            if own != value or type(own) is not type(value):
                text = yaml_edit.set_value(text, ("tenants", index, *place), value)
        return text

    finish(name, "set", edit, file, dry_run=dry_run, preview=preview, stack=stack, pr=pr, as_json=as_json)


@app.command()
def suspend(
    name: Known,
    reason: Annotated[str, typer.Option(help="Why; kept in the file.")],
    file: File = CHECKOUT / "tenants.yaml",
    dry_run: DryRun = False,
    preview: Preview = False,
    stack: Stack = None,
    pr: Pr = False,
    as_json: Json = False,
) -> None:
    """Suspend a tenant: the next `pulumi up` stops its pods and closes its network. Its data stays.

    \b
    ./saas tenant suspend acme --reason "invoice 4711 is not paid" --preview
    """
    if not reason.strip():
        raise CommandError("the reason is empty", 'Write --reason "…".')

    def edit(text: str) -> str:
        index, entry = entry_of(text, file, name)
        if entry.get("leaving"):
            raise CommandError(f"{name} is leaving, and suspended with that", "To change that, resume it before.")
        if (entry.get("suspended") or {}).get("reason") == reason:
            return text
        since = (entry.get("suspended") or {}).get("since", today())
        return yaml_edit.set_value(text, ("tenants", index, "suspended"), {"since": since, "reason": reason})

    finish(name, "suspend", edit, file, dry_run=dry_run, preview=preview, stack=stack, pr=pr, as_json=as_json)


@app.command()
def resume(
    name: Known,
    file: File = CHECKOUT / "tenants.yaml",
    dry_run: DryRun = False,
    preview: Preview = False,
    stack: Stack = None,
    pr: Pr = False,
    as_json: Json = False,
) -> None:
    """Let a tenant run again that is suspended or leaving: the next `pulumi up` starts its pods, with its data.

    \b
    ./saas tenant resume acme --preview
    """

    def edit(text: str) -> str:
        index, entry = entry_of(text, file, name)
        for key in ("suspended", "leaving"):
            if key in entry:
                text = yaml_edit.remove(text, ("tenants", index, key))
        return text

    finish(name, "resume", edit, file, dry_run=dry_run, preview=preview, stack=stack, pr=pr, as_json=as_json)


@app.command()
def leave(
    name: Known,
    keep: Annotated[str, typer.Option(metavar="DAYS", help="How long its data is kept, such as 30d.")],
    file: File = CHECKOUT / "tenants.yaml",
    dry_run: DryRun = False,
    preview: Preview = False,
    stack: Stack = None,
    pr: Pr = False,
    as_json: Json = False,
) -> None:
    """Let a tenant leave: it is suspended, and may be purged after these days. Until then `resume` brings it back.

    Run again with other days, it keeps the day on which it left.

    \b
    ./saas tenant leave acme --keep 30d --pr
    """
    if not (days := re.fullmatch(r"(\d{1,5})d", keep)):
        raise CommandError(f"--keep {keep} is not a number of days", "Write --keep 30d.")

    def edit(text: str) -> str:
        index, entry = entry_of(text, file, name)
        if "suspended" in entry:
            text = yaml_edit.remove(text, ("tenants", index, "suspended"))
        since = str((entry.get("leaving") or {}).get("since", today()))
        until = date.fromisoformat(since) + timedelta(days=int(days[1]))
        if not entry.get("leaving"):
            left = {"since": date.fromisoformat(since), "until": until}
            return yaml_edit.set_value(text, ("tenants", index, "leaving"), left)
        if str(entry["leaving"]["until"]) == until.isoformat():
            return text
        return yaml_edit.set_value(text, ("tenants", index, "leaving", "until"), until)

    finish(name, "leave", edit, file, dry_run=dry_run, preview=preview, stack=stack, pr=pr, as_json=as_json)


@app.command()
def purge(
    name: Known,
    confirm: Annotated[str, typer.Option(metavar="NAME", help="The name once more: its data is deleted.")],
    break_glass: Annotated[
        str | None, typer.Option(metavar="REASON", help="Delete it at once, without waiting and without a backup.")
    ] = None,
    file: File = CHECKOUT / "tenants.yaml",
    dry_run: DryRun = False,
    preview: Preview = False,
    stack: Stack = None,
    pr: Pr = False,
    as_json: Json = False,
) -> None:
    """Move a tenant that is leaving to `departed`, so that the next `pulumi up` deletes it with all its data.

    Only after its last day, and with a backup that was restored once: see `leave`.

    \b
    ./saas tenant purge acme --confirm acme --preview
    ./saas tenant purge test-4 --confirm test-4 --break-glass "a test without data"
    """
    if confirm != name:
        raise CommandError(f"--confirm {confirm} is not {name}", f"Write --confirm {name} to delete all its data.")

    def edit(text: str) -> str:
        content = yaml_lines.parse(text, file.name).content
        names = [tenant["name"] for tenant in content["tenants"]]
        if name not in names and any(left["name"] == name for left in content.get("departed") or ()):
            return text
        leaving = content["tenants"][place_of(names, name)].get("leaving")
        if not break_glass:
            _check_purge(name, leaving, today())
        backup = (leaving or {}).get("backup")
        record = {
            "name": name,
            "since": today(),
            **({"backup": backup} if backup else {}),
            **({"breakGlass": break_glass} if break_glass else {}),
        }
        text = yaml_edit.remove(text, ("tenants", names.index(name)))
        return yaml_edit.append(text, ("departed",), record)

    finish(name, "purge", edit, file, dry_run=dry_run, preview=preview, stack=stack, pr=pr, as_json=as_json)


def today() -> date:
    """The day as the program counts it: in UTC, wherever the command runs."""
    return datetime.now(UTC).date()


def _check_purge(name: str, leaving: Mapping[str, Any] | None, day: date) -> None:
    if not leaving:
        remedy = f"Run `./saas tenant leave {name} --keep 30d`, and update."
        raise CommandError(f"{name} may not be purged: it is not leaving", remedy)
    backup = Backup.model_validate(leaving["backup"]) if leaving.get("backup") else None
    if obstacle := departures.purge_obstacle(day.isoformat(), str(leaving["until"]), backup):
        raise CommandError(f"{name} may not be purged: {obstacle[0]}", obstacle[1])


def entry_of(text: str, file: Path, name: str) -> tuple[int, dict[str, Any]]:
    """Index and content of a tenant's entry."""
    listed = yaml_lines.parse(text, file.name).content["tenants"]
    index = place_of([entry["name"] for entry in listed], name)
    return index, listed[index]


_MISSING = object()


def _value(entry: Any, path: YamlPath) -> Any:
    for step in path:
        if not isinstance(entry, dict) or step not in entry:
            return _MISSING
        entry = entry[step]
    return entry


def _options(
    tier: str | None,
    product: str | None,
    url: str | None,
    branch: str | None,
    tag: str | None,
    semver: str | None,
    commit: str | None,
    path: str | None,
    private: bool | None,
) -> list[tuple[YamlPath, Any]]:
    """The options that were given, by the keys that they set."""
    source = {"url": url, "branch": branch, "tag": tag, "semver": semver, "commit": commit, "path": path}
    values: list[tuple[YamlPath, Any]] = [(("tier",), tier), (("product",), product)]
    values += [(("source", key), value) for key, value in source.items()]
    return [(key, value) for key, value in [*values, (("source", "private"), private)] if value is not None]


def finish(
    name: str,
    verb: str,
    edit: Edit,
    file: Path,
    *,
    dry_run: bool,
    preview: bool,
    stack: str | None,
    pr: bool,
    as_json: bool,
) -> None:
    """Apply an edit in the way that the options say, and report it."""
    if preview and (dry_run or pr):
        other = "--dry-run" if dry_run else "--pr"
        remedy = (
            "The pull request's checks show a preview." if pr else "A preview needs the changed file: leave one out."
        )
        raise CommandError(f"--preview and {other} exclude each other", remedy)
    title, branch = f"tenants: {verb} {name}", f"saas/{verb}-{name}"
    body = f"By `./saas tenant {verb} {name}`. The preview lists what changes."
    done = changes.carry_out(edit, file, branch=branch, title=title, body=body, dry_run=dry_run, pr=pr)
    changes.report(done, f"{name}: nothing to change.", dry_run=dry_run, as_json=as_json, tenant=name)
    if preview:
        _run_preview(stack, sys.stderr if as_json else None)


def _run_preview(stack: str | None, output: Any) -> None:
    sys.stdout.flush()
    chosen, note = ["--stack", stack] if stack else [], " The file is changed already."
    if code := pulumi.run(CHECKOUT, "preview", *chosen, note=note, stdout=output).returncode:
        raise typer.Exit(code)


def _plain(listed: TenantList, index: int) -> Mapping[str, Any]:
    return listed.tenants[index].model_dump(by_alias=True, exclude_none=True)


def tenant_of(listed: TenantList, name: str) -> Tenant:
    """The tenant of this name."""
    return listed.tenants[_index(listed, name)]


def _index(listed: TenantList, name: str) -> int:
    return place_of([tenant.name for tenant in listed.tenants], name)


def place_of(names: Sequence[str], name: str) -> int:
    """The index of a tenant among all."""
    if name not in names:
        raise CommandError(f"there is no tenant {name!r}", suggestion(name, names) if names else "Add it first.")
    return names.index(name)
