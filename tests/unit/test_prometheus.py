"""The query of a rollout's gate, against a server that answers as Prometheus does."""

from __future__ import annotations

import json
import math
import threading
import urllib.parse
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any, cast

import pytest

from cli import prometheus
from cli.errors import CommandError


class Server(HTTPServer):
    """Answers each query with the same status and body, and remembers the last one."""

    status, body = 200, b""
    asked: tuple[str, dict[str, list[str]]] = ("", {})

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def says(self, kind: str, result: Any) -> None:
        self.body = json.dumps({"status": "success", "data": {"resultType": kind, "result": result}}).encode()


class Handler(BaseHTTPRequestHandler):
    """Of one query."""

    def do_POST(self) -> None:
        server = cast("Server", self.server)
        form = self.rfile.read(int(self.headers["Content-Length"])).decode()
        server.asked = self.path, urllib.parse.parse_qs(form)
        self.send_response(server.status)
        self.end_headers()
        self.wfile.write(server.body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Handler) as found:
        thread = threading.Thread(target=found.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield found
        found.shutdown()
        thread.join()


def test_each_namespace_has_its_highest_sample(server: Server) -> None:
    named = [("alpha", "0.1"), ("alpha", "0.3"), ("beta", "NaN"), (None, "+Inf")]
    server.says(
        "vector",
        [{"metric": {"namespace": name} if name else {}, "value": [1.5, value]} for name, value in named],
    )
    query = 'rate(x{namespace=~"alpha|beta"}[1h]) & more'
    assert prometheus.query(f"{server.url}/", query) == {"alpha": 0.3, "beta": math.inf, "": math.inf}
    assert server.asked == ("/api/v1/query", {"query": [query], "timeout": ["15s"]})
    server.says("scalar", [1.5, "2"])
    assert prometheus.query(server.url, "2") == {"": 2.0}
    server.says("vector", [])
    assert prometheus.query(server.url, "absent") == {}


def refused(url: str) -> str:
    with pytest.raises(CommandError) as error:
        prometheus.query(url, "up")
    return str(error.value)


def test_an_answer_without_samples_lets_nothing_go_on(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    server.says("matrix", [])
    assert "has no samples" in refused(server.url)
    for server.body in (b"<html>", b"[]", b"{}", b'{"data": {"resultType": "vector", "result": [{"value": 1}]}}'):
        assert "has no samples" in refused(server.url)
    monkeypatch.setattr(prometheus, "LONGEST", 10)
    server.body = b"1" * 11
    assert "too long" in refused(server.url)


def test_an_error_of_prometheus_is_shown(server: Server) -> None:
    server.status, server.body = 400, b'{"status": "error", "error": "unknown function"}'
    assert "refuses the query: unknown function" in refused(server.url)
    assert "does not answer" in refused("http://127.0.0.1:9")
    assert "does not answer" in refused("http://127.0.0.1:port")
    assert "is not the address of Prometheus" in refused("file:///etc/passwd")
