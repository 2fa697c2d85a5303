"""`./saas keys …`: shows deploy keys, rotates them, and proves that Flux reads with them."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from cli import changes, effective, pulumi, tenants_file, yaml_edit
from cli.errors import CommandError
from cli.status import Kubeconfig, Kubectl
from cli.tenants import CHECKOUT, DryRun, File, Json, Pr, names_of_tenants
from cli.tenants_file import Check
from model.config import tenants, yaml_lines
from model.config.errors import InvalidConfigError, suggestion
from model.config.keys import by_hand, fingerprint
from model.config.stack import own_keys, project_name
from model.config.yaml_lines import YamlFile, YamlPath

app = typer.Typer(no_args_is_help=True, help="Show deploy keys, rotate them, and prove that Flux reads with them.")

Stack = Annotated[str | None, typer.Option(help="The stack; default: the selected one.")]
SOURCE = "gitrepositories.source.toolkit.fluxcd.io"
REQUESTED = "reconcile.fluxcd.io/requestedAt"


@app.command("list")
def list_(stack: Stack = None, as_json: Json = False) -> None:
    """List the deploy keys of a stack as its last update left them.

    \b
    ./saas keys list
    ./saas keys list --stack acme/prod-eu --json | jq -r '.[].fingerprint'
    """
    keys = _deployed(stack)
    if as_json:
        changes.print_json(keys)
        return
    table = effective.new_table("key", "access", "generation", "registered", "fingerprint")
    for name, key in keys.items():
        table.add_row(name, key["access"], str(key["generation"]), _registered(key), key["fingerprint"])
    effective.print_table(table)


def _registered(key: Mapping[str, Any]) -> str:
    if "title" in key:
        return key["title"]
    waiting = key["toRegister"] != key["generation"]
    return f"by hand; generation {key['toRegister']} is not confirmed yet" if waiting else "by hand"


@app.command()
def rotate(
    tenant: Annotated[str | None, typer.Argument(metavar="[TENANT]", autocompletion=names_of_tenants)] = None,
    product: Annotated[str | None, typer.Option(help="A product's keys, instead of a tenant's.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="All keys of a stack that it registers itself.")] = False,
    to: Annotated[int | None, typer.Option(min=1, help="The generation; default: the next one.")] = None,
    stack: Stack = None,
    file: File = CHECKOUT / "tenants.yaml",
    dry_run: DryRun = False,
    pr: Pr = False,
    as_json: Json = False,
) -> None:
    """Raise a keyGeneration, so that the next `pulumi up` makes new keys and withdraws the old ones.

    \b
    ./saas keys rotate tenant-001
    ./saas keys rotate --product shop --to 3        # the same again changes nothing
    ./saas keys rotate --all --stack prod-eu --pr
    """
    if (tenant is not None) + (product is not None) + everything != 1:
        raise CommandError("name one thing to rotate", "Write a tenant's name, --product NAME or --all.")
    check: Check = tenants.parse
    if everything:
        name = (stack or _pulumi("stack", "--show-name")).rpartition("/")[2]
        what, others = name, _by_hand(file)
        file = file.with_name(f"Pulumi.{name}.yaml")
        project = project_name(file.parent)
        check = partial(_stacks_generation, project=project)

        def place(content: Any) -> YamlPath:
            return ("config", f"{project}:keyGeneration")
    else:
        what, others = tenant or f"product-{product}", []

        def place(content: Any) -> YamlPath:
            if product is not None:
                return ("products", _known("product", product, [*(content.get("products") or {})]), "keyGeneration")
            names = [entry["name"] for entry in content["tenants"]]
            return ("tenants", names.index(_known("tenant", tenant or "", names)), "keyGeneration")

    edit = _raised(file.name, place, to)
    title, branch = f"keys: rotate {what}", f"saas/rotate-{what}"
    body = f"By `./saas keys rotate`. After the deployment, `./saas keys verify` proves that Flux reads with {what}'s."
    done = changes.carry_out(edit, file, branch=branch, title=title, body=body, dry_run=dry_run, pr=pr, check=check)
    changes.report(done, f"{what}: nothing to change.", dry_run=dry_run, as_json=as_json, byHand=others)
    if others and not as_json:
        typer.echo(
            f"Registered by hand, so not among them: {', '.join(others)}. Rotate each by its name (docs/keys.md)."
        )


def _raised(name: str, place: Callable[[Any], YamlPath], to: int | None) -> tenants_file.Edit:
    """The edit that raises a generation. It never lowers one: the key would have an old name, and be another one."""
    wanted = to

    def edit(text: str) -> str:
        # Of a pull request, the main branch's text comes first: its branch may have been raised already.
        nonlocal wanted
        content = yaml_lines.parse(text, name).content
        path = place(content)
        for step in path[:-1]:
            content = cast("Any", content[step] if isinstance(step, int) else (content or {}).get(step))
        current = int((content or {}).get(path[-1]) or 1)
        wanted = wanted or current + 1
        return text if current >= wanted else yaml_edit.set_value(text, path, wanted)

    return edit


def _stacks_generation(file: YamlFile, project: str) -> None:
    """Check that a stack's file has a number that can be raised; all else in it is the program's to validate."""
    written = own_keys(file, project)
    if file.content is None:
        raise InvalidConfigError([file.problem((), "is empty", "Write the stack's `config:` into it.")])
    number = written.content.get("keyGeneration")
    if number is not None and not str(number).isdecimal():
        problem = written.problem(("keyGeneration",), f"{number!r} is not a generation", "Write a number, such as 2.")
        raise InvalidConfigError([problem])


def _by_hand(file: Path) -> list[str]:
    """The tenants and products whose owners register their keys."""
    listed = tenants_file.load(file)
    return [
        f"--product {each.holder}" if each.shared else each.holder for each in listed.sources if by_hand(each.source)
    ]


@app.command()
def verify(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY]...", help="As `list` shows them; all by default.")
    ] = None,
    kubeconfig: Kubeconfig = None,
    stack: Stack = None,
    timeout: Annotated[int, typer.Option(help="How many seconds Flux may take.")] = 120,
    as_json: Json = False,
) -> None:
    """Prove that Flux reads every repository with the key of the stack's last update. Exits with 1 if not.

    \b
    ./saas keys verify
    ./saas keys verify tenant-001 product-shop
    """
    # Flux never reads with the image automation's keys, whose sources are suspended.
    readers = {name: key for name, key in _deployed(stack).items() if key["access"] == "read"}
    chosen = {_known("key", name, [*readers]): readers[name] for name in names} if names else readers
    found = unproven(Kubectl(kubeconfig), chosen, timeout)
    if as_json:
        changes.print_json({name: {"verified": not why, "reason": why} for name, why in found.items()})
    else:
        for name, why in found.items():
            typer.echo(f"{name}: {why or 'read with generation ' + str(chosen[name]['generation'])}")
    if any(found.values()):
        raise typer.Exit(1)


def unproven(api: Kubectl, keys: Mapping[str, Mapping[str, Any]], timeout: float) -> Mapping[str, str]:
    """Why Flux has not read with each key; empty if it has."""
    token = datetime.now(UTC).isoformat()
    found = {name: _requested(api, key, token) for name, key in keys.items()}
    waiting = [name for name, why in found.items() if why is None]
    deadline = time.monotonic() + timeout
    while waiting:
        found |= {name: _handled(api, keys[name], token) for name in waiting}
        waiting = [name for name, why in found.items() if why is None]
        if waiting and time.monotonic() > deadline:
            found |= dict.fromkeys(waiting, f"Flux has not fetched it within {timeout:g} s")
            break
        if waiting:
            time.sleep(0.5)
    return {name: why or "" for name, why in found.items()}


def _requested(api: Kubectl, key: Mapping[str, Any], token: str) -> str | None:
    """Ask Flux to fetch; why that would prove nothing, or None."""
    namespace, name = key["secret"].split("/")
    secret = api.get(f"/api/v1/namespaces/{namespace}/secrets/{name}")
    if secret is None:
        return f"the Secret {key['secret']} is missing: run `pulumi up`"
    if fingerprint(base64.b64decode(secret["data"]["identity.pub"]).decode()) != key["fingerprint"]:
        return f"the Secret {key['secret']} has another key than the stack: run `pulumi up`"
    api.annotate(SOURCE, namespace, name, REQUESTED, token)
    return None


def _handled(api: Kubectl, key: Mapping[str, Any], token: str) -> str | None:
    """Empty if Flux has fetched since the request, its message if that failed, None if it has not yet."""
    namespace, name = key["secret"].split("/")
    source = api.get(f"/apis/source.toolkit.fluxcd.io/v1/namespaces/{namespace}/gitrepositories/{name}") or {}
    status = source.get("status", {})
    ready = next((each for each in status.get("conditions", []) if each["type"] == "Ready"), {})
    current = status.get("observedGeneration") == source.get("metadata", {}).get("generation")
    if status.get("lastHandledReconcileAt") != token or not current or ready.get("status") not in ("True", "False"):
        return None
    return "" if ready["status"] == "True" else ready.get("message", "not ready")


def _deployed(stack: str | None) -> dict[str, dict[str, Any]]:
    """The stack's output `deployKeys`."""
    outputs = pulumi.outputs(CHECKOUT, stack)
    if "deployKeys" not in outputs:
        raise CommandError("the stack has no output deployKeys yet", "Run `pulumi up` once.")
    return outputs["deployKeys"]


def _pulumi(*arguments: str) -> str:
    done = pulumi.run(CHECKOUT, *arguments, capture_output=True)
    if done.returncode:
        raise CommandError(f"pulumi {' '.join(arguments)} failed:\n{done.stderr.strip()}", "Name it with --stack.")
    return done.stdout.strip()


def _known(kind: str, name: str, names: Sequence[str]) -> str:
    if name not in names:
        raise CommandError(f"there is no {kind} {name!r}", suggestion(name, names) if names else "The file has none.")
    return name
