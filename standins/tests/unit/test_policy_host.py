"""How the stand-in language host starts a policy pack (the engine tests run the pack itself)."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from standins.python import python_plugin

SPEAK = "import sys; print('8080'); print('trouble', file=sys.stderr); sys.exit(3)"
WAIT = "import time; print('8080', flush=True); time.sleep(60)"


class Call:
    """The engine's call, which it can hang up."""

    def __init__(self, active: bool = True) -> None:
        self.active = active
        self.hang_up: Callable[[], None] = lambda: None

    def add_callback(self, callback: Callable[[], None]) -> bool:
        self.hang_up = callback
        return self.active


def output(program: str, call: Any, tmp_path: Path) -> Any:
    return python_plugin.run([sys.executable, "-c", program], str(tmp_path), dict(os.environ), call)


def test_the_engine_gets_what_the_plugin_writes_and_its_exit_code(tmp_path: Path) -> None:
    *written, last = output(SPEAK, Call(), tmp_path)
    assert b"".join(one.stdout for one in written) == b"8080\n"
    assert b"".join(one.stderr for one in written) == b"trouble\n"
    assert last.exitcode == 3


def test_a_plugin_ends_when_the_engine_hangs_up(tmp_path: Path) -> None:
    call = Call()
    answers = output(WAIT, call, tmp_path)
    assert next(answers).stdout == b"8080\n"
    threading.Timer(0.1, call.hang_up).start()
    assert next(answers).exitcode < 0


def test_a_plugin_ends_when_the_engine_hung_up_before_it_started(tmp_path: Path) -> None:
    *_, last = output(WAIT, Call(active=False), tmp_path)
    assert last.exitcode < 0


def test_only_policy_packs_are_run(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="resource"):
        python_plugin.command(Path("python"), "resource", [], str(tmp_path))
    assert python_plugin.command(Path("python"), "analyzer", ["127.0.0.1:1"], "policy")[-2:] == [
        "127.0.0.1:1",
        "policy",
    ]
