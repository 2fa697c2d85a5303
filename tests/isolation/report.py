"""The isolation report, `make isolation-report`: runs the isolation tests and renders pytest's JUnit file as a page.

`python -m tests.isolation.report JUNIT` renders a file of an earlier run.
"""

from __future__ import annotations

import html
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree

from markdown_it import MarkdownIt

from local.home import PROJECT
from local.toolchain import catalogue
from tests.isolation.runner import DEFENDED, UNDEFENDED, Attempt

FOLDER = PROJECT / ".local" / "isolation-report"
TITLE, PICTURE = "Isolation of tenants", "who-reaches-whom.svg"
SUBJECTS = ("kube-apiserver", "kube-controller-manager", "etcd", "source-controller", "kustomize-controller")
SUBJECTS += ("helm-controller", "notification-controller", "cyclonus")

HONESTLY = """\
The API server, its admission and RBAC, and Flux's controllers are the real programs, of the versions below, on one
machine. Two things differ from a cloud: pods are scheduled and reported as running but run no containers, so the report
does not cover container escapes; and no packet is sent, so network policies are evaluated by
[cyclonus](https://github.com/mattfenwick/cyclonus), an independent evaluator. Each attack that a defence of ours repels
was tried twice: with the defence, and without it to show that the test can fail."""


@dataclass(frozen=True)
class Network:
    """The evaluated connections: (row, column) -> whether it is allowed, and meant to be."""

    rows: Sequence[str]
    columns: Sequence[str]
    found: Mapping[tuple[str, str], bool]
    intended: Mapping[tuple[str, str], bool]

    def as_text(self) -> str:
        """As text, for a property of a test."""
        cells = [[*place, allowed, self.intended[place]] for place, allowed in self.found.items()]
        return json.dumps({"rows": list(self.rows), "columns": list(self.columns), "cells": cells})

    @staticmethod
    def of_text(text: str) -> Network:
        """The inverse of `as_text`."""
        content = json.loads(text)
        found = {(row, column): allowed for row, column, allowed, _ in content["cells"]}
        intended = {(row, column): meant for row, column, _, meant in content["cells"]}
        return Network(content["rows"], content["columns"], found, intended)


@dataclass
class Results:
    """The records of one test run."""

    attempts: list[tuple[Attempt, bool]] = field(default_factory=list[tuple[Attempt, bool]])
    """Each with whether its test passed: refused with its defences, successful without them."""
    compatible: list[tuple[str, bool]] = field(default_factory=list[tuple[str, bool]])
    """Kinds of objects of ordinary products, and whether they worked."""
    network: Network | None = None
    tests: int = 0
    failed: list[str] = field(default_factory=list[str])
    """Tests that failed or did not run."""

    @property
    def promises(self) -> list[str]:
        """Each promise, in the order in which it was first tested."""
        return list(dict.fromkeys(attempt.promise for attempt, _ in self.attempts))

    def tried(self, mode: str, promise: str = "") -> list[tuple[Attempt, bool]]:
        """The attempts of a mode, to break a promise or any."""
        return [(entry, ok) for entry, ok in self.attempts if entry.mode == mode and promise in ("", entry.promise)]


def read(junit: Path) -> Results:
    """The results in a file that `pytest --junitxml` wrote."""
    results = Results()
    for case in ElementTree.parse(junit).iter("testcase"):
        passed = not any(case.find(tag) is not None for tag in ("failure", "error", "skipped"))
        results.tests += 1
        if not passed:
            results.failed.append(f"{case.get('classname')}.{case.get('name')}")
        for item in case.iter("property"):
            name, value = item.get("name"), item.get("value", "")
            if name == "attempt":
                results.attempts.append((Attempt(**json.loads(value)), passed))
            elif name == "compatible":
                results.compatible.append((value, passed))
            elif name == "network":
                results.network = Network.of_text(value)
    return results


def markdown(results: Results, date: str, commit: str, versions: Mapping[str, str]) -> str:
    """The whole page."""
    return "\n\n".join(_parts(results, date, commit, versions)) + "\n"


def as_html(text: str, picture: str) -> str:
    """The same page for a browser, in one file: the picture is inside."""
    body = str(MarkdownIt("commonmark").enable("table").render(text))
    body = body.replace(f'<img src="{PICTURE}" alt="Who reaches whom" />', picture)
    return TEMPLATE.format(title=html.escape(TITLE), style=STYLE, body=body)


def _parts(results: Results, date: str, commit: str, versions: Mapping[str, str]) -> Iterator[str]:
    yield f"# {TITLE}"
    yield f"{date}, revision `{commit}`"
    if results.failed:
        listed = "\n".join(f"- `{name}`" for name in results.failed)
        yield f"**{len(results.failed)} of {results.tests} tests did not hold:**\n\n{listed}"
    else:
        yield f"All {results.tests} tests held."
    tried, undefended, ordinary = results.tried(DEFENDED), results.tried(UNDEFENDED), results.compatible
    summary = {
        "attacks tried": len(tried),
        "repelled, for the right reason": _count(tried),
        "tried again without a defence": len(undefended),
        "of those, got through: the defence is needed": _count(undefended),
        "connections that have to be blocked, and are": _blocked(results.network),
        "ordinary objects of products that work unchanged": f"{_count(ordinary)} of {len(ordinary)}",
    }
    yield _table(["", ""], [[name, str(value)] for name, value in summary.items()])
    yield HONESTLY
    yield "## Promises"
    yield _table(
        ["promise", "attacks", "repelled", "kept by"],
        [_promise(results, promise) for promise in results.promises],
    )
    if results.network:
        yield "## Who reaches whom"
        yield (
            f"![Who reaches whom]({PICTURE})\n\nRows are destinations, columns are where the attempt comes from. "
            "The tenants are examples of what `network` in tenants.yaml can open; `basic` is what a tenant gets "
            "without asking."
        )
    yield "## Attacks"
    for promise in results.promises:
        yield f"### {_text(promise)}"
        rows = [_attack(results, attempt, ok) for attempt, ok in results.tried(DEFENDED, promise)]
        yield _table(["attack", "by", "what the system said", "without the defence"], rows)
    if results.compatible:
        yield "## What products may do unchanged"
        yield "\n".join(f"- {_text(kind)}{'' if ok else ' **does not work**'}" for kind, ok in results.compatible)
    yield "## Versions"
    yield _table(["program", "version"], [[name, version] for name, version in versions.items()])


def _count(results: Sequence[tuple[object, bool]]) -> int:
    return sum(ok for _, ok in results)


def _blocked(network: Network | None) -> str:
    if network is None:
        return "not judged"
    to_block = [place for place, allowed in network.intended.items() if not allowed]
    return f"{sum(not network.found[place] for place in to_block)} of {len(to_block)}"


def _promise(results: Results, promise: str) -> list[str]:
    tried = results.tried(DEFENDED, promise)
    defences = dict.fromkeys(part for attempt, _ in tried for part in attempt.defence.split("; "))
    return [_text(promise), str(len(tried)), str(_count(tried)), _text("; ".join(defences))]


def _attack(results: Results, attempt: Attempt, ok: bool) -> list[str]:
    answer = _text(attempt.answer) if ok else f"**not repelled** {_text(attempt.answer)}"
    again = [
        f"{_text(other.defence)}: {'got through' if through else '**did not get through**'}"
        for other, through in results.tried(UNDEFENDED, attempt.promise)
        if (other.attack, other.by) == (attempt.attack, attempt.by)
    ]
    return [_text(attempt.attack), attempt.by, answer, "; ".join(again) or f"kept by {_text(attempt.defence)}"]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [list(head), ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _text(text: str) -> str:
    """Text for a table cell or a line, escaped so that it is not read as markup."""
    flat = " ".join(text.split())
    for character in "\\`*_<>[]|":
        flat = flat.replace(character, f"\\{character}")
    return flat


CELL, LEFT, TOP = 22, 210, 110
OPEN, CLOSED, WRONG = "#2e8b57", "#d9dde3", "#c62828"
LEGEND = {OPEN: "gets through, as intended", CLOSED: "blocked, as intended", WRONG: "not as intended"}


def picture(network: Network) -> str:
    """Who reaches whom as SVG: rows are destinations, columns are sources; blank cells say nothing about tenants."""
    width, height = LEFT + CELL * len(network.columns) + 40, TOP + CELL * len(network.rows) + 60
    shapes = ["<title>Who reaches whom</title>", '<rect width="100%" height="100%" fill="#ffffff" />']
    for index, column in enumerate(network.columns):
        x, y = LEFT + CELL * (index + 0.7), TOP - 8
        shapes.append(f'<text x="{x}" y="{y}" transform="rotate(-55 {x} {y})">{html.escape(column)}</text>')
    for number, row in enumerate(network.rows):
        y = TOP + CELL * number
        shapes.append(f'<text x="{LEFT - 8}" y="{y + CELL * 0.7}" text-anchor="end">{html.escape(row)}</text>')
        for index, column in enumerate(network.columns):
            if (row, column) in network.found:
                allowed = network.found[row, column]
                colour = WRONG if allowed != network.intended[row, column] else OPEN if allowed else CLOSED
                said = html.escape(f"{column} → {row}: {'gets through' if allowed else 'blocked'}")
                shapes.append(_square(LEFT + CELL * index, y, CELL - 3, colour, f"<title>{said}</title>"))
    for (colour, meaning), x in zip(LEGEND.items(), (10, 220, 400), strict=True):
        shapes.append(_square(x, height - 34, 14, colour))
        shapes.append(f'<text x="{x + 20}" y="{height - 22}">{meaning}</text>')
    size = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    font = 'font-family="system-ui, sans-serif" font-size="12"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} {font} role="img">{"".join(shapes)}</svg>\n'


def _square(x: float, y: float, size: int, colour: str, inside: str = "") -> str:
    return f'<rect x="{x}" y="{y}" width="{size}" height="{size}" rx="3" fill="{colour}">{inside}</rect>'


STYLE = """\
body { font: 16px/1.5 system-ui, sans-serif; max-width: 76rem; margin: 2rem auto; padding: 0 1rem; color: #1c2430; }
table { border-collapse: collapse; margin: 1rem 0; }
th, td { border: 1px solid #d9dde3; padding: .3rem .6rem; text-align: left; vertical-align: top; }
td { overflow-wrap: anywhere; }
th:first-child, td:first-child { min-width: 16rem; overflow-wrap: break-word; }
th { background: #f3f5f8; }
h3 { margin-top: 2rem; }
svg { max-width: 100%; height: auto; }
@media print { body { max-width: none; font-size: 11px; } tr { break-inside: avoid; } }"""

TEMPLATE = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
{style}
</style>
{body}</html>
"""


def main() -> int:
    """Write the report in any case. Returns 1 if a test failed."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    junit = Path(sys.argv[1]) if len(sys.argv) > 1 else _run()
    results = read(junit)
    date = datetime.fromtimestamp(junit.stat().st_mtime, UTC).strftime("%Y-%m-%d %H:%M UTC")
    drawing = picture(results.network) if results.network else ""
    text = markdown(results, date, _revision(), {name: catalogue.versions()[name] for name in SUBJECTS})
    for name, content in (("report.md", text), ("report.html", as_html(text, drawing)), (PICTURE, drawing)):
        (FOLDER / name).write_text(content)
        print((FOLDER / name).relative_to(PROJECT))
    if results.failed or not results.attempts:
        sys.stderr.write(f"{len(results.failed)} of {results.tests} tests did not hold; the report names them.\n")
        return 1
    return 0


def _run() -> Path:
    junit = FOLDER / "junit.xml"
    junit.unlink(missing_ok=True)
    command = [sys.executable, "-m", "pytest", "-q", "tests/isolation", f"--junitxml={junit}"]
    done = subprocess.run(command, cwd=PROJECT, check=False)
    if not junit.exists():
        sys.exit(done.returncode or 1)
    return junit


def _revision() -> str:
    """The commit, and whether the folder has uncommitted changes."""
    command = ["git", "describe", "--always", "--dirty=, changed", "--exclude=*"]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


if __name__ == "__main__":
    sys.exit(main())
