"""Lanes, workers, and the size of the fleet."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from vibe_tasks.web.models.kinds import Given, Json, Moment, Name

Count = Annotated[int, Field(ge=0, lt=1_000_000_000)]
Number = Annotated[float, Field(ge=0, lt=1_000_000_000, allow_inf_nan=False)]


class ScalingRules(BaseModel):
    """What was set for a lane's scaling; null: as the settings say."""

    min_size: int | None
    max_size: int | None
    up_depth: int | None
    down_depth: int | None
    up_age: float | None
    down_after: float | None


class Lane(BaseModel):
    """A lane with its rules and jobs."""

    lane: str = Field(examples=["code"])
    paused: bool
    concurrency: int | None = Field(description="How many of its jobs may run at once.")
    rate: str | None = Field(description="How many may start in a time.", examples=["100/m"])
    running: int
    ready: int = Field(description="Due jobs that wait for a worker.")
    held: int = Field(description="Due jobs that wait for their turn.")
    oldest_seconds: float | None = Field(description="For how long the oldest due job has waited.")
    scaling: ScalingRules | None


class LaneChanged(Lane):
    """A lane after a change."""

    warning: str | None = Field(
        description="Where its name may be misspelt.",
        examples=["no worker that is online serves lane cdoe"],
    )


class ScalingGiven(Given):
    """Rules of scaling; null: as the settings say; what is left out stays as it is."""

    min_size: Count | None = Field(default=None, description="Fewest workers.")
    max_size: Count | None = Field(default=None, description="Most workers.")
    up_depth: Count | None = Field(default=None, description="Grow above so many waiting jobs.")
    down_depth: Count | None = Field(default=None, description="Shrink only below so many.")
    up_age: Number | None = Field(default=None, description="Grow after a wait of so many seconds.")
    down_after: Number | None = Field(
        default=None, description="Shrink when fewer were enough for so many seconds."
    )


class LimitsGiven(Given):
    """Rules of a lane; null takes one away; what is left out stays as it is."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"concurrency": 8, "rate": "100/m"}, {"scaling": {"max_size": 12}}]
        },
    )

    concurrency: Annotated[int, Field(ge=1, lt=1_000_000_000)] | None = None
    rate: Annotated[str, Field(max_length=40)] | None = Field(
        default=None, description="10/s, 100/m or 500/h."
    )
    scaling: ScalingGiven | None = None


class Worker(BaseModel):
    """A worker of the registry."""

    model_config = ConfigDict(extra="allow")

    worker_id: str = Field(examples=["celery@build-3"])
    status: str = Field(description="online, draining, starting, offline or lost.")
    tier: str
    active_tasks: int
    capacity_limit: int
    lanes: list[str]
    labels: list[str] | None
    last_seen: Moment
    age: float = Field(description="Seconds since its last sign of life.")
    host: str | None
    version: str | None
    started_at: Moment | None
    draining_at: Moment | None


class Names(Given):
    """Workers by name."""

    names: Annotated[list[Name], Field(min_length=1, max_length=1_000)] = Field(
        examples=[["celery@build-3"]]
    )


class ScaleDecision(BaseModel):
    """A decision on a lane's size."""

    id: int
    at: Moment
    age: float
    lane: str
    provisioner: str
    before: int
    target: int
    applied: int | None
    reason: str
    figures: Json
    error: str | None


class ScaleVerdict(BaseModel):
    """What a look at a lane came to."""

    lane: str
    provisioner: str
    before: int | None
    target: int | None
    applied: int | None
    reason: str
    error: str | None
    load: dict[str, Any] | None


class CheckGiven(Given):
    """Whether to act."""

    apply: bool = Field(default=False, description="Carry out what is decided.")
