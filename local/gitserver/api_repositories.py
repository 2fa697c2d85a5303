"""GitHub's REST API: create, read, change and delete repositories."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from aiohttp import web

from local.gitserver import commits
from local.gitserver.api import PREFIX, USER, Api, ApiError, body_of, flag_of, invalid, not_found, sliced, text_of
from local.gitserver.store import DEFAULT_SETTINGS, AlreadyExistsError, Repository

_FLAGS = [name for name, default in DEFAULT_SETTINGS.items() if isinstance(default, bool) and name != "private"]
_CHOICES = {
    "squash_merge_commit_title": ("PR_TITLE", "COMMIT_OR_PR_TITLE"),
    "squash_merge_commit_message": ("PR_BODY", "COMMIT_MESSAGES", "BLANK"),
    "merge_commit_title": ("PR_TITLE", "MERGE_MESSAGE"),
    "merge_commit_message": ("PR_BODY", "PR_TITLE", "BLANK"),
}
_TOPIC = re.compile(r"[a-z0-9][a-z0-9-]{0,49}")
_UNSUPPORTED = ("gitignore_template", "license_template", "team_id", "security_and_analysis", "custom_properties")


def representation(api: Api, repository: Repository) -> dict[str, Any]:
    """A repository as GitHub shows it."""
    settings = repository.settings
    url = f"{api.url}/repos/{repository.full_name}"
    page = f"{api.web_url}/{repository.full_name}"
    private = repository.private
    return {
        "id": repository.id,
        "node_id": f"R_{repository.id}",
        "name": repository.name,
        "full_name": repository.full_name,
        "owner": api.account(repository.owner),
        "private": private,
        "visibility": "private" if private else "public",
        "html_url": page,
        "url": url,
        "git_url": f"{page}.git",
        "ssh_url": f"{api.ssh_url}/{repository.full_name}.git",
        "clone_url": f"{page}.git",
        "svn_url": page,
        "keys_url": f"{url}/keys{{/key_id}}",
        "contents_url": f"{url}/contents/{{+path}}",
        "branches_url": f"{url}/branches{{/branch}}",
        "commits_url": f"{url}/commits{{/sha}}",
        "git_refs_url": f"{url}/git/refs{{/sha}}",
        "description": settings["description"],
        "homepage": settings["homepage"],
        "fork": False,
        "language": None,
        "license": None,
        "mirror_url": None,
        "size": 0,
        "forks": 0,
        "forks_count": 0,
        "stargazers_count": 0,
        "watchers": 0,
        "watchers_count": 0,
        "subscribers_count": 0,
        "network_count": 0,
        "open_issues": 0,
        "open_issues_count": 0,
        "has_pages": False,
        "disabled": False,
        "default_branch": commits.default_branch(repository.path),
        "created_at": repository.created_at,
        "updated_at": repository.updated_at,
        "pushed_at": repository.created_at,
        "permissions": {"admin": True, "maintain": True, "push": True, "triage": True, "pull": True},
        **{name: settings[name] for name in (*_FLAGS, *_CHOICES, "topics") if name != "vulnerability_alerts"},
    }


def _settings(body: dict[str, Any], current: dict[str, Any]) -> dict[str, Any]:
    """The settings after a request. Refuses what GitHub refuses, and what this server can't do."""
    for field in _UNSUPPORTED:
        if body.get(field):
            raise ApiError(422, f"The embedded Git server has no {field}: leave it out.")
    settings = dict(current)
    for field in ("description", "homepage"):
        if field in body:
            settings[field] = text_of(body, field) or None
    for field in _FLAGS:
        settings[field] = flag_of(body, field, current[field])
    for field, allowed in _CHOICES.items():
        value = text_of(body, field) or current[field]
        if value not in allowed:
            raise ApiError(422, f"Invalid request.\n\n{value} is not a member of {json.dumps(allowed)}.")
        settings[field] = value
    settings["private"] = _private(body, current["private"])
    if not (settings["allow_merge_commit"] or settings["allow_squash_merge"] or settings["allow_rebase_merge"]):
        message = "Sorry, you need to allow at least one merge strategy."
        raise invalid("Repository", "merge_commit_allowed", message)
    if current["archived"] and not settings["archived"]:
        return settings  # GitHub un-archives through the API since 2023
    if current["archived"]:
        raise ApiError(403, "Repository was archived so is read-only.")
    return settings


def _private(body: dict[str, Any], current: bool) -> bool:
    visibility = text_of(body, "visibility")
    if visibility is None:
        return flag_of(body, "private", current)
    if visibility == "internal":
        message = "Only organizations associated with an enterprise can set visibility to internal."
        raise invalid("Repository", "visibility", message)
    if visibility not in ("public", "private"):
        raise ApiError(422, f'Invalid request.\n\n{visibility} is not a member of ["public", "private", "internal"].')
    return visibility == "private"


def _name(body: dict[str, Any]) -> str:
    name = text_of(body, "name")
    if not name:
        error = {"resource": "Repository", "code": "missing_field", "field": "name"}
        raise ApiError(422, "Repository creation failed.", [error])
    if len(name) > 100:
        raise invalid("Repository", "name", "name is too long (maximum is 100 characters)")
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", name).removesuffix(".git")  # GitHub does so too
    if name in ("", ".", ".."):
        raise invalid("Repository", "name", "name is reserved")
    return name


def _exists(title: str) -> ApiError:
    return invalid("Repository", "name", "name already exists on this account", title=title)


def add_routes(app: web.Application, api: Api) -> None:
    """Serve /user/repos, /orgs/{org}/repos and /repos/{owner}/{repo} with its topics and vulnerability alerts."""

    def create(owner: str, body: dict[str, Any]) -> Repository:
        name = _name(body)
        settings = _settings(body, DEFAULT_SETTINGS)

        def readme(path: Path) -> None:
            text = f"# {name}\n" + (f"{settings['description']}\n" if settings["description"] else "")
            commits.commit_files(
                path, "main", {"README.md": text.encode()}, "Initial commit", api.person, api.person, parent=None
            )

        first_commit = readme if flag_of(body, "auto_init", False) else None
        try:
            return api.store.create(owner, name, settings, first_commit=first_commit)
        except AlreadyExistsError as error:
            raise _exists("Repository creation failed.") from error

    def change(repository: Repository, body: dict[str, Any]) -> Repository:
        with api.store.changing():
            settings = _settings(body, repository.settings)
            branch = text_of(body, "default_branch")
            if branch and branch != commits.default_branch(repository.path):
                if commits.branch_tip(repository.path, branch) is None:
                    title = "Validation Failed"
                    message = f"The branch {branch} was not found. Please push that ref first or create it via the API."
                    raise invalid("Repository", "default_branch", message, title=title)
                commits.set_default_branch(repository.path, branch)
            changed = api.store.save(replace(repository, settings=settings))
            if body.get("name") and (name := _name(body)) != repository.name:
                try:
                    changed = api.store.rename(changed, name)
                except AlreadyExistsError as error:
                    raise _exists("Validation Failed") from error
            return changed

    async def create_for_user(request: web.Request) -> web.Response:
        repository = await asyncio.to_thread(create, USER, await body_of(request))
        return web.json_response(representation(api, repository), status=201)

    async def create_for_organization(request: web.Request) -> web.Response:
        wanted = request.match_info["login"].casefold()
        owner = next((each for each in api.store.owners() if each.casefold() == wanted and each != USER), None)
        if owner is None:
            raise not_found()
        repository = await asyncio.to_thread(create, owner, await body_of(request))
        return web.json_response(representation(api, repository), status=201)

    async def list_of_owner(request: web.Request) -> web.Response:
        wanted = request.match_info["login"].casefold()
        owner = next((each for each in api.store.owners() if each.casefold() == wanted), None)
        if owner is None:
            raise not_found()
        return sliced(request, [representation(api, each) for each in api.store.repositories(owner)])

    async def get(request: web.Request) -> web.Response:
        return web.json_response(representation(api, api.repository(request)))

    async def patch(request: web.Request) -> web.Response:
        changed = await asyncio.to_thread(change, api.repository(request), await body_of(request))
        return web.json_response(representation(api, changed))

    async def delete(request: web.Request) -> web.Response:
        await asyncio.to_thread(api.store.delete, api.repository(request))
        return web.Response(status=204)

    async def get_topics(request: web.Request) -> web.Response:
        return web.json_response({"names": api.repository(request).settings["topics"]})

    async def put_topics(request: web.Request) -> web.Response:
        names = (await body_of(request)).get("names")
        if not isinstance(names, list) or not all(isinstance(name, str) and _TOPIC.fullmatch(name) for name in names):
            message = (
                "Topics must start with a lowercase letter or number, consist of 50 characters or less, "
                "and can include hyphens."
            )
            raise ApiError(422, message)
        repository = api.writable(request)
        settings = {**repository.settings, "topics": list(dict.fromkeys(names))}
        api.store.save(replace(repository, settings=settings))
        return web.json_response({"names": settings["topics"]})

    async def vulnerability_alerts(request: web.Request) -> web.Response:
        if request.method in ("GET", "HEAD"):
            if not api.repository(request).settings["vulnerability_alerts"]:
                raise ApiError(404, "Vulnerability alerts are disabled.")
        else:
            repository = api.writable(request)
            settings = {**repository.settings, "vulnerability_alerts": request.method == "PUT"}
            api.store.save(replace(repository, settings=settings))
        return web.Response(status=204)

    one = f"{PREFIX}/repos/{{owner}}/{{repo}}"
    app.router.add_post(f"{PREFIX}/user/repos", create_for_user)
    app.router.add_post(f"{PREFIX}/orgs/{{login}}/repos", create_for_organization)
    app.router.add_get(f"{PREFIX}/orgs/{{login}}/repos", list_of_owner)
    app.router.add_get(f"{PREFIX}/users/{{login}}/repos", list_of_owner)
    app.router.add_get(one, get)
    app.router.add_patch(one, patch)
    app.router.add_delete(one, delete)
    app.router.add_get(f"{one}/topics", get_topics)
    app.router.add_put(f"{one}/topics", put_topics)
    for method in ("GET", "PUT", "DELETE"):
        app.router.add_route(method, f"{one}/vulnerability-alerts", vulnerability_alerts)
