"""How everything stands: counts, breakers, caches, health."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from vibe_tasks.web.models.fleet import Worker
from vibe_tasks.web.models.kinds import Given, Moment, Name


class LaneCounts(BaseModel):
    """A lane's jobs by status."""

    blocked: int
    pending: int
    processing: int
    completed: int
    failed: int
    cancelled: int
    oldest_pending_seconds: float | None


class Breaker(BaseModel):
    """A circuit breaker."""

    name: str = Field(examples=["agent:claude"])
    state: str = Field(examples=["closed", "open", "half_open"])
    wait_seconds: float = Field(description="Until an open one lets somebody try.")
    error_rate: float = Field(description="Percent of the calls in the window.")
    calls: int
    failures: int
    times_opened: int
    reason: str | None


class CacheFigures(BaseModel):
    """What is in a cache, and what became of the looks into it."""

    size: int
    making: int
    bytes: int
    hits: int
    misses: int
    waits: int
    evictions: int
    hit_rate: float = Field(description="Percent.")


class Lack(BaseModel):
    """Jobs that wait for labels."""

    lane: str
    required: list[str]
    jobs: int
    workers: int


class Unserved(BaseModel):
    """A lane with due jobs that no worker serves."""

    lane: str
    due: int
    seconds: float


class Mix(BaseModel):
    """Started jobs of plans; counted anew every ten seconds."""

    dev_tasks: int
    fix_tasks: int
    dev_percentage: float
    fix_percentage: float


class Status(BaseModel):
    """The queue and its workers at this moment."""

    lanes: dict[str, LaneCounts]
    by_status: dict[str, int]
    dead_letters: int
    oldest_unsent_seconds: float
    workers: list[Worker]
    breakers: list[Breaker]
    cache: CacheFigures
    waiting_for_labels: list[Lack]
    unserved_lanes: list[Unserved]
    mix: Mix


class ClearGiven(Given):
    """Which cache."""

    cache: Name | None = Field(default=None, description="By default all.", examples=["results"])


class Cleared(BaseModel):
    """Results that were forgotten."""

    cleared: int


class Point(BaseModel):
    """What happened in one step of time."""

    model_config = ConfigDict(extra="allow")

    at: Moment
    completed: int
    failed: int
    wait_p50: float | None = Field(description="Seconds that jobs waited, the middle one.")
    wait_p95: float | None


class Series(BaseModel):
    """Figures over time, oldest first."""

    step: float = Field(description="Seconds from one point to the next.")
    points: list[Point]


class Health(BaseModel):
    """The answer to one question."""

    part: str
    healthy: bool
    text: str
    age: float | None
