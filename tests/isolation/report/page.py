"""The report as a page: what is promised, what keeps it, what was tried, and what came of it."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from markdown_it import MarkdownIt

from tests.isolation.report.results import DEFENDED, UNDEFENDED, Result, Results

TITLE = "Isolation of tenants"
PICTURE = "who-reaches-whom.svg"

HONESTLY = """\
The API server, its admission and RBAC, and Flux's controllers are the real programs, of the versions below, on one
machine. Two things are not a cloud's: pods are scheduled and reported as running but run no containers, so nothing is
said about a container that breaks out of its sandbox; and no packet is sent, so network policies are judged by
[cyclonus](https://github.com/mattfenwick/cyclonus), an evaluator that is not ours. Each attack was tried twice where a
defence of ours repels it: with the defence, and, to show that the test can fail, without it."""


@dataclass(frozen=True)
class Run:
    """When the suite ran, and on what."""

    date: str
    commit: str
    versions: Mapping[str, str]


def markdown(results: Results, run: Run) -> str:
    """The whole page."""
    return "\n\n".join(_parts(results, run)) + "\n"


def as_html(text: str, picture: str | None) -> str:
    """The same page for a browser, in one file: the picture is inside."""
    body = str(MarkdownIt("commonmark").enable("table").render(text))
    if picture:
        body = body.replace(f'<img src="{PICTURE}" alt="Who reaches whom" />', picture)
    return TEMPLATE.format(title=html.escape(TITLE), style=STYLE, body=body)


def _parts(results: Results, run: Run) -> Iterator[str]:
    tried = [one for one in results.attempts if one.mode == DEFENDED]
    undefended = [one for one in results.attempts if one.mode == UNDEFENDED]
    repelled = sum(one.as_expected for one in tried)
    yield f"# {TITLE}"
    yield f"{run.date}, revision `{run.commit}`"
    if results.failed:
        listed = "\n".join(f"- `{name}`" for name in results.failed)
        yield f"**{len(results.failed)} of {results.tests} tests did not hold:**\n\n{listed}"
    else:
        yield f"All {results.tests} tests held."
    closed = _closed(results)
    yield _table(
        ["", ""],
        [
            ["attacks tried", str(len(tried))],
            ["repelled, for the right reason", str(repelled)],
            ["tried again without a defence", str(len(undefended))],
            ["of those, got through: the defence is needed", str(sum(one.as_expected for one in undefended))],
            ["connections that have to be blocked, and are", closed],
            ["ordinary objects of products that work unchanged", _works(results)],
        ],
    )
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
        yield _table(
            ["attack", "by", "what the system said", "without the defence"],
            [_attack(results, one) for one in results.of_promise(promise, DEFENDED)],
        )
    if results.compatible:
        yield "## What products may do unchanged"
        kinds = (f"- {_text(kind)}{'' if works else ' **does not work**'}" for kind, works in results.compatible)
        yield "\n".join(kinds)
    yield "## Versions"
    yield _table(["program", "version"], [[name, version] for name, version in run.versions.items()])


def _closed(results: Results) -> str:
    if results.network is None:
        return "not judged"
    intended, found = results.network.intended, results.network.found
    to_block = [place for place, allowed in intended.items() if not allowed]
    return f"{sum(not found[place] for place in to_block)} of {len(to_block)}"


def _works(results: Results) -> str:
    return f"{sum(works for _, works in results.compatible)} of {len(results.compatible)}"


def _promise(results: Results, promise: str) -> Sequence[str]:
    tried = results.of_promise(promise, DEFENDED)
    defences = dict.fromkeys(part for one in tried for part in one.defence.split("; "))
    repelled = sum(one.as_expected for one in tried)
    return [_text(promise), str(len(tried)), str(repelled), _text("; ".join(defences))]


def _attack(results: Results, one: Result) -> Sequence[str]:
    answer = _text(one.answer) if one.as_expected else f"**not repelled** {_text(one.answer)}"
    again = results.counterparts(one.attack)
    without = "; ".join(
        f"{_text(other.defence)}: {'got through' if other.as_expected else '**did not get through**'}"
        for other in again
    )
    return [_text(one.attack), one.by, answer, without or f"kept by {_text(one.defence)}"]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [list(head), ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _text(text: str) -> str:
    """Any text as one cell of a table, or one line, without becoming markup."""
    flat = " ".join(text.split())
    for character in "\\`*_<>[]|":
        flat = flat.replace(character, f"\\{character}")
    return flat


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
