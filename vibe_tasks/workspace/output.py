"""What is kept of a program's output: bounded, however much it says."""

from __future__ import annotations

from typing import BinaryIO

_STDOUT_TAIL = 200_000
_LONGEST_LINE = 1_000_000  # bytes; an event of an agent may hold a whole file


class Kept:
    """The beginning and the end of what a program said; the beginning is in the log as it comes."""

    def __init__(self, log: BinaryIO, *, limit: int) -> None:
        self._log = log
        self._half = limit // 2
        self._tail = bytearray()
        self.cut = 0
        self.output = bytearray()
        self.stdout = bytearray()

    def add(self, chunk: bytes, *, stdout: bool) -> None:
        """Take what was read; memory stays bounded."""
        if stdout:
            _extend(self.stdout, chunk, _STDOUT_TAIL)
        room = self._half - len(self.output)
        if room > 0:
            self.output += chunk[:room]
            self._log.write(chunk[:room])
            chunk = chunk[room:]
        self.cut += _extend(self._tail, chunk, self._half)

    def close(self) -> None:
        """Put the two ends together, in the log too."""
        rest = bytes(self._tail)
        if self.cut:
            rest = b"\n[... %d bytes left out ...]\n" % self.cut + rest
        self.output += rest
        self._log.write(rest)


def _extend(tail: bytearray, chunk: bytes, limit: int) -> int:
    """Add at the end, drop at the beginning; returns how many bytes were dropped."""
    tail += chunk
    excess = max(0, len(tail) - limit)
    del tail[:excess]
    return excess


def readable_text(output: bytes | bytearray) -> str:
    """Readable text that every database takes: PostgreSQL refuses NUL."""
    return output.decode(errors="replace").replace("\0", "\N{REPLACEMENT CHARACTER}")


class Lines:
    """Cuts output into lines as it comes; a line's excess is left out, memory stays bounded."""

    def __init__(self, *, longest: int = _LONGEST_LINE) -> None:
        self._longest = longest
        self._begun = bytearray()

    def add(self, chunk: bytes) -> list[str]:
        """Take what was read; the lines that it completes, without their line feeds."""
        *ends, rest = chunk.split(b"\n")
        complete = [self._completed(end) for end in ends]
        self._begun += rest[: self._longest - len(self._begun)]
        return complete

    def close(self) -> list[str]:
        """The last line, where no line feed ended it."""
        return [self._completed(b"")] if self._begun else []

    def _completed(self, end: bytes) -> str:
        self._begun += end[: self._longest - len(self._begun)]
        line, self._begun = readable_text(self._begun), bytearray()
        return line
