"""Webhooks: each push is delivered to the hooks of its repository, signed as GitHub signs.

Git writes a file for each change of a branch (standins/github/git.py). A host name in a hook's URL leads to the
cluster's webhook receiver, as public DNS and the way in from the internet do elsewhere; an address is used as it is.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import ipaddress
import json
import secrets
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import aiohttp

from local import agent
from local.home import Home
from standins.github import git
from standins.github.store import Repository, Store, Webhook, now

PATIENCE_SECONDS = 10.0
"""GitHub waits no longer for an answer."""
RECEIVER = "webhook-receiver"
"""The Service of Flux's notification-controller that takes webhooks."""
LOOK_SECONDS = 0.05
RECORD_LIMIT = 10 * 1024 * 1024
"""Bytes above which the record of deliveries is renamed to deliveries.jsonl.1."""

_USER = {"login": "platform", "id": 1, "type": "User"}
Payload = dict[str, Any]


class Deliveries:
    """Delivers what happens in the store's repositories to their webhooks, and records each delivery."""

    def __init__(self, home: Home, store: Store, http: aiohttp.ClientSession) -> None:
        self._home, self._store, self._http = home, store, http
        self._running: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Deliver until cancelled. Events of the time when the server did not run are delivered, too."""
        while True:
            for event in self._waiting():
                with contextlib.suppress(git.GitError):  # the repository was deleted meanwhile
                    for name, payload, repository, hook in self._read(event):
                        task = asyncio.create_task(self._deliver(name, payload, repository, hook))
                        self._running.add(task)
                        task.add_done_callback(self._running.discard)
                event.unlink()
            await asyncio.sleep(LOOK_SECONDS)

    def _waiting(self) -> list[Path]:
        """The files of events that are complete, the oldest first."""
        complete = [path for path in self._store.events.iterdir() if not path.name.startswith(".")]
        return sorted(complete, key=lambda path: path.stat().st_mtime_ns)

    def _read(self, event: Path) -> Iterator[tuple[str, Payload, Repository, Webhook]]:
        name, place, *lines = event.read_text().splitlines()
        path = Path(place)
        repository = self._store.get(path.parent.name, path.name.removesuffix(".git"))
        if repository is None:
            return
        if name == "ping":
            for hook in repository.hooks:
                if str(hook.id) in lines:
                    yield name, _ping(repository, hook), repository, hook
            return
        for old, new, ref in (line.split(" ", 2) for line in lines):
            if old == new or not ref.startswith(("refs/heads/", "refs/tags/")):
                continue
            payload = _push(repository, ref, old, new)
            for hook in repository.hooks:
                if hook.active and {"push", "*"} & set(hook.events):
                    yield name, payload, repository, hook

    async def _deliver(self, event: str, payload: Payload, repository: Repository, hook: Webhook) -> None:
        body, headers = request_of(event, payload, repository, hook)
        url, host = self._address(hook.url)
        started, answered = time.monotonic(), 0
        try:
            async with self._http.post(
                url,
                data=body,
                headers={**headers, "Host": host},
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=PATIENCE_SECONDS),
            ) as response:
                answered, status = response.status, response.reason or ""
        except TimeoutError:
            status = "timed out"
        except aiohttp.ClientError:
            status = "failed to connect to host"
        self._record(
            {
                "id": secrets.randbelow(2**40),
                "guid": headers["X-GitHub-Delivery"],
                "delivered_at": now(),
                "duration": round(time.monotonic() - started, 3),
                "status": status,
                "status_code": answered,
                "event": event,
                "repository": repository.full_name,
                "hook": hook.id,
                "url": hook.url,
                "request": {"headers": headers, "body": body.decode()},
            }
        )

    def _address(self, url: str) -> tuple[str, str]:
        """Where a hook's URL leads on this machine, and the Host header."""
        parts = urlsplit(url)
        with contextlib.suppress(ValueError):
            ipaddress.ip_address(parts.hostname or "")
            return url, parts.netloc
        port = agent.service_port(self._home, RECEIVER)
        return parts._replace(scheme="http", netloc=f"127.0.0.1:{port}").geturl(), parts.netloc

    def _record(self, delivery: Payload) -> None:
        record = record_of(self._home)
        if record.exists() and record.stat().st_size > RECORD_LIMIT:
            record.replace(record.with_name(f"{record.name}.1"))
        with record.open("a") as file:
            file.write(json.dumps(delivery) + "\n")


def record_of(home: Home) -> Path:
    """The record of deliveries: a line of JSON for each, with the fields of GitHub's API and the request's body."""
    return home.git / "deliveries.jsonl"


def deliveries(home: Home) -> list[Payload]:
    """The recorded deliveries, the oldest first."""
    record = record_of(home)
    return [json.loads(line) for line in record.read_text().splitlines()] if record.exists() else []


def request_of(event: str, payload: Payload, repository: Repository, hook: Webhook) -> tuple[bytes, dict[str, str]]:
    """The body and the headers of a delivery."""
    text = json.dumps(payload, separators=(",", ":"))
    as_json = hook.configuration["content_type"] == "json"
    body = (text if as_json else urlencode({"payload": text})).encode()
    headers = {
        "Accept": "*/*",
        "Content-Type": "application/json" if as_json else "application/x-www-form-urlencoded",
        "User-Agent": "GitHub-Hookshot/local",
        "X-GitHub-Delivery": str(uuid.uuid4()),
        "X-GitHub-Event": event,
        "X-GitHub-Hook-ID": str(hook.id),
        "X-GitHub-Hook-Installation-Target-ID": str(repository.id),
        "X-GitHub-Hook-Installation-Target-Type": "repository",
    }
    if secret := hook.configuration.get("secret"):
        headers["X-Hub-Signature-256"] = f"sha256={hmac.new(secret.encode(), body, 'sha256').hexdigest()}"
    return body, headers


def _described(repository: Repository) -> Payload:
    name = repository.full_name
    return {
        "id": repository.id,
        "name": repository.name,
        "full_name": name,
        "private": repository.private,
        "owner": {"name": repository.owner, "login": repository.owner},
        "html_url": f"https://github.com/{name}",
        "url": f"https://github.com/{name}",
        "clone_url": f"https://github.com/{name}.git",
        "ssh_url": f"git@github.com:{name}.git",
        "default_branch": git.default_branch(repository.path),
    }


def _ping(repository: Repository, hook: Webhook) -> Payload:
    shown = {key: value for key, value in hook.configuration.items() if key != "secret"}
    about = {"type": "Repository", "id": hook.id, "name": "web", "active": hook.active, "events": list(hook.events)}
    return {
        "zen": "Design for failure.",
        "hook_id": hook.id,
        "hook": {**about, "config": shown, "created_at": hook.created_at, "updated_at": hook.updated_at},
        "repository": _described(repository),
        "sender": _USER,
    }


def _push(repository: Repository, ref: str, old: str, new: str) -> Payload:
    created, deleted = old == git.NO_COMMIT, new == git.NO_COMMIT
    head: Payload | None = None
    if not deleted and (commit := git.find_commit(repository.path, new)):
        last = git.log(repository.path, commit, count=1)[0]
        person = {"name": last.committer.name, "email": last.committer.email}
        head = {"id": last.sha, "message": last.message, "author": person, "committer": person}
    return {
        "ref": ref,
        "before": old,
        "after": new,
        "created": created,
        "deleted": deleted,
        "compare": f"https://github.com/{repository.full_name}/compare/{old[:12]}...{new[:12]}",
        "head_commit": head,
        "commits": [head] if head else [],
        "repository": _described(repository),
        "pusher": {"name": _USER["login"]},
        "sender": _USER,
    }
