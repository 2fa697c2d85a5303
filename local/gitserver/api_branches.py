"""GitHub's REST API: branches, and the Git references that they are."""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import web

from local.gitserver import commits
from local.gitserver.api import PREFIX, Api, ApiError, body_of, not_found, sliced, text_of
from local.gitserver.api_contents import commit_representation
from local.gitserver.store import Repository

_HEADS = "refs/heads/"


def add_routes(app: web.Application, api: Api) -> None:
    """Serve /repos/{owner}/{repo}/branches and /git/ref(s)."""

    def reference(repository: Repository, branch: str, sha: str) -> dict[str, Any]:
        url = f"{api.url}/repos/{repository.full_name}/git"
        target = {"type": "commit", "sha": sha, "url": f"{url}/commits/{sha}"}
        return {"ref": _HEADS + branch, "node_id": f"REF_{branch}", "url": f"{url}/{_HEADS}{branch}", "object": target}

    def short(repository: Repository, branch: str, sha: str) -> dict[str, Any]:
        url = f"{api.url}/repos/{repository.full_name}/commits/{sha}"
        return {"name": branch, "commit": {"sha": sha, "url": url}, "protected": False}

    def full(repository: Repository, branch: str) -> dict[str, Any]:
        tip = commits.branch_tip(repository.path, branch)
        if tip is None:
            raise ApiError(404, "Branch not found")
        [commit] = commits.log(repository.path, tip, count=1)
        url = f"{api.url}/repos/{repository.full_name}/branches/{branch}"
        return {
            **short(repository, branch, tip),
            "commit": commit_representation(api, repository, commit),
            "_links": {"self": url, "html": f"{api.web_url}/{repository.full_name}/tree/{branch}"},
            "protection": {
                "enabled": False,
                "required_status_checks": {"enforcement_level": "off", "contexts": [], "checks": []},
            },
            "protection_url": f"{url}/protection",
        }

    def create(repository: Repository, body: dict[str, Any]) -> dict[str, Any]:
        ref, sha = text_of(body, "ref", required=True) or "", text_of(body, "sha", required=True) or ""
        if not commits.branches(repository.path):
            raise ApiError(409, "Git Repository is empty.")
        branch = ref.removeprefix(_HEADS)
        if not ref.startswith(_HEADS) or not commits.is_branch_name(branch):
            raise ApiError(422, f"Reference name must start with '{_HEADS}' here and be a valid branch name.")
        if len(sha) != 40 or commits.resolve(repository.path, sha) != sha:
            raise ApiError(422, "Object does not exist")
        try:
            commits.set_branch(repository.path, branch, sha, commits.NO_COMMIT)
        except commits.BranchMovedError as error:
            raise ApiError(422, "Reference already exists") from error
        return reference(repository, branch, sha)

    def delete(repository: Repository, branch: str) -> None:
        tip = commits.branch_tip(repository.path, branch)
        if tip is None:
            raise ApiError(422, "Reference does not exist")
        if branch == commits.default_branch(repository.path):
            raise ApiError(422, "Cannot delete the default branch")
        try:
            commits.set_branch(repository.path, branch, None, tip)
        except commits.BranchMovedError as error:
            raise ApiError(409, "Reference update failed: somebody pushed to it meanwhile") from error

    def rename(repository: Repository, branch: str, new: str) -> dict[str, Any]:
        tip = commits.branch_tip(repository.path, branch)
        if tip is None:
            raise ApiError(404, "Branch not found")
        if not commits.is_branch_name(new):
            raise ApiError(422, f"{new!r} is not a valid branch name")
        with api.store.committing(repository):
            try:
                commits.set_branch(repository.path, new, tip, commits.NO_COMMIT)
            except commits.BranchMovedError as error:
                raise ApiError(422, "New branch already exists") from error
            if branch == commits.default_branch(repository.path):
                commits.set_default_branch(repository.path, new)
            commits.set_branch(repository.path, branch, None, tip)
        return full(repository, new)

    async def list_all(request: web.Request) -> web.Response:
        repository = api.repository(request)
        found = await asyncio.to_thread(commits.branches, repository.path)
        return sliced(request, [short(repository, branch, sha) for branch, sha in found.items()])

    async def get(request: web.Request) -> web.Response:
        return web.json_response(await asyncio.to_thread(full, api.repository(request), request.match_info["branch"]))

    async def get_reference(request: web.Request) -> web.Response:
        repository, branch = api.repository(request), request.match_info["branch"]
        tip = await asyncio.to_thread(commits.branch_tip, repository.path, branch)
        if tip is None:
            if not await asyncio.to_thread(commits.branches, repository.path):
                raise ApiError(409, "Git Repository is empty.")
            raise not_found()
        return web.json_response(reference(repository, branch, tip))

    async def create_reference(request: web.Request) -> web.Response:
        made = await asyncio.to_thread(create, api.writable(request), await body_of(request))
        return web.json_response(made, status=201)

    async def delete_reference(request: web.Request) -> web.Response:
        await asyncio.to_thread(delete, api.writable(request), request.match_info["branch"])
        return web.Response(status=204)

    async def rename_branch(request: web.Request) -> web.Response:
        repository, body = api.writable(request), await body_of(request)
        new = text_of(body, "new_name", required=True) or ""
        answer = await asyncio.to_thread(rename, repository, request.match_info["branch"], new)
        return web.json_response(answer, status=201)

    repository = f"{PREFIX}/repos/{{owner}}/{{repo}}"
    app.router.add_get(f"{repository}/branches", list_all)
    app.router.add_post(f"{repository}/branches/{{branch:.+}}/rename", rename_branch)
    app.router.add_get(f"{repository}/branches/{{branch:.+}}", get)
    app.router.add_get(f"{repository}/git/ref/heads/{{branch:.+}}", get_reference)
    app.router.add_post(f"{repository}/git/refs", create_reference)
    app.router.add_delete(f"{repository}/git/refs/heads/{{branch:.+}}", delete_reference)
