"""A web server outside of the platform, which Flux can reach."""

from __future__ import annotations

import http.server
import io
import tarfile
import threading
from typing import Any

import yaml

SECONDS = 45.0
"""Flux checks health for half a minute; a server that never answers waits for longer than that."""
PATIENCE = 150.0
"""Time limit for Flux' verdict about a commit: several platforms may share the machine."""

FROM_THE_WEB = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "from-the-web"}}
DEPENDENCY = {"apiVersion": "v2", "name": "more", "version": "1.0.0"}
"""A chart that the server has, below /charts."""


class Web(http.server.BaseHTTPRequestHandler):
    """Serves a kustomize base and charts, and records the bodies of POST requests."""

    received: list[str] = []

    answers = threading.Event()
    """Whether it answers requests below /slow."""
    asked = threading.Event()
    """Whether there was a request below /slow."""

    def do_GET(self) -> None:
        if self.path.startswith("/slow"):
            self.asked.set()
            self.answers.wait(SECONDS)
        index = {"apiVersion": "v1", "entries": {"more": [{**DEPENDENCY, "urls": ["more-1.0.0.tgz"]}]}}
        contents = {
            "/charts/index.yaml": yaml.safe_dump(index).encode(),
            "/charts/more-1.0.0.tgz": _chart(),
            "/schema.json": b"{}",
        }
        self.send_response(200)
        self.end_headers()
        self.wfile.write(contents.get(self.path, yaml.safe_dump(FROM_THE_WEB).encode()))

    def do_POST(self) -> None:
        self.received.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing, to keep pytest's output clean."""


def _chart() -> bytes:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        for name, content in (("Chart.yaml", DEPENDENCY), ("templates/config.yaml", FROM_THE_WEB)):
            text = yaml.safe_dump(content).encode()
            member = tarfile.TarInfo(f"more/{name}")
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text))
    return archive.getvalue()


def serve() -> http.server.ThreadingHTTPServer:
    """Start the server at a free port."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Web)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server
