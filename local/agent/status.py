"""What the agent reports about a pod, in the words that a kubelet uses."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Any

from local.agent.api import Pod

VERSION_CONDITION = "saas-in-eks.local/ProgramVersion"
"""Whether the program that runs is of the version that the image's tag asks for."""

Condition = tuple[bool, str, str]
"""Status, reason, message."""


class Status:
    """The state of a pod with one container, and since when each of its conditions holds."""

    def __init__(self, pod: Pod) -> None:
        """Start from what was reported earlier: a program that was running then has been lost without a trace."""
        earlier = pod.get("status", {})
        self.container: dict[str, Any] = {"name": pod["spec"]["containers"][0]["name"], "restartCount": 0}
        self.container |= {"image": pod["spec"]["containers"][0]["image"], "imageID": "", "ready": False}
        self.version: Condition | None = None
        self._started = earlier.get("startTime") or now()
        self._address = _address(pod["metadata"]["uid"])
        self._since = {
            condition["type"]: (condition["status"], condition.get("lastTransitionTime") or now())
            for condition in earlier.get("conditions", [])
        }
        for container in earlier.get("containerStatuses", [])[:1]:
            state = container.get("state", {})
            ended = state.get("terminated") or ("running" in state and _lost(state["running"]))
            self.container["restartCount"] = container["restartCount"] + bool(ended)
            self.container["lastState"] = {"terminated": ended} if ended else container.get("lastState", {})
        self.waiting("ContainerCreating")

    @property
    def ready(self) -> bool:
        """Whether the pod is ready for requests."""
        return self.container["ready"]

    def waiting(self, reason: str, message: str = "") -> None:
        """The program does not run."""
        self._set({"waiting": {"reason": reason, "message": message}})

    def running(self) -> None:
        """The program has been started and does not answer yet."""
        self._set({"running": {"startedAt": now()}}, started=True)

    def answering(self, ready: bool) -> None:
        """The running program's readiness probe succeeds or fails."""
        self.container["ready"] = ready

    def terminated(self, exit_code: int, reason: str, message: str) -> None:
        """The running program has ended."""
        started = self.container["state"].get("running", {}).get("startedAt", now())
        ended = {"exitCode": max(exit_code, 0), "reason": reason, "message": message, "startedAt": started}
        if exit_code < 0:  # by a signal: as a shell and a kubelet write it
            ended["exitCode"] = 128 - exit_code
        self._set({"terminated": ended | {"finishedAt": now()}})

    def restarting(self, message: str) -> None:
        """The program has ended and is started again after a while."""
        self.container["lastState"] = {"terminated": self.container["state"]["terminated"]}
        self.container["restartCount"] += 1
        self.waiting("CrashLoopBackOff", message)

    def manifest(self) -> dict[str, Any]:
        """The pod's `status`, for a strategic merge patch."""
        started = "waiting" not in self.container["state"] or self.container["restartCount"] > 0
        unready = (False, "ContainersNotReady", f"containers with unready status: [{self.container['name']}]")
        ready = (True, "", "") if self.ready else unready
        conditions = {
            "PodReadyToStartContainers": (True, "", ""),
            "Initialized": (True, "", ""),
            "ContainersReady": ready,
            "Ready": ready,
        }
        if self.version is not None:
            conditions[VERSION_CONDITION] = self.version
        return {
            "phase": "Running" if started else "Pending",
            "startTime": self._started,
            "podIP": self._address,
            "podIPs": [{"ip": self._address}],
            "conditions": [self._condition(kind, *value) for kind, value in conditions.items()],
            "containerStatuses": [self.container],
        }

    def _set(self, state: dict[str, Any], *, started: bool = False) -> None:
        self.container |= {"state": state, "ready": False, "started": started}

    def _condition(self, kind: str, holds: bool, reason: str, message: str) -> dict[str, str | None]:
        status = "True" if holds else "False"
        if self._since.get(kind, ("", ""))[0] != status:
            self._since[kind] = (status, now())
        return {
            "type": kind,
            "status": status,
            "lastTransitionTime": self._since[kind][1],
            "reason": reason or None,  # None takes away what was there
            "message": message or None,
        }


def _address(uid: str) -> str:
    """The pod's address in the cluster's simulated network, from 10.128.0.0/9, which kwok leaves alone.

    Nothing answers there, as at the other pods of simulated nodes; but without it no Service has an endpoint.
    """
    first, second, third = hashlib.sha256(uid.encode()).digest()[:3]
    return f"10.{128 + first % 128}.{second}.{1 + third % 254}"


def now() -> str:
    """The time, as Kubernetes writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _lost(running: dict[str, str]) -> dict[str, Any]:
    return {
        "exitCode": 137,
        "reason": "ContainerStatusUnknown",
        "message": "the machine or the agent was stopped while the program ran",
        "startedAt": running.get("startedAt") or now(),
        "finishedAt": now(),
    }
