"""Trace context: what is read, what is written, what is made anew."""

from __future__ import annotations

from random import Random

import pytest

from vibe_tasks.trace import (
    TraceContext,
    fresh_trace,
    parse_trace,
    span_of_attempt,
    trace_id_of,
)

TEXT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_the_standards_own_example() -> None:
    """It is read, and written back as it was."""
    found = parse_trace(TEXT)
    assert found == TraceContext(
        trace_id="0af7651916cd43dd8448eb211c80319c", span_id="b7ad6b7169203331", sampled=True
    )
    assert str(found) == TEXT
    assert trace_id_of(TEXT) == "0af7651916cd43dd8448eb211c80319c"
    unsampled = parse_trace(TEXT[:-1] + "0")
    assert unsampled is not None
    assert str(unsampled) == TEXT[:-1] + "0"
    assert parse_trace("01" + TEXT[2:] + "-more") == found  # a later version may say more


@pytest.mark.parametrize(
    "text",
    [
        None, "", "nonsense", TEXT.upper(), TEXT + "-more", "ff" + TEXT[2:], TEXT[:-3],
        f"00-{'0' * 32}-b7ad6b7169203331-01", f"00-{'a' * 32}-{'0' * 16}-01",
    ],
)  # fmt: skip
def test_what_is_no_trace_is_none(text: str | None) -> None:
    """Whatever stands in a row or a header, nobody fails for it."""
    assert parse_trace(text) is None
    assert trace_id_of(text) is None


def test_fresh_ones_differ_and_are_valid() -> None:
    """Also where chance draws nothing but zeros."""
    chance = Random(7)
    made = {fresh_trace(chance.getrandbits) for _ in range(100)}
    assert len(made) == 100
    assert all(parse_trace(each) for each in made)
    assert parse_trace(fresh_trace(lambda _bits: 0)) is not None


def test_an_attempts_span_has_one_name() -> None:
    """The same for whoever writes it down, another one for each attempt."""
    assert span_of_attempt("a", 1) == span_of_attempt("a", 1)
    assert len({span_of_attempt("a", 1), span_of_attempt("a", 2), span_of_attempt("b", 1)}) == 3
    assert len(span_of_attempt("a", 1)) == 16
