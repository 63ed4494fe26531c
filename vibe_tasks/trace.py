"""Trace context as a job carries it: the trace of its spans, and the span that they hang from.

Source: W3C Trace Context, https://www.w3.org/TR/trace-context/
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass

_FORM = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_SAMPLED = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceContext:
    """A span, as others refer to it.

    Attributes:
        trace_id: 32 hexadecimal digits.
        span_id: 16 hexadecimal digits.
        sampled: Whether whoever began the trace records it.
    """

    trace_id: str
    span_id: str
    sampled: bool = True

    def __str__(self) -> str:
        """The header's value."""
        return f"00-{self.trace_id}-{self.span_id}-{int(self.sampled):02x}"


def parse_trace(text: str | None) -> TraceContext | None:
    """The span that a `traceparent` names; None where it names none."""
    found = _FORM.fullmatch(text or "")
    if found is None:
        return None
    version, trace_id, span_id, flags, more = found.groups()
    if version == "ff" or not trace_id.strip("0") or not span_id.strip("0"):
        return None
    if version == "00" and more:
        return None
    return TraceContext(trace_id=trace_id, span_id=span_id, sampled=bool(int(flags, 16) & _SAMPLED))


def trace_id_of(text: str | None) -> str | None:
    """The trace's id alone."""
    found = parse_trace(text)
    return None if found is None else found.trace_id


def fresh_trace(bits: Callable[[int], int]) -> str:
    """The `traceparent` of a trace that nobody has begun yet.

    Args:
        bits: Draws a number of so many bits (`random.getrandbits`).
    """
    # A number of zeros alone is not allowed.
    return f"00-{bits(128) or 1:032x}-{bits(64) or 1:016x}-01"


def span_of_attempt(job_id: str, attempt: int) -> str:
    """The id of the span of an attempt: whoever writes it down, the worker that ran it or whoever
    found that worker dead, names the same span.
    """
    return hashlib.sha256(f"{job_id} {attempt}".encode()).hexdigest()[:16]
