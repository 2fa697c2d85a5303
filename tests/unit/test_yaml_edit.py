"""Edits of a YAML text: they change one value, and no other character."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cli.yaml_edit import EditError, append, flow, remove, set_value
from model.config.yaml_lines import parse

ENTRY = {"name": "acme", "tier": "on", "source": {"url": "https://github.com/acme/shop", "branch": "main"}}

WORDS = st.one_of(
    st.sampled_from(["yes", "1.10", "null", "~", "a: b", "# no comment", "{tenant}.x", "*", "- x", ">=1 <2, x", "ü"]),
    st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=12),
)
VALUES = st.one_of(WORDS, st.integers(), st.booleans(), st.none(), st.lists(WORDS, max_size=2))
COMMENTS = st.sampled_from(["", "# plain", "# - name: old", "#  key: 'quote", "# {x: [", "# a - b"])


@st.composite
def files(draw: st.DrawFn) -> str:
    """A tenants.yaml in a style that nobody would choose: mixed, with comments, anchors and merge keys everywhere."""
    lines = [draw(COMMENTS), "shared: &shared  # for all", "  {path: ./a,   private: false}", "name: &word yes"]
    lines.append(draw(st.sampled_from(["tenants:", "tenants:  # all of them", "tenants: &all", '"tenants":'])))
    indent = " " * draw(st.sampled_from([0, 2, 4]))
    for number in range(draw(st.integers(1, 4))):
        lines += [f"{indent}{comment}" for comment in draw(st.lists(COMMENTS, max_size=2))]
        dash = draw(st.sampled_from(["- ", "-   ", f"-\n{indent}    ", f"-  # its entry\n{indent}    "]))
        inner = " " * (len(indent) + len(dash.rsplit("\n", 1)[-1]) if "\n" not in dash else len(indent) + 4)
        comment = draw(st.sampled_from(["", "  # here"]))
        style = draw(st.sampled_from(["block", "flow", "broken", "merge", "text", "anchor"]))
        name = f"tenant-{number}"
        if style == "flow":
            lines.append(f"{indent}{dash}{{name: {name},  source:   {{url: x,path: y}} , }}{comment}")
        elif style == "broken":
            lines += [f"{indent}{dash}{{name: {name},{comment}", f"{inner} source: {{url: 'it''s', path: y}}}}"]
        else:
            lines.append(f"{indent}{dash}name:   {name}{comment}")
            if style == "block":
                lines += [f"{inner}source:{comment}", f"{inner}  url: x", f"{inner}  # path: old", f"{inner}  path: y"]
            if style == "merge":
                lines += [f"{inner}<<: {{extra: *word}}", f"{inner}source: {{<<: *shared, url: x}}{comment}"]
            if style == "text":
                mark = draw(st.sampled_from(["|", ">-", "|2-"]))
                lines += [f"{inner}source: {{url: x, path: y}}", f"{inner}notes: {mark}", f"{inner}   two", "", ""]
            if style == "anchor":
                lines += [f"{inner}source: &own-{number}", f'{inner}  url: "x"', f"{inner}  path: y{comment}"]
    lines += draw(st.sampled_from([[], [f"{indent}# the end"], ["", "# the end", "after: [1,  2]"]]))
    text = "\n".join(lines) + draw(st.sampled_from(["", "\n", "\n\n"]))
    return draw(st.sampled_from([text, text.replace("\n", "\r\n")]))


def change(before: str, after: str) -> tuple[str, str]:
    """The lines that went and that came between the first and the last line that differ."""
    old, new = before.splitlines(keepends=True), after.splitlines(keepends=True)
    while old and new and old[0] == new[0]:
        old, new = old[1:], new[1:]
    while old and new and old[-1] == new[-1]:
        old, new = old[:-1], new[:-1]
    return "".join(old), "".join(new)


def content(text: str) -> Any:
    return parse(text, "tenants.yaml").content


@given(files())
@settings(max_examples=100, deadline=None)
def test_a_new_entry_only_adds_lines(before: str) -> None:
    after = append(before, ("tenants",), ENTRY)
    assert content(after)["tenants"] == [*content(before)["tenants"], ENTRY]
    gone, come = change(before, after)
    assert come.startswith(gone)  # the last line, if it had no line end
    assert after.endswith("\n") == before.endswith("\n")
    assert after.count("\r\n") == ("\r\n" in before) * after.count("\n")


@given(
    files(), st.sampled_from([("tier",), ("name",), ("source", "url"), ("source", "branch"), ("quota", "pods")]), VALUES
)
@settings(max_examples=100, deadline=None)
def test_a_changed_value_changes_its_line_only(before: str, path: tuple[str, ...], value: Any) -> None:
    after = set_value(before, ("tenants", 0, *path), value)
    found = content(after)["tenants"][0]
    for step in path:
        found = found[step]
    assert (found, type(found)) == (value, type(value))
    assert content(after)["tenants"][1:] == content(before)["tenants"][1:]
    gone, come = change(before, after)
    assert gone.count("\n") <= 1
    if "  # here" in gone:
        assert "  # here" in come


@given(files(), st.sampled_from([("source",), ("source", "url"), ("name",)]))
@settings(max_examples=100, deadline=None)
def test_a_removed_key_leaves_every_other_line(before: str, path: tuple[str, ...]) -> None:
    after = remove(before, ("tenants", 0, *path))
    expected = content(before)
    holder = expected["tenants"][0]
    for step in path[:-1]:
        holder = holder[step]
    del holder[path[-1]]
    assert content(after) == expected
    gone, come = change(before, after)
    assert gone.count("\n") <= 4
    assert come.count("\n") <= 1


@given(files(), st.data())
@settings(max_examples=100, deadline=None)
def test_a_removed_entry_leaves_the_others_as_they_are(before: str, data: st.DataObject) -> None:
    entries: Sequence[Any] = content(before)["tenants"]
    index = data.draw(st.integers(0, len(entries) - 1))
    after = remove(before, ("tenants", index))
    assert content(after)["tenants"] == [entry for number, entry in enumerate(entries) if number != index]
    gone, come = change(before, after)
    assert len(entries) == 1 or come.strip() == "" or gone.startswith(come)


@given(VALUES)
def test_a_value_on_one_line_is_read_as_the_same_value(value: Any) -> None:
    assert content(f"[{flow(value)}, {{key: {flow(value)}}}]") == [value, {"key": value}]
    assert "\n" not in flow(value)


@pytest.mark.parametrize(
    "text",
    [
        "tenants: []",
        "tenants: []  # none yet\nother: 1\n",
        "tenants: [\n  # none yet\n]\n",
        "{tenants: [], other: 1}\n",
        "tenants: [{name: a}]",
        "tenants: [{name: a},\n  {name: b},  # b\n]\n",
        "tenants:\n- name: a\n# next\nother: 1\n",
        "\ufefftenants:\n  - name: a\n",
        "---\ntenants:\n  - name: a\n...\n",
        "tenants:\n",
    ],
)
def test_an_entry_is_added_to_every_form_of_a_list(text: str) -> None:
    before = content(text)
    assert content(append(text, ("tenants",), ENTRY)) == {**before, "tenants": [*(before["tenants"] or []), ENTRY]}


def test_a_missing_list_is_begun_at_the_end() -> None:
    assert append("a: 1", ("gone",), {"name": "x"}) == "a: 1\ngone:\n  - name: x\n"
    assert append("a: 1\n\nb: 2\n", ("gone",), {"name": "x"}) == "a: 1\n\nb: 2\n\ngone:\n  - name: x\n"
    assert append("a: 1  # one\n", ("gone",), {"name": "x"}) == "a: 1  # one\ngone:\n  - name: x\n"


def test_an_entry_goes_with_the_comment_that_describes_it() -> None:
    text = "tenants:\n  # All.\n\n  # The first.\n  - name: a\n    # its comment\n\n  # The second.\n  - name: b\n"
    assert remove(text, ("tenants", 0)) == "tenants:\n  # All.\n\n\n  # The second.\n  - name: b\n"
    assert remove(text, ("tenants", 1)) == text.partition("  # The second")[0]
    together = "tenants:\n  # Both.\n  - name: a\n  - name: b\n"
    assert remove(together, ("tenants", 0)) == "tenants:\n  # Both.\n  - name: b\n"
    assert remove("tenants:  # all\n  - name: a\n", ("tenants", 0)) == "tenants: []  # all\n"


def test_an_entry_after_text_that_ends_in_empty_lines_is_refused() -> None:
    with pytest.raises(EditError):
        append("tenants:\n  - name: |+\n      a\n\n", ("tenants",), ENTRY)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("tenants: [&a {x: 1}, *a]\n", ("tenants", 0, "x")),
        ("tenants:\n  - &a {x: 1}\n  - {<<: *a}\n", ("tenants", 0, "x")),
        ("tenants:\n  - {x: &a 1}\n  - {x: *a}\n", ("tenants", 0, "x")),
    ],
)
def test_a_value_that_others_take_by_alias_is_not_changed(text: str, path: tuple[str | int, ...]) -> None:
    with pytest.raises(EditError, match=r"tenants\[0\]\.x cannot be changed .*\n    Edit it by hand"):
        set_value(text, path, 2)
