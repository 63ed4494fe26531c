"""`/api/v1/plans`: what `vibe submit` and `vibe plans` do."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Path, Query
from fastapi.requests import Request
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from vibe_tasks.errors import (
    GitError,
    IllegalMoveError,
    InputError,
    RepositoryError,
    UnknownJobError,
)
from vibe_tasks.flow import budgets, by_hand, control
from vibe_tasks.flow.approval import difference, waiting
from vibe_tasks.flow.views import plans as views
from vibe_tasks.store import plans
from vibe_tasks.store.engine import Transaction
from vibe_tasks.suggestion import did_you_mean
from vibe_tasks.tasks import resources, work
from vibe_tasks.web.api.parts import (
    PROBLEMS,
    Asker,
    Cursor,
    Limit,
    Served,
    Tagged,
    key_of,
    may,
    page,
)
from vibe_tasks.web.models.kinds import Name, Page
from vibe_tasks.web.models.plans import (
    ApprovalOfPlan,
    Approved,
    ApproveGiven,
    BudgetGiven,
    Budgets,
    Plan,
    PlanApprovals,
    PlanCancelled,
    PlanDetail,
    PlanReason,
    Submitted,
)

router = APIRouter(route_class=Tagged, tags=["plans"], responses=PROBLEMS)

PlanName = Annotated[
    Name, Path(description="The plan's id, or its name, which means the latest of that name.")
]

EXAMPLE = """\
version: 1
name: todo-api
repo: https://git.example/todo.git
agent: claude
agents:
  claude: {type: command, preset: claude}
tasks:
  - {id: store, title: Store to-do items, prompt: Write todo/store.py}
"""

_BODY = {
    "requestBody": {
        "required": True,
        "description": "A plan file's text; `repo` is an address or an absolute path.",
        "content": {
            "application/yaml": {"schema": {"type": "string"}, "example": EXAMPLE},
            "application/json": {"schema": {"type": "object"}},
        },
    }
}


async def _text(request: Request) -> str:
    """The body as text; its content type says nothing new, as JSON is YAML."""
    try:
        return (await request.body()).decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError("the plan is not UTF-8 text") from error


def _operate() -> dict[str, Any]:
    given = may("operate")
    return {**given, "openapi_extra": {**given["openapi_extra"], **_BODY}}


@router.get("/plans", response_model=Page[Plan], **may("read"))
def list_plans(services: Served, *, limit: Limit = 100, cursor: Cursor = None) -> Any:
    """Plans, newest first."""
    key = key_of(cursor, float, str)
    with services.ledger.read() as connection:
        found = views.listed(
            connection, limit=limit + 1, before=(key[0], key[1]) if key else None
        )  # fmt: skip
    rows, after = page(found, limit, lambda row: (row["created_at"], row["id"]))
    return {"items": rows, "next": after}


@router.post(
    "/plans", response_model=Submitted, status_code=201, **_operate(),
    responses={200: {"description": "It is under way already.", "model": Submitted}},
)  # fmt: skip
def submit_plan(
    response: Response, by: Asker, text: Annotated[str, Depends(_text)], *,
    agent: Annotated[
        Name | None, Query(description="The plan's agent to use where a task names none.")
    ] = None,
    fresh: Annotated[
        bool, Query(description="Start over; the old branch is kept as vibe/NAME.N.")
    ] = False,
) -> Any:  # fmt: skip
    """Hand in a plan. Its agents and checks are command lines that workers run, so whoever may
    operate may run programs on them.
    """
    try:
        submission = work.submit_text(text, agent=agent, fresh=fresh, by=by)
    except GitError as error:
        raise HTTPException(502, f"the repository: {error}") from error
    if submission.resumed:
        response.status_code = 200
    return {
        "id": submission.plan_id, "resumed": submission.resumed,
        "set_aside": submission.set_aside,
    }  # fmt: skip


@router.get("/plans/{plan}", response_model=PlanDetail, **may("read"))
def show_plan(
    services: Served, plan: PlanName, *,
    branch: Annotated[bool, Query(
        description="Whether to ask git where the branch stands; without, `commit` is null. "
        "For whoever asks often."
    )] = True,
) -> Any:  # fmt: skip
    """A plan's tasks with what they need and where they stand, why each has its priority, what
    waits for a person, and its run report.
    """
    return views.shown(
        services.ledger, plan, settings=services.settings, home=resources.home(), branch=branch
    )  # fmt: skip


@router.post("/plans/{plan}/cancel", response_model=PlanCancelled, **may("operate"))
def cancel_plan(
    services: Served, by: Asker, plan: PlanName,
    body: Annotated[PlanReason, Body(default_factory=PlanReason)],
) -> Any:  # fmt: skip
    """Cancel whatever of a plan has not ended; what is deployed stays on the branch."""
    count = control.cancel_plan(services.ledger, plan, body.reason, by=by)
    return {"plan": plan, "cancelled_jobs": count}


@router.get("/approvals", response_model=Page[ApprovalOfPlan], **may("read"))
def list_approvals(services: Served) -> Any:
    """The deploys of all plans that wait for a person, at most 1,000."""
    with services.ledger.read() as connection:
        return {"items": views.approvals(connection), "next": None}


@router.get("/plans/{plan}/approvals", response_model=PlanApprovals, **may("read"))
def list_plan_approvals(
    services: Served, plan: PlanName, *,
    task: Annotated[Name | None, Query(description="Only this task's.")] = None,
    diff: Annotated[bool, Query(description="With what each would merge.")] = False,
) -> Any:  # fmt: skip
    """The deploys of a plan that wait for a person."""
    with services.ledger.read() as connection:
        found = plans.find_plan(connection, plan)
        _check_task(connection, found["id"], task)
        deploys = waiting(connection, found["id"], task)
    told = []
    for each in deploys:
        change: dict[str, Any] = {}
        if diff:
            try:
                change = asdict(difference(found, each, home=resources.home()))
            except (GitError, RepositoryError) as error:
                change = {"unavailable": str(error)}
        told.append({**asdict(each), **change})
    return {"plan": found["id"], "waiting": told}


@router.post("/plans/{plan}/approve", response_model=Approved, **may("operate"))
def approve_plan(
    services: Served, by: Asker, plan: PlanName,
    body: Annotated[ApproveGiven, Body(default_factory=ApproveGiven)],
) -> Any:  # fmt: skip
    """Let deploys go on that wait for a person: those that were shown, of one task, or all that
    wait now.
    """
    if (body.task is not None or bool(body.jobs)) == body.all:
        raise InputError("give a task, one or more jobs, or all: true")
    with services.ledger.read() as connection:
        found = plans.find_plan(connection, plan)
        _check_task(connection, found["id"], body.task)
        deploys = waiting(connection, found["id"], body.task)
    chosen = [
        each.job_id for each in deploys if body.jobs is None or each.job_id in body.jobs
    ]  # fmt: skip
    if not chosen:
        what = f"task {body.task} of plan {plan}" if body.task else f"plan {plan}"
        raise IllegalMoveError(f"{what} has no such deploy that waits for an approval")
    approved = by_hand.approve(services.ledger, found["id"], chosen, by=by)
    return {"plan": found["id"], "approved": approved}


def _check_task(connection: Transaction, plan_id: str, task: str | None) -> None:
    known = [each["id"] for each in plans.tasks_of(connection, plan_id)]
    if task is not None and task not in known:
        raise UnknownJobError(f"plan {plan_id} has no task {task}{did_you_mean(task, known)}")


@router.get("/budgets", response_model=Page[Budgets], **may("read"))
def list_budgets(
    services: Served, *,
    limit: Annotated[int, Query(ge=1, le=200, description="At most so many plans.")] = 20,
    waiting: Annotated[bool, Query(
        description="Only running plans in which a job waits for a larger budget or a person."
    )] = False,
) -> Any:  # fmt: skip
    """What is used and left of the budgets of the newest plans, newest first."""
    found = budgets.look_at_many(services.ledger, limit=limit, waiting=waiting)
    return {"items": [each.to_json() for each in found], "next": None}


@router.get("/plans/{plan}/budget", response_model=Budgets, **may("read"))
def show_budget(services: Served, plan: PlanName) -> Any:
    """What is used and left of a plan's budgets."""
    return budgets.look(services.ledger, plan).to_json()


@router.patch("/plans/{plan}/budget", response_model=Budgets, **may("operate"))
def set_budget(services: Served, by: Asker, plan: PlanName, body: BudgetGiven) -> Any:
    """Set limits of one budget. They count from the plan's start, so they are set higher than what
    is used; work that waits for one goes on at once.
    """
    limits = body.model_dump(exclude_unset=True, exclude={"task", "agent"})
    if not limits:
        raise InputError("give usd, tokens or seconds")
    started = budgets.raise_budget(
        services.ledger, plan, task=body.task, agent=body.agent, by=by, **limits
    )  # fmt: skip
    return {**budgets.look(services.ledger, plan).to_json(), "started": list(started)}
