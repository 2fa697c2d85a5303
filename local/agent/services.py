"""The Services of flux-system on loopback: ports that stay the same while pods come and go."""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Mapping
from dataclasses import dataclass

from local import agent
from local.agent.api import SERVICES, AsyncApi, Object
from local.home import Home

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Endpoint:
    """A pod that is ready: its labels, and HOST:PORT of its ports by number and by name."""

    labels: Mapping[str, str]
    ports: Mapping[int | str, str]


class Services:
    """Forwards connections to ready pods: during a rollout, to the newest one."""

    def __init__(self, home: Home, api: AsyncApi) -> None:
        self._home, self._api = home, api
        self._specs: dict[str, Object] = {}
        self._servers: dict[str, asyncio.Server] = {}
        self._updating = asyncio.Lock()
        self.endpoints: dict[str, Endpoint] = {}
        """By pod name, the newest last."""

    async def follow(self) -> None:
        """Listen for every Service that appears, until cancelled."""
        async for services in self._api.follow(SERVICES):
            await self._update(services)

    async def names_by_address(self) -> dict[str, str]:
        """The Services that exist now: their names by their addresses in the cluster."""
        await self._update((await self._api.request("GET", SERVICES))["items"])
        return {spec.get("clusterIP", ""): name for name, spec in self._specs.items()}

    async def _update(self, services: list[Object]) -> None:
        async with self._updating:
            self._specs = {service["metadata"]["name"]: service["spec"] for service in services}
            for name in self._specs.keys() - self._servers.keys():
                port = agent.service_port(self._home, name)
                self._servers[name] = await asyncio.start_server(
                    functools.partial(self._forward, name), "127.0.0.1", port
                )

    def _backend(self, service: str) -> str | None:
        spec = self._specs.get(service, {})
        selector = spec.get("selector", {}).items()
        for endpoint in reversed(self.endpoints.values()):
            if selector and selector <= endpoint.labels.items():
                return endpoint.ports.get(spec["ports"][0]["targetPort"])
        return None

    async def _forward(self, service: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        backend = self._backend(service)
        try:
            if backend is not None:  # otherwise the connection is closed, and the client tries again
                host, port = backend.split(":")
                pod_reader, pod_writer = await asyncio.open_connection(host, int(port))
                try:
                    await asyncio.gather(_pipe(reader, pod_writer), _pipe(pod_reader, writer))
                finally:
                    pod_writer.close()
        except OSError as error:
            log.info("Service %s: a connection broke off: %s", service, error)
        finally:
            writer.close()


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    if writer.can_write_eof() and not writer.is_closing():
        writer.write_eof()
