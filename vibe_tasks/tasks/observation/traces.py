"""Spans of what is done for a job: submit, dispatch, each run, and what happens within a run.

A job's row carries its trace from the moment that it is submitted, with or without OpenTelemetry;
spans are made only where `VIBE_TRACES` asks for them. All of a task's jobs hang from the span that
submitted the first of them, so that no span is lost whose parent was killed.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Self

from vibe_tasks.errors import SettingsError
from vibe_tasks.jobs import Claim, Publication
from vibe_tasks.tasks import resources
from vibe_tasks.tasks.observation import in_hand
from vibe_tasks.trace import fresh_trace

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from vibe_tasks.tasks.observation import spans

NEEDED = {
    "otlp": ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http"),
    "console": ("opentelemetry.sdk",),
    "none": (),
}
"""What must be installed for each value of the setting `traces`."""

Attributes = Mapping[str, Any]


def check() -> None:
    """Make sure that spans can be made, if they are asked for.

    Raises:
        SettingsError: A package is missing.
    """
    wanted = resources.settings().traces
    if not all(map(_is_installed, NEEDED[wanted])):
        raise SettingsError(
            f"VIBE_TRACES: {wanted} needs OpenTelemetry: pip install 'vibe-tasks[otel]'"
        )


def _is_installed(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:  # not even the packages above it
        return False


def wanted() -> bool:
    """Whether spans are to be made."""
    return resources.settings().traces != "none"


def _spans() -> Any:
    """The part that knows OpenTelemetry, which takes half a second to load."""
    loaded = sys.modules.get("vibe_tasks.tasks.observation.spans")
    if loaded is None:
        check()
        from vibe_tasks.tasks.observation import spans as loaded  # noqa: PLC0415
    return loaded


def parent() -> str:
    """The trace for what is submitted now: that of the producer's current span, that of the job
    in hand, or a fresh one.
    """
    # Somebody else may use OpenTelemetry in this process, whatever our setting is.
    api = sys.modules.get("opentelemetry.trace")
    if api is not None:
        context = api.get_current_span().get_span_context()
        if context.is_valid:
            sampled = int(context.trace_flags.sampled)
            return f"00-{context.trace_id:032x}-{context.span_id:016x}-{sampled:02x}"
    return in_hand.trace.get() or fresh_trace(resources.random_bits)


def submitting(name: str) -> AbstractContextManager[None]:
    """The span of a submission by this producer, for the jobs that are written meanwhile.

    Args:
        name: The function that is called.
    """
    if not wanted():
        return nullcontext()
    span: AbstractContextManager[None] = _spans().submit(name, in_hand.trace.get())
    return span


class Submission:
    """Traces for the jobs of a plan, a span for each of its tasks until the plan is written."""

    def __init__(self) -> None:
        check()
        self._open: list[Any] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        for span in self._open:
            _spans().finish(span, error)

    def __call__(self, plan_id: str, task_id: str) -> str:
        """The trace of a task's jobs."""
        if not wanted():
            return parent()
        attributes = {"vibe.plan": plan_id, "vibe.task": task_id}
        span, text = _spans().begin_submit(attributes, in_hand.trace.get())
        self._open.append(span)
        return str(text)


def dispatched(jobs: Sequence[Publication], *, began: float) -> None:
    """Messages were sent: the span of each.

    Args:
        jobs: Whose they are, and the time they were sent together.
        began: Epoch seconds.
    """
    if wanted():
        _spans().dispatched(jobs, began=began, ended=resources.wall_clock())


@contextmanager
def running(claim: Claim, worker: str | None) -> Iterator[None]:
    """The span of an attempt."""
    if not wanted():
        yield
        return
    with _spans().run(claim, worker):
        yield


def ended(outcome: str, error: BaseException | None = None) -> None:
    """Say in the span of the attempt in hand how it ended.

    Args:
        outcome: `completed`, `failed`, `again`, `cancelled`.
        error: What it raised.
    """
    if wanted():
        _spans().ended(outcome, error)


def lost(row: Mapping[str, Any], why: str) -> None:
    """The span of an attempt whose worker is dead and cannot write it.

    Args:
        row: The job's row as it was while the attempt was its current one.
        why: What became of it.
    """
    if wanted():
        _spans().lost(row, why, now=resources.wall_clock())


def span(name: str, attributes: Attributes | None = None) -> AbstractContextManager[Any]:
    """A part of what is done within an attempt; what it raises is recorded."""
    if not wanted():
        return nullcontext()
    made: spans.Part = _spans().part(name, attributes or {})
    return made


def prepare() -> None:
    """Load what makes spans, if they are asked for, so that processes forked later share it.

    Raises:
        SettingsError: A package is missing.
    """
    check()
    if wanted():
        _spans()


def start(**_: Any) -> None:
    """Get ready in this process, which has just been forked."""
    if wanted():
        _spans().provider()


def finish(**_: Any) -> None:
    """Send what this process still has; a collector that is away keeps nobody for long."""
    loaded = sys.modules.get("vibe_tasks.tasks.observation.spans")
    if loaded is not None:
        loaded.close()
