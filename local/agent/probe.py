"""A container's probes, asked at the address that stands for the container's port."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp

from local.agent.command import UnsupportedError, container_port


@dataclass(frozen=True)
class Probe:
    """A URL to ask every `period` seconds; `threshold` failures in a row count as a failure."""

    url: str
    period: float
    timeout: float
    threshold: int

    @staticmethod
    def of(container: dict[str, Any], kind: str, ports: Mapping[int, str]) -> Probe | None:
        """The container's `readinessProbe` or `livenessProbe`, if it has one. Raises UnsupportedError."""
        spec = container.get(kind)
        if spec is None:
            return None
        if "httpGet" not in spec:
            raise UnsupportedError(f"{kind} is not supported here unless it is an httpGet")
        port = container_port(container, spec["httpGet"]["port"])
        if port not in ports:
            raise UnsupportedError(f"{kind} asks port {port}; the program listens on {', '.join(map(str, ports))}")
        return Probe(
            f"http://{ports[port]}{spec['httpGet'].get('path', '/')}",
            spec.get("periodSeconds", 10),
            spec.get("timeoutSeconds", 1),
            spec.get("failureThreshold", 3),
        )

    async def succeeds(self, http: aiohttp.ClientSession) -> bool:
        """Whether the program says that all is well."""
        try:
            async with http.get(self.url, timeout=aiohttp.ClientTimeout(total=self.timeout)) as response:
                return 200 <= response.status < 400
        except (aiohttp.ClientError, TimeoutError):
            return False
