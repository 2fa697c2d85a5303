"""Pods that the embedded agent sees, and what becomes of them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, cast

import pytest

from local.agent.__main__ import Agent
from local.agent.pod import PodContext
from local.home import Home


class Api:
    """Records which pods are removed."""

    def __init__(self) -> None:
        self.removed: list[str] = []

    async def delete(self, pod: dict[str, Any]) -> None:
        self.removed.append(pod["metadata"]["uid"])

    async def patch_status(self, pod: dict[str, Any], status: dict[str, Any]) -> None:
        pass


def pod(**metadata: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": "web-0-0", "namespace": "flux-system", "uid": "1", **metadata},
        "spec": {"nodeName": "here", "containers": [{"name": "web", "image": "web:1"}]},
    }


@pytest.mark.parametrize("seen_before", [False, True])
def test_a_pod_that_is_deleted_before_its_program_started_is_removed(tmp_path: Path, seen_before: bool) -> None:
    api = Api()
    context = PodContext(Home(tmp_path), tmp_path / "tools.json", *cast("tuple[Any, Any, Any]", (api, None, None)))

    async def follow() -> None:
        agent = Agent(context)
        async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
            if seen_before:  # by the same step of the event loop
                agent._reconcile({"1": pod()}, tasks)
            agent._reconcile({"1": pod(deletionTimestamp="2026-11-26T00:00:00Z")}, tasks)

    asyncio.run(follow())
    assert api.removed == ["1"]
