"""Rates: how often a lane may start jobs, as people write it and as a bucket of tokens counts it.

A bucket holds a second's worth of tokens, at least one, and is refilled as time goes by; a start
takes one. So at most `rate * seconds + burst(rate)` jobs start in any span of time (the token
bucket of ITU-T I.371; https://en.wikipedia.org/wiki/Token_bucket).
"""

from __future__ import annotations

import re
from math import inf, isfinite

from vibe_tasks.errors import InputError

SECONDS = {"s": 1.0, "m": 60.0, "h": 3_600.0}
"""Length of the units of time in which a rate is written."""

_RATE = re.compile(r"(\d+(?:\.\d+)?)/([smh])")


def parse_rate(text: str) -> float:
    """Starts per second, from a text such as `10/s`, `100/m` or `500/h`.

    Raises:
        InputError: It is no rate above zero.
    """
    found = _RATE.fullmatch(text.strip())
    rate = float(found[1]) / SECONDS[found[2]] if found else 0.0
    if not 0 < rate < inf:
        raise InputError(f"a rate is a number above zero and a unit, such as 10/m, got {text!r}")
    return rate


def rate_text(rate: float) -> str:
    """The rate in the unit in which it is shortest to read: a whole number where one fits.

    >>> rate_text(10.0), rate_text(100 / 60), rate_text(500 / 3600)
    ('10/s', '100/m', '500/h')
    """
    for unit, seconds in SECONDS.items():
        number = rate * seconds
        if number >= 1 and isfinite(number) and abs(number - round(number)) < 1e-6 * number:
            return f"{round(number)}/{unit}"
    return f"{rate:g}/s"


def burst(rate: float) -> float:
    """Tokens that a full bucket holds: those of one second, at least one."""
    return max(1.0, rate)


def refilled(tokens: float, rate: float, *, seconds: float) -> float:
    """Tokens in a bucket after so many seconds; a clock that went back refills nothing."""
    return min(burst(rate), tokens + rate * max(0.0, seconds))


def whole_tokens(tokens: float) -> int:
    """How many starts these tokens are good for; a rounding error is no missing token."""
    return int(tokens + 1e-6)


def seconds_to_token(tokens: float, rate: float) -> float:
    """Seconds until a bucket with so many tokens holds a whole one."""
    return max(0.0, 1.0 - tokens) / rate
