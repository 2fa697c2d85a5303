"""The watchdog as a process, against a server that answers as the Kubernetes API does."""

from __future__ import annotations

import http.server
import json
import os
import queue
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from local.pki import Authority
from tests.unit.test_watchdog import flux_object
from watchdog import watchdog as program

PODS = "/api/v1/namespaces/flux-system/pods"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/flux-system/leases"
KUSTOMIZATIONS = "/apis/kustomize.toolkit.fluxcd.io/v1/kustomizations"
PHASE = "Building manifests for revision main@sha1:bad with a timeout of 50s"


class Server(http.server.ThreadingHTTPServer):
    """Collections of objects, by path; changes are streamed to those who watch."""

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        authority = Authority(folder / "pki")
        (folder / "ca.crt").write_text(authority.certificate.read_text())
        (folder / "token").write_text("secret")
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(authority.server("api"))
        self.socket = tls.wrap_socket(self.socket, server_side=True)
        self.items: dict[str, dict[str, Any]] = {}
        self.watchers: dict[str, list[queue.Queue[dict[str, Any] | None]]] = {}
        self.version = 0
        self.requests: list[tuple[str, str, Any]] = []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def put(self, path: str, found: dict[str, Any], kind: str = "MODIFIED") -> None:
        self.version += 1
        found["metadata"]["resourceVersion"] = str(self.version)
        self.items.setdefault(path, {})[found["metadata"]["name"]] = found
        for watcher in self.watchers.get(path, []):
            watcher.put({"type": kind, "object": found})


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def api(self) -> Server:
        assert isinstance(self.server, Server)
        return self.server

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        query = parse_qs(url.query)
        if self.headers["Authorization"] != "Bearer secret":
            self.answer({}, 401)
        elif "helm" in url.path:
            self.answer({"message": "not installed"}, 404)
        elif "watch" in query:
            self.stream(url.path)
        else:
            items = list(self.api.items.get(url.path, {}).values())
            begin, limit = int(query.get("continue", ["0"])[0]), int(query.get("limit", ["500"])[0])
            more = {"continue": str(begin + limit)} if begin + limit < len(items) else {}
            self.answer({"metadata": {"resourceVersion": "7", **more}, "items": items[begin : begin + limit]})

    def stream(self, path: str) -> None:
        mine: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self.api.watchers.setdefault(path, []).append(mine)
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        while event := mine.get():
            line = (event if isinstance(event, bytes) else json.dumps(event).encode()) + b"\n"
            self.wfile.write(f"{len(line):x}\r\n".encode() + line + b"\r\n")
            self.wfile.flush()

    def do_PATCH(self) -> None:
        body, path = self.body(), urlsplit(self.path).path
        resource, name = path.removesuffix("/status").rsplit("/", 1)
        group, _, rest = resource.partition("/namespaces/")
        collection = f"{group}/{rest.partition('/')[2]}"
        found = self.api.items[collection][name]
        _merge(found, body)
        self.api.put(collection, found)
        self.answer(found)
        self.api.requests.append(("PATCH", path, body))

    def do_DELETE(self) -> None:
        body, path = self.body(), urlsplit(self.path).path
        self.api.requests.append(("DELETE", path, body))
        collection, name = path.rsplit("/", 1)
        found = self.api.items[collection].pop(name)
        for watcher in self.api.watchers.get(collection, []):
            watcher.put({"type": "DELETED", "object": found})
        self.answer({})

    def do_POST(self) -> None:
        body = self.body()
        self.api.requests.append(("POST", self.path, body))
        self.answer(body)

    def body(self) -> Any:
        return json.loads(self.rfile.read(int(self.headers["Content-Length"])))

    def answer(self, content: Any, code: int = 200) -> None:
        data = json.dumps(content).encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        pass


def _merge(found: dict[str, Any], patch: dict[str, Any]) -> None:
    for key, value in patch.items():
        if isinstance(value, dict):
            _merge(found.setdefault(key, {}), value)
        elif value is None:
            found.pop(key, None)
        else:
            found[key] = value


def controller(name: str = "kustomize-controller") -> dict[str, Any]:
    running = {"running": {"startedAt": "2026-01-01T00:00:00Z"}}
    status = {"ready": True, "restartCount": 0, "state": running}
    metadata = {"namespace": "flux-system", "name": f"{name}-0", "uid": f"{name}-0", "labels": {"app": name}}
    return {"metadata": metadata, "status": {"containerStatuses": [status]}}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    started = Server(tmp_path)
    started.put(PODS, controller())
    metadata = {"name": "kustomize-controller-leader-election", "namespace": "flux-system"}
    started.put(LEASES, {"metadata": metadata, "spec": {"holderIdentity": "kustomize-controller-0_1234"}})
    started.put(LEASES, {"metadata": {**metadata, "name": "other"}, "spec": {"holderIdentity": "another-0_1234"}})
    for number in range(10):
        started.put(KUSTOMIZATIONS, flux_object(f"tenant-{number}"))
    yield started
    for watchers in started.watchers.values():
        for watcher in watchers:
            watcher.put(None)
    started.shutdown()


@pytest.fixture
def process(server: Server, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    host, port = server.server_address[:2]
    command = [sys.executable, "-I", program.__file__, "--deadline=2", f"--service-account={tmp_path}"]
    command += ["--health-addr=127.0.0.1:0"]
    environment = {**os.environ, "KUBERNETES_SERVICE_HOST": str(host), "KUBERNETES_SERVICE_PORT": str(port)}
    started = subprocess.Popen(command, env=environment, text=True)
    yield started
    started.kill()
    started.wait()


def wait_for(server: Server, method: str, part: str) -> tuple[str, Any]:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        for sent, path, body in list(server.requests):
            if sent == method and part in path:
                return path, body
        time.sleep(0.1)
    raise AssertionError(f"no {method} of {part} in {server.requests}")


def test_an_object_is_suspended_explained_and_resumed(server: Server, process: subprocess.Popen[str]) -> None:
    hostile = flux_object("tenant-7", PHASE)
    while not server.watchers.get(KUSTOMIZATIONS):
        time.sleep(0.05)
    for line in (b"{", b"[" * 100_000, b'{"type": 1}', b'{"type": "MODIFIED", "object": []}'):
        server.watchers[KUSTOMIZATIONS][0].put(line)  # type: ignore[arg-type]
    server.put(KUSTOMIZATIONS, hostile)
    path, suspended = wait_for(server, "PATCH", "/tenant-7")
    assert path == "/apis/kustomize.toolkit.fluxcd.io/v1/namespaces/tenant-7/kustomizations/tenant-7"
    assert suspended["spec"] == {"suspend": True}
    assert suspended["metadata"]["uid"] == hostile["metadata"]["uid"]
    _, options = wait_for(server, "DELETE", "/pods/kustomize-controller-0")
    assert options["preconditions"] == {"uid": "kustomize-controller-0"}
    wait_for(server, "DELETE", "/leases/kustomize-controller-leader-election")
    _, event = wait_for(server, "POST", "/api/v1/namespaces/tenant-7/events")
    assert event["type"] == "Warning"
    _, status = wait_for(server, "PATCH", "/tenant-7/status")
    (ready,) = status["status"]["conditions"]
    assert (ready["status"], ready["reason"]) == ("False", "HeldByWatchdog")
    assert "main@sha1:bad" in ready["message"]
    server.requests.clear()
    server.put(KUSTOMIZATIONS, {**hostile, "spec": {**hostile["spec"], "suspend": False}})
    _, resumed = wait_for(server, "PATCH", "/tenant-7")
    assert resumed["metadata"]["annotations"][program.HELD] is None
    assert not [request for request in server.requests if "/leases/other" in request[1]]
    assert process.poll() is None
