"""The Git server's process: `python -m local.git --home DIR`."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from pathlib import Path

import aiohttp
from aiohttp import web

from local.git import known_hosts, smart_http, ssh, webhooks
from local.home import Home
from standins.github import git
from standins.github.store import Store

ORGANIZATION = "acme"
"""The organization that is there from the start."""


async def serve(home: Home) -> None:
    """Serve until asked to end with SIGTERM or SIGINT. Raises OSError if a port is taken, git.GitError without Git."""
    git.program()
    home.create()
    home.git.mkdir(mode=0o700, exist_ok=True)
    store = Store(home.git)
    store.add_owner(ORGANIZATION)
    keys = ssh.load_keys(home.git)
    gate = ssh.Gate(store, ssh.text(keys.user))
    (home.git / "known_hosts").write_text(known_hosts(home))

    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)

    over_ssh = await ssh.listen(home.port("git-ssh"), gate, keys)
    runner = web.AppRunner(smart_http.application(store, gate.slots), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", home.port("git-http"), backlog=256, shutdown_timeout=2).start()
    print(f"Git over SSH:  ssh://git@127.0.0.1:{home.port('git-ssh')}/OWNER/NAME (key: {home.git / 'id_user'})")
    print(f"Git over HTTP: http://127.0.0.1:{home.port('git-http')}/OWNER/NAME (public ones, reading)", flush=True)
    async with aiohttp.ClientSession() as http:
        delivering = asyncio.create_task(webhooks.Deliveries(home, store, http).run())
        # An error in it ends the server, which would be silent about pushes otherwise.
        await asyncio.wait({delivering, asyncio.create_task(stop.wait())}, return_when=asyncio.FIRST_COMPLETED)
        if delivering.done():
            delivering.result()
        delivering.cancel()
    over_ssh.close()
    await runner.cleanup()


def main() -> None:
    parser = argparse.ArgumentParser(description="Git over SSH and HTTP, on loopback ports.")
    parser.add_argument("--home", type=Path, required=True, help="the platform's folder")
    home = Home(parser.parse_args().home.resolve())
    try:
        asyncio.run(serve(home))
    except (OSError, git.GitError) as error:
        sys.exit(f"The Git server can't start: {error}")


if __name__ == "__main__":
    main()
