"""Jobs that somebody outside has done: their end, and what follows from it in a plan.

A plan's job has its own kind of result. Whoever does such a job elsewhere hands in what our own
workers would have found out: the commit of a dev or fix job, the verdict of a qa job.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from vibe_tasks.consensus import Verdict
from vibe_tasks.errors import InputError
from vibe_tasks.flow import reviewing
from vibe_tasks.jobs import Claim, Publication
from vibe_tasks.pipeline import JobKind, Outcome
from vibe_tasks.store import jobs, plans
from vibe_tasks.store.engine import Transaction
from vibe_tasks.store.redacting import redacted


class Attempt(Protocol):
    """An attempt at a job: a `Claim`, or anything that names one."""

    @property
    def id(self) -> str:
        """The job."""
        ...

    @property
    def attempt(self) -> int:
        """Its number, from 1; writes of an older one are refused."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """An attempt that was claimed earlier, by another process or request.

    Attributes:
        id: The job.
        attempt: Its number.
    """

    id: str
    attempt: int


def claimed(taken: Claim, row: Mapping[str, Any]) -> dict[str, Any]:
    """What a claim tells whoever does the job, as JSON values.

    Args:
        taken: The claim.
        row: The job's row.
    """
    return {
        "id": taken.id, "attempt": taken.attempt, "name": taken.name, "kind": taken.kind,
        "lane": taken.lane, "priority": int(taken.priority), "args": list(taken.args),
        "kwargs": dict(taken.kwargs), "lease_until": row["lease_until"],
        "worker": row["worker"], "retry_count": taken.retry_count,
        "max_retries": taken.max_retries, "time_limit": taken.time_limit,
        "plan_id": taken.plan_id, "task_id": taken.task_id, "round": taken.round,
    }  # fmt: skip


def complete(
    connection: Transaction, row: Mapping[str, Any], attempt: int, result: Any
) -> tuple[Publication, ...]:
    """Write the job's end; of a plan's job also what follows from it. The messages to send.

    Args:
        connection: A writing transaction.
        row: The job's row.
        attempt: The attempt that did it.
        result: A JSON value. Of a plan's job a mapping: `commit` for dev and fix; `verdict`,
            `pass` or `fail`, and `summary` for qa; the same and `findings`, a list of texts,
            for a review; `conflict` for a deploy that did not merge.

    Raises:
        InputError: The result is not what a job of this kind must have.
        LeaseLostError: The attempt is no longer the job's current one.
        TypeError: The result is no JSON value.
    """
    if row["plan_id"] is None or row["task_id"] is None:
        jobs.complete_job(connection, row["id"], attempt, result)
        return ()
    kind = JobKind(row["kind"])
    outcome, commit = _outcome(kind, row, result)
    result = redacted(connection, result)
    refused = outcome in {Outcome.REJECTED, Outcome.CONFLICT}
    plans.plan_status(connection, row["plan_id"])
    if kind is JobKind.QA:
        spec = plans.task_spec(connection, row["plan_id"], row["task_id"])
        if reviewing.wants_votes(spec, passed=outcome is Outcome.PASSED):
            outcome = Outcome.VOTING
            result = {"summary": "", **result, "commit": commit, "checked": result["verdict"],
                      "verdict": Verdict.VOTING}  # fmt: skip
    jobs.complete_job(connection, row["id"], attempt, result)
    return reviewing.job_ended(
        connection, job_id=row["id"], plan_id=row["plan_id"], task_id=row["task_id"], kind=kind,
        outcome=outcome, commit=commit,
        report=result if refused or outcome is Outcome.VOTING else None,
    )  # fmt: skip


def _outcome(kind: JobKind, row: Mapping[str, Any], result: Any) -> tuple[Outcome, str]:
    fields = result if isinstance(result, Mapping) else {}
    given = row["args"]["kwargs"].get("commit")
    match kind:
        case JobKind.DEV | JobKind.FIX:
            commit = fields.get("commit")
            if not isinstance(commit, str) or not commit:
                raise InputError(f"the result of a {kind} job must name its `commit`")
            return Outcome.DONE, commit
        case JobKind.QA | JobKind.REVIEW:
            verdict = fields.get("verdict")
            if verdict not in {"pass", "fail"}:
                raise InputError(
                    f"the result of a {kind} job must have a `verdict`, pass or fail, "
                    f"got {verdict!r}"
                )
            if kind is JobKind.REVIEW:
                _check_findings(fields.get("findings", []))
                return Outcome.DONE, str(given)
            return Outcome.PASSED if verdict == "pass" else Outcome.REJECTED, str(given)
        case JobKind.DEPLOY:
            return Outcome.CONFLICT if fields.get("conflict") else Outcome.DONE, str(given)


def _check_findings(found: Any) -> None:
    if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
        raise InputError("the `findings` of a review job must be a list of texts")
