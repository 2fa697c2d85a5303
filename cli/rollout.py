"""`./saas rollout …`: shows what the rings of a product run, and moves them from version to version."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from cli import changes, effective, prometheus, scheduled_merges, tenants_file, yaml_edit
from cli.errors import CommandError
from cli.status import Kubeconfig, Kubectl
from cli.tenants import CHECKOUT, DryRun, File, Json, Pr, entry_of, listed_at
from cli.tenants_file import Edit
from model import rollout as model
from model.config import tenants, yaml_lines
from model.config.errors import suggestion
from model.config.images import VERSION
from model.config.products import Product
from model.config.rings import Ring
from model.config.tenants import TenantList
from model.kubernetes.products import unpinned_revision

app = typer.Typer(no_args_is_help=True, help="Show what the rings of a product run, and move them to other versions.")
app.command()(scheduled_merges.merge_scheduled)


def _names(context: typer.Context, incomplete: str) -> list[str]:
    """The products' names, for the shell's completion."""
    listed = listed_at(context)
    return [name for name in listed.products if name.startswith(incomplete)] if listed else []


Shared = Annotated[str, typer.Argument(metavar="PRODUCT", autocompletion=_names)]
InRing = Annotated[str, typer.Option("--ring", help="The ring whose version changes.")]
Name = Annotated[str, typer.Argument(metavar="TENANT")]
BreakGlass = Annotated[
    str | None, typer.Option(metavar="REASON", help="Whatever the gate says, for this reason, which the commit has.")
]


@app.command()
def status(
    product: Annotated[str | None, typer.Argument(metavar="PRODUCT", autocompletion=_names)] = None,
    file: File = CHECKOUT / "tenants.yaml",
    kubeconfig: Kubeconfig = None,
    as_json: Json = False,
) -> None:
    """Show what each ring should run, what its tenants run, and which of them fail.

    \b
    ./saas rollout status
    ./saas rollout status shop --json | jq '.[].failed[].name'
    """
    listed, api, now = tenants_file.load(file), Kubectl(kubeconfig), _now()
    names = [product] if product else [name for name, each in listed.products.items() if each.rings]
    found = [
        (name, state)
        for name in names
        for state in model.ring_states(name, _product(listed, name), listed.tenants, model.observe(api, name), now)
    ]
    if as_json:
        changes.print_json([{"product": name} | asdict(state) for name, state in found])
        return
    table = effective.new_table("product", "ring", "batch", "wanted", "at", "tenants", "pinned", "failed", "since")
    for name, state in found:
        counts = (str(state.tenants), str(state.pinned), str(len(state.failed)))
        table.add_row(name, state.ring, state.batch, state.wanted, _short(state.at), *counts, _moment(state.since))
    effective.print_table(table)
    for name, state in found:
        for failed in state.failed:
            typer.echo(f"{name} {state.ring}, {failed.name}: {failed.failure}")


@app.command()
def promote(
    product: Shared,
    ring: InRing,
    to: Annotated[str, typer.Option(metavar="TAG", help="The version, a tag of the product's repository.")],
    commit: Annotated[
        str | None, typer.Option(help="The tag's commit; default: asked of the cluster, else of the repository.")
    ] = None,
    break_glass: BreakGlass = None,
    scheduled: Annotated[
        bool,
        typer.Option("--scheduled", help="With --pr, outside of the ring's windows: it is merged in the next one."),
    ] = False,
    all_batches: Annotated[
        bool, typer.Option("--all-batches", help="With --break-glass: the whole ring, not its next batch only.")
    ] = False,
    prometheus_url: Annotated[
        str | None,
        typer.Option("--prometheus", envvar="PROMETHEUS_URL", help="Prometheus, for rings with `metrics`."),
    ] = None,
    file: File = CHECKOUT / "tenants.yaml",
    kubeconfig: Kubeconfig = None,
    dry_run: DryRun = False,
    pr: Pr = False,
    as_json: Json = False,
) -> None:
    """Let a version reach a ring, if it runs in the ring before. For the version that the ring has, nothing is done.

    In a ring with batches, each call lets it reach the next batch, if it runs in the one before.

    \b
    ./saas rollout promote shop --ring early --to v1.5.0 --pr
    ./saas rollout promote shop --ring broad --to v1.5.0 --pr --scheduled
    ./saas rollout promote shop --ring broad --to v1.5.1 --pr --break-glass 'v1.5.0 loses orders'
    """
    if scheduled and (break_glass or not pr):
        raise CommandError("--scheduled is about a pull request that can wait", "Write --pr, without --break-glass.")
    listed = tenants_file.load(file)
    own, current = _product(listed, product), _ring(listed, product, ring)
    going_on = model.under_way(own, ring, to)
    if all_batches and break_glass is None:
        raise CommandError("--all-batches skips the gates between batches", "Write --break-glass REASON too.")
    if (current.ref is None or current.ref.tag != to or going_on) and break_glass is None:
        windows = own if not scheduled else scheduled_merges.without_windows(own, ring)
        reasons = list(_reasons(listed, product, windows, ring, to, commit, kubeconfig, prometheus_url))
        if reasons:
            refusal = "".join(f"\n  - {reason}" for reason in reasons)
            remedy = "Wait, or write --break-glass REASON if it is worse not to."
            raise CommandError(f"{to} may not reach {ring} now:{refusal}", remedy)

    target = None if all_batches else model.next_reached(product, own, listed.tenants, ring, to)

    def edit(text: str) -> str:
        found = _raw_ring(text, file, product, ring)
        before, reached, previous = found.get("ref") or {}, found.get("reached"), found.get("previous")
        if before.get("tag") == to:
            # Only what was judged: the text may be that of the main branch, where others have gone on meanwhile.
            if not going_on or reached != current.reached:
                return text
            _check_data(own, previous, to)
            return with_reached(text)
        if reached and previous == to:
            message = f"{to} is the version of the batches that {before.get('tag')} has not reached"
            raise CommandError(message, f"Run `./saas rollout rollback {product} --ring {ring}`.")
        _check_data(own, before.get("tag"), to)
        text = _with_tag(text, product, ring, before, to)
        if reached:
            return _without(text, file, product, ring, "reached") if all_batches else text
        text = with_reached(text)
        if "tag" in before:
            return yaml_edit.set_value(text, (*_place(product, ring), "previous"), before["tag"])
        if target:
            message = f"{ring} runs no tag, which its later batches would keep"
            raise CommandError(message, f"Write it below products.{product}.rings.{ring}.ref as `tag:`.")
        return _without(text, file, product, ring, "previous")

    def with_reached(text: str) -> str:
        if target:
            return yaml_edit.set_value(text, (*_place(product, ring), "reached"), target)
        return _without(text, file, product, ring, "reached")

    _finish(
        f"{product}: {ring} to {to}" + (f", {target} of it" if target else ""),
        f"{'scheduled' if scheduled else 'promote'}-{product}-{ring}",
        edit,
        file,
        dry_run=dry_run,
        pr=pr,
        as_json=as_json,
        trailer=f"Break-glass: {' '.join(break_glass.split())}" if break_glass else "",
    )


@app.command()
def rollback(
    product: Shared,
    ring: InRing,
    to: Annotated[
        str | None, typer.Option(metavar="TAG", help="The version to go back to; default: the one before.")
    ] = None,
    hold_images: Annotated[
        str | None,
        typer.Option(
            metavar="VERSION", help="The version of the images; of the first ring, by default that of the tag."
        ),
    ] = None,
    file: File = CHECKOUT / "tenants.yaml",
    dry_run: DryRun = False,
    pr: Pr = False,
    as_json: Json = False,
) -> None:
    """Go back to the version before, and refuse the other one from now on. Other rings stay as they are.

    All batches of the ring go back.

    Of the first ring, image automation is held too: it would commit the newest version again.

    \b
    ./saas rollout rollback shop --ring early --pr
    ./saas rollout rollback shop --ring canary --to v1.4.2 --pr
    """
    listed = tenants_file.load(file)
    own, _ = _product(listed, product), _ring(listed, product, ring)
    held = own.automation is not None and ring == own.first_ring

    def edit(text: str) -> str:
        current = _raw_ring(text, file, product, ring)
        before, refused = current.get("ref") or {}, current.get("refused") or []
        target = to or current.get("previous")
        if target is None and refused:
            return text  # it was rolled back before
        if target is None:
            raise CommandError(f"the version that {ring} had before is not known", "Name it with --to TAG.")
        if before.get("tag") == target:
            return text
        _check_data(own, before.get("tag"), target)
        if "reached" in current and target != current.get("previous"):
            _check_data(own, current.get("previous"), target)
        if "tag" in before and before["tag"] not in refused:
            text = yaml_edit.set_value(text, (*_place(product, ring), "refused"), [*refused, before["tag"]])
        text = _with_tag(text, product, ring, before, target)
        for key in ("previous", "reached"):
            text = _without(text, file, product, ring, key)
        return yaml_edit.set_value(text, ("products", product, "automation", "hold"), version(target)) if held else text

    def version(tag: str) -> str:
        found = hold_images or tag.removeprefix("v")
        if hold_images is None and not VERSION.fullmatch(found):
            message = f"{tag} does not say which version of the images to hold"
            raise CommandError(message, "Name it with --hold-images VERSION.")
        return found

    _finish(
        f"{product}: {ring} back to {to or 'the version before'}",
        f"rollback-{product}-{ring}",
        edit,
        file,
        dry_run=dry_run,
        pr=pr,
        as_json=as_json,
    )


@app.command()
def hold(
    product: Shared,
    ring: InRing,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why, for who wants to promote.")],
    file: File = CHECKOUT / "tenants.yaml",
    dry_run: DryRun = False,
    pr: Pr = False,
    as_json: Json = False,
) -> None:
    """Let no version reach a ring until it is released. What it runs stays as it is.

    \b
    ./saas rollout hold shop --ring broad --reason 'the fair is until Friday' --pr
    """
    _ring(tenants_file.load(file), product, ring)

    def edit(text: str) -> str:
        if _raw_ring(text, file, product, ring).get("hold") == reason:
            return text
        return yaml_edit.set_value(text, (*_place(product, ring), "hold"), reason)

    title, branch = f"{product}: hold {ring}", f"hold-{product}-{ring}"
    _finish(title, branch, edit, file, dry_run=dry_run, pr=pr, as_json=as_json)


@app.command()
def release(
    product: Shared,
    ring: InRing,
    file: File = CHECKOUT / "tenants.yaml",
    dry_run: DryRun = False,
    pr: Pr = False,
    as_json: Json = False,
) -> None:
    """Let versions reach a ring again; of the first ring, image automation goes on too.

    \b
    ./saas rollout release shop --ring broad --pr
    """
    own = _product(listed := tenants_file.load(file), product)
    _ring(listed, product, ring)

    def edit(text: str) -> str:
        text = _without(text, file, product, ring, "hold")
        automation = yaml_lines.parse(text, file.name).content["products"][product].get("automation") or {}
        if ring == own.first_ring and "hold" in automation:
            text = yaml_edit.remove(text, ("products", product, "automation", "hold"))
        return text

    title, branch = f"{product}: release {ring}", f"release-{product}-{ring}"
    _finish(title, branch, edit, file, dry_run=dry_run, pr=pr, as_json=as_json)


@app.command()
def pin(
    name: Name,
    tag: Annotated[str, typer.Option(help="The version that it keeps.")],
    until: Annotated[str, typer.Option(metavar="DATE", help="The last day, such as 2027-01-31.")],
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why, such as a contract.")],
    file: File = CHECKOUT / "tenants.yaml",
    dry_run: DryRun = False,
    pr: Pr = False,
    as_json: Json = False,
) -> None:
    """Keep a tenant at a version until a day, whatever its ring runs.

    \b
    ./saas rollout pin acme --tag v1.3.9 --until 2027-01-31 --reason 'contract 4711' --pr
    """
    wanted = {"tag": tag, "until": until, "reason": reason}
    if re.fullmatch(r"\d{4}-\d\d-\d\d", until) and until < _now().date().isoformat():
        raise CommandError(f"{until} is over", "Write a later day.")

    def edit(text: str) -> str:
        index, entry = entry_of(text, file, name)
        found = entry.get("pin")
        if isinstance(found, dict) and {key: str(value) for key, value in found.items()} == wanted:
            return text
        _check_tenants_data(text, file, name, tag)
        return yaml_edit.set_value(text, ("tenants", index, "pin"), wanted | {"until": _as_date(until)})

    _finish(f"tenants: pin {name} to {tag}", f"pin-{name}", edit, file, dry_run=dry_run, pr=pr, as_json=as_json)


@app.command()
def unpin(
    name: Name,
    file: File = CHECKOUT / "tenants.yaml",
    dry_run: DryRun = False,
    pr: Pr = False,
    as_json: Json = False,
) -> None:
    """Let a tenant run what its ring runs.

    \b
    ./saas rollout unpin acme --pr
    """

    def edit(text: str) -> str:
        index, entry = entry_of(text, file, name)
        if "pin" not in entry:
            return text
        _check_tenants_data(text, file, name, None)
        return yaml_edit.remove(text, ("tenants", index, "pin"))

    _finish(f"tenants: unpin {name}", f"unpin-{name}", edit, file, dry_run=dry_run, pr=pr, as_json=as_json)


def _now() -> datetime:
    return datetime.now(UTC)


def _reasons(
    listed: TenantList,
    name: str,
    product: Product,
    ring: str,
    tag: str,
    commit: str | None,
    kubeconfig: Path | None,
    url: str | None,
) -> Iterator[str]:
    """Why a version may not reach a ring now."""
    now = _now()
    yield from model.closed_to(product, ring, tag, now)
    if product.rings[ring].after is None:
        return
    measured: Mapping[str, float] = {}
    if metrics := product.rings[ring].metrics:
        if url is None:
            raise CommandError(f"{ring} has metrics, which Prometheus answers", prometheus.REMEDY)
        measured = prometheus.query(url, metrics.about(model.judged(name, product, listed.tenants, ring, tag)))
    observed = model.observe(Kubectl(kubeconfig), name)
    found = commit or model.known_commit(tag, observed) or _remote_commit(product.source.url, tag)
    asked = {"ring": ring, "tag": tag, "commit": found}
    yield from model.gate(name, product, listed.tenants, observed, **asked, now=now, measured=measured)


def _remote_commit(url: str, tag: str) -> str:
    # The second is the commit of a tag with a message of its own.
    wanted = [f"refs/tags/{tag}", f"refs/tags/{tag}^{{}}"]
    done = subprocess.run(["git", "ls-remote", url, *wanted], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = done.stderr.strip().splitlines() or ["git said nothing"]
        raise CommandError(f"{url} cannot be read: {said[-1]}", "Name the tag's commit with --commit.")
    commits = {name: commit for commit, _, name in (line.partition("\t") for line in done.stdout.splitlines())}
    found = commits.get(wanted[1]) or commits.get(wanted[0])
    if found is None:
        raise CommandError(f"{url} has no tag {tag}", "Push it first.")
    return found


def _product(listed: TenantList, name: str) -> Product:
    if name not in listed.products:
        known = suggestion(name, listed.products) if listed.products else "Define products below `products:`."
        raise CommandError(f"there is no product {name!r}", known)
    if not listed.products[name].rings:
        raise CommandError(f"the product {name} has no rings", f"Define them below products.{name}.rings.")
    return listed.products[name]


def _ring(listed: TenantList, product: str, name: str) -> Ring:
    rings = _product(listed, product).rings
    if name not in rings:
        raise CommandError(f"{product} has no ring {name!r}", suggestion(name, rings))
    return rings[name]


def _check_data(product: Product, current: str | None, tag: str) -> None:
    """Refuses a version that cannot read the data of the current one, whatever the emergency."""
    if reason := model.misfit(product, current, tag):
        raise CommandError(reason, "Choose a later version, or restore older data and change `rollbackTo` first.")


def _check_tenants_data(text: str, file: Path, name: str, pinned: str | None) -> None:
    """The same for a tenant that is pinned to a version, or to none."""
    listed = tenants.parse(yaml_lines.parse(text, file.name))
    tenant = next(tenant for tenant in listed.tenants if tenant.name == name)
    if product := listed.products.get(tenant.product or ""):
        rings = unpinned_revision(tenant.product or "", product, tenant).reference.get("tag")
        current, wanted = tenant.pin.tag if tenant.pin else rings, pinned or rings
        if wanted and wanted != current:
            _check_data(product, current, wanted)


def _place(product: str, ring: str) -> tuple[str, ...]:
    return "products", product, "rings", ring


def _raw_ring(text: str, file: Path, product: str, ring: str) -> dict[str, Any]:
    """The ring as it is written; the text may be another one than that of the file."""
    content = yaml_lines.parse(text, file.name).content
    found = content.get("products", {}).get(product, {}).get("rings", {})
    if ring not in found:
        raise CommandError(f"{product} has no ring {ring!r}", "Another change has removed it.")
    return found[ring] or {}


def _with_tag(text: str, product: str, ring: str, before: dict[str, Any], tag: str) -> str:
    place = (*_place(product, ring), "ref")
    return (
        yaml_edit.set_value(text, (*place, "tag"), tag)
        if "tag" in before
        else yaml_edit.set_value(text, place, {"tag": tag})
    )


def _without(text: str, file: Path, product: str, ring: str, key: str) -> str:
    found = key in _raw_ring(text, file, product, ring)
    return yaml_edit.remove(text, (*_place(product, ring), key)) if found else text


def _as_date(text: str) -> Any:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return text  # refused by the model, at its line


def _finish(
    title: str,
    branch: str,
    edit: Edit,
    file: Path,
    *,
    dry_run: bool,
    pr: bool,
    as_json: bool,
    trailer: str = "",
) -> None:
    """Apply an edit in the way that the options say, and report it."""
    message = f"{title}\n\n{trailer}".rstrip()
    body = f"By `./saas rollout`. The preview lists what changes.\n\n{trailer}".rstrip()
    done = changes.carry_out(
        edit, file, branch=f"saas/{branch}", title=title, body=body, dry_run=dry_run, pr=pr, trailer=trailer
    )
    changes.report(done, "nothing to change.", dry_run=dry_run, as_json=as_json, message=message)
    if trailer and done.change.changed and not done.url and not as_json:
        typer.echo(f"Commit it with this message:\n\n{message}")


def _short(revision: str) -> str:
    name, _, commit = revision.partition("@sha1:")
    return f"{name}@{commit[:8]}" if commit else revision


def _moment(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC" if moment else ""
