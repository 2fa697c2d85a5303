"""`python -m bench.report [FILE]`: writes the results of the benchmark into docs/scale.md, with charts."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from bench import charts, lifecycle, usage
from bench.workload import KINDS, OWN, SHARED
from local.home import PROJECT

Run = Mapping[str, Any]

FLAT, KUBECTL = "flat program", "kubectl"
POINTS = 240
"""Of a line in a chart; of what lies between them the highest is drawn."""
PROCESSES = 8
"""Lines in a chart: of the processes with the highest values."""
PROFILED = (lifecycle.FIRST_UP, lifecycle.PREVIEW, lifecycle.ADD, lifecycle.DESTROY)
"""Steps whose CPU seconds the page shows by process."""
PAGE = PROJECT / "docs" / "scale.md"
BEGIN, END = "<!-- measured -->", "<!-- end of what was measured -->"


def main() -> None:
    """Write the figures into the page, and the charts."""
    parser = argparse.ArgumentParser(prog="python -m bench.report", description=__doc__)
    parser.add_argument("file", nargs="?", type=Path, default=PROJECT / ".local" / "bench.json")
    results = load(parser.parse_args().file)
    text, drawings = figures(results)
    page = PAGE.read_text()
    before, _, rest = page.partition(BEGIN)
    PAGE.write_text(f"{before}{BEGIN}\n\n{text}\n{END}{rest.partition(END)[2]}")
    for path, drawing in drawings.items():
        (PAGE.parent / path).write_text(drawing)
    print(f"{PAGE.relative_to(PROJECT)} and {len(drawings)} charts")


def load(file: Path) -> dict[str, Any]:
    """The results of all measurements until now."""
    return json.loads(file.read_text()) if file.exists() else {"runs": []}


def table(run: Run) -> Table:
    """Table of one run: seconds, their lower bounds, and the ratios."""
    drawn = Table(title=f"{run['tenants']} tenants, {run['kind']}: seconds", title_justify="left")
    for column in ("what", "program", FLAT, KUBECTL):
        drawn.add_column(column, justify="left" if column == "what" else "right")
    for row in _rows(run):
        drawn.add_row(*row)
    return drawn


def figures(results: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
    """The part of the page that is measured, and the charts by their paths below docs/."""
    runs: list[Run] = sorted(results["runs"], key=lambda run: (run["tenants"], KINDS.index(run["kind"])))
    drawings: dict[str, str] = {}
    parts = [*_aims(runs, results.get("faults"))]
    parts += _comparison(runs)
    for run in runs:
        name = f"img/scale-{run['kind'].partition(' ')[0]}-{run['tenants']}"
        drawings |= {f"{name}-{chart}.svg": drawing for chart, drawing in _charts(run).items()}
        parts += _section(run, name)
    return "\n".join(parts) + "\n", drawings


@dataclass(frozen=True)
class Aim:
    """One figure of one run, and what it should be at most."""

    what: str
    tenants: int
    limit: float
    floor: str = ""
    """The lower bound whose multiple the limit is; seconds without."""


AIMS = (
    Aim(lifecycle.PREVIEW, 100, 1.2, FLAT),
    Aim(lifecycle.PREVIEW, 1000, 1.2, FLAT),
    Aim(lifecycle.FIRST_UP, 100, 1.5, FLAT),
    Aim(lifecycle.READY, 100, 3, KUBECTL),
    Aim(lifecycle.ADD, 1000, 30),
    Aim(lifecycle.DESTROY, 100, 2, FLAT),
    Aim(lifecycle.PUSH, 100, 15),
    Aim(lifecycle.PUSH, 1000, 90),
)


def _aims(runs: Sequence[Run], faults: Mapping[str, Any] | None) -> Iterator[str]:
    yield from ("| what | tenants of one product | aim | measured | |", "|---|---|---|---|---|")
    shared = {run["tenants"]: run for run in runs if run["kind"] == SHARED}
    for aim in AIMS:
        run = shared.get(aim.tenants)
        took = run["seconds"].get(aim.what) if run else None
        if run is None or took is None:
            continue
        bound = {FLAT: run["flat"], KUBECTL: run["kubectl"]}[aim.floor][aim.what] if aim.floor else 1.0
        wanted = f"{aim.limit:g} x {aim.floor}" if aim.floor else f"{aim.limit:g} s"
        ratio = f" (x {took / bound:.2f})" if aim.floor else ""
        yield f"| {aim.what} | {aim.tenants} | {wanted} | {took:.1f} s{ratio} | {_met(took <= aim.limit * bound)} |"
    if {100, 1000} <= shared.keys():
        few, many = (shared[count]["memory"]["source-controller"] for count in (100, 1000))
        words = f"{few:.0f} MB with 100, {many:.0f} MB with 1,000"
        yield f"| memory of source-controller | 1000 | does not grow | {words} | {_met(many <= 1.2 * few)} |"
    if faults:
        cells = ("faults while tenants are added", faults["tenants"], "nothing lost or twice", survived(faults), "yes")
        yield f"| {' | '.join(map(str, cells))} |"


def _met(met: bool) -> str:
    return "yes" if met else "no"


def survived(faults: Mapping[str, Any]) -> str:
    """What a run with faults has shown; it would have failed otherwise."""
    kills = ", ".join(f"{name} {count}" for name, count in sorted(faults["kills"].items()))
    return (
        f"{sum(faults['kills'].values())} kills ({kills}), {faults['updates']} runs of `pulumi up`, all "
        f"{faults['tenants']} ready after {faults['seconds']:.0f} s"
    )


def _section(run: Run, name: str) -> Iterator[str]:
    state, tenants = run["state"], run["tenants"]
    machine = run["machine"]
    yield from ("", f"## {tenants} tenants, {run['kind']}", "")
    yield (
        f"Commit `{machine['commit']}`, {machine['date']}: {machine['cores']} cores, {machine['memory']} GiB, "
        f"{machine['system']}."
    )
    yield from ("", f"![Seconds]({name}-seconds.svg)", "")
    yield from (f"| seconds | program | {FLAT} | {KUBECTL} |", "|---|---|---|---|")
    yield from (f"| {' | '.join(row)} |" for row in _rows(run))
    yield ""
    for tenant, composition in run["resources"].items():
        yield f"- **Resources of {tenant}**: {composition}."
    yield f"- **Clones**: {run['clones']}."
    yield (
        f"- **State**: {state['whole']:.0f} kB in {run['stacks']} {'stack' if run['stacks'] == 1 else 'stacks'}, of "
        f"which the largest has {state['largest stack']:.0f} kB; {state['one tenant']:.1f} kB for each tenant. The "
        f"largest object is {run['largest']} with {state['largest object']:.0f} kB."
    )
    yield from _spent(run)
    yield from ("", f"![Memory]({name}-memory.svg)", "", f"![CPU]({name}-cpu.svg)")


def _spent(run: Run) -> Iterator[str]:
    """CPU seconds of each process in the steps of the engine."""
    steps = [step for step in PROFILED if step in run["seconds"]]
    spent = {step: usage.spent(run["usage"], step) for step in steps}
    names = sorted({name for step in spent.values() for name in step}, key=lambda name: -spent[steps[0]].get(name, 0))
    yield from ("", f"| CPU seconds | {' | '.join(steps)} |", f"|---|{'---|' * len(steps)}")
    for name in names:
        figures = [spent[step].get(name, 0.0) for step in steps]
        if max(figures) >= 1:
            yield f"| {name} | {' | '.join(f'{figure:.1f}' for figure in figures)} |"


def _comparison(runs: Sequence[Run]) -> Iterator[str]:
    """Comparison of a shared product and own sources, for each number of tenants that was measured with both."""
    by_kind = {(run["tenants"], run["kind"]): run for run in runs}
    both = sorted(
        {run["tenants"] for run in runs if {(run["tenants"], SHARED), (run["tenants"], OWN)} <= by_kind.keys()}
    )
    if not both:
        return
    yield from ("", "## Shared product and own sources compared", "")
    yield "| tenants | | resources of one | its state, kB | clones | source-controller, MB | push until applied, s |"
    yield "|---|---|---|---|---|---|---|"
    for count in both:
        for kind in (SHARED, OWN):
            run = by_kind[count, kind]
            megabytes, seconds = run["memory"]["source-controller"], run["seconds"][lifecycle.PUSH]
            resources = next(iter(run["resources"].values())).partition(":")[0]
            state = run["state"]["one tenant"]
            cells = (f"{state:.1f}", str(run["clones"]), f"{megabytes:.1f}", f"{seconds:.1f}")
            yield f"| {count} | {kind} | {resources} | {' | '.join(cells)} |"
    yield ""
    yield "Flux fetches a shared product because of its webhook, own sources because of annotations after the push."


def _rows(run: Run) -> Iterator[tuple[str, str, str, str]]:
    """What, seconds, and the lower bounds with the ratio to them."""
    alone = run["alone"]
    seconds = {"the program alone, under mocks": alone["program"], **run["seconds"]}
    floors = {FLAT: {"the program alone, under mocks": alone["flat"], **run["flat"]}, KUBECTL: run["kubectl"]}
    for what, took in seconds.items():
        cells = [_with_ratio(took, floors[kind].get(what)) for kind in (FLAT, KUBECTL)]
        yield what, f"{took:.1f}", cells[0], cells[1]


def _with_ratio(took: float, floor: float | None) -> str:
    return f"{floor:.1f} (x {took / floor:.2f})" if floor else ""


def _charts(run: Run) -> dict[str, str]:
    title = f"{run['tenants']} tenants, {run['kind']}"
    kinds = {"program": run["seconds"], FLAT: run["flat"], KUBECTL: run["kubectl"]}
    rows = {
        what: {kind: seconds[what] for kind, seconds in kinds.items() if what in seconds} for what in run["seconds"]
    }
    sampled = run["usage"]
    steps = [(at, step) for at, step in sampled["steps"]]
    memory = {name: [(at, memory) for at, memory, _ in samples] for name, samples in sampled["samples"].items()}
    cpu = {name: [(at, cores) for at, _, cores in samples] for name, samples in sampled["samples"].items()}
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
