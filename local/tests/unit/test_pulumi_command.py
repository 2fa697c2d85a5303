"""The `pulumi` command of a platform: its environment, and recovery after a kill."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from datetime import UTC, datetime, timedelta
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import pytest

from bench import __main__ as benchmark
from local import __main__ as command
from local import pulumi
from local.home import Home
from tests.platform import CommandError


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home with a space").create()


def make_program(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text('#!/bin/sh\necho "$@" >> "$0.calls"\n')
    path.chmod(0o755)
    return path


def built(tmp_path: Path) -> dict[str, Path]:
    return {name: make_program(tmp_path / "built" / name) for name in ("pulumi", "pulumi-resource-kubernetes")}


def plugins(home: Home) -> set[str]:
    return {path.name for path in home.pulumi_home.glob("plugins/*/pulumi-*")}


def test_a_built_pulumi_gets_the_built_provider_and_stand_ins_for_the_rest(home: Home, tmp_path: Path) -> None:
    programs = built(tmp_path)
    pulumi.install(home, programs)
    assert plugins(home) == {
        *(f"pulumi-resource-{name}" for name in ("aws", "eks", "github", "kubernetes", "tls")),
        "pulumi-language-python",
    }
    (provider,) = home.pulumi_home.glob("plugins/*/pulumi-resource-kubernetes")
    assert provider.parent.name == f"resource-kubernetes-v{metadata.version('pulumi-kubernetes')}"
    assert provider.resolve() == programs["pulumi-resource-kubernetes"]
    assert pulumi.environment(home)["PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION"] == "true"


def test_an_official_pulumi_gets_stand_ins_only_for_github_and_aws(home: Home, tmp_path: Path) -> None:
    pulumi.install(home, built(tmp_path))
    official = make_program(tmp_path / "official" / "pulumi")
    make_program(tmp_path / "official" / "pulumi-language-python")
    link = tmp_path / "bin" / "pulumi"
    link.parent.mkdir()
    link.symlink_to(official)
    pulumi.install(home, {"pulumi": link})
    assert plugins(home) == {f"pulumi-resource-{name}" for name in ("aws", "eks", "github")}
    assert "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION" not in pulumi.environment(home)


def test_the_env_file_says_the_same_as_environment(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PULUMI_ACCESS_TOKEN", "GITHUB_TOKEN"):
        monkeypatch.setenv(name, "the user's own")
    pulumi.install(home, built(tmp_path))
    command = ["sh", "-c", f". '{home.env}' && env -0"]
    listing = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    sourced = dict(line.split("=", 1) for line in listing.split("\0") if line)
    mine = pulumi.environment(home)
    ours = {name for name in mine if name.startswith(("PULUMI_", "GITHUB_"))} | {"PATH", "KUBECONFIG"}
    assert {name: sourced.get(name) for name in ours} == {name: mine[name] for name in ours}
    assert not {"PULUMI_ACCESS_TOKEN", "GITHUB_TOKEN"} & {*mine, *sourced}


@pytest.fixture
def locked(home: Home, tmp_path: Path) -> tuple[Path, Path]:
    """A project whose stack is locked, and the lock."""
    pulumi.install(home, built(tmp_path))
    (tmp_path / "Pulumi.yaml").write_text("name: sample # the project\nruntime: python\n")
    lock = home.backend / ".pulumi/locks/organization/sample/local/id.json"
    lock.parent.mkdir(parents=True)
    return tmp_path, lock


def write_lock(lock: Path, pid: int, age: timedelta = timedelta()) -> None:
    stamp = (datetime.now(UTC) - age).isoformat()
    lock.write_text(json.dumps({"pid": pid, "hostname": socket.gethostname(), "username": "me", "timestamp": stamp}))


def test_a_lock_of_an_ended_process_is_cancelled(home: Home, locked: tuple[Path, Path]) -> None:
    project, lock = locked
    gone = subprocess.Popen(["true"])
    gone.wait()
    write_lock(lock, gone.pid)
    assert pulumi.recover(home, cwd=project)
    assert "cancel local" in (home.bin / "pulumi.calls").read_text()


def test_a_process_that_only_has_the_same_number_holds_no_lock(home: Home, locked: tuple[Path, Path]) -> None:
    project, lock = locked
    write_lock(lock, os.getpid(), age=timedelta(days=30))
    assert pulumi.recover(home, cwd=project)


def test_a_pulumi_that_runs_keeps_its_lock(home: Home, locked: tuple[Path, Path]) -> None:
    project, lock = locked
    write_lock(lock, os.getpid())
    with pytest.raises(pulumi.PulumiError, match="another pulumi works on stack local"):
        pulumi.recover(home, cwd=project)


def test_a_failing_command_says_how_to_look_into_it(home: Home, locked: tuple[Path, Path]) -> None:
    project, _ = locked
    (home.bin / "pulumi").resolve().write_text("#!/bin/sh\necho why >&2\nexit 3\n")
    with pytest.raises(pulumi.PulumiError, match=r"(?s)exit code 3.*why.*source"):
        pulumi.run(home, ["up"], cwd=project, stream=False)


def test_a_failed_command_ends_in_its_last_lines_without_a_traceback(
    home: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    program = home.bin / "pulumi"
    # What a rich console would take for markup.
    program.write_text("#!/bin/sh\nseq 100\necho 'error: [/spec/x] urn [bold]'\nexit 255\n")
    program.chmod(0o755)

    def fail(*_: object) -> None:
        pulumi.run(home, ["up"], cwd=home.path, stream=False)

    monkeypatch.setattr(command.rehearsal, "rehearse", fail)
    monkeypatch.setattr("sys.argv", ["local", "rehearse"])
    monkeypatch.setattr(Home, "default", lambda: home)
    assert command.main() == 1
    said = capsys.readouterr().out
    assert "error: `pulumi up` failed with exit code 255" in said
    assert "\nerror: [/spec/x] urn [bold]\n" in said
    assert "\n50\n" not in said
    assert f"The whole output is in {home.logs / 'pulumi.log'}" in said.replace("\n", " ").replace("  ", " ")
    assert (home.logs / "pulumi.log").read_text().startswith("1\n2\n")


def test_a_failed_benchmark_ends_in_its_last_lines_without_a_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise CommandError("pulumi up:\n" + "\n".join(map(str, range(100))))

    monkeypatch.setattr(
        benchmark, "running_platform", lambda _: iter([SimpleNamespace(home=SimpleNamespace(kubeconfig=""))])
    )
    monkeypatch.setattr(benchmark, "_alone", fail)
    monkeypatch.setattr(benchmark, "PROJECT", tmp_path)
    monkeypatch.setattr("sys.argv", ["bench", "1"])
    with pytest.raises(SystemExit) as ended:
        benchmark.main()
    said = str(ended.value.code).splitlines()
    log = tmp_path / ".local" / "bench-error.log"
    assert said[0] == "error: a command failed:"
    assert said[-2:] == ["99", f"The whole output is in {log}"]
    assert log.read_text().startswith("pulumi up:\n0\n")
