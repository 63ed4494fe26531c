"""Celery's lines in our workers' logs that tell nothing, or one thing in many lines."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from celery.worker.consumer.consumer import UNKNOWN_TASK_ERROR

TICKS = frozenset({"vibe.dispatch", "vibe.scale"})
"""Maintenance that beat calls every few seconds: two lines each time would bury what jobs say."""


def _lower_ticks(record: logging.LogRecord) -> bool:
    """That maintenance was received, and went well, is of level DEBUG."""
    told = record.args
    if record.levelno != logging.INFO or not isinstance(told, Mapping):
        return True
    if told.get("name") not in TICKS:
        return True
    record.levelno, record.levelname = logging.DEBUG, "DEBUG"
    return logging.getLogger(record.name).isEnabledFor(logging.DEBUG)


def _shorten_unknown(record: logging.LogRecord) -> bool:
    """Celery adds the whole message and a traceback; what becomes of a job its row says."""
    if record.msg == UNKNOWN_TASK_ERROR and isinstance(record.args, tuple):
        record.msg, record.args = "this worker knows no function %s", record.args[:1]
        record.exc_info = record.exc_text = None
    return True


def install() -> None:
    """Do so in this process and those that it forks; again changes nothing."""
    for name in ("celery.worker.strategy", "celery.app.trace"):
        logging.getLogger(name).addFilter(_lower_ticks)
    logging.getLogger("celery.worker.consumer.consumer").addFilter(_shorten_unknown)
