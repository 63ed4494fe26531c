"""A process's log: text or JSON, with what is to be known of the job in hand, without secrets."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import structlog

from tests.ledgers import new_job
from vibe_tasks.jobs import Claim
from vibe_tasks.masking import secrets_of
from vibe_tasks.settings import Settings
from vibe_tasks.tasks.observation import in_hand, logs

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
OPEN = "sesame12"
CLAIM = Claim(
    id="job-1", attempt=2, name="vibe.dev", kind="dev", lane="code", priority=new_job().priority,
    retry_count=0, max_retries=3, retry_base=1.0, args=(), kwargs={}, plan_id="todo-1",
    task_id="store", round=0, time_limit=None, trace=TRACE,
)  # fmt: skip


@pytest.fixture(autouse=True)
def root() -> Iterator[logging.Logger]:
    """The root logger, which is as it was afterwards."""
    found = logging.getLogger()
    handlers, level = list(found.handlers), found.level
    yield found
    found.handlers[:] = handlers
    found.setLevel(level)
    structlog.reset_defaults()
    logging.captureWarnings(False)


def written(**settings: Any) -> StringIO:
    """What this process's log is written to from now on."""
    stream = StringIO()
    logs.set_up(Settings(**settings), stream=stream)
    return stream


def objects(stream: StringIO) -> list[dict[str, Any]]:
    """The lines of a log of objects."""
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def fail(why: str) -> None:
    """Raise."""
    raise ValueError(why)


def test_each_line_is_an_object_that_tells_of_its_job() -> None:
    """From the standard's loggers and from structlog's; beyond a job's run without its fields."""
    stream = written(log_format="json")
    log = logging.getLogger("shop")
    with in_hand.bound(CLAIM, "w1"):
        log.warning("sold %d", 3, extra={"pages": 4})
        structlog.get_logger("mine").info("structured", pages=5)
    log.info("idle")
    log.debug("not of this level")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("careful", stacklevel=1)
    first, second, idle, warned = objects(stream)
    of_job = {
        "job": "job-1", "attempt": 2, "plan": "todo-1", "task": "store", "lane": "code",
        "name": "vibe.dev", "worker": "w1", "trace": "0af7651916cd43dd8448eb211c80319c",
    }  # fmt: skip
    assert first.pop("timestamp").endswith("Z")
    assert first == of_job | {
        "event": "sold 3", "level": "warning", "logger": "shop", "process": "MainProcess",
        "pages": 4,
    }  # fmt: skip
    assert of_job.items() | {("event", "structured"), ("pages", 5)} <= second.items()
    assert not of_job.keys() & idle.keys()
    assert warned["logger"] == "py.warnings"
    assert "careful" in warned["event"]


def test_a_text_line_is_for_people() -> None:
    """When, how grave, what, then the job; a traceback below it."""
    stream = written()
    with in_hand.bound(CLAIM, "w1"):
        logging.getLogger("shop").error("sold out", extra={"of": "two words"})
    try:
        fail("no paper")
    except ValueError:
        logging.getLogger("shop").exception("failed")
    first, second, *trace = stream.getvalue().splitlines()
    assert first.split(" ", 1)[1] == (
        "ERROR MainProcess sold out [job=job-1 attempt=2 plan=todo-1 task=store name=vibe.dev "
        'lane=code worker=w1 trace=0af7651916cd43dd8448eb211c80319c of="two words"]'
    )
    assert second.endswith("ERROR MainProcess failed")
    assert trace[-1] == "ValueError: no paper"


def test_what_celery_adds_is_the_job_alone() -> None:
    """Its lines come with all that they say once more; maintenance is no job."""
    stream = written(log_format="json")
    log = logging.getLogger("celery.app.trace")
    for name in ("shop.sell", "vibe.dispatch"):
        log.info("done", extra={"data": {"id": "job-1", "name": name, "args": "()"}})
    logging.getLogger("shop").info("mine", extra={"data": {"id": 1}})
    done, tick, mine = objects(stream)
    assert done["job"] == "job-1"
    assert "job" not in tick
    assert not {"data"} & (done.keys() | tick.keys())
    assert mine["data"] == {"id": 1}


def test_no_secret_is_written() -> None:
    """Of the settings, and of addresses in what anybody says; tracebacks too."""
    stream = written(
        log_format="json", api_token=OPEN, api_tokens="read:me:abcdefgh",
        database_url="postgresql://me:p%40ssword@db/vibe", broker_url="redis://:open-it@b/0",
    )  # fmt: skip
    log = logging.getLogger("shop")
    log.info("sesame12 abcdefgh p%%40ssword p@ssword at %s", "redis://:other@c/1")
    try:
        fail("open-it")
    except ValueError:
        log.exception("abcdefgh", extra={"given": OPEN})
    text = stream.getvalue()
    for secret in ("sesame12", "abcdefgh", "ssword", "open-it", "other"):
        assert secret not in text
    assert objects(stream)[1]["given"] == "***"


def test_secrets_that_are_none() -> None:
    """A password that the rest of its address tells too is in every second text; so is a short
    one.
    """
    settings = {
        "database_url": "postgresql://postgres:postgres@h/x", "broker_url": "redis://:abc@h/0",
        "fleet_webhook": "https://h/hook", "log_level": "INFO", "web_port": 1, "api_token": "",
    }  # fmt: skip
    assert secrets_of(settings) == ("https://h/hook",)
    given = {"payload_keys": ("none", "file:/run/key", "nonesuch"), "api_token": "none-of-yours"}
    assert secrets_of(given) == ("none-of-yours", "nonesuch")


def test_setting_up_again_replaces_what_was_there(root: logging.Logger, tmp_path: Path) -> None:
    """A handler of the user's own stays."""
    own = logging.FileHandler(tmp_path / "own.log", delay=True)
    root.addHandler(own)
    first = written()
    logs.set_up(Settings(), level="ERROR", file=tmp_path / "vibe.log")
    logging.getLogger("shop").warning("not so grave")
    logging.getLogger("shop").error("grave")
    assert first.getvalue() == ""
    assert "ERROR MainProcess grave" in (tmp_path / "vibe.log").read_text("utf-8")
    assert own in root.handlers
    own.close()
