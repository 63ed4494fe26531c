"""Log lines of our processes: text for people, or JSON objects, over the standard logging module.

Each line has its moment, level, logger and process, and within a job's run the job, its attempt,
plan, task, lane, worker and trace. Secrets of the settings are masked in all of it.
"""

from __future__ import annotations

import json
import logging
import multiprocessing
import sys
from collections.abc import Callable, MutableMapping
from pathlib import Path
from typing import Any, TextIO

from vibe_tasks.masking import masked_text, secrets_of
from vibe_tasks.redaction import Redaction, checked_patterns
from vibe_tasks.settings import Settings
from vibe_tasks.tasks import resources
from vibe_tasks.tasks.quiet import TICKS

# It would import rich for its coloured output, which takes five times as long as the rest of it
# and which no process here writes.
_without_rich = "rich" not in sys.modules
if _without_rich:
    sys.modules["rich"] = None  # type: ignore[assignment]
try:
    import structlog
    from structlog import contextvars, processors, stdlib
finally:
    if _without_rich:
        del sys.modules["rich"]

Event = MutableMapping[str, Any]

FIRST = ("job", "attempt", "plan", "task", "name", "lane", "worker", "trace")
"""Order of what a text line tells of the job in hand; more comes after."""

HIDDEN = frozenset({"event", "level", "logger", "timestamp", "process", "exception", "stack"})


def set_up(
    settings: Settings | None = None, *, level: int | str | None = None,
    file: Path | str | None = None, stream: TextIO | None = None,
) -> None:  # fmt: skip
    """Write this process's log as the settings say; again replaces what was set up before.

    Args:
        settings: Their `log_level` and `log_format` hold; this process's by default.
        level: Another level.
        file: The log; None: a stream.
        stream: That stream; standard error by default.
    """
    settings = settings or resources.settings()
    handler: logging.Handler = (
        logging.StreamHandler(stream or sys.stderr) if file is None
        else logging.FileHandler(file, encoding="utf-8", delay=True)
    )  # fmt: skip
    handler.setFormatter(formatter(settings))
    handler.set_name(NAME)
    root = logging.getLogger()
    for each in [each for each in root.handlers if _is_replaced(each)]:
        root.removeHandler(each)
    root.addHandler(handler)
    root.setLevel(level or settings.log_level)
    logging.captureWarnings(True)
    if not structlog.is_configured():
        structlog.configure(
            processors=[
                stdlib.filter_by_level, *_chain(settings), stdlib.PositionalArgumentsFormatter(),
                processors.StackInfoRenderer(), stdlib.ProcessorFormatter.wrap_for_formatter,
            ],
            logger_factory=stdlib.LoggerFactory(), wrapper_class=stdlib.BoundLogger,
            cache_logger_on_first_use=True,
        )  # fmt: skip


NAME = "vibe"
"""Name of our handler."""


def _is_replaced(handler: logging.Handler) -> bool:
    """Whether it is ours, or one that writes to a terminal as Python's own."""
    return handler.get_name() == NAME or type(handler) is logging.StreamHandler


def formatter(settings: Settings) -> logging.Formatter:
    """What makes a line of a record, from anybody's logger."""
    return stdlib.ProcessorFormatter(
        foreign_pre_chain=_chain(settings),
        processors=[
            _process, stdlib.ProcessorFormatter.remove_processors_meta,
            processors.format_exc_info, _masking(settings),
            _json_line if settings.log_format == "json" else text_line,
        ],
    )  # fmt: skip


def _chain(_settings: Settings) -> list[Any]:
    """What a line tells beside its message."""
    return [
        contextvars.merge_contextvars, stdlib.add_logger_name, stdlib.add_log_level,
        stdlib.ExtraAdder(), _tidied, processors.TimeStamper(fmt="iso", utc=True),
    ]  # fmt: skip


def _tidied(_logger: Any, _method: str, event: Event) -> Event:
    """Without what other handlers have made of the record, and what Celery adds to its lines: the
    line itself once more, and the message's id, which is the job.
    """
    if not event.get("_from_structlog", True):
        for name in ("message", "asctime"):
            event.pop(name, None)
    data = event.get("data")
    if isinstance(data, dict) and event["logger"].startswith("celery."):
        del event["data"]
        if "id" in data and data.get("name") not in TICKS:
            event.setdefault("job", data["id"])
    return event


def _process(_logger: Any, _method: str, event: Event) -> Event:
    record = event.get("_record")
    event["process"] = (
        record.processName if record is not None else multiprocessing.current_process().name
    )
    return event


def _masking(settings: Settings) -> Callable[[Any, str, Event], Event]:
    redaction = Redaction(secrets_of(settings.model_dump()), checked_patterns(settings.redact))

    def mask(_logger: Any, _method: str, event: Event) -> Event:
        for name, value in event.items():
            if isinstance(value, str):
                event[name] = clean(value, redaction)
            elif name in {"_record", "exc_info"} or isinstance(value, bool | int | float | None):
                continue
            elif isinstance(value, dict | list | tuple):
                event[name] = redaction.value(value)
            elif (said := repr(value)) != (left := clean(said, redaction)):
                event[name] = left  # such as an error that is given as a field
        return event

    return mask


def clean(text: str, redaction: Redaction) -> str:
    """The text without what is secret in it, and without all that addresses in it may hide."""
    text = redaction.text(text)
    return masked_text(text) if "://" in text else text


def text_line(_logger: Any, _method: str, event: Event) -> str:
    """One line for people: when, how grave, which process, what, and of which job."""
    told = {name: event[name] for name in FIRST if name in event} | {
        name: value for name, value in event.items() if name not in HIDDEN
    }
    of = " ".join(f"{name}={_short(value)}" for name, value in told.items())
    level = str(event.get("level", "info")).upper()
    line = f"{event['timestamp']} {level} {event['process']} {event.get('event', '')}"
    trace = event.get("exception") or event.get("stack")
    return "".join((line, f" [{of}]" if of else "", f"\n{trace}" if trace else ""))


def _json_line(_logger: Any, _method: str, event: Event) -> str:
    return json.dumps(event, default=repr, ensure_ascii=False)


def _short(value: Any) -> str:
    text = str(value)
    return text if text and not any(each.isspace() for each in text) else json.dumps(text)
