"""The server that forks Python programs: a program behaves as one that was started as usual."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.home import PROJECT
from standins import fork_server
from tests.platform import eventually

WAIT = "import sys, time; print('runs', flush=True); time.sleep(60); print('goes on')"


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment of programs that a server starts, which has imported json.tool and a module of the checkout."""
    address = tmp_path_factory.mktemp("fork") / "sock"
    command = [sys.executable, "-m", "standins.fork_server", "serve", address, "json.tool", "standins.codec"]
    with subprocess.Popen(command, cwd=PROJECT) as server:
        eventually(address.is_socket)
        yield {**os.environ, fork_server.ADDRESS: str(address)}
        server.terminate()


def start(code: str, *arguments: str, environment: dict[str, str], folder: Path = PROJECT) -> subprocess.Popen[str]:
    command = [sys.executable, "-IS", fork_server.__file__, "run", code, *arguments]
    return subprocess.Popen(
        command, env=environment, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_a_program_has_its_own_arguments_environment_and_folder(environment: dict[str, str], tmp_path: Path) -> None:
    code = "import os, sys; print(sys.argv, os.environ['WORD'], os.getcwd()); print('wrong', file=sys.stderr)"
    program = start(code, "a b", "c", environment={**environment, "WORD": "mine"}, folder=tmp_path)
    assert program.communicate() == (f"['-c', 'a b', 'c'] mine {tmp_path}\n", "wrong\n")
    assert program.returncode == 0


@pytest.mark.parametrize(("code", "exit_code"), [("import sys; sys.exit(7)", 7), ("1 / 0", 1), ("exit()", 0)])
def test_the_exit_code_is_the_programs(environment: dict[str, str], code: str, exit_code: int) -> None:
    program = start(code, environment=environment)
    _, said = program.communicate()
    assert program.returncode == exit_code
    assert ("ZeroDivisionError" in said) == (exit_code == 1)


def test_installed_packages_are_shared_and_modules_of_the_checkout_are_not(environment: dict[str, str]) -> None:
    code = "import sys; print('json.tool' in sys.modules, 'standins' in sys.modules, sys.path[0] == sys.argv[1])"
    assert start(code, str(PROJECT), environment=environment).communicate()[0] == "True False False\n"


def test_a_signal_reaches_the_program(environment: dict[str, str]) -> None:
    handle = "import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit(9)); "
    program = start(handle + WAIT, environment=environment)
    assert program.stdout
    assert program.stdout.readline() == "runs\n"
    program.send_signal(signal.SIGTERM)
    assert program.wait(60) == 9


@pytest.mark.parametrize("in_between", [False, True], ids=["itself", "its parent"])
def test_a_program_ends_with_the_process_that_asked_for_it(environment: dict[str, str], in_between: bool) -> None:
    """Or with its parent: an engine starts plugins in process groups of their own."""
    if in_between:
        command = [sys.executable, "-IS", fork_server.__file__, "run", WAIT]
        code = f"import subprocess; subprocess.run({command!r})"
        program = subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True)
    else:
        program = start(WAIT, environment=environment)
    assert program.stdout
    assert program.stdout.readline() == "runs\n"
    program.kill()
    program.wait()
    # The end of the output: the program, which has the other end of this pipe, is gone.
    assert program.stdout.read() == ""
