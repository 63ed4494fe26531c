"""What a job says gets into the ledger while it runs, bounded, and never at the job's expense."""

from __future__ import annotations

import json
import logging
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import structlog
from click.testing import CliRunner
from sqlalchemy import event, select, update
from sqlalchemy.exc import OperationalError

from tests.homes import own_home
from tests.ledgers import claim, middle, new_job, submit
from tests.processes import until
from vibe_tasks.cli.main import cli
from vibe_tasks.flow.views.job_log import follow
from vibe_tasks.log_buffer import LONGEST_LINE, TAIL, Batch, Piece
from vibe_tasks.store import job_logs, jobs
from vibe_tasks.store.engine import Database
from vibe_tasks.tasks import resources
from vibe_tasks.tasks.observation import attended, in_hand, job_log, logs
from vibe_tasks.tasks.observation.recorder import EVERY, Recorder, Writer
from vibe_tasks.workspace.said import OUTPUT, Said

SECONDS = 60.0


class Clock:
    """A clock that is set by hand."""

    now = 0.0

    def __call__(self) -> float:
        """Seconds."""
        return self.now


STOPPED = Clock()


def texts(database: Database, job_id: str, attempt: int = 1) -> list[str]:
    """What is kept of an attempt."""
    with database.read() as connection:
        pieces = job_logs.pieces_of(connection, job_id, attempt, limit=1_000)
    return [line["text"] for piece in pieces for line in piece["lines"]]


def recorder_of(database: Database, clock: Callable[[], float] = STOPPED) -> Recorder:
    """A recorder of attempt 1 of job `a` that writes to this ledger."""
    writer = Writer(
        lambda: database, clock=clock, masked=lambda text: text.replace("sesame", "***")
    )
    return Recorder("a", 1, writer)


def say(recorder: Recorder, text: str) -> None:
    """Say something."""
    recorder.take(text, level="info", logger="shop", at=1_700_000_000.1234)


def test_what_is_said_is_written_while_the_job_runs(database: Database) -> None:
    """A second after it was said, by a thread of its own; at once where there is a good piece of
    it. Secrets are left out, long lines are cut, what no database takes is replaced.
    """
    clock = Clock()
    recorder = recorder_of(database, clock)
    say(recorder, "open sesame\nnul \0 and \ud800\n" + "y" * 2 * LONGEST_LINE)
    clock.now += EVERY
    until(lambda: len(texts(database, "a")) == 3, seconds=SECONDS)
    first, second, third = texts(database, "a")
    assert (first, second) == ("open ***", "nul \N{REPLACEMENT CHARACTER} and ?")
    assert len(third.replace("\n", "")) <= LONGEST_LINE
    for number in range(500):
        say(recorder, f"{number}")
    # The clock stands still: as much as was said when the piece was full is written, the rest not.
    until(lambda: "0" in texts(database, "a"), seconds=SECONDS)
    recorder.close(1.0)
    assert texts(database, "a")[3:] == [str(number) for number in range(500)]


def test_a_gigabyte_is_not_taken_apart(database: Database) -> None:
    """Of a text that is too long the end is kept, and what is missing is counted."""
    recorder = recorder_of(database)
    say(recorder, "begins")
    say(recorder, "x" * 99 + "\n" + ("y" * 99 + "\n") * (TAIL // 50) + "ends\n")
    recorder.close(1.0)
    kept = texts(database, "a")
    assert (kept[0], kept[-1]) == ("begins", "ends")
    assert "lines are missing here" in kept[1]
    assert sum(map(len, kept)) <= TAIL + 200


def test_only_whole_lines_are_printed(database: Database) -> None:
    """As print() writes them in parts; what has no end is said at the end of the attempt."""
    recorder = recorder_of(database)
    for part in ("one", "\n", "two\nthr", "ee\n", "left"):
        recorder.print(part, logger="stdout", level="info", at=1.0)
    recorder.print("z" * (LONGEST_LINE + 1), logger="stderr", level="info", at=1.0)
    recorder.flush(1.0)
    assert sorted(texts(database, "a"))[:4] == ["left", "one", "three", "two"]


@contextmanager
def refusing(database: Database, error: Exception) -> Iterator[None]:
    """The database takes no piece of a log meanwhile."""

    def refuse(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if "INSERT INTO job_logs" in statement:
            raise error

    event.listen(database.engine, "before_cursor_execute", refuse)
    try:
        yield
    finally:
        event.remove(database.engine, "before_cursor_execute", refuse)


@pytest.mark.parametrize(
    "error", [OperationalError("", {}, Exception("away")), RuntimeError("odd")]
)
def test_a_ledger_that_is_away_costs_nothing(
    database: Database, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    """The job goes on, its lines wait and are written later, once; that is told once."""
    clock = Clock()
    recorder = recorder_of(database, clock)
    with refusing(database, error):
        say(recorder, "one")
        recorder.flush(1.0)
        say(recorder, "two")
        recorder.close(1.0)
    assert texts(database, "a") == []
    assert [each.levelname for each in caplog.records if "cannot keep" in each.message] == [
        "WARNING"
    ]

    def both() -> bool:
        clock.now += EVERY / 50  # far fewer seconds than it is patient for
        return texts(database, "a") == ["one", "two"]

    until(both, seconds=SECONDS)


def test_a_process_that_a_job_forks_says_nothing(database: Database) -> None:
    """It would number lines as its parent does, and one of the two would be lost."""
    recorder = recorder_of(database)
    say(recorder, "mine")
    recorder._writer._reset()  # as in a process that was forked
    say(recorder, "a fork's")
    recorder.print("a fork's", logger="stdout", level="info", at=1.0)
    recorder.close(1.0)
    assert texts(database, "a") in ([], ["mine"])


def test_writing_twice_is_once(database: Database) -> None:
    """A transaction whose answer was lost is done again."""
    batch = Batch(pieces=(Piece(seq=2, lines=({"text": "a"}, {"text": "b"})),))
    for _ in range(2):
        with database.begin() as connection:
            job_logs.write(connection, "a", 1, batch)
    assert texts(database, "a") == ["a", "b"]


def test_old_logs_are_deleted_in_batches(database: Database) -> None:
    """By age, a few at a time; zero days keep all."""
    for number in range(5):
        with database.begin() as connection:
            piece = Piece(seq=1, lines=({"text": "x"},))
            job_logs.write(connection, f"job-{number}", 1, Batch(pieces=(piece,)))
            if number < 3:
                old = update(job_logs.job_logs).where(job_logs.job_logs.c.job_id == f"job-{number}")
                connection.execute(old.values(at=1.0))
    assert job_logs.trim(database, 0.0) == 0
    pauses: list[int] = []
    assert job_logs.trim(database, 1.0, pause=lambda: pauses.append(1), batch=2) == 3
    assert len(pauses) == 1
    assert job_logs.trim(database, 1.0) == 0
    with database.read() as connection:
        left = connection.execute(select(job_logs.job_logs.c.job_id)).scalars()
        assert sorted(left) == ["job-3", "job-4"]


def test_following_goes_on_into_the_next_attempt(database: Database) -> None:
    """Until the job has ended; of one attempt alone until that is over."""
    submit(database, new_job(id="abcdef", retry_base=0.0))

    def said(attempt: int, text: str) -> None:
        with database.begin() as connection:
            piece = Piece(seq=1, lines=({"text": text},))
            job_logs.write(connection, "abcdef", attempt, Batch(pieces=(piece,)))

    steps = iter(
        [
            lambda: said(1, "first"),
            lambda: _fail(database, 1),
            lambda: claim(database, "abcdef"),  # says nothing
            lambda: _fail(database, 2),
            lambda: (claim(database, "abcdef"), said(3, "third")),
            lambda: _complete(database, 3),
        ]
    )
    claim(database, "abcdef")

    def pause() -> None:
        next(steps)()

    found = follow(database, "abcdef", attempt=None, on=True, pause=pause)
    assert [(each.attempt, each.lines[0]["text"]) for each in found] == [(1, "first"), (3, "third")]
    alone = list(follow(database, "abcdef", attempt=1, on=True, pause=lambda: None))
    assert [each.lines for each in alone] == [({"attempt": 1, "seq": 1, "text": "first"},)]


def _fail(database: Database, attempt: int) -> None:
    with database.begin() as connection:
        jobs.fail_job(connection, "abcdef", attempt, "no", uniform=middle, wait=0.0)


def _complete(database: Database, attempt: int) -> None:
    with database.begin() as connection:
        jobs.complete_job(connection, "abcdef", attempt, None)


# --- what a worker hears ---


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home of its own, a worker's ears in this process, and none of that afterwards."""
    root, level = logging.getLogger(), logging.getLogger().level
    handlers, output = list(root.handlers), logging.getLogger(OUTPUT)
    monkeypatch.setenv("VIBE_API_TOKEN", "sesame12")
    with own_home(tmp_path, monkeypatch):
        job_log.writer.cache_clear()
        resources.redaction.cache_clear()
        logs.set_up(stream=StringIO())
        yield tmp_path / "home"
        structlog.reset_defaults()
        logging.captureWarnings(False)
        root.handlers[:] = handlers
        root.setLevel(level)
        output.handlers.clear()
        output.propagate = True
        job_log.writer.cache_clear()
        resources.redaction.cache_clear()
        job_log._Process.alone = False


@pytest.mark.usefixtures("home")
def test_a_worker_hears_all_that_its_job_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its logger's lines with their fields and tracebacks, prints, what programs say; in a pool's
    process that of its threads too. What is said before and after is not its.
    """
    # Here, as pytest has streams of its own for each phase of a test.
    monkeypatch.setattr(sys, "stdout", StringIO())
    monkeypatch.setattr(sys, "stderr", StringIO())
    for _ in range(2):
        attended.hear_jobs()
    log = logging.getLogger("shop")
    submit(resources.ledger(), new_job(id="abcdef", trace=f"00-{'a' * 32}-{'b' * 16}-01"))
    taken = claim(resources.ledger(), "abcdef")
    log.info("before")
    with attended.attended(taken, "w1"):
        log.info("sold %d, sesame12", 3, extra={"pages": 3, "odd": {1}, "share": 0.5, "at": 9})
        print("printed")
        sys.stdout.writelines(["more\n"])
        structlog.stdlib.get_logger("mine").info("structured", pages=4)
        Said("agent", ("hidden1",)).tell("the agent says hidden1")
        assert structlog.contextvars.get_contextvars()["job"] == "abcdef"
        assert in_hand.trace.get() == taken.trace
        unheard = threading.Thread(target=log.info, args=("from a thread",))
        unheard.start()
        unheard.join()
        job_log.one_at_a_time()
        heard = threading.Thread(target=log.warning, args=("from a thread of a pool's process",))
        heard.start()
        heard.join()
        attended.before_end("failed", ValueError("no paper"))
    log.info("after")
    assert in_hand.recorder.get() is None
    said = texts(resources.ledger(), "abcdef")
    assert said == [
        "sold 3, ***", "printed", "more", "structured", "the agent says ***",
        "from a thread of a pool's process", "ValueError: no paper",
    ]  # fmt: skip
    result = CliRunner().invoke(cli, ["jobs", "log", "abcdef", "--json"], prog_name="vibe")
    lines = json.loads(result.stdout)
    assert {"pages": 3, "odd": "{1}", "share": 0.5}.items() <= lines[0].items()
    assert lines[0]["at"] > 1.7e9
    assert lines[3]["pages"] == 4
    shown = CliRunner().invoke(cli, ["jobs", "log", "abcdef"], prog_name="vibe").stdout
    assert "warning  from a thread of a pool's process" in shown
    followed = CliRunner().invoke(
        cli, ["jobs", "log", "abcdef", "--attempt", "1", "--json"], prog_name="vibe"
    )
    assert len(json.loads(followed.stdout)) == len(said)
