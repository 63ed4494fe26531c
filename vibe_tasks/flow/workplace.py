"""Where a job of a plan is done: its task, its repository, its folders."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from vibe_tasks.errors import PermanentError, UnknownJobError
from vibe_tasks.flow import progress
from vibe_tasks.jobs import Claim, JobStatus, Publication
from vibe_tasks.pipeline import JobKind, Outcome, TaskStatus
from vibe_tasks.store import jobs, leases, plans
from vibe_tasks.store.engine import Database
from vibe_tasks.store.retries import OUTCOME, Retries
from vibe_tasks.workspace.environment import child_environment
from vibe_tasks.workspace.repository import Repository

Following = tuple[Publication, ...]
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class Workplace:
    """What a worker brings along.

    Attributes:
        ledger: The database.
        home: Folder for worktrees and logs.
        environ: Environment that agents and checks inherit from.
        retries: Tries again to write how an attempt ended; None: it is tried once.
    """

    ledger: Database
    home: Path
    environ: Mapping[str, str]
    retries: Retries | None = None

    def insist(self, operation: Callable[[bool], Result]) -> Result:
        """Do this with the ledger, for as long as the outcome of an attempt is worth.

        Args:
            operation: Gets whether an earlier try may have been done.
        """
        if self.retries is None:
            return operation(False)
        return self.retries.call(operation, OUTCOME)

    def child_environment(self) -> dict[str, str]:
        """The environment of a check."""
        return child_environment(self.environ, extra={})


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """One attempt at a job of a plan, set up.

    Attributes:
        place: What the worker brings along.
        claim: The attempt.
        plan: The plan's row without its specification.
        spec: The task, everything filled in, and what its jobs need of the plan.
        repository: The plan's repository.
    """

    place: Workplace
    claim: Claim
    plan: Mapping[str, Any]
    spec: Mapping[str, Any]
    repository: Repository

    @property
    def mark(self) -> str:
        """A name for this attempt's folders."""
        return f"{self.claim.id}-{self.claim.attempt}"

    @property
    def worktree(self) -> Path:
        """Where this attempt checks out."""
        return self.place.home / "worktrees" / self.mark

    @property
    def scratch(self) -> Path:
        """This attempt's folder for logs and the task file, made if need be."""
        folder = attempt_folder(self.place.home, self.claim.id, self.claim.attempt)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    @property
    def commit(self) -> str:
        """The commit that the job is about."""
        return str(self.claim.kwargs["commit"])

    def tip(self) -> str:
        """The newest commit of the plan's branch; where nothing was merged yet, at least the base.

        Raises:
            PermanentError: The branch is gone, and with it what was merged.
        """
        branch = self.plan["branch"]
        found = self.repository.branch_commit(branch)
        if found is not None:
            return found
        with self.place.ledger.read() as connection:
            merged = plans.task_counts(connection, str(self.claim.plan_id)).get(TaskStatus.DEPLOYED)
        if merged:  # to begin again at the base would lose it without a word
            raise PermanentError(f"branch {branch} is gone, and with it {merged} merged tasks")
        return str(self.plan["base_commit"])

    def fence(self) -> None:
        """Refuse to go on when the attempt has lost its lease.

        Raises:
            LeaseLostError: It has.
        """

        def look(_unsure: bool) -> None:
            with self.place.ledger.read() as connection:
                jobs.check_lease(connection, self.claim.id, self.claim.attempt)

        self.place.insist(look)

    def finish(
        self,
        result: Mapping[str, Any],
        outcome: Outcome,
        *,
        commit: str,
        report: Mapping[str, Any] | None = None,
    ) -> tuple[Mapping[str, Any], Following]:
        """Write the job's end and what follows from it, together; the messages to send.

        Raises:
            LeaseLostError: The attempt is no longer the job's current one.
        """
        plan_id, task_id = str(self.claim.plan_id), str(self.claim.task_id)
        ledger, claim = self.place.ledger, self.claim

        def write(unsure: bool) -> Following:
            with ledger.begin() as connection:
                plans.plan_status(connection, plan_id)
                end = leases.end_of(connection, claim.id, claim.attempt) if unsure else None
                if end is not None and end[0] == JobStatus.COMPLETED:
                    return ()  # the dispatcher sends what follows
                jobs.complete_job(connection, claim.id, claim.attempt, dict(result))
                return progress.advance(
                    connection, job_id=claim.id, plan_id=plan_id, task_id=task_id,
                    kind=JobKind(claim.kind), outcome=outcome, commit=commit, report=report,
                )  # fmt: skip

        return result, self.place.insist(write)


def attempt_folder(home: Path, job_id: str, attempt: int) -> Path:
    """Where an attempt's logs are."""
    return home / "attempts" / job_id / str(attempt)


def set_up(place: Workplace, claim: Claim) -> Bench:
    """Everything that an attempt at a job of a plan needs.

    Raises:
        UnknownJobError: The job belongs to no plan.
        RepositoryError: The plan's repository is gone.
    """
    if claim.plan_id is None or claim.task_id is None:
        raise UnknownJobError(f"job {claim.id} belongs to no plan")
    plan_id, task_id = claim.plan_id, claim.task_id

    def look(_unsure: bool) -> tuple[Any, Any]:
        with place.ledger.read() as connection:
            heading = plans.plan_heading(connection, plan_id)
            return heading, plans.task_spec(connection, plan_id, task_id)

    plan, spec = place.insist(look)
    return Bench(
        place=place,
        claim=claim,
        plan=plan,
        spec=spec,
        repository=repository_of(Path(plan["repo"])),
    )


def repository_of(path: Path) -> Repository:
    """The repository in this folder; looked at once in each process, which takes two git calls.

    Raises:
        RepositoryError: It is gone.
    """
    found = _opened(path)
    if not found.common_dir.is_dir():
        _opened.cache_clear()
        found = _opened(path)
    return found


@lru_cache(maxsize=32)
def _opened(path: Path) -> Repository:
    return Repository.open(path)
