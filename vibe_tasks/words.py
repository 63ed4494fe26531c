"""Numbers as a person says them."""

from __future__ import annotations


def span(seconds: float) -> str:
    """A number of seconds as a person says it."""
    seconds = max(0.0, seconds)
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}:{rest:02d} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d} h" if hours < 48 else f"{hours // 24} days"


def counted(number: int, word: str, many: str = "") -> str:
    """`1 task`, `2 tasks`; `many` is the plural of a word that takes no s."""
    return f"{number} {word}" if number == 1 else f"{number} {many or f'{word}s'}"
