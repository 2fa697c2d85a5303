"""Git over SSH: the public key decides which repository opens, and whether it may write, as on GitHub."""

from __future__ import annotations

import asyncio
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

import asyncssh

from local.files import write_atomically
from standins.github import git
from standins.github.store import Repository, Store

HOST_KEY_ALGORITHM = "ecdsa-sha2-nistp256"
LOGIN_SECONDS = 30
KEEPALIVE_SECONDS = 15
"""A client that is silent for three of these is gone, and its Git process with it."""

_PATH = re.compile(r"/?(?P<owner>[^/]+)/(?P<name>[^/]+?)(?:\.git)?/?")
_PROTOCOL = re.compile(rb"version=[0-9](:[a-z0-9=]+)*")


class AccessDeniedError(Exception):
    """A request that the client may not make; the text is for the client."""


@dataclass(frozen=True)
class Keys:
    """The server's own key pairs, made once and kept in the platform's folder."""

    host: asyncssh.SSHKey
    user: asyncssh.SSHKey


def text(key: asyncssh.SSHKey) -> str:
    """A public key as "TYPE BASE64"."""
    return " ".join(key.export_public_key("openssh").decode().split()[:2])


def load_keys(folder: Path) -> Keys:
    """The host key and the platform user's key (`id_user`), made when first asked for."""
    return Keys(_load_key(folder / "ssh_host_key"), _load_key(folder / "id_user"))


def _load_key(path: Path) -> asyncssh.SSHKey:
    if not path.exists():
        made = asyncssh.generate_private_key(HOST_KEY_ALGORITHM, comment="saas-local")
        path.with_name(path.name + ".pub").write_bytes(made.export_public_key("openssh"))
        write_atomically(path, made.export_private_key("openssh").decode())
    return asyncssh.read_private_key(path)


class Server(asyncssh.SSHServer):
    """One connection: accepts the public keys that the gate knows."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._connection = conn

    def begin_auth(self, username: str) -> bool:
        return True

    def public_key_auth_supported(self) -> bool:
        return True

    def password_auth_supported(self) -> bool:
        return False

    def kbdint_auth_supported(self) -> bool:
        return False

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        # asyncssh asks again as the last step, with the key that signed: that key is kept.
        presented = text(key)
        self._connection.set_extra_info(public_key=presented)
        return username == "git" and self._gate.knows(presented)


class Gate:
    """Authorization: which repository a key opens. Reads the store each time, so a new deploy key works at once."""

    def __init__(self, store: Store, user_key: str, *, concurrent: int = 8) -> None:
        self._store = store
        self._user_key = user_key
        self._slots = asyncio.Semaphore(concurrent)

    @property
    def slots(self) -> asyncio.Semaphore:
        """Held by each running Git process: a hundred tenants that poll at once wait rather than swamp the machine."""
        return self._slots

    def knows(self, key: str) -> bool:
        return key == self._user_key or self._store.key(key) is not None

    def open(self, key: str, path: str, *, write: bool) -> Repository:
        """The repository at a path of an SSH URL. Raises AccessDeniedError, in GitHub's words, for another key."""
        match = _PATH.fullmatch(path)
        repository = self._store.get(match["owner"], match["name"]) if match else None
        read_only = False
        if key != self._user_key:
            opened = self._store.key(key)
            # Whether the repository exists is not for other repositories' keys to learn.
            if repository is None or opened is None or opened[0].id != repository.id:
                raise AccessDeniedError("Repository not found.")
            read_only = opened[1].read_only
        if repository is None:
            raise AccessDeniedError("Repository not found.")
        if write and read_only:
            raise AccessDeniedError("The key you are authenticating with has been marked as read only.")
        if write and repository.archived:
            raise AccessDeniedError("This repository was archived so it is read-only.")
        return repository

    async def serve(self, process: asyncssh.SSHServerProcess[bytes]) -> None:
        """Run the Git service that a client asked for, then end its session."""
        try:
            service, repository = self._parse(process)
        except AccessDeniedError as denied:
            process.stderr.write(f"ERROR: {denied}\n".encode())
            process.exit(1)
            return
        async with self._slots:
            code = await _run(service, repository.path, process)
        process.exit(code)
        await process.wait_closed()

    def _parse(self, process: asyncssh.SSHServerProcess[bytes]) -> tuple[str, Repository]:
        if not process.command:
            raise AccessDeniedError("You've successfully authenticated, but this server does not provide shell access.")
        try:
            words = shlex.split(process.command)
        except ValueError as error:
            raise AccessDeniedError(f"Invalid command: {process.command!r}") from error
        if words[:1] == ["git"]:  # "git upload-pack" is the same as "git-upload-pack"
            words = [f"git-{words[1]}", *words[2:]] if len(words) > 1 else words
        if len(words) != 2 or words[0] not in ("git-upload-pack", "git-receive-pack"):
            raise AccessDeniedError(
                f"Invalid command: {process.command!r}. Only git-upload-pack and git-receive-pack are served."
            )
        key = str(process.get_extra_info("public_key"))
        service = words[0].removeprefix("git-")
        return service, self.open(key, words[1], write=service == "receive-pack")


async def _run(service: str, repository: Path, process: asyncssh.SSHServerProcess[bytes]) -> int:
    protocol = process.channel.get_environment_bytes().get(b"GIT_PROTOCOL", b"")
    more = {"GIT_PROTOCOL": protocol.decode()} if _PROTOCOL.fullmatch(protocol) else {}
    child = await asyncio.create_subprocess_exec(
        git.program(),
        service,
        *(["--strict"] if service == "upload-pack" else []),
        str(repository),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=git.environment(**more),
    )
    try:
        await process.redirect(stdin=child.stdin, stdout=child.stdout, stderr=child.stderr)
        code = await child.wait()
        await process.stdout.drain()
        return code
    finally:
        if child.returncode is None:
            child.kill()


async def listen(port: int, gate: Gate, keys: Keys) -> asyncssh.SSHAcceptor:
    """Serve on a loopback port. Takes no configuration, agent or authorized keys of the user's."""
    return await asyncssh.listen(
        "127.0.0.1",
        port,
        server_factory=lambda: Server(gate),
        server_host_keys=[keys.host],
        process_factory=gate.serve,
        encoding=None,
        allow_scp=False,
        allow_pty=False,
        agent_forwarding=False,
        gss_host=None,
        login_timeout=LOGIN_SECONDS,
        keepalive_interval=KEEPALIVE_SECONDS,
        backlog=256,
    )
