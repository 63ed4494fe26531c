"""Where a job of a plan is done: its task, its repository, its folders."""

from __future__ import annotations

import platform
import re
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from vibe_tasks.breaker import CircuitBreakerConfig
from vibe_tasks.errors import GitError, PermanentError, RepositoryError, UnknownJobError
from vibe_tasks.flow import reviewing
from vibe_tasks.flow.confirmation import unconfirmed
from vibe_tasks.jobs import Claim, JobStatus, Publication
from vibe_tasks.pipeline import JobKind, Outcome, TaskStatus
from vibe_tasks.plan_specs import Surroundings
from vibe_tasks.store import jobs, leases, plans
from vibe_tasks.store.engine import Database
from vibe_tasks.store.redacting import kept_value
from vibe_tasks.store.retries import OUTCOME, Retries
from vibe_tasks.workspace.remote import open_mirror
from vibe_tasks.workspace.repository import Repository
from vibe_tasks.workspace.surroundings import Machine, Surrounded, surround

Following = tuple[Publication, ...]
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class Workplace:
    """What a worker brings along.

    Attributes:
        ledger: The database.
        home: Folder for worktrees and logs.
        environ: Where the variables of agents and checks come from.
        retries: Tries again to write how an attempt ended; None: it is tried once.
        monotonic: Seconds that only ever grow.
        uniform: Draws a number between two others (`random.uniform`).
        breaker: When agents that fail are left alone for a while.
        cache_ttl: Seconds for which a change of an agent is used again.
        cache_entries: Changes that are kept; 0: none.
        machine: What this machine adds to the surroundings of agents and checks.
        before_end: Called right before the end of an attempt that completes is written.
        span: A part of an attempt, by its name and what is to be known of it, for who looks on.
    """

    ledger: Database
    home: Path
    environ: Mapping[str, str]
    retries: Retries | None = None
    monotonic: Callable[[], float] = lambda: 0.0
    uniform: Callable[[float, float], float] = lambda low, _high: low
    breaker: CircuitBreakerConfig = field(default_factory=CircuitBreakerConfig)
    cache_ttl: float = 3_600.0
    cache_entries: int = 0
    machine: Machine = field(default_factory=Machine)
    before_end: Callable[[], None] = lambda: None
    span: Callable[[str, Mapping[str, Any]], AbstractContextManager[Any]] = (
        lambda _name, _attributes: nullcontext()
    )

    def insist(self, operation: Callable[[bool], Result]) -> Result:
        """Do this with the ledger, for as long as the outcome of an attempt is worth.

        Args:
            operation: Gets whether an earlier try may have been done.
        """
        if self.retries is None:
            return operation(False)
        return self.retries.call(operation, OUTCOME)


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

    def plan_dir(self, agent: str, *, needed: bool) -> Path:
        """The plan file's folder.

        Args:
            agent: Who asks.
            needed: Whether it cannot do without.

        Raises:
            PermanentError: It cannot, and the folder is on another host.
        """
        folder = Path(self.plan["plan_dir"])
        if needed and not folder.is_dir():
            raise PermanentError(
                f"agent {agent} needs the plan file's folder {folder}, which is not on host "
                f"{platform.node()}: keep its program in the repository and name it from there, "
                "or put the folder on every host"
            )
        return folder

    @property
    def machine(self) -> Machine:
        """What this machine adds; a sandbox shows the repository's history too."""
        machine = self.place.machine
        return replace(machine, readable=(*machine.readable, self.repository.common_dir))

    def surrounded(self, spec: Mapping[str, Any]) -> Surrounded:
        """The surroundings of a check or a command in this attempt's worktree.

        Args:
            spec: What the plan says, as JSON values.
        """
        return surround(
            Surroundings.model_validate(spec), self.machine, environ=self.place.environ,
            worktree=self.worktree, readable=(self.scratch,),
        )  # fmt: skip

    @property
    def commit(self) -> str:
        """The commit that the job is about."""
        return str(self.claim.kwargs["commit"])

    def tip(self) -> str:
        """The newest commit of the plan's branch that no deploy may take back any more; where
        nothing was merged yet, at least the base.

        Raises:
            PermanentError: The branch is gone, and with it what was merged.
        """
        branch = self.plan["branch"]
        found = self.repository.branch_commit(branch)
        while found is not None:
            left = self._unconfirmed(found)
            if left is None:
                return found
            found = left
        with self.place.ledger.read() as connection:
            merged = plans.task_counts(connection, str(self.claim.plan_id)).get(TaskStatus.DEPLOYED)
        if merged:  # to begin again at the base would lose it without a word
            raise PermanentError(f"branch {branch} is gone, and with it {merged} merged tasks")
        return str(self.plan["base_commit"])

    def opposite(self, conflict: object) -> str:
        """What a commit that did not merge is to be merged with: the tip. Where a merge stays on
        the branch that nobody could take back and the tip passes over, what the conflict was with.

        Args:
            conflict: The report's; one that a consumer outside has handed in may be anything.
        """
        tip = self.tip()
        met = conflict.get("onto") if isinstance(conflict, Mapping) else None
        if not isinstance(met, str) or not re.fullmatch(r"[0-9a-f]{40,64}", met):
            return tip
        try:
            self.repository.bring(met)
            return tip if self.repository.is_ancestor(met, tip) else met
        except GitError:  # there is no such commit any more
            return tip

    def _unconfirmed(self, tip: str) -> str | None:
        """What stood on the branch before this commit, if that is to be passed over."""
        if not self.spec.get("deploy_command"):
            return None
        ledger, plan_id = self.place.ledger, str(self.claim.plan_id)
        left = unconfirmed(ledger, self.repository, plan_id, tip)
        return None if left is None else left.before

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
        result, report = kept_value(ledger, dict(result)), kept_value(ledger, report)

        def write(unsure: bool) -> Following:
            with ledger.begin() as connection:
                plans.plan_status(connection, plan_id)
                end = leases.end_of(connection, claim.id, claim.attempt) if unsure else None
                if end is not None and end[0] == JobStatus.COMPLETED:
                    return ()  # the dispatcher sends what follows
                jobs.complete_job(connection, claim.id, claim.attempt, dict(result))
                return reviewing.job_ended(
                    connection, job_id=claim.id, plan_id=plan_id, task_id=task_id,
                    kind=JobKind(claim.kind), outcome=outcome, commit=commit, report=report,
                )  # fmt: skip

        self.place.before_end()
        return result, self.place.insist(write)


def attempt_folder(home: Path, job_id: str, attempt: int) -> Path:
    """Where an attempt's logs are."""
    return home / "attempts" / job_id / str(attempt)


def set_up(place: Workplace, claim: Claim) -> Bench:
    """Everything that an attempt at a job of a plan needs.

    Raises:
        UnknownJobError: The job belongs to no plan.
        RepositoryError: The plan's repository is gone.
        GitError: The remote cannot be reached, or lacks the commit that the job is about.
    """
    if claim.plan_id is None or claim.task_id is None:
        raise UnknownJobError(f"job {claim.id} belongs to no plan")
    plan_id, task_id = claim.plan_id, claim.task_id

    def look(_unsure: bool) -> tuple[Any, Any]:
        with place.ledger.read() as connection:
            heading = plans.plan_heading(connection, plan_id)
            return heading, plans.task_spec(connection, plan_id, task_id)

    plan, spec = place.insist(look)
    repository = repository_of(plan, place.home)
    if commit := claim.kwargs.get("commit"):
        repository.bring(str(commit))
    return Bench(place=place, claim=claim, plan=plan, spec=spec, repository=repository)


def mirrors(home: Path) -> Path:
    """Where a host keeps its mirrors of repositories that plans name by their address."""
    return home / "repositories"


def repository_of(plan: Mapping[str, Any], home: Path) -> Repository:
    """A plan's repository; looked at once in each process, which takes two git calls.

    Args:
        plan: The plan's row.
        home: This host's.

    Raises:
        RepositoryError: It is gone, or on another host.
    """
    if plan["remote"] is not None:
        return open_mirror(plan["remote"], mirrors(home))
    path = Path(plan["repo"])
    found = _opened(path)
    if not found.common_dir.is_dir():
        _opened.cache_clear()
        found = _opened(path)
    return found


@lru_cache(maxsize=32)
def _opened(path: Path) -> Repository:
    if not path.is_dir():
        raise RepositoryError(
            f"{path}: no such folder on this host; workers of several hosts need a plan whose "
            "`repo` is an address"
        )
    return Repository.open(path)
