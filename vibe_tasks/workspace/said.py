"""What programs say while they work, handed on for the log of the job that runs them.

The logger named here is nobody's but that log's: where nobody keeps one, nothing is said.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection

from vibe_tasks.masking import without
from vibe_tasks.workspace.output import readable_text

OUTPUT = "vibe_tasks.output"
"""Name of the logger; its children are the kinds of programs, such as `agent` and `check`."""

_LONGEST = 64_000
"""Bytes without a line's end after which a part is said by itself."""

Say = Callable[[bytes, bool], None]
"""Gets what was read from a program, and whether that is its standard output."""


class Said:
    """Hands on whole lines of a program's two streams as they come.

    Args:
        kind: What the program is, such as `agent`.
        secrets: What nobody is told.
        leave_out: Whether a line of standard output is left out; None: none is.
    """

    def __init__(
        self, kind: str, secrets: Collection[str] = (),
        leave_out: Callable[[bytes], bool] | None = None,
    ) -> None:  # fmt: skip
        self._log = logging.getLogger(f"{OUTPUT}.{kind}")
        self._secrets = secrets
        self._leave_out = leave_out
        self._rest = {True: b"", False: b""}

    def __call__(self, chunk: bytes, stdout: bool) -> None:
        """Take what was read."""
        whole, newline, rest = (self._rest[stdout] + chunk).rpartition(b"\n")
        if len(rest) > _LONGEST:
            whole, newline, rest = whole + newline + rest, b"\n", b""
        self._rest[stdout] = rest
        if newline:
            self._say(whole, stdout)

    def close(self) -> None:
        """Say what is left without a line's end."""
        for stdout, rest in self._rest.items():
            if rest:
                self._say(rest, stdout)
        self._rest = {True: b"", False: b""}

    def tell(self, text: str) -> None:
        """Say something about the program, between its own words."""
        self._log.info("%s", without(text, self._secrets))

    def _say(self, whole: bytes, stdout: bool) -> None:
        if stdout and self._leave_out is not None:
            kept = [line for line in whole.split(b"\n") if not self._leave_out(line)]
            if not kept:
                return
            whole = b"\n".join(kept)
        self.tell(readable_text(whole))
