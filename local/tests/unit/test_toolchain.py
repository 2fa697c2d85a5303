"""Programs come from the cache or are built; Go is a shell script that records its calls."""

from __future__ import annotations

import io
import json
import multiprocessing
import os
import re
import shutil
import time
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from rich.console import Console

import local.toolchain
from local.toolchain import ToolchainError, catalogue, ensure
from local.toolchain.catalogue import MODULES, PROVIDER, Module

GO = """#!/bin/sh
echo "$@ GOFLAGS=$GOFLAGS GOWORK=$GOWORK" >>"$FAKE/calls"
case $1 in
env) cat "$FAKE/version" ;;
list) [ -e "$FAKE/no-network" ] && { echo "go: example.com/tool@v1.2.3: 403 Forbidden" >&2; exit 1; } ;;
mod) echo '{"Path": "github.com/pulumi/pulumi-kubernetes/provider/v4", "Dir": "/modules/provider"}' ;;
build)
    echo example.com/tool >&2
    while [ "$1" != -o ]; do [ "$1" = -overlay ] && cp "$2" "$FAKE/overlay.json"; shift; done
    while [ -e "$FAKE/hang" ]; do sleep 0.02; done
    [ -e "$FAKE/broken" ] && { echo "tool.go:1: syntax error" >&2; exit 1; }
    case $2 in */) set -- "$1" "$2${3##*/}" ;; esac
    printf '#!/bin/sh\\necho built\\n' >"$2" && chmod +x "$2" ;;
esac
exit 0
"""


@dataclass(frozen=True)
class Bench:
    """A catalogue of one program, `tool`, with a cache, a PATH and a Go of its own."""

    path: Path

    @property
    def bin(self) -> Path:
        return self.path / "bin"

    def switch(self, name: str) -> Path:
        """A file whose presence changes the behaviour of the fake Go."""
        (self.path / name).touch()
        return self.path / name

    def calls(self, command: str) -> list[str]:
        calls = self.path / "calls"
        return [line for line in calls.read_text().splitlines() if line.split()[0] == command] if calls.exists() else []


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    bench = Bench(tmp_path)
    bench.bin.mkdir()
    (bench.bin / "go").write_text(GO)
    (bench.bin / "go").chmod(0o755)
    (tmp_path / "version").write_text("go1.26.1\n")
    folder = tmp_path / "modules" / "module"
    folder.mkdir(parents=True)
    (folder / "go.mod").write_text(
        f"module x\n\nrequire (\n\texample.com/tool v1.2.3 // indirect\n\t{PROVIDER} v4.5.6\n)\n"
    )
    (folder / "go.sum").write_text("example.com/tool v1.2.3 h1:x=\n")
    monkeypatch.setenv("FAKE", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", os.pathsep.join([str(bench.bin), "/usr/bin", "/bin"]))
    monkeypatch.setattr(catalogue, "TOOLS", tmp_path / "modules")
    monkeypatch.setattr(local.toolchain, "MODULES", (module(),))
    monkeypatch.setattr(local.toolchain, "ALL", ("tool", "another", "pulumi"))
    return bench


def module() -> Module:
    return Module(
        "module", ("example.com/tool",), stamps=lambda required: {"main.version": required["example.com/tool"]}
    )


def quiet() -> Console:
    return Console(file=io.StringIO())


def entries() -> set[str]:
    return {path.name for path in catalogue.cache().glob("*") if path.is_dir()}


def test_a_program_in_the_cache_needs_no_go(bench: Bench):
    built = ensure(["tool"], console=quiet())
    (bench.bin / "go").unlink()
    assert ensure(["tool"], console=quiet()) == built == {"tool": module().built / "tool"}
    assert len(bench.calls("build")) == 1


def test_the_version_of_go_mod_is_stamped_into_the_program(bench: Bench):
    ensure(["tool"], console=quiet())
    assert module().versions == {"tool": "v1.2.3"}
    assert "-ldflags -s -w -X main.version=v1.2.3" in bench.calls("build")[0]


def test_a_program_can_have_another_name_than_its_package(bench: Bench, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(local.toolchain, "MODULES", (replace(module(), program="another"),))
    assert [path.name for path in ensure(["another"], console=quiet()).values()] == ["another"]


def test_a_changed_module_is_rebuilt_and_its_old_build_stays(bench: Bench, monkeypatch: pytest.MonkeyPatch):
    ensure(["tool"], console=quiet())
    (bench.path / "modules" / "module" / "go.sum").write_text("example.com/tool v1.2.3 h1:y=\n")
    monkeypatch.setattr(local.toolchain, "MODULES", (module(),))
    ensure(["tool"], console=quiet())
    assert len(bench.calls("build")) == 2
    assert len(entries()) == 2


def test_a_newer_go_does_not_cost_a_new_build(bench: Bench):
    ensure(["tool"], console=quiet())
    (bench.path / "version").write_text("go1.27.0\n")
    ensure(["tool"], console=quiet())
    assert len(bench.calls("build")) == 1


def test_settings_for_other_go_projects_do_not_reach_the_build(bench: Bench, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GOFLAGS", "-mod=vendor -tags=mine")
    monkeypatch.setenv("GOWORK", "/elsewhere/go.work")
    ensure(["tool"], console=quiet())
    assert bench.calls("build")[0].endswith("GOFLAGS=-mod=readonly GOWORK=off")


def test_the_provider_embeds_the_files_of_its_own_module(bench: Bench, monkeypatch: pytest.MonkeyPatch):
    package = "./pulumi-resource-kubernetes"
    monkeypatch.setattr(local.toolchain, "ALL", ("pulumi-resource-kubernetes",))
    monkeypatch.setattr(local.toolchain, "MODULES", (Module("module", (package,)),))
    ensure(["pulumi-resource-kubernetes"], console=quiet())
    assert f"{PROVIDER}@v4.5.6" in bench.calls("mod")[0]
    target = bench.path / "modules/module/pulumi-resource-kubernetes"
    source = "/modules/provider/cmd/pulumi-resource-kubernetes"
    assert json.loads((bench.path / "overlay.json").read_text()) == {
        "Replace": {str(target / name): f"{source}/{name}" for name in ("schema.json", "terraform-mapping.json")}
    }


def test_an_official_pulumi_on_path_is_used_with_its_own_plugins(bench: Bench, monkeypatch: pytest.MonkeyPatch):
    ours = Module("pulumi", ("./pulumi-resource-kubernetes", "example.com/tool/pulumi"))
    monkeypatch.setattr(local.toolchain, "MODULES", (ours, module()))
    monkeypatch.setattr(local.toolchain, "ALL", ("pulumi", "pulumi-resource-kubernetes", "tool"))
    for name in ("pulumi", "pulumi-language-python"):
        program = bench.path / "official" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text("#!/bin/sh\n")
        program.chmod(0o755)
    link = bench.bin / "pulumi"
    link.symlink_to(bench.path / "official" / "pulumi")
    found = ensure(["pulumi", "pulumi-resource-kubernetes", "tool"], console=quiet())
    assert found == {"pulumi": link, "tool": module().built / "tool"}


def test_a_pulumi_on_path_without_a_language_host_is_not_used(bench: Bench, monkeypatch: pytest.MonkeyPatch):
    (bench.bin / "pulumi").write_text("#!/bin/sh\n")
    (bench.bin / "pulumi").chmod(0o755)
    monkeypatch.setattr(local.toolchain, "MODULES", (replace(module(), program="pulumi"),))
    assert ensure(["pulumi"], console=quiet())["pulumi"].is_relative_to(catalogue.cache())


def test_the_next_build_completes_a_build_that_was_killed(bench: Bench):
    hang = bench.switch("hang")
    first = multiprocessing.get_context("fork").Process(target=ensure, args=(["tool"],), kwargs={"console": quiet()})
    first.start()
    wait_for(lambda: bench.calls("build"))
    first.kill()
    first.join()
    assert not module().built.exists()
    hang.unlink()
    ensure(["tool"], console=quiet())
    assert entries() == {module().built.name}


def test_two_checkouts_at_once_build_once(bench: Bench):
    hang = bench.switch("hang")
    both = [
        multiprocessing.get_context("fork").Process(target=ensure, args=(["tool"],), kwargs={"console": quiet()})
        for _ in range(2)
    ]
    for each in both:
        each.start()
    wait_for(lambda: bench.calls("build") and len(bench.calls("env")) == 2)
    hang.unlink()
    for each in both:
        each.join(timeout=20)
        assert each.exitcode == 0
    assert len(bench.calls("build")) == 1


def test_without_go_the_error_says_to_install_it(bench: Bench, monkeypatch: pytest.MonkeyPatch):
    (bench.bin / "go").unlink()
    monkeypatch.setenv("PATH", str(bench.bin))
    with pytest.raises(ToolchainError, match=r"Go is not on PATH[\s\S]*Install Go 1\.26"):
        ensure(["tool"], console=quiet())


@pytest.mark.parametrize("version", ["go1.25", "go1.25.9"])
def test_a_go_that_is_too_old_is_named_with_its_version(bench: Bench, version: str):
    (bench.path / "version").write_text(f"{version}\n")
    with pytest.raises(ToolchainError, match=rf"{version}, which is too old[\s\S]*Go 1\.26 or newer"):
        ensure(["tool"], console=quiet())


@pytest.mark.parametrize("version", ["go1.26", "go1.26rc1", "go1.30.0", "devel go1.27-abcdef"])
def test_a_go_that_is_new_enough_is_used(bench: Bench, version: str):
    (bench.path / "version").write_text(f"{version}\n")
    ensure(["tool"], console=quiet())


def test_a_module_that_cannot_be_downloaded_is_reported_in_gos_own_words(bench: Bench):
    bench.switch("no-network")
    with pytest.raises(ToolchainError, match=r"example\.com/tool@v1\.2\.3: 403 Forbidden[\s\S]*go env GOPROXY"):
        ensure(["tool"], console=quiet())
    assert not bench.calls("build")


def test_a_failed_build_names_the_full_log(bench: Bench):
    bench.switch("broken")
    with pytest.raises(ToolchainError, match="syntax error") as failure:
        ensure(["tool"], console=quiet())
    log = re.search(r"Full log: (\S+\.log)", str(failure.value))
    assert log
    assert "syntax error" in Path(log[1]).read_text()
    assert not module().built.exists()


def test_in_a_pipe_progress_is_plain_lines(bench: Bench, monkeypatch: pytest.MonkeyPatch):
    shutil.copytree(bench.path / "modules" / "module", bench.path / "modules" / "other")
    monkeypatch.setattr(local.toolchain, "MODULES", (module(), replace(module(), name="other", program="another")))
    console = Console(file=io.StringIO(), force_terminal=False)
    ensure(["tool", "another"], console=console)
    assert isinstance(console.file, io.StringIO)
    assert [re.sub(r"\d+ s", "N s", line) for line in console.file.getvalue().splitlines()] == [
        "building tool v1.2.3 (1 of 2)",
        "built module in N s",
        "building another v1.2.3 (2 of 2)",
        "built other in N s",
    ]


def test_an_unknown_program_is_refused_with_the_known_ones(bench: Bench):
    with pytest.raises(ValueError, match=r"unknown programs: tol; known are tool"):
        ensure(["tol"])


@pytest.mark.parametrize("real", MODULES, ids=lambda real: real.name)
def test_each_pinned_module_is_complete(real: Module):
    text = real.folder.joinpath("go.mod").read_text()
    sums = real.folder.joinpath("go.sum").read_text()
    for name, package in real.programs.items():
        path = PROVIDER if package.startswith("./") else package
        pinned = [required for required in real.requirements if f"{path}/".startswith(f"{required}/")]
        assert any(f"{required} {real.versions[name]} h1:" in sums for required in pinned)
        assert package.startswith("./") or re.search(rf"^(tool |\t){re.escape(package)}$", text, re.MULTILINE)


def wait_for(condition, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)
