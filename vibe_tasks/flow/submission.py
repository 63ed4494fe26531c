"""From a plan to its rows in the ledger: submitted, resumed, or refused with a reason."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

from vibe_tasks.errors import GitError, InputError, RepositoryError
from vibe_tasks.events import EventType
from vibe_tasks.flow import control, progress
from vibe_tasks.flow.plan_branch import PlanBranch
from vibe_tasks.flow.workplace import mirrors
from vibe_tasks.jobs import Publication
from vibe_tasks.labels import repo_label
from vibe_tasks.pipeline import JobKind, TaskStatus
from vibe_tasks.plan import Budget, Plan, ResolvedTask
from vibe_tasks.store import events, jobs, plans, usage
from vibe_tasks.store.audit import By, note
from vibe_tasks.store.engine import Database, Transaction
from vibe_tasks.workspace.git import git_version
from vibe_tasks.workspace.remote import is_address, open_mirror
from vibe_tasks.workspace.repository import Repository
from vibe_tasks.workspace.turns import turn

MOST_NAMED = 3
"""Dead letters that a refusal names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """A plan that is in the ledger.

    Attributes:
        plan_id: Its id.
        resumed: Whether it was there before.
        set_aside: What the branch of an earlier run is called now, if one was moved.
        following: Messages to send.
    """

    plan_id: str
    resumed: bool = False
    set_aside: str | None = None
    following: tuple[Publication, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A plan that was read and whose repository was looked at; nothing is written yet."""

    plan: Plan
    source: Path
    home: Path
    repository: Repository
    base_commit: str

    @property
    def branch(self) -> str:
        """Where the result goes."""
        return f"vibe/{self.plan.name}"

    @property
    def result(self) -> PlanBranch:
        """That branch."""
        return PlanBranch(repository=self.repository, name=self.branch, base=self.base_commit)


def prepare(plan: Plan, source: Path, *, home: Path) -> Prepared:
    """Look at everything that could be wrong before anything is written.

    Args:
        plan: The plan.
        source: Its file.
        home: This host's, where mirrors are kept of repositories that plans name by their address.

    Raises:
        RepositoryError: The repository is missing, has no such base or uncommitted changes.
    """
    git_version()
    plan_dir = source.absolute().parent
    repository = _repository(plan, plan_dir, home)
    changed = repository.changed_paths()
    if changed:
        more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
        raise RepositoryError(
            f"{repository.place} has uncommitted changes ({changed[0]}{more}); "
            "commit or stash them first"
        )
    return Prepared(
        plan=plan, source=source.absolute(), home=home, repository=repository,
        base_commit=_base_commit(plan, repository),
    )  # fmt: skip


NewTrace = Callable[[str, str], str]
"""Makes the trace of a plan's task, from the ids of both."""


def submit_plan(
    ledger: Database, prepared: Prepared, *, fresh: bool = False, trace: NewTrace | None = None,
    by: By | None = None,
) -> Submission:  # fmt: skip
    """Write the plan, or go on with the one of that name that was interrupted.

    Args:
        ledger: The ledger.
        prepared: The plan.
        fresh: Start over where a plan of that name exists.
        trace: Makes the trace of each task; None: they have none.
        by: Who hands it in, for the audit trail.

    Raises:
        InputError: A plan of that name has ended, or differs, or its branch exists; with
            `fresh` none of these matters.
        RepositoryError: The branch cannot be made, or is checked out somewhere.
    """
    if fresh:
        _end_earlier(ledger, prepared, by)
    with turn(prepared.home / "submissions", prepared.plan.name) as ours:
        under_way = _look(ledger, prepared)
        if under_way is not None:  # with `fresh`, somebody else's start that came first
            ours.write("")
            return under_way
        try:
            aside = prepared.result.make(
                ours, fresh=fresh, moved=partial(_note_moved, ledger, prepared)
            )
        except RepositoryError:
            under_way = _look(ledger, prepared)
            if under_way is None:
                raise
            return under_way  # the branch is that of another host, which came first
        with ledger.begin() as connection:
            plans.lock_name(connection, prepared.plan.name)
            under_way = _under_way(connection, prepared)
            if under_way is not None:
                return under_way
            plan_id = f"{prepared.plan.name}-{uuid4().hex[:8]}"
            following = _write(connection, plan_id, prepared, trace)
            told = {"source": str(prepared.source), "digest": prepared.plan.digest(),
                    "tasks": len(prepared.plan.tasks), "fresh": fresh}  # fmt: skip
            note(connection, by, "plan.submit", plan_id, told)
        ours.write("")
    return Submission(plan_id=plan_id, set_aside=aside, following=following)


def _look(ledger: Database, prepared: Prepared) -> Submission | None:
    with ledger.read() as connection:
        return _under_way(connection, prepared)


def _note_moved(ledger: Database, prepared: Prepared, aside: str) -> None:
    """The branch of the plan that was replaced has another name now."""
    of = {"name": prepared.plan.name, "repo": prepared.repository.place, "branch": prepared.branch}
    with ledger.begin() as connection:
        plans.move_branch(connection, of, aside)


def _repository(plan: Plan, plan_dir: Path, home: Path) -> Repository:
    if is_address(plan.repo):
        return open_mirror(plan.repo, mirrors(home))
    return Repository.open((plan_dir / plan.repo).resolve())


def _base_commit(plan: Plan, repository: Repository) -> str:
    try:
        return repository.resolve(plan.base or repository.current_branch())
    except GitError as error:
        if repository.address is None:
            raise
        raise RepositoryError(f"{error}") from error


def _end_earlier(ledger: Database, prepared: Prepared, by: By | None) -> None:
    """Stop the plans of this name for good, in a transaction of its own, before their branch is
    moved aside: killed in between, none of them may go on upon a branch that lacks its merges.
    """
    prepared.result.refuse_checked_out()
    with ledger.begin() as connection:
        plans.lock_name(connection, prepared.plan.name)
        while (known := plans.latest_plan(connection, prepared.plan.name)) is not None:
            control.replace_plan(connection, known["id"])
            note(connection, by, "plan.replace", known["id"], {"was": known["status"]})


def _under_way(connection: Transaction, prepared: Prepared) -> Submission | None:
    """The plan of this name, if there is one and it can be gone on with."""
    known = plans.latest_plan(connection, prepared.plan.name)
    if known is None:
        return None
    _same(connection, known, prepared)
    return Submission(plan_id=known["id"], resumed=True)


def _same(connection: Transaction, known: Mapping[str, Any], prepared: Prepared) -> None:
    hint = "--fresh (in Python: fresh=True) starts over and keeps the branch under another name"
    name = prepared.plan.name
    changed = known["digest"] != prepared.plan.digest()
    if known["status"] != "running" and changed:  # it cannot be gone on with, retried or not
        raise InputError(
            f"plan {name} has ended ({known['status']}) and its file has changed since; {hint}"
        )
    if known["status"] != "running":
        dead = plans.dead_letters(connection, known["id"], limit=MOST_NAMED)
        if dead:
            ids = " ".join(each[:8] for each in dead)
            again = f"`vibe dlq retry {ids}` and the same command again go on with it"
            hint = f"{again}; {hint}"
        raise InputError(f"plan {name} has ended ({known['status']}); {hint}")
    if changed:
        raise InputError(f"plan {name} is under way and its file has changed since; {hint}")
    address = prepared.repository.address
    if (known["remote"] or known["repo"]) != (address or prepared.repository.place):
        raise InputError(f"plan {name} is under way in {known['repo']}; {hint}")


def _write(
    connection: Transaction, plan_id: str, prepared: Prepared, trace: NewTrace | None
) -> tuple[Publication, ...]:
    plan = prepared.plan
    rows = [
        _task_row(plan, plan.resolved(task), position, prepared.repository.address)
        for position, task in enumerate(plan.order())
    ]
    needs = [(task.id, need) for task in plan.tasks for need in dict.fromkeys(task.needs)]
    plans.insert_plan(
        connection,
        {
            "id": plan_id,
            "name": plan.name,
            "digest": plan.digest(),
            "source": str(prepared.source),
            "plan_dir": str(prepared.source.parent),
            "repo": prepared.repository.place,
            "remote": prepared.repository.address,
            "base_commit": prepared.base_commit,
            "branch": prepared.branch,
            "spec": plan.model_dump(mode="json"),
        },
        rows,
        needs,
    )
    _write_budgets(connection, plan_id, plan)
    # Jobs of one level start in the order of their rows: what most work waits for comes first.
    made = [
        progress.new_job(
            {**row, "plan_id": plan_id},
            JobKind.DEV,
            blocked=row["status"] == TaskStatus.WAITING,
            trace=trace and trace(plan_id, row["id"]),
        )
        for row in sorted(rows, key=lambda row: -plan.chain_effort(plan.task(row["id"])))
    ]
    submitted = jobs.submit(connection, made, published=True)
    events.record(
        connection, EventType.PLAN_STARTED, session=plan_id, payload={"tasks": len(rows)},
        summary=f"plan {plan.name}: {len(rows)} {'task' if len(rows) == 1 else 'tasks'}",
    )  # fmt: skip
    return tuple(
        progress.publication_of(job)
        for job, result in zip(made, submitted, strict=True)
        if result.due
    )


def _write_budgets(connection: Transaction, plan_id: str, plan: Plan) -> None:
    wanted: list[tuple[usage.Scope, str, Budget | None]] = [
        ("plan", plan.name, plan.budget),
        *(("task", task.id, task.budget) for task in plan.tasks),
        *(("agent", name, spec.budget) for name, spec in plan.agents.items()),
    ]
    for scope, name, budget in wanted:
        if budget is not None:
            usage.set_budget(
                connection, plan_id, scope, name, budget.usd, budget.tokens, budget.seconds
            )


def _task_row(plan: Plan, task: ResolvedTask, position: int, address: str | None) -> dict[str, Any]:
    waits = bool(task.needs)
    spec = {
        "task": task.to_json(),
        "lane": task.lane,
        "priority": task.priority.name.lower(),
        "priority_why": plan.explain_priority(plan.task(task.id)),
        "effort": task.effort,
        "labels": dict(task.labels),
        "required": list(task.required),
        "repo_label": None if address is None else repo_label(address),
        "max_retries": max(1, task.max_retries),  # the first failure can be the last, none cannot
        "retry_base": task.retry_base,
        "agent": task.agent,
        "agent_spec": plan.agents[task.agent].model_dump(mode="json"),
        "qa_timeout": plan.qa.timeout,
        "surroundings": plan.qa.model_dump(mode="json", include={"env", "limits", "sandbox"}),
        "reviewers": [
            {"agent": name, "spec": plan.agents[name].model_dump(mode="json")}
            for name in plan.qa.reviewers
        ],
        "qa_rule": plan.qa.rule,
        "qa_review": plan.qa.review,
        "approval": plan.deploy.approval,
        "deploy_command": plan.deploy.command,
        "deploy_env": list(plan.deploy.env),
    }
    return {
        "id": task.id,
        "position": position,
        "title": task.title,
        "status": TaskStatus.WAITING if waits else TaskStatus.RUNNING,
        "stage": None if waits else JobKind.DEV,
        "spec": spec,
        "waiting_on": len(set(task.needs)),
        "fix_round": 0,
        "max_fix_rounds": task.max_fix_rounds,
    }
