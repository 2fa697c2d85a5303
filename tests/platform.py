"""An embedded platform for tests, and stacks of the program on it, through the real `pulumi` command."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import psutil
import yaml
from rich.console import Console

from local import controlplane, git, platform, pulumi
from local.home import PROJECT, Home
from local.kubeapi import Api
from standins.github import git as bare
from standins.github.store import Repository, Store

T = TypeVar("T")

PRIVATE = {"url": "ssh://git@github.com/acme/product", "branch": "main", "private": True}
SHOP = {"url": "ssh://git@github.com/acme/shop", "branch": "main", "path": "./kustomize", "private": True}
PUBLIC = {"url": "https://github.com/stefanprodan/podinfo", "branch": "master"}
DEFAULTS = {"source": {"path": "./kustomize"}}
"""The only default that the tests set besides the interval, so that they use the program's own defaults."""
REFUSED = "nothing was changed"
"""What the program says when it ends with the problems of its inputs."""


@dataclass(frozen=True)
class Step:
    """What the engine did to a resource, or would do in a preview."""

    op: str
    type: str
    name: str

    @staticmethod
    def parse(metadata: dict[str, Any]) -> Step:
        return Step(metadata["op"], metadata["type"], metadata["urn"].split("::")[-1])

    @property
    def of(self) -> str:
        """The resource's tenant: several resources of a kind are named TENANT/NAME."""
        return self.name.partition("/")[0]


class CommandError(AssertionError):
    """A command failed; the message is its output."""


class Platform:
    """An embedded platform in a folder, with a copy of the project."""

    def __init__(self, folder: Path) -> None:
        self.home = Home(folder / "home")
        self.project = folder / "project"

    def start(self) -> None:
        pulumi.preload(self.home.create())
        platform.start(self.home, Console(quiet=True))
        self.project.mkdir(exist_ok=True)
        for name in ("__main__.py", "Pulumi.yaml", "pyproject.toml"):
            shutil.copy(PROJECT / name, self.project / name)
        for name in ("components", "model", "cli", ".venv"):
            if not (self.project / name).exists():
                (self.project / name).symlink_to(PROJECT / name)
        if not (self.project / ".local").exists():
            (self.project / ".local").symlink_to(self.home.path)

    def stop(self) -> None:
        platform.stop(self.home)

    @property
    def api(self) -> Api:
        return controlplane.administrator(self.home)

    def get(self, path: str) -> dict[str, Any] | None:
        return self.api.get(path)

    def kubectl_command(self, *arguments: str) -> list[str]:
        return [str(PROJECT / ".venv/bin/kubectl"), "--kubeconfig", str(self.home.kubeconfig), *arguments]

    def kubectl(self, *arguments: str, stdin: str | None = None, check: bool = True) -> str:
        done = subprocess.run(
            self.kubectl_command(*arguments), capture_output=True, text=True, check=False, input=stdin
        )
        if check and done.returncode:
            raise CommandError(f"kubectl {' '.join(arguments)}: {done.stderr}")
        return done.stdout + ("" if check else done.stderr)

    def git(self, *arguments: str, folder: Path, key: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Run git as the platform's user, who may push everywhere, or with another key."""
        identity = ["-c", "user.name=Test", "-c", "user.email=test@example.com", "-c", "init.defaultBranch=main"]
        environment = {**os.environ, **git.client_environment(self.home, key)}
        command = ["git", *identity, *arguments]
        return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)

    def repository(self, full_name: str) -> str:
        return f"ssh://git@127.0.0.1:{self.home.port('git-ssh')}/{full_name}"

    def hosted(self, full_name: str) -> Repository:
        """A repository as the Git server has it, with its keys and webhooks."""
        found = Store(self.home.git).get(*full_name.split("/"))
        assert found is not None, full_name
        return found

    def read(self, full_name: str, path: str, branch: str = "main") -> str:
        """A file of a repository as it was pushed last."""
        repository = self.hosted(full_name).path
        found = bare.entry(repository, f"refs/heads/{branch}", path)
        assert found, path
        return bare.blob(repository, found.sha).decode()

    def push(self, full_name: str, files: dict[str, str | None], folder: Path) -> str:
        """Commit files to a repository's default branch and return the commit; None deletes a file."""
        clone = folder / f"clone-{time.monotonic_ns()}"
        # The repository's folder: a client for SSH takes a second of CPU time.
        self._git("clone", "--quiet", "--no-local", str(self.home.git / f"{full_name}.git"), str(clone), folder=folder)
        for name, content in files.items():
            path = clone / name
            if content is None:
                path.unlink()
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(content)
        self._git("add", "--all", folder=clone)
        self._git("commit", "--message", "A change", folder=clone)
        self._git("push", folder=clone)
        return self._git("rev-parse", "HEAD", folder=clone).strip()

    def _git(self, *arguments: str, folder: Path) -> str:
        done = self.git(*arguments, folder=folder)
        if done.returncode:
            raise CommandError(f"git {' '.join(arguments)}: {done.stderr}")
        return done.stdout

    def stack(self, name: str, **config: Any) -> Stack:
        return Stack(self, name, config)


class Stack:
    """A stack of the program on a platform."""

    def __init__(self, on: Platform, name: str, config: dict[str, Any]) -> None:
        self.platform, self.name = on, name
        self.tenants_file = f"tenants-{name}.yaml"
        self.interval = "10s"
        """At which Flux reads and applies each tenant's source; each time costs a tenth of a second of CPU time."""
        self.kept = False
        """Whether commands write the state at each step, as usual, not only at their end."""
        self.applied = ""
        """Configuration and tenants of the last update."""
        self.deployed: set[str] = set()
        """Tenants of all updates."""
        self.config: dict[str, Any] = {
            "cluster": name,
            "owner": "acme",
            "kubeconfig": ".local/kubeconfig",
            "mirrorsFile": ".local/mirrors.yaml",
            "tenantsFile": self.tenants_file,
            "fluxManifest": ".local/flux-install.yaml",
            **config,
        }
        self.configure()
        self.tenants({})
        pulumi.ensure_stack(on.home, name, cwd=on.project)

    def configure(self, **changes: Any) -> None:
        """Write the stack's file; keys that the engine added stay."""
        self.config |= changes
        path = self.platform.project / f"Pulumi.{self.name}.yaml"
        content = yaml.safe_load(path.read_text()) if path.exists() else {}
        content["config"] = {f"saas-in-eks:{key}": value for key, value in self.config.items()}
        path.write_text(yaml.safe_dump(content))

    def tenants(
        self,
        sources: Mapping[str, dict[str, Any] | str],
        *,
        entries: dict[str, dict[str, Any]] | None = None,
        products: dict[str, dict[str, Any]] | None = None,
        **defaults: Any,
    ) -> None:
        """Write the tenants' file: a source or the name of a product for each name, and more keys of some entries.

        Others that an update has deployed have departed: the program lets no tenant vanish.
        """
        shared = {name: {"interval": self.interval, **product} for name, product in (products or {}).items()}
        content = {
            "defaults": {"interval": self.interval, **DEFAULTS, **defaults},
            **({"products": shared} if shared else {}),  # an earlier release does not know the key
            "tenants": [
                {
                    "name": name,
                    "product" if isinstance(source, str) else "source": source,
                    **(entries or {}).get(name, {}),
                }
                for name, source in sources.items()
            ],
        }
        if gone := sorted(self.deployed - {*sources}):
            content["departed"] = [{"name": name, "since": "2026-11-26", "breakGlass": "a test"} for name in gone]
        (self.platform.project / self.tenants_file).write_text(yaml.safe_dump(content, sort_keys=False))

    def run(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        home, project = self.platform.home, self.platform.project
        extra = {"PULUMI_DEBUG_COMMANDS": "true"}  # knows --event-log, as the Automation API uses it
        if not self.kept:
            extra |= pulumi.EPHEMERAL_STATE
        command = [*arguments, "--stack", self.name]
        done = pulumi.run(home, command, cwd=project, stream=False, check=False, extra=extra)
        if check and done.returncode:
            raise CommandError(f"pulumi {' '.join(arguments)}:\n{done.stdout}{done.stderr}")
        return done

    def _steps(self, *arguments: str) -> list[Step]:
        log = self.platform.project / f"events-{time.monotonic_ns()}.json"
        self.run(*arguments, "--event-log", str(log))
        events = [json.loads(line) for line in log.read_text().splitlines()]
        return [Step.parse(e["resourcePreEvent"]["metadata"]) for e in events if "resourcePreEvent" in e]

    @property
    def changed(self) -> bool:
        """Whether configuration or tenants have changed since the last update."""
        return self.applied != self._given()

    def _given(self) -> str:
        return json.dumps(self.config) + (self.platform.project / self.tenants_file).read_text()

    def up(self) -> list[Step]:
        """Run `pulumi up`. Returns every step except for unchanged resources."""
        self.applied = "unknown, if this fails"
        given = yaml.safe_load((self.platform.project / self.tenants_file).read_text())
        self.deployed |= {entry["name"] for entry in given["tenants"]}
        steps = changes(self._steps("up", "--yes", "--skip-preview"))
        self.applied = self._given()
        return steps

    def killed(self, after: int) -> int:
        """Run `pulumi up`, kill it after so many steps, and clean up as `make up` does.

        Returns the exit code: -SIGKILL unless it has ended before, and another than 0 only for a refusal.
        """
        self.applied = "unknown"
        log = self.platform.project / f"events-{time.monotonic_ns()}.json"
        output = log.with_suffix(".txt")
        command = [str(self.platform.home.bin / "pulumi"), "up", "--yes", "--skip-preview", "--non-interactive"]
        with (
            output.open("w") as written,
            subprocess.Popen(
                [*command, "--stack", self.name, "--event-log", str(log)],
                cwd=self.platform.project,
                env=pulumi.environment(self.platform.home) | {"PULUMI_DEBUG_COMMANDS": "true"},
                stdout=written,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            ) as update,
        ):
            while update.poll() is None and not (log.exists() and steps_ended(log.read_text()) >= after):
                time.sleep(0.01)
            with suppress(ProcessLookupError, psutil.NoSuchProcess):  # it has ended
                plugins = psutil.Process(update.pid).children(recursive=True)
                os.killpg(update.pid, signal.SIGKILL)
                # They do not notice, and would run until the machine stops.
                for plugin in plugins:
                    plugin.kill()
        pulumi.recover(self.platform.home, self.name, cwd=self.platform.project)
        if update.returncode not in (0, -signal.SIGKILL) and REFUSED not in output.read_text():
            raise CommandError(f"pulumi up:\n{output.read_text()}")
        return update.returncode

    def preview(self) -> list[Step]:
        return changes(self._steps("preview"))

    def destroy(self) -> list[Step]:
        return changes(self._steps("destroy", "--yes", "--skip-preview"))

    def exported(self) -> dict[str, Any]:
        """The state, exported."""
        return json.loads(self.run("stack", "export").stdout)

    def outputs(self) -> dict[str, Any]:
        return json.loads(self.run("stack", "output", "--json").stdout)


def steps_ended(log: str) -> int:
    """How many steps that change something have ended."""
    lines = [line for line in log.splitlines(keepends=True) if line.endswith("\n")]
    events = [json.loads(line) for line in lines if '"resOutputsEvent"' in line]
    return sum(event["resOutputsEvent"]["metadata"]["op"] not in ("same", "read", "refresh") for event in events)


def changes(steps: list[Step]) -> list[Step]:
    return [step for step in steps if step.op not in ("same", "read", "refresh")]


def eventually(look: Callable[[], T | None], timeout: float = 180, every: float = 0.2) -> T:
    """The first truthy result of `look`. Fails with the last result after the timeout."""
    deadline = time.monotonic() + timeout
    while not (answer := look()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout} s; the last answer was {answer!r}")
        time.sleep(every)
    return answer


def deploy_keys(platform: Platform, repository: str, owner: str = "acme") -> list[str]:
    """The titles of a repository's deploy keys."""
    return [key.title for key in platform.hosted(f"{owner}/{repository}").keys]


def running_platform(folder: Path) -> Iterator[Platform]:
    """A running platform, stopped in any case."""
    on = Platform(folder)
    try:
        on.start()
        yield on
    finally:
        on.stop()
