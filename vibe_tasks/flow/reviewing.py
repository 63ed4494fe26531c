"""How reviews move a task on: the last vote decides, in the transaction that writes it.

The seats of a run are the review jobs of one qa job; what they come to is that job's verdict. All
of it happens under the plan's lock, so that of two votes that come last one sees the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vibe_tasks.consensus import Decision, Verdict, Vote, decide, findings_of, in_words
from vibe_tasks.errors import IllegalMoveError
from vibe_tasks.events import EventType
from vibe_tasks.failures import bounded
from vibe_tasks.flow import progress
from vibe_tasks.jobs import JobStatus, Publication
from vibe_tasks.pipeline import JobKind, Outcome, TaskStatus
from vibe_tasks.store import jobs, plans
from vibe_tasks.store.consensus import Seat, keep_run, seats_of, spec_id_of, write_verdict
from vibe_tasks.store.engine import Transaction

OUTCOMES = {
    Verdict.PASS: Outcome.PASSED, Verdict.FAIL: Outcome.REJECTED,
    Verdict.UNDECIDED: Outcome.UNDECIDED,
}  # fmt: skip

OPEN = frozenset({Verdict.VOTING, Verdict.UNDECIDED})
"""Verdicts of a qa job whose reviewers can be asked again."""


def wants_votes(spec: Mapping[str, Any], *, passed: bool) -> bool:
    """Whether reviewers are to vote on work that the checks have judged.

    Args:
        spec: The task's specification.
        passed: What the checks said.
    """
    return bool(spec.get("reviewers")) and (passed or spec.get("qa_review") == "always")


def job_ended(
    connection: Transaction,
    *,
    job_id: str,
    plan_id: str,
    task_id: str,
    kind: JobKind,
    outcome: Outcome,
    commit: str | None = None,
    report: Mapping[str, Any] | None = None,
    error: str | None = None,
) -> tuple[Publication, ...]:
    """A job of a plan has ended, of whatever kind: write what follows; the messages to send.

    Arguments as for `progress.advance`; of a review its row says all that counts.
    """
    if kind is JobKind.REVIEW:
        # The run says what came of it: a review is no dead letter of its own.
        jobs.mark_dead_letter(connection, job_id, dead=False)
        return seat_ended(connection, jobs.find_job(connection, job_id))
    return progress.advance(
        connection, job_id=job_id, plan_id=plan_id, task_id=task_id, kind=kind, outcome=outcome,
        commit=commit, report=report, error=error,
    )  # fmt: skip


def seat_ended(connection: Transaction, review: Mapping[str, Any]) -> tuple[Publication, ...]:
    """A review has voted, failed for the last time or was cancelled: decide if it was the last.

    The caller holds the plan's lock and has written the review's end.

    Args:
        connection: The transaction of the review's end.
        review: The review's row.
    """
    qa = jobs.find_job(connection, review["args"]["kwargs"]["qa"])
    return _decide(connection, qa)


def without_waiting(
    connection: Transaction,
    plan_id: str,
    task_id: str,
    round: int,  # noqa: A002
) -> tuple[Publication, ...]:
    """A review was put off by something that is not its doing: decide without it, where enough have
    voted and none but such seats are left. The messages to send.

    The caller holds the plan's lock and has put the review off.

    Args:
        connection: The transaction that put it off.
        plan_id: Its plan.
        task_id: Its task.
        round: Its fix round.
    """
    qa_id = plans.job_of(connection, plan_id, task_id, JobKind.QA, status=JobStatus.COMPLETED)
    if qa_id is None:
        return ()
    qa = jobs.find_job(connection, qa_id)
    return _decide(connection, qa) if qa["round"] == round else ()


def ask_again(connection: Transaction, qa_id: str) -> None:
    """Bring back the reviews of this qa job that have not voted; the caller wakes the task.

    Raises:
        UnknownJobError: No such job.
        IllegalMoveError: It is decided, or all of them have voted or still may.
    """
    qa = jobs.find_job(connection, qa_id)
    result = qa["result"] if isinstance(qa["result"], dict) else {}
    if result.get("verdict") not in OPEN:
        raise IllegalMoveError(f"the reviews of qa job {qa_id} are decided")
    missing = [
        seat for seat in seats_of(connection, qa)
        if not seat.live and seat.status != JobStatus.COMPLETED
    ]  # fmt: skip
    if not missing:
        raise IllegalMoveError(f"every reviewer of qa job {qa_id} has voted or is still to vote")
    for seat in missing:
        jobs.revive_job(connection, seat.id)
    jobs.mark_dead_letter(connection, qa_id, dead=False)
    write_verdict(
        connection, qa_id,
        {**result, "verdict": Verdict.VOTING, "summary": _said_by_checks(result)},
    )  # fmt: skip


def _said_by_checks(result: Mapping[str, Any]) -> str:
    """What the checks came to, of a qa job's result that may say what the votes came to."""
    return str(result.get("checks_summary", result.get("summary", "")))


def _decide(connection: Transaction, qa: Mapping[str, Any]) -> tuple[Publication, ...]:
    task = plans.find_task(connection, qa["plan_id"], qa["task_id"])
    result = qa["result"] if isinstance(qa["result"], dict) else {}
    if task["status"] != TaskStatus.RUNNING or result.get("verdict") != Verdict.VOTING:
        return ()
    seats = seats_of(connection, qa)
    if any(seat.live and not seat.waits for seat in seats):
        return ()
    votes = [_vote(seat) for seat in _cast(seats)]
    decision = decide(
        votes, seats=len(seats), rule=task["spec"].get("qa_rule", "majority"),
        checks_passed=result["checked"] == Verdict.PASS,
    )  # fmt: skip
    left = [seat for seat in seats if seat.live]
    if left and decision.verdict is Verdict.UNDECIDED:
        return ()  # they are needed
    for seat in left:
        jobs.cancel_job(connection, seat.id, f"decided without it; it {seat.error}")
    return _conclude(connection, qa, seats, votes, decision)


def _conclude(
    connection: Transaction,
    qa: Mapping[str, Any],
    seats: Sequence[Seat],
    votes: Sequence[Vote],
    decision: Decision,
) -> tuple[Publication, ...]:
    """Write down what was decided, and go on from there."""
    before, plan_id, task_id = qa["result"], qa["plan_id"], qa["task_id"]
    verdict, absent = decision.verdict, _absent(seats)
    summary = in_words(
        decision, votes, checks="" if before.get("checks") == [] else _said_by_checks(before),
        checks_passed=before["checked"] == Verdict.PASS,
    )  # fmt: skip
    report = {
        "summary": f"{summary}; {absent}" if verdict is Verdict.UNDECIDED else summary,
        "commit": before["commit"], "checks": before.get("checks", []),
        "findings": findings_of(votes),
    }  # fmt: skip
    panel = {"seats": decision.seats, "votes": decision.votes, "passing": decision.passing,
             "degraded": decision.degraded}  # fmt: skip
    write_verdict(
        connection, qa["id"],
        {"verdict": verdict, "checked": before["checked"],
         "checks_summary": _said_by_checks(before), **report, "consensus": panel},
    )  # fmt: skip
    keep_run(
        connection, spec_id=spec_id_of(plan_id, task_id),
        stage=f"qa.{qa['round']}" if qa["round"] else "qa", ok=verdict is Verdict.PASS,
        degraded=decision.degraded, votes=_cast(seats),
        synthesis={"verdict": verdict, "qa_job": qa["id"], **panel, **report, "absent": absent},
    )  # fmt: skip
    if decision.degraded and verdict is not Verdict.UNDECIDED:
        progress.record(
            connection, EventType.QA_DEGRADED, plan_id=plan_id, task_id=task_id, job_id=qa["id"],
            why=f"{decision.votes} of {decision.seats} reviewers voted; {absent}",
        )  # fmt: skip
    return progress.advance(
        connection, job_id=qa["id"], plan_id=plan_id, task_id=task_id, kind=JobKind.QA,
        outcome=OUTCOMES[verdict], commit=before["commit"], report=report,
    )  # fmt: skip


def _cast(seats: Sequence[Seat]) -> list[Seat]:
    voted = [seat for seat in seats if seat.status == JobStatus.COMPLETED]
    return sorted(voted, key=lambda seat: seat.number)


def _absent(seats: Sequence[Seat]) -> str:
    """Who did not vote, and why; empty where all did."""
    silent = [seat for seat in seats if seat.status != JobStatus.COMPLETED]
    return "; ".join(
        f"reviewer {seat.number} ({seat.agent}): {_first_line(seat.error)}"
        for seat in sorted(silent, key=lambda seat: seat.number)
    )


def _first_line(error: str | None) -> str:
    return (error or "no reason known").strip().partition("\n")[0][:LONGEST_REASON]


LONGEST_REASON = 300
"""Characters of a reviewer's error that are told; all of it is in the review's history."""


def _vote(seat: Seat) -> Vote:
    """What was said; a consumer outside may once have handed in anything as findings."""
    said = seat.result if isinstance(seat.result, Mapping) else {}
    found = said.get("findings")
    return Vote(
        agent=seat.agent, passes=said.get("verdict") == Verdict.PASS,
        findings=tuple(bounded(each) for each in found if isinstance(each, str))
        if isinstance(found, list) else (),
    )  # fmt: skip
