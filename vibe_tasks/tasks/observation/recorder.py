"""Keeping what jobs say in the ledger while they run.

A recorder takes the lines of one attempt; a thread of the process writes those of all, at most once
a second or as soon as there is a good piece of them. Each write is a short transaction of its own:
the job knows nothing of it, and where the ledger does not take it the lines wait, bounded. What a
job has said is written before its end is: who sees that a job has ended can read all of its log.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any

from vibe_tasks.failures import bounded
from vibe_tasks.log_buffer import LONGEST_LINE, TAIL, Batch, LogBuffer
from vibe_tasks.redaction import Lines
from vibe_tasks.store import job_logs
from vibe_tasks.store.engine import DATABASE_ERRORS, Database
from vibe_tasks.store.retries import reason

log = logging.getLogger(__name__)

EVERY = 1.0
"""Seconds between two writes of what an attempt says."""

PATIENCE = 60.0
"""Seconds for which the last words of an attempt are kept for a ledger that is away."""


class Recorder:
    """Takes what one attempt says, from any of its threads.

    Args:
        job_id: The job.
        attempt: The attempt.
        writer: Writes it.
    """

    def __init__(self, job_id: str, attempt: int, writer: Writer) -> None:
        self.job_id = job_id
        self.attempt = attempt
        self._writer = writer
        self._generation = writer.generation
        # A signal's handler may log in the middle of a call of this very thread.
        self._lock = threading.RLock()
        self._turn = threading.Lock()
        self._buffer: LogBuffer | None = None
        self._unwritten: Batch | None = None
        self._partial: dict[str, str] = {}
        self._lines = Lines(writer.masked)
        self.since: float | None = None
        self.closed_at: float | None = None

    def take(self, text: str, *, level: str, logger: str, at: float, **more: Any) -> None:
        """Take a text of one or more lines.

        Args:
            text: What was said.
            level: How grave it is, such as `info`.
            logger: Who said it.
            at: When, in epoch seconds.
            more: JSON values to be kept with each line.
        """
        if not self.is_ours:
            return
        skipped = size = 0
        if len(text) > TAIL:  # more than is kept: it is not taken apart
            end = text.find("\n", len(text) - TAIL)
            cut = len(text) - TAIL if end < 0 else end + 1
            skipped, size, text = text.count("\n", 0, cut) or 1, cut, text[cut:]
        lines = text.split("\n")
        if len(lines) > 1 and not lines[-1]:
            lines.pop()
        with self._lock:
            if self._buffer is None:
                self._buffer = LogBuffer()
            waited, was_full = self._buffer.waits, self._buffer.full
            for line in lines:
                said = {
                    "at": round(at, 3), "level": level, "logger": logger,
                    # Cut last: half a secret would not be known for one.
                    "text": bounded(self._lines.line(line), longest=LONGEST_LINE), **more,
                }  # fmt: skip
                self._buffer.add(said, skipped=skipped, skipped_size=size)
                skipped = size = 0
            if not waited:
                self.since = self._writer.clock()
            wake = not waited or (self._buffer.full and not was_full)
        if wake:
            self._writer.wake(self)

    def print(self, text: str, *, logger: str, level: str, at: float) -> None:
        """Take a part of what is printed; only whole lines are said."""
        if not self.is_ours:
            return
        with self._lock:
            whole = self._partial.pop(logger, "") + text
            done, newline, rest = whole.rpartition("\n")
            if len(rest) > LONGEST_LINE:
                done, newline, rest = whole, "\n", ""
            if rest:
                self._partial[logger] = rest
            if newline:
                self.take(done, level=level, logger=logger, at=at)

    @property
    def is_ours(self) -> bool:
        """Whether this is the process that runs the attempt, and none that the job has forked: two
        would number the same lines.
        """
        return self._generation == self._writer.generation

    def due(self) -> float | None:
        """When it is to be written, on the writer's clock; None: nothing is to be."""
        with self._lock:
            if self._unwritten is None and not (self._buffer and self._buffer.waits):
                return None
            if self._buffer is not None and self._buffer.full and self._unwritten is None:
                return 0.0
            return (self.since or 0.0) + EVERY

    def write(self) -> bool:
        """Write what there is; whether the ledger took it."""
        with self._turn:
            with self._lock:
                if self._unwritten is None:
                    if not (self._buffer and self._buffer.waits):
                        return True
                    self._unwritten = self._buffer.take()
                batch = self._unwritten
                self.since = self._writer.clock()
            if not self._writer.save(self, batch):
                return False
            with self._lock:
                self._unwritten = None
                if self._buffer is not None and self._buffer.waits:
                    self._writer.wake(self)
            return True

    def flush(self, at: float) -> None:
        """Write all that was said by now; what the ledger does not take waits."""
        if not self.is_ours:
            return
        with self._lock:
            rests, self._partial = self._partial, {}
        for logger, text in rests.items():
            self.take(text, level="info", logger=logger, at=at)
        while self.due() is not None and self.write():
            pass

    def close(self, at: float) -> None:
        """Nothing more is said."""
        self.flush(at)
        self.closed_at = self._writer.clock()
        if self.is_ours and self.due() is not None:
            self._writer.wake(self)


class Writer:
    """Writes what the recorders of this process have, in a thread that the first of them starts.

    Args:
        ledger: Opens the ledger.
        clock: Seconds that only ever grow.
        masked: The text without secrets.
    """

    def __init__(
        self, ledger: Callable[[], Database], *, clock: Callable[[], float],
        masked: Callable[[str], str],
    ) -> None:  # fmt: skip
        self._ledger = ledger
        self.clock = clock
        self.masked = masked
        self.generation = 0
        self._reset()
        os.register_at_fork(after_in_child=self._reset)

    def _reset(self) -> None:
        """A process that was forked has no thread; what its parent's jobs say is the parent's."""
        self.generation += 1
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        # It may be put into from a signal's handler, in the middle of another put.
        self._woken: SimpleQueue[Recorder] = SimpleQueue()
        self._complained = False

    def is_thread(self) -> bool:
        """Whether this thread is the one that writes."""
        return self._thread is threading.current_thread()

    def wake(self, recorder: Recorder) -> None:
        """This recorder has something, or has enough of it to write it at once."""
        self._woken.put(recorder)
        if self._thread is None:
            with self._starting:
                if self._thread is None:
                    thread = threading.Thread(target=self._run, name="job log", daemon=True)
                    thread.start()
                    self._thread = thread

    def save(self, recorder: Recorder, batch: Batch) -> bool:
        """Write this in a transaction of its own; whether that worked."""
        try:
            with self._ledger().begin() as connection:
                job_logs.write(connection, recorder.job_id, recorder.attempt, batch)
        except DATABASE_ERRORS as error:
            self._complain("cannot keep what job %s says: %s", recorder.job_id, reason(error))
            return False
        except Exception as error:  # noqa: BLE001  no job shall fail for what it says
            self._complain("cannot keep what job %s says: %r", recorder.job_id, error)
            return False
        self._complained = False
        return True

    def _complain(self, text: str, *more: object) -> None:
        if not self._complained:
            self._complained = True
            log.warning(text, *more)

    def _run(self) -> None:
        known: list[Recorder] = []
        while True:
            dues = [due for each in known if (due := each.due()) is not None]
            wait = max(0.0, min(dues) - self.clock()) if dues else None
            with suppress(Empty):
                woken = self._woken.get(timeout=wait)
                if woken not in known:
                    known.append(woken)
            try:
                known = [each for each in known if self._is_kept(each)]
            except Exception:  # the edge of a thread: a job's log shall not end another's
                log.exception("a job's log cannot be kept")
                known.clear()

    def _is_kept(self, recorder: Recorder) -> bool:
        """Write it where it is due; whether to look at it again."""
        due = recorder.due()
        if due is not None and due <= self.clock():
            recorder.write()
        closed = recorder.closed_at
        if closed is None:
            return True
        return recorder.due() is not None and self.clock() - closed < PATIENCE
