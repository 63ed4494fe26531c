"""What an attempt says, bounded: the beginning and the end are kept, and how much is missing.

A job may say a gigabyte. Its first lines tell how it began, its last ones how it ended; both are
kept up to a number of bytes, in pieces that are written as they come. In the middle stands a line
that says what is not there.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

HEAD = 200_000
"""Bytes kept of the beginning of an attempt's log."""

TAIL = 200_000
"""Bytes kept of its end."""

PIECE = 32_000
"""Bytes of one piece, which is one row, its last line apart; so much is written at once, however
soon it comes.
"""

PIECE_LINES = 500

LONGEST_LINE = 8_000
"""Characters kept of a line."""

OVERHEAD = 80
"""Bytes that a line takes beside its text."""

Line = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """Some lines.

    Attributes:
        seq: Number of the last of them within the attempt, from 1.
        lines: Each a JSON object.
    """

    seq: int
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """What is left out in the middle.

    Attributes:
        seq: Number of the first line that is not there.
        lines: How many are not.
        size: Their bytes.
    """

    seq: int
    lines: int
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What is to be written, in one transaction; doing so twice changes nothing.

    Attributes:
        pieces: New ones.
        dropped: Numbers of pieces that are no longer kept.
        missing: What is left out by now; None: nothing.
    """

    pieces: tuple[Piece, ...]
    dropped: tuple[int, ...] = ()
    missing: Missing | None = None


@dataclass(slots=True)
class _Numbered:
    number: int
    size: int
    line: Line


class LogBuffer:
    """Lines of one attempt on their way to the ledger. Memory stays bounded.

    Args:
        head: Bytes kept of the beginning.
        tail: Bytes kept of the end.
    """

    def __init__(self, *, head: int = HEAD, tail: int = TAIL) -> None:
        self._room = head
        self._most = tail
        self._number = 0
        self._head: list[_Numbered] = []
        self._head_size = 0
        self._last_of_head = 0
        self._tail: deque[_Numbered] = deque()
        self._tail_size = 0
        self._overflowed = False
        self._written: deque[tuple[int, int, int]] = deque()  # last number, lines, bytes
        self._missing_size = 0

    def add(self, line: Line, *, skipped: int = 0, skipped_size: int = 0) -> None:
        """Take one line.

        Args:
            line: A JSON object with a `text`.
            skipped: Lines right before it that nobody has taken apart, for there were too many.
            skipped_size: Their bytes.
        """
        if skipped:
            self._close_head()
            self._skip(skipped, skipped_size)
        self._number += 1
        one = _Numbered(self._number, OVERHEAD + len(line["text"]), line)
        if one.size <= self._room:
            self._room -= one.size
            self._head.append(one)
            self._head_size += one.size
            self._last_of_head = one.number
            return
        self._close_head()
        self._tail.append(one)
        self._tail_size += one.size
        while self._tail_size > self._most and len(self._tail) > 1:
            self._forget(self._tail.popleft())

    @property
    def waits(self) -> bool:
        """Whether anything is to be written."""
        return bool(self._head or self._tail)

    @property
    def full(self) -> bool:
        """Whether there is enough to write it at once. What comes after the beginning can wait: the
        next lines may take its place.
        """
        return self._head_size >= PIECE

    def take(self) -> Batch:
        """What is to be written now; it counts as written."""
        lines = [*self._head, *self._tail]
        pieces = _pieces(self._head)
        tail = _pieces(self._tail)
        dropped = self._shift(tail)
        missing = self._missing()
        self._head, self._head_size = [], 0
        self._tail, self._tail_size = deque(), 0
        self._overflowed = False
        return Batch(
            pieces=tuple(piece for piece, _ in (*pieces, *tail)) if lines else (),
            dropped=dropped, missing=missing,
        )  # fmt: skip

    def _shift(self, new: Sequence[tuple[Piece, int]]) -> tuple[int, ...]:
        """Make room for new pieces of the end; the numbers of those that go for it."""
        size = sum(each for _, each in new) + sum(each for *_, each in self._written)
        dropped = []
        # Where lines were left out before they were written, all that comes before them goes: what
        # is missing is in one place.
        while self._written and (size > self._most or self._overflowed):
            number, _, gone = self._written.popleft()
            dropped.append(number)
            size -= gone
            self._missing_size += gone
        self._written.extend((piece.seq, len(piece.lines), each) for piece, each in new)
        return tuple(dropped)

    def _missing(self) -> Missing | None:
        if self._written:
            number, lines, _ = self._written[0]
            first_kept = number - lines + 1
        else:
            first_kept = self._number + 1
        count = first_kept - self._last_of_head - 1
        if count <= 0:
            return None
        return Missing(seq=self._last_of_head + 1, lines=count, size=self._missing_size)

    def _close_head(self) -> None:
        self._room = -1

    def _skip(self, lines: int, size: int) -> None:
        while self._tail:
            self._forget(self._tail.popleft())
        self._number += lines
        self._missing_size += size
        self._overflowed = True

    def _forget(self, one: _Numbered) -> None:
        self._tail_size -= one.size
        self._missing_size += one.size
        self._overflowed = True


def _pieces(lines: Sequence[_Numbered] | deque[_Numbered]) -> list[tuple[Piece, int]]:
    """These lines in pieces, each with its bytes."""
    made: list[tuple[Piece, int]] = []
    part: list[_Numbered] = []
    size = 0
    for one in lines:
        if part and (size >= PIECE or len(part) == PIECE_LINES):
            made.append((_piece(part), size))
            part, size = [], 0
        part.append(one)
        size += one.size
    if part:
        made.append((_piece(part), size))
    return made


def _piece(part: Sequence[_Numbered]) -> Piece:
    return Piece(seq=part[-1].number, lines=tuple(one.line for one in part))


def in_words(missing: Missing) -> str:
    """The line that stands where something is missing."""
    lines = "1 line is" if missing.lines == 1 else f"{missing.lines:,} lines are"
    return f"… {lines} missing here, {_size(missing.size)}"


def _size(number: int) -> str:
    return f"{number / 1e6:.1f} MB" if number >= 1_000_000 else f"{-(-number // 1000)} kB"
