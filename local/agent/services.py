"""Flux's Services on loopback: addresses that stay, before programs whose ports change.

As with a Service, who connects reaches a pod that is ready; while pods overlap during a rollout, the newest of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import socket
from dataclasses import dataclass

from local.home import Home

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Service:
    """Where a Service leads: `port_name` is what Home.port knows it by, `target` a named port of the program's pod."""

    port_name: str
    program: str
    target: str


SERVICES = {
    "source-controller": Service("source-controller-storage", "source-controller", "http"),
    "notification-controller": Service("notification-controller-events", "notification-controller", "http"),
    "webhook-receiver": Service("notification-controller-webhook", "notification-controller", "http-webhook"),
}
"""The Services of Flux's install manifest, by name."""


def ports(home: Home) -> dict[str, int]:
    """The loopback port of each Service."""
    return {name: home.port(service.port_name) for name, service in SERVICES.items()}


def free_port(home: Home) -> int:
    """A loopback port that nobody uses, nor is about to: not one that the home has recorded for somebody."""
    recorded = json.loads((home.path / "ports.json").read_text()).values()
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        if port not in recorded:
            return port


class Services:
    """Forwards connections to the pods that are ready."""

    def __init__(self) -> None:
        self._backends: dict[str, dict[str, str]] = {name: {} for name in SERVICES}
        self._connections: set[asyncio.Task[None]] = set()

    @contextlib.asynccontextmanager
    async def serving(self, home: Home):
        """Listen while the context lasts. Raises OSError if a port is taken."""
        servers = []
        try:
            for name, port in ports(home).items():
                servers.append(await asyncio.start_server(self._handler(name), "127.0.0.1", port))
            yield
        finally:
            for server in servers:
                server.close()
            for connection in self._connections:
                connection.cancel()

    def add(self, service: str, pod: str, address: str) -> None:
        """Lead a Service to where a pod listens, from now on before all others."""
        self._backends[service].pop(pod, None)
        self._backends[service][pod] = address

    def remove(self, pod: str) -> None:
        """Lead no Service to this pod any more."""
        for backends in self._backends.values():
            backends.pop(pod, None)

    def _handler(self, service: str):
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            self._connections.add(task)
            try:
                await self._forward(service, reader, writer)
            finally:
                self._connections.discard(task)
                writer.close()

        return handle

    async def _forward(self, service: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        backends = list(self._backends[service].values())
        if not backends:
            return  # nobody is ready: the connection ends, and the client tries again
        try:
            there_reader, there_writer = await asyncio.open_connection(*backends[-1].split(":"))
        except OSError as error:
            log.warning("Service %s: its pod does not answer: %s", service, error)
            return
        try:
            await asyncio.gather(_pipe(reader, there_writer), _pipe(there_reader, writer))
        except OSError:
            log.debug("Service %s: a connection broke off", service)
        finally:
            there_writer.close()


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    if writer.can_write_eof() and not writer.is_closing():
        writer.write_eof()
