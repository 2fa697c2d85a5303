"""GitHub stand-in: RepositoryFile, RepositoryDeployKey, Branch and BranchDefault."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from standins.github import git, store
from standins.github.repository import PERSON, Account, change_default_branch, etag
from standins.provider import UNKNOWN, Kind, Property, RefusedError, Values

FORCES = Property(replaces=True, required=True)
"""A property that a resource of this kind cannot do without, nor change."""


def parts(identifier: str, count: int, form: str) -> list[str]:
    """The parts of an id. Raises RefusedError for another form."""
    found = identifier.split(":", count - 1)
    if len(found) != count or not all(found[:2]):
        raise RefusedError(f"{identifier!r} is not an id of this type: write {form}")
    return found


class InRepository(Kind):
    """A resource in a repository of the provider's owner."""

    def __init__(self, account: Account) -> None:
        self.account = account

    def _is_other_repository(self, state: Values, inputs: Values) -> bool:
        """Whether a new repository name is another repository rather than the same one renamed."""
        if inputs["repository"] is UNKNOWN:
            return True
        found = self.account.find(inputs["repository"])
        return found is not None and found.id != state.get("repositoryId")


class RepositoryDeployKey(InRepository):
    """A deploy key. GitHub cannot change deploy keys: any change replaces it."""

    token = "github:index/repositoryDeployKey:RepositoryDeployKey"  # noqa: S105 - a type's name
    properties = {
        "key": FORCES,
        "title": FORCES,
        "repository": FORCES,
        "readOnly": Property(bool, replaces=True, default=True),
    }
    outputs = ("etag",)
    delete_before_replace = True  # GitHub refuses a key that is in use

    def same(self, name: str, old: Any, new: Any) -> bool:
        # GitHub keeps a key without its comment.
        return name == "key" and re.sub(r"^([a-z0-9-]+ [^\s]+)( [^\s]+)?$", r"\1", new.strip()) == old

    def create(self, inputs: Values) -> tuple[str, Values]:
        repository = self.account.repository(inputs["repository"], writing=True)
        if not self.account.store.organization(repository.owner)["deploy_keys_enabled_for_repositories"]:
            raise RefusedError("422 Validation Failed [Deploy keys are disabled for this repository]")
        try:
            made = self.account.store.add_key(repository, inputs["title"], inputs["key"], read_only=inputs["readOnly"])
        except store.KeyInUseError as error:
            where = self._where(repository, inputs["key"])
            raise RefusedError(f"422 Validation Failed [{error}]: {where}") from error
        except store.StoreError as error:
            raise RefusedError(f"422 Validation Failed [{error}]") from error
        return f"{inputs['repository']}:{made.id}", self._state(inputs["repository"], made)

    def _where(self, repository: store.Repository, key: str) -> str:
        for each in repository.keys:
            if self.same("key", each.key, key):
                return (
                    f"this very repository has it, titled {each.title!r}. Import it with the id "
                    f"{repository.name}:{each.id}, or delete it there and try again"
                )
        return "a key opens one repository only. Make a key pair for each repository"

    def _state(self, repository: str, key: store.DeployKey) -> Values:
        state = {"repository": repository, "title": key.title, "key": key.key, "readOnly": key.read_only}
        return {**state, "etag": etag(state)}

    def _find(self, identifier: str) -> tuple[str, store.DeployKey | None]:
        repository, number = parts(identifier, 2, "REPOSITORY:KEY_ID")
        found = self.account.find(repository)
        return repository, next((key for key in found.keys if str(key.id) == number), None) if found else None

    def read(self, identifier: str, state: Values) -> tuple[str, Values] | None:
        repository, key = self._find(identifier)
        return None if key is None else (identifier, self._state(repository, key))

    def delete(self, identifier: str, state: Values) -> None:
        repository, key = self._find(identifier)
        self.account.repository(repository, writing=True)
        if key is None or not self.account.store.remove_key(key.key):
            raise RefusedError(f"404 Not Found: the deploy key {identifier} is gone already. Run `pulumi refresh`")


class RepositoryFile(InRepository):
    """A file of a branch; each change is a commit."""

    token = "github:index/repositoryFile:RepositoryFile"  # noqa: S105 - a type's name
    properties = {
        "repository": Property(required=True),
        "file": FORCES,
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
        for given, needed in (("commitAuthor", "commitEmail"), ("commitEmail", "commitAuthor")):
            if given in inputs and needed not in inputs:
                yield given, f"{given} needs {needed} too"
        file = inputs.get("file")
        if isinstance(file, str) and any(part.lower() in ("", ".", "..", ".git") for part in file.split("/")):
            yield "file", "contains a malformed path component: write a path like clusters/eu.yaml"

    def replaces(self, name: str, state: Values, inputs: Values) -> bool:
        if name == "repository":
            return self._is_other_repository(state, inputs)
        return super().replaces(name, state, inputs)

    def create(self, inputs: Values) -> tuple[str, Values]:
        repository, file = self.account.repository(inputs["repository"], writing=True), inputs["file"]
        branch = inputs.get("branch") or git.default_branch(repository.path)
        tip = git.branch_tip(repository.path, branch)
        if "branch" in inputs and tip is None:
            raise RefusedError(
                f"branch {branch} not found in repository {repository.full_name}: make it first (github.Branch)"
            )
        known = git.entry(repository.path, tip, file) if tip else None
        if known is not None and known.type != "blob":
            raise RefusedError(f"422 {file} of {repository.full_name} is a directory: take another path")
        if known is not None and not inputs["overwriteOnCreate"]:
            raise RefusedError(
                f"refusing to overwrite existing file {file} of {repository.full_name}: configure "
                "`overwriteOnCreate` to `true` to override"
            )
        state = {**inputs, "branch": branch, "repositoryId": repository.id, "sha": known.sha if known else None}
        message = inputs.get("commitMessage") or f"Add {file}"
        state["commitSha"] = self._commit(state, inputs["content"].encode(), message)
        return self._existing(f"{inputs['repository']}:{file.replace(':', '??')}:{branch}", state)

    def _commit(self, state: Values, content: bytes | None, message: str) -> str:
        """Write the file, or delete it (content None), if it still is as `state` has it; the commit's hash."""
        repository, file, branch = state["repository"], state["file"], state["branch"]
        path = self.account.repository(repository, writing=True).path
        person = git.Person(state["commitAuthor"], state["commitEmail"]) if state.get("commitAuthor") else PERSON
        changed = "somebody else changed the file. Run `pulumi refresh`, then try again"
        with self.account.store.changing():
            tip = git.branch_tip(path, branch)
            known = git.entry(path, tip, file) if tip else None
            if (known.sha if known else None) != state["sha"]:
                raise RefusedError(f"409 {file} of {repository} does not match {state['sha']}: {changed}")
            try:
                return git.commit_files(path, branch, {file: content}, message, person, parent=tip)
            except git.BranchMovedError as error:
                raise RefusedError(f"409 {branch} of {repository} moved: {changed}") from error

    def _existing(self, identifier: str, state: Values) -> tuple[str, Values]:
        found = self.read(identifier, state)
        if found is None:
            raise RefusedError(f"the file {state['file']} was deleted as soon as it was written: run the update again")
        return found

    def read(self, identifier: str, state: Values) -> tuple[str, Values] | None:
        if not state:
            repository, file, branch = parts(identifier, 3, "REPOSITORY:FILE:BRANCH, with ?? for a : in FILE")
            imported = self.account.repository(repository)
            branch = branch or git.default_branch(imported.path)
            state = {"repository": repository, "file": file.replace("??", ":"), "branch": branch}
            state |= {"repositoryId": imported.id, "overwriteOnCreate": False}
            identifier = f"{repository}:{file}:{branch}"
        file, branch = state["file"], state["branch"]
        found = self.account.find(state["repository"])
        tip = git.branch_tip(found.path, branch) if found else None
        if found is None or tip is None:
            return None
        known = git.entry(found.path, tip, file)
        if known is None or known.type != "blob":
            return None
        written = git.find_commit(found.path, state.get("commitSha") or "")  # None too where history was rewritten
        [commit] = git.log(found.path, written or tip, path=None if written else file, count=1)
        author = {"commitAuthor": commit.committer.name, "commitEmail": commit.committer.email}
        return identifier, {
            **state,
            "content": git.blob(found.path, known.sha).decode(errors="replace"),
            "sha": known.sha,
            "ref": branch,
            "commitSha": commit.sha,
            "commitMessage": commit.message,
            **(author if state.get("commitAuthor") else {}),
        }

    def update(self, identifier: str, state: Values, inputs: Values) -> Values:
        file = inputs["file"]
        message = inputs.get("commitMessage") or state["commitMessage"]
        new = {**inputs, **{name: state[name] for name in ("branch", "repositoryId", "sha")}}
        message = f"Update {file}" if message == f"Add {file}" else message
        new["commitSha"] = self._commit(new, inputs["content"].encode(), message)
        return self._existing(identifier, new)[1]

    def delete(self, identifier: str, state: Values) -> None:
        file = state["file"]
        message = state.get("commitMessage") or f"Delete {file}"
        if self.read(identifier, state) is None:
            raise RefusedError(f"404 Not Found: the file {file} is gone already. Run `pulumi refresh`")
        self._commit(state, None, f"Delete {file}" if message == f"Add {file}" else message)


class _OfBranches(InRepository):
    """A resource that moves branches."""

    def _rename(self, repository: store.Repository, branch: str, new: str) -> None:
        with self.account.store.changing():
            tip = git.branch_tip(repository.path, branch)
            if tip is None:
                raise RefusedError(f"404 Branch not found: {repository.full_name} has no branch {branch}")
            self._make(repository, new, tip)
            if branch == git.default_branch(repository.path):
                git.set_default_branch(repository.path, new)
            git.set_branch(repository.path, branch, None, tip)

    def _make(self, repository: store.Repository, branch: str, tip: str) -> None:
        try:
            git.set_branch(repository.path, branch, tip, git.NO_COMMIT)
        except git.BranchMovedError as error:
            raise RefusedError(f"422 New branch already exists: {branch}") from error
        except git.GitError as error:
            raise RefusedError(f"422 {branch!r} can't be a branch at {tip}: {error}") from error


class Branch(_OfBranches):
    """A branch; renamed in place."""

    token = "github:index/branch:Branch"  # noqa: S105 - a type's name
    properties = {
        "repository": FORCES,
        "branch": Property(required=True),
        "sourceBranch": Property(default="main", replaces=True),
        "sourceSha": Property(computed=True, replaces=True),
        "etag": Property(ignored=True, computed=True),
    }
    outputs = ("ref", "sha")

    def create(self, inputs: Values) -> tuple[str, Values]:
        repository, branch = self.account.repository(inputs["repository"], writing=True), inputs["branch"]
        start = inputs.get("sourceSha") or git.branch_tip(repository.path, inputs["sourceBranch"])
        if start is None:
            raise RefusedError(f"404 Not Found: {repository.full_name} has no branch {inputs['sourceBranch']}")
        if git.branch_tip(repository.path, branch) is None:  # the official provider takes an existing one over
            self._make(repository, branch, start)
        return self._existing({**inputs, "sourceSha": start})

    def _existing(self, state: Values) -> tuple[str, Values]:
        found = self.read(f"{state['repository']}:{state['branch']}", state)
        if found is None:
            raise RefusedError(f"the branch {state['branch']} of {state['repository']} is gone: run `pulumi refresh`")
        return found

    def read(self, identifier: str, state: Values) -> tuple[str, Values] | None:
        repository, branch = parts(identifier, 2, "REPOSITORY:BRANCH")
        if not state:  # imported as REPOSITORY:BRANCH, or REPOSITORY:BRANCH:SOURCE_BRANCH
            branch, _, source = branch.partition(":")
            state = {"sourceBranch": source or "main"}
        branch = state.get("branch", branch)  # renamed since it got its id
        found = self.account.get_branch({"repository": repository, "branch": branch})
        identifier = found.pop("id")
        return (identifier, {**state, **found}) if identifier else None

    def update(self, identifier: str, state: Values, inputs: Values) -> Values:
        repository = self.account.repository(state["repository"], writing=True)
        self._rename(repository, state["branch"], inputs["branch"])
        # An update can't change the id in the engine: it stays until the next refresh.
        return self._existing({**state, **inputs})[1]

    def delete(self, identifier: str, state: Values) -> None:
        repository, branch = self.account.repository(state["repository"], writing=True), state["branch"]
        tip = git.branch_tip(repository.path, branch)
        if tip is None:
            raise RefusedError(f"422 Reference does not exist: the branch {branch} is gone. Run `pulumi refresh`")
        if branch == git.default_branch(repository.path):
            raise RefusedError(f"422 Cannot delete the default branch: make another one than {branch} the default")
        try:
            git.set_branch(repository.path, branch, None, tip)
        except git.BranchMovedError as error:
            raise RefusedError(f"409 somebody pushed to {branch} meanwhile: try again") from error


class BranchDefault(_OfBranches):
    """The default branch of a repository. Deleting the resource changes nothing."""

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
        repository = self.account.find(state.get("repository") or identifier)
        return (
            None if repository is None else (identifier, self._state(repository, {"repository": identifier, **state}))
        )

    def _state(self, repository: store.Repository, known: Values) -> Values:
        found: Values = {"branch": git.default_branch(repository.path), "repositoryId": repository.id}
        return {**known, **found, "etag": etag(found)}

    def update(self, identifier: str, state: Values, inputs: Values) -> Values:
        repository, branch = self.account.repository(inputs["repository"], writing=True), inputs["branch"]
        current = git.default_branch(repository.path)
        if current != branch and inputs["rename"]:
            self._rename(repository, current, branch)
        elif current != branch:
            change_default_branch(repository, branch)
        return self._state(repository, inputs)

    def delete(self, identifier: str, state: Values) -> None:
        pass
