"""Votes: the seats of a review as their jobs are, and what was decided, kept.

A seat is a job of kind `review`. Whoever reads seats to decide holds the plan's lock.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BigInteger, Connection, and_, case, cast, func, insert, select, update

from vibe_tasks.failures import bounded
from vibe_tasks.jobs import LIVE, JobStatus
from vibe_tasks.store.agent_tables import agent_outputs, consensus_runs
from vibe_tasks.store.engine import now
from vibe_tasks.store.job_archive import list_archived
from vibe_tasks.store.job_rows import among, as_parameter, list_jobs
from vibe_tasks.store.schema import has_status, jobs
from vibe_tasks.store.sealing import opened, sealed, sealed_text

_J, _R, _O = jobs.c, consensus_runs.c, agent_outputs.c

WAITS = "waits: "
"""How the error of a seat begins that was put off by no failure of its own: a breaker is open, or
its provider refuses until a moment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seat:
    """One reviewer's place in a run.

    Attributes:
        id: Its job.
        number: Which seat of the run, from 1.
        agent: What the plan calls the reviewer.
        status: Of the job.
        waits: Whether it has to wait for something that is not its doing.
        result: What the job came to; None where it has not.
        error: The job's last error.
        ended_at: When its status changed last, in epoch seconds.
    """

    id: str
    number: int
    agent: str
    status: JobStatus
    waits: bool
    result: Mapping[str, Any] | None
    error: str | None
    ended_at: float

    @property
    def live(self) -> bool:
        """Whether it may still vote."""
        return self.status in LIVE


_SEATS = (
    select(
        _J.id, _J.args, _J.status, _J.result, _J.error, _J.status_updated_at,
        case(
            (has_status(JobStatus.BLOCKED), 1),
            (and_(has_status(JobStatus.PENDING), _J.backoff_until > now(),
                  _J.error.startswith(WAITS)), 1),
            else_=0,
        ).label("waits"),
    )
    .where(_J.kind == "review")
    .order_by(_J.id)
)  # fmt: skip


def seats_of(connection: Connection, qa: Mapping[str, Any]) -> tuple[Seat, ...]:
    """The seats that were asked about what a qa job has checked, in the order of their jobs' ids.

    Args:
        connection: A connection.
        qa: The qa job's row.
    """
    if "archived_at" in qa:
        return _archived_seats(connection, qa)
    statement = _SEATS.where(
        _J.plan_id == qa["plan_id"], _J.task_id == qa["task_id"], _J.round == qa["round"]
    )
    found = [
        Seat(
            id=row.id, number=row.args["kwargs"]["seat"], agent=row.args["kwargs"]["agent"],
            status=JobStatus(row.status), waits=bool(row.waits), result=row.result,
            error=row.error, ended_at=row.status_updated_at,
        )
        for row in connection.execute(statement)
        if row.args["kwargs"]["qa"] == qa["id"]
    ]  # fmt: skip
    return tuple(found)


def _archived_seats(connection: Connection, qa: Mapping[str, Any]) -> tuple[Seat, ...]:
    """The seats of a qa job that is archived; its reviews are archived too, or about to be."""
    where = {"plan_id": qa["plan_id"], "task_id": qa["task_id"], "kind": "review"}
    rows = [*list_archived(connection, where=where), *list_jobs(connection, where=where)]
    found = [
        Seat(
            id=row["id"], number=row["args"]["kwargs"]["seat"],
            agent=row["args"]["kwargs"]["agent"],
            status=JobStatus(row["status"]), waits=False, result=row["result"], error=row["error"],
            ended_at=row["status_updated_at"],
        )
        for row in rows
        if row["args"]["kwargs"]["qa"] == qa["id"]
    ]  # fmt: skip
    return tuple(sorted(found, key=lambda seat: seat.id))


def write_verdict(connection: Connection, qa_id: str, result: Mapping[str, Any]) -> None:
    """Put what was decided into the result of the qa job, which has completed before."""
    connection.execute(
        update(jobs)
        .where(_J.id == qa_id, has_status(JobStatus.COMPLETED))
        .values(result=sealed(connection, dict(result)))
    )


def keep_run(
    connection: Connection,
    *,
    spec_id: str,
    stage: str,
    ok: bool,
    degraded: bool,
    synthesis: Mapping[str, Any],
    votes: Sequence[Seat],
) -> int:
    """Write a decision and what each reviewer said; the run's id.

    Args:
        connection: A writing transaction; the caller holds the plan's lock.
        spec_id: What was judged: plan and task, see `spec_id_of`.
        stage: `qa`, or `qa.1`, `qa.2`, … after fix rounds.
        ok: Whether the work passed.
        degraded: Whether fewer voted than were asked.
        synthesis: The decision as JSON values.
        votes: The seats that voted.
    """
    moment = connection.execute(select(cast(now() * 1000, BigInteger))).scalar_one()
    last = connection.execute(
        select(func.max(_R.run_timestamp)).where(_R.spec_id == spec_id, _R.stage == stage)
    ).scalar()
    run_id = connection.execute(
        insert(consensus_runs)
        .values(
            spec_id=spec_id, stage=stage, consensus_ok=int(ok), degraded=int(degraded),
            run_timestamp=moment if last is None else max(moment, last + 1),
            synthesis_json=sealed_text(connection, dict(synthesis)),
        )
        .returning(_R.id)
    ).scalar_one()  # fmt: skip
    rows = [
        {"run_id": run_id, "agent_name": seat.agent,
         "model_version": _model(seat.result), "content": sealed_text(connection, seat.result),
         "output_timestamp": int(seat.ended_at * 1000)}
        for seat in votes
    ]  # fmt: skip
    if rows:
        connection.execute(insert(agent_outputs), rows)
    return int(run_id)


def _model(result: object) -> str | None:
    """The model that a vote names; a consumer outside may have handed in anything."""
    found = result.get("model") if isinstance(result, Mapping) else None
    return bounded(found) if isinstance(found, str) else None


def spec_id_of(plan_id: str, task_id: str) -> str:
    """What a run judges, as the table names it."""
    return f"{plan_id}/{task_id}"


def runs_of(
    connection: Connection, spec_ids: Iterable[str], *, outputs: bool = True
) -> tuple[dict[str, Any], ...]:
    """Every decision about these, oldest first.

    Args:
        connection: A connection.
        spec_ids: What was judged, see `spec_id_of`.
        outputs: Whether each comes with what its reviewers said.
    """
    chosen = among(_R.spec_id, "ids", connection.dialect.name)
    values = {"ids": as_parameter(connection, spec_ids)}
    runs = connection.execute(
        select(consensus_runs).where(chosen).order_by(_R.id), values
    ).mappings()
    found = {
        run["id"]: {
            **run,
            "synthesis": opened(connection, json.loads(run["synthesis_json"])),
            "outputs": [],
        }
        for run in runs
    }
    said = select(agent_outputs).join(consensus_runs, _R.id == _O.run_id).where(chosen)
    for output in connection.execute(said.order_by(_O.id), values).mappings() if outputs else ():
        content = json.dumps(opened(connection, json.loads(output["content"])))
        found[output["run_id"]]["outputs"].append({**output, "content": content})
    return tuple(found.values())
