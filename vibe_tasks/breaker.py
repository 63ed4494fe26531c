"""Circuit breakers: who may call when the other side fails, as decisions about values.

Closed, every call goes through and is counted. Too many failures open the breaker: no call goes
through for a while. Then it is half open: a few calls may try. Enough successes in a row close it,
one failure opens it again.
Source: M. Nygard, Release It!, "Circuit Breaker"; the figures are those of phase-1.6-components.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from math import isfinite
from typing import Literal, Self

from vibe_tasks.settings import Settings

LONGEST_WINDOW = 86_400.0
"""Seconds; calls are kept by the second."""


class State(StrEnum):
    """Where a breaker stands."""

    CLOSED = "closed"  #: calls go through
    OPEN = "open"  #: none does
    HALF_OPEN = "half_open"  #: a few may try


@dataclass(frozen=True, slots=True, kw_only=True)
class CircuitBreakerConfig:
    """When a breaker opens and closes.

    Attributes:
        failure_threshold: Share of failed calls in the window at which it opens, above 0 and at
            most 1.
        timeout_seconds: Seconds that it stays open before a few calls may try. Above 0.
        success_threshold: Successes of such calls in a row that close it. At least 1.
        window_seconds: Calls of so many seconds count, in whole seconds. From 1 to a day.
        minimum_calls: Fewer calls in the window open nothing. At least 1.
        half_open_calls: How many may try at a time. At least 1.
    """

    failure_threshold: float = 0.5
    timeout_seconds: float = 30.0
    success_threshold: int = 3
    window_seconds: float = 300.0
    minimum_calls: int = 5
    half_open_calls: int = 3

    def __post_init__(self) -> None:
        if not 0 < self.failure_threshold <= 1:
            raise ValueError(
                f"failure_threshold must be above 0 and at most 1, got {self.failure_threshold}"
            )
        if not (self.timeout_seconds > 0 and isfinite(self.timeout_seconds)):
            raise ValueError(f"timeout_seconds must be above zero, got {self.timeout_seconds}")
        if not 1 <= self.window_seconds <= LONGEST_WINDOW:
            raise ValueError(
                f"window_seconds must be from 1 to {LONGEST_WINDOW:.0f}, got {self.window_seconds}"
            )
        for name in ("success_threshold", "minimum_calls", "half_open_calls"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, got {getattr(self, name)}")

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """As the settings `breaker_…` say."""
        return cls(
            failure_threshold=settings.breaker_failure_threshold,
            timeout_seconds=settings.breaker_timeout_seconds,
            success_threshold=settings.breaker_success_threshold,
            window_seconds=settings.breaker_window_seconds,
            minimum_calls=settings.breaker_minimum_calls,
            half_open_calls=settings.breaker_half_open_calls,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A breaker at one moment, as one caller finds it.

    Attributes:
        state: Where it stands.
        open_until: While open: from when on a few may try, in epoch seconds.
        successes: While half open: tries in a row that were good.
        trials: While half open: tries under way, those of others.
        own: Whether one of the tries under way is this caller's.
    """

    state: State = State.CLOSED
    open_until: float = 0.0
    successes: int = 0
    trials: int = 0
    own: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """Whether a call may be made.

    Attributes:
        wait: Seconds until it is worth asking again; 0.0 where it may.
        half_opens: Whether the breaker goes from open to half open with it.
        tries: Whether it is a try, which takes one of the few places.
    """

    wait: float = 0.0
    half_opens: bool = False
    tries: bool = False


def admission(at: Standing, config: CircuitBreakerConfig, *, now: float) -> Admission:
    """Whether a call may be made.

    Args:
        at: The breaker.
        config: Its rules.
        now: Epoch seconds.
    """
    if at.state is State.CLOSED:
        return Admission()
    if at.state is State.OPEN:
        if now < at.open_until:
            return Admission(wait=at.open_until - now)
        return Admission(half_opens=True, tries=True)
    # More tries than successes are missing would tell nothing more.
    places = min(config.half_open_calls, config.success_threshold - at.successes)
    if at.own or at.trials < places:
        return Admission(tries=True)
    return Admission(wait=config.timeout_seconds)


Change = Literal["opened", "closed"]


def after_try(at: Standing, config: CircuitBreakerConfig, *, ok: bool) -> Change | None:
    """What the end of a try makes of a half-open breaker."""
    if not ok:
        return "opened"
    return "closed" if at.successes + 1 >= config.success_threshold else None


def opens(config: CircuitBreakerConfig, *, calls: int, failures: int) -> bool:
    """Whether these calls of the window open a closed breaker, the last of which failed."""
    return calls >= config.minimum_calls and failures / calls >= config.failure_threshold
