"""The embedded Git server's REST API, as the GitHub stand-in calls it."""

from __future__ import annotations

import http.client
import ipaddress
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from standins.provider import RefusedError

TIMEOUT_SECONDS = 60.0
_REASONS = {
    401: "check the token: GITHUB_TOKEN, or the provider's token",
    403: "the token may not do this, or the repository is archived",
    404: "check the owner (the provider's owner, or GITHUB_OWNER) and the repository's name",
}


class RestError(RefusedError):
    """The API refused a request. The text has the request, GitHub's message and what to do."""

    def __init__(self, request: str, status: int, body: Any) -> None:
        answer: dict[str, Any] = body if isinstance(body, dict) else {}
        self.status = status
        self.message = str(answer.get("message", ""))
        self.errors = [str(each.get("message") or each.get("code")) for each in answer.get("errors", [])]
        details = f" [{'; '.join(self.errors)}]" if self.errors else ""
        advice = f": {_REASONS[status]}" if status in _REASONS else ""
        super().__init__(f"{request}: {status} {self.message}{details}{advice}")


@dataclass(frozen=True)
class Answer:
    """A successful answer: its JSON and ETag."""

    body: Any
    etag: str


class Rest:
    """A client with a token. `url` is GITHUB_BASE_URL: the server's root, or its /api/v3."""

    def __init__(self, url: str, token: str) -> None:
        parts = urlsplit(url)
        if parts.scheme != "http" or not parts.hostname or not _is_loopback(parts.hostname):
            raise RefusedError(
                f"the github stand-in talks to the embedded Git server only, and {url} is not it: set GITHUB_BASE_URL "
                "as the platform's env file does, or use the official plugin"
            )
        if not token:
            raise RefusedError("the github provider needs a token: set GITHUB_TOKEN as the platform's env file does")
        self._host, self._port = parts.hostname, parts.port or 80
        path = parts.path.rstrip("/")
        self._prefix = path if path.endswith("/api/v3") else f"{path}/api/v3"
        self._token = token

    def get(self, *path: str, **query: str) -> Answer:
        return self.call("GET", path, query=query)

    def find(self, *path: str, **query: str) -> Answer | None:
        """Likewise; None if there is no such thing."""
        try:
            return self.get(*path, **query)
        except RestError as error:
            if error.status == 404:
                return None
            raise

    def call(
        self,
        method: str,
        path: tuple[str, ...],
        body: dict[str, Any] | None = None,
        query: dict[str, str] | None = None,
    ) -> Answer:
        """Send a request; path segments are quoted here, a slash inside one stays.

        Raises RestError unless the answer is a 2xx.
        """
        target = "/".join([self._prefix, *(quote(segment, safe="/") for segment in path)])
        if query:
            target += "?" + urlencode(query)
        headers = {"Authorization": f"Bearer {self._token}", "Accept": "application/vnd.github+json"}
        connection = http.client.HTTPConnection(self._host, self._port, timeout=TIMEOUT_SECONDS)
        try:
            connection.request(method, target, None if body is None else json.dumps(body), headers)
            response = connection.getresponse()
            raw = response.read()
        except OSError as error:
            raise RefusedError(
                f"the embedded Git server does not answer at {self._host}:{self._port} ({error}): "
                "start it with `make up`"
            ) from error
        finally:
            connection.close()
        answer = json.loads(raw) if raw else None
        if not 200 <= response.status < 300:
            raise RestError(f"{method} {target}", response.status, answer)
        return Answer(answer, response.headers.get("ETag", ""))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
