"""What kind of failure an error is, and how it is written down.

Requirement R2: timeouts, 429 and 5xx, refused connections, busy databases and lost workers
pass; authentication, invalid input and missing things do not. Unknown errors are retryable.
"""

from __future__ import annotations

from enum import StrEnum
from string import ascii_letters, digits

from vibe_tasks.errors import (
    AttemptError,
    InputError,
    PermanentError,
    StoppedError,
    TransientError,
)

LONGEST_ERROR = 8_000
"""Characters of an error that are kept; the ledger is no log file."""

_EDGE = 4_000
_OF_WORDS = ascii_letters + digits + "._~+/=-"
"""What tokens and keys are made of."""

PERMANENT_TYPES = (PermanentError, InputError, NotImplementedError, PermissionError)
"""`TypeError` and `ValueError` are absent on purpose: flaky inputs raise them too, and the
retries of a programming error cost little."""


OURS = (AttemptError, TransientError, PermanentError, StoppedError)
"""Types that only say whether there is another attempt: their messages are told without them."""


class FailureKind(StrEnum):
    """Whether another attempt makes sense."""

    RETRYABLE = "retryable"
    PERMANENT = "permanent"


def classify(error: BaseException) -> FailureKind:
    """The kind of a failure, by the error's type."""
    if isinstance(error, PERMANENT_TYPES):
        return FailureKind.PERMANENT
    return FailureKind.RETRYABLE


def describe(error: BaseException) -> str:
    """One text for the ledger: the error's type and message, bounded, without NUL.

    Of `OURS` the message alone, a sentence for people. PostgreSQL refuses NUL in text; an error
    must be recordable whatever it says.
    """
    kind, message = type(error).__name__, str(error)
    if type(error) in OURS and message:
        return bounded(message)
    return bounded(f"{kind}: {message}" if message else kind)


def bounded(text: str, *, longest: int = LONGEST_ERROR) -> str:
    """The text without NUL and without lone surrogates, cut in the middle when it is too long.

    No word is cut in two, where one ends within 4,000 characters: of a secret half would be left,
    and nobody would know it for one.

    Args:
        text: Any text.
        longest: Characters that are kept, 100 or more where it is to be cut.
    """
    clean = text.replace("\x00", "\N{REPLACEMENT CHARACTER}")
    clean = clean.encode("utf-8", "replace").decode("utf-8")
    if len(clean) <= longest:
        return clean
    half = longest // 2 - 20
    head, tail = clean[:half], clean[-half:]
    head = head[:-_EDGE] + (head[-_EDGE:].rstrip(_OF_WORDS) or head[-_EDGE:])
    tail = (tail[:_EDGE].lstrip(_OF_WORDS) or tail[:_EDGE]) + tail[_EDGE:]
    return f"{head}\n[… {len(clean) - len(head) - len(tail)} characters …]\n{tail}"
