"""`/api/v1/jobs`: what `vibe jobs` does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Body, Path, Query

from vibe_tasks.errors import GitError, RepositoryError, UnknownJobError
from vibe_tasks.flow import by_hand, control
from vibe_tasks.flow.views import diff, explanation, reason
from vibe_tasks.flow.views import jobs as views
from vibe_tasks.jobs import JobStatus
from vibe_tasks.store import job_logs
from vibe_tasks.store.job_archive import job_anywhere
from vibe_tasks.tasks import resources
from vibe_tasks.tasks.whereabouts import ask_broker
from vibe_tasks.web.api.parts import (
    PROBLEMS,
    Asker,
    Cursor,
    Limit,
    Served,
    Tagged,
    cursor_of,
    key_of,
    may,
    page,
    when,
)
from vibe_tasks.web.models.jobs import (
    Cancelled,
    Diff,
    Explanation,
    Job,
    JobDetail,
    Kind,
    LogLine,
    Reason,
    Retried,
)
from vibe_tasks.web.models.kinds import Lane, Name, Page

router = APIRouter(route_class=Tagged, tags=["jobs"], responses=PROBLEMS)

JobId = Annotated[
    Name, Path(description="The job's id, or at least six characters of its beginning.")
]
Because = Annotated[Reason, Body(default_factory=Reason)]


def seq_of(row: Any) -> tuple[int]:
    """The key of a job in listings."""
    return (row["seq"],)


@router.get("/jobs", response_model=Page[Job], **may("read"))
def list_jobs(
    services: Served, *, status: JobStatus | None = None, lane: Lane | None = None,
    plan: Annotated[Name | None, Query(description="Of this plan, by its id or name.")] = None,
    task: Annotated[Name | None, Query(description="Of this task of a plan.")] = None,
    kind: Annotated[Kind | None, Query(description="`call` is a function's job.")] = None,
    archived: Annotated[
        bool, Query(description="Those that are archived, instead of those that are not.")
    ] = False,
    limit: Limit = 100, cursor: Cursor = None,
) -> Any:  # fmt: skip
    """Jobs, newest first."""
    key = key_of(cursor, int)
    with services.ledger.read() as connection:
        found = views.find(
            connection, plan=plan, status=status, lane=lane, task=task, kind=kind, limit=limit + 1,
            before=key[0] if key else None, archived=archived,
        )  # fmt: skip
    rows, after = page(found, limit, seq_of)
    return {"items": [views.listed(row) for row in rows], "next": after}


@router.get("/jobs/{job_id}", response_model=JobDetail, **may("read"))
def show_job(services: Served, job_id: JobId) -> Any:
    """A job with its whole history, the errors of each attempt included; of a qa job also what
    became of each reviewer's vote.
    """
    return views.shown(
        services.ledger, job_id, home=resources.home(), when=when,
        lease=services.settings.lease_seconds,
    )  # fmt: skip


@router.get("/jobs/{job_id}/explanation", response_model=Explanation, **may("read"))
def explain_job(services: Served, job_id: JobId) -> Any:
    """Why a job has not run yet, in a sentence, or what became of it; and which worker it is for:
    the candidates, each term of their scores, the choice.
    """
    with services.ledger.read() as connection:
        return explanation.explained(
            connection, reason.meant(connection, job_id), settings=services.settings, when=when,
            ask=ask_broker,
        )  # fmt: skip


@router.get("/jobs/{job_id}/diff", response_model=Diff, **may("read"))
def diff_job(services: Served, job_id: JobId) -> Any:
    """The job's commit against its base, at most 60,000 bytes of it. 404 where it has no commit,
    or the repository is not on this host.
    """
    try:
        return diff.diff_of(services.ledger, job_id, home=resources.home())
    except (GitError, RepositoryError) as error:
        raise UnknownJobError(f"the change cannot be shown: {error}") from error


@router.get("/jobs/{job_id}/log", response_model=Page[LogLine], **may("read"))
def show_job_log(
    services: Served, job_id: JobId, *,
    attempt: Annotated[
        int | None, Query(ge=1, lt=2**31, description="By default the latest that said anything.")
    ] = None,
    after: Annotated[
        int, Query(ge=0, lt=2**31, description="Only lines with a greater `seq`.")
    ] = 0,
    limit: Limit = 500, cursor: Cursor = None,
) -> Any:  # fmt: skip
    """What the job said while it ran, oldest first. The lines that were written at once have one
    `seq` and come together, so there may be more of them than the limit.
    """
    key = key_of(cursor, int, int)
    with services.ledger.read() as connection:
        known = job_anywhere(connection, job_id)["id"]
        number = key[0] if key else attempt or job_logs.latest_attempt(connection, known)
        pieces = job_logs.pieces_of(
            connection, known, number, after=max(after, key[1] if key else 0), limit=limit + 1
        )
    return _lines(pieces, limit)


def _lines(pieces: Sequence[Mapping[str, Any]], limit: int) -> dict[str, Any]:
    """As many whole pieces as make up so many lines."""
    lines: list[dict[str, Any]] = []
    for number, piece in enumerate(pieces):
        place = {"attempt": piece["attempt"], "seq": piece["seq"]}
        lines += [{"at": piece["at"], **each, **place} for each in piece["lines"]]
        if len(lines) >= limit and number + 1 < len(pieces):
            return {"items": lines, "next": cursor_of(piece["attempt"], piece["seq"])}
    return {"items": lines, "next": None}


@router.post("/jobs/{job_id}/retry", response_model=Retried, **may("operate"))
def retry_job(services: Served, by: Asker, job_id: JobId) -> Any:
    """Give a failed or cancelled job all its attempts back."""
    (known,) = by_hand.known(services.ledger, [job_id], refuse=by_hand.refuse_retry)
    by_hand.retry(services.ledger, known, by=by)
    return {"retried": [known]}


@router.post("/jobs/{job_id}/cancel", response_model=Cancelled, **may("operate"))
def cancel_job(services: Served, by: Asker, job_id: JobId, body: Because) -> Any:
    """Cancel a job that has not ended; a running attempt may not write its result any more. The
    task of a plan ends with its job, and the tasks that need it are blocked.
    """
    (known,) = by_hand.known(services.ledger, [job_id], refuse=by_hand.refuse_cancel)
    control.cancel_job(services.ledger, known, body.reason, by=by)
    return {"cancelled": [known]}
