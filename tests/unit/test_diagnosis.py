"""From which figure on the doctor calls something wrong."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.documents import ROOT, text_of
from vibe_tasks import diagnosis
from vibe_tasks.finding import Finding

GIB = 1024 * diagnosis.MEBIBYTE

FINE = [
    lambda: diagnosis.lease(8.0),
    lambda: diagnosis.lease(3 * diagnosis.BEAT_SECONDS),
    lambda: diagnosis.lease(diagnosis.STOP_GRACE),
    lambda: diagnosis.disk("home", free=30 * GIB, total=4000 * GIB),
    lambda: diagnosis.disk("home", free=GIB, total=10 * GIB),
    lambda: diagnosis.clocks({}),
    lambda: diagnosis.clocks({"the broker": -diagnosis.SKEW, "the ledger's server": 0.1}),
    lambda: diagnosis.outbox(diagnosis.UNSENT, seconds=10.0, slow=10.0, mend="x"),
]

NOTHING = [
    lambda: diagnosis.copy(99_999, to="db"),
    lambda: diagnosis.broker_memory("Redis", used=99, limit=0),
    lambda: diagnosis.broker_memory("Redis", used=99, limit=None),
    lambda: diagnosis.broker_memory("Redis", used=79, limit=100),
    lambda: diagnosis.broker_persistence("Redis", persists=None),
    lambda: diagnosis.broker_persistence("Redis", persists=True),
    lambda: diagnosis.wal(log=4_000_000, ledger=1),
    lambda: diagnosis.connections(used=79, most=100),
    lambda: diagnosis.lock_waits(0, longest=0.0, holder=None),
    lambda: diagnosis.versions({"1.0": {"a", "b"}}, ours="1.0"),
    lambda: diagnosis.versions({"1.0": {"a"}}, ours=None),
    lambda: diagnosis.versions({}, ours="1.0"),
    lambda: diagnosis.silent([], late=[], lease_seconds=8.0),
    lambda: diagnosis.dead_letters(5_000, lately=10),
    lambda: diagnosis.held("code", "lane", jobs=9, seconds=599.0, paused=False),
    lambda: diagnosis.history(8.9, kept=7.0),
]

WARNINGS = [
    (lambda: diagnosis.lease(2.9), "shorter than three heartbeats"),
    (lambda: diagnosis.lease(61.0), "longer than the 60 s that a worker has to stop"),
    (lambda: diagnosis.disk("home", free=GIB, total=30 * GIB), "home: 1024 MiB free of 30720"),
    (lambda: diagnosis.broker_memory("Redis", used=80, limit=100), "Redis uses 0 MiB"),
    (lambda: diagnosis.broker_persistence("Redis 7", persists=False), "keeps nothing over"),
    (lambda: diagnosis.wal(log=GIB, ledger=0), "the write-ahead log has 1024 MiB"),
    (lambda: diagnosis.connections(used=80, most=100), "80 of 100"),
    (lambda: diagnosis.versions({"1.0": {"a"}, "1.1": {"b"}}, ours=None), "1.0: a; 1.1: b"),
    (lambda: diagnosis.versions({"1.0": {"a"}}, ours="1.1"), "this program is 1.1"),
    (lambda: diagnosis.silent(["a", "b"], late=[], lease_seconds=8.0), "for a lease: a, b"),
    (lambda: diagnosis.silent([], late=["c"], lease_seconds=8.0), "lease of 8 s: c"),
    (lambda: diagnosis.dead_letters(20, lately=11), "11 within a day, 20 in all"),
    (
        lambda: diagnosis.held("code", "lane", jobs=2, seconds=600.0, paused=False),
        "lane code: 2 jobs waiting for its limits, for 10:00 min",
    ),
    (
        lambda: diagnosis.held("code", "lane", jobs=1, seconds=600.0, paused=True),
        "for the lane to be resumed",
    ),
    (lambda: diagnosis.held("code", "key", jobs=1, seconds=600.0, paused=True), "concurrency key"),
    (lambda: diagnosis.held("x", "worker", jobs=1, seconds=600.0, paused=False), "the labels"),
    (lambda: diagnosis.outbox(1_001, seconds=1.0, slow=10.0, mend="x"), "slower than they come"),
    (lambda: diagnosis.history(9.0, kept=7.0), "9 days back and is kept for 7"),
    (lambda: diagnosis.copy(100_000, to="db"), "100,000 changes wait for a copy to db"),
]

WRONG = [
    (lambda: diagnosis.disk("home", free=GIB // 8, total=GIB), "home: 128 MiB free"),
    (lambda: diagnosis.broker_memory("Redis", used=95, limit=100), "Redis uses"),
    (lambda: diagnosis.clocks({"a": 2.1, "b": 0.0}), "that of a is 2.1 s ahead"),
    (lambda: diagnosis.clocks({"a": -3600.0}), "that of a is 1:00 h behind"),
    (lambda: diagnosis.connections(used=95, most=100), "95 of 100"),
    (lambda: diagnosis.lock_waits(1, longest=6.0, holder="x"), "1 session of the ledger's server"),
    (lambda: diagnosis.lock_waits(2, longest=6.0, holder=None), "for up to 6.0 s"),
    (
        lambda: diagnosis.outbox(7, seconds=10.1, slow=10.0, mend="x"),
        "unsent since 10.1 s, 7 in all",
    ),
]


@pytest.mark.parametrize("decide", FINE)
def test_what_is_in_its_bounds_is_fine(decide: Callable[[], Finding]) -> None:
    """Up to the very bound, and without a figure that would change from look to look."""
    found = decide()
    assert (found.ok, found.mend, found.there) == (True, "", True)


@pytest.mark.parametrize("decide", NOTHING)
def test_of_what_is_well_nothing_is_said(decide: Callable[[], Finding | None]) -> None:
    """Where a check is only worth a line when it finds something."""
    assert decide() is None


@pytest.mark.parametrize(("decide", "text"), WARNINGS)
def test_a_warning_names_its_figure_and_a_mend(decide: Callable[[], Finding], text: str) -> None:
    """Work goes on: the exit code stays 0."""
    found = decide()
    assert found.ok
    assert found.mend
    assert text in found.text


@pytest.mark.parametrize(("decide", "text"), WRONG)
def test_what_is_wrong_names_its_figure_and_a_mend(
    decide: Callable[[], Finding], text: str
) -> None:
    """Work stands still or soon will: the exit code is 1."""
    found = decide()
    assert not found.ok
    assert found.mend
    assert text in found.text


def test_every_check_is_explained_to_people() -> None:
    """In the page that one opens when something is wrong."""
    page = text_of("docs/troubleshooting.md")
    sources = [*(ROOT / "vibe_tasks" / "tasks" / "checkup").glob("*.py"),
               ROOT / "vibe_tasks" / "tasks" / "doctor.py", Path(diagnosis.__file__)]  # fmt: skip
    code = "".join(source.read_text("utf-8") for source in sources)
    named = r'(?:fine|absent|warning|wrong|attempted|\)\()\(?\s*"([a-z ]+)", |check="([a-z]+)"'
    checks = {first or second for first, second in re.findall(named, code)}
    assert {"broker memory", "git", "lanes", "locks", "workers"} <= checks
    assert [check for check in sorted(checks) if f"`{check}`" not in page] == []
