"""`python -m bench.report [FILE]`: writes scale.md into docs/, with charts, from the results of the benchmark."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from bench import charts, lifecycle
from bench.workload import OWN, SHARED
from local.home import PROJECT

Run = Mapping[str, Any]

FLAT, KUBECTL = "flat program", "kubectl"
POINTS = 240
"""Of a line in a chart; of what lies between them the highest is drawn."""
PROCESSES = 8
"""Lines in a chart: of the processes with the highest values."""


def main() -> None:
    """Write the page and its charts."""
    parser = argparse.ArgumentParser(prog="python -m bench.report", description=__doc__)
    parser.add_argument("file", nargs="?", type=Path, default=PROJECT / ".local" / "bench.json")
    results = json.loads(parser.parse_args().file.read_text())
    for path, text in pages(results).items():
        (PROJECT / "docs" / path).write_text(text)
        print(f"docs/{path}")


def table(run: Run) -> Table:
    """The seconds of one run, beside their lower bounds."""
    drawn = Table(title=f"{run['tenants']} tenants, {run['kind']}: seconds", title_justify="left")
    for column in ("what", "program", FLAT, KUBECTL):
        drawn.add_column(column, justify="left" if column == "what" else "right")
    for row in _rows(run):
        drawn.add_row(*row)
    return drawn


def pages(results: Mapping[str, Any]) -> dict[str, str]:
    """The page and the charts by their paths below docs/."""
    runs: list[Run] = results["runs"]
    found: dict[str, str] = {}
    parts = [*_introduction(results["machine"], runs)]
    for run in runs:
        name = f"img/scale-{run['kind'].partition(' ')[0]}-{run['tenants']}"
        found |= {f"{name}-{chart}.svg": drawing for chart, drawing in _charts(run).items()}
        parts += _section(run, name)
    parts += _comparison(runs)
    return {"scale.md": "\n".join(parts) + "\n", **found}


def _introduction(machine: Mapping[str, Any], runs: Sequence[Run]) -> Iterator[str]:
    counts = list(dict.fromkeys(run["tenants"] for run in runs))
    yield "# Many tenants, measured"
    yield ""
    yield (
        f'Written by `python -m bench.report` after `make bench TENANTS="{" ".join(map(str, counts))}"` at commit '
        f"`{machine['commit']}`, {machine['date']}:"
    )
    yield (
        f"{machine['cores']} cores, {machine['memory']} GiB, {machine['system']}, load {machine['load']} at the start. "
        "The engine, the Kubernetes provider, the API server, etcd and Flux's controllers are the real"
    )
    yield "programs, and all of them share these cores; pods are simulated. The state is in files."
    yield ""
    yield f"- **{FLAT}**: a Pulumi program with as many ConfigMaps and no dependencies: what the engine itself takes."
    yield f"- **{KUBECTL}**: `kubectl apply --server-side` of the same objects: what the API server and Flux take."


def _section(run: Run, name: str) -> Iterator[str]:
    state, tenants = run["state"], run["tenants"]
    yield from ("", f"## {tenants} tenants, {run['kind']}", "", f"![Seconds]({name}-seconds.svg)", "")
    yield from (f"| seconds | program | {FLAT} | {KUBECTL} |", "|---|---|---|---|")
    yield from (f"| {' | '.join(row)} |" for row in _rows(run))
    yield ""
    for tenant, composition in run["resources"].items():
        yield f"- **Resources of {tenant}**: {composition}."
    yield f"- **Clones**: {run['clones']}."
    yield (
        f"- **State**: {state['whole']:.0f} kB, {state['one tenant']:.1f} kB for each tenant. The largest object is "
        f"{run['largest']} with {state['largest object']:.0f} kB."
    )
    yield from ("", f"![Memory]({name}-memory.svg)", "", f"![CPU]({name}-cpu.svg)")


def _comparison(runs: Sequence[Run]) -> Iterator[str]:
    """A shared product beside sources of the tenants' own, for each number of tenants that was measured with both."""
    by_kind = {(run["tenants"], run["kind"]): run for run in runs}
    both = sorted(
        {run["tenants"] for run in runs if {(run["tenants"], SHARED), (run["tenants"], OWN)} <= by_kind.keys()}
    )
    if not both:
        return
    yield from ("", "## A shared product beside own sources", "")
    yield "| tenants | | clones | source-controller, MB | push until applied by all, s | state of a tenant, kB |"
    yield "|---|---|---|---|---|---|"
    for count in both:
        for kind in (SHARED, OWN):
            run = by_kind[count, kind]
            figures = (run["clones"], run["memory"]["source-controller"], run["seconds"][lifecycle.PUSH])
            cells = [str(figures[0]), *(f"{figure:.1f}" for figure in figures[1:]), f"{run['state']['one tenant']:.1f}"]
            yield f"| {count} | {kind} | {' | '.join(cells)} |"
    yield ""
    yield "Of a shared product a webhook tells Flux; of own sources Flux is told by annotations right after the push."


def _rows(run: Run) -> Iterator[tuple[str, str, str, str]]:
    """What, seconds, and the lower bounds with the ratio to them."""
    alone = run["alone"]
    seconds = {"the program alone, under mocks": alone["program"], **run["seconds"]}
    floors = {FLAT: {"the program alone, under mocks": alone["flat"], **run["flat"]}, KUBECTL: run["kubectl"]}
    for what, took in seconds.items():
        cells = [_beside(took, floors[kind].get(what)) for kind in (FLAT, KUBECTL)]
        yield what, f"{took:.1f}", cells[0], cells[1]


def _beside(took: float, floor: float | None) -> str:
    return f"{floor:.1f} (x {took / floor:.2f})" if floor else ""


def _charts(run: Run) -> dict[str, str]:
    title = f"{run['tenants']} tenants, {run['kind']}"
    kinds = {"program": run["seconds"], FLAT: run["flat"], KUBECTL: run["kubectl"]}
    rows = {
        what: {kind: seconds[what] for kind, seconds in kinds.items() if what in seconds} for what in run["seconds"]
    }
    usage = run["usage"]
    steps = [(at, step) for at, step in usage["steps"]]
    memory = {name: [(at, memory) for at, memory, _ in samples] for name, samples in usage["samples"].items()}
    cpu = {name: [(at, cores) for at, _, cores in samples] for name, samples in usage["samples"].items()}
    return {
        "seconds": charts.bars(f"{title}: seconds", "s", rows),
        "memory": charts.lines(f"{title}: memory", "MB", _highest(memory), steps),
        "cpu": charts.lines(f"{title}: CPU", "cores", _highest(cpu), steps),
    }


def _highest(series: Mapping[str, charts.Points]) -> dict[str, charts.Points]:
    """The processes with the highest values, with few points each."""
    names = sorted(series, key=lambda name: -max(value for _, value in series[name]))[:PROCESSES]
    return {name: _thinned(series[name]) for name in names}


def _thinned(points: charts.Points) -> charts.Points:
    size = -(-len(points) // POINTS)
    return [max(points[at : at + size], key=lambda point: point[1]) for at in range(0, len(points), size)]


if __name__ == "__main__":
    main()
