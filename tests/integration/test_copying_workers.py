"""Real workers while their ledger moves to another database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster import SHORT_LEASE, Cluster, databases, ready, running_cluster, said
from tests.copies import copied
from tests.processes import until
from vibe_tasks.store import jobs
from vibe_tasks.store.copying import switch
from vibe_tasks.store.engine import Database, open_database

pytestmark = pytest.mark.postgres


@pytest.fixture(params=databases("sqlite"))
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A broker and an empty ledger."""
    with running_cluster(request, request.param) as made:
        yield made


def status(ledger: Database, job_id: str) -> tuple[str, int]:
    """The job's status and attempt."""
    with ledger.read() as connection:
        found = jobs.find_job(connection, job_id)
    return str(found["status"]), int(found["attempt"])


def test_work_goes_on_in_the_new_ledger(
    cluster: Cluster, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """What was done stays done, what waited is done there, and what ran during the switch is taken
    back by its lease and run once more. The old workers hear where the ledger went, and take
    nothing any more.
    """
    log, gate, other = tmp_path / "log", tmp_path / "gate", tmp_path / "other"
    kind = "sqlite" if "postgresql" in cluster.environ["VIBE_DATABASE_URL"] else "postgres"
    copy = open_database(request.getfixturevalue(f"{kind}_url"))
    cluster.environ |= SHORT_LEASE
    with cluster.worker("code") as old:
        done = cluster.jobs.add.delay(1, 2)
        assert done.get(timeout=60) == 3
        held = cluster.jobs.hold.delay(str(log), str(gate))
        until(log.exists)
        waiting = [cluster.jobs.note.delay(str(other), at) for at in range(5)]
        assert switch.switch(copied(cluster.ledger, copy)).count == 0
        until(lambda: "this ledger has moved to" in said(old))
        gate.touch()
        there = {"VIBE_DATABASE_URL": copy.engine.url.render_as_string(hide_password=False)}
        refused = cluster.start_worker("code")
        assert refused.wait(60) not in {0, None}
        assert "this ledger has moved to" in said(refused)
        cluster.environ |= there
        cluster.dispatcher()
        ready(cluster.start_worker("code"))
        ids = [held.id, *(each.id for each in waiting)]
        until(lambda: all(status(copy, each)[0] == "completed" for each in ids))
    assert status(copy, done.id) == ("completed", 1)
    assert status(copy, held.id) == ("completed", 2)
    assert cluster.jobs.lines(log) == ["started", "started"]
    assert sorted(cluster.jobs.lines(other)) == ["0", "1", "2", "3", "4"]
    copy.close()
