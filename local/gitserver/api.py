"""GitHub's REST API, the part that repositories, deploy keys, files and branches need: entry, authentication, errors.

Shapes, status codes and messages are GitHub's, so that a client that works here works there. Answers leave out only the
links to what does not exist here, such as issues and hooks.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from aiohttp import web

from local.gitserver.commits import Person
from local.gitserver.store import Repository, Store

PREFIX = "/api/v3"
USER = "platform"
"""Login of the one user, who may do everything in every organization."""

BODY_LIMIT_BYTES = 150 * 1024 * 1024
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class ApiError(Exception):
    """An answer that is an error, in GitHub's shape."""

    def __init__(self, status: int, message: str, errors: list[dict[str, str]] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.errors = errors

    def response(self) -> web.Response:
        body: dict[str, Any] = {"message": str(self)}
        if self.errors:
            body["errors"] = self.errors
        body |= {"documentation_url": "https://docs.github.com/rest", "status": str(self.status)}
        return web.json_response(body, status=self.status)


def not_found() -> ApiError:
    return ApiError(404, "Not Found")


def invalid(resource: str, field: str, message: str, *, title: str = "Validation Failed") -> ApiError:
    """A 422 about one field."""
    return ApiError(422, title, [{"resource": resource, "code": "custom", "field": field, "message": message}])


@dataclass(frozen=True)
class Api:
    """What each part of the API works on. `web_url` is http://HOST:PORT, `ssh_url` ssh://git@HOST:PORT."""

    store: Store
    token: str
    web_url: str
    ssh_url: str

    @property
    def url(self) -> str:
        return self.web_url + PREFIX

    def repository(self, request: web.Request) -> Repository:
        """The repository that a request's path names, or 404."""
        found = self.store.get(request.match_info["owner"], request.match_info["repo"])
        if found is None:
            raise not_found()
        return found

    def writable(self, request: web.Request) -> Repository:
        """Likewise, and not archived."""
        found = self.repository(request)
        if found.settings["archived"]:
            raise ApiError(403, "Repository was archived so is read-only.")
        return found

    def account(self, login: str) -> dict[str, Any]:
        """A user or organization as it appears inside other things."""
        # An id that stays the same wherever the platform is made anew.
        number = int.from_bytes(hashlib.sha256(login.lower().encode()).digest()[:4], "big")
        user = login == USER
        url = f"{self.url}/users/{login}"
        return {
            "login": login,
            "id": number,
            "node_id": f"{'U' if user else 'O'}_{number}",
            "avatar_url": "",
            "gravatar_id": "",
            "url": url,
            "html_url": f"{self.web_url}/{login}",
            "followers_url": f"{url}/followers",
            "following_url": f"{url}/following{{/other_user}}",
            "gists_url": f"{url}/gists{{/gist_id}}",
            "starred_url": f"{url}/starred{{/owner}}{{/repo}}",
            "subscriptions_url": f"{url}/subscriptions",
            "organizations_url": f"{url}/orgs",
            "repos_url": f"{url}/repos",
            "events_url": f"{url}/events{{/privacy}}",
            "received_events_url": f"{url}/received_events",
            "type": "User" if user else "Organization",
            "site_admin": False,
        }

    @property
    def person(self) -> Person:
        """Who commits when a request names nobody."""
        return Person(USER, f"{USER}@users.noreply.localhost")


async def body_of(request: web.Request) -> dict[str, Any]:
    """A request's JSON object."""
    raw = await request.read()
    try:
        body = json.loads(raw) if raw else {}
    except ValueError as error:
        raise ApiError(400, "Problems parsing JSON") from error
    if not isinstance(body, dict):
        raise ApiError(400, "Body should be a JSON object")
    return body


def text_of(body: dict[str, Any], field: str, *, required: bool = False) -> str | None:
    """A string of the body. Absent and null are None unless required."""
    value = body.get(field)
    if value is None:
        if required:
            raise ApiError(422, f'Invalid request.\n\n"{field}" wasn\'t supplied.')
        return None
    if not isinstance(value, str):
        raise ApiError(422, f"Invalid request.\n\nFor 'properties/{field}', {json.dumps(value)} is not a string.")
    return value


def flag_of(body: dict[str, Any], field: str, default: bool) -> bool:
    """A boolean of the body."""
    value = body.get(field)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise ApiError(422, f"Invalid request.\n\nFor 'properties/{field}', {json.dumps(value)} is not a boolean.")
    return value


def page_of(request: web.Request) -> tuple[int, int]:
    """(page, how many on one) as the query asks."""
    try:
        return max(1, int(request.query.get("page", "1"))), min(100, max(1, int(request.query.get("per_page", "30"))))
    except ValueError as error:
        raise ApiError(422, "Invalid request.\n\n'page' and 'per_page' are numbers.") from error


def listing(request: web.Request, items: list[Any], *, more: bool) -> web.Response:
    """One page of a list, with a link to the next one if there is more."""
    response = web.json_response(items)
    if more:
        page, _ = page_of(request)
        query = urlencode({**request.query, "page": page + 1})
        response.headers["Link"] = f'<{request.url.origin()}{request.path}?{query}>; rel="next"'
    return response


def sliced(request: web.Request, items: list[Any]) -> web.Response:
    """The page of a whole list that a request asks for."""
    page, size = page_of(request)
    return listing(request, items[(page - 1) * size : page * size], more=len(items) > page * size)


@web.middleware
async def errors_as_github(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Errors in GitHub's shape, an unknown path included; an ETag for every answer, and 304 to a client that has it."""
    if not request.path.startswith(PREFIX):
        return await handler(request)
    try:
        response = await handler(request)
    except ApiError as error:
        return error.response()
    except web.HTTPRequestEntityTooLarge:
        return ApiError(413, "Payload too big").response()
    except web.HTTPException as error:
        return ApiError(error.status, "Not Found" if error.status == 404 else error.reason).response()
    if request.method == "GET" and isinstance(response, web.Response) and isinstance(response.body, bytes):
        etag = f'W/"{hashlib.sha256(response.body).hexdigest()}"'
        if request.headers.get("If-None-Match") == etag:
            return web.Response(status=304, headers={"ETag": etag})
        response.headers["ETag"] = etag
    return response


def authentication(token: str) -> Any:
    """Middleware that asks for the platform's token, as a bearer token or GitHub's older form."""

    @web.middleware
    async def authenticated(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path.startswith(PREFIX):
            scheme, _, given = request.headers.get("Authorization", "").partition(" ")
            if not scheme:
                raise ApiError(401, "Requires authentication")
            if scheme.lower() not in ("bearer", "token") or given.strip() != token:
                raise ApiError(401, "Bad credentials")
        return await handler(request)

    return authenticated
