"""Plans, approvals and budgets."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from vibe_tasks.web.models.kinds import Given, Moment, Name, Words


class Plan(BaseModel):
    """A plan as listings have it."""

    id: str = Field(examples=["todo-api-1f0c2a9b"])
    name: str = Field(examples=["todo-api"])
    status: str = Field(examples=["running"])
    digest: str = Field(description="Of the plan's content.")
    source: str = Field(description="Its file; nowhere for one that came over HTTP.")
    plan_dir: str
    repo: str
    remote: str | None = Field(description="Address of the repository, without secrets.")
    base_commit: str
    branch: str
    created_at: Moment
    ended_at: Moment | None
    tasks: dict[str, int] = Field(
        description="Tasks by status.", examples=[{"deployed": 3, "running": 1}]
    )


class LatestJob(BaseModel):
    """A task's latest job."""

    id: str
    kind: str | None
    status: str | None
    attempt: int | None
    elapsed: float | None = Field(description="Seconds since its attempt began.")
    wait: float | None = Field(description="Seconds until the next attempt.")
    error: str | None
    seats: int | None = Field(description="Reviewers that were asked in this round.")
    votes: int | None = Field(description="Those of them that have voted.")
    reused: bool = Field(description="Whether the last change came from the cache.")


class Consensus(BaseModel):
    """How often reviewers voted."""

    runs: int
    degraded: int
    undecided: int


class Task(BaseModel):
    """A plan's task."""

    id: str = Field(examples=["store"])
    title: str
    effort: int = Field(description="From 1 to 5.", ge=1, le=5)
    needs: list[str] = Field(description="Tasks that must be deployed first.")
    outcome: str = Field(
        description="deployed, dead, blocked, cancelled; running or waiting before its end."
    )
    attempts: dict[str, int] = Field(description="Attempts by kind of job.")
    fix_rounds: int
    error: str | None
    commit: str | None
    consensus: Consensus | None = None
    priority: str
    priority_why: str
    job: LatestJob | None


class DeadLetter(BaseModel):
    """A job that will not be tried again by itself."""

    job_id: str
    task: str | None
    kind: str
    attempts: int
    error: str | None


class Looks(BaseModel):
    """Looks into the cache."""

    hits: int
    misses: int


class Tokens(BaseModel):
    """Tokens of language models."""

    input: int
    output: int


class PlanDetail(BaseModel):
    """A plan with its run report."""

    id: str
    plan: str = Field(description="Its name.")
    status: str
    outcome: str
    repo: str
    remote: str | None
    base_commit: str
    branch: str
    commit: str | None = Field(
        description="Where the branch stands; null where this host cannot know."
    )
    created_at: Moment
    ended_at: Moment | None
    seconds: float
    workers_online: bool
    waits: list[str] = Field(description="What waits for a person, and the command that mends it.")
    tasks: list[Task]
    jobs: dict[str, int] = Field(description="Ended jobs by status.")
    retries: int
    dead_letters: list[DeadLetter]
    cache: Looks
    tokens: Tokens
    cost_usd: float


class Submitted(BaseModel):
    """A plan that is in the ledger."""

    id: str
    resumed: bool = Field(description="Whether it was under way already.")
    set_aside: str | None = Field(description="What the branch of an earlier run is called now.")


class PlanCancelled(BaseModel):
    """A plan that goes no further."""

    plan: str
    cancelled_jobs: int


class Approval(BaseModel):
    """A deploy that waits for a person."""

    job_id: str
    task_id: str
    title: str
    commit: str


class ApprovalOfPlan(Approval):
    """A deploy that waits, and its plan."""

    plan_id: str
    plan: str


class ApprovalWithDiff(Approval):
    """A deploy that waits, and what it would merge."""

    base: str | None = Field(default=None, description="Where the change began.")
    diff: str | None = Field(
        default=None, description="Only with `diff=true`; null where it cannot be shown here."
    )
    cut: bool = Field(default=False, description="Whether there is more of it.")
    unavailable: str | None = Field(default=None, description="Why it cannot be shown.")


class PlanApprovals(BaseModel):
    """The deploys of a plan that wait."""

    plan: str
    waiting: list[ApprovalWithDiff]


class ApproveGiven(Given):
    """Which deploys may go on."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"task": "store"}, {"all": True}]}
    )

    task: Name | None = Field(default=None, description="Only this task's.")
    jobs: Annotated[list[Name], Field(max_length=10_000)] | None = Field(
        default=None, description="Exactly these, as they were shown."
    )
    all: bool = Field(default=False, description="All that wait now.")


class Approved(BaseModel):
    """Deploys that go on."""

    plan: str
    approved: list[str] = Field(description="Ids of the jobs.")


class Limits(BaseModel):
    """An amount of each unit; null: no limit, or nothing to be left."""

    usd: float | None
    tokens: int | None
    seconds: float | None


class Budget(BaseModel):
    """A budget and what was used of it."""

    scope: str = Field(examples=["plan", "task", "agent"])
    name: str
    limit: Limits
    used: Limits
    left: Limits
    used_up: str | None = Field(description="Which limit is used up, in a sentence.")


class WaitingJob(BaseModel):
    """A job that a budget has stopped."""

    job_id: str
    task: str | None
    why: str | None


class Used(BaseModel):
    """What a plan has used."""

    model_config = ConfigDict(extra="allow")

    usd: float
    attempts: int
    cached: int
    seconds: float
    input_tokens: int
    output_tokens: int


class Budgets(BaseModel):
    """The budgets of a plan."""

    plan: str
    used: Used
    budgets: list[Budget]
    waiting: list[WaitingJob]
    started: list[str] = Field(default_factory=list, description="Jobs that go on from now.")


class BudgetGiven(Given):
    """Limits of one budget; null takes a limit away, one that is left out stays as it is."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"usd": 20}]})

    task: Name | None = Field(default=None, description="The budget of this task.")
    agent: Name | None = Field(default=None, description="The budget of this agent.")
    usd: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    tokens: Annotated[int, Field(gt=0, le=2**53)] | None = None
    seconds: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None


class PlanReason(Given):
    """Why."""

    reason: Words = Field(default="cancelled by hand")
