"""`python -m local.agent --home DIR --tools FILE`: the agent's process, until SIGTERM."""

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
from local.agent.api import PODS, AsyncApi, Object
from local.agent.pod import LONGEST_GRACE, PodContext, PodRunner
from local.agent.services import Services
from local.home import Home


class Agent:
    """Runs one PodRunner for each scheduled pod of flux-system."""

    def __init__(self, context: PodContext) -> None:
        self._context = context
        self._runners: dict[str, tuple[PodRunner, asyncio.Task[None]]] = {}
        """By uid; a pod's runner is kept until the API server no longer lists the pod."""

    async def run(self) -> None:
        """Follow pods and Services until cancelled, which stops all programs. An unexpected error ends the agent."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._context.services.follow())
            async for pods in self._context.api.follow(PODS):
                self._reconcile({pod["metadata"]["uid"]: pod for pod in pods}, tasks)

    def _reconcile(self, pods: dict[str, Object], tasks: asyncio.TaskGroup) -> None:
        for uid, pod in pods.items():
            finished = pod.get("status", {}).get("phase") in ("Succeeded", "Failed")
            if uid not in self._runners and "nodeName" in pod["spec"] and not finished:
                runner = PodRunner(pod, self._context)
                self._runners[uid] = runner, tasks.create_task(runner.run())
            if uid in self._runners and "deletionTimestamp" in pod["metadata"]:
                self._delete(uid, pod["metadata"].get("deletionGracePeriodSeconds", LONGEST_GRACE))
        for uid in list(self._runners.keys() - pods.keys()):
            self._delete(uid, 0)
            if self._runners[uid][1].done():
                del self._runners[uid]
        for folder in (agent.folder(self._context.home) / "pods").glob("*"):
            if folder.name not in pods.keys() | self._runners.keys():
                shutil.rmtree(folder)

    def _delete(self, uid: str, grace: float) -> None:
        runner, task = self._runners[uid]
        if not runner.deleting:
            runner.deleting, runner.grace = True, min(grace, LONGEST_GRACE)
            if runner.begun:
                task.cancel()


async def run(home: Home, tools: Path) -> None:
    """Run until SIGTERM or SIGINT."""
    tls = ssl.create_default_context(cafile=access.authority(home).certificate)
    tls.load_cert_chain(access.authority(home).client(agent.USER))
    async with (
        aiohttp.ClientSession(access.server_url(home), connector=aiohttp.TCPConnector(ssl=tls)) as session,
        aiohttp.ClientSession() as http,
    ):
        api = AsyncApi(session)
        running = asyncio.create_task(Agent(PodContext(home, tools, api, http, Services(home, api))).run())
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, running.cancel)
        health = await _serve_health(home.port(agent.NAME), api)
        with contextlib.suppress(asyncio.CancelledError):
            await running
        await health.cleanup()


async def _serve_health(port: int, api: AsyncApi) -> web.AppRunner:
    """Answer /healthz with success while the API server can be reached."""

    async def healthz(_: web.Request) -> web.Response:
        return web.Response(status=200 if api.connected else 503)

    application = web.Application()
    application.router.add_get("/healthz", healthz)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    return runner


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m local.agent", description=agent.__doc__)
    parser.add_argument("--home", type=Path, required=True, help="folder of the platform")
    parser.add_argument("--tools", type=Path, required=True, help="JSON file: program name to path")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    asyncio.run(run(Home(arguments.home.resolve()), arguments.tools.resolve()))


if __name__ == "__main__":
    main()
