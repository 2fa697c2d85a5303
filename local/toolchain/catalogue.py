"""Which programs there are, where they come from and how they are built.

A group is one Go module in local/tools: programs of one module are built together, because they share packages.
Versions are those of the module's own go.mod; they stand nowhere else.
"""

from __future__ import annotations

import hashlib
import platform
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

MODULES = Path(__file__).resolve().parent.parent / "tools"

Version = tuple[int, int, int]


@dataclass(frozen=True)
class Program:
    """A program, the Go module that has it, and its package's folder in that module."""

    name: str
    module: str
    folder: str = ""

    @property
    def package(self) -> str:
        """The import path that `go build` takes."""
        return f"{self.module}/{self.folder}" if self.folder else self.module


@dataclass(frozen=True)
class Installed:
    """How to tell whether a program that is on PATH already will do."""

    arguments: tuple[str, ...]
    """What makes it print its version."""
    accepts: Callable[[Version, Version], bool]
    """(version found, version that would be built) -> whether the one found will do."""


def _no_stamps(_: str) -> dict[str, str]:
    return {}


@dataclass(frozen=True)
class Group:
    """Programs that one Go module builds."""

    name: str
    """The module's folder in local/tools."""
    programs: tuple[Program, ...]
    seconds: int
    """How long a cold build takes on two cores after the groups before it: weighs the progress bar."""
    gigabytes: float
    """What a cold build writes, Go's own caches included."""
    stamps: Callable[[str], dict[str, str]] = _no_stamps
    """Version -> Go variables to set at link time, where a program does not know its version by itself."""
    installed: Installed | None = None
    for_tests: bool = False
    """Whether only tests need it: `make up` does without."""

    @property
    def folder(self) -> Path:
        """Where go.mod and go.sum are."""
        return MODULES / self.name

    @cached_property
    def requirements(self) -> dict[str, str]:
        """Module -> version, as go.mod requires them."""
        return requirements(self.folder / "go.mod")

    def version(self, program: Program) -> str:
        """The version that go.mod pins, with its v."""
        return self.requirements[program.module]

    @property
    def flags(self) -> list[str]:
        """What `go list` and `go build` are both given, so that they speak of the same compiled packages."""
        stamps = self.stamps(self.version(self.programs[0]))
        ldflags = ["-s", "-w", *(f"-X {variable}={value}" for variable, value in stamps.items())]
        return ["-trimpath", "-buildvcs=false", "-ldflags", " ".join(ldflags)]

    @cached_property
    def key(self) -> str:
        """Names the result in the cache: changes with whatever decides what is built, save Go's own version.

        Go is left out on purpose. Sources are fixed by go.sum, and every Go that can build them builds programs
        that do the same; so an upgraded Go does not cost a new build, and a machine whose cache is filled needs
        none. Which Go it was is recorded beside the programs.
        """
        recipe = hashlib.sha256()
        for part in (
            (self.folder / "go.mod").read_bytes(),
            (self.folder / "go.sum").read_bytes(),
            "\n".join([*self.flags, *(f"{program.name} {program.package}" for program in self.programs)]).encode(),
            f"{platform.system()} {platform.machine()}".encode(),
        ):
            recipe.update(hashlib.sha256(part).digest())
        versions = {self.version(program) for program in self.programs}
        return "-".join([self.name, *(versions if len(versions) == 1 else ()), recipe.hexdigest()[:12]])


def requirements(go_mod: Path) -> dict[str, str]:
    """Module -> version of every `require` line of a go.mod."""
    return dict(re.findall(r"^(?:require )?\s*([\w.\-~/]+\.[\w.\-~/]+) (v\S+)", go_mod.read_text(), re.MULTILINE))


def _pulumi_stamps(version: str) -> dict[str, str]:
    # Without it the CLI has no version, and the Automation API refuses it.
    return {"github.com/pulumi/pulumi/sdk/v3/go/common/version.Version": version}


def _kubernetes_stamps(version: str) -> dict[str, str]:
    major, minor, _ = version.removeprefix("v").split(".")
    values = {"gitVersion": version, "gitMajor": major, "gitMinor": minor}
    return {f"k8s.io/component-base/version.{name}": value for name, value in values.items()}


def _same_minor(found: Version, wanted: Version) -> bool:
    return found[:2] == wanted[:2]


def _program(module: str) -> Program:
    return Program(module.rpartition("/")[2], module)


GROUPS = (
    Group(
        "pulumi",
        (Program("pulumi", "github.com/pulumi/pulumi/pkg/v3", "cmd/pulumi"),),
        seconds=224,
        gigabytes=3.0,
        stamps=_pulumi_stamps,
        # Pulumi.yaml's requiredPulumiVersion.
        installed=Installed(("version",), lambda found, _: (3, 200, 0) <= found < (4, 0, 0)),
    ),
    Group(
        "etcd",
        (Program("etcd", "go.etcd.io/etcd/server/v3"),),
        seconds=26,
        gigabytes=0.5,
        installed=Installed(("--version",), lambda found, _: (3, 5, 0) <= found < (4, 0, 0)),
    ),
    Group(
        "kubernetes",
        tuple(
            Program(name, "k8s.io/kubernetes", f"cmd/{name}")
            for name in ("kube-apiserver", "kube-controller-manager", "kube-scheduler")
        ),
        seconds=268,
        gigabytes=2.5,
        stamps=_kubernetes_stamps,
        installed=Installed(("--version",), _same_minor),
    ),
    Group(
        "kwok",
        (Program("kwok", "sigs.k8s.io/kwok", "cmd/kwok"),),
        seconds=20,
        gigabytes=0.5,
        installed=Installed(("--version",), lambda found, wanted: found == wanted),
    ),
    Group(
        "flux",
        # A controller does not tell its version, so one on PATH can't be judged: always ours.
        tuple(
            _program(f"github.com/fluxcd/{name}-controller") for name in ("source", "kustomize", "helm", "notification")
        ),
        seconds=190,
        gigabytes=4.0,
    ),
    Group(
        "actionlint",
        (Program("actionlint", "github.com/rhysd/actionlint", "cmd/actionlint"),),
        seconds=14,
        gigabytes=0.2,
        installed=Installed(("-version",), lambda found, wanted: found >= wanted),
        for_tests=True,
    ),
    Group(
        "cyclonus",
        # It does not know its version, so one on PATH can't be judged: always ours.
        (Program("cyclonus", "github.com/mattfenwick/cyclonus", "cmd/cyclonus"),),
        seconds=10,
        gigabytes=0.5,
        for_tests=True,
    ),
)

ALL = tuple(program.name for group in GROUPS for program in group.programs)

PLATFORM = tuple(program.name for group in GROUPS if not group.for_tests for program in group.programs)
"""What `make up` needs."""


def versions() -> dict[str, str]:
    """Program -> the version that is built, with its v."""
    return {program.name: group.version(program) for group in GROUPS for program in group.programs}
