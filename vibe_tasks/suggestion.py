"""The near miss that a refused word was probably meant to be."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_LONGEST = 100  # characters; difflib's cost grows with the square of the length
_MOST = 1000  # words; the same cost is paid for each


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """Return `, did you mean 'x'?` for the closest of the choices, or nothing.

    Upper and lower case count as the same. At most the first thousand choices
    are looked at, so that one wrong word in a huge plan is still refused at once.
    """
    if len(word) > _LONGEST:
        return ""
    by_folded: dict[str, str] = {}
    for choice in choices:
        by_folded.setdefault(choice.casefold(), choice)
        if len(by_folded) >= _MOST:
            break
    close = get_close_matches(word.casefold(), list(by_folded), n=1)
    return f", did you mean {by_folded[close[0]]!r}?" if close else ""
