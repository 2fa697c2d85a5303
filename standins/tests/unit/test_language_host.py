"""The stand-in language host, apart from running programs (the engine tests do that)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pulumi.runtime  # noqa: F401 - the whole SDK
import pytest
from google.protobuf import struct_pb2
from pulumi.runtime.proto import language_pb2

from local.home import PROJECT
from standins.python import typecheck
from standins.python.language_host import Environment, OptionsError, required_plugins
from tests.platform import eventually


def info(root: Path, **options: str) -> language_pb2.ProgramInfo:
    struct = struct_pb2.Struct()
    struct.update(options)
    return language_pb2.ProgramInfo(root_directory=str(root), program_directory=str(root), options=struct)


def install(virtualenv: Path, name: str, version: str, plugin: dict[str, object] | None) -> None:
    packages = virtualenv / "lib" / "python3.11" / "site-packages"
    folder = packages / f"{name.replace('-', '_')}-{version}.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    if plugin is not None:
        package = packages / name.replace("-", "_")
        package.mkdir()
        (package / "pulumi-plugin.json").write_text(json.dumps(plugin))


def test_plugins_are_those_of_the_installed_packages(tmp_path: Path) -> None:
    virtualenv = tmp_path / "venv"
    install(virtualenv, "pulumi-kubernetes", "4.34.2", {"resource": True, "name": "kubernetes", "version": "4.34.2"})
    install(virtualenv, "pulumi-old", "1.0.0", None)
    install(virtualenv, "somebodys-package", "2.0.0", {"resource": True, "name": "custom", "server": "https://x"})
    install(virtualenv, "pulumi-tools", "3.0.0", {"resource": False})
    install(virtualenv, "pulumi-policy", "1.0.0", None)
    install(virtualenv, "requests", "2.0.0", None)
    environment = Environment.from_info(info(tmp_path, virtualenv="venv"))
    assert required_plugins(environment) == [
        ("custom", "v2.0.0", "https://x"),
        ("kubernetes", "v4.34.2", ""),
        ("old", "v1.0.0", ""),
    ]


@pytest.mark.parametrize(
    "options", [{"toolchain": "poetry"}, {"typechecker": "guess"}, {"virtualenv": "venv", "tyepchecker": "pyright"}]
)
def test_an_option_that_the_host_does_not_know_is_an_error(tmp_path: Path, options: dict[str, str]) -> None:
    with pytest.raises(OptionsError, match=r"Pulumi\.yaml"):
        Environment.from_info(info(tmp_path, **options))


def test_a_missing_virtual_environment_is_an_error_that_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(OptionsError, match="pulumi install"):
        Environment.from_info(info(tmp_path, virtualenv="venv")).require()


def test_types_are_checked_again_when_a_source_the_settings_or_a_package_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PULUMI_HOME", str(tmp_path / "home"))
    program, packages = tmp_path / "program", tmp_path / "program" / "venv" / "site-packages"
    packages.mkdir(parents=True)
    (program / "__main__.py").write_text("x = 1\n")

    def seen() -> str:
        return typecheck.fingerprint(program, program / "venv", [packages])

    typecheck.remember_clean(program, "pyright", seen())
    assert typecheck.is_known_clean(program, "pyright", seen())
    assert not typecheck.is_known_clean(program, "mypy", seen())
    (packages / "ignored.py").write_text("")
    (program / "notes.txt").write_text("")
    assert typecheck.is_known_clean(program, "pyright", seen())
    for path, text in (
        (program / "__main__.py", "x = 2\n"),
        (program / "pyproject.toml", "[tool.pyright]\n"),
        (packages / "new-1.0.dist-info" / "METADATA", ""),
    ):
        before = seen()
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        assert seen() != before, f"{os.path.relpath(path, program)} does not matter"


def test_a_program_ends_with_the_host_that_started_it() -> None:
    program = "from standins.python.python_program.run import end_with_parent; import time; end_with_parent(0.05); "
    child = f"[{sys.executable!r}, '-c', {program + 'print(1, flush=True); time.sleep(60)'!r}]"
    host = f"import subprocess, time; p = subprocess.Popen({child}); print(p.pid, flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", host], stdout=subprocess.PIPE, text=True, cwd=PROJECT) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        assert process.stdout.readline() == "1\n"
        assert psutil.pid_exists(pid)
        process.kill()
        eventually(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE, 5)
