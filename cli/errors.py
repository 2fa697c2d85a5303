"""Errors that end a command, with what to do instead."""

from __future__ import annotations


class CommandError(Exception):
    """The command cannot do what it was asked for."""

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(f"{message}\n    {remedy}" if remedy else message)
