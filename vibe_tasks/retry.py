"""How long a failed job waits before its next attempt, and when to stop.

The wait doubles with each failure, is spread by a random factor, so that jobs which failed
together do not come back together, and is bounded.
Source: "Exponential Backoff And Jitter", AWS Architecture Blog; interfaces: after failure n
the job waits `base * 2**n` seconds, times a factor in [0.5, 1.5], at most 10 minutes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf

LONGEST_WAIT = 600.0
"""Seconds; no wait is longer, jitter included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """When to try again.

    Attributes:
        max_retries: The failure of this number is the last. At least 1.
        base: Seconds; the wait after failure n is `base * factor**n` before jitter.
        factor: Growth from one wait to the next. At least 1.
        cap: Longest wait in seconds, jitter included.
        jitter: Largest share of the wait that is added or taken off, from 0 to 1.
    """

    max_retries: int = 3
    base: float = 1.0
    factor: float = 2.0
    cap: float = LONGEST_WAIT
    jitter: float = 0.5

    def __post_init__(self) -> None:
        if self.max_retries < 1:
            raise ValueError(f"max_retries must be 1 or more, got {self.max_retries}")
        if not self.base >= 0:
            raise ValueError(f"base must be zero or more, got {self.base}")
        if not self.factor >= 1:
            raise ValueError(f"factor must be at least 1, got {self.factor}")
        if not self.cap >= 0:
            raise ValueError(f"cap must be zero or more, got {self.cap}")
        if not 0 <= self.jitter <= 1:
            raise ValueError(f"jitter must be from 0 to 1, got {self.jitter}")

    def wait_after(self, failures: int, *, uniform: Callable[[float, float], float]) -> float:
        """Seconds to wait after this many failures.

        Args:
            failures: Failures so far, the latest included. At least 1.
            uniform: Draws a number between its two arguments (`random.uniform`).
        """
        if failures < 1:
            raise ValueError(f"failures must be 1 or more, got {failures}")
        try:
            wait = self.base * self.factor**failures
        except OverflowError:  # 2.0 ** 1024 is past the largest float
            wait = inf if self.base else 0.0
        spread = uniform(1 - self.jitter, 1 + self.jitter)
        # Capped before and after the spread: infinity times a spread of zero is no number.
        return min(self.cap, min(self.cap * 2, wait) * spread)

    def gives_up_after(self, failures: int) -> bool:
        """Whether this many failures are enough to stop trying."""
        return failures >= self.max_retries
