"""pipeline/stacks.py: a command for a platform and its shards, side by side and in order."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline import stacks
from tests.program.recorder import CHECKOUT

WAIT = """\
import pathlib, sys, time
stack = sys.argv[1].rpartition("/")[2]
pathlib.Path(f"{stack}.started").touch()
deadline = time.monotonic() + 60
while any(not pathlib.Path(f"{other}.started").exists() for other in sys.argv[2:]):
    assert time.monotonic() < deadline, f"{stack} waits for {sys.argv[2:]}"
    time.sleep(0.01)
with open("log", "a") as log:
    log.write(stack + " ")
print("output of", stack)
sys.exit(3 if pathlib.Path(f"{stack}.fails").exists() else 0)
"""
"""A command that ends once others have started."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    files = {
        "Pulumi.eu.yaml": "config:\n  saas-in-eks:shard: {count: 2}\n",
        "Pulumi.eu-2.yaml": "config:\n  saas-in-eks:platform: eu\n",
        "Pulumi.eu-10.yaml": "config:\n  saas-in-eks:platform: 'eu'\n",
        "Pulumi.eu-west.yaml": "config:\n  saas-in-eks:platform: eu\n",
        "Pulumi.eu-3.yaml": "config:\n  saas-in-eks:platform: eu-west\n",
        "Pulumi.us.yaml": "config: {}\n",
        "wait.py": WAIT,
    }
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    return tmp_path


def run(folder: Path, order: str, platform: str, *others: str, output: str = "") -> tuple[int, list[str]]:
    (folder / "log").write_text("")
    option = ["--output", output] if output else []
    code = stacks.main([order, *option, platform, sys.executable, "wait.py", "{stack}", *others])
    return code, (folder / "log").read_text().split()


def test_shards_are_the_stacks_whose_files_name_the_platform(folder: Path) -> None:
    assert stacks.shards("eu", folder) == ["eu-2", "eu-10"]
    assert stacks.shards("acme/eu", folder) == ["acme/eu-2", "acme/eu-10"]
    assert stacks.shards("us", folder) == []


def test_shards_run_side_by_side_after_or_before_their_platform(folder: Path) -> None:
    for order, place in (("platform-first", 0), ("platform-last", 2)):
        code, log = run(folder, order, "acme/eu")
        assert (code, log[place], sorted(log)) == (0, "eu", ["eu", "eu-10", "eu-2"])
    for started in folder.glob("*.started"):
        started.unlink()
    assert run(folder, "at-once", "eu", "eu", "eu-2", "eu-10")[0] == 0


@pytest.mark.parametrize(
    ("order", "failing", "log"),
    [
        ("platform-first", "eu", ["eu"]),
        ("platform-last", "eu-2", ["eu-10", "eu-2"]),
        ("at-once", "eu-2", ["eu", "eu-10", "eu-2"]),
    ],
)
def test_a_failure_ends_an_order_and_is_the_exit_code(folder: Path, order: str, failing: str, log: list[str]) -> None:
    (folder / f"{failing}.fails").touch()
    code, found = run(folder, order, "eu")
    assert (code, sorted(found)) == (3, log)


def test_outputs_of_stacks_are_files_of_their_own(folder: Path) -> None:
    assert run(folder, "at-once", "acme/eu", output="preview-{stack}.json")[0] == 0
    found = {path.name: path.read_text() for path in folder.glob("preview-*")}
    assert found == {f"preview-{stack}.json": f"output of {stack}\n" for stack in ("eu", "eu-2", "eu-10")}


def test_a_stack_without_shards_runs_alone_with_python_alone(folder: Path) -> None:
    command = [
        sys.executable,
        "-I",
        str(CHECKOUT / "pipeline" / "stacks.py"),
        "platform-first",
        "us",
        "sh",
        "-c",
        "exit 7",
    ]
    done = subprocess.run(command, cwd=folder, env={"PATH": os.defpath}, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (7, "")


@pytest.mark.parametrize("command", [[], ["no-such-command"]])
def test_a_command_that_does_not_exist_is_refused(
    folder: Path, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        stacks.main(["at-once", "eu", *command])
    assert ended.value.code == 2
    assert "on PATH" in capsys.readouterr().err
