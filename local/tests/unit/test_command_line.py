"""`make rehearse` and the others: a mistake ends in one clear answer and exit code 1, without a traceback."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import yaml

from local import __main__ as command
from local import controlplane, platform, processes, rehearsal
from local.home import PROJECT, Home
from local.pki import Authority
from model.config import aws, stack, tenants, yaml_lines
from model.config.base import validate
from model.config.yaml_lines import YamlFile

Run = Callable[..., str]
FILES = ("Pulumi.yaml", "Pulumi.prod-eu.yaml", "tenants.yaml", "__main__.py", "pyproject.toml", "tenants.schema.json")
STACK = "Pulumi.prod-eu.yaml"
NO_CLUSTER = f"{STACK} has no cluster with Auto Mode"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command that has to fail, on a platform that is not started; returns what it prints."""

    def call(*arguments: str) -> str:
        monkeypatch.setattr("sys.argv", ["local", *arguments])
        assert command.main() == 1
        return " ".join(capsys.readouterr().out.split())

    monkeypatch.setattr(Home, "default", lambda: Home(tmp_path / "home").create())
    monkeypatch.setattr(platform, "start", lambda *_: None)
    return call


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project that a rehearsal is to copy."""
    folder = tmp_path / "project"
    folder.mkdir()
    for name in FILES:
        shutil.copy(PROJECT / name, folder / name)
    monkeypatch.setattr(rehearsal, "Rehearsal", partial(rehearsal.Rehearsal, source=folder))
    return folder


@pytest.mark.parametrize(
    ("name", "content", "answer"),
    [
        (STACK, None, f"{STACK} cannot be read: No such file or directory"),
        (STACK, "config: [a\n", f"{STACK} is not YAML: "),
        (STACK, "", NO_CLUSTER),
        (STACK, "- a\n", NO_CLUSTER),
        (STACK, "config:\n", NO_CLUSTER),
        (STACK, "config: {saas-in-eks:aws: [a]}\n", NO_CLUSTER),
        (STACK, "config: {saas-in-eks:aws: {cluster: {compute: nodes}}}\n", NO_CLUSTER),
        ("tenants.yaml", None, "tenants.yaml cannot be read: No such file or directory"),
        ("tenants.yaml", "tenants: [a\n", "tenants.yaml is not YAML: "),
        ("tenants.yaml", b"\xff\xfe", "tenants.yaml is not YAML: "),
    ],
)
def test_a_rehearsal_says_which_file_it_cannot_use(
    run: Run, project: Path, name: str, content: str | bytes | None, answer: str
) -> None:
    if content is None:
        (project / name).unlink()
    else:
        (project / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    assert run("rehearse").startswith(f"error: {answer}")


def test_an_update_without_a_project_says_so(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(controlplane, "server_url", lambda _: "https://127.0.0.1:1")
    monkeypatch.setattr(platform.pulumi, "ensure_stack", partial(platform.pulumi.ensure_stack, cwd=tmp_path))
    assert "error: /" in (said := run("up"))
    assert "Pulumi.yaml cannot be read" in said


@pytest.mark.parametrize("arguments", [["status"], ["release", "1.1.0"]])
def test_an_api_server_that_does_not_answer_is_named(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    authority = Authority(tmp_path / "pki")
    api = controlplane.Api.connect(1, authority.certificate, authority.client("admin"))
    monkeypatch.setattr(controlplane, "administrator", lambda _: api)
    everything = dict.fromkeys((*controlplane.COMPONENTS, "gitserver", "registry", "agent"))
    monkeypatch.setattr(processes, "running", lambda _: everything)
    assert run(*arguments).startswith("error: https://127.0.0.1:1 cannot be reached (")


@pytest.mark.parametrize(
    "text",
    [
        (PROJECT / "tenants.yaml").read_text(),
        "departed: []\ntenants: [{name: alpha, source: {url: 'https://github.com/acme/shop', branch: main}}]\n",
    ],
)
def test_a_rehearsals_changes_of_its_files_are_what_the_program_takes(tmp_path: Path, text: str) -> None:
    life = rehearsal.Rehearsal(Home(tmp_path))
    life.project.mkdir()
    life.tenants_file.write_text(text)
    states: list[dict[str, str]] = []
    for change in (rehearsal.add_a_tenant, rehearsal.let_it_leave, rehearsal.remove_it):
        life.change_tenants(change)
        listed = tenants.parse(yaml_lines.read(life.project, "tenants.yaml"))
        states.append({tenant.name: tenant.state for tenant in listed.tenants})
    name = "tenant-of-a-pull-request"
    assert states == [{**states[2], name: "active"}, {**states[2], name: "leaving"}, states[2]]
    assert len(states[2]) == len(yaml.safe_load(text)["tenants"])
    assert [left.name for left in listed.content.departed] == [name]
    life.change_tenants(rehearsal.have_one_tenant)
    assert [each.name for each in tenants.parse(yaml_lines.read(life.project, "tenants.yaml")).tenants] == [name]
    shutil.copy(PROJECT / STACK, life.stack_file)
    for change in (
        rehearsal.begin_with_an_older_version,
        rehearsal.change_administrators_and_size,
        rehearsal.lock_out,
        rehearsal.let_in,
        rehearsal.upgrade,
        rehearsal.remove_protection,
        rehearsal.run_a_node_group,
        rehearsal.add_nodes,
    ):
        life.configure(change)
        own = stack.written(life.project, STACK, "saas-in-eks").content
        assert not [*aws.broken_rules(validate(aws.AwsSettings, own["aws"], YamlFile(STACK, own["aws"], {})))]
