"""`go build` of the modules whose programs are not in the cache."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from rich.console import Console

from local.toolchain.catalogue import PROVIDER, Module, ToolchainError, cache

PARTIAL = "partial-"
INSTALL = "Install Go 1.26 or newer (https://go.dev/doc/install, or your system's packages) and run this again."
EMBEDDED = ("schema.json", "terraform-mapping.json")


def build(modules: Sequence[Module], console: Console | None = None) -> None:
    """Build modules into the cache, one after the other: each uses all cores. Raises ToolchainError."""
    console = console or Console(stderr=True)
    check_go(modules[0].folder)
    cache().mkdir(parents=True, exist_ok=True)
    lock = FileLock(cache() / "lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        console.print(f"another process is building into {cache()}: waiting for it", soft_wrap=True)
        lock.acquire()
    try:
        # Another checkout may have built them in the meantime, or left a build unfinished.
        missing = [module for module in modules if not module.built.is_dir()]
        for unfinished in cache().glob(f"{PARTIAL}*"):
            shutil.rmtree(unfinished)
        _build_all(missing, console)
    finally:
        lock.release()


def _build_all(modules: Sequence[Module], console: Console) -> None:
    with console.status("") as status, ThreadPoolExecutor(max_workers=1) as network:
        downloads = [network.submit(download, module) for module in modules]
        try:
            for number, (module, downloaded) in enumerate(zip(modules, downloads, strict=True), 1):
                what = f"{', '.join(' '.join(program) for program in module.versions.items())}"
                console.print(f"building {what} ({number} of {len(modules)})", highlight=False, soft_wrap=True)
                began = time.monotonic()
                say = _progress(status.update, module, began)
                say("downloading modules")
                downloaded.result()
                _build(module, say)
                console.print(f"built {module.name} in {time.monotonic() - began:.0f} s", highlight=False)
        finally:
            network.shutdown(wait=False, cancel_futures=True)


def _progress(update: Callable[[str], None], module: Module, began: float) -> Callable[[str], None]:
    return lambda what: update(f"{module.name}: {what}, {time.monotonic() - began:.0f} s")


def check_go(folder: Path) -> None:
    """Raise ToolchainError unless the Go on PATH is new enough for the module in a folder."""
    if shutil.which("go") is None:
        raise ToolchainError(f"Go is not on PATH, and programs are missing that only Go can build.\n{INSTALL}")
    # In the module's folder, because Go switches to the version that go.mod asks for where it may download that.
    answer = go(folder, "env", "GOVERSION")
    if answer.returncode != 0:
        raise ToolchainError(f"Go does not work in {folder}: {answer.stderr.strip()}\n{INSTALL}")
    release = re.search(r"go(\d+)\.(\d+)", answer.stdout)
    if release and (int(release[1]), int(release[2])) < (1, 26):
        raise ToolchainError(f"Go on PATH is {answer.stdout.strip()}, which is too old.\n{INSTALL}")


def download(module: Module) -> None:
    """Download the Go modules of a module's packages. Raises ToolchainError.

    `go mod download` would fetch all modules of the graph, four times as many, some of which can't be had.
    """
    with tempfile.TemporaryDirectory() as scratch:
        overlay = _overlay(module, Path(scratch))
        answer = go(module.folder, "list", "-deps", "-f", "{{.ImportPath}}", *overlay, *module.packages)
    if answer.returncode != 0:
        raise download_error(module.name, answer.stderr)


def download_error(what: str, said: str) -> ToolchainError:
    """The error for Go modules that can't be downloaded."""
    lines = "\n".join([line for line in said.splitlines() if not line.startswith("go: downloading ")][-12:])
    return ToolchainError(
        f"The Go modules of {what} can't be downloaded:\n{lines}\n"
        "Check the network and Go's settings (`go env GOPROXY GONOSUMDB GOFLAGS`), then run this again: what was "
        "downloaded stays."
    )


def module_folders(folder: Path, *modules: str) -> dict[str, Path]:
    """Go module -> its folder in Go's module cache; `modules` are MODULE@VERSION. Go checks them against go.sum."""
    answer = go(folder, "mod", "download", "-json", *modules)
    found: list[dict[str, Any]] = []
    rest = answer.stdout.lstrip()
    while rest:
        item, end = json.JSONDecoder().raw_decode(rest)
        found.append(item)
        rest = rest[end:].lstrip()
    errors = [f"{item['Path']}: {item['Error']}" for item in found if item.get("Error")]
    if answer.returncode != 0 or errors:
        raise download_error(folder.name, "\n".join(errors) or answer.stderr)
    return {item["Path"]: Path(item["Dir"]) for item in found}


def _overlay(module: Module, scratch: Path) -> list[str]:
    """The `-overlay` flag that gives the Kubernetes provider's main package the files that it embeds."""
    local = [package for package in module.packages if package.startswith("./")]
    if not local:
        return []
    source = module_folders(module.folder, f"{PROVIDER}@{module.requirements[PROVIDER]}")[PROVIDER] / "cmd" / local[0]
    target = module.folder / local[0]
    file = scratch / "overlay.json"
    file.write_text(json.dumps({"Replace": {str(target / name): str(source / name) for name in EMBEDDED}}))
    return ["-overlay", str(file)]


def _build(module: Module, say: Callable[[str], None]) -> None:
    partial = Path(tempfile.mkdtemp(prefix=PARTIAL, dir=cache()))
    programs = partial / "programs"
    programs.mkdir()
    # With one program the name is ours to choose: Go would call etcd `server`, after its package.
    target = f"{programs}/{module.program}"
    arguments = ["build", "-v", *module.flags, *_overlay(module, partial), "-o", target, *module.packages]
    said: list[str] = []
    # A link needs hundreds of megabytes, more than some machines' /tmp has. Compilers that collect garbage less often
    # need a fifth less time.
    variables = environment() | {"GOTMPDIR": str(partial), "GOGC": "400"}
    with subprocess.Popen(
        ["go", *arguments], cwd=module.folder, env=variables, stderr=subprocess.PIPE, text=True, errors="replace"
    ) as process:
        assert process.stderr is not None
        try:
            for line in process.stderr:
                said.append(line.rstrip())
                say(f"compiling package {len(said)}")
        except BaseException:
            process.kill()
            raise
    absent = [name for name in module.programs if not os.access(programs / name, os.X_OK)]
    if process.returncode != 0 or absent:
        log = cache() / f"{module.name}.log"
        log.write_text("\n".join(said))
        raise ToolchainError(
            f"{module.name} does not build:\n" + "\n".join(said[-12:]) + f"\nFull log: {log}. If the disk or memory "
            "ran out, make room and run this again: it carries on where it stopped."
        )
    programs.rename(module.built)
    shutil.rmtree(partial)


def go(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Go in a folder."""
    command = ["go", *arguments]
    return subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, check=False)


def environment() -> dict[str, str]:
    """The user's environment (GOPROXY, caches and so on) without variables that would change the built programs."""
    kept = {name: value for name, value in os.environ.items() if name not in ("GOOS", "GOARCH", "GOEXPERIMENT")}
    # GOFLAGS must not be empty: Go would then take the one that `go env -w` recorded.
    return kept | {"GOFLAGS": "-mod=readonly", "GOWORK": "off", "GO111MODULE": "on", "CGO_ENABLED": "0"}
