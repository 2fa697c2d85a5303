"""`python -m local.agent --home DIR --tools DIR_OR_JSON`: the agent itself, until SIGTERM."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import shutil
import signal
import ssl
from pathlib import Path

import aiohttp
from aiohttp import web

from local import access, agent
from local.agent.api import Api, Listing, Pod
from local.agent.pod import LONGEST_GRACE, PodRunner, Surroundings
from local.agent.services import Services
from local.home import Home

log = logging.getLogger("local.agent")


class Agent:
    """Keeps one PodRunner for each pod of flux-system that has been scheduled."""

    def __init__(self, surroundings: Surroundings) -> None:
        self._around = surroundings
        self._runners: dict[str, PodRunner] = {}
        # Kept for a while after they have ended: events of a pod may still come in when it has been removed.
        self._ending: dict[str, asyncio.Task[None]] = {}

    async def follow(self) -> None:
        """Do what the API server's pods ask for, for ever."""
        async for news in self._around.api.follow(agent.NAMESPACE):
            if isinstance(news, Listing):
                self._forget_others({pod["metadata"]["uid"] for pod in news.pods})
                for pod in news.pods:
                    self._see(pod)
            elif news.deleted:
                self._end(news.pod["metadata"]["uid"], grace=0)
            else:
                self._see(news.pod)

    async def stop(self) -> None:
        """End all programs, all at once, and report that they have ended."""
        await asyncio.gather(
            *(runner.end(grace=LONGEST_GRACE, delete=False) for runner in self._runners.values()),
            *self._ending.values(),
        )

    def _see(self, pod: Pod) -> None:
        uid, phase = pod["metadata"]["uid"], pod.get("status", {}).get("phase")
        if "nodeName" not in pod["spec"] or phase in ("Succeeded", "Failed") or uid in self._ending:
            return
        if uid not in self._runners:
            self._runners[uid] = PodRunner(pod, self._around)
        if "deletionTimestamp" in pod["metadata"]:
            self._end(uid, grace=pod["metadata"].get("deletionGracePeriodSeconds", LONGEST_GRACE))

    def _end(self, uid: str, grace: float) -> None:
        runner = self._runners.pop(uid, None)
        if runner is not None:
            log.info("%s: to be deleted", runner.name)
            self._ending[uid] = asyncio.create_task(runner.end(grace=grace, delete=True))

    def _forget_others(self, known: set[str]) -> None:
        for uid in self._runners.keys() - known:
            self._end(uid, grace=0)
        for uid in [uid for uid, task in self._ending.items() if task.done() and uid not in known]:
            del self._ending[uid]
        for folder in (agent.folder(self._around.home) / "pods").glob("*"):
            if folder.name not in known | self._ending.keys():
                shutil.rmtree(folder)


async def run(home: Home, tools: Path) -> None:
    """Run until SIGTERM or SIGINT. Raises OSError if a port that must stay the same is taken."""
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    # An agent that was killed has left its programs running. They can't be watched over from here: they start anew.
    await asyncio.gather(*(asyncio.to_thread(record.end, LONGEST_GRACE) for record in agent.records(home).values()))
    authority = access.authority(home)
    tls = ssl.create_default_context(cafile=authority.certificate)
    tls.load_cert_chain(authority.client(agent.USER))
    async with (
        aiohttp.ClientSession(
            access.server_url(home),
            connector=aiohttp.TCPConnector(ssl=tls),
            read_bufsize=2**23,  # a line of a watch holds a whole pod
        ) as session,
        aiohttp.ClientSession() as http,
    ):
        api, services = Api(session), Services()
        agent_ = Agent(Surroundings(home, tools, api, http, services))
        async with services.serving(home), _health(home, api):
            following = asyncio.create_task(agent_.follow())
            waiting = asyncio.create_task(stopping.wait())
            await asyncio.wait({following, waiting}, return_when=asyncio.FIRST_COMPLETED)
            log.info("stopping")
            following.cancel()
            await agent_.stop()
    if following.done() and not following.cancelled():
        following.result()  # raises what ended it


@contextlib.asynccontextmanager
async def _health(home: Home, api: Api):
    """Says at /healthz whether the agent is in touch with the API server."""

    async def healthz(_: web.Request) -> web.Response:
        if api.connected:
            return web.Response(text="ok\n")
        return web.Response(status=503, text="not in touch with the API server\n")

    application = web.Application()
    application.router.add_get("/healthz", healthz)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", home.port(agent.NAME)).start()
        yield
    finally:
        await runner.cleanup()


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m local.agent", description=agent.__doc__)
    parser.add_argument("--home", type=Path, required=True, help="folder of the platform")
    parser.add_argument("--tools", type=Path, required=True, help="folder of programs, or JSON file: name to path")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    asyncio.run(run(Home(arguments.home.resolve()), arguments.tools.resolve()))


if __name__ == "__main__":
    main()
