"""How often somebody may ask, and how many wrong tokens they may try."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from vibe_tasks.rate import burst, refilled, seconds_to_token

MOST_KNOWN = 10_000
"""Askers that are remembered; who has not asked for longest is forgotten first."""

WRONG_TOKENS = 20
"""Different wrong tokens of one address within a minute, after which it is not heard any more. The
same wrong one again is somebody's old setting and no attempt at guessing."""

WRONG_SECONDS = 60.0


class Rates:
    """A bucket of tokens for each asker. From one thread.

    Args:
        rate: Requests a second; 0: any number.
        monotonic: Seconds on a clock that never goes back.
    """

    def __init__(self, rate: float, *, monotonic: Callable[[], float]) -> None:
        self._rate = rate
        self._monotonic = monotonic
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, asker: str) -> float:
        """Count a request; seconds until the asker may ask again, 0 where this one is fine."""
        if not self._rate:
            return 0.0
        now = self._monotonic()
        tokens, at = self._buckets.pop(asker, (burst(self._rate), now))
        tokens = refilled(tokens, self._rate, seconds=now - at)
        wait = 0.0 if tokens >= 1 else seconds_to_token(tokens, self._rate)
        self._buckets[asker] = (tokens if wait else tokens - 1, now)
        if len(self._buckets) > MOST_KNOWN:
            self._buckets.popitem(last=False)
        return wait


@dataclass(slots=True)
class _Tried:
    until: float
    digests: set[bytes] = field(default_factory=set)


class WrongTokens:
    """Who guesses tokens. From one thread.

    Args:
        monotonic: Seconds on a clock that never goes back.
    """

    def __init__(self, *, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._tried: OrderedDict[str, _Tried] = OrderedDict()

    def wait(self, address: str) -> float:
        """Seconds for which no token of this address is looked at; 0 where they are."""
        tried = self._tried.get(address)
        if tried is None or len(tried.digests) < WRONG_TOKENS:
            return 0.0
        return max(0.0, tried.until - self._monotonic())

    def note(self, address: str, digest: bytes) -> None:
        """This address has shown a token of this digest that nobody has."""
        now = self._monotonic()
        tried = self._tried.get(address)
        if tried is None or now >= tried.until:
            self._tried.pop(address, None)
            tried = self._tried[address] = _Tried(until=now + WRONG_SECONDS)
            if len(self._tried) > MOST_KNOWN:
                self._tried.popitem(last=False)
        tried.digests.add(digest)
