"""The embedded platform's Git server: Git over SSH with deploy keys, and over HTTP, on loopback ports.

    SSH   ssh://git@127.0.0.1:PORT/OWNER/NAME     a deploy key opens its repository, `id_user` opens all
    HTTP  http://127.0.0.1:PORT/OWNER/NAME        public repositories, reading only

It serves the store of repositories and deploy keys that the GitHub stand-in writes (standins/github/store.py), and
looks into it at each request. Pushes are delivered to the repositories' webhooks (webhooks.py).
"""

from __future__ import annotations

import os
import shlex
import socket
import sys
from pathlib import Path

from local.files import write_atomically
from local.home import PROJECT, Home

PRODUCT = PROJECT / "local" / "product"
"""The sample product, as it is first committed to each seeded repository."""
SHOP = PROJECT / "local" / "shop"
"""The files of the sample product that several tenants run, where they differ."""

READY_SECONDS = 30.0


def start(home: Home) -> None:
    """Start the Git server unless it runs, wait until both its ports answer, and write the mirrors file.

    Raises as `local.processes.start` does if it does not become ready.
    """
    from local import processes  # not needed by the process itself

    home.create()
    argv = [sys.executable, "-m", "local.git", "--home", str(home.path)]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    processes.start(home, "gitserver", argv, env=environment, ready=lambda: _answers(home), timeout=READY_SECONDS)
    write_mirrors(home)


def _answers(home: Home) -> bool:
    for name, greeting in (("git-ssh", b""), ("git-http", b"HEAD / HTTP/1.0\r\n\r\n")):
        try:
            with socket.create_connection(("127.0.0.1", home.port(name)), timeout=2) as connection:
                connection.sendall(greeting)
                if not connection.recv(4).startswith((b"SSH-", b"HTTP")):
                    return False
        except OSError:
            return False
    return True


def seed(home: Home) -> list[str]:
    """Create the missing repositories of the sample product, and return their names.

    `acme/product` and `acme/shop` are private, with the default branch main; `stefanprodan/podinfo` is public, with
    master. Repositories that exist stay as they are: people push to them. The server may be running or not.
    """
    from standins.github import git
    from standins.github.store import AlreadyExistsError, Store

    home.create()
    store = Store(home.git)
    person = git.Person("Product team", "product@acme.example")
    product = _files(PRODUCT)
    shop = product | _files(SHOP)
    made: list[str] = []
    for owner, name, branch, private, files in (
        ("acme", "product", "main", True, product),
        ("acme", "shop", "main", True, shop),
        ("stefanprodan", "podinfo", "master", False, product),
    ):
        if store.get(owner, name) is not None:
            continue

        def first_commit(path: Path, branch: str = branch, files: dict[str, bytes | None] = files) -> None:
            git.commit_files(path, branch, files, "Start the product", person, parent=None)

        settings = {"private": private, "description": "Sample product of the embedded platform"}
        try:
            store.create(owner, name, settings, default_branch=branch, first_commit=first_commit)
        except AlreadyExistsError:
            continue
        made.append(f"{owner}/{name}")
    return made


def _files(folder: Path) -> dict[str, bytes | None]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def known_hosts(home: Home) -> str:
    """The server's host key as a line for known_hosts. The key is made when the server first starts."""
    kind, key = (home.git / "ssh_host_key.pub").read_text().split()[:2]
    return f"[127.0.0.1]:{home.port('git-ssh')} {kind} {key}\n"


def write_mirrors(home: Home) -> None:
    """Write `home.mirrors`: URL prefixes of GitHub and of the images' registry, and where they lead to here."""
    import yaml

    from local import registry

    content = {
        "mirrors": [
            {
                "prefix": "ssh://git@github.com/",
                "url": f"ssh://git@127.0.0.1:{home.port('git-ssh')}/",
                "knownHosts": known_hosts(home),
            },
            {"prefix": "https://github.com/", "url": f"http://127.0.0.1:{home.port('git-http')}/"},
            registry.mirror(home),
        ]
    }
    write_atomically(home.mirrors, "# Written when the Git server starts.\n" + yaml.safe_dump(content, sort_keys=False))


def user_key(home: Home) -> Path:
    """The private key of the platform's user, who may push everywhere."""
    return home.git / "id_user"


def client_environment(home: Home, key: Path | None = None) -> dict[str, str]:
    """Environment variables for `git` over SSH: as the platform's user, who may push everywhere, or with another key.

    Git then reads neither the user's Git nor SSH configuration, and needs no OpenSSH.
    """
    # -P: Python then imports no module from the client's own folder.
    client = [sys.executable, "-P", str(PROJECT / "local" / "git" / "ssh_client.py")]
    return {
        "GIT_SSH_COMMAND": shlex.join(client),
        "GIT_SSH_VARIANT": "ssh",
        "GITSERVER_KEY": str(key or user_key(home)),
        "GITSERVER_KNOWN_HOSTS": str(home.git / "known_hosts"),
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_TERMINAL_PROMPT": "0",
    }
