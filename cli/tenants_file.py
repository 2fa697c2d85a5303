"""Changes of tenants.yaml: edited, validated by the model, then replaced at once."""

from __future__ import annotations

import difflib
import fcntl
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import typer

from cli.errors import CommandError
from model.config import tenants, yaml_lines
from model.config.errors import InvalidConfigError
from model.config.tenants import TenantList
from model.config.yaml_lines import YamlFile

Edit = Callable[[str], str]
"""From the text of a file to its new text; the same text if nothing is to be changed."""
Check = Callable[[YamlFile], object]
"""Raises InvalidConfigError for an invalid file."""


@dataclass(frozen=True)
class Change:
    """A file's text before and after an edit."""

    name: str
    before: str
    after: str

    @property
    def changed(self) -> bool:
        """Whether there is any difference."""
        return self.before != self.after

    @property
    def diff(self) -> str:
        """The difference in the notation of `git diff`; empty for none."""
        return "".join(self._lines())

    @property
    def coloured_diff(self) -> str:
        """The difference for a terminal."""
        colours = {"+": "green", "-": "red", "@": "cyan"}
        return "".join(typer.style(line, fg=colours.get(line[0])) for line in self._lines())

    def _lines(self) -> Iterator[str]:
        before, after = self.before.splitlines(keepends=True), self.after.splitlines(keepends=True)
        for line in difflib.unified_diff(before, after, f"a/{self.name}", f"b/{self.name}"):
            text = line.rstrip("\r\n")
            yield f"{text}\n" if line.endswith("\n") else f"{text}\n\\ No newline at end of file\n"


def load(path: Path) -> TenantList:
    """The tenants of a file. Raises InvalidConfigError with all problems."""
    return tenants.parse(yaml_lines.read(path.parent, path.name))


def change(path: Path, edit: Edit, *, write: bool, check: Check = tenants.parse) -> Change:
    """Edit the file, one process after the other. It has its old or its new text, whenever the process is killed.

    Raises InvalidConfigError with all problems of the text before or after the edit; the file stays as it is.
    """
    try:
        path = path.resolve(strict=True)
    except (OSError, RuntimeError) as error:  # a link that leads to itself: RuntimeError before Python 3.13
        raise _unusable(path, error) from None
    with _locked(path.parent):
        try:
            before = path.read_bytes().decode("utf-8")
        except OSError as error:
            raise _unusable(path, error) from None
        except UnicodeDecodeError:
            raise CommandError(f"{path} is not a UTF-8 file", "Save it as UTF-8.") from None
        done = edited(path.name, before, edit, check)
        if write and done.changed:
            _replace(path, done.after)
    return done


def _unusable(path: Path, error: Exception) -> CommandError:
    reason = "does not exist" if isinstance(error, FileNotFoundError) else f"cannot be read: {error}"
    return CommandError(f"{path} {reason}", "Name another file with --file.")


def edited(name: str, before: str, edit: Edit, check: Check = tenants.parse) -> Change:
    """The change that an edit makes to a valid text. Raises InvalidConfigError unless the new text is valid, too."""
    check(yaml_lines.parse(before, name))
    done = Change(name, before, edit(before))
    try:
        check(yaml_lines.parse(done.after, name))
    except InvalidConfigError:
        # The problems have the line numbers of this text.
        typer.echo(done.coloured_diff, err=True)
        raise
    return done


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keep other processes from changing the folder's file meanwhile. The kernel drops the lock of a killed process."""
    # The folder and not the file, which is replaced by another.
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("Waiting for another ./saas to finish…", file=sys.stderr)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _replace(path: Path, text: str) -> None:
    # Always the same name, which .gitignore has: the next run overwrites what a killed one left.
    partial = path.with_name(f".{path.name}.partial")
    try:
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    except OSError as error:
        raise CommandError(f"{path} cannot be changed: {error}", "Make its folder writable.") from None
    with open(descriptor, "wb") as file:
        file.write(text.encode("utf-8"))
        file.flush()
        os.fchmod(file.fileno(), path.stat().st_mode & 0o777)
        os.fsync(file.fileno())
    partial.replace(path)
