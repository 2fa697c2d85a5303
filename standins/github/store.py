"""Repositories, deploy keys and webhooks as files: written by the GitHub stand-in, served by the embedded Git server.

A repository is one folder, OWNER/NAME.git: Git's bare repository with a record, `repository.json`, inside. Several
processes use a store at a time: each `pulumi` has a plugin of its own, and the Git server reads. So nothing is
remembered that is not on disk, and changes are made under a file lock. Creating, renaming and deleting are one rename
each and a changed record replaces the old one in one step: a killed process leaves either the old or the new.
"""

from __future__ import annotations

import fcntl
import json
import re
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from standins.github import git

OWNER = re.compile(r"(?!.{40})[A-Za-z0-9](?:-?[A-Za-z0-9])*(?:_[A-Za-z0-9]+)?")
NAME = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9._-]{1,100}")
ABANDONED_SECONDS = 3600.0
HIDDEN = "hidden"
"""Setting, not one of GitHub's: the organization is not shown to these credentials, and GitHub answers 403."""
HOOKS_PER_EVENT = 20


class StoreError(Exception):
    """A change that GitHub refuses; the text is GitHub's."""


class AlreadyExistsError(StoreError):
    """The owner has a repository of that name."""

    def __init__(self) -> None:
        super().__init__("name already exists on this account")


class HookExistsError(StoreError):
    """The repository has a webhook with the same URL and events."""

    def __init__(self) -> None:
        super().__init__("Hook already exists on this repository")


class KeyInUseError(StoreError):
    """The public key opens a repository already, or is the platform user's."""

    def __init__(self) -> None:
        super().__init__("key is already in use")


@dataclass(frozen=True)
class DeployKey:
    """A public key that opens one repository. `key` is "TYPE BASE64", without the comment, as GitHub keeps it."""

    id: int
    title: str
    key: str
    read_only: bool
    created_at: str


@dataclass(frozen=True)
class Webhook:
    """A webhook; `configuration` has GitHub's names: url, content_type, insecure_ssl and, if there is one, secret."""

    id: int
    active: bool
    events: tuple[str, ...]
    configuration: dict[str, Any]
    created_at: str
    updated_at: str

    @property
    def url(self) -> str:
        return self.configuration["url"]


@dataclass(frozen=True)
class Repository:
    """A repository as its record has it: `path` is the bare repository, `settings` are by the provider's names."""

    path: Path
    id: int
    settings: dict[str, Any]
    keys: tuple[DeployKey, ...]
    former_names: tuple[str, ...]
    created_at: str
    updated_at: str
    hooks: tuple[Webhook, ...] = ()

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
        return bool(self.settings.get("private"))

    @property
    def archived(self) -> bool:
        return bool(self.settings.get("archived"))


def now() -> str:
    """The time as GitHub writes it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def new_id() -> int:
    """An id that was never given before; random, so that a deleted repository's or key's id does not come back."""
    return secrets.randbelow(2**40) + 1


def _public_key(text: str) -> str:
    """A public key as "TYPE BASE64". Raises StoreError for anything else."""
    # Slow to import, and only needed to add a key.
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_ssh_public_key

    try:
        if "\n" in text.strip():
            raise ValueError("more than one line")
        load_ssh_public_key(text.strip().encode())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise StoreError("key is invalid. You must supply a key in OpenSSH public key format") from error
    return " ".join(text.split()[:2])


class Store:
    """All repositories below one folder. Safe to use from several threads and processes."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._partial = root / ".partial"
        self._partial.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.events = root / ".events"
        """What webhooks are about and the Git server has not delivered yet, one file each (git.note_pushes)."""
        self.events.mkdir(mode=0o700, exist_ok=True)
        self._cache: dict[Path, tuple[tuple[int, int], Repository]] = {}
        self._remove_abandoned()

    def _remove_abandoned(self) -> None:
        """Delete the incomplete folders of killed processes. Recent ones may belong to a running process."""
        for folder in self._partial.iterdir():
            with suppress(FileNotFoundError):
                if folder.stat().st_mtime < time.time() - ABANDONED_SECONDS:
                    shutil.rmtree(folder, ignore_errors=True)

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Hold the store's lock: while a record or a file is read, decided about and written. Not reentrant.

        The system releases it with the process that held it, however that ended.
        """
        with (self.root / ".lock").open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def owners(self) -> list[str]:
        """Users and organizations, by name."""
        return sorted(entry.name for entry in self.root.iterdir() if entry.is_dir() and OWNER.fullmatch(entry.name))

    def add_owner(self, name: str) -> None:
        """Make sure that an owner exists."""
        if not OWNER.fullmatch(name):
            raise ValueError(f"{name!r} can't be the name of a GitHub user or organization")
        (self.root / name).mkdir(mode=0o700, exist_ok=True)

    def organization(self, owner: str) -> dict[str, Any]:
        """An organization's settings, by the names of GitHub's API: those that `set_organization` changed."""
        try:
            changed = json.loads((self.root / owner / "organization.json").read_text())
        except FileNotFoundError:
            changed = {}
        return {"login": owner, "deploy_keys_enabled_for_repositories": True, **changed}

    def set_organization(self, owner: str, **settings: Any) -> None:
        """Change an organization's settings, as its owners do."""
        (self.root / owner / "organization.json").write_text(json.dumps(settings))

    def repositories(self) -> Iterator[Repository]:
        """Every repository."""
        for owner in self.owners():
            for path in sorted((self.root / owner).glob("*.git")):
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
        data["keys"] = tuple(DeployKey(**key) for key in data["keys"])
        data["former_names"] = tuple(data["former_names"])
        hooks = data.get("hooks", ())
        data["hooks"] = tuple(Webhook(**{**hook, "events": tuple(hook["events"])}) for hook in hooks)
        repository = Repository(path=path, **data)
        self._cache[path] = (version, repository)
        return repository

    def save(self, repository: Repository) -> Repository:
        """Write a changed record. Call it within `changing()`, and read the record there."""
        changed = replace(repository, updated_at=now())
        data = {name: value for name, value in vars(changed).items() if name != "path"}
        partial = repository.path / "repository.json.partial"
        data |= {"keys": [vars(key) for key in changed.keys], "hooks": [vars(hook) for hook in changed.hooks]}
        partial.write_text(json.dumps(data, indent=1))
        partial.replace(repository.path / "repository.json")
        return changed

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
        with self.changing():
            self._require_free(owner, name)
            path = self.root / owner / f"{name}.git"
            partial = self._partial / secrets.token_hex(8)
            try:
                git.init(partial, default_branch)
                if first_commit is not None:
                    first_commit(partial)
                made = self.save(Repository(partial, new_id(), settings, (), (), now(), now()))
                partial.rename(path)
            finally:
                shutil.rmtree(partial, ignore_errors=True)
            return replace(made, path=path)

    def _require_free(self, owner: str, name: str, by: int | None = None) -> None:
        """Raise AlreadyExistsError if another repository has the name; one that had it formerly gives way."""
        taken = self.get(owner, name)
        if taken is not None and taken.id != by and taken.full_name.casefold() == f"{owner}/{name}".casefold():
            raise AlreadyExistsError

    def rename(self, repository: Repository, name: str) -> Repository:
        """Give a repository another name, within `changing()`. Raises AlreadyExistsError if it is taken."""
        self._require_free(repository.owner, name, by=repository.id)
        former = (*repository.former_names, repository.full_name.casefold())
        saved = self.save(replace(repository, former_names=former))
        path = repository.path.with_name(f"{name}.git")
        repository.path.rename(path)
        return replace(saved, path=path)

    def delete(self, repository: Repository) -> None:
        """Delete a repository with all it holds."""
        condemned = self._partial / secrets.token_hex(8)
        with self.changing():
            repository.path.rename(condemned)
        with suppress(FileNotFoundError):  # a push that was under way may still take its temporary files away
            shutil.rmtree(condemned)

    def add_key(self, repository: Repository, title: str, key: str, *, read_only: bool) -> DeployKey:
        """Give a repository a deploy key. Raises StoreError if it is invalid, KeyInUseError if it is in use."""
        text = _public_key(key)
        added = DeployKey(new_id(), title, text, read_only, now())
        with self.changing():
            users = self.root / "id_user.pub"
            if self.key(text) or (users.exists() and text == _public_key(users.read_text())):
                raise KeyInUseError
            current = self._read(repository.path)
            if current is None:
                raise StoreError("Not Found")
            self.save(replace(current, keys=(*current.keys, added)))
        return added

    def remove_key(self, key: str) -> bool:
        """Remove a public key ("TYPE BASE64") from its repository. Returns whether it existed."""
        with self.changing():
            found = self.key(key)
            if found is not None:
                repository, _ = found
                self.save(replace(repository, keys=tuple(each for each in repository.keys if each.key != key)))
        return found is not None

    def key(self, key: str) -> tuple[Repository, DeployKey] | None:
        """Which repository a public key ("TYPE BASE64") opens, and how; None if it is no deploy key."""
        for repository in self.repositories():
            for deploy_key in repository.keys:
                if deploy_key.key == key:
                    return repository, deploy_key
        return None

    def save_hook(self, repository: Repository, hook: Webhook) -> Webhook:
        """Add or change a webhook; a new one (id 0) gets an id and a ping.

        Raises HookExistsError if another hook has its URL and events, StoreError beyond GitHub's limit.
        """
        with self.changing():
            current = self._read(repository.path)
            if current is None:
                raise StoreError("Not Found")
            saved = replace(hook, id=hook.id or new_id(), updated_at=now())
            others = [each for each in current.hooks if each.id != saved.id]
            if any(each.url == saved.url and set(each.events) == set(saved.events) for each in others):
                raise HookExistsError
            for event in saved.events:
                if sum(event in each.events for each in others) >= HOOKS_PER_EVENT:
                    raise StoreError(f'The "{event}" event cannot have more than {HOOKS_PER_EVENT} hooks')
            git.note_pushes(current.path, self.events)
            self.save(replace(current, hooks=(*others, saved)))
        if not hook.id:
            partial = self._partial / secrets.token_hex(8)
            partial.write_text(f"ping\n{repository.path}\n{saved.id}\n")
            partial.rename(self.events / partial.name)
        return saved

    def remove_hook(self, repository: Repository, number: int) -> bool:
        """Remove a webhook. Returns whether it existed."""
        with self.changing():
            current = self._read(repository.path)
            kept = tuple(hook for hook in current.hooks if hook.id != number) if current else ()
            if current is None or kept == current.hooks:
                return False
            self.save(replace(current, hooks=kept))
        return True
