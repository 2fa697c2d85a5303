"""A confined program reads what its image has and writes to its volumes: links lead nowhere else."""

from __future__ import annotations

import functools
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from local.agent.confinement import DEVICES, IMAGE, available, confine

WRITE = "import sys; open(sys.argv[1], 'a').write('written')"
READ = "import sys; print(open(sys.argv[1]).read())"
MOVE = "import os, sys; os.rename(sys.argv[1], sys.argv[2])"


PYTHON = ("/etc/ld.so.cache", "/lib", "/lib64", "/usr", sys.prefix, sys.base_prefix)
"""The interpreter of these tests and its libraries."""


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    """A volume of the container; next to it a file of the user, to which a link in the volume leads."""
    folder = tmp_path / "volume"
    folder.mkdir()
    (tmp_path / "canary").write_text("untouched")
    (folder / "link").symlink_to(tmp_path / "canary")
    return folder


def run(program: str, *arguments: Path, volume: Path | None) -> bool:
    """Whether the program succeeds; confined if there is a volume."""
    confinement: Callable[[], None] | None = None
    if volume:
        confinement = functools.partial(confine, [*IMAGE, *PYTHON], [volume, *DEVICES])
    command = [sys.executable, "-I", "-S", "-c", program, *arguments]
    return subprocess.run(command, preexec_fn=confinement, capture_output=True).returncode == 0


def test_this_machine_has_landlock() -> None:
    assert available()


def test_a_program_works_in_its_volume(volume: Path) -> None:
    assert run(WRITE, volume / "file", volume=volume)
    (volume / "folder").mkdir()
    assert run(MOVE, volume / "file", volume / "folder" / "file", volume=volume)
    assert run(READ, volume / "folder" / "file", volume=volume)
    assert run(READ, Path("/proc/self/status"), volume=volume)


def test_a_program_writes_to_the_null_device(volume: Path) -> None:
    assert run(WRITE, Path("/dev/null"), volume=volume)


@pytest.mark.parametrize("program", [WRITE, READ])
def test_a_link_does_not_lead_out_of_the_volume(volume: Path, program: str) -> None:
    assert not run(program, volume / "link", volume=volume)
    assert (volume.parent / "canary").read_text() == "untouched"
    assert run(program, volume / "link", volume=None)


def test_no_file_is_moved_out_of_the_volume(volume: Path) -> None:
    (volume / "file").touch()
    assert not run(MOVE, volume / "file", volume.parent / "file", volume=volume)
    assert run(MOVE, volume / "file", volume.parent / "file", volume=None)


def test_the_image_cannot_be_written(volume: Path) -> None:
    assert not run(WRITE, Path(sys.executable), volume=volume)
    assert not run(WRITE, Path("/proc/self/comm"), volume=volume)
