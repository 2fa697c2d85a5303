"""GitHub stand-in: RepositoryFile, RepositoryDeployKey, Branch and BranchDefault."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from typing import Any

from standins.github.repository import Connection
from standins.github.rest import Answer, Rest, RestError
from standins.provider import UNKNOWN, Kind, Property, RefusedError, Values

_FORCES = Property(replaces=True, required=True)


def _parts(identifier: str, count: int, form: str) -> list[str]:
    parts = identifier.split(":", count - 1)
    if len(parts) != count or not all(parts[:2]):
        raise RefusedError(f"{identifier!r} is not an id of this type: write {form}")
    return parts


class _InRepository(Kind):
    """What lives in a repository of the provider's owner."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @property
    def _rest(self) -> Rest:
        return self._connection.rest

    def _path(self, repository: str, *more: str) -> tuple[str, ...]:
        return ("repos", self._connection.owner, repository, *more)

    def _is_other_repository(self, state: Values, inputs: Values) -> bool:
        """Whether a new repository name is another repository rather than the same one renamed."""
        if inputs["repository"] is UNKNOWN:
            return True
        found = self._rest.find(*self._path(inputs["repository"]))
        return found is not None and found.body["id"] != state.get("repositoryId")


class RepositoryDeployKey(_InRepository):
    """A deploy key, which GitHub can't change: any change makes a new one."""

    token = "github:index/repositoryDeployKey:RepositoryDeployKey"  # noqa: S105 - a type's name
    properties = {
        "key": _FORCES,
        "title": _FORCES,
        "repository": _FORCES,
        "readOnly": Property(bool, replaces=True, default=True),
    }
    outputs = ("etag",)
    delete_before_replace = True  # GitHub refuses a key that is in use

    def same(self, name: str, old: Any, new: Any) -> bool:
        # GitHub keeps a key without its comment.
        return name == "key" and re.sub(r"^([a-z0-9-]+ [^\s]+)( [^\s]+)?$", r"\1", new.strip()) == old

    def create(self, inputs: Values) -> tuple[str, Values]:
        repository = inputs["repository"]
        body = {"title": inputs["title"], "key": inputs["key"], "read_only": inputs["readOnly"]}
        try:
            made = self._rest.call("POST", self._path(repository, "keys"), body).body
        except RestError as error:
            if "key is already in use" in error.errors:
                raise RefusedError(f"{error}: {self._where(repository, inputs['key'])}") from error
            raise
        found = self.read(f"{repository}:{made['id']}", {})
        if found is None:
            raise RefusedError(f"the deploy key {inputs['title']} of {repository} was deleted as soon as it was made")
        return found

    def _where(self, repository: str, key: str) -> str:
        for each in self._rest.get(*self._path(repository, "keys"), per_page="100").body:
            if self.same("key", each["key"], key):
                return (
                    f"this very repository has it, titled {each['title']!r}. Import it with the id "
                    f"{repository}:{each['id']}, or delete it there and try again"
                )
        return "a key opens one repository only. Make a key pair for each repository"

    def read(self, identifier: str, state: Values) -> tuple[str, Values] | None:
        repository, number = _parts(identifier, 2, "REPOSITORY:KEY_ID")
        answer = self._rest.find(*self._path(repository, "keys", number))
        if answer is None:
            return None
        key = answer.body
        return identifier, {
            "repository": repository,
            "title": key["title"],
            "key": key["key"],
            "readOnly": key["read_only"],
            "etag": answer.etag,
        }

    def delete(self, identifier: str, state: Values) -> None:
        repository, number = _parts(identifier, 2, "REPOSITORY:KEY_ID")
        self._rest.call("DELETE", self._path(repository, "keys", number))


class RepositoryFile(_InRepository):
    """A file of a branch; each change is a commit."""

    token = "github:index/repositoryFile:RepositoryFile"  # noqa: S105 - a type's name
    properties = {
        "repository": Property(required=True),
        "file": _FORCES,
        "content": Property(required=True),
        "branch": Property(computed=True, replaces=True),
        "commitMessage": Property(computed=True),
        "commitAuthor": Property(),
        "commitEmail": Property(),
        "overwriteOnCreate": Property(bool, default=False),
        "autocreateBranch": Property(bool, unsupported=True),
        "autocreateBranchSourceBranch": Property(unsupported=True),
        "autocreateBranchSourceSha": Property(unsupported=True),
    }
    outputs = ("commitSha", "ref", "sha", "repositoryId")

    def check(self, name: str, inputs: Values, seed: bytes) -> Iterable[tuple[str, str]]:
        for one, other in (("commitAuthor", "commitEmail"), ("commitEmail", "commitAuthor")):
            if one in inputs and other not in inputs:
                yield one, f"{one} needs {other} beside it"

    def replaces(self, name: str, state: Values, inputs: Values) -> bool:
        if name == "repository":
            return self._is_other_repository(state, inputs)
        return super().replaces(name, state, inputs)

    def create(self, inputs: Values) -> tuple[str, Values]:
        repository, file = inputs["repository"], inputs["file"]
        info = self._rest.get(*self._path(repository)).body
        branch = inputs.get("branch") or info["default_branch"]
        if "branch" in inputs and self._rest.find(*self._path(repository, "branches", branch)) is None:
            raise RefusedError(
                f"branch {branch} not found in repository {info['full_name']}: make it first (github.Branch)"
            )
        body = self._body(inputs, branch, inputs.get("commitMessage") or f"Add {file}")
        known = self._rest.find(*self._path(repository, "contents", file), ref=branch)
        if known is not None:
            if not inputs["overwriteOnCreate"]:
                raise RefusedError(
                    f"refusing to overwrite existing file {file} of {info['full_name']}: configure "
                    "`overwriteOnCreate` to `true` to override"
                )
            body["sha"] = known.body["sha"]
        made = self._rest.call("PUT", self._path(repository, "contents", file), body).body
        state = {**inputs, "branch": branch, "repositoryId": info["id"], "commitSha": made["commit"]["sha"]}
        return self._existing(f"{repository}:{file.replace(':', '??')}:{branch}", state)

    def _body(self, inputs: Values, branch: str, message: str) -> dict[str, Any]:
        content = base64.b64encode(inputs["content"].encode()).decode()
        body: dict[str, Any] = {"message": message, "content": content, "branch": branch}
        if inputs.get("commitAuthor"):
            person = {"name": inputs["commitAuthor"], "email": inputs["commitEmail"]}
            body |= {"author": person, "committer": person}
        return body

    def _existing(self, identifier: str, state: Values) -> tuple[str, Values]:
        found = self.read(identifier, state)
        if found is None:
            raise RefusedError(f"the file {state['file']} was deleted as soon as it was written: run the update again")
        return found

    def read(self, identifier: str, state: Values) -> tuple[str, Values] | None:
        if not state:
            repository, file, branch = _parts(identifier, 3, "REPOSITORY:FILE:BRANCH, with ?? for a : in FILE")
            info = self._rest.get(*self._path(repository)).body
            branch = branch or info["default_branch"]
            state = {"repository": repository, "file": file.replace("??", ":"), "branch": branch}
            state |= {"repositoryId": info["id"], "overwriteOnCreate": False}
            identifier = f"{repository}:{file}:{branch}"
        repository, file, branch = state["repository"], state["file"], state["branch"]
        found = self._rest.find(*self._path(repository, "contents", file), ref=branch)
        if found is None or not isinstance(found.body, dict) or "content" not in found.body:
            return None
        commit = self._commit(repository, file, branch, state.get("commitSha"))
        committer = commit["commit"]["committer"]
        author = {"commitAuthor": committer["name"], "commitEmail": committer["email"]}
        return identifier, {
            **state,
            "content": base64.b64decode(found.body["content"]).decode(errors="replace"),
            "sha": found.body["sha"],
            "ref": branch,
            "commitSha": commit["sha"],
            "commitMessage": commit["commit"]["message"],
            **(author if state.get("commitAuthor") else {}),
        }

    def _commit(self, repository: str, file: str, branch: str, known: str | None) -> dict[str, Any]:
        if known:
            return self._rest.get(*self._path(repository, "commits", known)).body
        found = self._rest.get(*self._path(repository, "commits"), path=file, sha=branch, per_page="1").body
        return found[0]

    def update(self, identifier: str, state: Values, inputs: Values) -> Values:
        repository, file, branch = inputs["repository"], inputs["file"], state["branch"]
        message = inputs.get("commitMessage") or state["commitMessage"]
        body = self._body(inputs, branch, f"Update {file}" if message == f"Add {file}" else message)
        body["sha"] = state["sha"]
        made = self._change("PUT", repository, file, body).body
        new = {**inputs, "branch": branch, "repositoryId": state["repositoryId"], "commitSha": made["commit"]["sha"]}
        return self._existing(identifier, new)[1]

    def delete(self, identifier: str, state: Values) -> None:
        repository, file = state["repository"], state["file"]
        message = state.get("commitMessage") or f"Delete {file}"
        body = self._body(state, state["branch"], f"Delete {file}" if message == f"Add {file}" else message)
        del body["content"]
        body["sha"] = state["sha"]
        self._change("DELETE", repository, file, body)

    def _change(self, method: str, repository: str, file: str, body: dict[str, Any]) -> Answer:
        try:
            return self._rest.call(method, self._path(repository, "contents", file), body)
        except RestError as error:
            if error.status == 409:
                raise RefusedError(
                    f"{error}: somebody else changed the file. Run `pulumi refresh`, then try again"
                ) from error
            if error.status == 404 and method == "DELETE":
                raise RefusedError(f"{error}; if the file is gone already, run `pulumi refresh`") from error
            raise


class Branch(_InRepository):
    """A branch; renamed in place."""

    token = "github:index/branch:Branch"  # noqa: S105 - a type's name
    properties = {
        "repository": _FORCES,
        "branch": Property(required=True),
        "sourceBranch": Property(default="main", replaces=True),
        "sourceSha": Property(computed=True, replaces=True),
        "etag": Property(ignored=True, computed=True),
    }
    outputs = ("ref", "sha")

    def create(self, inputs: Values) -> tuple[str, Values]:
        repository, branch = inputs["repository"], inputs["branch"]
        start = inputs.get("sourceSha")
        if not start:
            source = self._rest.get(*self._path(repository, "git", "ref", "heads", inputs["sourceBranch"])).body
            start = source["object"]["sha"]
        try:
            body = {"ref": f"refs/heads/{branch}", "sha": start}
            self._rest.call("POST", self._path(repository, "git", "refs"), body)
        except RestError as error:
            if error.message != "Reference already exists":  # the official provider then takes the branch over
                raise
        found = self.read(f"{repository}:{branch}", {**inputs, "sourceSha": start})
        if found is None:
            raise RefusedError(
                f"the branch {branch} of {repository} was deleted as soon as it was made: run the update again"
            )
        return found

    def read(self, identifier: str, state: Values) -> tuple[str, Values] | None:
        repository, branch = _parts(identifier, 2, "REPOSITORY:BRANCH")
        if not state:  # imported as REPOSITORY:BRANCH, or REPOSITORY:BRANCH:SOURCE_BRANCH
            branch, _, source = branch.partition(":")
            state = {"sourceBranch": source or "main"}
        branch = state.get("branch", branch)  # renamed since it got its id
        answer = self._rest.find(*self._path(repository, "git", "ref", "heads", branch))
        if answer is None:
            return None
        found = {"repository": repository, "branch": branch, "ref": answer.body["ref"], "etag": answer.etag}
        return f"{repository}:{branch}", {**state, **found, "sha": answer.body["object"]["sha"]}

    def update(self, identifier: str, state: Values, inputs: Values) -> Values:
        repository, body = state["repository"], {"new_name": inputs["branch"]}
        self._rest.call("POST", self._path(repository, "branches", state["branch"], "rename"), body)
        # The engine can't be told of a new id on update: it stays until the next refresh.
        found = self.read(identifier, {**state, **inputs})
        if found is None:
            raise RefusedError(f"the branch {inputs['branch']} of {repository} is gone: run `pulumi refresh`")
        return found[1]

    def delete(self, identifier: str, state: Values) -> None:
        self._rest.call("DELETE", self._path(state["repository"], "git", "refs", "heads", state["branch"]))


class BranchDefault(_InRepository):
    """Which branch is the default one. Deleting it changes nothing."""

    token = "github:index/branchDefault:BranchDefault"  # noqa: S105 - a type's name
    properties = {
        "repository": Property(required=True),
        "branch": Property(required=True),
        "rename": Property(bool, default=False),
        "waitForRename": Property(bool, default=False),
        "etag": Property(ignored=True, computed=True),
    }
    outputs = ("repositoryId",)

    def replaces(self, name: str, state: Values, inputs: Values) -> bool:
        return name == "repository" and self._is_other_repository(state, inputs)

    def create(self, inputs: Values) -> tuple[str, Values]:
        return inputs["repository"], self.update(inputs["repository"], {}, inputs)

    def read(self, identifier: str, state: Values) -> tuple[str, Values] | None:
        repository = state.get("repository") or identifier
        answer = self._rest.find(*self._path(repository))
        if answer is None:
            return None
        found = {"repository": repository, "branch": answer.body["default_branch"]}
        return identifier, {**state, **found, "repositoryId": answer.body["id"], "etag": answer.etag}

    def update(self, identifier: str, state: Values, inputs: Values) -> Values:
        path, branch = self._path(inputs["repository"]), inputs["branch"]
        current = self._rest.get(*path).body["default_branch"]
        if current != branch and inputs["rename"]:
            self._rest.call("POST", (*path, "branches", current, "rename"), {"new_name": branch})
        elif current != branch:
            self._rest.call("PATCH", path, {"default_branch": branch})
        found = self.read(inputs["repository"], inputs)
        if found is None:
            raise RefusedError(f"the repository {inputs['repository']} is gone: run `pulumi refresh`")
        return found[1]

    def delete(self, identifier: str, state: Values) -> None:
        pass
