"""`./saas rollout merge-scheduled`: merges approved promotions whose ring is open; the workflow `windows` runs it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from copy import deepcopy
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from cli import changes
from cli.errors import CommandError
from cli.pull_request import gh, git
from cli.tenants import CHECKOUT, File, Json
from model import rollout
from model.config import tenants, yaml_lines
from model.config.errors import InvalidConfigError
from model.config.products import Product
from model.config.tenants import TenantList

BRANCH = "saas/scheduled-"
"""Branches of `./saas rollout promote --scheduled` begin with it."""
PROMOTED = {"ref", "previous", "reached"}
"""The keys of a ring that a promotion writes."""
FIELDS = "number,url,headRefName,headRefOid,baseRefName,isCrossRepository,isDraft,reviewDecision"
MOST = 100


def without_windows(product: Product, ring: str) -> Product:
    """A product in which a ring is open at all times."""
    rings = {**product.rings, ring: product.rings[ring].model_copy(update={"windows": []})}
    return product.model_copy(update={"rings": rings})


def merge_scheduled(
    base: Annotated[str, typer.Option(help="The commit of the main branch, as the remote has it.")] = "origin/main",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be merged, and merge nothing.")] = False,
    file: File = CHECKOUT / "tenants.yaml",
    as_json: Json = False,
) -> None:
    """Merge the approved pull requests of `promote --scheduled` whose ring has an open window.

    Each has to be approved and to change one ring's version only; windows, holds and refused versions are those of the
    main branch. Exits with 1 if GitHub refuses to merge one.

    \b
    ./saas rollout merge-scheduled --dry-run
    """
    folder, now = file.resolve().parent, _now()
    name = f"{git(folder, 'rev-parse', '--show-prefix').strip()}{file.name}"
    listed = json.loads(gh(folder, "pr", "list", "--state", "open", "--limit", str(MOST), "--json", FIELDS))
    asked = [pull for pull in listed if pull["headRefName"].startswith(BRANCH)]
    results: list[dict[str, Any]] = []
    for pull in sorted(asked, key=lambda pull: pull["number"]):
        reasons, error = list(obstacles(folder, base, name, pull, now)), None
        if not reasons and not dry_run:
            try:
                # Of this commit only: a later push is not what was approved.
                head = ("--match-head-commit", pull["headRefOid"])
                gh(folder, "pr", "merge", str(pull["number"]), "--squash", *head)
            except CommandError as refused:
                error = str(refused)
        merged = not (reasons or error or dry_run)
        results.append({"pullRequest": pull["url"], "merged": merged, "reasons": reasons, "error": error})
    if as_json:
        changes.print_json(results)
    for result in results if not as_json else ():
        waits = result["error"] or "; ".join(result["reasons"]) or "would be merged"
        typer.echo(f"{result['pullRequest']}: {'merged' if result['merged'] else waits}")
    if any(result["error"] for result in results):
        raise typer.Exit(1)


def _now() -> datetime:
    return datetime.now(UTC)


def obstacles(folder: Path, base: str, name: str, pull: Mapping[str, Any], now: datetime) -> Iterator[str]:
    """Why a pull request is not merged now."""
    if pull["isCrossRepository"] or pull["isDraft"] or pull["baseRefName"] != base.rpartition("/")[2]:
        yield "it is a draft, from a fork, or not for the main branch"
        return
    if pull["reviewDecision"] != "APPROVED":
        yield "it is not approved"
        return
    head = pull["headRefOid"]
    git(folder, "fetch", "--quiet", "--no-write-fetch-head", "origin", head)
    start = git(folder, "merge-base", base, head).strip()
    if git(folder, "diff", "--name-only", start, head).splitlines() != [name]:
        yield f"it changes more than {name}"
        return
    try:
        before, after, main = (_listed(folder, commit, name) for commit in (start, head, base))
    except InvalidConfigError as error:
        yield f"{name} is invalid: {error}"
        return
    found = promotion(before, after)
    if found is None:
        yield "it changes more than the version of one ring"
        return
    product, ring, tag = found
    if product not in main.products or ring not in main.products[product].rings:
        yield f"the main branch has no ring {ring} of {product} any more"
        return
    yield from rollout.closed_to(main.products[product], ring, tag, now)
    current = main.products[product].rings[ring].ref
    if reason := rollout.misfit(main.products[product], current.tag if current else None, tag):
        yield reason


def promotion(before: TenantList, after: TenantList) -> tuple[str, str, str] | None:
    """The product, ring and tag if a change is the promotion of one ring, and nothing else."""
    old, new = before.inheritance.file.content, after.inheritance.file.content
    for product, found in after.products.items():
        for ring, each in found.rings.items():
            expected = deepcopy(old)
            mine = expected.get("products", {}).get(product, {}).get("rings", {}).get(ring)
            theirs = new["products"][product]["rings"][ring]
            if mine is None or theirs is None or mine == theirs or each.ref is None or each.ref.tag is None:
                continue
            for key in PROMOTED:
                mine.pop(key, None)
            mine |= {key: value for key, value in theirs.items() if key in PROMOTED}
            if expected == new:
                return product, ring, each.ref.tag
    return None


def _listed(folder: Path, commit: str, name: str) -> TenantList:
    return tenants.parse(yaml_lines.parse(git(folder, "show", f"{commit}:{name}"), name))
