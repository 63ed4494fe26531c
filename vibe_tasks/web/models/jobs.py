"""Jobs, and what is done to them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from vibe_tasks.jobs import JobStatus
from vibe_tasks.web.models.kinds import (
    Given,
    Json,
    Moment,
    Name,
    Refused,
    Words,
)

Kind = Literal["dev", "qa", "review", "fix", "deploy", "call", "follow", "event"]

EXAMPLE_ID = "1b9d6bcd-bbfd-4b2d-9b5d-ab8dfbbd4bed"


class Job(BaseModel):
    """A job as listings have it."""

    seq: int = Field(description="Rises with every new job.")
    id: str = Field(examples=[EXAMPLE_ID])
    name: str = Field(description="The function, or `vibe.dev` and so on.", examples=["vibe.dev"])
    kind: str = Field(examples=["dev"])
    lane: str = Field(examples=["code"])
    priority: int = Field(description="0 fix, 1 critical, 2 high, 3 normal, 4 low.", ge=0, le=4)
    status: JobStatus
    attempt: int = Field(description="Of the current or last attempt; 0 before the first.")
    retry_count: int = Field(description="Failures so far.")
    max_retries: int = Field(description="The failure of this number is the last.")
    plan_id: str | None
    task_id: str | None
    round: int = Field(description="Fix round of the task, from 0.")
    worker: str | None = Field(description="Who has it, or had it last.")
    error: str | None = Field(description="The last error; of a dead letter why it is one.")
    backoff_until: Moment | None
    created_at: Moment
    started_at: Moment | None
    status_updated_at: Moment
    dead_at: Moment | None = Field(description="Since when it is a dead letter.")


class Move(BaseModel):
    """A change of a job's status."""

    id: int
    job_id: str
    from_status: JobStatus | None
    status: JobStatus
    attempt: int
    worker_id: str | None
    timestamp: Moment
    details: str | None


class Review(BaseModel):
    """What one reviewer of a qa job said."""

    seat: int
    agent: str
    verdict: str | None
    why: str | None = Field(description="Why there is no verdict.")
    job_id: str


class TaskGiven(BaseModel):
    """What the plan says of a job's task."""

    title: str
    prompt: str
    files: list[str]
    agent: str | None


class JobDetail(Job):
    """Everything of a job."""

    task: TaskGiven | None = Field(default=None, description="Of a plan's job.")

    effort: int
    args: Json = Field(description="`args` and `kwargs` as they were submitted.")
    result: Json
    retry_base: float
    published_at: Moment | None
    lease_until: Moment | None
    time_limit: float | None
    unique_key: str | None
    concurrency_key: str | None
    start_by: Moment | None
    held_at: Moment | None
    held_for: str | None
    canvas: Json
    required: list[str] | None
    labels: Json
    routing: Json
    trace: str | None
    waits: str | None = Field(description="What it waits for, in words.")
    reviews: list[Review] = Field(default_factory=list, description="Of a qa job.")
    history: list[Move]
    archived_at: Moment | None = Field(
        default=None, description="Since when it is in the archive; null for most."
    )
    logs: list[str] = Field(description="Folders with the files of attempts, on this host.")


class Candidate(BaseModel):
    """A worker that could get the job."""

    worker: str
    score: float
    terms: dict[str, float]


class Decision(BaseModel):
    """What the router decided."""

    choice: str | None
    why: str
    candidates: list[Candidate]


class NoCandidate(BaseModel):
    """A worker that cannot get the job."""

    worker: str
    why: str


class Explanation(BaseModel):
    """Which worker a job is for."""

    answer: str = Field(
        description="Why it has not run yet, or what became of it, in a sentence.",
        examples=["1b9d6bcd waits: lane code is paused; `vibe lanes resume code`"],
    )
    why: str = Field(description="Which of the reasons that is.", examples=["paused"])
    mend: str = Field(description="What lets it go on; empty where that comes by itself.")
    job_id: str
    status: JobStatus
    lane: str
    priority: str
    effort: int
    required: list[str]
    labels: dict[str, float]
    waits: str | None
    worker: str | None
    decided: str = Field(examples=["now", "when it was sent"])
    decision: Decision | None
    others: list[NoCandidate] = Field(default_factory=list)


class Diff(BaseModel):
    """A job's commit against where it began."""

    base: str = Field(description="Empty where they share no history.")
    commit: str
    diff: str
    cut: bool = Field(description="Whether there is more of it.")


class LogLine(BaseModel):
    """A line of a job's log; more fields as whoever logged it gave them."""

    model_config = ConfigDict(extra="allow")

    attempt: int = Field(description="Of the job.")
    seq: int = Field(description="Of the piece that holds it.")
    at: Moment | None = None
    level: str | None = None
    logger: str | None = None
    text: str | None = None


class Reason(Given):
    """Why."""

    reason: Words = Field(default="cancelled by hand", examples=["wrong branch"])


class Cancelled(BaseModel):
    """Jobs that were cancelled."""

    cancelled: list[str]


class Retried(BaseModel):
    """Jobs that go on, and those that had changed meanwhile."""

    retried: list[str]
    refused: list[Refused] = Field(default_factory=list)


class Discarded(BaseModel):
    """Dead letters that are none any more, and those that had changed meanwhile."""

    discarded: list[str]
    refused: list[Refused] = Field(default_factory=list)


class Some(Given):
    """Jobs by their ids, or all."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"ids": ["1b9d6bcd"]}, {"all": True}]}
    )

    ids: Annotated[list[Name], Field(max_length=10_000)] = Field(
        default_factory=list, description="Ids, or at least six characters of their beginnings."
    )
    all: bool = Field(default=False, description="Every dead letter, instead of ids.")
