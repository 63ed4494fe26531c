"""A ledger with a million events: `python benchmarks/events.py`.

How long reading takes, what each index saves, and whether claims suffer while events come in.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import random
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from multiprocessing.synchronize import Event as Signal
from pathlib import Path
from typing import Any

from claims import connect, submitted
from report import begin, milliseconds, percentile, told
from servers import DATABASES, folder, ledger_url
from sqlalchemy import Connection, inspect, text

from vibe_tasks.protocol import NewEvent
from vibe_tasks.store import event_query, jobs
from vibe_tasks.store.engine import Database, run_plain
from vibe_tasks.store.event_rules import EventRules
from vibe_tasks.store.events import take_in
from vibe_tasks.web.intake import ON_FILE, ON_SERVER, Intake

SESSIONS = 200
RATE = 2_000
VIEW: dict[str, Any] = {"limit": 300, "priority_limit": 100, "regular_limit": 200}
COMMON = ("PreToolUse", "PostToolUse")
RARE = ("Notification", "Stop", "SubagentStop", "UserPromptSubmit", "JOB_DEAD", "SCALED",
        "PreCompact", "SessionStart", "SessionEnd", "PermissionRequest")  # fmt: skip
PAYLOAD = (
    '{"tool_name":"Bash","tool_input":{"command":"python -m pytest -q","description":"'
    + "run the tests " * 12
    + '"},"cwd":"/srv/app"}'
)
READING = (
    "Of {sessions} sessions and {types} types, nineteen of twenty of two types, "
    "the others alike; one in thirty has priority. The newest 100 of priority and 200 regular, "
    "payloads of 250 bytes decoded too: of all, of a session, of a type (each type as often). "
    "{samples} reads each, p50 / p95 / p99. Then without the index: what it saves is of the mean "
    "time of a read."
)
CLAIMING = (
    "One process claims jobs by id and completes them, {claims:,} in each of {rounds} pairs of "
    "rounds: in one of the two another process takes in {rate:,} events a second as the web "
    "server does (group commits, a pause after each), in the other it waits; which is first "
    "changes. Only the claim is timed. Figures of all claims; the ratios are those of mean, p50, "
    "p95 and p99, and the range is that of the mean's (pairs drawn anew, 95 %)."
)
FILL = """
INSERT INTO events (source_app, session_id, hook_event_type, payload, timestamp, priority,
                    received_at)
WITH RECURSIVE numbers (n) AS (
  SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < {events}
)
SELECT 'app-' || (n % 5), 'session-' || (n / 7 % {sessions}),
       CASE WHEN n % 20 > 0 THEN CASE n % 2 WHEN 0 THEN '{common[0]}' ELSE '{common[1]}' END
            ELSE CASE n / 20 % 10 {rare} END END,
       '{payload}', 1700000000000 + n * 100,
       CASE WHEN n % 20 > 0 THEN 0 ELSE CASE n / 20 % 10 {levels} ELSE 0 END END, 1700000000.0
FROM numbers
"""


def fill(database: Database, events: int) -> None:
    """Bring in so many events, the indexes last: so it takes seconds instead of minutes."""
    rare = " ".join(f"WHEN {n} THEN '{name}'" for n, name in enumerate(RARE))
    levels = " ".join(f"WHEN {n} THEN {level}" for n, level in enumerate((1, 1, 1, 1, 2, 3)))
    statement = FILL.format(
        events=events, sessions=SESSIONS, common=COMMON, rare=rare, levels=levels, payload=PAYLOAD
    )
    if not database.is_sqlite:
        statement = statement.replace("'" + PAYLOAD + "'", "CAST('" + PAYLOAD + "' AS json)")
    with ExitStack() as bare:
        for index in sorted(
            str(each["name"]) for each in inspect(database.engine).get_indexes("events")
        ):
            bare.enter_context(without(database, index))
        with database.begin() as connection:
            run_plain(connection, statement)
    with database.read() as connection:
        # As the server's own upkeep would soon do.
        run_plain(connection, "ANALYZE" if database.is_sqlite else "VACUUM ANALYZE events")


def reads() -> Mapping[str, tuple[str, Callable[[Connection, int], Any]]]:
    """What is read, the index that serves it, and a read of this number."""
    types = (*COMMON, *RARE)
    return {
        "recent": (
            "idx_events_priority", lambda c, _: event_query.recent(c, **VIEW),
        ),
        "of a session": (
            "idx_events_session_priority",
            lambda c, n: event_query.recent(c, session_ids=[f"session-{n % SESSIONS}"], **VIEW),
        ),
        "of a type": (
            "idx_events_type_priority",
            lambda c, n: event_query.recent(c, types=[types[n % len(types)]], **VIEW),
        ),
    }  # fmt: skip


def timed(database: Database, read: Callable[[Connection, int], Any], samples: int) -> list[float]:
    """Seconds of each read."""
    seconds = []
    with database.read() as connection:
        read(connection, 0)
        for number in range(samples):
            start = time.perf_counter()
            read(connection, number)
            seconds.append(time.perf_counter() - start)
    return seconds


@contextmanager
def without(database: Database, index: str) -> Iterator[None]:
    """The ledger without one of its indexes."""
    found = "SELECT indexdef FROM pg_indexes WHERE indexname = :name"
    if database.is_sqlite:
        found = "SELECT sql FROM sqlite_master WHERE name = :name"
    with database.begin() as connection:
        (made,) = connection.execute(text(found), {"name": index}).one()
        connection.execute(text(f"DROP INDEX {index}"))
    yield
    with database.begin() as connection:
        connection.execute(text(made))


def reading(name: str, url: str, events: int, samples: int) -> None:
    """Fill one ledger, and tell each read of it."""
    database = connect(url)
    start = time.perf_counter()
    fill(database, events)
    begin(
        f"{events:,} events, {name}",
        READING.format(sessions=SESSIONS, types=len(COMMON + RARE), samples=samples)
        + f" Brought in within {time.perf_counter() - start:.0f} s, indexes included.",
        ["ledger", "read", "ms", "ms without the index", "saved"],
    )
    for what, (index, read) in reads().items():
        with_index = timed(database, read, samples)
        with without(database, index):
            bare = timed(database, read, max(12, samples // 20))
        saved = 1 - statistics.mean(with_index) / statistics.mean(bare)
        told([name, what, milliseconds(with_index), milliseconds(bare), f"{saved:.0%}"])
    database.close()


def event(number: int) -> NewEvent:
    """One as agents' hooks send it."""
    return NewEvent(
        source_app="app", session_id=f"session-{number % SESSIONS}",
        hook_event_type=RARE[number // 20 % 10] if number % 20 == 0 else COMMON[number % 2],
        payload={"tool_name": "Bash", "tool_input": {"command": "x" * 200}},
    )  # fmt: skip


def bring_in(url: str, on: Signal, ready: Signal, stop: Signal, taken: Any) -> None:
    """Take in events, one by one, while it is on; how many a second at the end."""
    database = connect(url)
    pace = ON_FILE if database.is_sqlite else ON_SERVER
    intake = Intake(lambda new: take_in(database, new, EventRules()), pace=pace)
    asyncio.run(intake.start())
    sent, lasted = 0, 0.0
    while not stop.is_set():
        if not on.wait(0.05):
            continue
        began, before = time.perf_counter(), sent
        while on.is_set():
            due = before + int((time.perf_counter() - began) * RATE)
            for number in range(sent, due):
                intake.put([event(number)], size=400)
            sent = due
            if sent - before > RATE / 10:
                ready.set()
            time.sleep(0.002)
        lasted += time.perf_counter() - began
        ready.clear()
    asyncio.run(intake.stop())
    taken.value = sent / lasted
    database.close()


def claim_seconds(database: Database, url: str, count: int) -> list[float]:
    """Seconds of each claim."""
    seconds = []
    for job_id in submitted(url, count):
        start = time.perf_counter()
        with database.write_once() as connection:
            claim = jobs.claim(connection, job_id, worker="bench", lease=60)
        seconds.append(time.perf_counter() - start)
        if claim is None:
            raise RuntimeError("a claim of a job that is nobody else's came to nothing")
        with database.write_once() as connection:
            jobs.complete_job(connection, job_id, claim.attempt, None)
    return seconds


def claiming(name: str, url: str, rounds: int, count: int) -> None:
    """Tell of claims of one ledger."""
    begin(
        f"Claims while events come in, {name}",
        CLAIMING.format(claims=count, rounds=rounds, rate=RATE),
        ["ledger", "meanwhile", "mean ms", "p50", "p95", "p99", "events/s", "ratios", "95 %"],
    )
    database = connect(url)
    database.leave_checkpoints()  # as workers do
    claim_seconds(database, url, min(count, 500))
    context = multiprocessing.get_context("spawn")
    on, ready, stop, taken = (*(context.Event() for _ in range(3)), context.Value("d"))
    writer = context.Process(target=bring_in, args=(url, on, ready, stop, taken))
    writer.start()
    quiet: list[list[float]] = []
    busy: list[list[float]] = []
    for number in range(rounds):
        for events in (False, True) if number % 2 else (True, False):
            if events:
                on.set()
                if not ready.wait(60):
                    raise RuntimeError("no events come in")
            (busy if events else quiet).append(claim_seconds(database, url, count))
            on.clear()
            time.sleep(0.1)  # what waits is written
    stop.set()
    writer.join()
    database.close()
    alone, beside = _figures(quiet), _figures(busy)
    ratios = [after / before for before, after in zip(alone, beside, strict=True)]
    low, high = interval([sum(each) for each in quiet], [sum(each) for each in busy])
    for what, figures, of_events, ratio, range_ in (
        ("nothing else", alone, "0", "-", "-"),
        ("events", beside, f"{taken.value:.0f}", " / ".join(f"{each:.2f}" for each in ratios),
         f"{low:.2f} to {high:.2f}"),
    ):  # fmt: skip
        told([name, what, *(f"{1000 * each:.3f}" for each in figures), of_events, ratio, range_])


def interval(before: Sequence[float], after: Sequence[float]) -> tuple[float, float]:
    """Bounds of the ratio of two sums, by drawing pairs of rounds anew (bootstrap, 95 %)."""
    chance, pairs = random.Random(1), list(zip(before, after, strict=True))
    ratios = []
    for _ in range(2_000):
        drawn = chance.choices(pairs, k=len(pairs))
        ratios.append(sum(late for _, late in drawn) / sum(early for early, _ in drawn))
    return percentile(ratios, 0.025), percentile(ratios, 0.975)


def _figures(rounds: Sequence[Sequence[float]]) -> list[float]:
    """Mean, p50, p95 and p99 of all claims."""
    every = [each for one in rounds for each in one]
    return [statistics.mean(every), *(percentile(every, at) for at in (0.5, 0.95, 0.99))]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few events, to see that it works")
    parser.add_argument("--database", choices=DATABASES, help="only this one")
    parser.add_argument("--events", type=int, nargs="+", help="events in the ledgers")
    parser.add_argument("--claims", type=int, help="claims in a round; 0: only reading")
    chosen = parser.parse_args()
    sizes = chosen.events or [2_000 if chosen.quick else 1_000_000]
    samples, rounds, claims = (5, 2, 20) if chosen.quick else (400, 60, 1_000)
    claims = claims if chosen.claims is None else chosen.claims
    for database in [chosen.database] if chosen.database else DATABASES:
        for events in sizes:
            with folder() as place, ledger_url(database, Path(place)) as url:
                reading(database, url, events, samples)
                if claims:
                    claiming(database, url, rounds, claims)


if __name__ == "__main__":
    main()
