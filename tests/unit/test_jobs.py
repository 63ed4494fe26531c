from __future__ import annotations

import math
from dataclasses import FrozenInstanceError

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vibe_tasks.jobs import ENDED, LIVE, MOVES, JobStatus, NewJob, sources


def test_every_status_has_its_moves() -> None:
    """Nothing is left out, and no job moves to where it is."""
    assert set(MOVES) == set(JobStatus)
    for status, targets in MOVES.items():
        assert status not in targets


def test_a_status_is_live_or_ended() -> None:
    """Each is one of the two."""
    assert set(JobStatus) == LIVE | ENDED
    assert not LIVE & ENDED


@given(st.sampled_from(list(JobStatus)), st.sampled_from(list(JobStatus)))
def test_sources_are_the_moves_read_backwards(origin: JobStatus, target: JobStatus) -> None:
    """One table, two ways to ask."""
    assert (origin in sources(target)) is (target in MOVES[origin])


def test_every_status_can_be_reached_from_a_new_job() -> None:
    """A job is born blocked or pending; each other status is some moves away."""
    seen = {JobStatus.BLOCKED, JobStatus.PENDING}
    while new := {target for status in seen for target in MOVES[status]} - seen:
        seen |= new
    assert seen == set(JobStatus)


@pytest.mark.parametrize(
    ("field", "value"),
    [("lane", ""), ("effort", 0), ("effort", 6), ("max_retries", 0), ("max_retries", 10**7),
     ("retry_base", -1.0), ("retry_base", math.nan), ("delay", -1.0), ("delay", math.inf),
     ("due_at", math.nan), ("due_at", math.inf), ("time_limit", 0.0), ("time_limit", math.nan),
     ("start_by", math.nan), ("start_within", 0.0), ("start_within", math.inf),
     ("concurrency_key", "\x00"), ("id", "a\x00"), ("lane", "\ud800"), ("unique_key", "x\x00")],
)  # fmt: skip
def test_a_bad_field_is_refused_at_construction(field: str, value: object) -> None:
    """The message names the field; what no database stores does not get that far."""
    with pytest.raises(ValueError, match=field):
        NewJob(**({"id": "a", "name": "x", "lane": "code"} | {field: value}))  # type: ignore[arg-type]


def test_names_may_be_of_any_language() -> None:
    """Only what cannot be stored is refused."""
    job = NewJob(id="ä", name="x", lane="Straße", unique_key="鍵" * 10_000)
    assert job.lane == "Straße"


def test_a_job_is_a_value() -> None:
    """Equal fields, equal jobs; nobody changes one."""
    job = NewJob(id="a", name="x", lane="code")
    assert job == NewJob(id="a", name="x", lane="code")
    with pytest.raises(FrozenInstanceError):
        job.lane = "qa"  # type: ignore[misc]
