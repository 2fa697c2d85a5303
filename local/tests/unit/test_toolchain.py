"""Programs are found or built, against a Go that is a shell script: what it was asked can then be read."""

from __future__ import annotations

import io
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
from local.toolchain import ToolchainError, cache, catalogue, ensure
from local.toolchain.catalogue import GROUPS, Group, Installed, Program

GO = """#!/bin/sh
echo "$@ GOFLAGS=$GOFLAGS GOWORK=$GOWORK" >>"$FAKE/calls"
case $1 in
env) cat "$FAKE/version"; echo "$FAKE/gocache"; echo "$FAKE/modcache" ;;
list)
    [ -e "$FAKE/no-network" ] && { echo "go: example.com/tool@v1.2.3: 403 Forbidden" >&2; exit 1; }
    echo "go: downloading example.com/tool v1.2.3" >&2
    echo example.com/tool ;;
build)
    echo example.com/tool >&2
    while [ -e "$FAKE/hang" ]; do sleep 0.02; done
    [ -e "$FAKE/broken" ] && { echo "tool.go:1: syntax error" >&2; exit 1; }
    while [ "$1" != -o ]; do shift; done
    printf '#!/bin/sh\\necho built\\n' >"$2" && chmod +x "$2" ;;
esac
"""


@dataclass(frozen=True)
class Bench:
    """A catalogue of one program, `tool`, with a cache, a PATH and a Go of its own."""

    path: Path

    @property
    def bin(self) -> Path:
        return self.path / "bin"

    def switch(self, name: str) -> Path:
        """A file whose presence changes what Go does."""
        (self.path / name).touch()
        return self.path / name

    def calls(self, command: str) -> list[str]:
        calls = self.path / "calls"
        return [line for line in calls.read_text().splitlines() if line.split()[0] == command] if calls.exists() else []

    def install(self, folder: str, version: str) -> Path:
        """Put a `tool` of that version on PATH, after Go."""
        program = self.path / folder / "tool"
        program.parent.mkdir()
        program.write_text(f'#!/bin/sh\necho asked >>"{self.path}/asked"\necho "tool version v{version} (linux)"\n')
        program.chmod(0o755)
        os.environ["PATH"] += f"{os.pathsep}{program.parent}"
        return program


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    bench = Bench(tmp_path)
    bench.bin.mkdir()
    (bench.bin / "go").write_text(GO)
    (bench.bin / "go").chmod(0o755)
    (tmp_path / "version").write_text("go1.26.1\n")
    module = tmp_path / "modules" / "group"
    module.mkdir(parents=True)
    (module / "go.mod").write_text("module x\n\nrequire (\n\texample.com/tool v1.2.3 // indirect\n)\n")
    (module / "go.sum").write_text("example.com/tool v1.2.3 h1:x=\n")
    monkeypatch.setenv("FAKE", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", os.pathsep.join([str(bench.bin), "/usr/bin", "/bin"]))
    monkeypatch.setattr(catalogue, "MODULES", tmp_path / "modules")
    monkeypatch.setattr(local.toolchain, "GROUPS", (group(),))
    monkeypatch.setattr(local.toolchain, "ALL", ("tool",))
    return bench


def group() -> Group:
    return Group(
        "group",
        (Program("tool", "example.com/tool"),),
        seconds=10,
        gigabytes=0.001,
        stamps=lambda version: {"main.version": version},
        installed=Installed(("version",), lambda found, wanted: found[:2] == wanted[:2]),
    )


def quiet() -> Console:
    return Console(file=io.StringIO())


def entries() -> set[str]:
    return {path.name for path in cache.root().glob("*") if path.is_dir()}


def test_what_is_in_the_cache_needs_no_go(bench: Bench):
    built = ensure(["tool"], console=quiet())
    (bench.bin / "go").unlink()
    assert ensure(["tool"], console=quiet()) == built == {"tool": cache.root() / group().key / "bin" / "tool"}
    assert len(bench.calls("build")) == 1


def test_the_version_is_that_of_go_mod_and_is_stamped_into_the_program(bench: Bench):
    ensure(["tool"], console=quiet())
    assert group().key.startswith("group-v1.2.3-")
    assert "-ldflags -s -w -X main.version=v1.2.3" in bench.calls("build")[0]


def test_a_changed_module_is_built_anew_and_the_old_build_stays_for_other_checkouts(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
):
    ensure(["tool"], console=quiet())
    (bench.path / "modules" / "group" / "go.sum").write_text("example.com/tool v1.2.3 h1:y=\n")
    monkeypatch.setattr(local.toolchain, "GROUPS", (group(),))
    ensure(["tool"], console=quiet())
    assert len(bench.calls("build")) == 2
    assert len(entries() - {"logs"}) == 2


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


def test_a_program_on_path_in_a_good_version_is_used_and_nothing_is_built(bench: Bench):
    program = bench.install("usr", "1.2.9")
    assert ensure(["tool"], console=quiet()) == {"tool": program}
    assert not bench.calls("build")


def test_a_program_on_path_is_asked_for_its_version_once_until_it_changes(bench: Bench):
    program = bench.install("usr", "1.2.9")
    for _ in range(3):
        ensure(["tool"], console=quiet())
    assert (bench.path / "asked").read_text() == "asked\n"
    program.write_text(program.read_text().replace("1.2.9", "2.0.0"))
    assert ensure(["tool"], console=quiet())["tool"].is_relative_to(cache.root())


def test_a_program_on_path_in_another_version_is_not_used(bench: Bench):
    bench.install("usr", "1.3.0")
    assert ensure(["tool"], console=quiet())["tool"].is_relative_to(cache.root())


def test_a_link_on_path_to_our_own_build_does_not_count_as_the_users(bench: Bench):
    built = ensure(["tool"], console=quiet())["tool"]
    built.write_text("#!/bin/sh\necho v1.2.3\n")
    (bench.bin / "tool").symlink_to(built)
    assert ensure(["tool"], console=quiet()) == {"tool": built}
    behind = bench.install("usr", "1.2.4")
    assert ensure(["tool"], console=quiet()) == {"tool": behind}


def test_a_build_that_was_killed_leaves_nothing_that_counts_and_the_next_one_completes(bench: Bench):
    hang = bench.switch("hang")
    first = multiprocessing.get_context("fork").Process(target=ensure, args=(["tool"],), kwargs={"console": quiet()})
    first.start()
    wait_for(lambda: bench.calls("build"))
    first.kill()
    first.join()
    assert cache.find(group(), group().programs[0]) is None
    hang.unlink()
    ensure(["tool"], console=quiet())
    assert entries() == {"logs", group().key}


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


def test_without_go_the_error_says_to_install_it(bench: Bench):
    (bench.bin / "go").unlink()
    os.environ["PATH"] = str(bench.bin)
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


def test_too_little_disk_is_found_before_anything_is_built(bench: Bench, monkeypatch: pytest.MonkeyPatch):
    free = shutil.disk_usage(bench.path).free
    monkeypatch.setattr(local.toolchain, "GROUPS", (replace(group(), gigabytes=free / 1e9 + 1000),))
    with pytest.raises(ToolchainError, match=r"GB free; building group may need [\s\S]* set XDG_CACHE_HOME"):
        ensure(["tool"], console=quiet())
    assert not bench.calls("list")


def test_a_module_that_cannot_be_downloaded_is_reported_in_gos_own_words(bench: Bench):
    bench.switch("no-network")
    with pytest.raises(ToolchainError, match=r"example\.com/tool@v1\.2\.3: 403 Forbidden[\s\S]*go env GOPROXY"):
        ensure(["tool"], console=quiet())


def test_a_failed_build_names_the_full_log(bench: Bench):
    bench.switch("broken")
    with pytest.raises(ToolchainError, match="syntax error") as failure:
        ensure(["tool"], console=quiet())
    log = re.search(r"Full log: (\S+\.log)", str(failure.value))
    assert log
    assert "syntax error" in Path(log[1]).read_text()
    assert cache.find(group(), group().programs[0]) is None


def test_in_a_pipe_progress_is_plain_lines_that_say_what_is_left(bench: Bench, monkeypatch: pytest.MonkeyPatch):
    shutil.copytree(bench.path / "modules" / "group", bench.path / "modules" / "other")
    other = replace(group(), name="other", programs=(Program("another", "example.com/tool"),))
    monkeypatch.setattr(local.toolchain, "GROUPS", (group(), other))
    monkeypatch.setattr(local.toolchain, "ALL", ("tool", "another"))
    console = Console(file=io.StringIO(), force_terminal=False)
    ensure(["tool", "another"], console=console)
    assert isinstance(console.file, io.StringIO)
    assert [re.sub(r"\d+ s", "N s", line) for line in console.file.getvalue().splitlines()] == [
        "building tool v1.2.3",
        "built group in N s; left: other, about N s left",
        "building another v1.2.3",
        "built other in N s",
    ]


def test_an_unknown_program_is_refused_with_the_known_ones(bench: Bench):
    with pytest.raises(ValueError, match=r"unknown programs: tol; known are tool"):
        ensure(["tol"])


@pytest.mark.parametrize("real", GROUPS, ids=lambda real: real.name)
def test_each_pinned_module_is_complete(real: Group):
    tools = real.folder.joinpath("go.mod").read_text()
    sums = real.folder.joinpath("go.sum").read_text()
    for program in real.programs:
        assert re.search(rf"^(tool |\t){re.escape(program.package)}$", tools, re.MULTILINE)
        assert f"{program.module} {real.version(program)} h1:" in sums


def wait_for(condition, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)
