from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vibe_tasks.retry import LONGEST_WAIT, RetryPolicy

numbers = st.floats(min_value=0, max_value=1e308, allow_nan=False)
policies = st.builds(
    RetryPolicy,
    max_retries=st.integers(1, 10_000),
    base=numbers,
    factor=st.floats(min_value=1, max_value=1e308),
    cap=numbers,
    jitter=st.floats(min_value=0, max_value=1),
)


def low(first: float, _second: float) -> float:
    return first


def high(_first: float, second: float) -> float:
    return second


def middle(first: float, second: float) -> float:
    return (first + second) / 2


@given(policies, st.integers(1, 10**9), st.randoms(use_true_random=False))
def test_a_wait_is_a_number_within_bounds(
    policy: RetryPolicy, failures: int, dice: random.Random
) -> None:
    """No overflow, no NaN, never negative, never above the cap: for any policy and count."""
    wait = policy.wait_after(failures, uniform=dice.uniform)
    assert math.isfinite(wait)
    assert 0 <= wait <= policy.cap


@given(policies, st.integers(1, 5_000))
def test_waits_never_get_shorter(policy: RetryPolicy, failures: int) -> None:
    """One more failure waits at least as long, the dice being equal."""
    for dice in (low, middle, high):
        now = policy.wait_after(failures, uniform=dice)
        assert policy.wait_after(failures + 1, uniform=dice) >= now


@given(st.floats(0.001, 10), st.integers(1, 5))
def test_the_curve_is_base_times_two_to_the_n(base: float, failures: int) -> None:
    """interfaces: after failure n the job waits `base * 2**n`, times 0.5 to 1.5."""
    policy = RetryPolicy(base=base)
    exact = base * 2**failures
    assert policy.wait_after(failures, uniform=low) == pytest.approx(exact * 0.5)
    assert policy.wait_after(failures, uniform=middle) == pytest.approx(exact)
    assert policy.wait_after(failures, uniform=high) == pytest.approx(min(600, exact * 1.5))


def test_jitter_spreads_evenly() -> None:
    """A thousand waits fill the whole range, each tenth of it with a fair share."""
    dice = random.Random(1)
    waits = [RetryPolicy(base=4).wait_after(1, uniform=dice.uniform) for _ in range(1_000)]
    tenths = [0] * 10
    for wait in waits:
        tenths[min(9, int((wait - 4) / 0.8))] += 1
    assert min(tenths) > 50
    assert max(tenths) < 150


def test_the_cap_is_ten_minutes_jitter_included() -> None:
    """However often it failed, a job comes back within ten minutes."""
    assert RetryPolicy().wait_after(10_000, uniform=high) == LONGEST_WAIT == 600
    assert RetryPolicy().wait_after(10_000, uniform=low) == pytest.approx(600)


def test_a_base_of_zero_never_waits() -> None:
    """Also where the power alone would overflow."""
    assert RetryPolicy(base=0).wait_after(5_000, uniform=high) == 0


@given(st.integers(1, 100), st.integers(1, 200))
def test_the_failure_of_number_max_retries_is_the_last(most: int, failures: int) -> None:
    """Not the one before, not the one after."""
    assert RetryPolicy(max_retries=most).gives_up_after(failures) is (failures >= most)


@pytest.mark.parametrize(
    ("field", "value"),
    [("max_retries", 0), ("base", -1.0), ("base", math.nan), ("factor", 0.5), ("factor", math.nan),
     ("cap", -1.0), ("cap", math.nan), ("jitter", 1.5), ("jitter", -0.1), ("jitter", math.nan)],
)  # fmt: skip
def test_a_senseless_policy_is_refused(field: str, value: float) -> None:
    """The message names the field and the value."""
    with pytest.raises(ValueError, match=f"{field} must be .* got {value}"):
        RetryPolicy(**{field: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("failures", [0, -1])
def test_there_is_no_wait_before_the_first_failure(failures: int) -> None:
    """Counting starts at 1."""
    with pytest.raises(ValueError, match="failures must be 1 or more"):
        RetryPolicy().wait_after(failures, uniform=middle)
