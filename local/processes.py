"""Background processes of one platform: started detached, recorded, found again and stopped by what was recorded.

A record is `run/NAME.json` below the home: the process id together with the time that process was created, so that
a process id which the system has given to somebody else since is never taken for ours, let alone killed.
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
"""Bytes from which a log is put aside (NAME.log.1) when its process starts."""

CLOCK_TOLERANCE = 2.0
"""Seconds by which two readings of a process's creation time may differ: the system derives it from the wall clock."""


class ProcessError(RuntimeError):
    """A process did not start or did not become ready. The message holds the end of its log and the log's path."""


@dataclass(frozen=True)
class Record:
    """What identifies a process that was started: `pid` alone does not, the system uses it again."""

    pid: int
    create_time: float
    argv: list[str]

    @staticmethod
    def of(pid: int, argv: Sequence[str]) -> Record:
        """The record of a process that has just been started. Raises psutil.NoSuchProcess if it is gone already."""
        return Record(pid, psutil.Process(pid).create_time(), list(argv))

    @staticmethod
    def read(path: Path) -> Record | None:
        """The record in a file, or None if there is none."""
        try:
            return Record(**json.loads(path.read_text()))
        except FileNotFoundError:
            return None

    def write(self, path: Path) -> None:
        """Keep the record in a file that is either whole or not there."""
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, json.dumps(asdict(self), indent=1))

    def process(self) -> psutil.Process | None:
        """The process, if it is the recorded one and still runs."""
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
        """SIGTERM to the process and its group, SIGKILL to what is left of it after `grace` seconds."""
        for number, patience in ((signal.SIGTERM, grace), (signal.SIGKILL, 10.0)):
            if self.process() is None:
                return
            with contextlib.suppress(ProcessLookupError):
                # The process leads a group of its own (start_new_session), so the group holds nothing but its children.
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
    """Have the process `name` run with `argv` and wait until it is ready.

    If it runs already with the same `argv`, it is left alone; with another `argv`, it is started anew. It outlives the
    caller and the terminal; it works in the checkout and writes both its outputs to `logs/NAME.log`. `env` is its whole
    environment (the caller's if None). `ready` is asked again and again for at most `timeout` seconds and answers False
    while the process can't serve yet.

    Raises ProcessError if the process ends, or is not ready in time (it is then left running for a look at it, and the
    next `start` goes on waiting for it).
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
    """End the process that was recorded under `name`, if it still runs: SIGTERM, and SIGKILL after `grace` seconds."""
    with _lock(home, name):
        record = Record.read(_record_path(home, name))
        if record is not None:
            record.end(grace)
            _record_path(home, name).unlink()


def running(home: Home) -> dict[str, int]:
    """Name and process id of each recorded process that runs."""
    records = {path.stem: Record.read(path) for path in sorted(_record_path(home, "*").parent.glob("*.json"))}
    return {name: record.pid for name, record in records.items() if record is not None and record.process() is not None}


def http_ok(url: str) -> bool:
    """Whether an HTTP endpoint on this machine answers with success. False also while nobody listens yet."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # never through the user's proxy
    try:
        with opener.open(url, timeout=5):
            return True
    except (OSError, http.client.HTTPException):
        return False


def log_path(home: Home, name: str) -> Path:
    """Where a process writes its outputs."""
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
    """Held while a process is started or stopped, so that two `up`s at once do not start it twice."""
    path = _record_path(home, name).with_suffix(".lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(path)


def _ended(zombie: psutil.Process) -> bool:
    """Whether a zombie holds nothing any more. Until its last thread has ended, it still has its ports and locks."""
    try:
        return os.waitpid(zombie.pid, os.WNOHANG)[0] == zombie.pid
    except ChildProcessError:  # somebody else's child, who has not asked for it yet
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
    record = Record.of(process.pid, command)  # an ended child stays known to the system until it is reaped
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
