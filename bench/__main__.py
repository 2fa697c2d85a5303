"""`python -m bench [TENANTS ...]`: seconds, memory and CPU of previews, updates and Flux, with many tenants."""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console

from bench import faults, report
from bench.fleet import PER_STACK
from bench.lifecycle import measure
from bench.workload import KINDS, SHARED
from local.home import PROJECT
from local.pulumi import SHOWN_LINES, PulumiError
from tests.platform import Platform, running_platform

RUNS = 3
KILLS, SEED = 20, 16
COMPRESSED = {"PULUMI_DIY_BACKEND_ZSTD": "true"}
"""A state is written at each step. No update here reads the state of another that runs."""
RESULTS = PROJECT / ".local" / "bench.json"


def main() -> None:
    """Measure, print, and keep the results in a file, which the page of the documentation is made of."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("tenants", nargs="*", type=_count, help="how many tenants to measure with (default: 10 100)")
    parser.add_argument("--kind", choices=KINDS, help="only tenants of this kind (default: both up to 100 tenants)")
    parser.add_argument("--faults", type=_count, metavar="TENANTS", help="add so many while processes are killed")
    arguments = parser.parse_args()
    os.environ |= COMPRESSED
    counts: list[int] = arguments.tenants or ([] if arguments.faults else [10, 100])
    with tempfile.TemporaryDirectory(prefix="bench-") as place:
        for on in running_platform(Path(place)):
            try:
                for count in counts:
                    # A thousand own sources are a thousand clones: the comparison with a hundred shows what they cost.
                    for kind in [arguments.kind] if arguments.kind else KINDS if count <= PER_STACK else [SHARED]:
                        _measure(on, kind, count, Path(place))
                if arguments.faults:
                    _faults(on, arguments.faults)
            except (AssertionError, subprocess.CalledProcessError, PulumiError) as error:
                sys.exit(_failure(error))
    print(f"The results are in {RESULTS}; `python -m bench.report` makes a page of them.")


def _measure(on: Platform, kind: str, count: int, place: Path) -> None:
    say = _progress(f"{count} tenants, {kind}")
    machine = _machine()
    say("the program alone")
    alone = _alone(kind, count, on.home.kubeconfig)
    found = measure(on, kind, count, place, say)
    run = {**asdict(found), "alone": dict(zip(("program", "flat"), alone, strict=True)), "machine": machine}
    results = report.load(RESULTS)
    others = [one for one in results["runs"] if (one["kind"], one["tenants"]) != (kind, count)]
    _keep({**results, "runs": [*others, run]})
    Console(soft_wrap=True).print(report.table(run), highlight=False)


def _faults(on: Platform, count: int) -> None:
    machine = _machine()
    survived = faults.measure(on, count, KILLS, SEED, _progress(f"{count} tenants, with faults"))
    _keep({**report.load(RESULTS), "faults": {**asdict(survived), "machine": machine}})
    print(report.survived(asdict(survived)))


def _progress(title: str) -> Callable[[str], None]:
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    return lambda what: console.print(f"{time.strftime('%H:%M:%S')} {title}: {what}")


def _keep(results: Mapping[str, Any]) -> None:
    """In a file to which each measurement adds its own, or replaces an earlier one of as many tenants."""
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(results))


def _machine() -> dict[str, Any]:
    """Where and of what a run was made."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=PROJECT, capture_output=True, text=True, check=False
    )
    return {
        "cores": os.cpu_count(),
        "memory": round(psutil.virtual_memory().total / 2**30),
        "system": f"{platform.system()} {platform.machine()}",
        "load": round(os.getloadavg()[0], 1),
        "date": time.strftime("%Y-%m-%d"),
        "commit": commit.stdout.strip(),
    }


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


def _alone(kind: str, count: int, kubeconfig: Path) -> tuple[float, float]:
    """Seconds of the program and of the flat one under mocks, the better of some runs in turn."""

    def run(what: str, given: str = "") -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "bench.alone", what, kind, str(count), str(kubeconfig)]
        return subprocess.run(command, cwd=PROJECT, input=given, text=True, capture_output=True, check=True)

    def seconds(what: str, given: str = "") -> float:
        began = time.monotonic()
        run(what, given)
        return time.monotonic() - began

    resources = run("resources").stdout
    took = [(seconds("program"), seconds("flat", resources)) for _ in range(RUNS)]
    return min(program for program, _ in took), min(flat for _, flat in took)


if __name__ == "__main__":
    main()
