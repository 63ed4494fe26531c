"""Rates and the bucket of tokens."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vibe_tasks.errors import InputError
from vibe_tasks.rate import burst, parse_rate, rate_text, refilled, seconds_to_token, whole_tokens

RATES = st.floats(min_value=1e-4, max_value=1e4)


@pytest.mark.parametrize(
    ("text", "rate"),
    [("10/s", 10.0), ("100/m", 100 / 60), ("500/h", 500 / 3600), ("0.5/s", 0.5), (" 1/m ", 1 / 60)],
)
def test_a_rate_is_a_number_and_a_unit(text: str, rate: float) -> None:
    """As Celery writes its own."""
    assert parse_rate(text) == pytest.approx(rate)


@pytest.mark.parametrize(
    "text",
    ["", "10", "0/s", "-1/s", "10/d", "10 / s", "ten/s", "inf/s", "nan/s", "1e3/s",
     "9" * 400 + "/s"],
)  # fmt: skip
def test_what_is_no_rate_is_refused(text: str) -> None:
    """In one line that shows what was given."""
    with pytest.raises(InputError, match="a rate is a number above zero and a unit"):
        parse_rate(text)


@given(st.integers(1, 100_000), st.sampled_from("smh"))
def test_a_rate_is_shown_as_it_can_be_read_again(number: int, unit: str) -> None:
    """Whatever unit it is shown in."""
    rate = parse_rate(f"{number}/{unit}")
    assert parse_rate(rate_text(rate)) == pytest.approx(rate)


@given(RATES, st.lists(st.floats(min_value=-10, max_value=10), max_size=60))
def test_no_more_start_than_the_rate_and_one_burst(rate: float, steps: list[float]) -> None:
    """However the looks are spread over the time, and whatever the clock does in between."""
    tokens, started, passed = burst(rate), 0, 0.0
    for seconds in steps:
        tokens = refilled(tokens, rate, seconds=seconds)
        passed += max(0.0, seconds)
        starts = whole_tokens(tokens)
        tokens -= starts
        started += starts
        assert tokens < burst(rate) + 1
    assert started <= rate * passed + burst(rate) + 1e-3


@given(RATES, st.floats(min_value=0, max_value=1))
def test_the_wait_ends_with_a_token(rate: float, tokens: float) -> None:
    """Not before, and not after."""
    wait = seconds_to_token(tokens, rate)
    assert whole_tokens(refilled(tokens, rate, seconds=wait)) == 1
    assert tokens > 0.99 or whole_tokens(refilled(tokens, rate, seconds=0.99 * wait)) == 0
