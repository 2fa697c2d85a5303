"""Pulumi's gRPC protocol as plugins need it: a server that the engine can find, and the engine's log."""

from __future__ import annotations

import itertools
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent import futures

import grpc
from google.protobuf import any_pb2, message
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc, status_pb2

MESSAGE_LIMIT = 400 * 1024 * 1024
"""Bytes; the engine's own limit."""

_OPTIONS = [("grpc.max_receive_message_length", MESSAGE_LIMIT), ("grpc.max_send_message_length", MESSAGE_LIMIT)]


class Engine:
    """The log of the engine that started this plugin; without an address, stderr."""

    def __init__(self, address: str | None = None) -> None:
        self._streams = itertools.count(1)
        self._stub: engine_pb2_grpc.EngineStub | None = None
        if address:
            self.connect(address)

    def connect(self, address: str) -> None:
        """Log to the engine at HOST:PORT from now on."""
        self._stub = engine_pb2_grpc.EngineStub(grpc.insecure_channel(address, options=_OPTIONS))

    def log(self, severity: str, text: str, urn: str = "", *, ephemeral: bool = False) -> None:
        """Severity is debug, info, warning or error. Ephemeral text is a resource's status, shown while it lasts."""
        if self._stub is None:
            print(f"{severity}: {text}", file=sys.stderr)
            return
        request = engine_pb2.LogRequest(
            severity=engine_pb2.LogSeverity.Value(severity.upper()),
            message=text,
            urn=urn,
            streamId=next(self._streams),
            ephemeral=ephemeral,
        )
        try:
            self._stub.Log(request, timeout=10)
        except grpc.RpcError as error:
            # An engine that is shutting down must not turn a finished operation into a failed one.
            print(f"{severity}: {text} (the engine does not take logs: {error})", file=sys.stderr)


def engine_address(arguments: Sequence[str]) -> str | None:
    """The engine's address, after flags: `pulumi` passes on its own `--logtostderr`, `-v=9` and `--tracing URL`."""
    return next((argument for argument in reversed(arguments) if not argument.startswith("-")), None)


def fail_with_details(context: grpc.ServicerContext, text: str, details: message.Message) -> None:
    """End an RPC with an error that carries one of the protocol's error messages."""
    packed = any_pb2.Any()
    packed.Pack(details)
    status = status_pb2.Status(code=grpc.StatusCode.UNKNOWN.value[0], message=text, details=[packed])
    context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
    context.abort(grpc.StatusCode.UNKNOWN, text)


def serve(register: Callable[[grpc.Server], None], *, threads: int, on_stop: Callable[[], None]) -> None:
    """Serve on a free loopback port, print it for the engine, and return when this process is asked to end.

    Threads are made as concurrent requests need them; `on_stop` runs once, before requests under way are cut off.
    """
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=threads), options=_OPTIONS)
    register(server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    threading.Thread(target=_watch_parent, args=(os.getppid(), stop), daemon=True).start()
    print(port, flush=True)
    stop.wait()
    on_stop()
    server.stop(grace=2).wait()
    # Requests that are still waiting for something slow would keep the interpreter from ending.
    os._exit(0)


def _watch_parent(parent: int, stop: threading.Event) -> None:
    """End when the engine ends: an engine that was killed sends no signal."""
    while not stop.wait(1):
        if os.getppid() != parent:
            stop.set()
