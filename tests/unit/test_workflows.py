"""The workflows: no static AWS keys, least privilege, pinned actions, gates before any change."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from local import lint_workflows
from pipeline import preview_gate

CHECKOUT = Path(__file__).resolve().parents[2]
WORKFLOWS = {path.stem: path for path in sorted((CHECKOUT / ".github" / "workflows").glob("*.y*ml"))}
Workflow = Mapping[str, Any]


def parse(path: Path) -> Workflow:
    # YAML 1.1 reads the key `on` as true.
    content = yaml.safe_load(path.read_text())
    return {("on" if key is True else key): value for key, value in content.items()}


def jobs() -> Iterator[Any]:
    for name, path in WORKFLOWS.items():
        for job, content in parse(path)["jobs"].items():
            yield pytest.param(content, id=f"{name}-{job}")


def steps(job: Workflow, action: str) -> list[Workflow]:
    return [step for step in job["steps"] if step.get("uses", "").startswith(f"{action}@")]


def place(job: Workflow, text: str) -> int:
    """The number of the step that runs or uses something."""
    return next(number for number, step in enumerate(job["steps"]) if text in f"{step.get('uses')} {step.get('run')}")


PREVIEW = parse(WORKFLOWS["preview"])["jobs"]["preview"]
DEPLOY = parse(WORKFLOWS["deploy"])["jobs"]["deploy"]
DEPLOYMENTS = yaml.safe_load((CHECKOUT / "Pulumi.prod-eu.deploy.yaml").read_text())["settings"]
EVERY_JOB = pytest.mark.parametrize("job", list(jobs()))


def test_the_workflows_are_these() -> None:
    assert set(WORKFLOWS) == {"check", "preview", "drift", "deploy", "onboard", "rotate-keys", "windows"}


def test_actionlint_finds_nothing_here_and_would_find_something(tmp_path: Path) -> None:
    assert lint_workflows.main() == 0
    text = WORKFLOWS["preview"].read_text()
    (tmp_path / "preview.yaml").write_text(text.replace("github.run_id", "github.run_identity"))
    assert lint_workflows.main(tmp_path) == 1


@pytest.mark.parametrize("name", WORKFLOWS)
def test_no_static_key_of_aws_or_pulumi_is_used(name: str) -> None:
    text = WORKFLOWS[name].read_text()
    assert not re.search(r"AWS_(SECRET_)?ACCESS_KEY|AWS_SESSION_TOKEN|aws-(secret-)?access-key|AKIA[A-Z0-9]", text)
    assert "secrets.PULUMI_ACCESS_TOKEN" not in text
    # Keys of GitHub Apps are the only secrets; nothing else is to be kept or rotated.
    apps = {"onboard": {"ONBOARD_APP_KEY", "ONBOARD_REVIEWER_KEY"}, "windows": {"ONBOARD_APP_KEY"}}
    assert set(re.findall(r"secrets\.(\w+)", text)) <= apps.get(name, {"PLATFORM_APP_KEY"})


@pytest.mark.parametrize("name", WORKFLOWS)
def test_a_workflow_has_no_permissions_of_its_own_only_its_jobs_have(name: str) -> None:
    assert parse(WORKFLOWS[name])["permissions"] == {}


PROPOSES = {"contents", "pull-requests"}
"""Rights of a job that pushes a branch and opens a pull request for it."""


APP_TOKEN = "actions/create-github-app-token"


@EVERY_JOB
def test_a_job_with_an_aws_role_may_write_nothing_on_github(job: Workflow) -> None:
    rights = job["permissions"]
    assert isinstance(rights, dict)
    writes = {right for right, level in rights.items() if level == "write"}
    assert writes in (set(), {"id-token"}, {"pull-requests"}, {"issues"}, PROPOSES)
    assert bool(steps(job, "aws-actions/configure-aws-credentials")) == ("id-token" in writes)
    # An environment says who may run it; the roles trust nothing else, and an App's key is nowhere else.
    assert ("id-token" in writes or bool(steps(job, APP_TOKEN))) == ("environment" in job)
    assert job["timeout-minutes"] > 0


@EVERY_JOB
def test_every_action_is_pinned_to_a_commit_and_names_its_version(job: Workflow) -> None:
    text = "\n".join(path.read_text() for path in WORKFLOWS.values())
    for step in job["steps"]:
        if uses := step.get("uses"):
            assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", uses)
            assert re.search(rf"uses: {uses} # v\d+\.\d+\.\d+$", text, re.MULTILINE)


@pytest.mark.parametrize("name", WORKFLOWS)
def test_an_action_is_the_same_version_everywhere(name: str) -> None:
    everywhere = dict(re.findall(r"uses: (\S+)@(\S+)", "\n".join(path.read_text() for path in WORKFLOWS.values())))
    here = re.findall(r"uses: (\S+)@(\S+)", WORKFLOWS[name].read_text())
    assert [(action, commit) for action, commit in here if everywhere[action] != commit] == []


@EVERY_JOB
def test_a_checkout_leaves_no_token_behind(job: Workflow) -> None:
    assert all(step["with"]["persist-credentials"] is False for step in steps(job, "actions/checkout"))


def test_each_workflow_has_a_role_and_an_environment_of_its_own() -> None:
    found = {}
    for name, job in {"preview": "preview", "drift": "detect", "deploy": "deploy"}.items():
        content = parse(WORKFLOWS[name])["jobs"][job]
        (login,) = steps(content, "aws-actions/configure-aws-credentials")
        found[name] = (content["environment"], login["with"]["role-to-assume"])
    assert found == {
        "preview": ("prod-eu-preview", "${{ vars.AWS_PREVIEW_ROLE_ARN }}"),
        "drift": ("prod-eu-drift", "${{ vars.AWS_DRIFT_ROLE_ARN }}"),
        "deploy": ("prod-eu", "${{ vars.AWS_DEPLOY_ROLE_ARN }}"),
    }


def test_only_a_preview_runs_unmerged_code() -> None:
    for name, path in WORKFLOWS.items():
        triggers = parse(path)["on"]
        assert "pull_request_target" not in triggers
        assert "workflow_run" not in triggers
        if "pull_request" not in triggers:
            (acting,) = [
                job
                for job in parse(path)["jobs"].values()
                if "environment" in job or job["permissions"].get("contents") == "write"
            ]
            assert "github.ref == 'refs/heads/main'" in acting["if"], name
    assert "github.event.pull_request.head.repo.full_name == github.repository" in PREVIEW["if"]


def test_only_main_proposes_a_rotation_and_installs_before_it_has_the_token() -> None:
    (job,) = parse(WORKFLOWS["rotate-keys"])["jobs"].values()
    assert {right for right, level in job["permissions"].items() if level == "write"} == PROPOSES
    assert "pull_request" not in parse(WORKFLOWS["rotate-keys"])["on"]
    assert place(job, "make .venv/installed") < place(job, "./saas keys rotate --all")
    assert [bool(step.get("env")) for step in job["steps"]] == [False, False, False, True]


def test_only_main_proposes_a_tenant_with_few_rights_and_installs_before_it_has_the_token() -> None:
    job = parse(WORKFLOWS["onboard"])["jobs"]["propose"]
    assert "github.ref == 'refs/heads/main'" in job["if"]
    assert place(job, "make .venv/installed") < place(job, APP_TOKEN) < place(job, "self_service.py add")
    proposer, reviewer = (step["with"] for step in steps(job, APP_TOKEN))
    rights = [{key for key in token if key.startswith("permission-")} for token in (proposer, reviewer)]
    assert rights == [{"permission-contents", "permission-pull-requests"}, {"permission-pull-requests"}]
    assert proposer["private-key"] != reviewer["private-key"], "an App cannot approve what it has opened"
    assert job["permissions"] == {"contents": "read"}
    assert (job["environment"], "ref" in steps(job, "actions/checkout")[0]["with"]) == ("onboarding", False)


def test_promotions_are_merged_by_the_command_of_main_which_is_installed_before_there_is_a_token() -> None:
    (job,) = parse(WORKFLOWS["windows"])["jobs"].values()
    assert job["permissions"] == {"contents": "read"}
    assert "ref" not in steps(job, "actions/checkout")[0]["with"]
    assert place(job, "make .venv/installed") < place(job, APP_TOKEN) < place(job, "./saas rollout merge-scheduled")
    (token,) = steps(job, APP_TOKEN)
    rights = {key for key in token["with"] if key.startswith("permission-")}
    assert rights == {"permission-contents", "permission-pull-requests"}
    assert parse(WORKFLOWS["windows"])["concurrency"] == {"group": "windows", "cancel-in-progress": False}


@pytest.mark.parametrize("name", ["preview", "drift", "deploy"])
def test_packages_are_installed_before_there_are_credentials(name: str) -> None:
    (job,) = [job for job in parse(WORKFLOWS[name])["jobs"].values() if "environment" in job]
    for install in ("pulumi install", *(["make"] if name != "drift" else [])):
        assert place(job, install) < place(job, "configure-aws-credentials")
        assert place(job, install) < place(job, "pulumi/auth-actions")


def test_a_pull_request_is_checked_by_gate_and_policy_pack_of_main() -> None:
    (gate,) = [step for step in steps(PREVIEW, "actions/checkout") if "ref" in step["with"]]
    assert gate["with"]["ref"] == "${{ github.event.pull_request.base.sha }}"
    assert gate["with"]["sparse-checkout"].split() == ["pipeline"]
    folder = gate["with"]["path"]
    judged = PREVIEW["steps"][place(PREVIEW, "preview_gate.py")]
    assert f"{folder}/pipeline/preview_gate.py" in judged["run"]
    assert Path(preview_gate.__file__).relative_to(CHECKOUT) == Path("pipeline/preview_gate.py")
    assert f"make -C {folder} policy" in PREVIEW["steps"][place(PREVIEW, "make")]["run"]
    ruled = PREVIEW["steps"][place(PREVIEW, "--policy-pack")]
    assert policies(ruled["run"]) == (f"{folder}/pipeline/policy", f"{folder}/pipeline/policy/exceptions.json")


def policies(command: str) -> tuple[str, str]:
    """The pack that a command runs, and its exceptions."""
    (found,) = re.findall(r"--policy-pack (\S+) --policy-pack-config (\S+)", command)
    return found


def test_a_deployment_passes_gate_and_policy_pack_before_it_changes() -> None:
    order = [place(DEPLOY, text) for text in ("make policy", "preview --stack", "preview_gate.py", "pulumi up")]
    assert order == sorted(order)
    judged, change = DEPLOY["steps"][order[2]], DEPLOY["steps"][order[3]]
    # A step without `if` runs only after all others succeeded.
    assert "if" not in change
    assert "continue-on-error" not in judged
    assert policies(change["run"]) == ("pipeline/policy", "pipeline/policy/exceptions.json")
    assert "--skip-preview" not in change["run"], "the pack would see the first resources when they are made"


def test_shards_are_previewed_at_once_and_deployed_after_their_platform() -> None:
    orders = {
        name: re.findall(r"pipeline/stacks.py ([\w-]+) .*?pulumi (\w+) --stack \{stack\}", path.read_text())
        for name, path in WORKFLOWS.items()
    }
    assert {name: found for name, found in orders.items() if found} == {
        "preview": [("at-once", "preview"), ("at-once", "preview")],
        "drift": [("at-once", "preview")],
        "deploy": [("at-once", "preview"), ("platform-first", "up")],
    }
    scripts = [step["run"] for step in PREVIEW["steps"] if "stacks.py" in step.get("run", "")]
    assert all("python3 -I .gate/pipeline/stacks.py" in script for script in scripts), "in the version of main"


def large_changes_allowed(folder: Path, asked: str, labels: str) -> str:
    """The outputs of the job `limits`, given the labels that GitHub answers."""
    (folder / "gh").write_text(f"#!/bin/sh\nprintf '{labels}'\n")
    (folder / "gh").chmod(0o755)
    (step,) = parse(WORKFLOWS["deploy"])["jobs"]["limits"]["steps"]
    output = folder / "output"
    output.write_text("")
    path = f"{folder}:{os.environ['PATH']}"
    environment = {"PATH": path, "PULLS": "x", "ASKED": asked, "GITHUB_OUTPUT": str(output)}
    subprocess.run(["bash", "-e", "-o", "pipefail", "-c", step["run"]], env=environment, check=True)
    return output.read_text()


def test_a_deployment_has_the_limits_of_its_pull_request(tmp_path: Path) -> None:
    assert large_changes_allowed(tmp_path, "", "") == ""
    assert large_changes_allowed(tmp_path, "", "not-a-large-change\nbug\n") == ""
    assert large_changes_allowed(tmp_path, "", "bug\nlarge-change\n") == "large=true\n"
    assert large_changes_allowed(tmp_path, "true", "") == "large=true\n"
    judged = DEPLOY["steps"][place(DEPLOY, "preview_gate.py")]
    assert judged["env"]["LARGE"] == "${{ needs.limits.outputs.large }}"


def test_only_the_deploy_workflow_runs_pulumi_up() -> None:
    commands = {name: re.findall(r"\bpulumi (\w+) --stack.*", path.read_text()) for name, path in WORKFLOWS.items()}
    assert commands == {
        "check": [],
        "preview": ["preview", "preview"],
        "drift": ["preview"],
        "deploy": ["preview", "up"],
        "onboard": [],
        "rotate-keys": [],
        "windows": [],
    }
    assert "--refresh --expect-no-changes" in WORKFLOWS["drift"].read_text()


ENTRY = dict[str, Any]
SETTINGS: ENTRY = {
    "tag": str,
    "agentPoolID": str,
    "executorContext": {"workingDirectory": str, "executorImage": {"reference": str}, "executorRootPath": str},
    "sourceContext": {"git": {"repoUrl": str, "branch": str, "repoDir": str, "commit": str}},
    "gitHub": {
        "repository": str,
        "pullRequestTemplate": bool,
        "deployCommits": bool,
        "previewPullRequests": bool,
        "deployPullRequest": int,
        "paths": list,
    },
    "operationContext": {
        "oidc": {"aws": {"duration": str, "policyArns": list, "roleArn": str, "sessionName": str}},
        "preRunCommands": list,
        "environmentVariables": dict,
        "options": {
            "skipInstallDependencies": bool,
            "skipIntermediateDeployments": bool,
            "shell": str,
            "deleteAfterDestroy": bool,
            "remediateIfDriftDetected": bool,
        },
    },
}
"""Deployment settings in the Pulumi CLI (apitype.DeploymentSettings in 3.274), without secrets."""


def unknown_settings(settings: ENTRY, known: ENTRY) -> list[str]:
    """Keys that the CLI would ignore silently, and values that it could not read."""
    found: list[str] = []
    for key, value in settings.items():
        kind = known.get(key, "unknown")
        if isinstance(kind, dict) and isinstance(value, dict):
            found += [f"{key}.{item}" for item in unknown_settings(value, kind)]
        elif isinstance(kind, dict) or kind == "unknown" or not isinstance(value, kind):
            found.append(key)
    return found


def test_one_tenants_failure_does_not_stop_the_others() -> None:
    assert "--continue-on-error" in DEPLOY["steps"][place(DEPLOY, "pulumi up")]["run"]
    assert DEPLOYMENTS["operationContext"]["environmentVariables"]["PULUMI_CONTINUE_ON_ERROR"] == "true"


def test_pulumi_knows_every_deployment_setting() -> None:
    assert unknown_settings(DEPLOYMENTS, SETTINGS) == []
    assert unknown_settings({"operationContext": {"preRunCommand": []}}, SETTINGS) == ["operationContext.preRunCommand"]


def test_pulumi_deployments_change_nothing_that_gate_or_policies_refuse(tmp_path: Path) -> None:
    install, rule, gate = DEPLOYMENTS["operationContext"]["preRunCommands"]
    assert install.endswith("make policy")
    assert policies(rule) == ("pipeline/policy", "pipeline/policy/exceptions.json")
    (tmp_path / "pulumi").write_text(f"#!/bin/sh\necho '{json.dumps({'changeSummary': {'delete': 31}})}'\n")
    (tmp_path / "pulumi").chmod(0o755)

    def code(**environment: str) -> int:
        path = f"{tmp_path}:{os.environ['PATH']}"
        command = gate.replace("/tmp/", f"{tmp_path}/")
        return subprocess.run(["sh", "-c", command], cwd=CHECKOUT, env={"PATH": path, **environment}).returncode

    assert code() == preview_gate.Verdict.REFUSED
    assert code(LARGE_CHANGE="--large-change") == preview_gate.Verdict.ALLOWED


def test_a_deployment_is_never_interrupted_by_the_next() -> None:
    assert parse(WORKFLOWS["deploy"])["concurrency"] == {"group": "deploy", "cancel-in-progress": False}


@EVERY_JOB
def test_no_expression_is_expanded_inside_a_script(job: Workflow) -> None:
    for step in job["steps"]:
        assert "${{" not in step.get("run", "")


@EVERY_JOB
def test_every_script_parses_in_bash(job: Workflow) -> None:
    for step in job["steps"]:
        if script := step.get("run"):
            read = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True, check=False)
            assert read.returncode == 0, read.stderr


def test_the_comment_is_found_again_by_the_marker_of_the_gate() -> None:
    assert preview_gate.marker("prod-eu") in WORKFLOWS["preview"].read_text()
