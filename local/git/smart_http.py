"""Public repositories over HTTP, for reading only, through Git's own `git http-backend`."""

from __future__ import annotations

import asyncio
import subprocess
from asyncio.subprocess import PIPE, Process
from pathlib import Path

from aiohttp import web

from standins.github import git
from standins.github.store import Store

CHUNK_BYTES = 64 * 1024


def backend_program() -> str:
    """Path of `git http-backend`, the program behind smart HTTP. Raises GitError if this Git came without it."""
    command = [git.program(), "--exec-path"]
    asked = subprocess.run(command, check=True, capture_output=True, text=True, env=git.environment())
    path = Path(asked.stdout.strip()) / "git-http-backend"
    if not path.exists():
        raise git.GitError(
            f"This Git has no http-backend: {path} does not exist. Install the full Git package (Alpine: git-daemon, "
            "Fedora: git-core together with git), then try again."
        )
    return str(path)


def application(store: Store, slots: asyncio.Semaphore) -> web.Application:
    """`git clone http://127.0.0.1:PORT/OWNER/NAME` of public repositories; each running Git process holds a slot."""
    backend = SmartHttp(store, slots)
    app = web.Application()
    for service in ("info/refs", "HEAD", "git-upload-pack", "git-receive-pack"):
        app.router.add_route("*", f"/{{owner}}/{{name}}/{{service:{service}}}", backend.handle)
    return app


class SmartHttp:
    """Requests of Git clients, handed to `git http-backend`. A private repository answers like a missing one."""

    def __init__(self, store: Store, slots: asyncio.Semaphore) -> None:
        self._store = store
        self._slots = slots
        self._program = backend_program()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        owner, name, service = (request.match_info[part] for part in ("owner", "name", "service"))
        if "git-receive-pack" in (service, request.query.get("service")):
            return web.Response(status=403, text="Pushes go over SSH.\n")
        repository = self._store.get(owner, name.removesuffix(".git"))
        if repository is None or repository.private:
            return web.Response(status=404, text="Repository not found.\n")
        async with self._slots:
            return await self._backend(request, f"/{repository.owner}/{repository.path.name}/{service}")

    async def _backend(self, request: web.Request, path: str) -> web.StreamResponse:
        # aiohttp has undone a compressed body, so its length is not the header's: the backend reads to the end instead.
        cgi = {
            "GIT_PROJECT_ROOT": str(self._store.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": path,
            "REQUEST_METHOD": request.method,
            "QUERY_STRING": request.query_string,
            "CONTENT_TYPE": request.headers.get("Content-Type", ""),
            "GIT_PROTOCOL": request.headers.get("Git-Protocol", ""),
            "REMOTE_ADDR": "127.0.0.1",
        }
        child = await asyncio.create_subprocess_exec(self._program, stdin=PIPE, stdout=PIPE, env=git.environment(**cgi))
        feeding = asyncio.create_task(_feed(request, child))
        try:
            response = await _respond(request, child)
            await feeding
            await child.wait()
            return response
        finally:
            feeding.cancel()
            if child.returncode is None:
                child.kill()
                await child.wait()


async def _feed(request: web.Request, child: Process) -> None:
    assert child.stdin is not None
    try:
        async for chunk in request.content.iter_chunked(CHUNK_BYTES):
            child.stdin.write(chunk)
            await child.stdin.drain()
        child.stdin.close()
    except (BrokenPipeError, ConnectionResetError):
        return  # it answered without reading the rest, which its answer explains


async def _respond(request: web.Request, child: Process) -> web.StreamResponse:
    assert child.stdout is not None
    response = web.StreamResponse()
    while line := (await child.stdout.readline()).strip():
        name, _, value = line.decode("latin-1").partition(":")
        if name.lower() == "status":
            response.set_status(int(value.split()[0]))
        else:
            response.headers[name] = value.strip()
    await response.prepare(request)
    while chunk := await child.stdout.read(CHUNK_BYTES):
        await response.write(chunk)
    await response.write_eof()
    return response
