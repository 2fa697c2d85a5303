"""The requests of a kubelet to the API server, and a watch that survives its restarts."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import aiohttp

Pod = dict[str, Any]
log = logging.getLogger(__name__)


class ApiError(RuntimeError):
    """The API server refused a request. The message is its own."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status


@dataclass(frozen=True)
class Listing:
    """All pods there are, at first and whenever events may have been missed."""

    pods: list[Pod]


@dataclass(frozen=True)
class Event:
    """A pod was added, changed or deleted."""

    deleted: bool
    pod: Pod


@dataclass(frozen=True)
class Token:
    """A bearer token of a ServiceAccount, and when it stops to be valid (seconds since the epoch)."""

    value: str
    expires: float


class Api:
    """Asks the API server. Raises ApiError when it refuses, aiohttp.ClientError when it can't be reached."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session
        self.connected = False
        """Whether pods are being watched at this moment."""

    async def follow(self, namespace: str) -> AsyncIterator[Listing | Event]:
        """The pods of a namespace, for ever. Goes on by itself when the API server was away."""
        path = f"/api/v1/namespaces/{namespace}/pods"
        while True:
            try:
                listing = await self._request("GET", path)
                yield Listing(listing["items"])
                async for event in self._watch(path, listing["metadata"]["resourceVersion"]):
                    yield event
            except (aiohttp.ClientError, TimeoutError, ApiError) as error:
                log.warning("the watch of pods broke off, trying again: %s", error)
                await asyncio.sleep(1)
            finally:
                self.connected = False

    async def patch_status(self, pod: Pod, status: dict[str, Any]) -> None:
        """Report a pod's state. Fields that are not given, and conditions of other types, stay."""
        # With the uid, so that a successor of the same name is refused rather than described.
        body = {"metadata": {"uid": pod["metadata"]["uid"]}, "status": status}
        await self._request("PATCH", f"{_path(pod)}/status", body, kind="application/strategic-merge-patch+json")

    async def delete(self, pod: Pod) -> None:
        """Remove a pod whose program has ended. One that is gone already is no error."""
        options = {"gracePeriodSeconds": 0, "preconditions": {"uid": pod["metadata"]["uid"]}}
        try:
            await self._request("DELETE", _path(pod), options)
        except ApiError as error:
            if error.status not in (404, 409):
                raise

    async def service_addresses(self, pod: Pod) -> dict[str, str]:
        """Cluster address and name of each Service in the pod's namespace."""
        listing = await self._request("GET", f"/api/v1/namespaces/{pod['metadata']['namespace']}/services")
        return {one["spec"].get("clusterIP", ""): one["metadata"]["name"] for one in listing["items"]}

    async def token(self, pod: Pod, seconds: int) -> Token:
        """A token of the pod's ServiceAccount. It is bound to the pod: it ends with it."""
        namespace, account = pod["metadata"]["namespace"], pod["spec"]["serviceAccountName"]
        reference = {"kind": "Pod", "apiVersion": "v1", "name": pod["metadata"]["name"], "uid": pod["metadata"]["uid"]}
        body = {"spec": {"expirationSeconds": seconds, "boundObjectRef": reference}}
        answer = await self._request("POST", f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token", body)
        expires = datetime.fromisoformat(answer["status"]["expirationTimestamp"]).timestamp()
        return Token(answer["status"]["token"], expires)

    async def _watch(self, path: str, version: str) -> AsyncIterator[Event]:
        """Events after a version; ends when that version is too old for the API server to know what came after it."""
        while True:
            query = {"watch": "1", "resourceVersion": version, "allowWatchBookmarks": "true", "timeoutSeconds": "300"}
            timeout = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=330)
            async with self._session.get(path, params=query, timeout=timeout) as response:
                await _raise(response)
                self.connected = True
                async for line in response.content:
                    event = json.loads(line)
                    if event["type"] == "ERROR":
                        log.info("listing pods anew: %s", event["object"].get("message"))
                        return
                    version = event["object"]["metadata"]["resourceVersion"]
                    if event["type"] != "BOOKMARK":
                        yield Event(event["type"] == "DELETED", event["object"])

    async def _request(
        self, method: str, path: str, body: dict[str, Any] | None = None, kind: str = "application/json"
    ) -> dict[str, Any]:
        data = None if body is None else json.dumps(body)
        timeout = aiohttp.ClientTimeout(total=30)
        async with self._session.request(
            method, path, data=data, headers={"Content-Type": kind}, timeout=timeout
        ) as response:
            await _raise(response)
            return await response.json()


async def _raise(response: aiohttp.ClientResponse) -> None:
    if response.status >= 400:
        text = await response.text()
        try:
            message = json.loads(text)["message"]
        except (ValueError, KeyError):
            message = text
        raise ApiError(response.status, message)


def _path(pod: Pod) -> str:
    return f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods/{pod['metadata']['name']}"
