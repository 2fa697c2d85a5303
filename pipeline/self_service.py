"""Self-service: runs `./saas tenant add` for a request, and judges whether its pull request may be merged unreviewed.

Requests are untrusted text. They are read from the file of GitHub's event, so that no shell sees them, and nothing of
them is printed: the runner obeys some lines of a log.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

FILE = "tenants.yaml"
MAIN = "main"
TIERS = ("basic", "premium")
"""Tiers that may be had without a person's review; the form .github/ISSUE_TEMPLATE/add-tenant.yaml offers the same."""
REQUIRED, OPTIONAL = ("name", "tier", "product"), ("values",)
"""The keys of an entry. A tier has to be named: what `defaults` say may change."""
FIELDS = {"Name": "name", "Tier": "tier", "Product": "product", "Values": "values"}
"""The form's labels, which are headings in the issue's text."""

NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,61}[a-z0-9]")
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}")
VALUE = re.compile(r"[\w .,/@+:-]{0,200}")
"""Flux writes values into manifests as text, so quotes, brackets and `$` could become more than a value there."""
MOST_VALUES = 20
PULL = re.compile(r"https://[\w.-]+/[\w.-]+/[\w.-]+/pull/\d+")

FORBIDDEN = {
    yaml.AnchorToken: "an anchor",
    yaml.AliasToken: "an alias",
    yaml.TagToken: "a tag",
    yaml.DirectiveToken: "a directive",
    yaml.DocumentStartToken: "another document",
    yaml.DocumentEndToken: "the end of the document",
}
"""What could change the meaning of other lines, or of the entry's own."""


class RefusedError(Exception):
    """The request is invalid, or a person has to review the pull request. Its text holds nothing of the request."""


def problems(entry: Mapping[Any, Any]) -> Iterator[str]:
    """Why an entry needs a person; of the model's rules only those that keep other text out."""
    keys = set(entry)
    if not set(REQUIRED) <= keys or keys - {*REQUIRED, *OPTIONAL}:
        yield f"an entry has the keys {', '.join(REQUIRED)}, and perhaps {', '.join(OPTIONAL)}; no others"
        return
    if not _matches(NAME, entry["name"]):
        yield "name: 2 to 63 lower-case letters, digits and hyphens, with a letter or digit at both ends"
    if entry["tier"] not in TIERS:
        yield f"tier: one of {', '.join(TIERS)}"
    if not _matches(NAME, entry["product"]):
        yield "product: the name of a product in tenants.yaml"
    values = entry.get("values", {})
    if not isinstance(values, dict) or len(values) > MOST_VALUES:
        yield f"values: up to {MOST_VALUES} variables and their values"
    elif not all(_matches(VARIABLE, name) and _matches(VALUE, value) for name, value in values.items()):
        yield "values: variables of letters, digits and _; values of letters, digits, spaces and . , / @ + : _ -"


def _matches(pattern: re.Pattern[str], value: Any) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def request(event: Mapping[str, Any]) -> dict[str, Any]:
    """The entry that an event asks for: a repository_dispatch with a payload, or an issue made by the form."""
    asked = _form(event["issue"].get("body") or "") if "issue" in event else event.get("client_payload")
    if not isinstance(asked, dict):
        raise RefusedError("client_payload is not a mapping")
    if found := list(problems(asked)):
        raise RefusedError("\n".join(found))
    return asked


def _form(body: str) -> dict[str, Any]:
    """The answers in an issue's text. The first heading begins the text; each occurs once."""
    before, *parts = re.split(r"^### (.*)$", body.replace("\r\n", "\n"), flags=re.MULTILINE)
    headings, answers = parts[::2], [answer.strip() for answer in parts[1::2]]
    if before.strip() or not set(headings) <= FIELDS.keys() or len(set(headings)) < len(headings):
        raise RefusedError("the issue's text is not that of the form")
    given = {FIELDS[heading]: answer for heading, answer in zip(headings, answers, strict=True)}
    asked: dict[str, Any] = {key: answer for key, answer in given.items() if answer not in ("", "_No response_")}
    if "values" in asked:
        pairs = [line.partition("=") for line in asked["values"].splitlines() if line.strip()]
        asked["values"] = {name.strip(): value.strip() for name, _, value in pairs}
        if not all(separator for _, separator, _ in pairs) or len(asked["values"]) < len(pairs):
            raise RefusedError("values: one NAME=VALUE in each line, each name once")
    return asked


def command(entry: Mapping[str, Any]) -> list[str]:
    """The command that proposes an entry. Nothing of the entry can be taken for an option."""
    # JSON's strings are YAML's, too: what looks like a number stays text.
    values = [f"--set=values.{name}={json.dumps(value)}" for name, value in entry.get("values", {}).items()]
    options = [f"--tier={entry['tier']}", f"--product={entry['product']}", *values]
    return ["./saas", "tenant", "add", "--pr", "--json", *options, "--", entry["name"]]


def objections(before: str, after: str) -> Iterator[str]:
    """Why a change of tenants.yaml is more than one new entry with allowed keys."""
    added = _inserted(before.split("\n"), after.split("\n"))
    if added is None:
        yield "lines are changed or removed, not only added in one place"
        return
    text = "\n".join(line.removesuffix("\r") for line in added)
    if not all(line.isprintable() for line in text.split("\n")):
        yield "a character that is not printed"
    elif re.search(r"(^|\s)#", text):
        yield "a comment"
    else:
        yield from _entry_objections(text, before, after)


def _entry_objections(text: str, before: str, after: str) -> Iterator[str]:
    try:
        if found := [what for token in yaml.scan(text) for kind, what in FORBIDDEN.items() if isinstance(token, kind)]:
            yield found[0]
            return
        entry = _entry(yaml.compose(text, yaml.SafeLoader))
        old, new = yaml.safe_load(before), yaml.safe_load(after)
    except (yaml.YAMLError, ValueError, RecursionError):
        yield "the added lines are not one entry"
        return
    if found := list(problems(entry)):
        yield from found
        return
    if not isinstance(old, dict) or not isinstance(new, dict):
        yield "tenants.yaml is not a mapping"
        return
    tenants, now = old.get("tenants") or [], new.get("tenants")
    # What YAML reads as a number, a date or nothing differs from the entry's text.
    whole = isinstance(now, list) and any([*now[:at], *now[at + 1 :]] == tenants for at in _places(now, entry))
    if not whole or {**old, "tenants": None} != {**new, "tenants": None}:
        yield "more than one entry of `tenants` changes"
    if entry["name"] in [each.get("name") for each in (*tenants, *(old.get("departed") or []))]:
        yield "a tenant has or had this name"
    if entry["product"] not in (old.get("products") or {}):
        yield "there is no such product"


def _places(entries: Sequence[Any], entry: Mapping[str, Any]) -> list[int]:
    return [place for place, each in enumerate(entries) if each == entry]


def _inserted(before: Sequence[str], after: Sequence[str]) -> Sequence[str] | None:
    """The lines that were added in one place; None if anything else changed, or nothing."""
    number = len(after) - len(before)
    same = next((at for at, (old, new) in enumerate(zip(before, after, strict=False)) if old != new), len(before))
    return after[same : same + number] if number > 0 and after[same + number :] == before[same:] else None


def _entry(root: yaml.Node | None) -> dict[str, Any]:
    """The only entry of a list, of text alone. Raises ValueError for anything else."""
    if not isinstance(root, yaml.SequenceNode) or len(root.value) != 1:
        raise ValueError("not one entry")
    return _mapping(root.value[0], deep=True)


def _mapping(node: yaml.Node, *, deep: bool = False) -> dict[str, Any]:
    if not isinstance(node, yaml.MappingNode):
        raise ValueError("not a mapping")
    found: dict[str, Any] = {}
    for key_node, value in node.value:
        key = _text(key_node)
        if key in found:
            raise ValueError("a key twice")
        found[key] = _mapping(value) if deep and isinstance(value, yaml.MappingNode) else _text(value)
    return found


def _text(node: yaml.Node) -> str:
    if not isinstance(node, yaml.ScalarNode):
        raise ValueError("not text")
    return str(node.value)


def judge(pull: Mapping[str, Any], author: str, base: str) -> str:
    """The commit of a pull request of this author that adds one entry; RefusedError if it changes anything else.

    The pull request is what `gh pr view --json author,baseRefName,headRefOid,isCrossRepository` prints.
    """
    head = pull["headRefOid"]
    if pull["author"]["login"] != author:
        raise RefusedError("the pull request is not by this workflow")
    if pull["isCrossRepository"] or pull["baseRefName"] != MAIN:
        raise RefusedError(f"the pull request is not from a branch of this repository to {MAIN}")
    start = _git("merge-base", base, head).strip()
    changed = _git("diff", "--raw", "-z", "--no-abbrev", "--no-renames", start, head).split("\0")
    if len(changed) != 3 or changed[1] != FILE or not re.fullmatch(r":100644 100644 \S+ \S+ M", changed[0]):
        raise RefusedError(f"it changes more than the content of {FILE}")
    before, after = (_git("show", f"{commit}:{FILE}") for commit in (start, head))
    if found := list(objections(before, after)):
        raise RefusedError("\n".join(found))
    return head


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], check=True, stdout=subprocess.PIPE).stdout.decode()


def add() -> None:
    """Propose the entry that the event asks for, and write the pull request's address to the step's output `pull`."""
    event = json.loads(Path(os.environ["GITHUB_EVENT_PATH"]).read_text(encoding="utf-8"))
    done = subprocess.run(command(request(event)), check=False, stdout=subprocess.PIPE)
    if done.returncode:
        sys.stderr.buffer.write(done.stdout)
        raise RefusedError("`./saas tenant add` refused it")
    url = json.loads(done.stdout)["pullRequest"]
    if url is None:
        print("The tenant exists already, with these values.")
        return
    if not _matches(PULL, url):
        raise RefusedError("gh printed no address of a pull request")
    _output("pull", url)


def _output(name: str, value: str) -> None:
    """Set an output of the workflow's step."""
    with Path(os.environ["GITHUB_OUTPUT"]).open("a", encoding="utf-8") as output:
        output.write(f"{name}={value}\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command: `add` or `judge`. Returns 1 if a request is refused or a person has to review."""
    parser = argparse.ArgumentParser(prog="self_service", description=(__doc__ or "").splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("add", help="run `./saas tenant add --pr` for the event in $GITHUB_EVENT_PATH")
    judging = commands.add_parser("judge", help="write the step's output `head` if a pull request adds one entry only")
    judging.add_argument("--pull", type=Path, required=True, help="what `gh pr view --json …` printed")
    judging.add_argument("--author", required=True, help="this workflow's own login, such as app/acme-onboarding")
    judging.add_argument("--base", required=True, help="the main branch's commit")
    options = parser.parse_args(arguments)
    try:
        if options.command == "add":
            add()
        else:
            pull = json.loads(options.pull.read_text(encoding="utf-8"))
            _output("head", judge(pull, options.author, options.base))
    except RefusedError as refusal:
        print(f"Refused:\n{refusal}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
