"""Slack, Teams, a webhook and GitHub's commit statuses on loopback: records what arrives, for tests to read."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Delivery:
    """A request that arrived."""

    path: str
    headers: Mapping[str, str]
    body: Any

    @property
    def text(self) -> str:
        """What a person reads: heading and message."""
        for attachment in self.body.get("attachments", []):
            if "author_name" in attachment:  # Slack
                return f"{attachment['author_name']}\n{attachment['text']}"
            items = attachment["content"]["body"][0]["items"]  # Teams
            return "\n".join(item["text"] for item in items if item["type"] == "TextBlock")
        return f"{self.body['involvedObject']['name']}\n{self.body['message']}"


@dataclass
class Recorder:
    """A running server."""

    server: http.server.ThreadingHTTPServer
    deliveries: list[Delivery] = field(default_factory=list[Delivery])

    @property
    def url(self) -> str:
        """Its address: 0.0.0.0 reaches this machine, and Go does not treat it as loopback, where it asks no proxy."""
        return f"http://0.0.0.0:{self.server.server_port}"

    def at(self, path: str) -> list[Delivery]:
        """What arrived below a path."""
        return [one for one in self.deliveries if one.path.startswith(path)]

    def texts(self, path: str) -> str:
        """All that a person reads below a path."""
        return "\n\n".join(one.text for one in self.at(path))

    def statuses(self, repository: str, commit: str) -> list[tuple[str, str]]:
        """Context and state of a commit's statuses on GitHub, the oldest first."""
        found = self.at(f"/api/v3/repos/{repository}/statuses/{commit}")
        return [(one.body["context"], one.body["state"]) for one in found]


def record() -> Recorder:
    """Start a recorder at a free port."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            # GET /repos/OWNER/NAME/commits/SHA/statuses lists the newest first.
            path = self.path.partition("?")[0].removesuffix("/statuses").replace("/commits/", "/statuses/")
            self.answer(200, [one.body for one in reversed(recorder.at(path))])

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            recorder.deliveries.append(Delivery(self.path, dict(self.headers), body))
            self.answer(201, body)

        def answer(self, status: int, content: Any) -> None:
            body = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Log nothing, to keep pytest's output clean."""

    recorder = Recorder(http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler))
    threading.Thread(target=recorder.server.serve_forever, daemon=True).start()
    return recorder
