from __future__ import annotations

import os
import threading
from collections.abc import Callable

import pytest

from vibe_tasks.tasks.pool.sheet import LINES, Entry, Sheet, Stage


def in_a_child(action: Callable[[], None]) -> int:
    """Do this in a forked process and wait for its end; the process's id."""
    child = os.fork()
    if child == 0:
        try:
            action()
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    return child


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # this process may have threads
def test_the_main_process_reads_what_a_pool_process_ran_when_it_died() -> None:
    """Its line outlives it, until another process takes it."""
    sheet = Sheet()

    def work() -> None:
        sheet.take_line(3)
        sheet.note("job", 7, Stage.RUNNING)

    child = in_a_child(work)
    entry = Entry(pid=child, job="job", attempt=7, stage=Stage.RUNNING)
    assert sheet.of_process(child) == entry
    assert sheet.all() == (entry,)
    assert sheet.runs("job", 7)
    assert not sheet.runs("job", 6)
    other = in_a_child(lambda: sheet.take_line(3))
    assert sheet.of_process(child) is None
    assert sheet.of_process(other) == Entry(pid=other)
    assert sheet.all() == ()


def test_threads_have_a_place_each() -> None:
    """In a pool without processes of its own."""
    sheet = Sheet()
    sheet.note("mine", 1, Stage.RUNNING)
    thread = threading.Thread(target=sheet.note, args=("its", 2, Stage.ENDING))
    thread.start()
    thread.join()
    assert {(each.job, each.attempt) for each in sheet.of_threads()} == {("mine", 1), ("its", 2)}
    sheet.clear()
    assert [each.job for each in sheet.of_threads()] == ["its"]


@pytest.mark.parametrize("job", ["x" * 400, "Ünïcode 🦀", "x" * 5000])
@pytest.mark.parametrize("number", [0, LINES - 1, LINES])
def test_a_line_that_cannot_be_written_is_unknown(job: str, number: int) -> None:
    """Ids longer than a line, and more processes than lines: then the ledger is asked."""
    sheet = Sheet()
    sheet.take_line(number)
    sheet.note(job, 1, Stage.RUNNING)
    written = [each.job for each in sheet.all()]
    assert written == ([job] if number == LINES or len(job) < 500 else [])
