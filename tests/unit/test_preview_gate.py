"""The preview gate, on the output of `pulumi preview --json`."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from pipeline import preview_gate
from pipeline.preview_gate import Limits, Verdict

ROOT = "urn:pulumi:prod-eu::saas-in-eks::"
STACK = f"{ROOT}pulumi:pulumi:Stack::saas-in-eks-prod-eu"
TENANT = "saas:tenant:TenantSpace"
NAMESPACE = "kubernetes:core/v1:Namespace"
SECRET = "kubernetes:core/v1:Secret"
NOTHING = Limits(deletes=0, replaces=0)
PLENTY = Limits(deletes=1000, replaces=1000)


def step(op: str, types: str, name: str, parent: str = STACK, kept: bool = False, **more: Any) -> Mapping[str, Any]:
    state = {"urn": f"{ROOT}{types}::{name}", "type": types.rpartition("$")[2], "parent": parent}
    # The engine leaves out an option that is off.
    state |= {"retainOnDelete": True} if kept else {}
    return {"op": op, "urn": state["urn"], "oldState" if op == "delete" else "newState": state, **more}


def inside(tenant: str, op: str, kind: str, name: str, **more: Any) -> Mapping[str, Any]:
    return step(op, f"{TENANT}${kind}", name, f"{ROOT}{TENANT}::{tenant}", **more)


def digest(*steps: Mapping[str, Any], diagnostics: Sequence[Mapping[str, str]] = (), **totals: int) -> str:
    root = {"op": "same", "urn": STACK, "newState": {"urn": STACK, "type": "pulumi:pulumi:Stack"}}
    counts = {**Counter(change["op"] for change in steps), "same": 5, **totals}
    return json.dumps({"steps": [root, *steps], "diagnostics": list(diagnostics), "changeSummary": counts})


def refusals(text: str, limits: Limits) -> Sequence[str]:
    return preview_gate.objections(preview_gate.read(text), limits)


def comment(text: str, limit: int = preview_gate.COMMENT_LIMIT) -> str:
    return preview_gate.comment(preview_gate.read(text), [], "prod-eu", limit)


def removed(tenant: str) -> Sequence[Mapping[str, Any]]:
    return [step("delete", TENANT, tenant), inside(tenant, "delete", NAMESPACE, tenant)]


def test_a_preview_that_only_adds_a_tenant_is_allowed() -> None:
    assert refusals(digest(step("create", TENANT, "new"), inside("new", "create", NAMESPACE, "new")), NOTHING) == []


def test_more_deletions_than_allowed_are_refused_and_as_many_are_not() -> None:
    text = digest(*removed("gone"))
    assert refusals(text, Limits(deletes=2, replaces=0)) == []
    (refusal,) = refusals(text, Limits(deletes=1, replaces=0))
    assert "delete 2 resources; 1 are allowed" in refusal


def test_replacements_are_counted_once_however_the_engine_lists_them() -> None:
    steps = [inside("alpha", op, SECRET, "flux") for op in ("create-replacement", "replace", "delete-replaced")]
    for listed in (steps, *([change] for change in steps)):
        preview = preview_gate.read(digest(*listed))
        assert preview.count("replace") == 1
        assert preview.count("delete") == preview.count("create") == 0
        (refusal,) = preview_gate.objections(preview, NOTHING)
        assert "replace 1 resources; 0 are allowed" in refusal


KEY, REGISTERED = "tls:index/privateKey:PrivateKey", "github:index/repositoryDeployKey:RepositoryDeployKey"
CREATED_FIRST = ("create-replacement", "replace", "delete-replaced")


def rotation(tenant: str, *steps: str, old: str = KEY, replaced: str = REGISTERED) -> list[Mapping[str, Any]]:
    keys = [inside(tenant, "create", KEY, f"{tenant}#2"), inside(tenant, "delete", old, tenant)]
    return [*keys, *(inside(tenant, op, replaced, tenant) for op in steps)]


def test_a_rotation_of_keys_has_no_limit() -> None:
    steps = [step for number in range(600) for step in rotation(f"tenant-{number}", *CREATED_FIRST)]
    assert refusals(digest(*steps), NOTHING) == []
    # What else goes is counted as ever.
    assert len(refusals(digest(*steps, *removed("gone"), inside("x", "replace", SECRET, "x")), NOTHING)) == 2


@pytest.mark.parametrize(
    "steps",
    [
        # The old registration would go first; a key without a successor; another key's successor; other resources.
        rotation("alpha", *reversed(CREATED_FIRST)),
        rotation("alpha")[1:],
        [rotation("alpha")[1], rotation("beta")[0]],
        rotation("alpha", old=NAMESPACE),
        rotation("alpha", *CREATED_FIRST, replaced="kubernetes:core/v1:PersistentVolumeClaim"),
    ],
)
def test_what_only_looks_like_a_rotation_is_counted(steps: list[Mapping[str, Any]]) -> None:
    assert len(refusals(digest(*steps), NOTHING)) == 1


def test_steps_that_change_only_the_state_are_not_listed() -> None:
    steps = [step(op, SECRET, "flux") for op in ("same", "read", "refresh", "remove-pending-replace")]
    assert preview_gate.read(digest(*steps)).changes == []


def test_a_change_that_the_engine_counted_but_did_not_list_counts() -> None:
    assert "delete 9 resources" in refusals(digest(delete=9), NOTHING)[0]


@pytest.mark.parametrize("kind", sorted(preview_gate.PROTECTED))
@pytest.mark.parametrize("op", ["delete", "replace"])
def test_protected_types_are_never_deleted_or_replaced(kind: str, op: str) -> None:
    (refusal,) = refusals(digest(step(op, f"saas:some:Component${kind}", "prod-eu")), PLENTY)
    assert f"{op} `{kind}` `prod-eu`" in refusal


def test_a_tenant_may_go_but_one_that_stays_keeps_its_namespace() -> None:
    assert refusals(digest(*removed("gone")), PLENTY) == []
    assert refusals(digest(inside("alpha", "replace", NAMESPACE, "alpha")), PLENTY) != []


@pytest.mark.parametrize(
    ("labels", "refused"),
    [
        ({"toolkit.fluxcd.io/tenant": "gone"}, True),
        ({"toolkit.fluxcd.io/tenant": "gone", "saas-in-eks.io/state": "suspended"}, True),
        ({"toolkit.fluxcd.io/tenant": "gone", "saas-in-eks.io/state": "leaving"}, False),
        ({"saas-in-eks.io/product": "shop"}, False),
    ],
)
def test_a_tenant_goes_only_if_it_was_leaving_before(labels: Mapping[str, str], refused: bool) -> None:
    change = inside("gone", "delete", NAMESPACE, "gone")
    text = digest({**change, "oldState": {**change["oldState"], "inputs": {"metadata": {"labels": labels}}}})
    found = refusals(text, preview_gate.USUAL)
    assert any("delete the tenant `gone`, which was not leaving" in refusal for refusal in found) == refused
    assert bool(found) == refused
    assert refusals(text, preview_gate.LARGE) == []


def test_a_tenant_with_its_own_user_pool_can_be_removed() -> None:
    pool = "saas:identity:TenantIdentity$saas:identity:Identity$aws:cognito/userPool:UserPool"
    text = digest(*removed("gone"), step("delete", pool, "gone", kept=True))
    assert refusals(text, Limits(deletes=3, replaces=0)) == []
    assert "- delete `aws:cognito/userPool:UserPool` `gone` (retained: leaves the state only)" in comment(text)
    assert refusals(text, Limits(deletes=2, replaces=0)), "it counts all the same"
    # Replaced, it would stay too, but the tenant's users would meet an empty one.
    assert refusals(digest(step("replace", pool, "stays", kept=True)), PLENTY)
    assert refusals(digest(step("delete", pool, "unprotected")), PLENTY)


def test_limits_hold_for_a_platform_and_its_shards_together(tmp_path: Path) -> None:
    half = [step("delete", SECRET, str(number)) for number in range(preview_gate.USUAL.deletes // 2)]
    files = [tmp_path / f"preview-{name}.json" for name in ("eu", "eu-1", "eu-2")]

    def verdict(*texts: str) -> int:
        for file, text in zip(files, texts, strict=True):
            file.write_text(text)
        return preview_gate.main([*map(str, files), "--stack", "eu", "--comment", str(tmp_path / "comment.md")])

    assert verdict(digest(), digest(*half), digest(*half)) == Verdict.ALLOWED
    assert "30 to delete" in (tmp_path / "comment.md").read_text()
    assert verdict(digest(step("delete", SECRET, "x")), digest(*half), digest(*half)) == Verdict.REFUSED
    assert verdict(digest(), digest(), "no preview") == Verdict.UNFINISHED


def test_the_list_has_deletions_first_then_replacements() -> None:
    text = comment(
        digest(
            inside("alpha", "create", NAMESPACE, "alpha"),
            inside("beta", "update", SECRET, "beta", diffReasons=["metadata"]),
            step("replace", "tls:index/privateKey:PrivateKey", "beta-key"),
            inside("zeta", "delete", NAMESPACE, "zeta"),
            step("import", "github:index/repository:Repository", "infra"),
        )
    )
    assert [line for line in text.splitlines() if line.startswith("- ")] == [
        "- delete `kubernetes:core/v1:Namespace` `zeta`",
        "- replace `tls:index/privateKey:PrivateKey` `beta-key`",
        "- update `kubernetes:core/v1:Secret` `beta` (`metadata`)",
        "- create `kubernetes:core/v1:Namespace` `alpha`",
        "- create `github:index/repository:Repository` `infra`",
    ]


def test_the_comment_names_properties_and_never_shows_a_value() -> None:
    secret = {"inputs": {"stringData": {"identity": "-----BEGIN PRIVATE KEY-----"}}, "parent": STACK}
    change = step("replace", SECRET, "key", replaceReasons=["stringData"], diffReasons=["stringData", "metadata"])
    failure = {"severity": "error", "message": "refused: s3cr3t-token"}
    text = comment(digest({**change, "newState": secret, "oldState": secret}, diagnostics=[failure]))
    assert "- replace `kubernetes:core/v1:Secret` `key` (`stringData`)" in text
    assert "PRIVATE KEY" not in text
    assert "s3cr3t" not in text


def test_a_name_cannot_end_its_line_or_mention_a_person() -> None:
    text = comment(digest(step("create", TENANT, "a` @everyone\n# b")))
    assert text.splitlines()[-1] == "- create `saas:tenant:TenantSpace` `a' @everyone?# b`"


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


def test_the_exit_code_is_the_verdict_and_a_comment_is_always_written(tmp_path: Path) -> None:
    code, said = run(tmp_path, digest(step("create", TENANT, "new")))
    assert (code, "allowed (1 to create" in said) == (Verdict.ALLOWED, True)
    many = [change for number in range(16) for change in removed(f"tenant-{number}")]
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
        '{"steps": [3]}',
        '{"steps": [{"op": "create"}], "changeSummary": {"create": 1}}',
        '{"steps": {"op": "create"}, "changeSummary": {"create": 1}}',
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
