"""A job's own log: what it logs, warns of and prints, and what its programs say, while it runs.

In a pool's process, which has one job at a time, that is all of it, whatever thread says it;
elsewhere what the job's own thread says.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from math import isfinite
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from vibe_tasks.failures import OURS, bounded, describe
from vibe_tasks.jobs import Claim
from vibe_tasks.store import job_logs
from vibe_tasks.store.engine import Database
from vibe_tasks.tasks import resources
from vibe_tasks.tasks.observation import in_hand, logs
from vibe_tasks.tasks.observation.recorder import Recorder, Writer
from vibe_tasks.workspace.said import OUTPUT

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {
    "message", "asctime", "taskName", "_logger", "_name",
}  # fmt: skip

_OTHERS = ("opentelemetry", "urllib3")
"""Loggers whose threads of their own tell nothing about a job."""

MOST_FIELDS = 20
LONGEST_FIELD = 500


class _Process:
    """What this process knows: whether it has one job at a time, and which."""

    alone = False
    recorder: Recorder | None = None


@cache
def writer() -> Writer:
    """This process's, and that of the processes it forks."""
    redaction = resources.redaction()
    return Writer(
        _ledger, clock=resources.monotonic, masked=lambda text: logs.clean(text, redaction)
    )


def _ledger() -> Database:
    return resources.ledger()


def current() -> Recorder | None:
    """Who takes what is said now; None: nobody."""
    found = in_hand.recorder.get()
    if found is None and _Process.alone and not writer().is_thread():
        return _Process.recorder
    return found


class JobLogHandler(logging.Handler):
    """Hands records to the job in hand."""

    def emit(self, record: logging.LogRecord) -> None:
        """Take a record."""
        recorder = in_hand.recorder.get()
        if recorder is None:
            recorder = None if record.name.startswith(_OTHERS) else current()
        if recorder is None:
            return
        try:
            text, more = _told(record)
        except Exception:  # noqa: BLE001  as in logging: a bad record is shown, and nobody fails
            self.handleError(record)
            return
        recorder.take(
            text, level=record.levelname.lower(), logger=record.name, at=record.created, **more
        )


def _told(record: logging.LogRecord) -> tuple[str, dict[str, Any]]:
    """What a record says, and the fields that come with it."""
    if isinstance(record.msg, dict) and hasattr(record, "_logger"):  # structlog's
        given = {name: value for name, value in record.msg.items() if name not in _BOUND}
        text = str(given.pop("event", ""))
        error = given.pop("exc_info", None)
        found = error if isinstance(error, tuple) else sys.exc_info() if error else None
    else:
        text, found = record.getMessage(), record.exc_info
        given = {name: value for name, value in vars(record).items() if name not in _STANDARD}
    if found and found[0] is not None:
        text = f"{text}\n{_traces.formatException(found)}"
    if record.stack_info:
        text = f"{text}\n{record.stack_info}"
    fields = list(given.items())[:MOST_FIELDS]
    return text, {name: _value(value) for name, value in fields if name not in _TAKEN}


_traces = logging.Formatter()
_TAKEN = frozenset({"at", "level", "logger", "text", "attempt", "seq"})
_BOUND = frozenset({*logs.FIRST, *logs.HIDDEN} - {"event"})


def _value(value: Any) -> Any:
    """A field as JSON has it, not too long: a number, or a text."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if isfinite(value) else repr(value)
    try:
        text = value if isinstance(value, str) else json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        text = repr(value)
    return writer().masked(bounded(text, longest=LONGEST_FIELD))


def _of_the_job(trace: TracebackType | None) -> TracebackType | None:
    """The traceback from the job's own function on; of a plan's job all of it."""
    found = trace
    while found is not None and found.tb_frame.f_code.co_filename.startswith(_OURS):
        found = found.tb_next
    return found or trace


_OURS = str(Path(in_hand.__file__).parents[2])


class Printed:
    """A stream that also hands what is printed to the job in hand.

    Args:
        stream: Where it goes besides.
        logger: What its lines are said to come from.
        level: How grave they are.
    """

    def __init__(self, stream: TextIO, logger: str, level: str = "info") -> None:
        self._stream = stream
        self._logger = logger
        self._level = level

    def write(self, text: str) -> int:
        """Write it, and hand it on."""
        written = self._stream.write(text)
        recorder = current()
        if recorder is not None and text:
            recorder.print(text, logger=self._logger, level=self._level, at=resources.wall_clock())
        return written

    def writelines(self, lines: Any) -> None:
        """Write each."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def install() -> None:
    """Hear what jobs say in this worker and the processes that it forks; again changes nothing."""
    root = logging.getLogger()
    if not any(isinstance(each, JobLogHandler) for each in root.handlers):
        handler = JobLogHandler()
        root.addHandler(handler)
        # What programs say is the job's alone, and would fill the worker's own log.
        said = logging.getLogger(OUTPUT)
        said.propagate = False
        said.setLevel(logging.INFO)
        said.addHandler(handler)
    writer()
    # Our own log keeps the stream that it had before.
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if not isinstance(stream, Printed):
            setattr(sys, name, Printed(stream, name))


def one_at_a_time(**_: Any) -> None:
    """This is a pool's process: all that it says while it has a job is that job's."""
    _Process.alone = True


@contextmanager
def recorded(claim: Claim) -> Iterator[None]:
    """Take what is said meanwhile for this attempt's log."""
    recorder = Recorder(claim.id, claim.attempt, writer())
    mark = in_hand.recorder.set(recorder)
    _Process.recorder = recorder
    try:
        yield
    finally:
        in_hand.recorder.reset(mark)
        _Process.recorder = None
        recorder.close(resources.wall_clock())


def flush(error: BaseException | None = None) -> None:
    """Write what the job in hand has said by now, before its end is written.

    Args:
        error: What it failed by, which is said too.
    """
    recorder = in_hand.recorder.get()
    if recorder is None:
        return
    moment = resources.wall_clock()
    if error is not None:
        text = describe(error)
        if type(error) not in OURS:  # those are sentences, and their traceback is ours alone
            text = _traces.formatException((type(error), error, _of_the_job(error.__traceback__)))
        recorder.take(text, level="error", logger=job_logs.LOGGER, at=moment)
    recorder.flush(moment)
