"""Plugins that are Python programs themselves: the engine has the language host start a policy pack."""

from __future__ import annotations

import queue
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

import grpc
from pulumi.runtime.proto import language_pb2

POLICY_PACK = Path(__file__).with_name("python_program") / "policy_pack.py"
"""The script that runs a policy pack, in the pack's own virtual environment."""

_Output = tuple[str, bytes]


def command(python: Path, kind: str, arguments: Sequence[str], folder: str) -> list[str]:
    """What starts the plugin in a folder. Raises ValueError for a kind of plugin that this host does not run."""
    if kind != "analyzer":
        raise ValueError(f"the stand-in language host runs policy packs, no plugin of kind {kind!r} in {folder}")
    # -u: the engine waits for the port. -P: neither the project's folder nor the script's is one to import from.
    return [str(python), "-u", "-P", str(POLICY_PACK), *arguments, folder]


def run(
    command: Sequence[str], folder: str, environment: Mapping[str, str], context: grpc.ServicerContext
) -> Iterator[language_pb2.RunPluginResponse]:
    """What the plugin writes, as it writes it, and at last its exit code. It ends when the engine hangs up."""
    process = subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL
    )
    # False where the engine hung up already.
    if not context.add_callback(process.terminate):
        process.terminate()
    for name, output in _read(process):
        if name == "stdout":
            yield language_pb2.RunPluginResponse(stdout=output)
        else:
            yield language_pb2.RunPluginResponse(stderr=output)
    yield language_pb2.RunPluginResponse(exitcode=process.wait())


def _read(process: subprocess.Popen[bytes]) -> Iterator[_Output]:
    """Both outputs as they come, until both are closed."""
    waiting: queue.Queue[_Output | None] = queue.Queue()

    def pump(name: str, stream: IO[bytes] | None) -> None:
        assert stream is not None
        for line in stream:
            waiting.put((name, line))
        waiting.put(None)

    for name, stream in (("stdout", process.stdout), ("stderr", process.stderr)):
        threading.Thread(target=pump, args=(name, stream), daemon=True).start()
    closed = 0
    while closed < 2:
        found = waiting.get()
        if found is None:
            closed += 1
        else:
            yield found
