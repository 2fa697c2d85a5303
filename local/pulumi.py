"""The `pulumi` command of one platform: with its own home, plugins, backend and environment."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil

from local import processes
from local.files import write_atomically
from local.home import PROJECT, Home
from local.toolchain import LANGUAGE_HOST
from standins import fork_server

PASSPHRASE = "local"  # noqa: S105 - well known, see environment()

_STAND_INS = ("tls", "github", "aws", "eks")
"""Plugins that are Python programs of this project. Each has the version of the SDK package, pulumi-NAME."""

_OF_THE_PLATFORM = ("github", "aws", "eks")
"""Plugins that even an official Pulumi needs here: the platform replaces GitHub, and in a rehearsal AWS."""

_PROVIDER = "pulumi-resource-kubernetes"
_MARK = "# stand-in of this project"

_UNSET = ("PULUMI_ACCESS_TOKEN", "PULUMI_CONFIG_PASSPHRASE_FILE", "PULUMI_STACK", "PULUMI_API", "GITHUB_TOKEN")
"""The user's variables that would select another backend or stack, or get into this platform's state."""

EPHEMERAL_STATE = {"PULUMI_EXPERIMENTAL": "true", "PULUMI_SKIP_CHECKPOINTS": "true"}
"""Environment for throw-away stacks: the state is written once, at the end of a command, not at each step. A command
that is killed loses it."""


SHOWN_LINES = 30
"""How much of the output of a failed command its error shows."""


class PulumiError(Exception):
    """A `pulumi` command failed or can't be run; the message says what to do."""


def install(home: Home, tools: Mapping[str, Path]) -> None:
    """Put `pulumi`, its plugins and the other programs in place, and write the env file. Idempotent.

    A Pulumi that brings its own language host is an official distribution, which downloads official plugins by itself.
    It only gets stand-ins for github, aws and eks, because neither GitHub nor AWS is used here. Our own build gets the
    Kubernetes provider that was built with it, and stand-ins for the rest.
    """
    home.create()
    for name, program in tools.items():
        if name != _PROVIDER:
            _link(home.bin / name, program)
    kubectl = Path(sys.executable).with_name("kubectl")
    if kubectl.exists():
        _link(home.bin / "kubectl", kubectl)
    official = tools["pulumi"].resolve().with_name(LANGUAGE_HOST).exists()
    provider = _plugin_folder(home, "kubernetes") / _PROVIDER
    if not official:
        provider.parent.mkdir(parents=True, exist_ok=True)
        _link(provider, tools[_PROVIDER])
    elif provider.is_symlink():
        shutil.rmtree(provider.parent)
    for plugin in _STAND_INS:
        _stand_in(
            _plugin_folder(home, plugin) / f"pulumi-resource-{plugin}",
            f"standins.{plugin}",
            wanted=not official or plugin in _OF_THE_PLATFORM,
        )
    _stand_in(_language_folder(home) / LANGUAGE_HOST, "standins.python.language_host", wanted=not official)
    home.backend.mkdir(exist_ok=True)
    _write_env(home)


def _plugin_folder(home: Home, plugin: str) -> Path:
    # Under its exact version, so that the engine neither looks for another nor warns about a plugin on PATH.
    return home.pulumi_home / "plugins" / f"resource-{plugin}-v{metadata.version(f'pulumi-{plugin}')}"


def _stand_in(path: Path, module: str, *, wanted: bool) -> None:
    """Install the stand-in, or remove one that an earlier Pulumi needed; official plugins stay."""
    if wanted:
        script(path, module)
    elif path.exists() and _MARK.encode() in path.read_bytes()[:200]:
        shutil.rmtree(path.parent)


def _language_folder(home: Home) -> Path:
    return home.pulumi_home / "plugins" / f"language-python-v{metadata.version('pulumi')}"


_PRELOADED = (
    "components",
    "standins.python.language_host",
    *(f"standins.{plugin}.__main__" for plugin in ("github", "aws", "eks")),
    "standins.tls",
)
"""Modules whose packages the Python programs of a `pulumi` command import."""
_PRELOADED_FOR_AWS = (
    "standins.aws.preload",
    # The SDK imports a service when the program uses it.
    *(
        f"pulumi_aws.{service}"
        for service in "apigatewayv2 backup cloudwatch cognito ec2 ecr eks iam kms lb sns ssm vpc".split()
    ),
)


def preload(home: Home, *, aws: bool = False) -> None:
    """From now on, fork the Python programs of `pulumi` from a process that has imported their packages.

    For platforms that run many commands; stop_preloading() ends it.
    """
    socket_path = _fork_server(home)
    if len(os.fsencode(socket_path)) <= fork_server.LONGEST_ADDRESS:
        if "fork-server" not in processes.running(home):
            socket_path.unlink(missing_ok=True)
        argv = [
            sys.executable,
            "-m",
            "standins.fork_server",
            "serve",
            socket_path,
            *_PRELOADED,
            *(_PRELOADED_FOR_AWS if aws else ()),
        ]
        # Until it serves, programs are started as usual.
        processes.start(home, "fork-server", argv, ready=lambda: True, timeout=10)


def stop_preloading(home: Home) -> None:
    """End the process of preload()."""
    _fork_server(home).unlink(missing_ok=True)
    processes.stop(home, "fork-server")


def _fork_server(home: Home) -> Path:
    return home.path / "run" / "python.sock"


def environment(home: Home) -> dict[str, str]:
    """The environment for commands on this platform: the caller's, with this backend, kubeconfig and Git server.

    The passphrase is well known on purpose: it makes the stack's settings file, which is in Git, work in every clone.
    What it encrypts is the state, in a folder that only its owner can read.
    """
    variables = {key: value for key, value in os.environ.items() if key not in _UNSET}
    variables |= _variables(home)
    variables["PATH"] = f"{home.bin}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    if _fork_server(home).exists():
        variables[fork_server.ADDRESS] = str(_fork_server(home))
    return variables


def _variables(home: Home) -> dict[str, str]:
    variables = {
        "PULUMI_HOME": str(home.pulumi_home),
        # No sidecar files with metadata: unlike the state itself, these are not written atomically.
        "PULUMI_BACKEND_URL": f"{home.backend.as_uri()}?metadata=skip",
        "PULUMI_CONFIG_PASSPHRASE": PASSPHRASE,
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        # Plugins on the user's PATH would take precedence over those installed here.
        "PULUMI_IGNORE_AMBIENT_PLUGINS": "true",
        "KUBECONFIG": str(home.kubeconfig),
        "GITHUB_BASE_URL": home.git.as_uri(),
    }
    if _language_folder(home).exists():
        variables["PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION"] = "true"
    return variables


def _write_env(home: Home) -> None:
    folder = shlex.quote(str(home.bin))
    lines = [
        "# Makes `pulumi`, `kubectl` and `git` work on the embedded platform: source this file.",
        *(f"unset {name}" for name in _UNSET),
        *(f"export {name}={shlex.quote(value)}" for name, value in _variables(home).items()),
        *(f"export {name}={shlex.quote(value)}" for name, value in _git_variables(home).items()),
        f'case ":$PATH:" in *:{folder}:*) ;; *) export PATH={folder}:"$PATH" ;; esac',
    ]
    write_atomically(home.env, "\n".join(lines) + "\n")


def _git_variables(home: Home) -> dict[str, str]:
    """For `git` over SSH as the platform's user, who may push everywhere; nothing until the Git server has started."""
    from local import git

    if not git.user_key(home).exists():
        return {}
    variables = git.client_environment(home)
    return {name: value for name, value in variables.items() if name.startswith(("GIT_SSH", "GITSERVER"))}


def run(
    home: Home,
    args: Sequence[str],
    *,
    cwd: Path = PROJECT,
    stream: bool = True,
    check: bool = True,
    extra: dict[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run `pulumi ARGS` on this platform in a project's folder, never asking anything.

    With `stream` its output goes to the terminal, otherwise into the result. `extra` adds environment variables. Raises
    PulumiError if `check` and the command fails.
    """
    program = home.bin / "pulumi"
    if not program.exists():
        raise PulumiError(f"there is no {program}: run `make up` first")
    command = [str(program), *args, "--non-interactive"]
    result = subprocess.run(
        command,
        cwd=cwd,
        env=environment(home) | (extra or {}),
        text=True,
        check=False,
        stdout=None if stream else subprocess.PIPE,
        stderr=None if stream else subprocess.PIPE,
    )
    if check and result.returncode != 0:
        said = "" if stream else f":\n{_last_lines(home, f'{result.stdout}{result.stderr}')}"
        raise PulumiError(
            f"`pulumi {shlex.join(args)}` failed with exit code {result.returncode}{said}\n"
            f"To look into it: `source {home.env}`, then run the same command by hand"
        )
    return result


def _last_lines(home: Home, output: str) -> str:
    """The end of a command's output, which is kept in a file if it is longer."""
    lines = output.rstrip().splitlines()
    if len(lines) <= SHOWN_LINES:
        return "\n".join(lines)
    log = home.logs / "pulumi.log"
    log.write_text(output)
    return "\n".join(["…", *lines[-SHOWN_LINES:], f"The whole output is in {log}"])


def ensure_stack(home: Home, stack: str = "local", *, cwd: Path = PROJECT) -> None:
    """Create the stack in this platform's backend unless it exists."""
    if not _state(home, stack, cwd).exists():
        run(home, ["stack", "init", stack], cwd=cwd, stream=False)


def recover(home: Home, stack: str = "local", *, cwd: Path = PROJECT) -> list[str]:
    """Clean up after a `pulumi` that was killed. Returns what was done, in sentences; empty if nothing.

    Removes locks whose process has ended. Drops pending creations from the state: the next `pulumi up` repeats them and
    adopts objects that exist already (the Kubernetes provider needs `upsert_existing_objects` for that). Refreshes
    resources with pending changes and deletions, so the platform has to run. Raises PulumiError if another `pulumi`
    works on the stack.
    """
    done = []
    locks = _locks(home, stack, cwd)
    for path in locks:
        owner = json.loads(path.read_text())
        if _is_alive(owner):
            raise PulumiError(
                f"another pulumi works on stack {stack} (process {owner['pid']} of {owner['username']} on "
                f"{owner['hostname']}): wait until it ends, or end it"
            )
    if locks:
        run(home, ["cancel", stack, "--yes"], cwd=cwd, stream=False)
        done.append("Removed the lock of a pulumi that was killed.")
    if pending := _pending_operations(_state(home, stack, cwd)):
        _remove_made_keys(home, pending)
        # Pending creations are dropped. A pending change or deletion may have happened or not: a refresh finds out.
        urns = [operation["resource"]["urn"] for operation in pending if operation["type"] != "creating"]
        options = [option for urn in urns or [_root_urn(stack, cwd)] for option in ("--target", urn)]
        run(
            home,
            ["refresh", "--stack", stack, "--yes", "--skip-preview", "--clear-pending-creates", *options],
            cwd=cwd,
            stream=False,
        )
        names = [operation["resource"]["urn"].split("::")[-1] for operation in pending]
        shown = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
        done.append(f"Cleared up {len(pending)} operations that were cut short: {shown}.")
    return done


def _pending_operations(state: Path) -> list[dict[str, Any]]:
    """The state's pending operations: each with its type (creating, updating, deleting, reading) and its resource."""
    if not state.exists():
        return []
    latest = json.loads(state.read_text()).get("checkpoint", {}).get("latest") or {}
    return latest.get("pending_operations") or []


def _remove_made_keys(home: Home, pending: Sequence[dict[str, Any]]) -> None:
    """Delete deploy keys whose creation was interrupted after GitHub had them; the next `pulumi up` creates them again.

    GitHub refuses a key that is in use, and no state knows the ids of these.
    """
    from standins.github.store import Store

    for operation in pending:
        resource = operation["resource"]
        if operation["type"] == "creating" and resource["type"].endswith(":RepositoryDeployKey"):
            Store(home.git).remove_key(" ".join(str(resource["inputs"]["key"]).split()[:2]))


def _root_urn(stack: str, cwd: Path) -> str:
    project = _project_name(cwd)
    return f"urn:pulumi:{stack}::{project}::pulumi:pulumi:Stack::{project}-{stack}"


def _project_name(cwd: Path) -> str:
    try:
        lines = (cwd / "Pulumi.yaml").read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise PulumiError(f"{cwd / 'Pulumi.yaml'} cannot be read: {error}") from None
    for line in lines:
        if line.startswith("name:"):
            return line.removeprefix("name:").split("#")[0].strip().strip("\"'")
    raise PulumiError(f"{cwd / 'Pulumi.yaml'} names no project: add a line `name: ...`")


def _state(home: Home, stack: str, cwd: Path) -> Path:
    return home.backend / ".pulumi" / "stacks" / _project_name(cwd) / f"{stack}.json"


def _locks(home: Home, stack: str, cwd: Path) -> list[Path]:
    return sorted((home.backend / ".pulumi" / "locks").glob(f"*/{_project_name(cwd)}/{stack}/*.json"))


def _is_alive(owner: dict[str, str]) -> bool:
    """Whether the process that a lock names still runs; assumed for a process of another machine."""
    if owner["hostname"] != socket.gethostname():
        return True
    try:
        started = psutil.Process(int(owner["pid"])).create_time()
    except psutil.NoSuchProcess:
        return False
    # A process that is younger than the lock only reuses its id.
    return started <= datetime.fromisoformat(owner["timestamp"]).timestamp() + 1


def _link(link: Path, target: Path) -> None:
    if link.is_symlink() and link.readlink() == target:
        return
    partial = link.with_name(f"{link.name}.partial")
    partial.unlink(missing_ok=True)
    partial.symlink_to(target)
    partial.replace(link)


def script(path: Path, module: str, environment: Mapping[str, str] | None = None) -> None:
    """Write a program that runs a module of this checkout with this Python; `environment` adds variables.

    A shell script, because the kernel limits the length of the path in a `#!` line. With -P nothing is imported from
    the folder that the engine starts it in; without PYTHONPATH the programs that it starts import nothing from here.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    start = (
        f"import sys, runpy; sys.path.insert(0, {str(PROJECT)!r}); "
        f"runpy.run_module({module!r}, run_name='__main__', alter_sys=True)"
    )
    python, program = shlex.quote(sys.executable), f'{shlex.quote(start)} "$@"'
    client = f"exec {python} -IS {shlex.quote(fork_server.__file__)} run {program}"
    exports = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in (environment or {}).items())
    preloaded = f'[ ! -S "${fork_server.ADDRESS}" ] || {client}'
    write_atomically(path, f"#!/bin/sh\n{_MARK}\n{exports}{preloaded}\nexec {python} -P -c {program}\n", mode=0o755)
