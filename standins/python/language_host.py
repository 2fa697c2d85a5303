"""Stand-in for pulumi-language-python: runs Python programs and policy packs for the `pulumi` command.

The engine starts `python -m standins.python.language_host ENGINE_ADDRESS`, reads a port from its standard output and
speaks LanguageRuntime. Requests that `up`, `preview`, `refresh` and `destroy` do not make are answered UNIMPLEMENTED.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    from standins import without_sdk  # noqa: F401 - first: see there

# isort: split
import grpc
from google.protobuf import empty_pb2, json_format
from pulumi.runtime.proto import language_pb2, language_pb2_grpc, plugin_pb2

from standins import fork_server, protocol

PROGRAM = Path(__file__).with_name("run_program.py")
POLICY_PACK = Path(__file__).with_name("run_policy_pack.py")
"""Scripts that run in the program's own virtual environment, and import nothing of this project."""

ERROR_SHOWN = 32
"""The exit code of PROGRAM after an error that is in the engine's log already."""

OPTIONS = {"virtualenv", "typechecker", "toolchain"}


class OptionsError(ValueError):
    """The runtime options in Pulumi.yaml can't be used. The message says what to change."""


def python_of(info: language_pb2.ProgramInfo) -> Path:
    """The Python of the virtual environment in Pulumi.yaml. Raises OptionsError.

    Types are not checked, whatever `typechecker` says.
    """
    options: dict[str, Any] = json_format.MessageToDict(info.options)
    if unknown := set(options) - OPTIONS:
        raise OptionsError(
            f"Pulumi.yaml: unknown runtime options {', '.join(sorted(unknown))}; there are {', '.join(sorted(OPTIONS))}"
        )
    if options.get("toolchain", "pip") != "pip" or "virtualenv" not in options:
        raise OptionsError("Pulumi.yaml: write the runtime options `toolchain: pip` and `virtualenv: FOLDER`")
    python = Path(info.root_directory) / options["virtualenv"] / "bin" / "python"
    if not python.exists():
        raise OptionsError(f"there is no virtual environment {python.parent.parent}: run `make up`")
    return python


class LanguageHost(language_pb2_grpc.LanguageRuntimeServicer):
    """The engine starts a language host for each command."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.engine = protocol.Engine(address)
        self.processes: list[subprocess.Popen[bytes] | fork_server.Forked] = []

    def Handshake(self, request, context):  # noqa: N802
        return language_pb2.LanguageHandshakeResponse()

    def GetPluginInfo(self, request, context):  # noqa: N802
        return plugin_pb2.PluginInfo(version=metadata.version("pulumi"))

    def GetRequiredPackages(self, request, context):  # noqa: N802
        """None: each resource names its plugin's version, and all plugins are installed."""
        return language_pb2.GetRequiredPackagesResponse()

    def Run(self, request, context):  # noqa: N802
        python = self._python(request.info, context)
        self.engine.log("info", f"python: stand-in for pulumi-language-python, running {python}")
        settings = {
            "monitor": request.monitor_address,
            "engine": self.address,
            "project": request.project,
            "root_directory": request.info.root_directory,
            "stack": request.stack,
            "dry_run": request.dryRun,
            "parallel": request.parallel,
            "organization": request.organization,
        }
        config = {
            "PULUMI_CONFIG": json.dumps(dict(request.config)),
            "PULUMI_CONFIG_SECRET_KEYS": json.dumps(list(request.configSecretKeys)),
        }
        arguments = [json.dumps(settings), request.info.entry_point or ".", *request.args]
        code = self._run(python, arguments, request.pwd, {**os.environ, **config}, context)
        if code == ERROR_SHOWN:
            return language_pb2.RunResponse(bail=True)
        return language_pb2.RunResponse(error=f"program exited with non-zero exit code: {code}" if code else "")

    def RunPlugin(self, request, context) -> Iterator[language_pb2.RunPluginResponse]:  # noqa: N802
        """Run a policy pack; the engine reads its port from the standard output."""
        if request.kind != "analyzer":
            context.abort(grpc.StatusCode.UNIMPLEMENTED, f"only policy packs are run here, not a {request.kind} plugin")
        folder = request.info.program_directory
        # -u: the port is not to wait in a buffer.
        command = [self._python(request.info, context), "-u", "-P", POLICY_PACK, *request.args, folder]
        variables = dict(text.split("=", 1) for text in request.env)
        process = self._start(command, request.pwd, variables, context, stdout=subprocess.PIPE)
        for line in process.stdout or ():
            yield language_pb2.RunPluginResponse(stdout=line)
        yield language_pb2.RunPluginResponse(exitcode=process.wait())

    def Cancel(self, request, context):  # noqa: N802
        self.stop()
        return empty_pb2.Empty()

    def stop(self) -> None:
        """End all programs."""
        for process in self.processes:
            process.terminate()

    def _run(
        self, python: Path, arguments: list[str], folder: str, variables: dict[str, str], context: grpc.ServicerContext
    ) -> int:
        """Run the program; by the fork server, if that has the same packages. Returns the exit code."""
        if fork_server.ADDRESS in variables and python.parent.parent.resolve() == Path(sys.prefix).resolve():
            code = f"import runpy; runpy.run_path({str(PROGRAM)!r}, run_name='__main__')"
            program = fork_server.Forked(code, arguments, folder, variables)
            self._ends_with_call(program, context)
            return program.wait()
        # -P: the script's own folder is not a place to import from.
        return self._start([python, "-P", PROGRAM, *arguments], folder, variables, context).wait()

    def _start(
        self,
        command: list[Any],
        folder: str,
        variables: dict[str, str],
        context: grpc.ServicerContext,
        stdout: int | None = None,
    ) -> subprocess.Popen[bytes]:
        """Start a process that ends when the engine hangs up. Its outputs are this process's own, unless redirected."""
        process = subprocess.Popen(command, cwd=folder, env=variables, stdin=subprocess.DEVNULL, stdout=stdout)
        self._ends_with_call(process, context)
        return process

    def _ends_with_call(
        self, process: subprocess.Popen[bytes] | fork_server.Forked, context: grpc.ServicerContext
    ) -> None:
        self.processes.append(process)
        if not context.add_callback(process.terminate):  # the engine hung up already
            process.terminate()

    def _python(self, info: language_pb2.ProgramInfo, context: grpc.ServicerContext) -> Path:
        try:
            return python_of(info)
        except OptionsError as error:
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(error))
            raise


def main() -> None:
    """Serve until the engine ends this process."""
    address = protocol.engine_address(sys.argv[1:])
    if address is None:
        sys.exit("usage: python -m standins.python.language_host ENGINE_ADDRESS")
    host = LanguageHost(address)
    protocol.serve(
        lambda server: language_pb2_grpc.add_LanguageRuntimeServicer_to_server(host, server),
        threads=16,
        on_stop=host.stop,
    )


if __name__ == "__main__":
    main()
