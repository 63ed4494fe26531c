"""Claiming jobs over HTTP, and ending them."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from vibe_tasks.web.models.jobs import EXAMPLE_ID
from vibe_tasks.web.models.kinds import (
    AboveZero,
    AttemptNumber,
    Given,
    Json,
    Lane,
    Moment,
    Name,
    Seconds,
    Words,
)


class ClaimGiven(Given):
    """Which job is wanted, and by whom."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"lanes": ["reports"], "wait": 20}]}
    )

    lanes: Annotated[list[Lane], Field(min_length=1, max_length=100)] = Field(
        description="The most urgent due job of the first that has one."
    )
    worker: Name | None = Field(default=None, description="Who takes it; default: NAME@http.")
    wait: Annotated[float, Field(ge=0, le=30, allow_inf_nan=False)] = Field(
        default=0.0, description="Wait so many seconds for a job."
    )
    labels: Annotated[list[Name], Field(max_length=100)] = Field(
        default_factory=list, description="Also jobs that require these."
    )
    lease: AboveZero | None = Field(
        default=None, description="Seconds until it counts as lost without a heartbeat."
    )


class Claimed(BaseModel):  # type: ignore[no-redef]  # the plugin has `kwargs` of its own
    """A job for one attempt; whoever has it ends it."""

    id: str = Field(examples=[EXAMPLE_ID])
    attempt: int
    name: str
    kind: str
    lane: str
    priority: int
    args: list[Any]
    kwargs: dict[str, Any]
    lease_until: Moment
    worker: str | None
    retry_count: int
    max_retries: int
    time_limit: float | None
    plan_id: str | None
    task_id: str | None
    round: int


class HeartbeatGiven(Given):
    """An attempt that goes on."""

    attempt: AttemptNumber
    lease: AboveZero | None = Field(default=None, description="Seconds.")


class Renewed(BaseModel):
    """A lease."""

    job_id: str
    lease_until: Moment


class CompleteGiven(Given):
    """An attempt that is done."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"attempt": 1, "result": {"pages": 12}}]}
    )

    attempt: AttemptNumber
    result: Json = Field(
        default=None,
        description="A JSON value. Of a plan's job an object: `commit` for dev and fix; "
        "`verdict` (pass or fail) and `summary` for qa and review; `conflict` for a deploy that "
        "did not merge.",
    )


class FailGiven(Given):
    """An attempt that failed."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"attempt": 1, "error": "no paper", "retry_after": 60}]},
    )

    attempt: AttemptNumber
    error: Words = Field(description="What went wrong.")
    permanent: bool = Field(default=False, description="Do not try again.")
    retry_after: Seconds | None = Field(
        default=None, description="Seconds to the next attempt, instead of the retry policy's."
    )


class Failed(BaseModel):
    """What becomes of a job that failed."""

    job_id: str
    will_retry: bool


class Completed(BaseModel):
    """A job that is done."""

    completed: list[str]
