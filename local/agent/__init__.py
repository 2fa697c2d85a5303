"""The kubelet of the Flux controllers: runs, on this machine, the programs that pods in flux-system ask for.

Deployments, ReplicaSets and scheduling are Kubernetes' own. The agent takes over where a kubelet would: it starts the
program that a pod's image stands for, with that pod's arguments, environment and ServiceAccount; reports how it fares;
restarts it when it crashes and ends it when the pod goes. It also plays Flux's Services (`services.py`).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path

from local import access, processes
from local.home import Home

NAME = "agent"
NAMESPACE = "flux-system"
USER = "saas-in-eks-local:agent"


def start(home: Home, tools: Mapping[str, Path]) -> None:
    """Have the agent run beside a control plane that is up. `tools` names the program of each Flux controller.

    Raises processes.ProcessError if it does not get in touch with the API server.
    """
    api = access.administrator(home)
    access.apply_rbac(api, Path(__file__).parent / "rbac.yaml")
    folder(home).mkdir(mode=0o700, exist_ok=True)
    listing = folder(home) / "tools.json"
    processes.write_atomically(listing, json.dumps({name: str(path) for name, path in tools.items()}, indent=1))
    health = f"http://127.0.0.1:{home.port(NAME)}/healthz"
    processes.start(
        home,
        NAME,
        [sys.executable, "-m", "local.agent", "--home", home.path, "--tools", listing],
        env={"PATH": "/usr/bin:/bin", "HOME": str(home.path), "PYTHONUNBUFFERED": "1"},
        ready=lambda: processes.http_ok(health),
        timeout=60.0,
    )


def stop(home: Home) -> None:
    """Stop the agent, which ends its programs, and whatever program an agent that was killed has left."""
    processes.stop(home, NAME, grace=30.0)
    for record in records(home).values():
        record.end(grace=10.0)


def programs(home: Home) -> dict[str, int]:
    """Pod name and process id of each program that runs."""
    return {pod: record.pid for pod, record in records(home).items() if record.process() is not None}


def records(home: Home) -> dict[str, processes.Record]:
    """By pod name, the processes that the agent has started, whether they still run or not."""
    found = {}
    for path in sorted(folder(home).glob("pods/*/*.process.json")):
        record = processes.Record.read(path)
        if record is not None:
            found[path.name.removesuffix(".process.json")] = record
    return found


def folder(home: Home) -> Path:
    """Where the agent keeps its own files and those of its pods."""
    return home.path / "agent"
