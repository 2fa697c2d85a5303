"""The gate on pull requests' previews, given what `pulumi preview --json` prints."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from pipeline import preview_gate
from pipeline.preview_gate import Allowance, Verdict

ROOT = "urn:pulumi:prod-eu::saas-in-eks::"
STACK = f"{ROOT}pulumi:pulumi:Stack::saas-in-eks-prod-eu"
TENANT = "saas:tenant:TenantSpace"
NAMESPACE = "kubernetes:core/v1:Namespace"
SECRET = "kubernetes:core/v1:Secret"
NOTHING = Allowance(deletes=0, replaces=0)
PLENTY = Allowance(deletes=1000, replaces=1000)


def step(op: str, types: str, name: str, parent: str = STACK, kept: bool = False, **more: Any) -> Mapping[str, Any]:
    state = {"urn": f"{ROOT}{types}::{name}", "type": types.rpartition("$")[2], "parent": parent}
    # The engine leaves out what is not so.
    state |= {"retainOnDelete": True} if kept else {}
    return {"op": op, "urn": state["urn"], "oldState" if op == "delete" else "newState": state, **more}


def inside(tenant: str, op: str, kind: str, name: str, **more: Any) -> Mapping[str, Any]:
    return step(op, f"{TENANT}${kind}", name, f"{ROOT}{TENANT}::{tenant}", **more)


def digest(*steps: Mapping[str, Any], diagnostics: Sequence[Mapping[str, str]] = (), **totals: int) -> str:
    root = {"op": "same", "urn": STACK, "newState": {"urn": STACK, "type": "pulumi:pulumi:Stack"}}
    counts = {"same": 5, **totals}
    for one in steps:
        counts.setdefault(one["op"], sum(other["op"] == one["op"] for other in steps))
    return json.dumps({"steps": [root, *steps], "diagnostics": list(diagnostics), "changeSummary": counts})


def refusals(text: str, allowance: Allowance) -> Sequence[str]:
    return preview_gate.objections(preview_gate.read(text), allowance)


def comment(text: str, limit: int = preview_gate.COMMENT_LIMIT) -> str:
    return preview_gate.comment(preview_gate.read(text), [], "prod-eu", limit)


def removed(tenant: str) -> Sequence[Mapping[str, Any]]:
    return [step("delete", TENANT, tenant), inside(tenant, "delete", NAMESPACE, tenant)]


def test_a_preview_that_only_adds_a_tenant_is_allowed() -> None:
    assert refusals(digest(step("create", TENANT, "new"), inside("new", "create", NAMESPACE, "new")), NOTHING) == []


def test_more_deletions_than_allowed_are_refused_and_as_many_are_not() -> None:
    text = digest(*removed("gone"))
    assert refusals(text, Allowance(deletes=2, replaces=0)) == []
    (refusal,) = refusals(text, Allowance(deletes=1, replaces=0))
    assert "delete 2 resources; 1 are allowed" in refusal


def test_replacements_are_counted_once_however_the_engine_lists_them() -> None:
    steps = [inside("alpha", op, SECRET, "flux") for op in ("create-replacement", "replace", "delete-replaced")]
    for listed in (steps, *([one] for one in steps)):
        preview = preview_gate.read(digest(*listed))
        assert preview.count("replace") == 1
        assert preview.count("delete") == preview.count("create") == 0
        (refusal,) = preview_gate.objections(preview, NOTHING)
        assert "replace 1 resources; 0 are allowed" in refusal


def test_what_the_engine_counted_but_did_not_list_counts() -> None:
    assert "delete 9 resources" in refusals(digest(delete=9), NOTHING)[0]


@pytest.mark.parametrize("kind", sorted(preview_gate.PROTECTED))
@pytest.mark.parametrize("op", ["delete", "replace"])
def test_what_loses_data_goes_with_no_pull_request_whatever_is_allowed(kind: str, op: str) -> None:
    (refusal,) = refusals(digest(step(op, f"saas:some:Component${kind}", "prod-eu")), PLENTY)
    assert f"{op} `{kind}` `prod-eu`" in refusal


def test_a_tenant_may_go_but_one_that_stays_keeps_its_namespace() -> None:
    assert refusals(digest(*removed("gone")), PLENTY) == []
    assert refusals(digest(inside("alpha", "replace", NAMESPACE, "alpha")), PLENTY) != []


def test_a_tenant_with_users_of_its_own_may_go_because_they_stay() -> None:
    pool = "saas:identity:TenantIdentity$saas:identity:Identity$aws:cognito/userPool:UserPool"
    text = digest(*removed("gone"), step("delete", pool, "gone", kept=True))
    assert refusals(text, Allowance(deletes=3, replaces=0)) == []
    assert "- delete `aws:cognito/userPool:UserPool` `gone` (stays where it is, retained)" in comment(text)
    assert refusals(text, Allowance(deletes=2, replaces=0)), "it counts all the same"
    # Replaced, it would stay too, but the tenant's users would stand before an empty one.
    assert refusals(digest(step("replace", pool, "stays", kept=True)), PLENTY)
    assert refusals(digest(step("delete", pool, "unprotected")), PLENTY)


def test_the_table_has_a_row_for_each_component_and_the_most_dangerous_first() -> None:
    key = f"{TENANT}$saas:repository:DeployKey"
    text = comment(
        digest(
            step("create", TENANT, "alpha"),
            inside("alpha", "create", NAMESPACE, "alpha"),
            # Its tenant is as it was, so the preview lists only what is below.
            inside("beta", "update", SECRET, "flux"),
            step("replace", f"{key}$tls:index/privateKey:PrivateKey", "beta-key", f"{ROOT}{key}::beta"),
            *removed("zeta"),
            step("update", "pulumi:providers:kubernetes", "prod-eu"),
        )
    )
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    assert rows == [
        "| `TenantSpace zeta` |  |  |  | 2 |",
        "| `TenantSpace beta` |  | 1 | 1 |  |",
        "| `(stack)` |  | 1 |  |  |",
        "| `TenantSpace alpha` | 2 |  |  |  |",
    ]


def test_the_comment_names_what_forces_a_replacement_and_never_a_value() -> None:
    secret = {"inputs": {"stringData": {"identity": "-----BEGIN PRIVATE KEY-----"}}, "parent": STACK}
    one = step("replace", SECRET, "key", replaceReasons=["stringData"], diffReasons=["stringData", "metadata"])
    failure = {"severity": "error", "message": "refused: s3cr3t-token"}
    text = comment(digest({**one, "newState": secret, "oldState": secret}, diagnostics=[failure]))
    assert "- replace `kubernetes:core/v1:Secret` `key` (`stringData`)" in text
    assert "PRIVATE KEY" not in text
    assert "s3cr3t" not in text


def test_a_name_cannot_leave_its_cell_or_mention_anybody() -> None:
    text = comment(digest(step("create", TENANT, "a` | @everyone\n# b")))
    (row,) = [line for line in text.splitlines() if line.startswith("| `")]
    assert row == "| `TenantSpace a' \\| @everyone?# b` | 1 |  |  |  |"


def test_a_long_preview_is_cut_at_a_line_and_says_how_much_is_missing() -> None:
    text = comment(digest(*[step("create", TENANT, f"tenant-{number:04}") for number in range(2000)]))
    assert len(text) <= preview_gate.COMMENT_LIMIT
    kept, said = text.splitlines()[:-1], text.splitlines()[-1]
    whole = comment(digest(*[step("create", TENANT, f"tenant-{number:04}") for number in range(2000)]), 10**9)
    assert kept == whole.splitlines()[: len(kept)]
    assert f"{len(whole.splitlines()) - len(kept)} more lines" in said


def test_a_preview_without_changes_says_so() -> None:
    assert comment(digest()).splitlines()[1] == "### Preview of `prod-eu`: no changes"


def run(folder: Path, text: str | None, *arguments: str) -> tuple[int, str]:
    """The command as the workflow runs it: by path, with any Python, in any folder."""
    if text is not None:
        (folder / "preview.json").write_text(text)
    result = subprocess.run(
        [
            *(sys.executable, "-I", preview_gate.__file__, "preview.json"),
            *("--stack", "prod-eu", "--comment", "comment.md"),
            *arguments,
        ],
        cwd=folder,
        check=False,
        capture_output=True,
        text=True,
    )
    assert result.returncode in set(Verdict), result.stderr
    return result.returncode, (folder / "comment.md").read_text()


def test_the_exit_code_is_the_verdict_and_the_comment_is_written_in_any_case(tmp_path: Path) -> None:
    code, said = run(tmp_path, digest(step("create", TENANT, "new")))
    assert (code, "allowed (1 to create" in said) == (Verdict.ALLOWED, True)
    many = [one for number in range(16) for one in removed(f"tenant-{number}")]
    code, said = run(tmp_path, digest(*many))
    assert (code, "refused" in said) == (Verdict.REFUSED, True)
    assert run(tmp_path, digest(*many), "--large-change")[0] == Verdict.ALLOWED
    assert run(tmp_path, digest(*many[:30]))[0] == Verdict.ALLOWED


@pytest.mark.parametrize(
    "text",
    [
        # What the engine prints when the program fails: a summary of what was registered until then.
        digest(diagnostics=[{"severity": "error", "message": "Program failed"}]),
        '{"steps": []}',
        "error: no stack selected",
        "[]",
        "",
        None,
    ],
)
def test_a_preview_that_failed_never_passes(tmp_path: Path, text: str | None) -> None:
    code, said = run(tmp_path, text)
    assert code == Verdict.UNFINISHED
    assert "failed" in said.splitlines()[1]
