"""Background processes that survive the command that starts them."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from local import processes
from local.home import Home

SLEEPER = [sys.executable, "-c", "import time; time.sleep(600)"]


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    home = Home(tmp_path / "home").create()
    yield home
    for name in processes.running(home):
        processes.stop(home, name, grace=0)


def start(home: Home, argv: list[str] = SLEEPER, *, ready=lambda: True, timeout: float = 10.0) -> int:
    processes.start(home, "sleeper", argv, ready=ready, timeout=timeout)
    return processes.running(home)["sleeper"]


def test_a_second_start_leaves_the_running_process_alone(home: Home) -> None:
    assert start(home) == start(home)


def test_other_arguments_restart_the_process(home: Home) -> None:
    first = start(home)
    second = start(home, [*SLEEPER, "--other"])
    assert second != first
    assert not psutil.pid_exists(first)


def test_start_waits_until_the_process_serves(home: Home) -> None:
    server = (
        "import socket, sys, time; time.sleep(0.3);"
        "listening = socket.create_server(('127.0.0.1', int(sys.argv[1]))); time.sleep(600)"
    )
    port = home.port("server")

    def ready() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    assert not ready()
    start(home, [sys.executable, "-c", server, str(port)], ready=ready)
    assert ready()


def test_a_process_that_dies_is_reported_with_the_end_of_its_log(home: Home) -> None:
    with pytest.raises(processes.ProcessError, match="ended before it was ready") as caught:
        start(home, [sys.executable, "-c", "raise SystemExit('no disk left')"], ready=lambda: False)
    assert "no disk left" in str(caught.value)
    assert str(home.logs / "sleeper.log") in str(caught.value)


def test_a_process_that_never_gets_ready_is_reported_after_the_timeout(home: Home) -> None:
    with pytest.raises(processes.ProcessError, match="not ready after 0 s"):
        start(home, ready=lambda: False, timeout=0.2)


def test_a_program_that_does_not_exist_is_reported(home: Home) -> None:
    with pytest.raises(processes.ProcessError, match="can't be started"):
        start(home, ["/nonexistent/program"])


def test_stop_ends_the_process_and_its_children(home: Home) -> None:
    child = f"import subprocess, time; subprocess.Popen({SLEEPER!r}); print('forked', flush=True); time.sleep(600)"
    log = home.logs / "sleeper.log"
    start(home, [sys.executable, "-c", child], ready=lambda: "forked" in log.read_text())
    (grandchild,) = psutil.Process(processes.running(home)["sleeper"]).children()
    processes.stop(home, "sleeper")
    assert processes.running(home) == {}
    grandchild.wait(5)


def test_a_process_that_ignores_sigterm_is_killed(home: Home) -> None:
    stubborn = "import signal, time; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"
    log = home.logs / "sleeper.log"
    pid = start(home, [sys.executable, "-c", stubborn], ready=lambda: "deaf" in log.read_text())
    processes.stop(home, "sleeper", grace=0.2)
    assert not psutil.pid_exists(pid)


def test_another_process_with_the_same_id_is_not_killed(home: Home) -> None:
    pid = start(home)
    record = home.path / "run" / "sleeper.json"
    stolen = json.loads(record.read_text())
    stolen["create_time"] -= 3600
    record.write_text(json.dumps(stolen))
    assert processes.running(home) == {}
    processes.stop(home, "sleeper")
    assert psutil.pid_exists(pid)
    os.kill(pid, signal.SIGKILL)


def test_a_killed_process_is_started_again(home: Home) -> None:
    first = start(home)
    os.kill(first, signal.SIGKILL)
    psutil.Process(first).wait(5)
    assert start(home) != first


def test_two_starts_at_once_start_one_process(home: Home) -> None:
    log = home.logs / "sleeper.log"
    argv = [sys.executable, "-c", "import time; print('started', flush=True); time.sleep(600)"]
    threads = [threading.Thread(target=start, args=(home, argv)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    deadline = time.monotonic() + 5
    while not log.read_text() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert log.read_text() == "started\n"


def test_a_long_log_is_renamed_when_its_process_starts(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "LOG_LIMIT", 10)
    (home.logs / "sleeper.log").write_text("of the last time")
    start(home)
    assert (home.logs / "sleeper.log.1").read_text() == "of the last time"
    assert (home.logs / "sleeper.log").read_text() == ""
