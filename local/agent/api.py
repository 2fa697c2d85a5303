"""The agent's requests to the API server."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from typing import Any

import aiohttp

from local import agent

Object = dict[str, Any]
PODS = f"/api/v1/namespaces/{agent.NAMESPACE}/pods"
SERVICES = f"/api/v1/namespaces/{agent.NAMESPACE}/services"
log = logging.getLogger(__name__)


class RequestError(RuntimeError):
    """The API server refused a request, with its own message."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status


UNAVAILABLE = (RequestError, aiohttp.ClientError, TimeoutError)
"""Errors after which a request is worth repeating."""


class AsyncApi:
    """Requests raise RequestError when refused, and another of UNAVAILABLE when the server can't be reached."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session
        self.connected = False
        """Whether the last list or watch succeeded."""

    async def follow(self, path: str) -> AsyncIterator[list[Object]]:
        """List the objects at a path, and list them again whenever one of them changes. Retries after errors."""
        while True:
            try:
                listing = await self.request("GET", path)
                self.connected = True
                yield listing["items"]
                version = listing["metadata"]["resourceVersion"]
                query = {"watch": "1", "resourceVersion": version, "timeoutSeconds": "300"}
                timeout = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=330)
                async with self._session.get(path, params=query, timeout=timeout) as response:
                    await _raise_for_status(response)
                    await response.content.readany()  # any event: the next list has everything
            except UNAVAILABLE as error:
                self.connected = False
                log.warning("%s can't be watched, trying again: %s", path, error)
                await asyncio.sleep(1)

    async def patch_status(self, pod: Object, status: Object) -> None:
        """Report a pod's state. A deleted pod is left alone, and so is a successor of the same name."""
        body = {"metadata": {"uid": pod["metadata"]["uid"]}, "status": status}
        path = f"{PODS}/{pod['metadata']['name']}/status"
        await self._unless_gone("PATCH", path, body, "application/strategic-merge-patch+json")

    async def delete(self, pod: Object) -> None:
        """Remove a pod whose program has ended."""
        options = {"gracePeriodSeconds": 0, "preconditions": {"uid": pod["metadata"]["uid"]}}
        await self._unless_gone("DELETE", f"{PODS}/{pod['metadata']['name']}", options)

    async def token(self, pod: Object, seconds: int) -> str:
        """A bearer token of the pod's ServiceAccount, bound to the pod: it is invalid once the pod is deleted."""
        account = pod["spec"]["serviceAccountName"]
        reference = {"kind": "Pod", "apiVersion": "v1", "name": pod["metadata"]["name"], "uid": pod["metadata"]["uid"]}
        body = {"spec": {"expirationSeconds": seconds, "boundObjectRef": reference}}
        path = f"/api/v1/namespaces/{agent.NAMESPACE}/serviceaccounts/{account}/token"
        return (await self.request("POST", path, body))["status"]["token"]

    async def config_map(self, name: str) -> dict[str, str]:
        """The files of a ConfigMap."""
        found = await self.request("GET", f"/api/v1/namespaces/{agent.NAMESPACE}/configmaps/{name}")
        return found.get("data", {})

    async def request(
        self, method: str, path: str, body: Object | None = None, content_type: str = "application/json"
    ) -> Object:
        """Send one request and return the object that the API server answers with."""
        data = None if body is None else json.dumps(body)
        headers, timeout = {"Content-Type": content_type}, aiohttp.ClientTimeout(total=30)
        async with self._session.request(method, path, data=data, headers=headers, timeout=timeout) as response:
            await _raise_for_status(response)
            return await response.json()

    async def _unless_gone(self, method: str, path: str, body: Object, content_type: str = "application/json") -> None:
        try:
            await self.request(method, path, body, content_type)
        except RequestError as error:
            if error.status not in (404, 409):
                raise


async def _raise_for_status(response: aiohttp.ClientResponse) -> None:
    if response.status >= 400:
        text = await response.text()
        try:
            message = json.loads(text)["message"]
        except (ValueError, KeyError):
            message = text
        raise RequestError(response.status, message)
