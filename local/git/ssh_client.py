"""An SSH client for Git with one key and one host; it reads none of the user's SSH configuration, agent or keys.

Git runs it in place of `ssh` (see `local.git.client_environment`), so that no OpenSSH is needed either. It takes
the arguments that Git gives to OpenSSH's client: [-o OPTION] [-p PORT] USER@HOST COMMAND.
"""

from __future__ import annotations

import argparse
import asyncio
import concurrent.futures
import os
import sys
import threading

import asyncssh

KEY = "GITSERVER_KEY"
"""Environment variable: path of the private key."""
CHUNK_BYTES = 64 * 1024
KNOWN_HOSTS = "GITSERVER_KNOWN_HOSTS"
"""Environment variable: path of a known_hosts file."""


async def _run(user: str, host: str, port: int, command: str) -> int:
    protocol = os.environ.get("GIT_PROTOCOL")
    async with asyncssh.connect(
        host,
        port,
        username=user,
        client_keys=[os.environ[KEY]],
        known_hosts=os.environ[KNOWN_HOSTS],
        config=None,
        agent_path=None,
        x509_trusted_certs=None,
        gss_host=None,
    ) as connection:
        process: asyncssh.SSHClientProcess[bytes] = await connection.create_process(
            command,
            env={"GIT_PROTOCOL": protocol} if protocol else {},
            stdout=sys.stdout.buffer,
            stderr=sys.stderr.buffer,
            encoding=None,
        )
        loop = asyncio.get_running_loop()
        threading.Thread(target=_forward_input, args=(process, loop), daemon=True).start()
        done = await process.wait()
        return 255 if done.exit_status is None else done.exit_status


def _forward_input(process: asyncssh.SSHClientProcess[bytes], loop: asyncio.AbstractEventLoop) -> None:
    """Send standard input, at the pace the other end takes it. A thread of its own works for files and pipes alike."""

    async def send(chunk: bytes) -> None:
        if process.is_closing():
            return
        if not chunk:
            process.stdin.write_eof()
            return
        process.stdin.write(chunk)
        await process.stdin.drain()

    while True:
        chunk = os.read(0, CHUNK_BYTES)
        try:
            asyncio.run_coroutine_threadsafe(send(chunk), loop).result()
        except (RuntimeError, OSError, asyncssh.Error, concurrent.futures.CancelledError):
            return  # the other end has finished; what it said is on its way to standard error
        if not chunk:
            return


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("-o", action="append", help="accepted and ignored: only GIT_PROTOCOL is ever sent")
    parser.add_argument("-p", type=int, default=22, help="port")
    parser.add_argument("destination", help="USER@HOST")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    arguments = parser.parse_args()
    user, _, host = arguments.destination.rpartition("@")
    try:
        sys.exit(asyncio.run(_run(user, host, arguments.p, " ".join(arguments.command))))
    except KeyError as error:
        sys.exit(f"ssh: {error} is not set; take the environment from local.git.client_environment()")
    except (OSError, asyncssh.Error) as error:
        print(f"ssh: {user}@{host}: {error}", file=sys.stderr)
        sys.exit(255)


if __name__ == "__main__":
    main()
