"""A backup of a deployment at work, and what is left of its work done in another place."""

from __future__ import annotations

import threading
from collections import Counter
from pathlib import Path

import pytest
from sqlalchemy import text

from tests.cluster import Cluster, running_cluster
from tests.cluster_jobs import lines
from tests.processes import until
from vibe_tasks.store.backup import BackedUp, back_up
from vibe_tasks.store.engine import Database, open_database
from vibe_tasks.store.restore import restore

NOTES = 120
RUNNING = 2


def work_until_backed_up(
    request: pytest.FixtureRequest, folder: Path, log: Path, gate: Path
) -> BackedUp:
    """Let workers and a producer work; the backup that is made meanwhile. Then all are killed."""
    with running_cluster(request, "sqlite") as cluster:
        cluster.dispatcher()
        with cluster.worker("code", processes=RUNNING + 1):
            for number in range(RUNNING):
                cluster.jobs.hold.delay(str(log), str(gate), f"held-{number}")
            until(lambda: len(lines(log)) == RUNNING)
            stop = threading.Event()
            cluster.jobs.note.apply_async((str(log), "later"), countdown=2)

            def produce() -> None:
                for number in range(NOTES):
                    cluster.jobs.note.delay(str(log), f"note-{number}")
                    stop.wait(0.005)

            producer = threading.Thread(target=produce)
            producer.start()
            until(lambda: sum(line.startswith("note") for line in lines(log)) > 10)
            done = back_up(cluster.ledger, folder / "backup", pause=stop.wait)
            stop.set()
            producer.join(60)
    return done


def end_all(cluster: Cluster, gate: Path) -> None:
    """Let real workers do what the restored ledger has left."""
    cluster.dispatcher()
    with cluster.worker("code", processes=RUNNING + 1):
        gate.touch()
        until(lambda: not live(cluster.ledger))


def live(database: Database) -> int:
    """Jobs that have not ended."""
    with database.read() as connection:
        query = "SELECT count(*) FROM jobs WHERE status NOT IN ('completed', 'failed', 'cancelled')"
        return int(connection.execute(text(query)).scalar_one())


def test_what_is_left_is_done_elsewhere_and_nothing_twice(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """With a backup that was made while workers worked and a producer produced, in another home
    with another broker: each job that had not ended then ends, each runs once there, none that had
    ended runs again, and what ran at that moment has lost no try.
    """
    log, gate = tmp_path / "log", tmp_path / "gate"
    done = work_until_backed_up(request, tmp_path, log, gate)
    assert done.rows["jobs"] > RUNNING + 10
    before = Counter(lines(log))
    with running_cluster(request, "sqlite") as cluster:
        place = open_database(cluster.environ["VIBE_DATABASE_URL"])
        came = restore(tmp_path / "backup", place, lease=20.0, pause=lambda _: None)
        assert came.taken_back >= RUNNING
        with place.read() as connection:
            ended = set(
                connection.execute(text("SELECT id FROM jobs WHERE status = 'completed'")).scalars()
            )
            argued = connection.execute(text("SELECT id, args FROM jobs ORDER BY seq")).all()
        place.close()
        end_all(cluster, gate)
        again = Counter(lines(log)) - before
        with cluster.ledger.read() as connection:
            statuses = Counter(connection.execute(text("SELECT status FROM jobs")).scalars())
            completed = Counter(
                connection.execute(
                    text("SELECT job_id FROM job_history WHERE status = 'completed'")
                ).scalars()
            )
            failures = connection.execute(text("SELECT sum(retry_count) FROM jobs")).scalar_one()
    assert statuses == {"completed": len(argued)}
    assert failures == 0
    assert set(completed.values()) == {1}
    left = [args for job_id, args in argued if job_id not in ended]
    assert sum(again.values()) == len(left)
    assert set(again.values()) == {1}
    assert all(any(f'"{line}"' in args for args in left) for line in again)
