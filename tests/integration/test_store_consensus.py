"""The tables of decisions and votes: kept whole, never doubled, removed together."""

from __future__ import annotations

import pytest
from sqlalchemy import delete, insert, select
from sqlalchemy.exc import IntegrityError

from vibe_tasks.jobs import JobStatus
from vibe_tasks.store.agent_tables import agent_outputs, consensus_runs
from vibe_tasks.store.consensus import Seat, keep_run, runs_of, spec_id_of
from vibe_tasks.store.engine import Database

SPEC = spec_id_of("p1", "a")
VOTE = Seat(
    id="j", number=1, agent="claude", status=JobStatus.COMPLETED, waits=False,
    result={"verdict": "pass", "findings": ["a\x00b", "\ud800"], "model": "m-1"}, error=None,
    ended_at=1_700_000_000.5,
)  # fmt: skip


def keep(database: Database, stage: str = "qa") -> int:
    """Keep a decision with one vote."""
    with database.begin() as connection:
        return keep_run(
            connection, spec_id=SPEC, stage=stage, ok=True, degraded=True,
            synthesis={"verdict": "pass"}, votes=[VOTE],
        )  # fmt: skip


def test_decisions_of_one_moment_are_all_kept(database: Database) -> None:
    """Two about the same in one millisecond get keys of their own, in their order; what a reviewer
    says may hold any character.
    """
    made = [keep(database) for _ in range(5)] + [keep(database, "qa.1")]
    with database.read() as connection:
        found = runs_of(connection, [SPEC, "p1/other"])
    assert [run["id"] for run in found] == made
    times = [run["run_timestamp"] for run in found if run["stage"] == "qa"]
    assert times == sorted(set(times))
    (output,) = found[0]["outputs"]
    assert (output["agent_name"], output["model_version"]) == ("claude", "m-1")
    assert output["output_timestamp"] == 1_700_000_000_500
    assert '"a\\u0000b"' in output["content"]


def test_a_key_is_taken_once_and_votes_go_with_their_run(database: Database) -> None:
    """The database itself sees to both."""
    first, second = keep(database), keep(database)
    with database.begin() as connection:
        run = connection.execute(select(consensus_runs)).mappings().first()
        connection.execute(delete(consensus_runs).where(consensus_runs.c.id == first))
        left = connection.execute(select(agent_outputs.c.run_id)).scalars().all()
    assert left == [second]
    assert run is not None
    with database.begin() as connection:
        connection.execute(insert(consensus_runs), [dict(run)])
    with pytest.raises(IntegrityError), database.begin() as connection:
        connection.execute(insert(consensus_runs), [{**run, "id": run["id"] + 100}])
