"""How agents say that their provider takes no more work for now, and until when.

Read only from what an agent reports as its own failure: the same words in a message or in the
output of a tool mean nothing. The forms are those that the programs print, as their users report
them; each is a case in tests/unit/test_agents_usage_limit.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, tzinfo
from itertools import chain
from zoneinfo import ZoneInfo

UNKNOWN_WAIT = 900.0
"""Seconds to wait where no moment is told: limits last hours, and a try costs little."""

SHORTEST_WAIT = 5.0
LONGEST_WAIT = 8 * 86_400.0
"""Seconds; the longest known limits are weekly, whatever a text may claim."""

JUST_PASSED = 600.0
"""Seconds by which a time of day may be over and still mean today: clocks differ."""

_LIMITED = re.compile(
    r"""usage[ _]limit | (?:session|weekly|daily|monthly|spend\w*|\d+-hour|five-hour)\ limit
    | (?:hit|reached|exceeded)\ your\ (?:\w+\ ){0,2}(?:limit|quota) | out\ of\ extra\ usage
    | exhausted\ your\ (?:\w+\ )?(?:capacity|quota) | quota\ will\ reset | free\ usage\ exceeded
    | freeusagelimit | exceeded\ your\ current\ quota | insufficient_quota | resource_exhausted
    | credit\ balance\ is\ too\ low
    """,
    re.IGNORECASE | re.VERBOSE,
)
_UNITS = {"ms": 0.001, "mil": 0.001, "d": 86_400.0, "h": 3_600.0, "m": 60.0, "s": 1.0}
_UNIT = r"(?:milliseconds?|ms|days?|hours?|hrs?|minutes?|mins?|seconds?|secs?|[dhms])(?![a-z])"
_SPAN = re.compile(
    rf"\b(?:in|after|within)\s+((?:\d+(?:\.\d+)?\s?{_UNIT}[,\s]*(?:and\s)?)+)", re.IGNORECASE
)
_PIECE = re.compile(r"(\d+(?:\.\d+)?)\s?(mil|ms|[dhms])", re.IGNORECASE)
_SECONDS = re.compile(
    r"resets?_in_seconds\W{1,4}(\d{1,9})|retry-after\W{1,3}(\d{1,9})", re.IGNORECASE
)
_EPOCH = re.compile(r"(?:resets?_?at\W{1,4}|limit reached\s*\|\s*)(\d{10,13})\b", re.IGNORECASE)
_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_DAY = r"(?P<month>[a-z]{3,9})\.?\s+(?P<day>\d{1,2})(?:st|nd|rd|th)?(?:,?\s+(?P<year>\d{4}))?"
_CLOCK = r"(?P<hour>\d{1,2})(?::(?P<minute>\d{2}))?(?::\d{2})?\s*(?P<half>[ap]\.?m\b)?"
_MOMENT = re.compile(
    rf"(?:resets?|again|available|until)(?:\s+(?:at|on))?\s+"
    rf"(?:{_DAY}(?:,?\s*(?:at\s+)?{_CLOCK})?|{_CLOCK.replace('P<', 'P<only_')})"
    rf"(?:\s*\((?P<zone>[\w/+-]+)\))?",
    re.IGNORECASE,
)


def wait_of(said: str, *, now: float | None, local: tzinfo = UTC) -> float | None:
    """Seconds until the provider takes work again; None where the text tells of no limit.

    Args:
        said: What an agent reported as its failure.
        now: Epoch seconds; without it only spans are understood, no moments.
        local: Zone of times of day that come without one.
    """
    if not _LIMITED.search(said):
        return None
    waits = chain(_spans(said), () if now is None else _moments(said, now, local))
    return bounded_wait(next(waits, UNKNOWN_WAIT))


def span_of(said: str) -> float | None:
    """Seconds after which a text asks to try again, within reason; None where it does not."""
    seconds = next(_spans(said), None)
    return None if seconds is None else bounded_wait(seconds)


def bounded_wait(seconds: float) -> float:
    """The wait within reason."""
    return min(max(seconds, SHORTEST_WAIT), LONGEST_WAIT)


def _spans(said: str) -> Iterator[float]:
    for match in _SECONDS.finditer(said):
        yield float(match[1] or match[2])
    for match in _SPAN.finditer(said):
        pieces = _PIECE.findall(match[1])
        yield sum(float(number) * _UNITS[unit.lower()] for number, unit in pieces)


def _moments(said: str, now: float, local: tzinfo) -> Iterator[float]:
    for match in _EPOCH.finditer(said):
        number = float(match[1])
        yield (number / 1000 if len(match[1]) > 10 else number) - now
    for match in _MOMENT.finditer(said):
        moment = _moment(match, now, local)
        if moment is not None:
            yield moment - now


def _moment(match: re.Match[str], now: float, local: tzinfo) -> float | None:
    """Epoch seconds of a moment as people write it; None where there is no such moment."""
    zone = _zone(match["zone"], local)
    if zone is None:
        return None
    here = datetime.fromtimestamp(now, tz=zone)
    time = _time(match, "only_" if match["month"] is None else "")
    if time is None:
        return None
    try:
        if match["month"] is None:
            moment = datetime.combine(here.date(), datetime.min.time(), tzinfo=zone) + time
            if moment.timestamp() < now - JUST_PASSED:
                moment += timedelta(days=1)
        else:
            moment = datetime.combine(_day(match, here.date()), datetime.min.time(), zone) + time
    except (ValueError, OverflowError):
        return None
    return moment.timestamp()


def _day(match: re.Match[str], today: date) -> date:
    month = _MONTHS.index(match["month"][:3].lower()) + 1
    if match["year"]:
        return date(int(match["year"]), month, int(match["day"]))
    found = date(today.year, month, int(match["day"]))
    return found if found >= today - timedelta(days=1) else found.replace(year=today.year + 1)


def _time(match: re.Match[str], prefix: str) -> timedelta | None:
    """Time of day; midnight where a day comes without one."""
    if match[f"{prefix}hour"] is None:
        return timedelta(0)
    hour, minute = int(match[f"{prefix}hour"]), int(match[f"{prefix}minute"] or 0)
    half = (match[f"{prefix}half"] or "").lower()
    if half:
        hour = hour % 12 + (12 if half.startswith("p") else 0)
    elif prefix and match["only_minute"] is None:
        return None  # a lone number is no time
    return timedelta(hours=hour, minutes=minute) if hour < 24 and minute < 60 else None


def _zone(name: str | None, local: tzinfo) -> tzinfo | None:
    if name is None:
        return local
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError):  # no zone of this name, or no list of zones here
        return None
