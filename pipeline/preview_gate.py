"""Judges a preview, a pull request's or a deployment's: what it would delete or replace, as a comment and an exit code.

Reads what `pulumi preview --json` printed. Only types, names and the names of properties are shown, never a value,
so no secret can get into a comment. Needs Python alone: it runs before anything of the project is installed.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any

PROTECTED = frozenset(
    {
        # What is lost with it: every tenant's workloads, users, images, or the key to their data.
        "eks:index:Cluster",
        "aws:eks/cluster:Cluster",
        "aws:kms/key:Key",
        "aws:cognito/userPool:UserPool",
        "aws:ecr/repository:Repository",
        "aws:ec2/vpc:Vpc",
        "github:index/repository:Repository",
        # Every object of the kind, in every tenant.
        "kubernetes:apiextensions.k8s.io/v1:CustomResourceDefinition",
    }
)
"""Types that nothing merged deletes or replaces, whatever it is allowed. What is retained may leave the program."""
NEVER_REPLACED = PROTECTED | {
    # A tenant may go, but a tenant that stays may not lose its applications on the way.
    "kubernetes:core/v1:Namespace",
    "kubernetes:kustomize.toolkit.fluxcd.io/v1:Kustomization",
}

COMMENT_LIMIT = 60_000
"""Characters; GitHub refuses more than 65,536."""
OPERATIONS = ("create", "update", "replace", "delete")
_OPERATION = {
    "import": "create",
    "create-replacement": "replace",
    "delete-replaced": "replace",
    "import-replacement": "replace",
    "read-replacement": "replace",
    "discard-replaced": "replace",
    **{operation: operation for operation in OPERATIONS},
}


class Verdict(IntEnum):
    """The exit code."""

    ALLOWED = 0
    REFUSED = 1
    UNFINISHED = 2
    """The preview failed, or what it printed is not a preview."""


class UnreadableError(Exception):
    """The file is not what `pulumi preview --json` prints; the message says what to do."""


@dataclass(frozen=True)
class Change:
    """What would happen to one resource."""

    operation: str
    """One of OPERATIONS."""
    type: str
    name: str
    component: str
    """The component, such as a tenant, that it belongs to."""
    properties: tuple[str, ...]
    """Names of the properties that change, or that force the replacement."""
    retained: bool = False
    """Whether it is deleted from the state only, and stays where it is (retainOnDelete)."""


@dataclass(frozen=True)
class Preview:
    """What a preview announces."""

    changes: Sequence[Change]
    finished: bool
    """Whether it got to its end; if not, more may change than is listed."""
    errors: Sequence[str]
    """What the engine said went wrong. For the log only, where GitHub masks secrets."""
    totals: Mapping[str, int]
    """Operation -> how many resources, as the engine itself counted them."""

    def count(self, operation: str) -> int:
        """How many resources; where the engine counted more than it listed, what it counted."""
        listed = sum(change.operation == operation for change in self.changes)
        return max(listed, self.totals.get(operation, 0))


@dataclass(frozen=True)
class Allowance:
    """How much one pull request, or one deployment, may delete and replace."""

    deletes: int
    replaces: int


USUAL, LARGE = Allowance(deletes=30, replaces=0), Allowance(deletes=500, replaces=50)
"""A tenant, and what somebody said yes to with the label `large-change`."""


def read(text: str) -> Preview:
    """Read what `pulumi preview --json` printed. Raises UnreadableError."""
    try:
        digest = json.loads(text)
    except ValueError as error:
        raise UnreadableError(f"not JSON ({error})") from None
    if not isinstance(digest, dict) or not isinstance(digest.get("steps") or [], list):
        raise UnreadableError("JSON, but without a preview's steps")
    steps: list[Mapping[str, Any]] = digest.get("steps") or []
    parents = {step["urn"]: _state(step).get("parent", "") for step in steps}
    # A replacement may be listed as up to three steps of one resource; it is one replacement.
    changes: dict[str, Change] = {}
    for step in steps:
        operation = _OPERATION.get(step["op"])
        if operation is None or (step["urn"] in changes and operation != "replace"):
            continue
        types, name = _parts(step["urn"])
        reasons = step.get("replaceReasons") if operation == "replace" else None
        properties = tuple(sorted(reasons or step.get("diffReasons") or ()))
        component = _component(step["urn"], parents)
        # What the engine goes by when it deletes is what it noted when it made the resource.
        retained = operation == "delete" and (step.get("oldState") or {}).get("retainOnDelete") is True
        changes[step["urn"]] = Change(operation, types[-1], name, component, properties, retained)
    totals: Counter[str] = Counter()
    for operation, number in (digest.get("changeSummary") or {}).items():
        # The engine counts the three steps of a replacement apart; only the one that stands for all is taken.
        if operation in OPERATIONS:
            totals[operation] += number
    # A program that fails still leaves a summary, of what had been registered until then.
    errors = [one["message"] for one in digest.get("diagnostics") or [] if one.get("severity") == "error"]
    return Preview(list(changes.values()), bool(digest.get("changeSummary")) and not errors, errors, totals)


def _state(step: Mapping[str, Any]) -> Mapping[str, Any]:
    return step.get("newState") or step.get("oldState") or {}


def _parts(urn: str) -> tuple[Sequence[str], str]:
    """The types from the outermost ancestor's to the resource's own, and the resource's name."""
    _, _, types, name = urn.split("::", 3)
    return types.split("$"), name


def _component(urn: str, parents: Mapping[str, str]) -> str:
    """The outermost component that is known; ancestors that do not change are known by their children only."""
    outermost, (types, name) = urn, _parts(urn)
    while parent := parents.get(outermost, ""):
        ancestors, ancestor = _parts(parent)
        if ancestors[-1] == "pulumi:pulumi:Stack":
            break
        outermost, name = parent, ancestor
    if len(types) == 1 and outermost == urn and not types[0].startswith("saas:"):
        return "(stack)"
    return f"{types[0].rpartition(':')[2]} {name}"


def objections(preview: Preview, allowance: Allowance) -> Sequence[str]:
    """Why the preview must not be merged as it is, as Markdown; empty if it may."""
    found: list[str] = []
    for change in preview.changes:
        refused = {"delete": PROTECTED, "replace": NEVER_REPLACED}.get(change.operation, frozenset())
        if change.type in refused and not change.retained:
            what = f"{change.operation} {_code(change.type)} {_code(change.name)}"
            found.append(f"It would {what}. Nothing merged may do that; docs/aws.md tells how it is done by hand.")
    for operation, allowed in (("delete", allowance.deletes), ("replace", allowance.replaces)):
        if (number := preview.count(operation)) > allowed:
            found.append(
                f"It would {operation} {number} resources; {allowed} are allowed. If that is meant, the label "
                "`large-change` on the pull request raises the limit; for a deployment, docs/aws.md tells what does."
            )
    return found


def comment(preview: Preview, refusals: Sequence[str], stack: str, limit: int = COMMENT_LIMIT) -> str:
    """The comment's text: verdict, table by component, what goes and what changes; never longer than `limit`."""
    lines = [marker(stack), f"### Preview of `{stack}`: {_headline(preview, refusals)}", ""]
    lines += [f"- {refusal}" for refusal in refusals]
    if not preview.finished:
        lines += ["- The preview failed before its end. The workflow's log has its error; what follows is incomplete."]
    if preview.changes:
        lines += ["", *_table(preview.changes), "", *_list(preview.changes)]
    return _shortened(lines, limit)


def marker(stack: str) -> str:
    """The first line, by which the next run finds the comment again."""
    return f"<!-- preview of {stack} -->"


def _headline(preview: Preview, refusals: Sequence[str]) -> str:
    if not preview.finished:
        return "failed"
    if not any(preview.count(operation) for operation in OPERATIONS):
        return "no changes"
    counts = ", ".join(f"{preview.count(operation)} to {operation}" for operation in OPERATIONS)
    return f"{'refused' if refusals else 'allowed'} ({counts})"


def _table(changes: Iterable[Change]) -> Sequence[str]:
    rows: dict[str, Counter[str]] = {}
    for change in changes:
        rows.setdefault(change.component, Counter())[change.operation] += 1
    # What deletes or replaces most comes first: it is what a reviewer has to see if the table is cut.
    ordered = sorted(rows.items(), key=lambda row: (-row[1]["delete"] - row[1]["replace"], row[0]))
    head = ["| component | " + " | ".join(OPERATIONS) + " |", "|---|" + "--:|" * len(OPERATIONS)]
    body = [
        f"| {_code(component)} | " + " | ".join(str(row[operation] or "") for operation in OPERATIONS) + " |"
        for component, row in ordered
    ]
    return [*head, *body]


def _list(changes: Sequence[Change]) -> Iterable[str]:
    for operation in reversed(OPERATIONS):
        for change in sorted(changes, key=lambda one: (one.component, one.type, one.name)):
            if change.operation == operation:
                why = f" ({', '.join(map(_code, change.properties))})" if change.properties else ""
                why += " (stays where it is, retained)" if change.retained else ""
                yield f"- {operation} {_code(change.type)} {_code(change.name)}{why}"


def _code(text: str) -> str:
    """Text as Markdown code in a table: nothing in it ends the code, the cell or the line."""
    return "`" + re.sub(r"[^\x20-\x7e]", "?", text).replace("`", "'").replace("|", "\\|") + "`"


def _shortened(lines: Sequence[str], limit: int) -> str:
    """As many whole lines as fit, and how many are missing."""
    whole = "\n".join(lines) + "\n"
    if len(whole) <= limit:
        return whole
    rest = "\n… {} more lines: the workflow's log has the whole preview.\n"
    kept, length = 0, len(rest.format(len(lines)))
    while kept < len(lines) and length + len(lines[kept]) + 1 <= limit:
        length += len(lines[kept]) + 1
        kept += 1
    return "\n".join(lines[:kept]) + rest.format(len(lines) - kept)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command: writes the comment, says the verdict and returns it as the exit code."""
    parser = argparse.ArgumentParser(prog="preview_gate", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("preview", type=Path, help="what `pulumi preview --json` printed")
    parser.add_argument("--stack", required=True)
    # No numbers: the judge is the one on main, so no pull request changes them for itself.
    parser.add_argument(
        "--large-change", action="store_true", help=f"allow {LARGE.deletes} deletions, not {USUAL.deletes}"
    )
    parser.add_argument("--comment", type=Path, required=True, help="where to write the comment")
    options = parser.parse_args(arguments)
    try:
        preview = read(options.preview.read_text())
    except (OSError, UnreadableError) as error:
        reason = f"{options.preview} cannot be read: {error}. Look for the error of `pulumi preview` above."
        print(reason, file=sys.stderr)
        options.comment.write_text(
            f"{marker(options.stack)}\n### Preview of `{options.stack}`: failed\n\n"
            "- The preview failed before it announced anything. The workflow's log has its error.\n"
        )
        return Verdict.UNFINISHED
    refusals = objections(preview, LARGE if options.large_change else USUAL)
    options.comment.write_text(comment(preview, refusals, options.stack))
    print(comment(preview, refusals, options.stack, sys.maxsize), *preview.errors, sep="\n")
    if refusals:
        return Verdict.REFUSED
    return Verdict.ALLOWED if preview.finished else Verdict.UNFINISHED


if __name__ == "__main__":
    sys.exit(main())
