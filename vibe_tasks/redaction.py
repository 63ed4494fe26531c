"""Taking secrets out of texts that the ledger keeps and that people read.

Three kinds are looked for: secrets that this process knows, shapes that are secrets wherever they
turn up (tokens of well-known makers, bearer headers, private keys, passwords in addresses), and the
patterns of the setting `redact`. A text in which nothing hints at one costs a few searches for
words; no pattern of ours looks further than a bounded number of characters, but for a private key,
which is looked through once.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from re import _constants as kinds  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

from vibe_tasks.masking import MASK, without

HINTS = ("eyJ", "earer", "EARER", "uthorization", "UTHORIZATION")
"""Words without which, and without `_MARKS`, no shape is there, in a text as in one that JSON has
quoted."""

# Each begins with a letter of its own, which is sought fast: every event that comes is looked at.
_MARKS = (
    r"_(?:(?<=gh[pousr]_)|(?<=_pat_)|(?<=k_live_)|(?<=npm_)|(?<=hf_)|(?<=aws_)|(?<=AWS_))",
    r"-(?:(?<=sk-)|(?<=glpat-)|(?<=pypi-)|(?<=xox[abeoprs]-)|(?<=-----)BEGIN)",
    r"A(?:KIA|SIA|Iza)",
)

_SHAPES = r"""
    \b(?:
        gh[pousr]_[A-Za-z0-9]{20,255}              # GitHub
      | github_pat_[A-Za-z0-9_]{20,255}
      | glpat-[A-Za-z0-9_-]{20,255}                # GitLab
      | sk-(?=[A-Za-z_-]{0,100}[0-9])[A-Za-z0-9_-]{20,400}  # OpenAI, Anthropic, and others like it
      | [sr]k_live_[A-Za-z0-9]{16,255}             # Stripe
      | xox[abeoprs]-[A-Za-z0-9-]{10,255}          # Slack
      | (?:AKIA|ASIA)[A-Z0-9]{16}\b                # AWS: the id of a key
      | AIza[A-Za-z0-9_-]{35}                      # Google
      | npm_[A-Za-z0-9]{30,255}
      | pypi-[A-Za-z0-9_-]{40,400}
      | hf_[A-Za-z0-9]{30,255}                     # Hugging Face
      | eyJ[A-Za-z0-9_-]{8,2000}\.eyJ[A-Za-z0-9_-]{8,4000}\.[A-Za-z0-9_-]{10,1000}  # a JWT
    )
    """
# A token has a digit: "bearer authentication" is none.
_HEADERS = r"""
    (?P<name>
        aws_secret_access_key["']?\s{0,9}[=:]\s{0,9}["']?(?=[a-z0-9/+]{40})
      | \bauthorization["']?\s{0,9}[=:]\s{0,9}["']?basic\s{1,9}(?=[a-z0-9+/=]{6})
      | \bbearer\s{1,9}(?=[a-z._~+/=-]{0,100}[0-9])(?=[a-z0-9._~+/=-]{12})
    )
    [a-z0-9._~+/=-]{1,4000}
    """


_NAMED = ("authorization", "aws_secret_access_key")
"""Fields whose value is a secret as `_HEADERS` knows them by these words before it."""


@cache
def _shapes() -> tuple[re.Pattern[str], re.Pattern[str]]:
    """Tokens, and what names a secret; made when they are needed, as every command would wait."""
    return re.compile(_SHAPES, re.VERBOSE), re.compile(_HEADERS, re.VERBOSE | re.IGNORECASE)


@cache
def _marks() -> tuple[re.Pattern[str], ...]:
    return tuple(re.compile(each) for each in _MARKS)


_PASSWORD = re.compile(
    r"(?P<scheme>\b[A-Za-z][A-Za-z0-9+.-]{1,20}://)(?P<user>[^\s/?#@:'\"<>]{0,100}):"
    r"[^\s/?#@'\"<>]{1,200}@"
)
_KEY = re.compile(
    r"-----BEGIN (?P<kind>[A-Z0-9 ]{0,40}PRIVATE KEY)-----"
    r".*?(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY-----|\Z)",
    re.DOTALL,
)
_KEY_BEGINS = re.compile(r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY-----")
_KEY_ENDS = re.compile(r"-----END [A-Z0-9 ]{0,40}PRIVATE KEY-----")

KEY_LINES = 200
"""Lines after which a private key that has not ended is taken for none: one has less than a
hundred."""

WINDOW = 2_000
"""Characters that a pattern of the setting looks at in one go."""

OVERLAP = 300
"""Characters that two of them share: so long may be what is found across their border."""

MOST_PATTERNS = 50
LONGEST_PATTERN = 500

MOST_WAYS = 8_000
"""Ways in which a pattern may try what it finds at one place, at most."""

_REPEATS = {kinds.MAX_REPEAT, kinds.MIN_REPEAT, kinds.POSSESSIVE_REPEAT}
_REFERS = {kinds.GROUPREF, kinds.GROUPREF_EXISTS}


def checked_patterns(text: str) -> tuple[str, ...]:
    """The patterns that a text has, one from the other by white space.

    Raises:
        ValueError: One is no regular expression, finds nothing at all, or may take for ever.
    """
    found = tuple(text.split())
    if len(found) > MOST_PATTERNS:
        raise ValueError(f"at most {MOST_PATTERNS} patterns, got {len(found)}")
    for each in found:
        _check(each)
    return found


def _check(pattern: str) -> None:
    if len(pattern) > LONGEST_PATTERN:
        raise ValueError(f"a pattern has at most {LONGEST_PATTERN} characters, got {len(pattern)}")
    try:
        compiled, tree = re.compile(pattern), parser.parse(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"no regular expression: {error}, got {pattern!r}") from error
    if compiled.search("") is not None:
        raise ValueError(f"a pattern must not match an empty text, got {pattern!r}")
    if _ways(tree, inside=False) > MOST_WAYS:
        raise ValueError(
            "a pattern must not repeat what repeats or branches, have two open repeats, or refer "
            f"to a group, got {pattern!r}"
        )


def _ways(tree: Iterable[Any], *, inside: bool) -> int:
    """In how many ways a pattern may try to match at one place, about; `inside` a repeat all that
    is not fixed counts as too many.

    Such patterns can take exponential time: "Denial of Service via Algorithmic Complexity
    Attacks", Crosby and Wallach, 2003.
    """
    ways = 1
    for kind, what in tree:
        if kind in _REPEATS:
            low, high, body = what
            choices = min(int(high), WINDOW) - int(low) + 1
            ways *= max(1, choices) * _ways(body, inside=inside or high > 1)
            if inside and choices > 1:
                return MOST_WAYS + 1
        elif kind is kinds.BRANCH:
            if inside:
                return MOST_WAYS + 1
            ways *= sum(_ways(each, inside=inside) for each in what[1])
        elif kind in {kinds.SUBPATTERN, kinds.ASSERT, kinds.ASSERT_NOT}:
            ways *= _ways(what[-1], inside=inside)
        elif kind is kinds.ATOMIC_GROUP:
            ways *= _ways(what, inside=inside)
        elif kind in _REFERS:
            return MOST_WAYS + 1
    return ways


class Redaction:
    """What is taken out of texts.

    Args:
        secrets: Secrets that are known, as `masking.secrets_of` gives them.
        patterns: Regular expressions, as `checked_patterns` gives them.
    """

    def __init__(self, secrets: Iterable[str] = (), patterns: Sequence[str] = ()) -> None:
        self._secrets = tuple(sorted({each for each in secrets if each}, key=len, reverse=True))
        self._patterns = tuple(re.compile(each) for each in patterns)
        # As they stand in a text that JSON has quoted.
        quoted = (json.dumps(each)[1:-1] for each in self._secrets)
        self._hints = tuple(dict.fromkeys((*self._secrets, *quoted, *HINTS)))

    def hinted(self, text: str) -> bool:
        """Whether there may be something in this text, which JSON may have quoted; cheap."""
        if self._patterns or ("://" in text and "@" in text):
            return True
        if any(hint in text for hint in self._hints):
            return True
        return any(mark.search(text) for mark in _marks())

    def text(self, text: str) -> str:
        """The text without what is secret in it."""
        if not self.hinted(text):
            return text
        if any(each in text for each in self._secrets):
            text = without(text, self._secrets)
        if "-----BEGIN" in text:
            text = _KEY.sub(f"[{MASK} private key]", text)
        tokens, headers = _shapes()
        text = tokens.sub(MASK, text)
        text = headers.sub(rf"\g<name>{MASK}", text)
        if "://" in text and "@" in text:
            text = _PASSWORD.sub(rf"\g<scheme>\g<user>:{MASK}@", text)
        for pattern in self._patterns:
            text = _taken_out(pattern, text)
        return text

    def value(self, value: Any) -> Any:
        """A JSON value with this done to each text in it, names of fields apart."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {name: self._field(name, each) for name, each in value.items()}
        if isinstance(value, list | tuple):
            return [self.value(each) for each in value]
        return value

    def _field(self, name: object, value: Any) -> Any:
        """The value of a field, whose name may say that it is a secret."""
        if isinstance(value, str) and str(name).lower().endswith(_NAMED):
            return self.text(f"{name}: {value}").removeprefix(f"{name}: ")
        return self.value(value)


class Lines:
    """Takes secrets out of lines that come one by one: a private key has many.

    Args:
        masked: Takes out what is in a line.
    """

    def __init__(self, masked: Callable[[str], str]) -> None:
        self._masked = masked
        self._left = 0

    def line(self, text: str) -> str:
        """The next line without what is secret in it."""
        if self._left:
            end = _KEY_ENDS.search(text)
            self._left = 0 if end else self._left - 1
            return MASK + (self._masked(text[end.end() :]) if end else "")
        if "-----BEGIN" in text:
            *_, last = (None, *_KEY_BEGINS.finditer(text))
            if last is not None and _KEY_ENDS.search(text, last.end()) is None:
                self._left = KEY_LINES
        return self._masked(text)


def _taken_out(pattern: re.Pattern[str], text: str) -> str:
    """The text without what this pattern finds in windows of a bounded length."""
    if len(text) <= WINDOW:
        return pattern.sub(MASK, text)
    parts, done = [], 0
    for start in range(0, len(text), WINDOW - OVERLAP):
        for found in pattern.finditer(text, start, min(len(text), start + WINDOW)):
            if found.end() > done:
                parts.append(text[done : max(done, found.start())])
                parts.append(MASK if found.start() >= done else "")
                done = found.end()
    return "".join((*parts, text[done:]))


NOTHING = Redaction()
"""Without any secrets of one's own: the shapes alone."""
