from __future__ import annotations

import threading
from typing import Any

import pytest

from tests.processes import until
from vibe_tasks.tasks.main_process import watch as watch_module
from vibe_tasks.tasks.main_process.reception import Count
from vibe_tasks.tasks.main_process.watch import Watch, hang_up


def test_a_consumer_without_a_connection_has_nothing_to_hang_up() -> None:
    """It is about to connect anew by itself."""
    hang_up(None)


def test_the_watchdog_outlives_what_it_meets(caplog: pytest.LogCaptureFixture) -> None:
    """A surprise is logged, and the next look comes."""
    given_up = threading.Event()
    watch = Watch(object(), every=0.01, give_up=lambda _: given_up.set())
    watch.start()
    until(lambda: len(caplog.records) >= 2)
    watch.stop()
    assert "AttributeError" in caplog.text
    assert not given_up.is_set()


def test_what_was_sent_to_this_worker_alone_and_not_read_counts_as_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Though its lanes are empty, as others have run it since."""
    watch = Watch(object(), every=1.0, give_up=lambda _: None)
    monkeypatch.setattr(watch_module.kept, "is_deaf", lambda: True)
    assert watch._waiting([])


def test_messages_are_counted_that_nobody_accepts() -> None:
    """A worker that refuses all it gets is not deaf."""

    def make(*, promise: Any) -> Any:
        def refuse(message: str) -> str:
            return f"{message} refused with {promise}"

        return refuse

    count = Count()
    handle = count.counting(make)(promise="care")
    assert handle("one") == "one refused with care"
    assert handle("two") == "two refused with care"
    assert count.value == 2
