"""The jobs and plain Celery tasks that the tests' workers serve.

What a job did it writes to a file that its caller names: one line for each start.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path
from threading import Event
from time import monotonic
from typing import Any
from uuid import uuid4

from celery.worker.control import control_command

from vibe_tasks import Cancel, Snooze, app, job, on_event
from vibe_tasks.errors import PermanentError, TransientError
from vibe_tasks.events import Event as Happened
from vibe_tasks.tasks import resources

GATE_LIMIT = 150.0
"""Seconds after which a job no longer waits for its gate: its test is gone."""


def write(log: str, line: object) -> None:
    """Add a line; short lines of several processes do not mix.

    The file comes with its first line in it: a test that sees it may kill the writer at once.
    """
    path, text = Path(log), f"{line}\n"
    if path.exists() or not _made(path, text):
        with path.open("a", encoding="utf-8") as file:
            file.write(text)


def _made(path: Path, text: str) -> bool:
    """Make a file with this text in it; whether there was none."""
    other = path.with_name(f"{path.name}-{uuid4().hex}")
    other.write_text(text, encoding="utf-8")
    try:
        path.hardlink_to(other)
    except FileExistsError:
        return False
    else:
        return True
    finally:
        other.unlink()


def lines(log: str | Path) -> list[str]:
    """The lines written so far."""
    return Path(log).read_text(encoding="utf-8").splitlines() if Path(log).exists() else []


def wait_for(gate: str) -> None:
    """Wait until this file is there."""
    end, pause = monotonic() + GATE_LIMIT, Event()
    while not Path(gate).exists() and monotonic() < end:
        pause.wait(0.01)


@job
def add(left: float, right: float) -> float:
    """Add."""
    return left + right


@job
def total(numbers: list[float]) -> float:
    """Add them all; the body of chords."""
    return sum(numbers)


@job
def echo(value: Any) -> Any:
    """Give it back."""
    return value


@job
def checkpoint_pages() -> int:
    """Pages of SQLite's log after which this process would move them into the file."""
    with resources.ledger().read() as connection:
        return int(connection.exec_driver_sql("PRAGMA wal_autocheckpoint").scalar_one())


@job
def note(log: str, line: Any = "started") -> Any:
    """Write a line."""
    write(log, line)
    return line


@job
def noted_add(left: float, right: float, log: str) -> float:
    """Add, and write the sum down."""
    write(log, left + right)
    return left + right


@job
def hold(log: str, gate: str, line: str = "started") -> str:
    """Write a line, then wait at a gate."""
    write(log, line)
    wait_for(gate)
    return line


@job
def sit(log: str, gate: str, line: str) -> None:
    """Write the process's id with a line at the start and, after the gate, at the end."""
    write(log, f"start {os.getpid()} {line}")
    wait_for(gate)
    write(log, f"end {os.getpid()} {line}")


@job(effort=4, lane="hard")
def ponder(seconds: float) -> None:
    """A hard job that takes so long."""
    Event().wait(seconds)


@job(max_retries=1)
def hold_once(log: str, gate: str) -> None:
    """As `hold`, with one attempt."""
    write(log, "started")
    wait_for(gate)


@job
def fail(log: str, text: str = "no luck") -> None:
    """Write a line and fail."""
    write(log, "started")
    raise RuntimeError(f"{text} {len(lines(log))}")


@job
def fail_until(log: str, attempt: int) -> int:
    """Fail before this attempt."""
    write(log, "started")
    if len(lines(log)) < attempt:
        raise RuntimeError(f"attempt {len(lines(log))} fails")
    return len(lines(log))


@job
def refuse(log: str) -> None:
    """Fail for good."""
    write(log, "started")
    raise PermanentError("it will never work")


@job
def refuse_until(gate: str) -> str:
    """Fail for good as long as this file is not there."""
    if not Path(gate).exists():
        raise PermanentError("not yet")
    return "now"


@job
def asked_to_wait(log: str, seconds: float) -> str:
    """Fail once, as a server does that says when to come back."""
    write(log, "started")
    if len(lines(log)) == 1:
        raise TransientError("429 Too Many Requests", retry_after=seconds)
    return "served"


@job
def snooze(log: str, times: int) -> int:
    """Snooze so many times, then end."""
    write(log, "started")
    if len(lines(log)) <= times:
        raise Snooze(0.05)
    return len(lines(log))


@job
def give_up(log: str) -> None:
    """Cancel itself."""
    write(log, "started")
    raise Cancel("no longer wanted")


@job
def leave(log: str) -> None:
    """Call exit, as scripts do."""
    write(log, "started")
    sys.exit(3)


@job
def raise_strangely(log: str, name: str) -> None:
    """Raise what is no `Exception`."""
    write(log, "started")
    raise {"cancelled": asyncio.CancelledError, "interrupt": KeyboardInterrupt,
           "generator": GeneratorExit}[name]("odd")  # fmt: skip


@job
async def add_later(left: float, right: float) -> float:
    """Add, as a coroutine."""
    await asyncio.sleep(0)
    return left + right


@job
async def fail_later() -> None:
    """Fail, as a coroutine."""
    await asyncio.sleep(0)
    raise PermanentError("also coroutines fail")


@job(bind=True)
def who_am_i(self: Any, greeting: str = "hello") -> dict[str, Any]:
    """What a bound job sees of its request."""
    request = self.request
    return {
        "id": request.id, "retries": request.retries, "args": request.args,
        "kwargs": request.kwargs, "name": self.name, "greeting": greeting,
    }  # fmt: skip


@job(bind=True)
def retry_with(self: Any, log: str, countdown: float | None = None) -> int:
    """Ask for a retry at the first attempt."""
    write(log, f"{self.request.retries}")
    if self.request.retries == 0:
        error = OSError("the disk is on fire")
        raise self.retry(exc=error, countdown=countdown)
    return int(self.request.retries)


@job(autoretry_for=(OSError,), retry_backoff=False, default_retry_delay=0)
def retry_by_itself(log: str) -> int:
    """Celery's `autoretry_for`."""
    write(log, "started")
    if len(lines(log)) == 1:
        raise OSError("once")
    return len(lines(log))


@job(time_limit=0.4)
def overrun(log: str) -> None:
    """Start a child process, and run past the time limit with it."""
    child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
    write(log, f"{os.getpid()} {child.pid}")
    signal.pause()


@job
def die(log: str, times: int = 1000) -> str:
    """Kill the own process, so many times."""
    write(log, "started")
    if len(lines(log)) <= times:
        os.kill(os.getpid(), signal.SIGKILL)
    return "survived"


@control_command()
def block_event_loop(_state: Any) -> None:
    """Keep the worker's event loop from turning, for ever."""
    Event().wait()


@job
def kill_worker(log: str) -> None:
    """Kill the worker's main process, and so the whole worker."""
    write(log, "started")
    os.kill(os.getppid(), signal.SIGKILL)
    signal.pause()


@job
def hold_in_turn(log: str, *gates: str) -> int:
    """Write a line, then wait at the first gate; the second attempt at the second gate."""
    write(log, "started")
    turn = len(lines(log))
    wait_for(gates[turn - 1])
    return turn


@job
def hold_children(log: str) -> None:
    """Start a child, and one in a session of its own, and wait; SIGTERM is ignored."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    pause = [sys.executable, "-c", "import signal; signal.pause()"]
    children = [subprocess.Popen(pause, start_new_session=own) for own in (False, True)]
    write(log, " ".join(str(pid) for pid in (os.getpid(), *(child.pid for child in children))))
    while True:
        signal.pause()


@job(lane="tests", priority="high", effort=4, max_retries=7, retry_base=0.5, time_limit=60)
def particular() -> None:
    """A job with every option."""


@app.task
def plain_add(left: float, right: float) -> float:
    """An ordinary Celery task."""
    return left + right


@app.task
def plain_note(log: str, line: Any) -> Any:
    """An ordinary Celery task that writes."""
    write(log, line)
    return line


@app.task
def plain_total(numbers: list[float]) -> float:
    """An ordinary Celery task, as the body of chords."""
    return sum(numbers)


@app.task
def plain_fail() -> None:
    """An ordinary Celery task that fails."""
    raise RuntimeError("plain failure")


@job
def note_failure(task_id: str, log: str) -> None:
    """As `link_error`: gets the id of the job that failed."""
    write(log, task_id)


@job
def producer(log: str) -> str:
    """A job that submits a job."""
    return str(note.delay(log, "from a job").id)


@job(bind=True)
def replace_myself(self: Any) -> None:
    """Use Celery's `replace`."""
    raise self.replace(add.s(1, 2))


@job(lane="keyed", concurrency_key="log-{log}")
def one_by_one(log: str, gate: str, line: str = "started") -> str:
    """Write a line, wait at a gate, write that it is over; one for each log at a time."""
    write(log, line)
    wait_for(gate)
    write(log, f"{line} ended")
    return line


@job(lane="keyed", expires=0.2)
def soon_or_never(log: str) -> None:
    """Write a line, unless it is too late for that."""
    write(log, "started")


@on_event("Overheard", "Overheard too")
async def overhear(event: Happened) -> str:
    """Write a line, and fail as often as the event says."""
    await asyncio.sleep(0)
    write(event.payload["log"], f"{event.event_type} {event.task_id} {event.retry_count}")
    if event.retry_count < event.payload["fails"]:
        raise RuntimeError("misheard")
    return event.session
