"""Preview gate: refuses a Pulumi preview that deletes or replaces too much, and writes the pull request's comment.

Reads the output of `pulumi preview --json`. Shows types, names and the names of properties, never a value, so no secret
can get into a comment. Needs Python alone: it runs before anything of the project is installed.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import Any

PROTECTED = frozenset(
    {
        # They hold what nothing brings back: every tenant's workloads, users, images, or the key to their data.
        "eks:index:Cluster",
        "aws:eks/cluster:Cluster",
        "aws:kms/key:Key",
        "aws:cognito/userPool:UserPool",
        "aws:ecr/repository:Repository",
        "aws:backup/vault:Vault",
        "aws:s3/bucket:Bucket",
        "aws:ec2/vpc:Vpc",
        "github:index/repository:Repository",
        # With it goes every object of the kind, in every tenant.
        "kubernetes:apiextensions.k8s.io/v1:CustomResourceDefinition",
    }
)
"""Types that no preview may delete or replace, at any limit. A retained one may leave the program."""
NEVER_REPLACED = PROTECTED | {
    # A tenant may go, but a tenant that stays may not lose its applications on the way.
    "kubernetes:core/v1:Namespace",
    "kubernetes:kustomize.toolkit.fluxcd.io/v1:Kustomization",
}

PRIVATE_KEY = "tls:index/privateKey:PrivateKey"
ROTATED = frozenset(
    {
        "github:index/repositoryDeployKey:RepositoryDeployKey",
        "kubernetes:core/v1:Secret",
        "kubernetes:notification.toolkit.fluxcd.io/v1:Receiver",
    }
)
"""What is replaced with a key, the new one first. A stack with a thousand tenants rotates as many at once."""

NAMESPACE = "kubernetes:core/v1:Namespace"
TENANT, STATE, LEAVING = "toolkit.fluxcd.io/tenant", "saas-in-eks.io/state", "leaving"
"""Labels of a tenant's namespace. `./saas tenant leave` comes before its deletion, and a whole update in between."""

COMMENT_LIMIT = 60_000
"""Characters; GitHub refuses more than 65,536."""
OPERATIONS = ("delete", "replace", "update", "create")
REPLACEMENT_STEPS = (
    *("replace", "create-replacement", "delete-replaced"),
    *("import-replacement", "read-replacement", "discard-replaced"),
)
"""The engine's steps of a replacement. It may list up to three of them for a resource; that is one replacement."""


class Verdict(IntEnum):
    """The exit code."""

    ALLOWED = 0
    REFUSED = 1
    UNFINISHED = 2
    """The preview failed, or the file does not hold a preview."""


@dataclass(frozen=True)
class Change:
    """A planned change of one resource: one of OPERATIONS, and the names of the properties that cause it."""

    operation: str
    type: str
    name: str
    properties: Sequence[str]
    retained: bool
    """Whether a deletion only removes it from the state (retainOnDelete)."""
    parent: str = ""
    """The URN of the component that it is in."""
    created_first: bool = False
    """Whether a replacement deletes the old one last."""
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    """Of a Kubernetes object."""

    @property
    def takes_a_tenant(self) -> bool:
        """Whether it deletes the namespace of a tenant that was not leaving, with all data."""
        kind = (self.operation, self.type) == ("delete", NAMESPACE)
        return kind and not self.retained and TENANT in self.labels and self.labels.get(STATE) != LEAVING


@dataclass(frozen=True)
class Preview:
    """The changes that a preview lists."""

    changes: Sequence[Change]
    finished: bool
    """Whether it got to its end; if not, more may change than is listed."""
    errors: Sequence[str]
    """The engine's errors. For the log only, where GitHub masks secrets."""
    totals: Mapping[str, int]
    """Operation -> number of resources, as the engine counted them."""

    def count(self, operation: str) -> int:
        """The number of resources: the engine's, where it counted more than it listed."""
        listed = sum(change.operation == operation for change in self.changes)
        return max(listed, self.totals.get(operation, 0))

    def rotated(self, operation: str) -> int:
        """The number of deletions or replacements that a new key of the same component succeeds."""
        renewed = {each.parent for each in self.changes if (each.operation, each.type) == ("create", PRIVATE_KEY)}
        return sum(
            change.operation == operation
            and change.parent in renewed
            and (change.type == PRIVATE_KEY or (change.type in ROTATED and change.created_first))
            for change in self.changes
        )


@dataclass(frozen=True)
class Limits:
    """How many resources a pull request, or a deployment, may delete and replace."""

    deletes: int
    replaces: int
    active_tenants: bool = False
    """Whether it may delete tenants that were not leaving."""


USUAL, LARGE = Limits(deletes=30, replaces=0), Limits(deletes=500, replaces=50, active_tenants=True)
"""Enough to remove a tenant; and the limits with the label `large-change`."""


def read(text: str) -> Preview:
    """Read the output of `pulumi preview --json`; anything else is an unfinished preview with an error."""
    try:
        document = json.loads(text)
        steps = document.get("steps") or [] if isinstance(document, dict) else None
        if not isinstance(steps, list) or not all(
            isinstance(step, dict) and {"urn", "op"} <= {*step} for step in steps
        ):
            raise ValueError("JSON, but without a preview's steps")
    except ValueError as error:
        return Preview([], False, [f"Not a preview: {error}. Look for the error of `pulumi preview` above."], {})
    changes: dict[str, Change] = {}
    first: dict[str, str] = {}
    for step in steps:
        urn, op = step["urn"], step["op"]
        operation = "replace" if op in REPLACEMENT_STEPS else "create" if op == "import" else op
        first.setdefault(urn, op)
        if operation in OPERATIONS and (operation == "replace" or urn not in changes):
            # The engine lists the steps in their order.
            changes[urn] = _change(urn, operation, step, created_first=first[urn] == "create-replacement")
    # The engine counts the three steps of a replacement apart; "replace" alone counts replacements.
    summary = document.get("changeSummary") or {}
    totals = {operation: summary[operation] for operation in OPERATIONS if operation in summary}
    # A program that fails still leaves a summary, of the resources registered until then.
    errors = [each["message"] for each in document.get("diagnostics") or [] if each.get("severity") == "error"]
    return Preview(list(changes.values()), bool(summary) and not errors, errors, totals)


def combined(previews: Sequence[Preview]) -> Preview:
    """The previews of a platform's stack and its shards as one: limits hold for all of them together."""
    return Preview(
        [change for preview in previews for change in preview.changes],
        all(preview.finished for preview in previews),
        [error for preview in previews for error in preview.errors],
        {operation: sum(preview.count(operation) for preview in previews) for operation in OPERATIONS},
    )


def _change(urn: str, operation: str, step: Mapping[str, Any], *, created_first: bool) -> Change:
    _, _, types, name = urn.split("::", 3)
    reasons = step.get("replaceReasons") if operation == "replace" else None
    # When the engine deletes a resource, it goes by the options in its state.
    retained = operation == "delete" and (step.get("oldState") or {}).get("retainOnDelete") is True
    state = step.get("oldState" if operation == "delete" else "newState") or {}
    metadata = (state.get("inputs") or {}).get("metadata") or {}
    return Change(
        operation,
        types.rpartition("$")[2],
        name,
        sorted(reasons or step.get("diffReasons") or ()),
        retained,
        state.get("parent") or "",
        created_first,
        metadata.get("labels") or {},
    )


def objections(preview: Preview, limits: Limits) -> Sequence[str]:
    """Why the preview must not be deployed, as Markdown; empty if it may."""
    found: list[str] = []
    for change in preview.changes:
        refused = {"delete": PROTECTED, "replace": NEVER_REPLACED}.get(change.operation, frozenset())
        if change.type in refused and not change.retained:
            what = f"{change.operation} {_code(change.type)} {_code(change.name)}"
            found.append(f"It would {what}. No deployment may do that; docs/aws.md says how to do it by hand.")
        if change.takes_a_tenant and not limits.active_tenants:
            found.append(
                f"It would delete the tenant {_code(change.name)}, which was not leaving, with all data. Run "
                "`./saas tenant leave`, deploy, and purge it later; or add the label `large-change`."
            )
    for operation, limit in (("delete", limits.deletes), ("replace", limits.replaces)):
        if (number := preview.count(operation) - preview.rotated(operation)) > limit:
            found.append(
                f"It would {operation} {number} resources; {limit} are allowed. If that is intended, add the label "
                "`large-change` to the pull request; docs/aws.md says how to raise the limit of a deployment."
            )
    return found


def comment(preview: Preview, refusals: Sequence[str], stack: str, limit: int = COMMENT_LIMIT) -> str:
    """The pull request's comment: verdict, refusals and changes, deletions first; never longer than `limit`."""
    lines = [marker(stack), f"### Preview of `{stack}`: {_headline(preview, refusals)}", ""]
    lines += [f"- {refusal}" for refusal in refusals]
    if not preview.finished:
        lines.append("- The preview failed before its end; the list is incomplete. The workflow's log has the error.")
    lines += ["", *_list(preview.changes)]
    size, kept = len("… 00000 more lines: the workflow's log has the whole preview.\n"), 0
    while kept < len(lines) and (size := size + len(lines[kept]) + 1) <= limit:
        kept += 1
    if kept < len(lines):
        lines[kept:] = [f"… {len(lines) - kept} more lines: the workflow's log has the whole preview."]
    return "\n".join(lines) + "\n"


def marker(stack: str) -> str:
    """The comment's first line, by which the next run finds it again."""
    return f"<!-- preview of {stack} -->"


def _headline(preview: Preview, refusals: Sequence[str]) -> str:
    if not preview.finished:
        return "failed"
    counts = [f"{preview.count(operation)} to {operation}" for operation in OPERATIONS if preview.count(operation)]
    return f"{'refused' if refusals else 'allowed'} ({', '.join(counts)})" if counts else "no changes"


def _list(changes: Sequence[Change]) -> Iterator[str]:
    for change in sorted(changes, key=lambda each: (OPERATIONS.index(each.operation), each.name, each.type)):
        why = f" ({', '.join(map(_code, change.properties))})" if change.properties else ""
        kept = " (retained: leaves the state only)" if change.retained else ""
        yield f"- {change.operation} {_code(change.type)} {_code(change.name)}{why}{kept}"


def _code(text: str) -> str:
    """Text as Markdown code: nothing in it ends the code or the line."""
    return "`" + re.sub(r"[^\x20-\x7e]", "?", text).replace("`", "'") + "`"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command: writes the comment, prints it in full and returns the verdict as the exit code."""
    parser = argparse.ArgumentParser(prog="preview_gate", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("previews", type=Path, nargs="+", help="outputs of `pulumi preview --json`, one for each stack")
    parser.add_argument("--stack", required=True)
    # The limits are not arguments: the gate that judges is the one on main, so no pull request raises its own.
    parser.add_argument(
        "--large-change", action="store_true", help=f"allow {LARGE.deletes} deletions, not {USUAL.deletes}"
    )
    parser.add_argument("--comment", type=Path, required=True, help="where to write the comment")
    options = parser.parse_args(arguments)
    preview = combined([read(path.read_text(errors="replace") if path.is_file() else "") for path in options.previews])
    refusals = objections(preview, LARGE if options.large_change else USUAL)
    options.comment.write_text(comment(preview, refusals, options.stack))
    print(comment(preview, refusals, options.stack, sys.maxsize), *preview.errors, sep="\n")
    if refusals:
        return Verdict.REFUSED
    return Verdict.ALLOWED if preview.finished else Verdict.UNFINISHED


if __name__ == "__main__":
    sys.exit(main())
