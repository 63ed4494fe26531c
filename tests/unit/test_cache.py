"""The keys of the result cache."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vibe_tasks.cache import content_key, hit_rate, size_of

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner),
    max_leaves=10,
)  # fmt: skip


@given(values)
def test_equal_values_have_equal_keys(value: Any) -> None:
    """Whatever the order of a mapping's keys; a key is SHA-256 in hexadecimal."""
    turned = dict(reversed(value.items())) if isinstance(value, dict) else value
    assert content_key(turned) == content_key(value)
    assert len(content_key(value)) == 64
    assert content_key([value, value]) != content_key([value])
    assert size_of(value) > 0


@pytest.mark.parametrize("value", [float("nan"), {1, 2}, object(), "\ud800"])
def test_what_is_no_json_has_no_key(value: Any) -> None:
    """It is refused instead of being compared by what it looks like."""
    with pytest.raises(TypeError):
        content_key({"value": value})


def test_the_hit_rate_is_a_percentage() -> None:
    """Of looks that ended; nobody's looks are none."""
    assert hit_rate(hits=45, misses=105) == 30.0
    assert hit_rate(hits=0, misses=0) == 0.0
