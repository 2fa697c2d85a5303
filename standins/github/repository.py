"""GitHub stand-in: the Repository resource and the getRepository function."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from standins.github.rest import Rest, RestError
from standins.provider import Kind, PartlyDoneError, Property, RefusedError, Values

_NAME = re.compile(r"[-a-zA-Z0-9_.]{1,100}")
_TOPIC = re.compile(r"[a-z0-9][a-z0-9-]{0,49}")

_FLAG = Property(bool)
_ON = Property(bool, default=True)
_OFF = Property(bool, default=False)
_UNSUPPORTED = Property(unsupported=True)

_FIELDS = {
    "description": "description",
    "homepageUrl": "homepage",
    "visibility": "visibility",
    "private": "private",
    "hasIssues": "has_issues",
    "hasDiscussions": "has_discussions",
    "hasProjects": "has_projects",
    "hasWiki": "has_wiki",
    "hasDownloads": "has_downloads",
    "isTemplate": "is_template",
    "allowMergeCommit": "allow_merge_commit",
    "allowSquashMerge": "allow_squash_merge",
    "allowRebaseMerge": "allow_rebase_merge",
    "allowAutoMerge": "allow_auto_merge",
    "allowForking": "allow_forking",
    "allowUpdateBranch": "allow_update_branch",
    "deleteBranchOnMerge": "delete_branch_on_merge",
    "webCommitSignoffRequired": "web_commit_signoff_required",
    "squashMergeCommitTitle": "squash_merge_commit_title",
    "squashMergeCommitMessage": "squash_merge_commit_message",
    "mergeCommitTitle": "merge_commit_title",
    "mergeCommitMessage": "merge_commit_message",
    "archived": "archived",
    "fullName": "full_name",
    "defaultBranch": "default_branch",
    "htmlUrl": "html_url",
    "sshCloneUrl": "ssh_url",
    "svnUrl": "svn_url",
    "gitCloneUrl": "git_url",
    "httpCloneUrl": "clone_url",
    "nodeId": "node_id",
    "repoId": "id",
    "topics": "topics",
}
"""Property -> field of GitHub's API, for all that is read."""

_SENT = (*list(_FIELDS)[: list(_FIELDS).index("fullName")],)


def described(body: dict[str, Any]) -> Values:
    """The properties that GitHub's answer gives; what it has not is empty, as with the official provider."""
    found = {name: body.get(field) for name, field in _FIELDS.items()}
    return {**found, "name": body["name"], "primaryLanguage": body.get("language") or ""} | {
        name: found[name] or "" for name in ("description", "homepageUrl")
    }


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
        "squashMergeCommitTitle": Property(default="COMMIT_OR_PR_TITLE"),
        "squashMergeCommitMessage": Property(default="COMMIT_MESSAGES"),
        "mergeCommitTitle": Property(default="MERGE_MESSAGE"),
        "mergeCommitMessage": Property(default="PR_TITLE"),
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

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @property
    def _rest(self) -> Rest:
        return self._connection.rest

    @property
    def _owner(self) -> str:
        return self._connection.owner

    def check(self, name: str, inputs: Values, seed: bytes) -> Iterable[tuple[str, str]]:
        if "name" not in inputs:
            inputs["name"] = f"{name}-{seed.hex()[:7]}"
        if isinstance(inputs["name"], str) and not _NAME.fullmatch(inputs["name"]):
            yield "name", "must include only alphanumeric characters, underscores or hyphens, at most 100 of them"
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
        body = {**self._body(inputs), "auto_init": inputs.get("autoInit", False)}
        path = ("orgs", self._owner, "repos") if self._connection.is_organization else ("user", "repos")
        try:
            made = self._rest.call("POST", path, body).body
        except RestError as error:
            if "name already exists on this account" in error.errors:
                raise RefusedError(f"{error}: import it (import_={inputs['name']!r}), or take another name") from error
            raise
        name = made["name"]
        try:
            self._set_topics_and_alerts(name, {}, inputs)
        except RefusedError as refused:
            raise PartlyDoneError(name, {**inputs, **described(made)}, str(refused)) from refused
        return name, self._state(name, inputs)

    def read(self, identifier: str, state: Values) -> tuple[str, Values] | None:
        found = self._rest.find("repos", self._owner, identifier)
        if found is None:
            return None
        # An imported repository counts as not initialised by Pulumi, as with the official provider.
        return found.body["name"], self._state(identifier, state or {"autoInit": False})

    def update(self, identifier: str, state: Values, inputs: Values) -> Values:
        if inputs.get("archived") and state.get("archived"):
            return {**state, **inputs}
        body = self._body(inputs)
        if inputs.get("defaultBranch") and inputs["defaultBranch"] != state.get("defaultBranch"):
            body["default_branch"] = inputs["defaultBranch"]
        # Archiving comes last: an archived repository takes no topics any more.
        archives = body.pop("archived") and not state.get("archived")
        name = self._rest.call("PATCH", ("repos", self._owner, identifier), body).body["name"]
        self._set_topics_and_alerts(name, state, inputs)
        if archives or state.get("archived"):
            self._rest.call("PATCH", ("repos", self._owner, name), {"archived": bool(archives)})
        kept = {key: state[key] for key in ("autoInit", "archiveOnDestroy") if key in state and key in inputs}
        return self._state(name, {**kept, **inputs})

    def delete(self, identifier: str, state: Values) -> None:
        if not state.get("archiveOnDestroy"):
            self._rest.call("DELETE", ("repos", self._owner, identifier))
        elif not state.get("archived"):
            self._rest.call("PATCH", ("repos", self._owner, identifier), {"archived": True})

    def _body(self, inputs: Values) -> dict[str, Any]:
        """A request that sets everything, as the official provider sends it: what is absent is emptied."""
        body: dict[str, Any] = {"name": inputs["name"]}
        for name in _SENT:
            declared = self.properties[name]
            if name not in ("visibility", "private") and (name in inputs or not declared.computed):
                body[_FIELDS[name]] = inputs.get(name, declared.type())
        if "visibility" in inputs:
            body["visibility"] = inputs["visibility"]
        elif "private" in inputs:
            body["visibility"] = "private" if inputs["private"] else "public"
        return body

    def _set_topics_and_alerts(self, name: str, state: Values, inputs: Values) -> None:
        if "topics" in inputs and inputs["topics"] != state.get("topics"):
            self._rest.call("PUT", ("repos", self._owner, name, "topics"), {"names": inputs["topics"]})
        if "vulnerabilityAlerts" in inputs and inputs["vulnerabilityAlerts"] != state.get("vulnerabilityAlerts"):
            method = "PUT" if inputs["vulnerabilityAlerts"] else "DELETE"
            self._rest.call(method, ("repos", self._owner, name, "vulnerability-alerts"))

    def _state(self, name: str, known: Values) -> Values:
        answer = self._rest.get("repos", self._owner, name)
        alerts = self._rest.find("repos", self._owner, name, "vulnerability-alerts") is not None
        own = {key: value for key, value in known.items() if key in self.properties}
        return {**own, **described(answer.body), "vulnerabilityAlerts": alerts, "fork": "false", "etag": answer.etag}


class Connection:
    """The API and the owner that the provider was configured with."""

    def __init__(self) -> None:
        self._rest: Rest | None = None
        self.owner = ""
        self.is_organization = False

    @property
    def rest(self) -> Rest:
        if self._rest is None:
            raise RefusedError("the github provider is not configured yet")
        return self._rest

    def open(self, rest: Rest, owner: str) -> None:
        """Use this API, and this owner or else the token's user. Raises RestError if the token is not accepted."""
        login = rest.get("user").body["login"]
        self._rest, self.owner = rest, owner or login
        self.is_organization = self.owner != login and rest.find("orgs", self.owner) is not None
        if self.owner != login and not self.is_organization:
            raise RefusedError(
                f"the embedded Git server has no organization {self.owner}, and the token is {login}'s: set the github "
                "provider's owner (or GITHUB_OWNER) to acme"
            )

    def get_repository(self, arguments: Values) -> Values:
        """github.getRepository: by `fullName`, or `name` of the provider's owner. A missing one has an empty id."""
        full_name, name = arguments.get("fullName"), arguments.get("name")
        if bool(full_name) == bool(name):
            raise RefusedError("getRepository needs either fullName (owner/name) or name")
        owner, _, name = full_name.partition("/") if full_name else (self.owner, "/", name)
        if not owner or not name or "/" in name:
            raise RefusedError(f'unexpected full name format ("{full_name}"), expected owner/repo_name')
        answer = self.rest.find("repos", owner, name)
        if answer is None:
            return {"id": "", "name": name, "fullName": f"{owner}/{name}"}
        lists: Values = {"pages": [], "repositoryLicenses": [], "templates": []}
        return {**described(answer.body), **lists, "fork": bool(answer.body["fork"]), "id": answer.body["name"]}

    def get_branch(self, arguments: Values) -> Values:
        """github.getBranch. A missing branch has an empty id."""
        repository, branch = arguments.get("repository"), arguments.get("branch")
        if not repository or not branch:
            raise RefusedError("getBranch needs repository and branch")
        try:
            answer = self.rest.get("repos", self.owner, repository, "git", "ref", "heads", branch)
        except RestError as error:
            if error.status in (404, 409):  # 409: the repository is empty
                return {"id": "", "repository": repository, "branch": branch}
            raise
        return {
            "id": f"{repository}:{branch}",
            "repository": repository,
            "branch": branch,
            "etag": answer.etag,
            "ref": answer.body["ref"],
            "sha": answer.body["object"]["sha"],
        }
