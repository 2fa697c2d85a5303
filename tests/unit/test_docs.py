"""Links, commands and paths in the documentation exist."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
from markdown_it import MarkdownIt
from markdown_it.token import Token

from cli import __main__ as cli

ROOT = Path(__file__).parents[2]
PAGES = sorted({ROOT / "README.md", ROOT / "local" / "README.md", *(ROOT / "docs").rglob("*.md")})
EXTERNAL = ("https://", "http://", "mailto:")
OURS = re.compile(
    r"(?!.*\.venv)((bench|cli|components|docs|local|model|pipeline|standins|tests|\.github)/[\w./-]*"
    r"|Pulumi[\w.-]*\.yaml|tenants[\w.]*\.(yaml|json)|__main__\.py)"
)
"""Paths of this project, not of a product's repository or of the infra repository."""


@functools.cache
def tokens(page: Path) -> list[Token]:
    blocks = MarkdownIt("gfm-like", {"linkify": False}).parse(page.read_text(encoding="utf-8"))
    return [token for block in blocks for token in (block, *(block.children or ()))]


def links(page: Path) -> list[str]:
    """Targets of links and pictures."""
    found = [token.attrGet("href") or token.attrGet("src") for token in tokens(page)]
    return [str(target) for target in found if target]


def anchors(page: Path) -> set[str]:
    """Fragments that GitHub gives the page's headings."""
    blocks = tokens(page)
    titles = [blocks[place + 1].content for place, token in enumerate(blocks) if token.type == "heading_open"]
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def broken(page: Path) -> Iterator[str]:
    for link in links(page):
        if link.startswith(EXTERNAL):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists():
            yield f"{link}: no such file"
        elif anchor and anchor not in anchors(target):
            yield f"{link}: no such heading in {target.name}"


def named(page: Path, pattern: str) -> set[str]:
    """Matches of a pattern's group in code spans and code blocks."""
    code = [token.content for token in tokens(page) if token.type in ("code_inline", "fence")]
    return {name for text in code for name in re.findall(pattern, text, re.MULTILINE)}


@pytest.fixture(params=PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def page(request: pytest.FixtureRequest) -> Path:
    return request.param


def test_links_and_anchors_resolve(page: Path) -> None:
    assert list(broken(page)) == []


def test_make_targets_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z0-9][a-z0-9 -]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    known = {name for names in targets for name in names.split()}
    assert named(page, r"^\s*make ([a-z0-9-]+)") - known == set()


def test_paths_of_this_project_exist(page: Path) -> None:
    paths = {path for path in named(page, r"^(\S+)$") if OURS.fullmatch(path)}
    assert [path for path in sorted(paths) if not (ROOT / path).exists()] == []


def test_modules_that_are_run_exist(page: Path) -> None:
    names = named(page, r"python -m ((?:bench|cli|local|tests)[\w.]*)")
    places = {name: ROOT / name.replace(".", "/") for name in names}
    assert [name for name, place in places.items() if not (place.with_suffix(".py").exists() or place.is_dir())] == []


def test_commands_of_saas_exist(page: Path) -> None:
    group = typer.main.get_command(cli.app)
    for command in named(page, r"\./saas ([a-z][a-z -]*[a-z])"):
        found: Any = group
        for word in command.split(" -")[0].split():
            if not hasattr(found, "commands"):
                break  # the command's arguments
            assert word in found.commands, command
            found = found.commands[word]


def test_every_page_is_linked_from_the_index() -> None:
    index = ROOT / "docs" / "README.md"
    linked = {
        (index.parent / link.partition("#")[0]).resolve() for link in links(index) if not link.startswith(EXTERNAL)
    }
    assert {page for page in PAGES if page.is_relative_to(ROOT / "docs")} - linked - {index} == set()


def test_pages_that_the_sources_name_exist() -> None:
    folders = ("bench", "cli", "components", "local", "model", "pipeline", "standins", "tests", ".github")
    found = [path for folder in folders for suffix in ("py", "yaml") for path in (ROOT / folder).rglob(f"*.{suffix}")]
    sources = [path for path in found if ".venv" not in path.parts]
    texts = [path.read_text(encoding="utf-8") for path in (*sources, *ROOT.glob("*.yaml"), *ROOT.glob("*.py"))]
    pages = {page for text in texts for page in re.findall(r"\bdocs/[\w/-]+\.(?:md|yaml)\b", text)}
    assert "docs/aws.md" in pages
    assert [page for page in sorted(pages) if not (ROOT / page).exists()] == []


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# A `title`, really\n\n[a](#a-title-really) [b](#other) ![c](gone.svg) [d](https://example.com/#x)\n"
    )
    assert list(broken(page)) == ["#other: no such heading in page.md", "gone.svg: no such file"]
