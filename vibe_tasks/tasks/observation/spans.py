"""Making spans with OpenTelemetry's SDK and sending them away: the one place that knows it.

The provider, its thread and its connection belong to one process: they are made after the fork, and
what a parent has made its children never use. The endpoint and all that goes with it is read from
the standard's own variables, `OTEL_EXPORTER_OTLP_ENDPOINT`, `OTEL_TRACES_SAMPLER` and others.
"""

from __future__ import annotations

import atexit
import logging
import os
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from traceback import format_exception
from typing import Any, TypeAlias

from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SpanExporter
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import (
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
)

from vibe_tasks.jobs import Claim, Publication
from vibe_tasks.tasks import resources
from vibe_tasks.trace import TraceContext, parse_trace, span_of_attempt

Part: TypeAlias = AbstractContextManager[Span]

NAME = "vibe_tasks"
"""Of our tracer, and of the service where `OTEL_SERVICE_NAME` names none."""

EVERY_MS = 1_000
"""Milliseconds between two exports: what a killed process loses."""

EXPORT_SECONDS = 5.0
"""Seconds that one export may take, its own retries included; the thread of exports waits."""

LAST_SECONDS = 2.0
"""Seconds that the end of a process may wait for its last spans."""

_next_id: ContextVar[int | None] = ContextVar("vibe_span_id", default=None)

log = logging.getLogger(__name__)


class _Ids(RandomIdGenerator):
    """Random ids, but for spans whose id follows from what they are."""

    def generate_span_id(self) -> int:
        return _next_id.get() or super().generate_span_id()


class _Process:
    """What this process has made."""

    provider: TracerProvider | None = None
    starting = threading.Lock()


def _forget() -> None:
    """In a process that was forked: what its parent has made is the parent's."""
    _Process.provider = None
    _Process.starting = threading.Lock()


os.register_at_fork(after_in_child=_forget)


def provider() -> TracerProvider:
    """This process's provider."""
    with _Process.starting:
        if _Process.provider is None:
            made = TracerProvider(
                resource=Resource.create(_described()), id_generator=_Ids(),
                shutdown_on_exit=False,
            )  # fmt: skip
            made.add_span_processor(BatchSpanProcessor(_exporter(), schedule_delay_millis=EVERY_MS))
            _Process.provider = made
            atexit.register(close)
        return _Process.provider


def _described() -> dict[str, str]:
    named = resources.environment("OTEL_SERVICE_NAME")
    return {} if named else {"service.name": NAME}


def _exporter() -> SpanExporter:
    if resources.settings().traces == "console":
        return ConsoleSpanExporter(out=sys.stderr)
    # Not everybody who has the SDK has this.
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415
        OTLPSpanExporter,
    )

    # Each batch that cannot be sent is told of at length; spans are no reason for a log so long.
    logging.getLogger(OTLPSpanExporter.__module__).addFilter(_once())
    return OTLPSpanExporter(timeout=EXPORT_SECONDS)


def _once() -> Any:
    told: set[str] = set()

    def new(record: logging.LogRecord) -> bool:
        fresh = str(record.msg) not in told
        told.add(str(record.msg))
        return fresh

    return new


def close() -> None:
    """Send what is left, for no longer than `LAST_SECONDS`."""
    made, _Process.provider = _Process.provider, None
    if made is None:
        return
    last = threading.Thread(target=made.shutdown, name="last spans", daemon=True)
    last.start()
    last.join(LAST_SECONDS)


def _tracer() -> trace.Tracer:
    return provider().get_tracer(NAME)


def _context(text: str | None) -> Any:
    """The parent that a row names; None: there is none."""
    found = parse_trace(text)
    if found is None:
        return None
    remote = SpanContext(
        trace_id=int(found.trace_id, 16), span_id=int(found.span_id, 16), is_remote=True,
        trace_flags=TraceFlags(int(found.sampled)),
    )  # fmt: skip
    return trace.set_span_in_context(NonRecordingSpan(remote))


def _text(span: Span) -> str:
    context = span.get_span_context()
    return str(
        TraceContext(
            trace_id=f"{context.trace_id:032x}", span_id=f"{context.span_id:016x}",
            sampled=context.trace_flags.sampled,
        )
    )  # fmt: skip


def _is_under_way() -> bool:
    return trace.get_current_span().get_span_context().is_valid


def begin_submit(attributes: Mapping[str, Any], of: str | None) -> tuple[Span, str]:
    """Begin the span of a submission; it, and the trace of the jobs.

    Args:
        attributes: What is submitted.
        of: The trace of the job in hand, where there is no current span.
    """
    context = None if _is_under_way() else _context(of)
    span = _tracer().start_span(
        "submit", context=context, kind=SpanKind.PRODUCER, attributes=dict(attributes)
    )
    return span, _text(span)


@contextmanager
def submit(name: str, of: str | None) -> Iterator[None]:
    """The span of a submission, the current one meanwhile."""
    span, _ = begin_submit({"vibe.name": name}, of)
    with _current(span):
        yield


def finish(span: Span, error: BaseException | None) -> None:
    """End a span."""
    if error is not None:
        _fail(span, error)
    span.end()


def dispatched(jobs: Sequence[Publication], *, began: float, ended: float) -> None:
    """Spans of messages that were sent together."""
    for job in jobs:
        context = _context(job.trace)
        if context is None:
            continue
        span = _tracer().start_span(
            "dispatch", context=context, kind=SpanKind.PRODUCER, start_time=_ns(began),
            attributes={"vibe.job": job.id, "vibe.name": job.name, "vibe.lane": job.queue},
        )  # fmt: skip
        span.end(_ns(ended))


@contextmanager
def run(claim: Claim, worker: str | None) -> Iterator[None]:
    """The span of an attempt, the current one meanwhile."""
    about = {
        "vibe.job": claim.id, "vibe.attempt": claim.attempt, "vibe.lane": claim.lane,
        "vibe.kind": claim.kind, "vibe.plan": claim.plan_id, "vibe.task": claim.task_id,
        "vibe.worker": worker,
    }  # fmt: skip
    span = _of_attempt(claim.name, claim.trace, about)
    # Who ends an attempt says how; what comes out after that is Celery's way to hear of it.
    with trace.use_span(
        span, end_on_exit=True, record_exception=False, set_status_on_exception=False
    ):
        yield


def _of_attempt(
    name: str, of: str | None, about: Mapping[str, Any], *, began: float | None = None
) -> Span:
    mark = _next_id.set(int(span_of_attempt(about["vibe.job"], about["vibe.attempt"]), 16))
    try:
        return _tracer().start_span(
            f"run/{name}", context=_context(of), kind=SpanKind.CONSUMER,
            attributes={each: value for each, value in about.items() if value is not None},
            start_time=None if began is None else _ns(began),
        )  # fmt: skip
    finally:
        _next_id.reset(mark)


def ended(outcome: str, error: BaseException | None) -> None:
    """How the attempt of the current span ended."""
    span = trace.get_current_span()
    span.set_attribute("vibe.status", outcome)
    if error is not None:
        _fail(span, error)
    elif outcome == "completed":
        span.set_status(Status(StatusCode.OK))


def _fail(span: Span, error: BaseException) -> None:
    clean = resources.redaction().text
    if isinstance(error, Exception):
        said = {
            "exception.message": clean(str(error)),
            "exception.stacktrace": clean("".join(format_exception(error))),
        }
        span.record_exception(error, said)
    span.set_status(Status(StatusCode.ERROR, clean(f"{type(error).__name__}: {error}")))


@contextmanager
def _current(span: Span) -> Iterator[Span]:
    """In here this span is the current one; an error ends it, without what is secret in that."""
    with trace.use_span(
        span, end_on_exit=True, record_exception=False, set_status_on_exception=False
    ):
        try:
            yield span
        except Exception as error:
            _fail(span, error)
            raise


def lost(row: Mapping[str, Any], why: str, *, now: float) -> None:
    """The span of an attempt whose process is dead."""
    if parse_trace(row["trace"]) is None:
        return
    about = {
        "vibe.job": row["id"], "vibe.attempt": row["attempt"], "vibe.lane": row["lane"],
        "vibe.kind": row["kind"], "vibe.plan": row["plan_id"], "vibe.task": row["task_id"],
        "vibe.worker": row["worker"], "vibe.status": "lost",
    }  # fmt: skip
    span = _of_attempt(row["name"], row["trace"], about, began=row["started_at"])
    span.set_status(Status(StatusCode.ERROR, why))
    span.end(_ns(now))


def part(name: str, attributes: Mapping[str, Any]) -> Part:
    """A child of the current span."""
    return _current(_tracer().start_span(name, attributes=dict(attributes)))


def _ns(seconds: float) -> int:
    return int(seconds * 1e9)
