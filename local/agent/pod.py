"""One pod's program, from the pod's first sight to its end."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import os
import shutil
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from local import access, agent, processes
from local.agent import binaries, services
from local.agent.api import Api, ApiError, Pod
from local.agent.command import Command, Place, UnsupportedError, container_port, program_of, tag_of, translate
from local.agent.probe import Probe
from local.agent.status import Status
from local.home import Home

log = logging.getLogger(__name__)

LONGEST_GRACE = 10.0
"""Seconds that a program gets to end by itself, however long its pod grants: nobody should wait ten minutes here."""
FIRST_BACK_OFF, LONGEST_BACK_OFF = 1.0, 60.0
"""Seconds before a crashed program is started again; doubles each time. A kubelet's are several times as long."""
STABLE = 60.0
"""Seconds of running after which a crash counts as the first again."""
TOKEN_SECONDS = 3600
UNREADY_PERIOD = 0.3
"""Seconds between two looks at a program that has just been started."""


@dataclass(frozen=True)
class Surroundings:
    """What all pods share."""

    home: Home
    tools: Path
    api: Api
    http: aiohttp.ClientSession
    """For probes."""
    services: services.Services


class PodRunner:
    """Does for one pod what a kubelet does."""

    def __init__(self, pod: Pod, surroundings: Surroundings) -> None:
        self.pod = pod
        self.name: str = pod["metadata"]["name"]
        self._around = surroundings
        self._folder = agent.folder(surroundings.home) / "pods" / pod["metadata"]["uid"]
        self._container: dict[str, Any] = pod["spec"]["containers"][0]
        self._program = program_of(self._container["image"])
        self._status = Status(pod)
        self._grace = LONGEST_GRACE
        self._changed = asyncio.Event()
        self._tasks = [asyncio.create_task(self._run()), asyncio.create_task(self._report())]

    async def end(self, *, grace: float, delete: bool) -> None:
        """End the program, within `grace` seconds. Then remove the pod, if it is to go, or else say what became of the
        program."""
        self._grace = min(grace, LONGEST_GRACE)
        for task in self._tasks:
            task.cancel()
        for outcome in await asyncio.gather(*self._tasks, return_exceptions=True):
            if isinstance(outcome, Exception):
                log.error("%s: %r", self.name, outcome)
        if delete:
            await self._insist(lambda: self._around.api.delete(self.pod))
            shutil.rmtree(self._folder, ignore_errors=True)
        else:
            with contextlib.suppress(aiohttp.ClientError, TimeoutError, ApiError):  # the platform is going down
                await self._around.api.patch_status(self.pod, self._status.manifest())

    async def _run(self) -> None:
        self._changed.set()
        back_off = FIRST_BACK_OFF
        token = None
        try:
            await self._find_program()
            token = asyncio.create_task(self._renew_token(await self._first_token()))
            while True:
                started = time.monotonic()
                why = await self._run_once(await self._find_program())
                if time.monotonic() - started > STABLE:
                    back_off = FIRST_BACK_OFF
                self._status.restarting(
                    f"back-off {back_off:.0f} s restarting failed container={self._container['name']}: {why}"
                )
                self._changed.set()
                await asyncio.sleep(back_off)
                back_off = min(2 * back_off, LONGEST_BACK_OFF)
        except UnsupportedError as error:  # and it stays so: only another pod can ask for something else
            log.error("%s: %s", self.name, error)
            self._status.waiting("CreateContainerConfigError", str(error))
            self._changed.set()
        finally:
            if token is not None:
                token.cancel()

    async def _find_program(self) -> Path:
        """The program that the image stands for; waits, as for an image that can't be pulled, if there is none."""
        if len(self.pod["spec"]["containers"]) > 1 or self.pod["spec"].get("initContainers"):
            raise UnsupportedError("the embedded platform runs pods of one container without init containers only")
        image = self._container["image"]
        while (program := binaries.available(self._around.tools).get(self._program)) is None:
            known = ", ".join(binaries.available(self._around.tools))
            message = f"nothing to run for image {image}: the embedded platform has programs for {known}"
            log.error("%s: %s", self.name, message)
            self._status.waiting("ErrImagePull", message)
            self._changed.set()
            await asyncio.sleep(10)
        version, tag = binaries.version(program), tag_of(image)
        self._status.container["imageID"] = f"local://{self._program}@{version or 'unknown'}"
        if tag == version:
            self._status.version = (True, "AsTagged", "")
        elif self._status.version is None:
            message = (
                f"the image's tag is {tag or 'missing'}; the program that runs is {version or 'of unknown version'}"
            )
            log.warning("%s: %s", self.name, message)
            self._status.version = (False, "OtherVersion", message)
        return program

    async def _run_once(self, program: Path) -> str:
        """Run the program until it ends, or has to be ended because it hangs. Answers which, with its last log line."""
        place = Place(
            self._folder,
            self._folder / "kubeconfig",
            services.ports(self._around.home),
            lambda: services.free_port(self._around.home),
            _own_address(self.pod["metadata"]["uid"]),
            await self._service_addresses() if "hostAliases" in self.pod["spec"] else {},
        )
        command = translate(self.pod, self._container, place)
        readiness = Probe.of(self._container, "readinessProbe", command.ports)
        liveness = Probe.of(self._container, "livenessProbe", command.ports)
        for volume in self.pod["spec"].get("volumes", []):
            (self._folder / "volumes" / volume["name"]).mkdir(parents=True, exist_ok=True)

        process = await self._spawn(program, command)
        ended = asyncio.create_task(process.wait())
        probing = asyncio.create_task(self._probe(command, readiness, liveness))
        try:
            await asyncio.wait({ended, probing}, return_when=asyncio.FIRST_COMPLETED)
            why = probing.result() if probing.done() else f"ended with exit code {process.returncode}"
        finally:
            probing.cancel()
            self._around.services.remove(self.name)
            await self._kill(process, ended)
            last = processes.log_tail(self._log, lines=1)
            code = process.returncode or 0
            self._status.terminated(code, "Error" if code else "Completed", last)
            self._changed.set()
        log.warning("%s: %s %s; the end of its log: %s", self.name, self._program, why, last)
        return f"{why}; the end of its log: {last}"

    async def _service_addresses(self) -> dict[str, str]:
        while True:
            try:
                return await self._around.api.service_addresses(self.pod)
            except (aiohttp.ClientError, TimeoutError, ApiError) as error:
                log.warning("%s: the addresses of Services can't be had, trying again: %s", self.name, error)
                await asyncio.sleep(1)

    async def _spawn(self, program: Path, command: Command) -> asyncio.subprocess.Process:
        processes.rotate_log(self._log)
        argv = [str(program), *command.arguments]
        with self._log.open("ab") as output:
            process = await asyncio.create_subprocess_exec(
                *argv,
                env=command.environment,
                cwd=self._folder,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        # For the agent's successor, should this one be killed.
        processes.Record.of(process.pid, argv).write(self._folder / f"{self.name}.process.json")
        log.info("%s: started %s, process %d: %s", self.name, self._program, process.pid, " ".join(command.arguments))
        self._status.running()
        self._changed.set()
        return process

    async def _kill(self, process: asyncio.subprocess.Process, ended: asyncio.Task[int]) -> None:
        for number, patience in ((signal.SIGTERM, self._grace), (signal.SIGKILL, 10.0)):
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, number)
                await asyncio.wait({ended}, timeout=patience)
        (self._folder / f"{self.name}.process.json").unlink(missing_ok=True)

    async def _probe(self, command: Command, readiness: Probe | None, liveness: Probe | None) -> str:
        """Report whether the program is ready, for as long as it lives. Answers why it has to be ended."""
        unready = dead = 0
        has_answered = False  # a program that is still starting is not dead
        while True:
            unready = 0 if readiness is None or await readiness.succeeds(self._around.http) else unready + 1
            if unready == 0 and not self._status.ready:
                self._set_ready(True, command)
            elif readiness is not None and unready >= readiness.threshold and self._status.ready:
                self._set_ready(False, command)
            if liveness is not None:
                lives = await liveness.succeeds(self._around.http)
                has_answered = has_answered or lives
                dead = 0 if lives or not has_answered else dead + 1
                if dead >= liveness.threshold:
                    return f"did not answer its liveness probe {dead} times in a row"
            await asyncio.sleep(readiness.period if readiness is not None and self._status.ready else UNREADY_PERIOD)

    def _set_ready(self, ready: bool, command: Command) -> None:
        log.info("%s: %s", self.name, "ready" if ready else "not ready any more")
        self._status.answering(ready)
        self._changed.set()
        self._around.services.remove(self.name)
        if ready:
            for name, service in services.SERVICES.items():
                if service.program == self._program:
                    port = container_port(self._container, service.target)
                    self._around.services.add(name, self.name, command.ports[port])

    async def _first_token(self) -> float:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        user = f"system:serviceaccount:{self.pod['metadata']['namespace']}:{self.pod['spec']['serviceAccountName']}"
        token = {"tokenFile": str(self._folder / "token")}
        access.write_kubeconfig(self._around.home, self._folder / "kubeconfig", user, token)
        while True:
            try:
                return await self._write_token()
            except (aiohttp.ClientError, TimeoutError, ApiError) as error:
                message = f"no token for ServiceAccount {self.pod['spec']['serviceAccountName']}: {error}"
                log.warning("%s: %s", self.name, message)
                self._status.waiting("ContainerCreating", message)
                self._changed.set()
                await asyncio.sleep(1)

    async def _renew_token(self, expires: float) -> None:
        """Write new tokens long before the old ones expire. By the wall clock: machines get suspended."""
        while True:
            if time.time() > expires - 0.2 * TOKEN_SECONDS:
                try:
                    expires = await self._write_token()
                except (aiohttp.ClientError, TimeoutError, ApiError) as error:
                    log.warning("%s: its token could not be renewed, trying again: %s", self.name, error)
            await asyncio.sleep(10)

    async def _write_token(self) -> float:
        token = await self._around.api.token(self.pod, TOKEN_SECONDS)
        processes.write_atomically(self._folder / "token", token.value)
        return token.expires

    async def _report(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            await self._insist(lambda: self._around.api.patch_status(self.pod, self._status.manifest()))

    async def _insist(self, request: Callable[[], Awaitable[None]]) -> None:
        """Repeat a request until the API server has dealt with it."""
        while True:
            try:
                await request()
                return
            except ApiError as error:
                if error.status in (404, 409):
                    return  # the pod is gone
                log.warning("%s: the API server refused: %s", self.name, error)
            except (aiohttp.ClientError, TimeoutError) as error:
                log.warning("%s: the API server does not answer: %s", self.name, error)
            await asyncio.sleep(1)

    @property
    def _log(self) -> Path:
        return processes.log_path(self._around.home, self._program)


def _own_address(uid: str) -> str:
    """A loopback address of the pod's own, so that listening at it is not listening at everybody's 127.0.0.1."""
    first, second, third = hashlib.sha256(uid.encode()).digest()[:3]
    return f"127.{64 + first % 64}.{second}.{1 + third % 254}"
