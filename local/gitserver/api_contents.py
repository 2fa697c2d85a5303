"""GitHub's REST API: read, write and delete files, each write one commit; and list commits."""

from __future__ import annotations

import asyncio
import base64
import binascii
from typing import Any
from urllib.parse import quote, urlencode

from aiohttp import web

from local.gitserver import commits
from local.gitserver.api import PREFIX, Api, ApiError, body_of, listing, not_found, page_of, text_of
from local.gitserver.commits import Commit, Entry, Person
from local.gitserver.store import Repository

_CONTENT_LIMIT_BYTES = 1024 * 1024
"""GitHub leaves the content out of the answer for larger files."""

_TYPES = {"blob": "file", "tree": "dir", "commit": "submodule"}


def commit_representation(api: Api, repository: Repository, commit: Commit) -> dict[str, Any]:
    """A commit as GitHub shows it in lists."""
    url = f"{api.url}/repos/{repository.full_name}"
    page = f"{api.web_url}/{repository.full_name}"
    return {
        "sha": commit.sha,
        "node_id": f"C_{commit.sha}",
        "commit": {
            **_git_commit(api, repository, commit),
            "comment_count": 0,
            "url": f"{url}/git/commits/{commit.sha}",
        },
        "url": f"{url}/commits/{commit.sha}",
        "html_url": f"{page}/commit/{commit.sha}",
        "comments_url": f"{url}/commits/{commit.sha}/comments",
        "author": None,
        "committer": None,
        "parents": _parents(api, repository, commit),
    }


def _parents(api: Api, repository: Repository, commit: Commit) -> list[dict[str, str]]:
    url, page = f"{api.url}/repos/{repository.full_name}", f"{api.web_url}/{repository.full_name}"
    return [
        {"sha": sha, "url": f"{url}/git/commits/{sha}", "html_url": f"{page}/commit/{sha}"} for sha in commit.parents
    ]


def _git_commit(api: Api, repository: Repository, commit: Commit) -> dict[str, Any]:
    url = f"{api.url}/repos/{repository.full_name}/git/trees/{commit.tree}"
    return {
        "message": commit.message,
        "author": {"name": commit.author.name, "email": commit.author.email, "date": commit.authored_at},
        "committer": {"name": commit.committer.name, "email": commit.committer.email, "date": commit.committed_at},
        "tree": {"sha": commit.tree, "url": url},
        "verification": {
            "verified": False,
            "reason": "unsigned",
            "signature": None,
            "payload": None,
            "verified_at": None,
        },
    }


def _entry_representation(
    api: Api, repository: Repository, entry: Entry, ref: str, content: bytes | None = None
) -> dict[str, Any]:
    path = quote(entry.path, errors="surrogateescape")
    url = f"{api.url}/repos/{repository.full_name}/contents/{path}?{urlencode({'ref': ref})}"
    git_url = f"{api.url}/repos/{repository.full_name}/git/{entry.type}s/{entry.sha}"
    html_url = f"{api.web_url}/{repository.full_name}/{entry.type}/{quote(ref)}/{path}"
    shown: dict[str, Any] = {
        "name": entry.path.rpartition("/")[2],
        "path": entry.path,
        "sha": entry.sha,
        "size": entry.size,
        "url": url,
        "html_url": html_url,
        "git_url": git_url,
        "download_url": None,
        "type": "symlink" if entry.mode == "120000" else _TYPES[entry.type],
        "_links": {"self": url, "git": git_url, "html": html_url},
    }
    if content is not None:
        small = len(content) <= _CONTENT_LIMIT_BYTES
        shown["content"] = base64.encodebytes(content).decode() if small else ""
        shown["encoding"] = "base64" if small else "none"
    return shown


def _path(request: web.Request) -> str:
    path = request.match_info.get("path", "")
    if path.startswith("/"):
        raise ApiError(422, "path cannot start with a slash")
    path = path.rstrip("/")
    if path and any(part.lower() in ("", ".", "..", ".git") for part in path.split("/")):
        raise ApiError(422, "path contains a malformed path component")
    return path


def _person(body: dict[str, Any], field: str, default: Person) -> Person:
    given = body.get(field)
    if given is None:
        return default
    if not isinstance(given, dict):
        raise ApiError(422, f"Invalid request.\n\nFor 'properties/{field}', this is not an object.")
    name, email = text_of(given, "name", required=True), text_of(given, "email", required=True)
    if not name or not email:
        raise ApiError(422, f"Invalid request.\n\n{field} needs a name and an email.")
    return Person(name, email)


def _content(body: dict[str, Any]) -> bytes:
    text = text_of(body, "content", required=True) or ""
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise ApiError(422, "content is not valid Base64") from error


def add_routes(app: web.Application, api: Api) -> None:
    """Serve /repos/{owner}/{repo}/contents/{path} and /commits."""

    def read(repository: Repository, path: str, wanted: str | None) -> Any:
        ref = wanted or commits.default_branch(repository.path)
        commit = commits.resolve(repository.path, ref)
        if commit is None:
            if not commits.branches(repository.path):
                raise ApiError(404, "This repository is empty.")
            raise ApiError(404, f"No commit found for the ref {ref}")
        if not path:
            found = commits.folder(repository.path, commit, "")
            return [_entry_representation(api, repository, each, ref) for each in found]
        entry = commits.entry(repository.path, commit, path)
        if entry is None:
            raise not_found()
        if entry.type == "tree":
            found = commits.folder(repository.path, commit, path)
            return [_entry_representation(api, repository, each, ref) for each in found]
        content = commits.blob(repository.path, entry.sha) if entry.type == "blob" else None
        return _entry_representation(api, repository, entry, ref, content)

    def write(repository: Repository, path: str, body: dict[str, Any], content: bytes | None) -> tuple[int, Any]:
        """Create, update or (content None) delete a file; its status and answer."""
        if not path:
            raise ApiError(422, "path can't be blank")
        message = text_of(body, "message", required=True) or ""
        sha = text_of(body, "sha", required=content is None)
        branch = text_of(body, "branch") or commits.default_branch(repository.path)
        committer = _person(body, "committer", api.person)
        author = _person(body, "author", committer)
        with api.store.committing(repository):
            tip = commits.branch_tip(repository.path, branch)
            if tip is None and commits.branches(repository.path):
                raise ApiError(404, f"Branch {branch} not found")
            known = commits.entry(repository.path, tip, path) if tip else None
            if known is None and content is None:
                raise not_found()
            if known is not None and known.type == "tree":
                raise ApiError(422, "path is a directory")
            if known is not None and not sha:
                raise ApiError(422, 'Invalid request.\n\n"sha" wasn\'t supplied.')
            if sha and (known is None or known.sha != sha):
                raise ApiError(409, f"{path} does not match {sha}")
            try:
                new = commits.commit_files(
                    repository.path, branch, {path: content}, message, author, committer, parent=tip
                )
            except commits.BranchMovedError as error:
                raise ApiError(409, f"is at another commit now but expected {tip}") from error
        [commit] = commits.log(repository.path, new, count=1)
        shown = commit_representation(api, repository, commit)
        made = {**_git_commit(api, repository, commit), "parents": shown["parents"]}
        made |= {"sha": new, "node_id": shown["node_id"], "url": shown["commit"]["url"], "html_url": shown["html_url"]}
        entry = commits.entry(repository.path, new, path) if content is not None else None
        described = _entry_representation(api, repository, entry, branch) if entry is not None else None
        return (201 if known is None else 200), {"content": described, "commit": made}

    def history(repository: Repository, query: Any, page: tuple[int, int]) -> tuple[list[Any], bool]:
        ref = query.get("sha") or commits.default_branch(repository.path)
        commit = commits.resolve(repository.path, ref)
        if commit is None:
            if not commits.branches(repository.path):
                raise ApiError(409, "Git Repository is empty.")
            raise not_found()
        number, size = page
        found = commits.log(
            repository.path, commit, path=query.get("path") or None, count=size + 1, skip=(number - 1) * size
        )
        return [commit_representation(api, repository, each) for each in found[:size]], len(found) > size

    def one(repository: Repository, ref: str) -> Any:
        commit = commits.resolve(repository.path, ref)
        if commit is None:
            raise ApiError(422, f"No commit found for SHA: {ref}")
        [found] = commits.log(repository.path, commit, count=1)
        return commit_representation(api, repository, found)

    async def get(request: web.Request) -> web.Response:
        repository = api.repository(request)
        return web.json_response(await asyncio.to_thread(read, repository, _path(request), request.query.get("ref")))

    async def put(request: web.Request) -> web.Response:
        repository, body = api.writable(request), await body_of(request)
        status, answer = await asyncio.to_thread(write, repository, _path(request), body, _content(body))
        return web.json_response(answer, status=status)

    async def delete(request: web.Request) -> web.Response:
        # GitHub's documentation has these in the body; its own servers take them from the query too.
        repository, body = api.writable(request), {**request.query, **await body_of(request)}
        _, answer = await asyncio.to_thread(write, repository, _path(request), body, None)
        return web.json_response(answer)

    async def list_commits(request: web.Request) -> web.Response:
        found, more = await asyncio.to_thread(history, api.repository(request), request.query, page_of(request))
        return listing(request, found, more=more)

    async def get_commit(request: web.Request) -> web.Response:
        return web.json_response(await asyncio.to_thread(one, api.repository(request), request.match_info["ref"]))

    repository = f"{PREFIX}/repos/{{owner}}/{{repo}}"
    for path in (f"{repository}/contents", f"{repository}/contents/{{path:.*}}"):
        app.router.add_get(path, get)
        app.router.add_put(path, put)
        app.router.add_delete(path, delete)
    app.router.add_get(f"{repository}/commits", list_commits)
    app.router.add_get(f"{repository}/commits/{{ref:.+}}", get_commit)
