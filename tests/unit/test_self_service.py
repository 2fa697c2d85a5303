"""Self-service: what a request may contain, what its text can reach, and which pull requests need a person."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from cli import __main__ as command_line
from model.config import tiers
from pipeline import self_service
from pipeline.self_service import RefusedError

CHECKOUT = Path(__file__).resolve().parents[2]
WORKFLOW = CHECKOUT / ".github" / "workflows" / "onboard.yaml"
PROPOSE = yaml.safe_load(WORKFLOW.read_text())["jobs"]["propose"]
ADD, JUDGE = (step for step in PROPOSE["steps"] if step.get("id") in ("add", "judge"))
FORM = yaml.safe_load((CHECKOUT / ".github" / "ISSUE_TEMPLATE" / "add-tenant.yaml").read_text())
TEXT = """\
defaults: &defaults
  interval: 1m0s
products:
  shop: {source: {url: "https://github.com/acme/shop", branch: main}}
tenants:
  - name: alpha   # the first
    tier: premium
    product: shop
  - name: beta
    product: shop
departed:
  - {name: gone, since: 2026-11-26, breakGlass: it was a test}
"""
BEFORE = "departed:\n"
ENTRY = "  - name: acme\n    tier: basic\n    product: shop\n"
VALUES = '  - name: acme\n    tier: premium\n    product: shop\n    values: {greeting: Guten Tag, replicas: "3"}\n'
ASKED = {"name": "acme", "tier": "basic", "product": "shop"}
URL = "https://github.com/acme/saas-in-eks/pull/7"


def with_entry(entry: str, before: str = BEFORE) -> str:
    return TEXT.replace(before, entry + before, 1)


def objections(after: str) -> list[str]:
    return list(self_service.objections(TEXT, after))


def test_one_entry_with_allowed_keys_needs_no_person() -> None:
    assert objections(with_entry(ENTRY)) == []
    assert objections(with_entry(VALUES)) == []
    assert objections(with_entry("\n" + ENTRY)) == []
    assert objections(with_entry(ENTRY, "  - name: beta\n")) == []
    assert list(self_service.objections(TEXT.replace("\n", "\r\n"), with_entry(ENTRY).replace("\n", "\r\n"))) == []


def test_what_the_command_writes_needs_no_person(tmp_path: Path) -> None:
    file = tmp_path / "tenants.yaml"
    for text in (TEXT, TEXT.rstrip(), TEXT[: TEXT.index(BEFORE)].rstrip()):
        file.write_text(text)
        values = {"greeting": "Guten Tag, Müller", "replicas": "3", "at": "2026-11-26", "on": "no"}
        arguments = self_service.command({**ASKED, "values": values})[1:]
        arguments.remove("--pr")
        end = arguments.index("--")
        result = CliRunner().invoke(command_line.app, [*arguments[:end], "--file", str(file), *arguments[end:]])
        assert result.exit_code == 0, result.output
        assert list(self_service.objections(text, file.read_text())) == []
        assert yaml.safe_load(file.read_text())["tenants"][-1] == {**ASKED, "values": values}


HOSTILE = {
    "nothing": TEXT,
    "a removed entry": TEXT.replace("  - name: beta\n    product: shop\n", ""),
    "another entry instead": TEXT.replace("name: beta", "name: acme"),
    "only a comment": with_entry("  # hello\n"),
    "only an empty line": with_entry("\n"),
    "a comment in it": with_entry(ENTRY.replace("basic", "basic # free")),
    "an anchor": with_entry(ENTRY.replace("name:", "&x name:")),
    "an anchor of a value": with_entry(ENTRY.replace("basic", "&x basic")),
    "an anchor that other entries name": with_entry(ENTRY.replace("- name", "- &defaults\n    name")),
    "an alias": with_entry(ENTRY.replace("basic", "*defaults")),
    "a merge key": with_entry(ENTRY + "    <<: *defaults\n"),
    "a merge key without an alias": with_entry(ENTRY + "    <<: {role: cluster-admin}\n"),
    "a tag": with_entry(ENTRY.replace("basic", "!!str basic")),
    "a python tag": with_entry(ENTRY.replace("basic", "!!python/object/apply:os.system [id]")),
    "another document": with_entry("---\n" + ENTRY),
    "a directive": with_entry("%TAG ! tag:yaml.org,2002:\n---\n" + ENTRY),
    "a second entry": with_entry(ENTRY + ENTRY.replace("acme", "other")),
    "a second entry elsewhere": with_entry(ENTRY).replace("products:\n", "products:\n  # x\n"),
    "a changed default": with_entry(ENTRY).replace("1m0s", "1s"),
    "a new default": TEXT.replace("products:\n", "  role: cluster-admin\nproducts:\n"),
    "a new tier": TEXT.replace("products:\n", "tiers: {basic: {role: admin}}\nproducts:\n"),
    "a new product": TEXT.replace("tenants:\n", "  other: {source: {url: x}}\ntenants:\n"),
    "a second list of tenants": TEXT + "tenants:\n" + ENTRY,
    "keys for the entry above": with_entry("    role: cluster-admin\n" + ENTRY),
    "an entry that takes the keys of the one below": with_entry(ENTRY, "    product: shop\n  - name: beta\n"),
    "an entry inside of another": TEXT.replace("    tier: premium\n", "    tier: premium\n" + ENTRY),
    "a departed tenant": TEXT + ENTRY,
    "a name that is taken": with_entry(ENTRY.replace("acme", "alpha")),
    "a departed tenant's name": with_entry(ENTRY.replace("acme", "gone")),
    "a key twice": with_entry(ENTRY + "    tier: premium\n"),
    "a number for a name": with_entry(ENTRY.replace("acme", "1234")),
    "a date for a value": with_entry(ENTRY + "    values: {day: 2026-11-26}\n"),
    "a mapping for a name": with_entry(ENTRY.replace("acme", "{a: b}")),
    "a mapping for a product": with_entry(ENTRY.replace("product: shop", "product: {a: b}")),
    "a mapping for a value": with_entry(ENTRY + "    values: {greeting: {a: b}}\n"),
    "a manifest in a value": with_entry(ENTRY + "    values: {greeting: 'x\", host: \"y'}\n"),
    "a variable in a value": with_entry(ENTRY + "    values: {greeting: '${other}'}\n"),
    "lines in a value": with_entry(ENTRY + '    values: {greeting: "a\\nb: c"}\n'),
    "a right-to-left character": with_entry(ENTRY.replace("acme", "ac\u202eme")),
    "a line end that YAML knows": with_entry(ENTRY.replace("basic\n", "basic\u2028    role: admin\n")),
    "such a line end after it": with_entry(ENTRY + "\u2028\n"),
    "nothing for values": with_entry(ENTRY + "    values:\n"),
    "an unknown product": with_entry(ENTRY.replace("shop", "other")),
    "another tier": with_entry(ENTRY.replace("basic", "gold")),
    "no tier": with_entry(ENTRY.replace("    tier: basic\n", "")),
    "deep nesting": with_entry("  - " + "[" * 500 + "\n"),
} | {
    f"the key {key}": with_entry(f"{ENTRY}    {key}: {value}\n")
    for key, value in {
        "breakGlass": "why not",
        "role": "cluster-admin",
        "adopt": "true",
        "source": "{url: https://github.com/evil/shop, branch: main}",
        "quota": "{pods: 1000}",
        "hosts": "[www.acme.example]",
        "patches": "[]",
        "images": "[]",
        "aws": "{}",
        "suspended": "{since: 2026-11-26, reason: x}",
        "leaving": "{since: 2026-11-26, until: 2026-11-26}",
        "pin": "{tag: v1, until: 2026-11-26}",
        "synthetic": "true",
    }.items()
}


@pytest.mark.parametrize("after", HOSTILE.values(), ids=HOSTILE)
def test_every_other_change_needs_a_person(after: str) -> None:
    assert objections(after)


def test_an_alias_of_the_whole_list_needs_a_person() -> None:
    before = TEXT.replace("tenants:\n", "tenants: &all\n").replace(BEFORE, f"again: *all\n{BEFORE}")
    after = before.replace("again", f"{ENTRY}again")
    assert list(self_service.objections(before, after)) == ["more than one entry of `tenants` changes"]


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Commits on top of a commit; returns the new one. The commit `main` has TEXT and another file."""
    for key in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{key}_NAME", "test")
        monkeypatch.setenv(f"GIT_{key}_EMAIL", "test@example.com")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.chdir(tmp_path)

    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], check=True, capture_output=True, text=True).stdout.strip()

    def commit(on: str, change: Callable[[], object]) -> str:
        git("checkout", "--quiet", "--detach", on)
        change()
        git("add", "--all")
        git("commit", "--quiet", "-m", "change")
        return git("rev-parse", "HEAD")

    git("init", "--quiet", "--initial-branch=main")
    Path("tenants.yaml").write_text(TEXT)
    Path("other").write_text("other")
    git("add", ".")
    git("commit", "--quiet", "-m", "first")
    return commit


def pull(head: str, **changed: Any) -> Mapping[str, Any]:
    author = {"is_bot": True, "login": "app/acme-onboarding"}
    return {"author": author, "baseRefName": "main", "headRefOid": head, "isCrossRepository": False, **changed}


def write(text: str) -> Callable[[], object]:
    return lambda: Path("tenants.yaml").write_text(text)


def test_a_pull_request_that_adds_one_entry_may_be_merged(
    repository: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_OUTPUT", "output")
    head = repository("main", write(with_entry(ENTRY)))
    on_main = repository("main", lambda: Path("other").write_text("others have merged meanwhile"))
    assert self_service.judge(pull(head), "app/acme-onboarding", on_main) == head
    (tmp_path / "pull.json").write_text(json.dumps(pull(head)))
    arguments = ["judge", "--pull", str(tmp_path / "pull.json"), "--base", on_main, "--author"]
    assert self_service.main([*arguments, "app/acme-onboarding"]) == 0
    assert self_service.main([*arguments, "app/other"]) == 1


def test_a_pull_request_of_somebody_else_needs_a_person(repository: Callable[..., str]) -> None:
    head = repository("main", write(with_entry(ENTRY)))
    for changed in (
        {"author": {"is_bot": False, "login": "acme-onboarding"}},
        {"isCrossRepository": True},
        {"baseRefName": "release"},
    ):
        with pytest.raises(RefusedError, match="the pull request is not"):
            self_service.judge(pull(head, **changed), "app/acme-onboarding", "main")


def link() -> None:
    Path("tenants.yaml").unlink()
    Path("tenants.yaml").symlink_to("other")


@pytest.mark.parametrize(
    "change",
    [
        lambda: Path("other").write_text("changed"),
        lambda: Path("new").write_text("new"),
        lambda: Path("other").unlink(),
        lambda: Path("tenants.yaml").chmod(0o755),
        lambda: Path("tenants.yaml").rename("Tenants.yaml"),
        link,
        lambda: shutil.copy("tenants.yaml", "tenants.yaml\n"),
    ],
    ids=["another file", "a new file", "a deleted file", "its mode", "its name", "a link", "a similar name"],
)
def test_a_change_of_anything_else_needs_a_person(repository: Callable[..., str], change: Callable[[], object]) -> None:
    def both() -> None:
        Path("tenants.yaml").write_text(with_entry(ENTRY))
        change()

    head = repository("main", both)
    with pytest.raises(RefusedError, match="changes more than the content"):
        self_service.judge(pull(head), "app/acme-onboarding", "main")


def test_the_branch_of_the_entry_counts_as_it_is_now(repository: Callable[..., str]) -> None:
    """A person pushes to the workflow's branch."""
    head = repository(repository("main", write(with_entry(ENTRY))), write(with_entry(ENTRY + "    role: admin\n")))
    with pytest.raises(RefusedError, match="no others"):
        self_service.judge(pull(head), "app/acme-onboarding", "main")


def issue(name: str = "acme", values: str = "_No response_") -> dict[str, Any]:
    answers = {"Name": name, "Tier": "basic", "Product": "shop", "Values": values}
    return {"issue": {"body": "\n\n".join(f"### {label}\n\n{answer}" for label, answer in answers.items())}}


def test_form_and_payload_become_the_same_entry() -> None:
    assert self_service.request(issue()) == ASKED
    assert self_service.request({"client_payload": ASKED}) == ASKED
    given = self_service.request(issue(values="greeting=Guten Tag\r\nurl = https://acme.example/a\n"))
    assert given["values"] == {"greeting": "Guten Tag", "url": "https://acme.example/a"}


def test_the_form_has_the_labels_and_tiers_that_the_program_reads() -> None:
    assert {field["attributes"]["label"]: field["id"] for field in FORM["body"]} == self_service.FIELDS
    (tier,) = [field for field in FORM["body"] if field["id"] == "tier"]
    assert tuple(tier["attributes"]["options"]) == self_service.TIERS
    assert {field["id"] for field in FORM["body"] if field.get("validations")} == set(self_service.REQUIRED)
    assert set(self_service.TIERS) <= set(tiers.BUILT_IN)
    assert f"github.event.issue.labels.*.name, '{FORM['labels'][0]}'" in PROPOSE["if"]


INJECTIONS = [
    "$(touch pwned)",
    "`touch pwned`",
    '"; touch pwned; "',
    "'; touch pwned; '",
    "acme\ntouch pwned",
    "a; touch pwned #",
    "${{ github.token }}",
    "--help",
    "--file=other.yaml",
    "-h",
    "::set-output name=pull::https://github.com/evil/evil/pull/1",
    "::add-mask::a",
    "acme\n\n### Tier\n\npremium",
    "acme\n### Role\n\ncluster-admin",
    "../../etc/passwd",
    "a: {b: c}",
    "acme\u2028x",
    "\u0430cme",
]
EVENTS = [
    *(issue(name=text) for text in INJECTIONS),
    *(issue(values=f"greeting={text}") for text in INJECTIONS if not self_service.VALUE.fullmatch(text)),
    *(issue(values=f"{text}=x") for text in INJECTIONS),
    *({"client_payload": {**ASKED, key: text}} for text in INJECTIONS for key in ("name", "tier", "product")),
    *({"client_payload": {**ASKED, "values": {text: "x"}}} for text in INJECTIONS),
    *({"client_payload": {**ASKED, text: "x"}} for text in INJECTIONS),
    {"client_payload": {**ASKED, "values": {"greeting": ["x"]}}},
    {"client_payload": {**ASKED, "values": {f"v{n}": "x" for n in range(100)}}},
    {"client_payload": {**ASKED, "name": ["acme"]}},
    {"client_payload": {**ASKED, "tier": {"basic": 1}}},
    {"client_payload": {**ASKED, "role": "cluster-admin"}},
    {"client_payload": [ASKED]},
    {"client_payload": None},
    {"issue": {"body": None}},
    {"issue": {"body": "please"}},
    {"issue": {"body": "please\n\n" + issue()["issue"]["body"]}},
]


@pytest.fixture
def step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs the workflow's own script for an event. `./saas` writes its arguments to a file."""
    (tmp_path / "pipeline").symlink_to(CHECKOUT / "pipeline")
    programs = {
        "gh": "exit 0",
        "saas": f"printf '%s\\0' \"$@\" > called; echo '{json.dumps({'pullRequest': URL})}'",
        ".venv/bin/python": f'exec {sys.executable} "$@"',
    }
    for name, script in programs.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)

    def run(event: Mapping[str, Any]) -> subprocess.CompletedProcess[str]:
        (tmp_path / "event.json").write_text(json.dumps(event))
        environment = {"GITHUB_EVENT_PATH": "event.json", "GITHUB_OUTPUT": "output", **ADD["env"]}
        return subprocess.run(
            ["bash", "-e", "-o", "pipefail", "-c", ADD["run"]],
            env=environment | {"PATH": f"{tmp_path}:{os.environ['PATH']}"},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def test_a_request_reaches_the_command_as_arguments(step: Callable[..., Any], tmp_path: Path) -> None:
    done = step(issue(values="one=- a: b, --pr\ntwo=::add-mask::a\nthree=--help"))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "called").read_text().split("\0")[:-1] == [
        *("tenant", "add", "--pr", "--json", "--tier=basic", "--product=shop"),
        *('--set=values.one="- a: b, --pr"', '--set=values.two="::add-mask::a"', '--set=values.three="--help"'),
        *("--", "acme"),
    ]
    assert (tmp_path / "output").read_text() == f"pull={URL}\n"
    assert done.stdout == done.stderr == ""


def test_hostile_requests_reach_no_shell_no_command_and_no_log(step: Callable[..., Any], tmp_path: Path) -> None:
    before = {*os.listdir(tmp_path), "event.json"}
    # One start of Python for each would take a minute: all are refused here, and some run as in the workflow.
    for event in EVENTS:
        with pytest.raises(RefusedError) as refused:
            self_service.request(event)
        assert not re.search(r"pwned|::|evil|passwd|cluster-admin", str(refused.value))
    for event in EVENTS[:: len(INJECTIONS)]:
        done = step(event)
        assert done.returncode == 1
        assert done.stdout == ""
        assert done.stderr.startswith("Refused:\n")
        assert {*os.listdir(tmp_path)} <= before, "neither `pwned` nor a call of ./saas"


def test_no_expression_with_text_of_a_request_is_in_a_step() -> None:
    untrusted = re.compile(r"client_payload|event\.issue\.(?!number|labels|author_association)|event\.(sender|comment)")
    for job in yaml.safe_load(WORKFLOW.read_text())["jobs"].values():
        assert not untrusted.search(json.dumps(job))
    assert untrusted.search("${{ github.event.issue.title }}")
    assert untrusted.search(WORKFLOW.read_text()), "the concurrency group, which no program reads"


def test_the_merge_is_bound_to_the_commit_that_was_judged() -> None:
    merged = PROPOSE["steps"][-1]
    assert JUDGE["env"]["AUTHOR"] == "app/${{ steps.app.outputs.app-slug }}"
    assert merged["if"] == "steps.judge.outputs.head != ''"
    assert merged["env"]["HEAD"] == "${{ steps.judge.outputs.head }}"
    assert '--match-head-commit "$HEAD"' in merged["run"]
    assert 'commit_id="$HEAD"' in merged["run"]
    assert "gh pr merge" not in "".join(step.get("run", "") for step in PROPOSE["steps"][:-1])


@pytest.mark.parametrize(("entry", "code"), [(ENTRY, 0), (ENTRY + "    role: admin\n", 1)])
def test_the_step_outputs_the_head_only_if_no_person_is_needed(
    repository: Callable[..., str], tmp_path: Path, entry: str, code: int
) -> None:
    head = repository("main", write(with_entry(entry)))
    clone = tmp_path / "clone"
    subprocess.run(["git", "update-ref", "refs/pull/7/head", head], check=True)
    subprocess.run(["git", "clone", "--quiet", "--no-local", "--branch=main", tmp_path, clone], check=True)
    (clone / "pipeline").symlink_to(CHECKOUT / "pipeline")
    scripts = {"gh": f"echo '{json.dumps(pull(head))}'", ".venv/bin/python": f'exec {sys.executable} "$@"'}
    for name, script in scripts.items():
        (clone / name).parent.mkdir(parents=True, exist_ok=True)
        (clone / name).write_text(f"#!/bin/sh\n{script}\n")
        (clone / name).chmod(0o755)
    environment = {"PATH": f"{clone}:{os.environ['PATH']}", "PULL": URL, "AUTHOR": "app/acme-onboarding"}
    command = ["bash", "-e", "-o", "pipefail", "-c", JUDGE["run"]]
    done = subprocess.run(command, cwd=clone, env=environment | {"GITHUB_OUTPUT": "output"}, capture_output=True)
    assert done.returncode == code, done.stderr
    assert (clone / "output").exists() == (code == 0)
    assert code or (clone / "output").read_text() == f"head={head}\n"
