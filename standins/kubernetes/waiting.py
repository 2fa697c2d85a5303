"""Waiting for objects to become ready or to be gone, and saying what for."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from standins.codec import get
from standins.kubernetes import readiness
from standins.kubernetes.api import Api, ApiError, Kind, Object

DEFAULT_SECONDS = 600.0
_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.1, 1.0
_LOG_SECONDS = 10.0

Status = Callable[[str], None]
"""Shows a line beside the resource while it lasts; an empty one clears it."""

_NO_DEPENDENTS = {
    ("v1", "ConfigMap"),
    ("v1", "Secret"),
    ("v1", "ServiceAccount"),
    ("v1", "Namespace"),
    ("v1", "ResourceQuota"),
    ("v1", "LimitRange"),
    ("rbac.authorization.k8s.io/v1", "Role"),
    ("rbac.authorization.k8s.io/v1", "RoleBinding"),
    ("rbac.authorization.k8s.io/v1", "ClusterRole"),
    ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding"),
    ("networking.k8s.io/v1", "NetworkPolicy"),
    ("apiextensions.k8s.io/v1", "CustomResourceDefinition"),
}


class NotReadyError(Exception):
    """The object exists, but is not what it should be; `item` is its last known state."""

    def __init__(self, text: str, item: Object) -> None:
        super().__init__(text)
        self.item = item


def timeout_seconds(requested: float, item: Any) -> float:
    """The resource option `customTimeouts`, else the annotation pulumi.com/timeoutSeconds, else ten minutes."""
    annotated = str(get(item, "metadata", "annotations", "pulumi.com/timeoutSeconds") or "")
    return requested or (float(annotated) if annotated.isdigit() else DEFAULT_SECONDS)


def until_ready(api: Api, kind: Kind, item: Object, *, seconds: float, status: Status) -> Object:
    """The object once it is ready. Raises NotReadyError when it has failed or time is up."""
    check = readiness.check_for(item)
    if check is None:
        return item
    name, namespace = item["metadata"]["name"], item["metadata"].get("namespace")
    started = time.monotonic()
    pause, shown = _SHORTEST_PAUSE, ""
    while True:
        try:
            missing = check(api, item)
        except readiness.FailedError as error:
            raise NotReadyError(f"{kind.kind} {name} failed: {error}", item) from error
        if missing is None:
            if shown:
                status("")
            return item
        if missing != shown:
            status(f"Waiting: {missing}")
            shown = missing
        if time.monotonic() - started > seconds:
            raise NotReadyError(f"{kind.kind} {name} was not ready within {seconds:.0f} s: {missing}", item)
        api.pause(pause)
        pause = min(pause * 1.5, _LONGEST_PAUSE)
        live = api.get(kind, namespace, name)
        if live is None:
            raise NotReadyError(f"{kind.kind} {name} was deleted by somebody else while waiting for it", item)
        item = live


def is_ready(api: Api, item: Object) -> str | None:
    """What the object lacks right now, None if nothing."""
    check = readiness.check_for(item)
    try:
        return check(api, item) if check else None
    except readiness.FailedError as error:
        return str(error)


def delete(
    api: Api, kind: Kind, namespace: str | None, name: str, inputs: Any, *, seconds: float, status: Status
) -> None:
    """Delete the object and return once it is gone. Raises NotReadyError saying what holds it when time is up."""
    policy = propagation(kind, inputs)
    try:
        api.request("DELETE", kind.path(namespace, name), {"propagationPolicy": policy})
    except ApiError as error:
        if error.status != 404:
            raise
        return
    until_gone(api, kind, namespace, name, seconds=seconds, status=status)


def propagation(kind: Kind, inputs: Any) -> str:
    """Foreground, as the official provider: whatever an object owns is gone before it is.

    Kinds that own nothing skip that: the garbage collector would only have to find out that there is nothing to do, one
    object after the other.
    """
    annotated = get(inputs, "metadata", "annotations", "pulumi.com/deletionPropagationPolicy")
    if isinstance(annotated, str) and annotated.lower() in ("orphan", "background", "foreground"):
        return annotated.capitalize()
    return "Background" if (kind.api_version, kind.kind) in _NO_DEPENDENTS else "Foreground"


def until_gone(api: Api, kind: Kind, namespace: str | None, name: str, *, seconds: float, status: Status) -> None:
    """Return once there is no such object, or another of the same name. Raises NotReadyError."""
    started = logged = time.monotonic()
    pause = _SHORTEST_PAUSE / 2
    uid = None
    while (live := api.get(kind, namespace, name)) is not None:
        uid = uid or live["metadata"]["uid"]
        if live["metadata"]["uid"] != uid:
            break
        now = time.monotonic()
        if now - started > seconds:
            raise NotReadyError(f"{kind.kind} {name} was not gone within {seconds:.0f} s: {what_holds(live)}", live)
        if now - logged > _LOG_SECONDS:
            logged = now
            status(f"Waiting until it is gone: {what_holds(live)}")
        api.pause(pause)
        pause = min(pause * 1.5, _LONGEST_PAUSE)
    if logged > started:
        status("")


def what_holds(item: Object) -> str:
    """Why an object that is being deleted is still there."""
    holds = []
    for entry in get(item, "status", "conditions") or []:
        # A namespace says here what of its content, or which finalizers in it, remain.
        if entry.get("status") == "True" and entry.get("type", "").startswith("Namespace"):
            holds.append(entry.get("message", ""))
    finalizers = get(item, "metadata", "finalizers") or []
    if finalizers:
        holds.append(f"finalizers {', '.join(finalizers)}: the controllers that put them there have not removed them")
    return "; ".join(holds) or "the API server has not removed it yet"
