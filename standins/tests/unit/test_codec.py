"""Resource properties keep their values, secrets and unknowns on the way through Pulumi's protocol."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from standins.codec import UNKNOWN, Secret, from_struct, mark_secrets, plain, to_struct

texts = st.text(max_size=8)
leaves = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | texts | st.just(UNKNOWN)
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4) | st.builds(Secret, inner),
    max_leaves=10,
)
objects = st.dictionaries(texts, values, max_size=4)


@given(objects)
def test_values_survive_the_protocol(item: dict[str, Any]) -> None:
    assert from_struct(to_struct(item)) == item


@given(objects)
def test_secrets_are_marked_again_where_they_were(item: dict[str, Any]) -> None:
    marked = mark_secrets(plain(item), item)
    assert plain(marked) == plain(item)
    assert _secrets(marked) == _secrets(item)


def _secrets(item: Any) -> list[Any]:
    if isinstance(item, Secret):
        return [plain(item)]
    children = item.values() if isinstance(item, dict) else item if isinstance(item, list) else ()
    return [secret for child in children for secret in _secrets(child)]
