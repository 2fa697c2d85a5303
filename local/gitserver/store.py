"""The repositories that the Git server holds, and what it knows of each: settings and deploy keys.

A repository is one folder, OWNER/NAME.git: Git's bare repository with a record, `repository.json`, inside. Creating,
renaming and deleting are one rename each and a changed record replaces the old one in one step, so a killed process
leaves either the old or the new, never half. Nothing is remembered that is not on disk: what another process adds is
seen at the next look.
"""

from __future__ import annotations

import json
import re
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from local.gitserver import git

OWNER = re.compile(r"[A-Za-z0-9](?:-?[A-Za-z0-9]){0,38}")
NAME = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._-]{1,100}")
ABANDONED_SECONDS = 3600.0

DEFAULT_SETTINGS: dict[str, Any] = {
    "description": None,
    "homepage": None,
    "private": False,
    "has_issues": True,
    "has_projects": True,
    "has_wiki": True,
    "has_downloads": True,
    "has_discussions": False,
    "is_template": False,
    "archived": False,
    "allow_squash_merge": True,
    "allow_merge_commit": True,
    "allow_rebase_merge": True,
    "allow_auto_merge": False,
    "allow_update_branch": False,
    "allow_forking": False,
    "delete_branch_on_merge": False,
    "web_commit_signoff_required": False,
    "squash_merge_commit_title": "COMMIT_OR_PR_TITLE",
    "squash_merge_commit_message": "COMMIT_MESSAGES",
    "merge_commit_title": "MERGE_MESSAGE",
    "merge_commit_message": "PR_TITLE",
    "topics": [],
    "vulnerability_alerts": False,
}
"""A repository's settings by GitHub's names, with what GitHub gives a new one."""


class AlreadyExistsError(Exception):
    """The owner has a repository of that name."""


@dataclass(frozen=True)
class DeployKey:
    """A public key that opens one repository. `key` is "TYPE BASE64", without the comment, as GitHub keeps it."""

    id: int
    title: str
    key: str
    read_only: bool
    created_at: str


@dataclass(frozen=True)
class Repository:
    """One repository as its record has it. `path` is the bare repository."""

    path: Path
    id: int
    settings: dict[str, Any]
    keys: tuple[DeployKey, ...]
    former_names: tuple[str, ...]
    created_at: str
    updated_at: str

    @property
    def owner(self) -> str:
        return self.path.parent.name

    @property
    def name(self) -> str:
        return self.path.name.removesuffix(".git")

    @property
    def full_name(self) -> str:
        return f"{self.owner}/{self.name}"

    @property
    def private(self) -> bool:
        return bool(self.settings["private"])


def now() -> str:
    """The time as GitHub writes it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def new_id() -> int:
    """An id that was never given before; random, so that a deleted repository's or key's id does not come back."""
    return secrets.randbelow(2**40) + 1


class Store:
    """All repositories below one folder. Safe to use from several threads."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._partial = root / ".partial"
        self._partial.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._cache: dict[Path, tuple[tuple[int, int], Repository]] = {}
        self._changing = threading.RLock()
        self._committing: dict[int, threading.Lock] = {}
        self._remove_abandoned()

    def _remove_abandoned(self) -> None:
        """Folders that a killed process left half made or half deleted. Young ones may be another process's work."""
        for folder in self._partial.iterdir():
            if folder.stat().st_mtime < time.time() - ABANDONED_SECONDS:
                shutil.rmtree(folder, ignore_errors=True)

    def owners(self) -> list[str]:
        """Users and organizations, by name."""
        return sorted(entry.name for entry in self.root.iterdir() if entry.is_dir() and OWNER.fullmatch(entry.name))

    def add_owner(self, name: str) -> None:
        """Make sure that an owner exists."""
        if not OWNER.fullmatch(name):
            raise ValueError(f"{name!r} can't be the name of a GitHub user or organization")
        (self.root / name).mkdir(mode=0o700, exist_ok=True)

    def repositories(self, owner: str | None = None) -> Iterator[Repository]:
        """Every repository, or every one of an owner."""
        for folder in self.owners() if owner is None else [owner]:
            for path in sorted((self.root / folder).glob("*.git")):
                if (repository := self._read(path)) is not None:
                    yield repository

    def get(self, owner: str, name: str) -> Repository | None:
        """A repository by name or former name, in capitals or small letters as with GitHub; None if there is none."""
        if not (OWNER.fullmatch(owner) and NAME.fullmatch(name)):
            return None
        exact = self._read(self.root / owner / f"{name}.git")
        if exact is not None:
            return exact
        wanted = f"{owner}/{name}".casefold()
        everything = list(self.repositories())
        found = [each for each in everything if each.full_name.casefold() == wanted]
        # A renamed repository answers to its former names until another one takes them.
        found += [each for each in everything if wanted in each.former_names]
        return found[0] if found else None

    def _read(self, path: Path) -> Repository | None:
        record = path / "repository.json"
        try:
            stat = record.stat()
        except (FileNotFoundError, NotADirectoryError):
            self._cache.pop(path, None)
            return None
        version = (stat.st_mtime_ns, stat.st_ino)
        cached = self._cache.get(path)
        if cached is not None and cached[0] == version:
            return cached[1]
        try:
            data = json.loads(record.read_text())
        except FileNotFoundError:  # deleted since
            return None
        repository = Repository(
            path=path,
            id=data["id"],
            settings={**DEFAULT_SETTINGS, **data["settings"]},
            keys=tuple(DeployKey(**key) for key in data["keys"]),
            former_names=tuple(data["former_names"]),
            created_at=data["created_at"],
            updated_at=data["updated_at"],
        )
        self._cache[path] = (version, repository)
        return repository

    def _write(self, repository: Repository) -> None:
        data = {
            "id": repository.id,
            "settings": repository.settings,
            "keys": [vars(key) for key in repository.keys],
            "former_names": list(repository.former_names),
            "created_at": repository.created_at,
            "updated_at": repository.updated_at,
        }
        partial = repository.path / "repository.json.partial"
        partial.write_text(json.dumps(data, indent=1))
        partial.replace(repository.path / "repository.json")

    def changing(self) -> threading.RLock:
        """Held while a decision about records is made and written, such as whether a key is in use."""
        return self._changing

    def committing(self, repository: Repository) -> threading.Lock:
        """Held while a commit is made in a repository, so that the server's own commits queue rather than collide."""
        with self._changing:
            return self._committing.setdefault(repository.id, threading.Lock())

    def create(
        self,
        owner: str,
        name: str,
        settings: dict[str, Any],
        *,
        default_branch: str = "main",
        first_commit: Callable[[Path], object] | None = None,
    ) -> Repository:
        """Make a repository, with what `first_commit` puts into the bare repository it is given.

        Raises AlreadyExistsError if the owner has one of that name. It appears whole or not at all.
        """
        self.add_owner(owner)
        with self._changing:
            taken = self.get(owner, name)
            if taken is not None and taken.full_name.casefold() == f"{owner}/{name}".casefold():
                raise AlreadyExistsError(f"{owner}/{name}")
            path = self.root / owner / f"{name}.git"
            partial = self._partial / secrets.token_hex(8)
            created = now()
            repository = Repository(partial, new_id(), {**DEFAULT_SETTINGS, **settings}, (), (), created, created)
            try:
                git.init(partial, default_branch)
                if first_commit is not None:
                    first_commit(partial)
                self._write(repository)
                try:
                    partial.rename(path)
                except OSError as error:  # another process was quicker
                    raise AlreadyExistsError(f"{owner}/{name}") from error
            finally:
                shutil.rmtree(partial, ignore_errors=True)
            return replace(repository, path=path)

    def save(self, repository: Repository) -> Repository:
        """Write a changed record."""
        with self._changing:
            changed = replace(repository, updated_at=now())
            self._write(changed)
            return changed

    def rename(self, repository: Repository, name: str) -> Repository:
        """Give a repository another name. Raises AlreadyExistsError if the owner has one of that name."""
        with self._changing:
            wanted = f"{repository.owner}/{name}".casefold()
            taken = self.get(repository.owner, name)
            if taken is not None and taken.id != repository.id and taken.full_name.casefold() == wanted:
                raise AlreadyExistsError(f"{repository.owner}/{name}")
            former = (*repository.former_names, repository.full_name.casefold())
            self.save(replace(repository, former_names=former))
            path = repository.path.with_name(f"{name}.git")
            repository.path.rename(path)
            return replace(repository, path=path, former_names=former)

    def delete(self, repository: Repository) -> None:
        """Delete a repository with all it holds."""
        with self._changing:
            condemned = self._partial / secrets.token_hex(8)
            repository.path.rename(condemned)
            self._cache.pop(repository.path, None)
            self._committing.pop(repository.id, None)
        with suppress(FileNotFoundError):  # a push that was under way may still take its temporary files away
            shutil.rmtree(condemned)

    def key(self, key: str) -> tuple[Repository, DeployKey] | None:
        """Which repository a public key ("TYPE BASE64") opens, and how; None if it is no deploy key."""
        for repository in self.repositories():
            for deploy_key in repository.keys:
                if deploy_key.key == key:
                    return repository, deploy_key
        return None
