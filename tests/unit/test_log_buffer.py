"""A log that is bounded: the beginning and the end are kept, and what is missing is said."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vibe_tasks.log_buffer import (
    OVERHEAD,
    PIECE,
    PIECE_LINES,
    Batch,
    LogBuffer,
    Missing,
    in_words,
)


def line(text: str) -> dict[str, Any]:
    """A line that says this."""
    return {"text": text}


class Ledger:
    """What is written, as the database would have it."""

    def __init__(self) -> None:
        self.pieces: dict[int, tuple[str, ...]] = {}
        self.missing: Missing | None = None

    def write(self, batch: Batch) -> None:
        """Write a batch."""
        for seq in batch.dropped:
            del self.pieces[seq]
        self.missing = batch.missing or self.missing
        for piece in batch.pieces:
            assert piece.seq not in self.pieces
            self.pieces[piece.seq] = tuple(each["text"] for each in piece.lines)

    def numbered(self) -> dict[int, str]:
        """Each line by its number."""
        return {
            seq - len(lines) + 1 + at: text
            for seq, lines in self.pieces.items()
            for at, text in enumerate(lines)
        }


@given(
    st.lists(st.tuples(st.integers(0, 200), st.booleans(), st.integers(0, 3)), max_size=200),
    st.integers(0, 1_000), st.integers(300, 1_500),
)  # fmt: skip
def test_the_beginning_and_the_end_are_kept(
    said: list[tuple[int, bool, int]], head: int, tail: int
) -> None:
    """Whenever it is written, and whatever was not even taken apart: numbers fit, what is there
    is bounded, what is missing is in one place and counted.
    """
    buffer, ledger = LogBuffer(head=head, tail=tail), Ledger()
    texts: list[str | None] = []
    for size, write, skipped in said:
        texts += [None] * skipped
        texts.append(f"{len(texts)}." + "x" * size)
        buffer.add(line(str(texts[-1])), skipped=skipped, skipped_size=skipped * 10)
        if write:
            ledger.write(buffer.take())
            assert not buffer.waits
    ledger.write(buffer.take())
    found = ledger.numbered()
    assert all(texts[number - 1] == text for number, text in found.items())
    assert sum(OVERHEAD + len(text) for text in found.values()) <= head + tail
    gone = [number for number in range(1, len(texts) + 1) if number not in found]
    if not gone:
        assert ledger.missing is None
    else:
        assert gone == list(range(gone[0], gone[-1] + 1))
        assert ledger.missing is not None
        assert (ledger.missing.seq, ledger.missing.lines) == (gone[0], len(gone))
        assert ledger.missing.seq not in found


def test_pieces_are_of_a_size() -> None:
    """Many short lines, or few long ones: no row is large, and none is written line by line."""
    buffer = LogBuffer()
    for _ in range(1_200):
        buffer.add(line(""))
    assert buffer.full
    pieces = buffer.take().pieces
    assert [piece.seq for piece in pieces] == [400, 800, 1_200]
    assert all(len(piece.lines) <= min(PIECE_LINES, PIECE // OVERHEAD) for piece in pieces)
    assert not buffer.full
    assert buffer.take() == Batch(pieces=())


@pytest.mark.parametrize(
    ("missing", "words"),
    [
        (Missing(seq=9, lines=1, size=1), "… 1 line is missing here, 1 kB"),
        (Missing(seq=9, lines=12_345, size=3_440_000), "… 12,345 lines are missing here, 3.4 MB"),
    ],
)
def test_what_is_missing_in_words(missing: Missing, words: str) -> None:
    """As people count."""
    assert in_words(missing) == words
