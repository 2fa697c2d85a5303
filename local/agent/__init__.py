"""A kubelet for flux-system: runs the Flux controllers and their watchdog as processes of this machine.

Deployments, ReplicaSets and scheduling are Kubernetes' own. For each scheduled pod the agent starts the program named
like the pod's image, with the pod's arguments, environment and ServiceAccount; reports it ready when its own probe
answers; restarts it after a crash; and stops it when the pod is deleted. It also serves the namespace's Services
(`services.py`).
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Mapping
from pathlib import Path

import psutil

from local import access, files, processes
from local.home import Home

NAME = "agent"
NAMESPACE = "flux-system"
USER = "saas-in-eks-local:agent"


def start(home: Home, tools: Mapping[str, Path]) -> None:
    """Start the agent of a running control plane. `tools` maps the names of programs to their paths.

    Raises processes.ProcessError if it can't reach the API server.
    """
    access.apply_rbac(access.administrator(home), Path(__file__).parent / "rbac.yaml")
    folder(home).mkdir(mode=0o700, exist_ok=True)
    listing = folder(home) / "tools.json"
    files.write_atomically(listing, json.dumps({name: str(path) for name, path in tools.items()}, indent=1))
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
    """Stop the agent and with it the programs that it runs."""
    processes.stop(home, NAME, grace=30.0)


def programs(home: Home) -> dict[str, int]:
    """Pod name and process id of each running program: the agent's children, named by their HOSTNAME."""
    agent = processes.running(home).get(NAME)
    found: dict[str, int] = {}
    with contextlib.suppress(psutil.NoSuchProcess):  # the agent ended meanwhile
        for child in psutil.Process(agent).children() if agent else []:
            with contextlib.suppress(psutil.NoSuchProcess):
                # Between fork and exec a child still has the agent's environment.
                if pod := child.environ().get("HOSTNAME"):
                    found[pod] = child.pid
    return found


def service_port(home: Home, service: str) -> int:
    """The loopback port of a Service in flux-system."""
    return home.port(f"service-{service}")


def folder(home: Home) -> Path:
    """The agent's files; those of a pod are in pods/UID below it."""
    return home.path / "agent"
