"""A small client of the Kubernetes API: requests with retries, discovery, server-side apply."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

import urllib3

from standins.kubernetes.kubeconfig import Cluster

Object = dict[str, Any]

_TIMEOUT = urllib3.Timeout(connect=10, read=60)
_UNREACHABLE_SECONDS = 10.0
"""How long to try to reach an API server that may be restarting."""
_BUSY_SECONDS = 60.0
"""How long to repeat a request that the API server asks to repeat."""
_CONFLICT_SECONDS = 15.0
"""How long to repeat a request that lost a race."""
_DISCOVERY_SECONDS = 5.0
"""How long after a CRD is established the API server may take to serve its kind."""

KUBECTL_MANAGERS = frozenset({"kubectl", "before-first-apply"})
"""Field managers whose fields are taken over without asking, as the official provider does."""


class ApiError(Exception):
    """The API server refused a request."""

    def __init__(self, status: int, body: Object) -> None:
        super().__init__(body.get("message") or f"HTTP {status}")
        self.status = status
        self.reason: str = body.get("reason") or ""
        self.details: Object = body.get("details") or {}
        self.causes: list[Object] = self.details.get("causes") or []

    @property
    def is_missing_namespace(self) -> bool:
        return self.status == 404 and self.details.get("kind") == "namespaces"

    @property
    def is_immutable(self) -> bool:
        text = str(self)
        return self.status == 422 and ("immutable" in text or "cannot change roleRef" in text or "forbidden" in text)

    def conflicting_managers(self) -> set[str]:
        """The field managers that own what a server-side apply would change."""
        managers = set()
        for cause in self.causes:
            if cause.get("reason") == "FieldManagerConflict":
                # 'conflict with "NAME" using v1' or 'conflict with "NAME" with subresource ...'
                managers.add(cause.get("message", "").partition('"')[2].partition('"')[0])
        return managers


class NoSuchKindError(Exception):
    """The API server serves no such kind: most often a CRD that does not exist (yet)."""

    def __init__(self, api_version: str, kind: str) -> None:
        super().__init__(
            f"the API server knows no kind {kind} in {api_version}. Is its CRD installed? "
            "If this program installs it, make this resource depend on the CRD"
        )


class CancelledError(Exception):
    """The engine asked to stop."""


@dataclass(frozen=True)
class Kind:
    """What discovery says about a kind."""

    api_version: str
    kind: str
    plural: str
    namespaced: bool

    def path(self, namespace: str | None, name: str | None = None) -> str:
        prefix = f"/apis/{self.api_version}" if "/" in self.api_version else f"/api/{self.api_version}"
        scope = f"/namespaces/{quote(namespace or 'default')}" if self.namespaced else ""
        return f"{prefix}{scope}/{self.plural}" + (f"/{quote(name)}" if name else "")


class Api:
    """One API server. Safe to use from many threads; `cancelled` interrupts every wait."""

    def __init__(self, cluster: Cluster, cancelled: threading.Event, *, connections: int) -> None:
        self.cluster = cluster
        self.cancelled = cancelled
        options: dict[str, Any] = {"num_pools": 2, "maxsize": connections, "retries": False}
        if cluster.tls:
            options["ssl_context"] = cluster.tls
        if cluster.server_name:
            options |= {"server_hostname": cluster.server_name, "assert_hostname": cluster.server_name}
        self._pool = urllib3.ProxyManager(cluster.proxy, **options) if cluster.proxy else urllib3.PoolManager(**options)
        self._kinds: dict[str, dict[str, Kind]] = {}
        self._lock = threading.Lock()

    def request(self, method: str, path: str, body: Any = None, query: dict[str, str] | None = None) -> Object:
        """The answer's object. Passing faults are tried again, within bounds.

        Raises ApiError for what the API server refuses, ConnectionError if it can't be reached, CancelledError.
        """
        url = self.cluster.server + path + ("?" + urlencode(query) if query else "")
        headers = {"Accept": "application/json", "User-Agent": "pulumi-kubernetes/4.34.2 (stand-in)"}
        content = None
        if body is not None:
            content = json.dumps(body, separators=(",", ":")).encode()
            headers["Content-Type"] = "application/apply-patch+yaml" if method == "PATCH" else "application/json"
        started = time.monotonic()
        pause = 0.1
        while True:
            if self.cancelled.is_set():
                raise CancelledError("the operation was cancelled")
            headers |= self.cluster.headers()
            elapsed = time.monotonic() - started
            try:
                response = self._pool.request(method, url, body=content, headers=headers, timeout=_TIMEOUT)
            except urllib3.exceptions.HTTPError as error:
                if _is_tls_failure(error) or elapsed > _UNREACHABLE_SECONDS:
                    raise ConnectionError(
                        f"can't reach the API server {self.cluster.server}: {_root_cause(error)}. "
                        "Is it running, and is the kubeconfig the right one?"
                    ) from error
            else:
                answer = _parse(response)
                if response.status < 400:
                    return answer
                refused = ApiError(response.status, answer)
                if elapsed > _patience(refused):
                    raise refused
                pause = max(pause, float(response.headers.get("Retry-After") or 0))
            self.pause(pause)
            pause = min(pause * 2, 2)

    def pause(self, seconds: float) -> None:
        """Sleep, or raise CancelledError as soon as the engine asks to stop."""
        if self.cancelled.wait(seconds):
            raise CancelledError("the operation was cancelled")

    def kind(self, api_version: str, kind: str, *, wait: bool = False) -> Kind:
        """What the API server calls a kind; with `wait`, give a new CRD time to be served. Raises NoSuchKindError."""
        known = self._kinds.get(api_version, {}).get(kind)
        if known:
            return known
        deadline = time.monotonic() + (_DISCOVERY_SECONDS if wait else 0)
        pause = 0.1
        while True:
            with self._lock:
                # Another thread may have asked in the meantime.
                found = self._kinds.get(api_version, {}).get(kind) or self._discover(api_version).get(kind)
            if found:
                return found
            if time.monotonic() >= deadline:
                raise NoSuchKindError(api_version, kind)
            self.pause(pause)
            pause = min(pause * 2, 1)

    def _discover(self, api_version: str) -> dict[str, Kind]:
        try:
            answer = self.request("GET", f"/{'apis' if '/' in api_version else 'api'}/{api_version}")
        except ApiError as error:
            if error.status != 404:
                raise
            return {}
        kinds = {
            entry["kind"]: Kind(api_version, entry["kind"], entry["name"], entry["namespaced"])
            for entry in answer["resources"]
            if "/" not in entry["name"]  # subresources
        }
        self._kinds[api_version] = kinds
        return kinds

    def get(self, kind: Kind, namespace: str | None, name: str) -> Object | None:
        """The live object, None if there is none."""
        try:
            return self.request("GET", kind.path(namespace, name))
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def list(self, kind: Kind, namespace: str | None, query: dict[str, str]) -> list[Object]:
        """The live objects that match, e.g. `{"labelSelector": "app=x"}`."""
        return self.request("GET", kind.path(namespace), query=query)["items"]

    def apply(self, kind: Kind, item: Object, *, manager: str, force: bool, dry_run: bool) -> Object:
        """Server-side apply, strict about unknown fields; the object as it then is."""
        query = {"fieldManager": manager, "fieldValidation": "Strict", "force": str(force).lower()}
        if dry_run:
            query["dryRun"] = "All"
        path = kind.path(item["metadata"].get("namespace"), item["metadata"]["name"])
        try:
            return self.request("PATCH", path, item, query)
        except ApiError as error:
            managers = error.conflicting_managers()
            if force or not managers or not managers <= KUBECTL_MANAGERS:
                raise
        return self.request("PATCH", path, item, query | {"force": "true"})


def _parse(response: urllib3.BaseHTTPResponse) -> Object:
    try:
        answer = json.loads(response.data)
    except ValueError:
        # A proxy's or a load balancer's page.
        return {"message": f"HTTP {response.status}: {response.data[:300].decode(errors='replace')}"}
    return answer if isinstance(answer, dict) else {"message": str(answer)}


def _patience(error: ApiError) -> float:
    """For how many seconds to repeat a refused request; 0 if the answer is final."""
    if error.status in (429, 502, 503, 504):
        return _BUSY_SECONDS
    text = str(error)
    if error.status == 500 and ("failed calling webhook" in text or "etcdserver" in text or "timeout" in text):
        return _BUSY_SECONDS
    if error.status == 409 and error.reason == "Conflict" and not error.conflicting_managers():
        return _CONFLICT_SECONDS
    return 0


def _root_cause(error: BaseException) -> BaseException:
    reason = getattr(error, "reason", None)
    return _root_cause(reason) if isinstance(reason, BaseException) else error


def _is_tls_failure(error: urllib3.exceptions.HTTPError) -> bool:
    return isinstance(error, urllib3.exceptions.SSLError) or isinstance(_root_cause(error), urllib3.exceptions.SSLError)
