"""Background processes of a platform: start them detached, find them again, stop them.

`run/NAME.json` below the home records the process id and the time when the process was created. So another process to
which the system gives the same id later is never mistaken for ours, let alone killed.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import subprocess
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

import psutil
from filelock import FileLock

from local.files import write_atomically
from local.home import PROJECT, Home

LOG_LIMIT = 20 * 1024 * 1024
"""Bytes above which a log is renamed to NAME.log.1 when its process starts."""

CLOCK_TOLERANCE = 2.0
"""Seconds by which two readings of a process's creation time may differ: it is derived from the wall clock."""


class ProcessError(RuntimeError):
    """A process did not start or did not become ready. The message holds the end of its log and the log's path."""


@dataclass(frozen=True)
class Record:
    """The identity of a process. `pid` alone does not suffice, because the system uses it again."""

    pid: int
    create_time: float
    argv: list[str]

    @staticmethod
    def of(pid: int, argv: Sequence[str]) -> Record:
        """The record of a process that was just started. Raises psutil.NoSuchProcess if it has ended already."""
        return Record(pid, psutil.Process(pid).create_time(), list(argv))

    @staticmethod
    def read(path: Path) -> Record | None:
        """The record in a file, or None if there is none."""
        try:
            return Record(**json.loads(path.read_text()))
        except FileNotFoundError:
            return None

    def write(self, path: Path) -> None:
        """Write the record to a file."""
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, json.dumps(asdict(self), indent=1))

    def process(self) -> psutil.Process | None:
        """The recorded process, if it still runs."""
        try:
            process = psutil.Process(self.pid)
            if process.status() == psutil.STATUS_ZOMBIE and _ended(process):
                return None
            if abs(process.create_time() - self.create_time) > CLOCK_TOLERANCE:
                return None
        except psutil.NoSuchProcess:
            return None
        return process

    def end(self, grace: float) -> None:
        """Send SIGTERM to the process and its group, and SIGKILL after `grace` seconds."""
        for number, patience in ((signal.SIGTERM, grace), (signal.SIGKILL, 10.0)):
            if self.process() is None:
                return
            with contextlib.suppress(ProcessLookupError):
                # The process leads its own group (start_new_session), which contains only its children.
                os.killpg(self.pid, number)
            if self._gone_within(patience):
                return
        raise ProcessError(f"process {self.pid} ({self.argv[0]}) survived SIGKILL; is its disk hanging?")

    def _gone_within(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while self.process() is not None:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        return True


def start(
    home: Home,
    name: str,
    argv: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    ready: Callable[[], bool],
    timeout: float,
) -> None:
    """Start the process `name` and wait until it is ready.

    A process that already runs with the same `argv` is left alone; with another `argv` it is restarted. The process
    survives the caller and the terminal, runs in the checkout, and writes to `logs/NAME.log`. `env` is its whole
    environment (the caller's if None). `ready` is polled for at most `timeout` seconds.

    Raises ProcessError if the process ends, or is not ready in time. In the latter case it keeps running, so that
    it can be examined, and the next `start` waits for it again.
    """
    command = [str(part) for part in argv]
    record_path = _record_path(home, name)
    with _lock(home, name):
        record = Record.read(record_path)
        if record is not None and record.process() is not None and record.argv != command:
            record.end(grace=10.0)
        if record is None or record.argv != command or record.process() is None:
            record = _spawn(home, name, command, env)
        _wait(home, name, record, ready, timeout)


def stop(home: Home, name: str, *, grace: float = 10.0) -> None:
    """Stop the process `name` if it runs: SIGTERM, and SIGKILL after `grace` seconds."""
    with _lock(home, name):
        record = Record.read(_record_path(home, name))
        if record is not None:
            record.end(grace)
            _record_path(home, name).unlink()


def running(home: Home) -> dict[str, int]:
    """Name and process id of each running process."""
    records = {path.stem: Record.read(path) for path in sorted(_record_path(home, "*").parent.glob("*.json"))}
    return {name: record.pid for name, record in records.items() if record is not None and record.process() is not None}


def http_ok(url: str) -> bool:
    """Whether an HTTP endpoint on this machine answers with success. False also while it does not listen yet."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # never through the user's proxy
    try:
        with opener.open(url, timeout=5):
            return True
    except (OSError, http.client.HTTPException):
        return False


def log_path(home: Home, name: str) -> Path:
    """The file to which a process writes its output."""
    return home.logs / f"{name}.log"


def log_tail(path: Path, lines: int = 15) -> str:
    """The last lines of a log, reading only its end."""
    try:
        with path.open("rb") as log:
            log.seek(max(0, path.stat().st_size - 16384))
            return "\n".join(log.read().decode(errors="replace").splitlines()[-lines:])
    except FileNotFoundError:
        return ""


def open_log(home: Home, name: str) -> BinaryIO:
    """Open a process's log for appending. One that is long is renamed to NAME.log.1 first."""
    path = log_path(home, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and path.stat().st_size > LOG_LIMIT:
        path.replace(path.with_name(path.name + ".1"))
    return path.open("ab")


def _record_path(home: Home, name: str) -> Path:
    return home.path / "run" / f"{name}.json"


def _lock(home: Home, name: str) -> FileLock:
    """Held while a process is started or stopped, so that two concurrent `up`s do not start it twice."""
    path = _record_path(home, name).with_suffix(".lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(path)


def _ended(zombie: psutil.Process) -> bool:
    """Whether a zombie has released everything. Until its last thread ends, it still holds its ports and locks."""
    try:
        return os.waitpid(zombie.pid, os.WNOHANG)[0] == zombie.pid
    except ChildProcessError:  # another process's child, which was not reaped yet
        return zombie.num_threads() <= 1


def _spawn(home: Home, name: str, command: list[str], env: Mapping[str, str] | None) -> Record:
    with open_log(home, name) as output:
        try:
            process = subprocess.Popen(
                command,
                cwd=PROJECT,
                env=None if env is None else dict(env),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            raise ProcessError(f"{name} can't be started: {error}") from error
    record = Record.of(process.pid, command)  # a child that ended has a process id until it is reaped
    record.write(_record_path(home, name))
    return record


def _wait(home: Home, name: str, record: Record, ready: Callable[[], bool], timeout: float) -> None:
    deadline = time.monotonic() + timeout
    while True:
        if record.process() is None:
            raise ProcessError(_explain(home, name, "ended before it was ready"))
        if ready():
            return
        if time.monotonic() > deadline:
            raise ProcessError(_explain(home, name, f"is not ready after {timeout:.0f} s"))
        time.sleep(0.05)


def _explain(home: Home, name: str, what: str) -> str:
    log = log_path(home, name)
    return f"{name} {what}. The end of its log, {log}:\n{log_tail(log)}"
