"""The Git server as one process: Git over SSH, and beside it public repositories and GitHub's API over HTTP."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
from pathlib import Path

from aiohttp import web

from local.gitserver import (
    api,
    api_accounts,
    api_branches,
    api_contents,
    api_keys,
    api_repositories,
    git,
    known_hosts,
    smart_http,
    ssh,
)
from local.gitserver.store import Store
from local.home import Home

ORGANIZATION = "acme"
"""The organization that is there from the start."""


def token(home: Home) -> str:
    """The token that the API accepts, made when first asked for."""
    if not home.github_token.exists():
        partial = home.github_token.with_name(home.github_token.name + ".partial")
        partial.unlink(missing_ok=True)
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(f"local_{secrets.token_hex(20)}\n")
        partial.replace(home.github_token)
    return home.github_token.read_text().strip()


def application(home: Home, store: Store, user_key: str, slots: asyncio.Semaphore) -> web.Application:
    """Everything that is served over HTTP."""
    web_url, ssh_url = f"http://127.0.0.1:{home.port('git-http')}", f"ssh://git@127.0.0.1:{home.port('git-ssh')}"
    github = api.Api(store, token(home), web_url, ssh_url)
    app = web.Application(
        middlewares=[api.errors_as_github, api.authentication(github.token)], client_max_size=api.BODY_LIMIT_BYTES
    )
    api_accounts.add_routes(app, github)
    api_repositories.add_routes(app, github)
    api_keys.add_routes(app, github, user_key)
    api_contents.add_routes(app, github)
    api_branches.add_routes(app, github)
    backend = smart_http.SmartHttp(store, str(home.git), slots)
    for service in ("info/refs", "HEAD", "git-upload-pack", "git-receive-pack"):
        app.router.add_route("*", f"/{{owner}}/{{name}}/{{service:{service}}}", backend.handle)
    return app


async def serve(home: Home) -> None:
    """Serve until asked to end with SIGTERM or SIGINT. Raises OSError if a port is taken, git.GitError without Git."""
    git.program()
    home.create()
    home.git.mkdir(mode=0o700, exist_ok=True)
    store = Store(home.git)
    store.add_owner(ORGANIZATION)
    keys = ssh.load_keys(Path(home.git))
    user_key = ssh.text(keys.user)
    gate = ssh.Gate(store, user_key)
    (home.git / "known_hosts").write_text(known_hosts(home))

    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)

    over_ssh = await ssh.listen(home.port("git-ssh"), gate, keys)
    runner = web.AppRunner(application(home, store, user_key, gate.slots), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", home.port("git-http"), backlog=256, shutdown_timeout=2).start()
    print(f"Git over SSH: ssh://git@127.0.0.1:{home.port('git-ssh')}/OWNER/NAME (key: {home.git / 'id_user'})")
    print(f"HTTP:         http://127.0.0.1:{home.port('git-http')}/OWNER/NAME, API below {api.PREFIX}", flush=True)
    await stop.wait()
    over_ssh.close()
    await runner.cleanup()
