"""`python -m bench [TENANTS ...]`: seconds of previews, updates and Flux, for each number of tenants."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.engine import Measured, measure, seconds
from local.home import PROJECT
from local.pulumi import SHOWN_LINES, PulumiError
from tests.platform import running_platform

RUNS = 3


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "tenants", nargs="*", type=_count, default=[1, 10, 100], help="how many tenants to measure with"
    )
    counts: list[int] = parser.parse_args().tenants
    progress, console = Console(stderr=True), Console(soft_wrap=True)
    with tempfile.TemporaryDirectory(prefix="bench-") as place:
        for on in running_platform(Path(place)):
            for count in counts:
                progress.print(f"{count} tenants: the program alone")
                try:
                    alone = _alone(count, on.home.kubeconfig)
                    found = measure(
                        on, count, Path(place), lambda what, n=count: progress.print(f"{n} tenants: {what}")
                    )
                except (AssertionError, subprocess.CalledProcessError, PulumiError) as error:
                    sys.exit(_failure(error))
                _show(console, found, alone)


def _failure(error: Exception) -> str:
    """The end of what a failed command printed; all of it is kept in a file, because the platform's folder is not."""
    output = f"{error}\n{error.stderr}" if isinstance(error, subprocess.CalledProcessError) else str(error)
    log = PROJECT / ".local" / "bench-error.log"
    log.parent.mkdir(exist_ok=True)
    log.write_text(output)
    return "\n".join(["error: a command failed:", *output.splitlines()[-SHOWN_LINES:], f"The whole output is in {log}"])


def _count(word: str) -> int:
    count = int(word)
    if count < 1:
        raise argparse.ArgumentTypeError("one tenant at least")
    return count


def _alone(count: int, kubeconfig: Path) -> tuple[float, float]:
    """Seconds of the program and of the flat one under mocks, the better of some runs in turn."""

    def run(kind: str, given: str = "") -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "bench.alone", kind, str(count), str(kubeconfig)]
        return subprocess.run(command, cwd=PROJECT, input=given, text=True, capture_output=True, check=True)

    resources = run("resources").stdout
    took = [(seconds(lambda: run("program")), seconds(lambda: run("flat", resources))) for _ in range(RUNS)]
    return min(program for program, _ in took), min(flat for _, flat in took)


def _show(console: Console, found: Measured, alone: tuple[float, float]) -> None:
    drawn = Table(title=f"{found.tenants} tenants, seconds", title_justify="left")
    for column in ("what", "program", "floor", "ratio"):
        drawn.add_column(column, justify="left" if column == "what" else "right")
    rows: dict[str, tuple[float, float | None]] = {"alone, under mocks": alone}
    rows |= {what: (took, found.floor.get(what)) for what, took in found.program.items()}
    for what, (took, floor) in rows.items():
        compared = ("", "") if floor is None else (f"{floor:.1f}", f"{took / floor:.2f}" if floor >= 0.05 else "")
        drawn.add_row(what, f"{took:.1f}", *compared)
    console.print(drawn)
    memory = ", ".join(f"{name} {megabytes:.0f}" for name, megabytes in sorted(found.memory.items()))
    console.print(f"Resident memory, MB: {memory}", highlight=False)
    for tenant, composition in found.resources.items():
        console.print(f"Resources of {tenant}: {composition}", highlight=False)


if __name__ == "__main__":
    main()
