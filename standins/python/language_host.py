"""Stand-in for pulumi-language-python: runs Python programs for the `pulumi` command.

The engine starts `python -m standins.python.language_host [ENGINE_ADDRESS]`, reads a port and speaks LanguageRuntime.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    from standins import without_sdk  # noqa: F401 - first: see there

# isort: split
import grpc
from google.protobuf import empty_pb2, json_format
from pulumi.runtime.proto import language_pb2, language_pb2_grpc, plugin_pb2

from standins import protocol
from standins.python import python_plugin, typecheck

RUNNER = Path(__file__).with_name("python_program") / "run.py"
"""The script that configures the SDK and runs the program, in the program's own virtual environment."""

_SHOWN_ERROR = 32
"""The runner's exit code for an error that the user has already read."""

_GRACE_SECONDS = 5
_WITHOUT_PLUGIN = {"pulumi-policy", "pulumi-esc-sdk"}


class OptionsError(ValueError):
    """Pulumi.yaml's runtime options can't be used; the text says what to change."""


@dataclass(frozen=True)
class Environment:
    """The Python that a program runs in, from Pulumi.yaml's `runtime.options`."""

    root: Path
    python: Path
    virtualenv: Path | None
    typechecker: str | None

    @staticmethod
    def from_info(info: language_pb2.ProgramInfo) -> Environment:
        """Raises OptionsError for options that this host does not know."""
        options: dict[str, Any] = json_format.MessageToDict(info.options)
        if unknown := set(options) - {"virtualenv", "typechecker", "toolchain"}:
            raise OptionsError(f"Pulumi.yaml: unknown runtime options {', '.join(sorted(unknown))}")
        if options.get("toolchain", "pip") not in ("pip", "uv"):
            raise OptionsError("Pulumi.yaml: the stand-in language host knows the toolchains pip and uv only")
        typechecker = options.get("typechecker")
        if typechecker not in (None, "pyright", "mypy"):
            raise OptionsError(f"Pulumi.yaml: unknown typechecker {typechecker!r}: use pyright or mypy")
        root = Path(info.root_directory)
        name = options.get("virtualenv") or (".venv" if options.get("toolchain") == "uv" else None)
        virtualenv = root / name if name else None
        python = virtualenv / "bin" / "python" if virtualenv else Path(sys.executable)
        return Environment(root, python, virtualenv, typechecker)

    def require(self) -> None:
        """Raises OptionsError if there is no Python there."""
        if not self.python.exists():
            raise OptionsError(f"there is no virtual environment at {self.virtualenv}: run `pulumi install`")

    def distributions(self) -> Iterator[metadata.Distribution]:
        """What is installed there."""
        if self.virtualenv is None:
            return iter(metadata.distributions())
        return iter(metadata.distributions(path=[str(path) for path in self.site_packages()]))

    def site_packages(self) -> list[Path]:
        """The folders that packages are installed in."""
        if self.virtualenv is None:
            return [Path(path) for path in sys.path if path.endswith("site-packages")]
        return list(self.virtualenv.glob("lib/python*/site-packages"))

    def variables(self, given: Mapping[str, str] = os.environ) -> dict[str, str]:
        """Environment variables for programs run in it."""
        variables = dict(given)
        if self.virtualenv:
            variables["VIRTUAL_ENV"] = str(self.virtualenv)
            variables["PATH"] = f"{self.virtualenv / 'bin'}{os.pathsep}{variables.get('PATH', '')}"
            variables.pop("PYTHONHOME", None)
        return variables


class LanguageHost(language_pb2_grpc.LanguageRuntimeServicer):
    """One host: the engine starts one for each command."""

    def __init__(self, address: str | None) -> None:
        self.address = address or ""
        self.engine = protocol.Engine(address)
        self.cancelled = threading.Event()

    def Handshake(self, request, context):  # noqa: N802
        self.address = request.engine_address
        self.engine.connect(request.engine_address)
        return language_pb2.LanguageHandshakeResponse()

    def GetPluginInfo(self, request, context):  # noqa: N802
        return plugin_pb2.PluginInfo(version=metadata.version("pulumi"))

    def GetRequiredPackages(self, request, context):  # noqa: N802
        environment = self._environment(request.info, context)
        found = [
            plugin_pb2.PackageDependency(name=name, version=version, kind="resource", server=server)
            for name, version, server in required_plugins(environment)
        ]
        return language_pb2.GetRequiredPackagesResponse(packages=found)

    def Run(self, request, context):  # noqa: N802
        environment = self._environment(request.info, context)
        self.engine.log("info", f"python: stand-in for pulumi-language-python, running {environment.python}")
        if environment.typechecker:
            problem = self._check_types(environment, Path(request.info.program_directory))
            if problem:
                context.abort(grpc.StatusCode.UNKNOWN, problem)
        variables = environment.variables()
        variables["PULUMI_CONFIG"] = json.dumps(dict(request.config))
        variables["PULUMI_CONFIG_SECRET_KEYS"] = json.dumps(list(request.configSecretKeys))
        # Standard output and error are this process's own: the engine shows both, line by line.
        process = subprocess.Popen([environment.python, *self._arguments(request)], env=variables)
        code = self._wait(process, context)
        if code == _SHOWN_ERROR:
            return language_pb2.RunResponse(bail=True)
        if code != 0:
            return language_pb2.RunResponse(error=f"program exited with non-zero exit code: {code}")
        return language_pb2.RunResponse()

    def _arguments(self, request: language_pb2.RunRequest) -> list[str]:
        options = {
            "monitor": request.monitor_address,
            "engine": self.address,
            "project": request.project,
            "root_directory": request.info.root_directory,
            "stack": request.stack,
            "pwd": request.pwd,
            "dry_run": "true" if request.dryRun else "false",
            "parallel": str(request.parallel),
            "organization": request.organization,
        }
        given = [text for key, value in options.items() if value for text in (f"--{key}", value)]
        # -P: the runner's own folder is no place to import from.
        return ["-P", str(RUNNER), *given, request.info.entry_point or ".", *request.args]

    def _wait(self, process: subprocess.Popen[bytes], context: grpc.ServicerContext) -> int:
        """The exit code. A cancelled program is asked to end, then made to."""
        while True:
            try:
                return process.wait(timeout=0.1)
            except subprocess.TimeoutExpired:
                if self.cancelled.is_set() or not context.is_active():
                    break
        process.send_signal(2)
        try:
            return process.wait(timeout=_GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()

    def _check_types(self, environment: Environment, program: Path) -> str | None:
        """What the type checker found, None if nothing."""
        checker = str(environment.typechecker)
        fingerprint = typecheck.fingerprint(program, environment.virtualenv, environment.site_packages())
        if typecheck.is_known_clean(program, checker, fingerprint):
            self.engine.log("debug", f"{checker}: skipped, nothing changed since it last found no errors")
            return None
        command = [str(environment.python), "-m", checker]
        if checker == "mypy" and environment.virtualenv:
            command += ["--exclude", os.path.relpath(environment.virtualenv, program)]
        command.append(str(program))
        result = subprocess.run(
            command, cwd=program, env=environment.variables(), capture_output=True, text=True, check=False
        )
        if result.returncode == 0:
            typecheck.remember_clean(program, checker, fingerprint)
            return None
        output = f"{result.stdout}{result.stderr}".strip()
        if f"No module named {checker}" in output:
            return f"the runtime option `typechecker: {checker}` needs {checker}: add it to requirements.txt"
        return f"{checker} failed: exit code {result.returncode}\n{output}"

    def RunPlugin(self, request, context):  # noqa: N802
        environment = self._environment(request.info, context)
        folder = request.info.program_directory
        try:
            command = python_plugin.command(environment.python, request.kind, request.args, folder)
        except ValueError as error:
            context.abort(grpc.StatusCode.UNIMPLEMENTED, str(error))
        variables = environment.variables(dict(text.split("=", 1) for text in request.env))
        yield from python_plugin.run(command, request.pwd, variables, context)

    def InstallDependencies(self, request, context):  # noqa: N802
        environment = self._environment(request.info, context, must_exist=False)
        directory = Path(request.info.program_directory or request.directory)
        commands: list[list[str]] = []
        if environment.virtualenv and not environment.python.exists():
            commands.append([sys.executable, "-m", "venv", str(environment.virtualenv)])
        if (directory / "requirements.txt").exists():
            commands.append([str(environment.python), "-m", "pip", "install", "-r", "requirements.txt"])
        for command in commands:
            yield language_pb2.InstallDependenciesResponse(stdout=f"{' '.join(command)}\n".encode())
            result = subprocess.run(
                command, cwd=directory, env=environment.variables(), capture_output=True, check=False
            )
            yield language_pb2.InstallDependenciesResponse(stdout=result.stdout, stderr=result.stderr)
            if result.returncode != 0:
                context.abort(grpc.StatusCode.UNKNOWN, f"{' '.join(command)} failed with exit code {result.returncode}")

    def RuntimeOptionsPrompts(self, request, context):  # noqa: N802
        return language_pb2.RuntimeOptionsResponse()

    def About(self, request, context):  # noqa: N802
        return language_pb2.AboutResponse(executable=sys.executable, version=platform.python_version())

    def GetProgramDependencies(self, request, context):  # noqa: N802
        environment = self._environment(request.info, context)
        found = [
            language_pb2.DependencyInfo(name=each.metadata["Name"], version=each.version)
            for each in environment.distributions()
        ]
        return language_pb2.GetProgramDependenciesResponse(dependencies=found)

    def Cancel(self, request, context):  # noqa: N802
        self.cancelled.set()
        return empty_pb2.Empty()

    def _environment(self, info: language_pb2.ProgramInfo, context: Any, *, must_exist: bool = True) -> Environment:
        try:
            environment = Environment.from_info(info)
            if must_exist:
                environment.require()
        except OptionsError as error:
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(error))
            raise
        return environment


def required_plugins(environment: Environment) -> list[tuple[str, str, str]]:
    """Name, version (`v1.2.3`) and download server of the plugin of each installed Pulumi package."""
    described: dict[str, dict[str, Any]] = {}
    for folder in environment.site_packages():
        for path in folder.glob("*/pulumi-plugin.json"):
            described[path.parent.name.replace("_", "-")] = json.loads(path.read_text())
    found = []
    for each in environment.distributions():
        name = each.metadata["Name"].replace("_", "-")
        description = described.get(name)
        if name in _WITHOUT_PLUGIN or (description is None and not name.startswith("pulumi-")):
            continue
        description = description or {"resource": True}
        if description.get("resource"):
            version = str(description.get("version") or each.version)
            plugin = description.get("name") or name.removeprefix("pulumi-")
            found.append((plugin, f"v{version.removeprefix('v')}", description.get("server", "")))
    return sorted(found)


def main() -> None:
    host = LanguageHost(sys.argv[-1] if len(sys.argv) > 1 else None)
    protocol.serve(
        lambda server: language_pb2_grpc.add_LanguageRuntimeServicer_to_server(host, server),
        threads=16,
        on_stop=host.cancelled.set,
    )


if __name__ == "__main__":
    main()
