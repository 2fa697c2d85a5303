"""Which programs there are, and which Go module in local/tools builds them.

Programs of one module are built together, because they share packages. Versions are only in the modules' go.mod files.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from importlib import metadata
from pathlib import Path

from model.config.names import CONTROLLERS

TOOLS = Path(__file__).resolve().parent.parent / "tools"

PROVIDER = "github.com/pulumi/pulumi-kubernetes/provider/v4"


class ToolchainError(Exception):
    """A program can't be built. The message says why, and what to do."""


def cache() -> Path:
    """Built programs of all checkouts: `saas-in-eks/tools` in the user's cache folder (XDG_CACHE_HOME, ~/.cache)."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG specification: a relative path is invalid and to be ignored.
    return (Path(base) if os.path.isabs(base) else Path.home() / ".cache") / "saas-in-eks" / "tools"


def _nothing(_: dict[str, str]) -> dict[str, str]:
    return {}


@dataclass(frozen=True)
class Module:
    """A folder of local/tools with a go.mod, and the programs that it builds."""

    name: str
    packages: tuple[str, ...]
    """Import paths of the programs, which are named after the last element."""
    stamps: Callable[[dict[str, str]], dict[str, str]] = _nothing
    """Required modules' versions -> Go variables to set at link time, for programs that don't know their version."""
    gcflags: str = ""
    program: str = ""
    """The name of the only program, where its package has another."""
    for_tests: bool = False
    """Only tests need it: `make up` does without."""

    @property
    def folder(self) -> Path:
        """Where go.mod and go.sum are."""
        return TOOLS / self.name

    @cached_property
    def requirements(self) -> dict[str, str]:
        """Go module -> version, as go.mod requires them."""
        return requirements(self.folder)

    @property
    def programs(self) -> dict[str, str]:
        """Program -> the package that it is built from."""
        return {self.program or package.rpartition("/")[2]: package for package in self.packages}

    @property
    def versions(self) -> dict[str, str]:
        """Program -> version, with its v."""
        return {name: self._version(package) for name, package in self.programs.items()}

    def _version(self, package: str) -> str:
        if package.startswith("./"):
            return self.requirements[PROVIDER]
        return max((len(name), version) for name, version in self.requirements.items() if package.startswith(name))[1]

    @cached_property
    def flags(self) -> list[str]:
        """Flags of `go build`."""
        stamps = [f"-X {variable}={value}" for variable, value in self.stamps(self.requirements).items()]
        compiler = [f"-gcflags={self.gcflags}"] if self.gcflags else []
        return ["-trimpath", "-buildvcs=false", *compiler, "-ldflags", " ".join(["-s", "-w", *stamps])]

    @cached_property
    def built(self) -> Path:
        """The folder of the built programs, which appears complete or not at all.

        Its name changes with everything that affects the result, except Go's own version: sources are fixed by
        go.sum, so an upgrade of Go does not cost a new build, and a machine whose cache is filled needs no Go.
        """
        recipe = hashlib.sha256(f"{platform.system()} {platform.machine()} {self.flags} {self.programs}".encode())
        for file in sorted(path for path in self.folder.rglob("*") if path.is_file()):
            recipe.update(hashlib.sha256(file.read_bytes()).digest())
        return cache() / f"{self.name}-{recipe.hexdigest()[:12]}"


def requirements(folder: Path) -> dict[str, str]:
    """Module -> version of each `require` line of a folder's go.mod."""
    text = (folder / "go.mod").read_text()
    return dict(re.findall(r"^(?:require )?\s*([\w.\-~/]+\.[\w.\-~/]+) (v\S+)", text, re.MULTILINE))


def _pulumi_stamps(required: dict[str, str]) -> dict[str, str]:
    # Without it the CLI has no version, and the Automation API refuses it.
    return {"github.com/pulumi/pulumi/sdk/v3/go/common/version.Version": required["github.com/pulumi/pulumi/pkg/v3"]}


def _provider_stamps(_: dict[str, str]) -> dict[str, str]:
    # The engine asks for the provider in the version of the program's SDK.
    return {f"{PROVIDER}/pkg/version.Version": metadata.version("pulumi-kubernetes")}


def _kubernetes_stamps(required: dict[str, str]) -> dict[str, str]:
    version = required["k8s.io/kubernetes"]
    major, minor, _ = version.removeprefix("v").split(".")
    values = {"gitVersion": version, "gitMajor": major, "gitMinor": minor}
    return {f"k8s.io/component-base/version.{name}": value for name, value in values.items()}


MODULES = (
    # First, because its modules are few: those of pulumi are downloaded while etcd compiles.
    Module("etcd", ("go.etcd.io/etcd/server/v3",), program="etcd"),
    Module("pulumi", ("github.com/pulumi/pulumi/pkg/v3/cmd/pulumi",), stamps=_pulumi_stamps),
    Module(
        "kubernetes-provider",
        ("./pulumi-resource-kubernetes",),
        stamps=_provider_stamps,
        # Pulumi's SDK for Kubernetes is half a million generated lines of which the provider needs few: optimising
        # them would double what they cost to compile.
        gcflags="github.com/pulumi/pulumi-kubernetes/sdk/v4/...=-l -dwarf=false",
    ),
    Module(
        "kubernetes",
        tuple(
            f"k8s.io/kubernetes/cmd/{name}" for name in ("kube-apiserver", "kube-controller-manager", "kube-scheduler")
        ),
        stamps=_kubernetes_stamps,
    ),
    Module("kwok", ("sigs.k8s.io/kwok/cmd/kwok",)),
    Module(
        "flux",
        (
            *(f"github.com/fluxcd/{name}" for name in CONTROLLERS),
            # The images' registry: it compiles little that the controllers do not.
            "github.com/google/go-containerregistry/cmd/registry",
        ),
    ),
    Module("actionlint", ("github.com/rhysd/actionlint/cmd/actionlint",), for_tests=True),
    Module("cyclonus", ("github.com/mattfenwick/cyclonus/cmd/cyclonus",), for_tests=True),
)

OFFICIAL = ("pulumi", "kubernetes-provider")
"""Modules that an official Pulumi on PATH makes unnecessary: it downloads its plugins itself."""

ALL = tuple(name for module in MODULES for name in module.programs)

PLATFORM = tuple(name for module in MODULES if not module.for_tests for name in module.programs)
"""Programs that `make up` needs."""


def versions() -> dict[str, str]:
    """Program -> the version that is built, with its v."""
    return {name: version for module in MODULES for name, version in module.versions.items()}
