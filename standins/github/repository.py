"""GitHub stand-in: the Repository resource and the getRepository and getBranch functions."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from standins.github import git, store
from standins.provider import Kind, Property, RefusedError, Values

PERSON = git.Person("platform", "platform@users.noreply.localhost")
"""Who commits where the program names no author."""

_NAME = re.compile(r"[-a-zA-Z0-9_.]{1,100}")
_TOPIC = re.compile(r"[a-z0-9][a-z0-9-]{0,49}")

_FLAG = Property(bool)
_ON = Property(bool, default=True)
_OFF = Property(bool, default=False)
_UNSUPPORTED = Property(unsupported=True)

_NEW: Values = {
    "description": "",
    "homepageUrl": "",
    "private": False,
    "hasIssues": True,
    "hasDiscussions": False,
    "hasProjects": True,
    "hasWiki": True,
    "hasDownloads": True,
    "isTemplate": False,
    "allowMergeCommit": True,
    "allowSquashMerge": True,
    "allowRebaseMerge": True,
    "allowAutoMerge": False,
    "allowForking": False,
    "allowUpdateBranch": False,
    "deleteBranchOnMerge": False,
    "webCommitSignoffRequired": False,
    "squashMergeCommitTitle": "COMMIT_OR_PR_TITLE",
    "squashMergeCommitMessage": "COMMIT_MESSAGES",
    "mergeCommitTitle": "MERGE_MESSAGE",
    "mergeCommitMessage": "PR_TITLE",
    "archived": False,
    "topics": [],
    "vulnerabilityAlerts": False,
}
"""The settings that GitHub gives a new repository."""


def etag(state: Values) -> str:
    """A value that changes with the state, as GitHub's ETag does."""
    return f'W/"{hashlib.sha256(repr(sorted(state.items())).encode()).hexdigest()}"'


def described(repository: store.Repository) -> Values:
    """A repository's properties. Its URLs are those on GitHub, which the platform's mirrors lead to the Git server."""
    name = repository.full_name
    found: Values = {
        **{key: repository.settings.get(key, default) for key, default in _NEW.items()},
        "name": repository.name,
        "fullName": name,
        "visibility": "private" if repository.private else "public",
        "defaultBranch": git.default_branch(repository.path),
        "htmlUrl": f"https://github.com/{name}",
        "svnUrl": f"https://github.com/{name}",
        "httpCloneUrl": f"https://github.com/{name}.git",
        "gitCloneUrl": f"git://github.com/{name}.git",
        "sshCloneUrl": f"git@github.com:{name}.git",
        "nodeId": f"R_{repository.id}",
        "repoId": repository.id,
        "primaryLanguage": "",
    }
    return found


def change_default_branch(repository: store.Repository, branch: str) -> None:
    if git.branch_tip(repository.path, branch) is None:
        raise RefusedError(f"422 Validation Failed: the branch {branch} was not found. Push it first, then try again")
    git.set_default_branch(repository.path, branch)


class Repository(Kind):
    """A repository. Renamed in place; nothing replaces it."""

    token = "github:index/repository:Repository"  # noqa: S105 - a type's name
    properties = {
        "name": Property(required=True),
        "description": Property(),
        "homepageUrl": Property(),
        "visibility": Property(computed=True, choices=("public", "private", "internal")),
        "private": Property(bool, computed=True),
        "hasIssues": _FLAG,
        "hasDiscussions": _FLAG,
        "hasProjects": _FLAG,
        "hasWiki": _FLAG,
        "hasDownloads": _FLAG,
        "isTemplate": _FLAG,
        "allowMergeCommit": _ON,
        "allowSquashMerge": _ON,
        "allowRebaseMerge": _ON,
        "allowAutoMerge": _OFF,
        "allowForking": Property(bool, computed=True),
        "allowUpdateBranch": _FLAG,
        "deleteBranchOnMerge": _OFF,
        "webCommitSignoffRequired": Property(bool, computed=True),
        "squashMergeCommitTitle": Property(default="COMMIT_OR_PR_TITLE", choices=("PR_TITLE", "COMMIT_OR_PR_TITLE")),
        "squashMergeCommitMessage": Property(
            default="COMMIT_MESSAGES", choices=("PR_BODY", "COMMIT_MESSAGES", "BLANK")
        ),
        "mergeCommitTitle": Property(default="MERGE_MESSAGE", choices=("PR_TITLE", "MERGE_MESSAGE")),
        "mergeCommitMessage": Property(default="PR_TITLE", choices=("PR_BODY", "PR_TITLE", "BLANK")),
        "autoInit": _FLAG,
        "archived": _OFF,
        "archiveOnDestroy": _FLAG,
        "defaultBranch": Property(computed=True),
        "topics": Property(list, computed=True),
        "vulnerabilityAlerts": Property(bool, computed=True),
        "ignoreVulnerabilityAlertsDuringRead": Property(bool, ignored=True),
        "etag": Property(ignored=True, computed=True),
        "fork": Property(computed=True, choices=("false",)),
        "sourceOwner": _UNSUPPORTED,
        "sourceRepo": _UNSUPPORTED,
        "template": _UNSUPPORTED,
        "pages": _UNSUPPORTED,
        "securityAndAnalysis": _UNSUPPORTED,
        "gitignoreTemplate": _UNSUPPORTED,
        "licenseTemplate": _UNSUPPORTED,
    }
    outputs = (
        *("fullName", "htmlUrl", "sshCloneUrl", "svnUrl", "gitCloneUrl", "httpCloneUrl"),
        *("nodeId", "repoId", "primaryLanguage"),
    )

    def __init__(self, account: Account) -> None:
        self._account = account

    def check(self, name: str, inputs: Values, seed: bytes) -> Iterable[tuple[str, str]]:
        if "name" not in inputs:
            inputs["name"] = f"{name}-{seed.hex()[:7]}"
        if isinstance(inputs["name"], str) and not _NAME.fullmatch(inputs["name"]):
            yield "name", "must include only alphanumeric characters, underscores or hyphens, at most 100 of them"
        if inputs["name"] in (".", "..") or str(inputs["name"]).endswith(".git"):
            yield "name", "is reserved: take another one, without .git at its end"
        if "private" in inputs and "visibility" in inputs:
            yield "private", "conflicts with visibility: give one of them, better visibility"
        topics = inputs.get("topics")
        for topic in topics if isinstance(topics, list) else []:
            if isinstance(topic, str) and not _TOPIC.fullmatch(topic):
                yield "topics", f"{topic!r}: lowercase letters, digits and hyphens only, not a hyphen first, at most 50"

    def same(self, name: str, old: Any, new: Any) -> bool:
        return name == "topics" and isinstance(new, list) and sorted(old) == sorted(new)

    def changes_outputs(self, changed: set[str]) -> Iterable[str]:
        return ("fullName",) if "name" in changed else ()

    def create(self, inputs: Values) -> tuple[str, Values]:
        if inputs.get("defaultBranch", "main") != "main":
            raise RefusedError("cannot set the default branch on a new repository to something other than 'main'")
        name, settings = inputs["name"], self._settings(inputs, {})

        def readme(path: Path) -> None:
            text = f"# {name}\n" + (f"{settings['description']}\n" if settings["description"] else "")
            git.commit_files(path, "main", {"README.md": text.encode()}, "Initial commit", PERSON, parent=None)

        first_commit = readme if inputs.get("autoInit") else None
        try:
            made = self._account.store.create(self._account.owner, name, settings, first_commit=first_commit)
        except store.AlreadyExistsError as error:
            raise RefusedError(
                f"422 Repository creation failed [{error}]: import it (import_={name!r}), or take another name"
            ) from error
        return made.name, self._state(made, inputs)

    def read(self, identifier: str, state: Values) -> tuple[str, Values] | None:
        found = self._account.find(identifier)
        # An imported repository counts as not initialised by Pulumi, as with the official provider.
        return None if found is None else (found.name, self._state(found, state or {"autoInit": False}))

    def update(self, identifier: str, state: Values, inputs: Values) -> Values:
        if inputs.get("archived") and state.get("archived"):
            return {**state, **inputs}
        everything = self._account.store
        with everything.changing():
            current = self._account.repository(identifier, writing=inputs["archived"])
            changed = replace(current, settings=self._settings(inputs, current.settings))
            branch = inputs.get("defaultBranch")
            if branch and branch != state.get("defaultBranch"):
                change_default_branch(current, branch)
            try:
                renamed = inputs["name"] != current.name
                changed = everything.rename(changed, inputs["name"]) if renamed else everything.save(changed)
            except store.AlreadyExistsError as error:
                raise RefusedError(f"422 Validation Failed [{error}]: take another name") from error
        return self._state(changed, inputs)

    def delete(self, identifier: str, state: Values) -> None:
        everything = self._account.store
        if not state.get("archiveOnDestroy"):
            everything.delete(self._account.repository(identifier))
        elif not state.get("archived"):
            with everything.changing():
                current = self._account.repository(identifier)
                everything.save(replace(current, settings={**current.settings, "archived": True}))

    def _settings(self, inputs: Values, current: Values) -> Values:
        """All settings after a change, as the official provider sends them: an absent input empties its setting."""
        settings = {**_NEW, **current}
        for name in _NEW:
            declared = self.properties[name]
            if name in inputs or not declared.computed:
                settings[name] = inputs.get(name, declared.type())
        if inputs.get("visibility") == "internal":
            raise RefusedError("422 Validation Failed: only organizations of an enterprise have internal repositories")
        if "visibility" in inputs:
            settings["private"] = inputs["visibility"] == "private"
        if not any(settings[name] for name in ("allowMergeCommit", "allowSquashMerge", "allowRebaseMerge")):
            raise RefusedError("422 Validation Failed: allow at least one merge strategy")
        return settings

    def _state(self, repository: store.Repository, known: Values) -> Values:
        own = {key: value for key, value in known.items() if key in self.properties}
        found = described(repository)
        return {**own, **found, "fork": "false", "etag": etag(found)}


class Account:
    """The store and the owner that the provider was configured with."""

    def __init__(self) -> None:
        self._store: store.Store | None = None
        self.owner = ""

    @property
    def store(self) -> store.Store:
        if self._store is None:
            raise RefusedError("the github provider is not configured yet")
        return self._store

    def open(self, url: str, owner: str) -> None:
        """Use this folder of repositories, as a file:// URL, and this owner."""
        parts = urlsplit(url)
        folder = Path(unquote(parts.path))
        if parts.scheme != "file":
            raise RefusedError(
                f"the github stand-in works on the embedded Git server's folder only, and {url} is not it: set "
                "GITHUB_BASE_URL as the platform's env file does, or use the official plugin"
            )
        if not folder.is_dir():
            raise RefusedError(f"the embedded Git server has no folder {folder} yet: start it with `make up`")
        found = store.Store(folder)
        owners = found.owners()
        known = [name for name in owners if name.casefold() == owner.casefold()]
        if not known:
            raise RefusedError(
                f"the embedded Git server has no organization {owner or '(none given)'}: set the github provider's "
                f"owner (or GITHUB_OWNER) to one of {', '.join(owners)}"
            )
        self._store, self.owner = found, known[0]

    def find(self, name: str) -> store.Repository | None:
        """The owner's repository of this name; None if there is none."""
        return self.store.get(self.owner, name)

    def repository(self, name: str, *, writing: bool = False) -> store.Repository:
        """Likewise. Raises RefusedError if there is none, or if it is to be written to and archived."""
        found = self.find(name)
        if found is None:
            raise RefusedError(
                f"404 Not Found: {self.owner} has no repository {name}. Check the owner (the provider's owner, or "
                "GITHUB_OWNER) and the repository's name"
            )
        if writing and found.archived:
            raise RefusedError(
                f"403 Repository was archived so is read-only: set archived of {found.full_name} to false first"
            )
        return found

    def get_repository(self, arguments: Values) -> Values:
        """github.getRepository: by `fullName`, or `name` of the provider's owner. A missing one has an empty id."""
        full_name, name = arguments.get("fullName"), arguments.get("name")
        if bool(full_name) == bool(name):
            raise RefusedError("getRepository needs either fullName (owner/name) or name")
        owner, _, name = full_name.partition("/") if full_name else (self.owner, "/", name)
        if not owner or not name or "/" in name:
            raise RefusedError(f'unexpected full name format ("{full_name}"), expected owner/repo_name')
        found = self.store.get(owner, name)
        if found is None:
            return {"id": "", "name": name, "fullName": f"{owner}/{name}"}
        lists: Values = {"pages": [], "repositoryLicenses": [], "templates": []}
        return {**described(found), **lists, "fork": False, "id": found.name}

    def get_rest_api(self, arguments: Values) -> Values:
        """github.getRestApi of an organization; 404 for everything else."""
        endpoint = arguments["endpoint"]
        owner = endpoint.removeprefix("orgs/")
        found = self.store.organization(owner) if endpoint != owner and owner in self.store.owners() else None
        if found and found.get(store.HIDDEN):
            raise RefusedError(f"GET https://api.github.com/{endpoint}: 403 Resource not accessible by integration []")
        code, body = (404, {"message": "Not Found"}) if found is None else (200, found)
        status = f"{code} {'OK' if found else 'Not Found'}"
        answer: Values = {"id": endpoint, "endpoint": endpoint, "headers": "{}"}
        return {**answer, "code": code, "status": status, "body": json.dumps(body)}

    def get_branch(self, arguments: Values) -> Values:
        """github.getBranch. A missing branch has an empty id."""
        repository, branch = arguments.get("repository"), arguments.get("branch")
        if not repository or not branch:
            raise RefusedError("getBranch needs repository and branch")
        found = self.find(repository)
        sha = git.branch_tip(found.path, branch) if found else None
        answer: Values = {"repository": repository, "branch": branch}
        if sha is None:
            return {**answer, "id": ""}
        answer |= {"id": f"{repository}:{branch}", "ref": f"refs/heads/{branch}", "sha": sha}
        return {**answer, "etag": etag(answer)}
