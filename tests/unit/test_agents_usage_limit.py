"""How agents say that their provider takes no more work, and until when."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vibe_tasks.agents.usage_limit import (
    LONGEST_WAIT,
    SHORTEST_WAIT,
    UNKNOWN_WAIT,
    span_of,
    wait_of,
)

NOW = datetime(2026, 3, 9, 12, 0, tzinfo=UTC).timestamp()
HOUR = 3_600.0
DAY = 24 * HOUR


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        # Claude Code
        (f"Claude AI usage limit reached|{int(NOW) + 3600}", HOUR),
        ("You've hit your limit · resets 3pm", 3 * HOUR),
        ("You've hit your limit · resets 8pm (Australia/Sydney)", 21 * HOUR),  # 23:00 there now
        ("You've hit your session limit · resets 2:10pm (UTC)", 2 * HOUR + 600),
        ("You've hit your limit · resets Mar 12 at 4pm (America/Recife)", 3 * DAY + 7 * HOUR),
        ("Weekly limit reached · resets Mar 11", 1.5 * DAY),
        ("Claude usage limit reached. Your limit will reset at 3pm (UTC).", 3 * HOUR),
        ("You're out of extra usage · resets 15:00", 3 * HOUR),
        ("Credit balance is too low", UNKNOWN_WAIT),
        # Codex
        ("You've hit your usage limit. Upgrade to Pro or try again in 2 days 1 hour 5 minutes.",
         2 * DAY + HOUR + 300),
        ("You've hit your usage limit. Upgrade, or try again at 8:38 PM.", 8 * HOUR + 38 * 60),
        ("You've hit your usage limit. Try again at Mar 10th, 2026 3:39 AM.", 15 * HOUR + 39 * 60),
        ("You've hit your usage limit. Try again later.", UNKNOWN_WAIT),
        ('{"type":"usage_limit_reached","resets_at":9,"resets_in_seconds":13872}', 13_872),
        # Gemini CLI
        ("You have exhausted your capacity on this model. Your quota will reset after 5h23m10s.",
         5 * HOUR + 23 * 60 + 10),
        ("You have exhausted your daily quota on this model.", UNKNOWN_WAIT),
        ('"status": "RESOURCE_EXHAUSTED" Please retry in 34.5s.', 34.5),
        # opencode
        ("Free usage exceeded, subscribe to Go retrying in 6h16m - attempt #1",
         6 * HOUR + 16 * 60),
    ],
)  # fmt: skip
def test_a_limit_is_understood(said: str, seconds: float):
    """Each form in which the known programs report a limit gives the time until it is over."""
    assert wait_of(said, now=NOW) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "said",
    [
        "",
        "429 Too Many Requests",
        'API Error: 529 {"type":"error","error":{"type":"overloaded_error"}}',
        "This request would exceed your account's rate limit. Please try again later.",
        "context limit reached: conversation too long",
        "Invalid API key · Please run /login",
    ],
)
def test_other_failures_are_no_limits(said: str):
    """What passes soon, or never, is no reason to wait for hours."""
    assert wait_of(said, now=NOW) is None


def test_a_time_that_has_just_passed_is_today():
    """Clocks differ: a moment ago means that it is over, and an hour ago means tomorrow."""
    assert wait_of("usage limit: resets 11:55am", now=NOW) == SHORTEST_WAIT
    assert wait_of("usage limit: resets 11am", now=NOW) == 23 * HOUR
    assert wait_of("usage limit: resets Mar 8, 1pm", now=NOW) == SHORTEST_WAIT
    assert wait_of("usage limit: resets Jan 2", now=NOW) == LONGEST_WAIT, "next year's"


def test_times_without_a_zone_are_local():
    """Programs print the time of the machine that they run on."""
    local = timezone(timedelta(hours=-5))
    assert wait_of("usage limit: resets 8am", now=NOW, local=local) == HOUR


@pytest.mark.parametrize(
    "said",
    ["resets 3pm (Nowhere/Land)", "resets 25:00", "resets Smarch 3", "resets Feb 31", "resets 3"],
)
def test_a_moment_that_is_none_is_unknown(said: str):
    """A zone, hour or day that does not exist is no reason to fail."""
    assert wait_of(f"usage limit: {said}", now=NOW) == UNKNOWN_WAIT


def test_without_a_clock_spans_are_understood():
    """Who has no clock still knows what "in an hour" means."""
    assert wait_of("usage limit: try again in 1 hour", now=None) == HOUR
    assert wait_of("usage limit: resets 3pm", now=None) == UNKNOWN_WAIT


def test_a_busy_provider_says_when_to_come_back():
    """A span is read where there is no limit at all, too."""
    assert span_of("429: Please retry in 34.5s") == 34.5
    assert span_of("Retry-After: 30") == 30
    assert span_of("overloaded") is None


@settings(max_examples=50, deadline=None)
@given(st.text(), st.floats(0, 4e9))
def test_no_text_breaks_it(said: str, now: float):
    """Whatever an agent says, the wait is within reason."""
    wait = wait_of(f"usage limit resets {said}", now=now)
    assert wait is not None
    assert SHORTEST_WAIT <= wait <= LONGEST_WAIT
