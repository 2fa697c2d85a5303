"""GitHub's REST API: deploy keys."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import asyncssh
from aiohttp import web

from local.gitserver import ssh
from local.gitserver.api import PREFIX, Api, ApiError, body_of, flag_of, invalid, not_found, sliced, text_of
from local.gitserver.store import DeployKey, Repository, new_id, now


def representation(api: Api, repository: Repository, key: DeployKey) -> dict[str, Any]:
    """A deploy key as GitHub shows it."""
    return {
        "id": key.id,
        "key": key.key,
        "url": f"{api.url}/repos/{repository.full_name}/keys/{key.id}",
        "title": key.title,
        "verified": True,
        "created_at": key.created_at,
        "read_only": key.read_only,
        "added_by": "platform",
        "last_used": None,
        "enabled": True,
    }


def _public_key(text: str) -> str:
    """A public key as "TYPE BASE64", or 422."""
    refused = invalid("PublicKey", "key", "key is invalid. You must supply a key in OpenSSH public key format")
    if "PRIVATE KEY" in text or "\n" in text.strip():
        raise refused
    try:
        key = asyncssh.import_public_key(text.strip())
    except asyncssh.KeyImportError as error:
        raise refused from error
    normal = ssh.text(key)
    if text.split()[:2] != normal.split():
        raise refused  # another format, such as PEM on one line
    return normal


def add_routes(app: web.Application, api: Api, user_key: str) -> None:
    """Serve /repos/{owner}/{repo}/keys. The platform user's own key can't be a deploy key."""

    def add(repository: Repository, body: dict[str, Any]) -> DeployKey:
        public_key = _public_key(text_of(body, "key", required=True) or "")
        key = DeployKey(
            id=new_id(),
            title=text_of(body, "title") or "",
            key=public_key,
            read_only=flag_of(body, "read_only", False),
            created_at=now(),
        )
        with api.store.changing():
            if public_key == user_key or api.store.key(public_key) is not None:
                raise invalid("PublicKey", "key", "key is already in use")
            current = api.store.get(repository.owner, repository.name)
            if current is None:
                raise not_found()
            api.store.save(replace(current, keys=(*current.keys, key)))
        return key

    def remove(repository: Repository, number: str) -> None:
        with api.store.changing():
            current = api.store.get(repository.owner, repository.name)
            if current is None or number not in {str(key.id) for key in current.keys}:
                raise not_found()
            api.store.save(replace(current, keys=tuple(key for key in current.keys if str(key.id) != number)))

    async def list_all(request: web.Request) -> web.Response:
        repository = api.repository(request)
        return sliced(request, [representation(api, repository, key) for key in repository.keys])

    async def get(request: web.Request) -> web.Response:
        repository = api.repository(request)
        for key in repository.keys:
            if str(key.id) == request.match_info["key_id"]:
                return web.json_response(representation(api, repository, key))
        raise not_found()

    async def post(request: web.Request) -> web.Response:
        repository = api.writable(request)
        body = await body_of(request)
        if not isinstance(body.get("title", ""), str):
            raise ApiError(422, "Invalid request.\n\n'title' is a string.")
        key = await asyncio.to_thread(add, repository, body)
        return web.json_response(representation(api, repository, key), status=201)

    async def delete(request: web.Request) -> web.Response:
        await asyncio.to_thread(remove, api.writable(request), request.match_info["key_id"])
        return web.Response(status=204)

    keys = f"{PREFIX}/repos/{{owner}}/{{repo}}/keys"
    app.router.add_get(keys, list_all)
    app.router.add_post(keys, post)
    app.router.add_get(f"{keys}/{{key_id}}", get)
    app.router.add_delete(f"{keys}/{{key_id}}", delete)
