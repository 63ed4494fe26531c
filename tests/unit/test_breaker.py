"""Circuit breakers as decisions."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vibe_tasks.breaker import (
    CircuitBreakerConfig,
    Standing,
    State,
    admission,
    after_try,
    opens,
)
from vibe_tasks.settings import Settings

CONFIG = CircuitBreakerConfig()

configs = st.builds(
    CircuitBreakerConfig,
    failure_threshold=st.floats(0.01, 1),
    timeout_seconds=st.floats(0.01, 1e6),
    success_threshold=st.integers(1, 20),
    minimum_calls=st.integers(1, 50),
    half_open_calls=st.integers(1, 20),
)


def test_defaults_are_those_of_the_document() -> None:
    """phase-1.6-components: half of the calls fail, 30 seconds, 3 successes; settings agree."""
    assert (CONFIG.failure_threshold, CONFIG.timeout_seconds, CONFIG.success_threshold) == (
        0.5, 30.0, 3,
    )  # fmt: skip
    assert CircuitBreakerConfig.of(Settings()) == CONFIG


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("failure_threshold", 0.0), ("failure_threshold", 1.1), ("timeout_seconds", 0),
        ("timeout_seconds", float("inf")), ("timeout_seconds", float("nan")),
        ("success_threshold", 0), ("window_seconds", 0.5), ("minimum_calls", 0),
        ("half_open_calls", -1),
    ],
)  # fmt: skip
def test_a_rule_out_of_bounds_is_refused(field: str, value: Any) -> None:
    """With the field's name and the value given."""
    with pytest.raises(ValueError, match=f"{field} .* got {value}"):
        CircuitBreakerConfig(**{field: value})


@given(configs, st.integers(0, 500), st.data())
def test_it_opens_at_the_share_once_there_are_enough_calls(
    config: CircuitBreakerConfig, calls: int, data: st.DataObject
) -> None:
    """Never below either bound, always where both are reached, and more failures close nothing."""
    failures = data.draw(st.integers(0, calls))
    decided = opens(config, calls=calls, failures=failures)
    enough = calls >= config.minimum_calls
    assert decided == (enough and failures / calls >= config.failure_threshold)
    if decided:
        assert opens(config, calls=calls + 1, failures=failures + 1)


@given(configs, st.floats(0, 1e9), st.floats(0.001, 1e6))
def test_an_open_one_lets_nobody_through_before_its_time(
    config: CircuitBreakerConfig, now: float, left: float
) -> None:
    """It says how long to wait, and lets a try through once that is over."""
    at = Standing(state=State.OPEN, open_until=now + left)
    allowed = admission(at, config, now=now)
    assert allowed.wait == pytest.approx(left, rel=1e-3, abs=1e-6)
    assert not allowed.tries
    due = admission(at, config, now=at.open_until)
    assert (due.wait, due.half_opens, due.tries) == (0.0, True, True)


@given(configs, st.data())
def test_half_open_lets_few_through(config: CircuitBreakerConfig, data: st.DataObject) -> None:
    """Never more at a time than allowed, nor than successes are missing; who tries may go on."""
    successes = data.draw(st.integers(0, config.success_threshold - 1))
    trials = 0
    while True:
        at = Standing(state=State.HALF_OPEN, successes=successes, trials=trials)
        allowed = admission(at, config, now=0.0)
        if not allowed.tries:
            break
        trials += 1
    assert trials == min(config.half_open_calls, config.success_threshold - successes)
    assert allowed.wait == config.timeout_seconds
    own = Standing(state=State.HALF_OPEN, successes=successes, trials=trials - 1, own=True)
    assert admission(own, config, now=0.0).tries


@given(configs)
def test_enough_successes_close_it_and_one_failure_opens_it(config: CircuitBreakerConfig) -> None:
    """Exactly at the threshold, whatever went before."""
    for successes in range(config.success_threshold):
        at = Standing(state=State.HALF_OPEN, successes=successes, own=True)
        last = successes + 1 == config.success_threshold
        assert after_try(at, config, ok=True) == ("closed" if last else None)
        assert after_try(at, config, ok=False) == "opened"
