"""The options of a call, checked without a ledger."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from inspect import signature
from math import inf, nan
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vibe_tasks.errors import InputError
from vibe_tasks.tasks.app import app
from vibe_tasks.tasks.job import job
from vibe_tasks.tasks.options import (
    CANVAS,
    CELERYS,
    canvas_of,
    check_decorator,
    check_options,
    deadline_of,
    delay_of,
    key_of,
    lane_of,
    moment_of,
    time_limit_of,
)
from vibe_tasks.tasks.queues import check_lane
from vibe_tasks.tasks.task import LedgerTask

MOMENT = datetime(2030, 5, 6, 7, 8, 9, tzinfo=UTC)


@given(st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(10**9), 10**9))
def test_a_delay_is_the_countdown_and_never_below_zero(countdown: float) -> None:
    """For every finite number."""
    assert delay_of({"countdown": countdown}) == max(0.0, float(countdown))


@pytest.mark.parametrize("value", [nan, inf, -inf, "1", True, timedelta(seconds=1)])
@pytest.mark.parametrize(("name", "read"), [("countdown", delay_of), ("time_limit", time_limit_of)])
def test_seconds_are_finite_numbers(name: str, read: object, value: object) -> None:
    """The message names the option and the value."""
    with pytest.raises(InputError, match=name):
        read({name: value})  # type: ignore[operator]


def test_without_options_a_job_is_due_now() -> None:
    """Absent and None mean the same."""
    for options in ({}, {"countdown": None, "eta": None, "time_limit": None, "lane": None}):
        assert delay_of(options) == 0
        assert moment_of(options) is None
        assert time_limit_of(options) is None
        assert lane_of(options) is None
        check_options(options)


@pytest.mark.parametrize(
    "eta",
    [
        MOMENT, MOMENT.isoformat(), MOMENT.replace(tzinfo=None), "2030-05-06T07:08:09",
        "2030-05-06T07:08:09Z", MOMENT.astimezone(timezone(timedelta(hours=5))),
    ],
)  # fmt: skip
def test_an_eta_is_a_moment_in_utc_unless_it_says_otherwise(eta: object) -> None:
    """Datetimes and ISO texts, with and without a time zone."""
    assert moment_of({"eta": eta}) == MOMENT.timestamp()


@pytest.mark.parametrize("eta", ["soon", "", 12.5, object()])
def test_what_is_no_moment_is_refused(eta: object) -> None:
    """The message shows it."""
    with pytest.raises(InputError, match="eta must be a datetime"):
        moment_of({"eta": eta})


@pytest.mark.parametrize("lane", ["", "a lane", "a,b", "ä", "code\x06\x163", 3])
def test_a_lane_that_no_worker_could_name_is_refused(lane: object) -> None:
    """`-Q` splits at commas, and the broker's lists have names of their own."""
    with pytest.raises(InputError, match="lane must be"):
        check_lane(lane)


@pytest.mark.parametrize("lane", ["code", "code@host-1", "GPU_2"])
def test_lanes_are_plain_names(lane: str) -> None:
    """Under our name for it, or Celery's."""
    assert lane_of({"lane": lane}) == lane_of({"queue": lane}) == lane


def test_no_lane_has_the_name_of_a_workers_own_queue() -> None:
    """Only that worker would take its jobs, and give back what it cannot start."""
    with pytest.raises(InputError, match=r"no lane begins with 'worker\.'"):
        check_lane("worker.code@host-1")


@pytest.mark.parametrize(
    ("option", "said"),
    [("require", "'required'"), ("label", "'labels'"), ("lanes", "'lane'"), ("queue", "'lane'"),
     ("max_retry", "'max_retries'"), ("unique_key", "it is one of a call")],
)  # fmt: skip
def test_a_near_miss_at_the_decorator_is_refused(option: str, said: str) -> None:
    """Celery would take it for an attribute of the task, and the job would run anywhere."""
    with pytest.raises(InputError, match=f"@job has no option {option}.*{said}"):
        job(**{option: "gpu"})


def test_celerys_own_options_and_attributes_stay(tmp_path: Path) -> None:
    """Whatever `app.task` takes, and attributes of a task whose names are far from ours."""
    of_task = signature(app._task_from_fun).parameters
    assert {each for each in of_task if each not in {"fun", "options"}} <= CELERYS
    assert {"autoretry_for", "retry_backoff"} <= CELERYS
    options = {
        "retry_backoff": True,
        "rate_limit": "1/s",
        "ignore_result": True,
        "folder": tmp_path,
    }
    check_decorator(options, LedgerTask)


def test_a_misspelt_option_is_refused_with_the_near_miss() -> None:
    """Else it would silently be a job too many."""
    with pytest.raises(InputError, match="no option uniqe_key, did you mean 'unique_key'"):
        check_options({"uniqe_key": "a"})


def test_stamps_are_options_of_their_own() -> None:
    """Celery's stamped headers name further options."""
    check_options({"stamped_headers": ["customer"], "customer": "a"})
    with pytest.raises(InputError):
        check_options({"stamped_headers": ["customer"], "costumer": "a"})


def test_json_is_the_one_serializer() -> None:
    """Named or not."""
    check_options({"serializer": "json"})
    with pytest.raises(InputError):
        check_options({"serializer": "pickle"})


def test_what_celery_needs_travels_under_its_message_names() -> None:
    """Nothing else does, and nothing at all where there is nothing."""
    assert canvas_of({"countdown": 3, "link": None}) is None
    options = dict.fromkeys(CANVAS, "x") | {"countdown": 3}
    assert canvas_of(options) == dict.fromkeys(CANVAS.values(), "x")


@pytest.mark.parametrize(
    ("expires", "deadline"),
    [(None, (None, None)), (5, (5.0, None)), (0.5, (0.5, None)),
     (MOMENT, (None, MOMENT.timestamp())), (MOMENT.isoformat(), (None, MOMENT.timestamp()))],
)  # fmt: skip
def test_a_deadline_is_a_number_of_seconds_or_a_moment(expires: object, deadline: object) -> None:
    """As Celery's `expires`."""
    assert deadline_of({"expires": expires}) == deadline


@pytest.mark.parametrize("expires", [0, -1, nan, inf, True, "soon", timedelta(seconds=5), object()])
def test_what_is_no_deadline_is_refused(expires: object) -> None:
    """The message names the option."""
    with pytest.raises(InputError, match="expires"):
        deadline_of({"expires": expires})


@pytest.mark.parametrize("key", ["", 5, b"k", ["a"]])
def test_a_key_is_a_text(key: object) -> None:
    """Both kinds of keys."""
    for name in ("unique_key", "concurrency_key"):
        assert key_of({}, name) is None
        assert key_of({name: "k"}, name) == "k"
        with pytest.raises(InputError, match=f"{name} must be a text"):
            key_of({name: key}, name)
