"""Starts Python programs by forking a process that has imported their packages.

To import Pulumi's SDKs takes two seconds of CPU time, and each `pulumi` command starts four Python programs: with this
server it takes half the time. The server has no threads and no connections, so a fork is safe. A forked program has the
arguments, environment, folder and standard streams of one that was started as usual, and is killed when the process
that asked for it ends.

`python -m standins.fork_server serve SOCKET MODULE...` serves; `fork_server.py run CODE ARGUMENT...` is like
`python -c CODE ARGUMENT...`, by the server that the environment names.
"""

from __future__ import annotations

import array
import atexit
import contextlib
import json
import os
import signal
import socket
import sys
import threading
import traceback

ADDRESS = "STANDINS_FORK_SERVER"
"""Environment variable: the path of the server's socket."""
LONGEST_ADDRESS = 100
"""Bytes that every Unix has room for in a socket's path."""
STREAMS = (0, 1, 2)
LENGTH = 4


class Forked:
    """A program that the server of these variables has started. Raises OSError if there is no server."""

    def __init__(self, code: str, arguments: list[str], folder: str, variables: dict[str, str]) -> None:
        request = json.dumps({"code": code, "argv": ["-c", *arguments], "folder": folder, "variables": variables})
        body = request.encode()
        self._connection = socket.socket(socket.AF_UNIX)
        self._connection.connect(variables[ADDRESS])
        streams = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", STREAMS))
        self._connection.sendmsg([len(body).to_bytes(LENGTH, "big")], [streams])
        self._connection.sendall(body)

    def signal(self, number: int) -> None:
        """Send a signal to the program, if it still runs."""
        with contextlib.suppress(OSError):
            self._connection.send(bytes([number]))

    def terminate(self) -> None:
        """Ask the program to end."""
        self.signal(signal.SIGTERM)

    def wait(self, timeout: float | None = None) -> int:
        """The program's exit code, once it has ended; as subprocess has it for a program that was killed.

        Raises TimeoutError.
        """
        self._connection.settimeout(timeout)
        with contextlib.suppress(ConnectionError):
            if code := self._connection.recv(1):
                return code[0]
        return -signal.SIGKILL


def run(code: str, arguments: list[str]) -> int:
    """Run a program with this process's streams, and pass signals on. It ends with this process's parent."""
    parent = os.getppid()
    program = Forked(code, arguments, os.getcwd(), dict(os.environ))
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: program.signal(number))
    while os.getppid() == parent:  # an engine that was killed sends no signal
        with contextlib.suppress(TimeoutError):
            return program.wait(timeout=1)
    return -signal.SIGKILL


def serve(address: str, modules: list[str]) -> None:
    """Import modules, and then fork for each connection."""
    import gc
    import importlib

    child = Child()
    atexit.register(child.end)  # before the modules register functions of theirs, so that it is called last
    for name in modules:
        getattr(importlib.import_module(name), "__all__", None)  # lazy modules are imported when they are used
    _forget_checkout()
    gc.collect()
    gc.freeze()  # the memory that is shared
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{address}.new")
        listener.listen(64)
        os.rename(f"{address}.new", address)  # who finds it can connect
        while True:
            connection, _ = listener.accept()
            if os.fork() == 0:
                break
            connection.close()
    child.run(connection)


def _forget_checkout() -> None:
    """Share installed packages only: each program imports modules of the project as they are when it starts."""
    own, installed = os.getcwd() + os.sep, sys.prefix + os.sep
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None) or ""
        if name != "__main__" and file.startswith(own) and not file.startswith(installed):
            del sys.modules[name]
    sys.path.remove(os.getcwd())


class Child:
    """The forked process. In the server itself it does nothing."""

    def __init__(self) -> None:
        self._connection: socket.socket | None = None
        self._code = 1

    def run(self, connection: socket.socket) -> None:
        """Become the program that the connection asks for, and run it."""
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        streams = array.array("i")
        header, messages, *_ = connection.recvmsg(LENGTH, socket.CMSG_SPACE(len(STREAMS) * streams.itemsize))
        for *_, content in messages:
            streams.frombytes(content)
        with connection.makefile("rb") as reader:
            request = json.loads(reader.read(int.from_bytes(header, "big")))
        for own, given in zip(STREAMS, streams, strict=True):
            os.dup2(given, own)
            os.close(given)
        os.environ.clear()
        os.environ.update(request["variables"])
        os.chdir(request["folder"])
        sys.argv[:] = request["argv"]
        self._connection = connection
        threading.Thread(target=self._obey, args=(connection,), daemon=True).start()
        try:
            exec(request["code"], {"__name__": "__main__"})  # noqa: S102 - as `python -c`
            self._code = 0
        except SystemExit as end:
            self._code = end.code if isinstance(end.code, int) else int(end.code is not None)
        except BaseException:
            traceback.print_exc()

    @staticmethod
    def _obey(connection: socket.socket) -> None:
        while number := connection.recv(1):
            os.kill(os.getpid(), number[0])
        os.kill(os.getpid(), signal.SIGKILL)  # the process that asked for this program has ended

    def end(self) -> None:
        """Report the exit code. What comes after it may be cut off."""
        if self._connection:
            sys.stdout.flush()
            sys.stderr.flush()
            self._connection.send(bytes([self._code & 255]))


if __name__ == "__main__":
    command, first, *rest = sys.argv[1:]
    if command == "run":
        code = run(first, rest)
        sys.exit(code if code >= 0 else 128 - code)
    serve(first, rest)
