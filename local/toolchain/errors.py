"""What can go wrong while programs are built."""

from __future__ import annotations


class ToolchainError(Exception):
    """A program cannot be had. The message says why, and what to do about it."""

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(f"{problem}\n{remedy}")
        self.problem = problem
        self.remedy = remedy
