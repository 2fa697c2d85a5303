"""One pod: its program, its probes and its status."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import hashlib
import json
import logging
import mmap
import platform
import re
import shutil
import signal
import socket
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
import psutil

from local import access, agent, processes
from local.agent import confinement
from local.agent.api import UNAVAILABLE, AsyncApi, Object
from local.agent.command import (
    PYTHON,
    SERVICE_ACCOUNT_FOLDER,
    Host,
    UnsupportedError,
    container_of,
    memory_limit,
    program_of,
    translate,
)
from local.agent.services import Endpoint, Services
from local.home import Home
from model.config.names import IMAGE_WRITER

T = TypeVar("T")
log = logging.getLogger(__name__)

LONGEST_GRACE = 10.0
"""Seconds after SIGTERM until SIGKILL, however long the pod's own grace period is."""
RESTART_PAUSE = 2.0
"""Seconds between a crash and the restart."""
PROBE_PERIOD = 0.3
"""Seconds between two probes until the program is ready; after that, only its end is watched."""
MEMORY_PERIOD = 0.3
"""Seconds between two looks at the memory of a program."""
TOKEN_SECONDS = 365 * 24 * 3600
"""A program requests a new token at each start. None runs for a year, so tokens are not renewed."""

LIBC = ctypes.CDLL(None)
PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class PodContext:
    """Clients and settings that all pods share."""

    home: Home
    tools: Path
    """JSON file: program name to path."""
    api: AsyncApi
    http: aiohttp.ClientSession
    """For probes."""
    services: Services


class PodRunner:
    """Runs a pod's program until cancelled; then removes the pod if `deleting` is set."""

    def __init__(self, pod: Object, context: PodContext) -> None:
        self.begun = False
        """Whether `run` has begun. A task that is cancelled before never does, and would not remove its pod."""
        self.deleting = False
        self.grace = LONGEST_GRACE
        self._pod, self._context = pod, context
        self._name: str = pod["metadata"]["name"]
        self._folder = agent.folder(context.home) / "pods" / pod["metadata"]["uid"]
        container, status = pod["spec"]["containers"][0], pod.get("status", {})
        earlier = status.get("containerStatuses", [{"restartCount": -1}])[0]  # of an agent that was stopped
        self._started: str = status.get("startTime") or _now()
        self._ready_changed = self._started
        self._status: dict[str, Any] = {
            "name": container["name"],
            "image": container["image"],
            "imageID": "",
            "ready": False,
            "started": False,
            "restartCount": earlier["restartCount"] + 1,
            "state": {"waiting": {"reason": "ContainerCreating"}},
        }

    async def run(self) -> None:
        """Start the program, and start it again each time it ends."""
        self.begun = True
        try:
            while not self.deleting:
                ended = await self._run_once()
                log.warning("%s: %s", self._name, ended["message"])
                self._status |= {"lastState": {"terminated": ended}, "restartCount": self._status["restartCount"] + 1}
                await self._report({"waiting": {"reason": "CrashLoopBackOff", "message": ended["message"]}})
                await asyncio.sleep(RESTART_PAUSE)
        except UnsupportedError as error:
            log.error("%s: %s", self._name, error)
            await self._report({"waiting": {"reason": "CreateContainerConfigError", "message": str(error)}})
            await asyncio.Event().wait()  # for its deletion: only another pod can ask for something else
        finally:
            if self.deleting:
                await self._insist(lambda: self._context.api.delete(self._pod))
                await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)
            else:
                with contextlib.suppress(*UNAVAILABLE):  # the whole platform stops
                    await self._context.api.patch_status(self._pod, self._manifest({"waiting": {"reason": "Stopped"}}))

    async def _run_once(self) -> Object:
        """Run the program until it ends. Returns the container's state `terminated`."""
        container = container_of(self._pod)
        program = self._program(container["image"])
        services = await self._insist(self._context.services.names_by_address)
        host = Host(
            folder=self._folder,
            address=_addresses_of(self._pod)[0],
            services=services,
            api_server=access.server_url(self._context.home).removeprefix("https://"),
            service_port=lambda name: agent.service_port(self._context.home, name),
            free_port=_free_port,
        )
        command = translate(self._pod, host)
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        limit = memory_limit(container)
        for volume in self._pod["spec"].get("volumes", []):
            folder = self._folder / "volumes" / volume["name"]
            folder.mkdir(parents=True, exist_ok=True)
            if name := volume.get("configMap", {}).get("name"):
                found = await self._insist(lambda name=name: self._context.api.config_map(name))
                for file, content in found.items():
                    (folder / file).write_text(content)
        await self._write_credentials()

        name = _deployment_of(self._pod)
        log.info("%s: starting %s %s", self._name, program, " ".join(command.arguments))
        with processes.open_log(self._context.home, name) as output:
            process = await asyncio.create_subprocess_exec(
                program,
                *command.arguments,
                env=command.environment,
                cwd=self._folder,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                # Not the terminal's Ctrl-C; and no orphans of an agent that is killed.
                start_new_session=True,
                preexec_fn=self._before_exec(program),
            )
        memory = asyncio.create_task(_killed_for_memory(process, limit))
        try:
            started = _now()
            await self._report({"running": {"startedAt": started}})
            while not await self._answers(command.readiness) and not await _ends_within(PROBE_PERIOD, process):
                pass
            if process.returncode is None:
                self._context.services.endpoints[self._name] = Endpoint(
                    self._pod["metadata"].get("labels", {}), command.ports
                )
                await self._report({"running": {"startedAt": started}}, ready=True)
            await process.wait()
            exceeded = await memory
        finally:
            memory.cancel()
            self._context.services.endpoints.pop(self._name, None)
            await self._stop(process)
        code = process.returncode or 0
        last = processes.log_tail(processes.log_path(self._context.home, name), lines=1)
        return {
            "exitCode": code if code >= 0 else 128 - code,  # a signal's number, as shells count
            "reason": "OOMKilled" if exceeded else "Error",
            "message": f"exit code {code}, the end of its log: {last}",
            "finishedAt": _now(),
        }

    def _before_exec(self, program: Path) -> Callable[[], None]:
        """What the child does before it becomes the container's program."""
        if not container_of(self._pod).get("securityContext", {}).get("readOnlyRootFilesystem"):
            return _end_with_agent
        if not confinement.available():
            log.warning(
                "%s: this kernel has no Landlock, so the program may read and write the user's files", self._name
            )
            return _end_with_agent
        volumes = self._pod["spec"].get("volumes", [])
        writable = [self._folder / "volumes" / volume["name"] for volume in volumes if "emptyDir" in volume]
        # Other images have tools that their programs start, such as Git: only this program's files are known.
        image = [*confinement.IMAGE, program] if program.name == IMAGE_WRITER else ["/"]

        def prepare() -> None:
            _end_with_agent()
            confinement.confine([*image, self._folder], [*writable, *confinement.DEVICES])

        return prepare

    async def _stop(self, process: asyncio.subprocess.Process) -> None:
        for number, patience in ((signal.SIGTERM, self.grace), (signal.SIGKILL, 10.0)):
            if process.returncode is None:
                process.send_signal(number)
                await _ends_within(patience, process)

    def _program(self, image: str) -> Path:
        """The program of an image's name. Its version may differ from the image's tag; imageID names it."""
        tools: dict[str, str] = json.loads(self._context.tools.read_text())  # they may be built anew meanwhile
        controllers = {name: Path(path) for name, path in tools.items() if name.endswith("-controller")}
        name = program_of(image)
        if name == PYTHON:
            self._status["imageID"] = f"local://{name}@{platform.python_version()}"
            return Path(sys.executable)
        if name not in controllers:
            known = ", ".join(sorted(controllers))
            raise UnsupportedError(f"there is no program for image {image}; there are programs for {known}")
        self._status["imageID"] = f"local://{name}@{_version(controllers[name])}"
        return controllers[name]

    async def _write_credentials(self) -> None:
        """A kubeconfig for Flux's controllers, and the files of a pod's service account."""
        token = await self._insist(lambda: self._context.api.token(self._pod, TOKEN_SECONDS))
        user = f"system:serviceaccount:{self._pod['metadata']['namespace']}:{self._pod['spec']['serviceAccountName']}"
        access.write_kubeconfig(self._context.home, self._folder / "kubeconfig", user, {"token": token})
        account = self._folder / SERVICE_ACCOUNT_FOLDER
        account.mkdir(mode=0o700, exist_ok=True)
        (account / "token").write_text(token)
        (account / "ca.crt").write_text(access.certificate_authority(self._context.home))

    async def _answers(self, url: str) -> bool:
        try:
            async with self._context.http.get(url, timeout=aiohttp.ClientTimeout(total=5)) as response:
                return response.status < 400
        except (aiohttp.ClientError, TimeoutError):
            return False

    async def _report(self, state: Object, *, ready: bool = False) -> None:
        manifest = self._manifest(state, ready=ready)
        await self._insist(lambda: self._context.api.patch_status(self._pod, manifest))

    def _manifest(self, state: Object, *, ready: bool = False) -> Object:
        """The pod's status, for a strategic merge patch."""
        if ready != self._status["ready"]:
            self._ready_changed = _now()
        self._status |= {"state": state, "ready": ready, "started": "running" in state}
        created = "waiting" not in state or self._status["restartCount"] > 0
        address = _addresses_of(self._pod)[1]
        conditions = {"Initialized": (True, self._started)}
        conditions |= dict.fromkeys(("ContainersReady", "Ready"), (ready, self._ready_changed))
        return {
            "phase": "Running" if created else "Pending",
            "startTime": self._started,
            "podIP": address,
            "podIPs": [{"ip": address}],
            "conditions": [
                {"type": kind, "status": str(holds), "lastTransitionTime": since}
                for kind, (holds, since) in conditions.items()
            ],
            "containerStatuses": [self._status],
        }

    async def _insist(self, request: Callable[[], Awaitable[T]]) -> T:
        """Repeat a request until it succeeds."""
        while True:
            try:
                return await request()
            except UNAVAILABLE as error:
                log.warning("%s: trying again: %s", self._name, error)
                await asyncio.sleep(1)


async def _ends_within(seconds: float, process: asyncio.subprocess.Process) -> bool:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(process.wait(), seconds)
    return process.returncode is not None


async def _killed_for_memory(process: asyncio.subprocess.Process, limit: float | None) -> bool:
    """Kill a program that uses more memory than its container may, as a node does; returns when it has ended."""
    while not await _ends_within(MEMORY_PERIOD, process):
        with contextlib.suppress(psutil.NoSuchProcess):
            if limit and psutil.Process(process.pid).memory_info().rss > limit:
                process.kill()
                return True
    return False


def _end_with_agent() -> None:
    """Have the kernel kill this process when the agent ends, whatever ended it."""
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _deployment_of(pod: Object) -> str:
    """A Deployment's pods are named DEPLOYMENT-HASH-RANDOM."""
    return pod["metadata"].get("generateName", pod["metadata"]["name"] + "--").rsplit("-", 2)[0]


def _free_port() -> int:
    """A port from the range of outgoing connections, so none that `Home.port` hands out."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _addresses_of(pod: Object) -> tuple[str, str]:
    """Two addresses of the pod: a loopback address on which its program can listen, and the address in its status.

    The second is from 10.128.0.0/9, which kwok does not use. It does not answer, but Services need endpoints, and
    Kubernetes refuses loopback addresses as endpoints.
    """
    first, second, third = hashlib.sha256(pod["metadata"]["uid"].encode()).digest()[:3]
    rest = f"{second}.{1 + third % 254}"
    return f"127.{64 + first % 64}.{rest}", f"10.{128 + first % 128}.{rest}"


def _version(program: Path) -> str:
    """The module version that Go wrote into a program."""
    with program.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        found = re.search(rb"\nmod\t\S+\t(v[0-9]\S*)", content)
        return found[1].decode() if found else "unknown"


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
