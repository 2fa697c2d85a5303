"""The stand-in language host; the engine tests run whole programs with it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pulumi.runtime  # noqa: F401 - the whole SDK
import pytest
from google.protobuf import struct_pb2
from pulumi.runtime.proto import language_pb2

from local.home import PROJECT
from standins import protocol
from standins.python import language_host
from standins.python.language_host import LanguageHost, OptionsError, python_of
from tests.platform import eventually

SPEAK = "import sys; print('8080'); sys.exit(3)"
WAIT = "import time; print('8080', flush=True); time.sleep(60)"


def info(root: Path, **options: str) -> language_pb2.ProgramInfo:
    struct = struct_pb2.Struct()
    struct.update(options)
    return language_pb2.ProgramInfo(root_directory=str(root), program_directory=str(root), options=struct)


@pytest.mark.parametrize(
    "options", [{"toolchain": "poetry", "virtualenv": "venv"}, {"virtualenv": "venv", "tyepchecker": "pyright"}, {}]
)
def test_an_unsupported_option_is_an_error(tmp_path: Path, options: dict[str, str]) -> None:
    with pytest.raises(OptionsError, match=r"Pulumi\.yaml"):
        python_of(info(tmp_path, **options))


def test_a_missing_virtual_environment_is_an_error_that_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(OptionsError, match="run `make up`"):
        python_of(info(tmp_path, virtualenv="venv"))


@pytest.mark.parametrize(
    ("arguments", "address"),
    [
        (["127.0.0.1:1"], "127.0.0.1:1"),
        (["-root=/work", "--logtostderr", "-v=9", "127.0.0.1:1"], "127.0.0.1:1"),
        (["--tracing", "tcp://127.0.0.1:2", "127.0.0.1:1"], "127.0.0.1:1"),
        ([], None),
    ],
)
def test_the_engines_address_comes_after_its_flags(arguments: list[str], address: str | None) -> None:
    assert protocol.engine_address(arguments) == address


class Call:
    """The engine's call, which the engine can cancel."""

    def __init__(self, active: bool = True) -> None:
        self.active = active
        self.hang_up: Callable[[], None] = lambda: None

    def add_callback(self, callback: Callable[[], None]) -> bool:
        self.hang_up = callback
        return self.active

    def abort(self, code: Any, message: str) -> None:
        raise RuntimeError(message)


def run_plugin(
    tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch, program: str, kind: str = "analyzer"
) -> Any:
    script = tmp_path / "pack.py"
    script.write_text(program)
    monkeypatch.setattr(language_host, "POLICY_PACK", script)
    (tmp_path / "venv" / "bin").mkdir(parents=True)
    (tmp_path / "venv" / "bin" / "python").symlink_to(sys.executable)
    environment = [f"{name}={value}" for name, value in os.environ.items()]
    request = language_pb2.RunPluginRequest(
        pwd=str(tmp_path), kind=kind, env=environment, info=info(tmp_path, virtualenv="venv")
    )
    host: Any = LanguageHost("")
    return host.RunPlugin(request, call)


def test_the_engine_gets_a_policy_packs_output_and_exit_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    *output, last = run_plugin(tmp_path, Call(), monkeypatch, SPEAK)
    assert b"".join(response.stdout for response in output) == b"8080\n"
    assert last.exitcode == 3


def test_a_policy_pack_ends_when_the_engine_hangs_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    call = Call()
    responses = run_plugin(tmp_path, call, monkeypatch, WAIT)
    assert next(responses).stdout == b"8080\n"
    threading.Timer(0.1, call.hang_up).start()
    assert next(responses).exitcode == -signal.SIGTERM


def test_a_policy_pack_ends_when_the_engine_hung_up_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    *_, last = run_plugin(tmp_path, Call(active=False), monkeypatch, WAIT)
    assert last.exitcode == -signal.SIGTERM


def test_other_plugins_than_policy_packs_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RuntimeError, match="not a resource plugin"):
        next(run_plugin(tmp_path, Call(), monkeypatch, SPEAK, kind="resource"))


def test_a_program_ends_with_the_host_that_started_it() -> None:
    program = "from standins.python.run_program import end_with_parent; import time; end_with_parent(); "
    child = f"[{sys.executable!r}, '-c', {program + 'print(1, flush=True); time.sleep(60)'!r}]"
    host = f"import subprocess, time; p = subprocess.Popen({child}); print(p.pid, flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", host], stdout=subprocess.PIPE, text=True, cwd=PROJECT) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        assert process.stdout.readline() == "1\n"
        assert psutil.pid_exists(pid)
        process.kill()
        eventually(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE, 30)
