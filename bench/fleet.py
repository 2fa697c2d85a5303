"""The stacks that have the measured tenants: one, or from a hundred tenants on the platform's and its shards."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bench import workload
from model.config.stack_shards import hashed_shard
from tests.platform import Platform, Stack

PER_STACK = 100
"""Tenants of a shard: with the state in files, the time of an update grows with the square of a stack's resources."""


class Fleet:
    """The stacks, each of which is updated after the other."""

    def __init__(self, on: Platform, kind: str, count: int, **settings: Any) -> None:
        self.kind = kind
        self.shards = -(-count // PER_STACK) if count >= PER_STACK else 0
        name = f"bench-{kind.partition(' ')[0]}-{count}"
        split = {"shard": {"count": self.shards}} if self.shards else {}
        size = {"fluxSize": "large"} if self.shards else {}
        self.first = on.stack(name, **settings, **split, **size)
        self.stacks = [self.first, *(self._shard(on, index) for index in range(1, self.shards + 1))]
        for stack in self.stacks:
            stack.kept = True

    def _shard(self, on: Platform, index: int) -> Stack:
        made = on.stack(f"{self.first.name}-{index}")
        made.config = {"platform": self.first.name, "shard": {"count": self.shards, "index": index}}
        made.configure()
        return made

    def place(self, tenant: str) -> int:
        """The index of the stack that has a tenant."""
        return hashed_shard(tenant, self.shards) if self.shards else 0

    def update(self, names: Sequence[str], *, only: int | None = None, **given: Any) -> None:
        """Write the tenants' file, and update all stacks or one."""
        self.write(names, **given)
        for stack in self.stacks if only is None else [self.stacks[only]]:
            stack.run("up", "--yes", "--skip-preview")

    def write(self, names: Sequence[str], **given: Any) -> None:
        """Write the tenants' file."""
        file = self.first.platform.project / self.first.tenants_file
        file.write_text(workload.tenants_yaml(self.kind, names, **given))

    def preview(self) -> None:
        """Preview all stacks. Fails if one would change anything."""
        for stack in self.stacks:
            stack.run("preview", "--expect-no-changes")

    def destroy(self) -> None:
        """Destroy all stacks, the platform's at last."""
        for stack in reversed(self.stacks):
            if self.shards and stack is self.first:
                stack.run("state", "unprotect", "--all", "--yes")
            stack.run("destroy", "--yes", "--skip-preview")

    def resources(self) -> list[list[dict[str, Any]]]:
        """The resources of each stack, without the stack itself and the providers."""
        return [_registered(stack) for stack in self.stacks]


def _registered(stack: Stack) -> list[dict[str, Any]]:
    resources = stack.exported()["deployment"].get("resources", [])
    return [resource for resource in resources if not resource["type"].startswith("pulumi:")]


def custom(resources: Sequence[dict[str, Any]]) -> int:
    """The number of resources that are no components."""
    return sum(bool(resource["custom"]) for resource in resources)
