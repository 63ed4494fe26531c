"""A real cluster under random mischief: `python benchmarks/storm.py --seconds 300 --seed 1`.

Whatever is done to it, no job may be lost, completed twice or run by two at once. Exit code 1
where one was.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from report import show
from servers import HERE, folder
from storm_cluster import START_LIMIT, Deployment, Postgres, deployment, tree, wait_ready
from storm_verdict import (
    MUST_BE_ZERO,
    Ledger,
    Mischief,
    Verdict,
    judge,
    recoveries,
    rows,
    runs_of,
)

from vibe_tasks.settings import Settings
from vibe_tasks.stack.children import Child
from vibe_tasks.store.engine import DATABASE_ERRORS, Database, open_database

DRAIN_LIMIT = 180.0
"""Seconds after the storm within which all must have ended; more counts as lost."""

CALLS_LIMIT = 120.0
"""Seconds that a storm is longer than asked for, at most, until enough jobs were submitted."""

PROCESSES = 4
"""Of each worker's pool."""

LIVE = "SELECT count(*) FROM jobs WHERE status IN ('blocked', 'pending', 'processing')"
LOCK = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], timeout=10, isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
time.sleep(float(sys.argv[2]))
connection.execute("ROLLBACK")
"""
METHOD = (
    "{seconds:.0f} s on {database}, seed {seed}, default settings: {workers} workers of 4 "
    "processes, 2 dispatchers, Valkey; calls at {rate:g} a second (a few percent each of "
    "countdowns, unique keys, retries, snoozes, permanent failures, `submit_many`, cancels, and "
    "jobs of up to 6 s). Each mischief is followed by {calm[0]:g} to {calm[1]:g} s of calm. "
    "Seconds, median / p95 / max: from the event to the next completion of any job; for each "
    "attempt that it cut off, to the start of the next one and to the end of the job."
)


class Storm:
    """The mischief, and the deployment that suffers it. It runs in the main thread.

    Args:
        place: The deployment.
        postgres: Its database server, None on SQLite.
        workers: Number of workers.
        chance: Decides what is done, to whom, for how long.
    """

    def __init__(
        self, place: Deployment, postgres: Postgres | None, workers: int, chance: random.Random
    ) -> None:
        self._place = place
        self._postgres = postgres
        self._chance = chance
        self._lease = Settings().lease_seconds
        self._deck: list[Callable[[], Sequence[int]]] = []
        self._paused: list[tuple[float, Sequence[int]]] = []
        self.done: list[Mischief] = []
        self.ended_alone: list[str] = []
        self._broker = place.start_broker()
        self._dispatchers = [place.start_dispatcher() for _ in range(2)]
        self._workers = [place.start_worker(PROCESSES) for _ in range(workers)]
        for worker in self._workers:
            wait_ready(worker)
        self._menu: dict[Callable[[], Sequence[int]], int] = {
            self.kill_worker: 5, self.kill_child: 5, self.kill_dispatcher: 2, self.kill_broker: 2,
            self.flush_broker: 2, self.pause_worker: 2, self.pause_long: 2, self.pause_broker: 1,
            self.pause_dispatcher: 1, self.trouble_ledger: 2,
        }  # fmt: skip

    def strike(self) -> Mischief:
        """Do one thing; what it killed is started again when this returns, what it paused may
        stay so for a while.
        """
        if not self._deck:  # as cards are dealt, so that no kind is left out for long
            self._deck = [each for each, times in self._menu.items() for _ in range(times)]
            self._chance.shuffle(self._deck)
        chosen = self._deck.pop()
        mono, wall = time.monotonic(), time.time()
        pids = chosen()
        kind = chosen.__name__.replace("_", " ")
        self.done.append(Mischief(kind=kind, mono=mono, wall=wall, pids=tuple(pids)))
        return self.done[-1]

    def kill_worker(self) -> Sequence[int]:
        """SIGKILL for a worker's main process; its pool dies with it."""
        number = self._chance.randrange(len(self._workers))
        pids = tree(self._workers[number].pid)
        self._place.kill(pids)
        self._workers[number] = self._place.start_worker(PROCESSES)
        return pids

    def kill_child(self) -> Sequence[int]:
        """SIGKILL for one process of a pool, as the out-of-memory killer does it."""
        pool = tree(self._chance.choice(self._workers).pid)[1:]
        if not pool:  # the worker is still starting
            return ()
        pids = [self._chance.choice(pool)]
        self._place.kill(pids)
        return pids

    def kill_dispatcher(self) -> Sequence[int]:
        """SIGKILL for one of the dispatchers."""
        number = self._chance.randrange(len(self._dispatchers))
        self._place.kill([self._dispatchers[number].pid])
        self._dispatchers[number] = self._place.start_dispatcher()
        return ()

    def kill_broker(self) -> Sequence[int]:
        """SIGKILL for the broker, which comes back empty."""
        self._place.kill([self._broker.pid])
        self.wait(self._chance.uniform(0.0, 3.0))
        self._broker = self._place.start_broker()
        return ()

    def flush_broker(self) -> Sequence[int]:
        """All messages vanish."""
        _signal([self._broker.pid], signal.SIGCONT)  # else it would not answer
        with self._place.broker() as broker:
            broker.flushall()
        return ()

    def pause_worker(self) -> Sequence[int]:
        """SIGSTOP for a worker and its pool, for less than a lease."""
        return self._pause(tree(self._a_worker()), self._chance.uniform(0.2, 0.7) * self._lease)

    def pause_long(self) -> Sequence[int]:
        """SIGSTOP for more than a lease: for a worker and its pool, or for its main process alone,
        whose pool works on without a heartbeat.
        """
        pids = tree(self._a_worker())
        whole = self._chance.random() < 0.5
        return self._pause(pids if whole else pids[:1], self._lease + self._chance.uniform(2, 5))

    def pause_broker(self) -> Sequence[int]:
        """SIGSTOP for the broker: it takes connections and does not answer."""
        return self._pause([self._broker.pid], self._chance.uniform(0.5, 6.0))

    def pause_dispatcher(self) -> Sequence[int]:
        """SIGSTOP for both dispatchers."""
        pids = [each.pid for each in self._dispatchers]
        return self._pause(pids, self._chance.uniform(0.5, 6.0))

    def trouble_ledger(self) -> Sequence[int]:
        """PostgreSQL crashes and comes back; SQLite's write lock is held for 3 s by a stranger."""
        if self._postgres is not None:
            self._postgres.restart()
            return ()
        path = str(self._place.folder / "ledger.db")
        subprocess.run([sys.executable, "-c", LOCK, path, "3"], check=True, timeout=30)
        return ()

    def _a_worker(self) -> int:
        return self._chance.choice(self._workers).pid

    def _pause(self, pids: Sequence[int], seconds: float) -> Sequence[int]:
        _signal(pids, signal.SIGSTOP)
        self._paused.append((time.monotonic() + seconds, pids))
        return ()

    def wait(self, seconds: float) -> None:
        """Let so much time pass, and wake what has slept for long enough."""
        end = time.monotonic() + seconds
        while (now := time.monotonic()) < end:
            for each in [each for each in self._paused if each[0] <= now]:
                self._paused.remove(each)
                _signal(each[1], signal.SIGCONT)
            time.sleep(min(0.05, end - now))

    def calm(self) -> None:
        """Wake all that sleeps."""
        while self._paused:
            _signal(self._paused.pop()[1], signal.SIGCONT)

    def mend(self) -> None:
        """Start again what ended by itself, as any supervisor does."""
        ways: list[tuple[list[Child], Callable[[], Child]]] = [
            (self._workers, lambda: self._place.start_worker(PROCESSES)),
            (self._dispatchers, self._place.start_dispatcher),
        ]
        for children, start in ways:
            for number, child in enumerate(children):
                if child.exit_code() is not None:
                    self.ended_alone.append(f"{child.program.name}: {child.last_words()}")
                    children[number] = start()


def _signal(pids: Sequence[int], number: int) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def drained(storm: Storm, ledger: Database, limit: float) -> float | None:
    """Wait until nothing is left to do; the seconds that took, None where it did not end."""
    began = time.monotonic()
    while time.monotonic() - began < limit:
        with suppress(*DATABASE_ERRORS), ledger.read() as connection:
            if connection.exec_driver_sql(LIVE).scalar_one() == 0:
                return time.monotonic() - began
        storm.mend()
        time.sleep(0.2)
    return None


def weather(
    storm: Storm, chosen: argparse.Namespace, chance: random.Random, submitted: Callable[[], int]
) -> None:
    """Strike again and again until the time is over and enough was submitted meanwhile."""
    began = time.monotonic()
    while (raged := time.monotonic() - began) < chosen.seconds or (
        submitted() < chosen.calls and raged < chosen.seconds + CALLS_LIMIT
    ):
        storm.wait(chance.uniform(*chosen.calm))
        storm.strike()
        storm.mend()
    storm.calm()


def accepted(file: Path) -> int:
    """How many jobs the producer has been told of."""
    return len(set(re.findall(rb'"job": "([^"]+)"', file.read_bytes())))


def until_it_calls(producer: Child, calls: Path) -> None:
    """Wait for the producer's first job: what rages before that, no call meets."""
    end = time.monotonic() + START_LIMIT
    while not accepted(calls):
        if producer.exit_code() is not None or time.monotonic() > end:
            raise RuntimeError(f"the producer does not start: {producer.last_words()}")
        time.sleep(0.05)


def run(chosen: argparse.Namespace) -> tuple[Verdict, dict[str, Any]]:
    """The whole storm; its verdict and its recoveries."""
    chance = random.Random(chosen.seed)
    with folder() as home, deployment(home, chosen.database) as (place, postgres):
        storm = Storm(place, postgres, chosen.workers, chance)
        calls = home / "calls.jsonl"
        calls.touch()
        producer = place.start(
            "producer", sys.executable, str(HERE / "storm_producer.py"), str(chosen.seed),
            str(chosen.rate), str(calls),
        )  # fmt: skip
        until_it_calls(producer, calls)
        weather(storm, chosen, chance, lambda: accepted(calls))
        producer.ask_to_end()
        if producer.wait(60) != 0:
            raise RuntimeError(f"the producer did not end well: {producer.last_words()}")
        url = place.environ["VIBE_DATABASE_URL"].replace("postgresql://", "postgresql+psycopg://")
        database = open_database(url)
        took = drained(storm, database, DRAIN_LIMIT)
        found = Ledger(database)
        database.close()
        runs = runs_of(place.runs, place.died)
        verdict = judge(found, calls, runs)
        if chosen.keep:
            _keep(home, Path(chosen.keep), storm.done)
        return verdict, {
            "drained": took, "recoveries": recoveries(found, runs, storm.done),
            "ended_alone": storm.ended_alone,
        }  # fmt: skip


def _keep(home: Path, target: Path, done: Sequence[Mischief]) -> None:
    target.mkdir(parents=True, exist_ok=True)
    subprocess.run(["cp", "-r", str(home / "logs"), str(home / "runs"), str(target)], check=True)
    for name in ("calls.jsonl", "ledger.db"):
        if (home / name).exists():
            subprocess.run(["cp", str(home / name), str(target)], check=True)
    lines = [f"{each.wall:.3f} {each.mono:.3f} {each.kind} {list(each.pids)}" for each in done]
    (target / "mischief.txt").write_text("\n".join(lines), encoding="utf-8")


def tell(chosen: argparse.Namespace, verdict: Verdict, more: dict[str, Any]) -> None:
    """Print the tables."""
    drain = "did not drain" if more["drained"] is None else f"drained in {more['drained']:.0f} s"
    show(
        f"Storm on {chosen.database}",
        METHOD.format(**vars(chosen)) + f" In the end the system {drain}.",
        ["mischief", "times", "next completion", "cut off", "started again", "ended"],
        rows(more["recoveries"]),
    )  # fmt: skip
    for name, value in verdict.told().items():
        if name != "examples":
            print(f"{name.replace('_', ' ')}: {value}{' (must be 0)' * (name in MUST_BE_ZERO)}")
    for name, examples in verdict.examples.items():
        print(f"{name}: {', '.join(examples)}")
    for words in more["ended_alone"]:
        print(f"ended by itself: {words}")


def main() -> int:
    """Rage, judge, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=300.0, help="how long it rages")
    parser.add_argument(
        "--calls", type=int, default=0, help="rage on until so many jobs were submitted"
    )
    parser.add_argument("--database", choices=("sqlite", "postgres"), default="sqlite")
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1, help="of every choice")
    parser.add_argument("--rate", type=float, default=20.0, help="calls a second")
    parser.add_argument("--calm", type=float, nargs=2, default=(1.0, 4.0), metavar=("LOW", "HIGH"))
    parser.add_argument("--json", action="store_true", help="figures alone, as JSON")
    parser.add_argument("--keep", default="", help="copy logs, traces and the ledger here")
    chosen = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    verdict, more = run(chosen)
    if chosen.json:
        print(json.dumps({**verdict.told(), **more, "sound": verdict.sound}))
    else:
        tell(chosen, verdict, more)
    return 0 if verdict.sound else 1


if __name__ == "__main__":
    sys.exit(main())
