"""What Celery's log lines become in our workers."""

from __future__ import annotations

import logging

import pytest
from celery.app.trace import LOG_SUCCESS, info
from celery.worker.consumer.consumer import UNKNOWN_TASK_ERROR

from vibe_tasks.tasks import quiet


@pytest.mark.parametrize("level", [logging.INFO, logging.DEBUG])
def test_maintenance_that_went_well_is_of_level_debug(
    level: int, caplog: pytest.LogCaptureFixture
) -> None:
    """What jobs say, and maintenance that failed, is told as ever."""
    quiet.install()
    caplog.set_level(level)
    caplog.set_level(level, logger="celery.app.trace")
    for name in ("vibe.dispatch", "vibe.scale", "vibe.dev"):
        info(LOG_SUCCESS, {"id": "1", "name": name, "runtime": 0.1, "return_value": "None"})
    logging.getLogger("celery.app.trace").error("%(name)s failed", {"name": "vibe.scale"})
    told = [(each.levelname, each.getMessage().split("[")[0]) for each in caplog.records]
    debug = [("DEBUG", "Task vibe.dispatch"), ("DEBUG", "Task vibe.scale")]
    assert told == [
        *(debug if level == logging.DEBUG else ()),
        ("INFO", "Task vibe.dev"), ("ERROR", "vibe.scale failed"),
    ]  # fmt: skip


def test_an_unknown_function_is_one_line(caplog: pytest.LogCaptureFixture) -> None:
    """Not the whole message with a traceback."""
    quiet.install()
    body = ("body", {"id": "1"}, {"routing_key": "code"})
    try:
        dict[str, str]().pop("shapes.nap")
    except KeyError as error:
        log = logging.getLogger("celery.worker.consumer.consumer")
        log.exception(UNKNOWN_TASK_ERROR, error, *body)  # noqa: TRY401  as Celery does
    (record,) = caplog.records
    assert record.getMessage() == "this worker knows no function 'shapes.nap'"
    assert record.exc_info is None
