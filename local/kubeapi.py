"""A minimal Kubernetes client: a full one takes longer to import than these requests take."""

from __future__ import annotations

import http.client
import json
import ssl
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FIELD_MANAGER = "saas-in-eks-local"


class ApiError(RuntimeError):
    """The API server refused a request, with its own message, or cannot be reached."""


@dataclass(frozen=True)
class Api:
    """A client of one server, with a client certificate."""

    server: str
    tls: ssl.SSLContext

    @staticmethod
    def connect(port: int, authority: Path, client: Path) -> Api:
        """A client of the server on a loopback port, which is verified by its certificate authority."""
        tls = ssl.create_default_context(cafile=authority)
        tls.load_cert_chain(client)
        return Api(f"https://127.0.0.1:{port}", tls)

    def answers(self, path: str) -> bool:
        """Whether a health endpoint answers with success. False also while the server does not listen yet."""
        try:
            with self._open(urllib.request.Request(self.server + path)):  # noqa: S310 - always https
                return True
        except (OSError, http.client.HTTPException):
            return False

    def get(self, path: str) -> dict[str, Any] | None:
        """Get an object, or None if it does not exist. Raises ApiError."""
        try:
            return self._request("GET", path)
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            raise _explained(error) from error

    def create(self, path: str, value: dict[str, Any]) -> None:
        """Create an object, in the collection at `path`. Raises ApiError."""
        try:
            self._request("POST", path, value)
        except urllib.error.HTTPError as error:
            raise _explained(error) from error

    def apply(self, path: str, value: dict[str, Any]) -> None:
        """Create or update an object by server-side apply. Raises ApiError."""
        try:
            self._request("PATCH", f"{path}?fieldManager={FIELD_MANAGER}&force=true", value)
        except urllib.error.HTTPError as error:
            raise _explained(error) from error

    def delete(self, path: str) -> None:
        """Delete an object. Raises ApiError."""
        try:
            self._request("DELETE", path)
        except urllib.error.HTTPError as error:
            raise _explained(error) from error

    def _request(self, method: str, path: str, value: dict[str, Any] | None = None) -> dict[str, Any]:
        data = None if value is None else json.dumps(value).encode()
        kind = "application/apply-patch+yaml" if method == "PATCH" else "application/json"
        request = urllib.request.Request(  # noqa: S310 - always https
            self.server + path, data, {"Content-Type": kind}, method=method
        )
        try:
            with self._open(request) as response:
                return json.load(response)
        except urllib.error.HTTPError:
            raise
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", error)
            raise ApiError(
                f"{self.server} cannot be reached ({reason}). Its log: make logs NAME=kube-apiserver"
            ) from error

    def _open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        # Never through a proxy that the environment names: the server is on this machine.
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=self.tls)
        )
        return opener.open(request, timeout=10)


def _explained(error: urllib.error.HTTPError) -> ApiError:
    body = error.read().decode(errors="replace")
    try:
        return ApiError(f"{error.url}: {json.loads(body)['message']}")
    except (ValueError, KeyError):
        return ApiError(f"{error.url}: {error.code} {body}")
