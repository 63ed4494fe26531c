"""Checks of the work: who serves each lane, who sends what is due, what stands still."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vibe_tasks import diagnosis
from vibe_tasks.breaker import State
from vibe_tasks.finding import Finding, absent, fine, warning, wrong
from vibe_tasks.flow.plan_source import on_path
from vibe_tasks.flow.views.registry import registry
from vibe_tasks.flow.views.unserved import unserved
from vibe_tasks.jobs import LANES
from vibe_tasks.plan import Plan
from vibe_tasks.plan_check import not_runnable
from vibe_tasks.store import breaker_list, checkup, upkeep, worker_line
from vibe_tasks.store.breaker_list import Breaker
from vibe_tasks.store.engine import Transaction
from vibe_tasks.store.sealing import is_sealed
from vibe_tasks.store.stats import QueueStats, get_queue_stats
from vibe_tasks.store.watching import oldest_unsent
from vibe_tasks.store.worker_line import Lack
from vibe_tasks.store.workers import list_workers
from vibe_tasks.tasks import resources
from vibe_tasks.tasks.health import SILENT_BEAT, SLOW_DISPATCHER
from vibe_tasks.tasks.processes import program_version
from vibe_tasks.words import counted, span

PLANS = 20
"""Running plans whose agents are looked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What the ledger says of the work at one moment.

    Attributes:
        stats: The queue.
        workers: The registry, one entry for each.
        unsent: Due jobs whose message nobody has sent, and seconds since when the oldest is due.
        beat: Seconds since what beat sends was last done; None where it never was.
        held: What is held.
        lacks: Labels that waiting jobs require.
        dead: Dead letters of late.
        breakers: The circuit breakers.
        agents: Names of running plans, each with what stands against its agents on this machine.
    """

    stats: QueueStats
    workers: Sequence[Mapping[str, Any]]
    unsent: tuple[int, float]
    beat: float | None
    held: Sequence[checkup.Held]
    lacks: Sequence[Lack]
    dead: int
    breakers: Sequence[Breaker]
    agents: Sequence[tuple[str, str]]

    @property
    def online(self) -> list[Mapping[str, Any]]:
        """The workers that are there."""
        return [each for each in self.workers if each["status"] == "online"]


def look(connection: Transaction) -> Seen:
    """All of it."""
    lease = resources.settings().lease_seconds
    return Seen(
        stats=get_queue_stats(connection),
        workers=registry(list_workers(connection), lease=lease),
        unsent=(checkup.unsent(connection), oldest_unsent(connection)),
        beat=upkeep.seconds_since(connection, upkeep.DISPATCH),
        held=checkup.held(connection),
        lacks=worker_line.lacks(connection, lease=lease),
        dead=checkup.dead_since(connection, diagnosis.DEAD_SECONDS),
        breakers=breaker_list.states(connection),
        agents=[*_agents(connection)],
    )


def _agents(connection: Transaction) -> Iterator[tuple[str, str]]:
    for name, spec in checkup.running_plans(connection, limit=PLANS):
        if is_sealed(spec):  # with a key that we lack, which is a finding of its own
            continue
        try:
            plan = Plan.model_validate(spec)
        except ValueError:  # of another version of this program, which is a finding of its own
            continue
        for problem in not_runnable(plan, has_program=on_path):
            yield name, f"{'.'.join(map(str, problem.path))}: {problem.message}"


def findings(seen: Seen, *, expected: bool) -> Iterator[Finding]:
    """Whether the work goes on.

    Args:
        seen: What the ledger says.
        expected: Whether a deployment runs; without one nobody has to be at work.
    """
    settings = resources.settings()
    embedded = not settings.broker_url
    waiting = [
        Finding(check="lanes", ok=not expected, text=each.text(), mend=each.mend(embedded=embedded))
        for each in unserved(seen.stats, seen.workers)
    ]
    if expected:
        yield from _crew(seen)
        yield from waiting
        yield from _control(seen, embedded=embedded)
    else:
        yield fine("workers", "none, as no stack runs")
        yield from waiting
    yield from _standing(seen)
    for name, text in seen.agents:
        mend = "install it where workers run; nothing where that is another machine"
        yield warning("agents", f"plan {name}, {text}", mend)


def _crew(seen: Seen) -> Iterator[Finding]:
    lease = resources.settings().lease_seconds
    by_lane: dict[str, list[str]] = defaultdict(list)
    by_version: dict[str, set[str]] = defaultdict(set)
    for each in seen.online:
        for lane in each["lanes"]:
            by_lane[lane].append(each["worker_id"])
        if each["version"]:
            by_version[each["version"]].add(each["worker_id"])
    for lane in sorted(LANES):
        if lane in by_lane:
            yield fine("workers", f"lane {lane}: {', '.join(by_lane[lane])}")
        else:
            yield wrong("workers", f"lane {lane}: nobody", f"celery -A vibe_tasks worker -Q {lane}")
    lost = [each["worker_id"] for each in seen.workers if each["status"] == "lost"]
    late = [each["worker_id"] for each in seen.online if each["age"] > 0.75 * lease]
    for found in (
        diagnosis.silent(lost, late=late, lease_seconds=lease),
        diagnosis.versions(by_version, ours=program_version()),
    ):
        if found is not None:
            yield found


def _control(seen: Seen, *, embedded: bool) -> Iterator[Finding]:
    """Who sends what is due, and who does the upkeep."""
    number, seconds = seen.unsent
    yield diagnosis.outbox(
        number, seconds=seconds, slow=SLOW_DISPATCHER,
        mend="celery -A beat_schedule beat, or python -m vibe_tasks.tasks.dispatcher",
    )  # fmt: skip
    if embedded:  # its dispatcher is a process of its own, with a beat beside it or without
        return
    if seen.beat is None:
        yield warning(
            "beat", "nothing that it sends was ever done: nobody scales, archives and trims",
            "celery -A beat_schedule beat, and a worker of the lane control",
        )  # fmt: skip
    elif seen.beat > SILENT_BEAT:
        yield wrong(
            "beat", f"what it sends was last done {span(seen.beat)} ago",
            "celery -A beat_schedule beat; see whether a worker of the lane control runs",
        )  # fmt: skip
    else:
        yield fine("beat", "what it sends is done")


def _standing(seen: Seen) -> Iterator[Finding]:
    """What waits for somebody, or something."""
    for each in seen.lacks:
        if not each.workers:
            yield warning(
                "labels", f"{counted(each.jobs, 'job')} waiting: {each.text()}",
                f"start one that has: VIBE_WORKER_LABELS={','.join(each.required)}",
            )  # fmt: skip
    for held in seen.held:
        found = diagnosis.held(
            held.lane, held.what, jobs=held.jobs, seconds=held.seconds, paused=held.paused
        )
        if found is not None:
            yield found
    letters = diagnosis.dead_letters(seen.stats.dead_letters, lately=seen.dead)
    if letters is not None:
        yield letters
    shut = [each for each in seen.breakers if each.state is not State.CLOSED]
    for breaker in shut:
        why = f": {breaker.reason}" if breaker.reason else ""
        state = "half open" if breaker.state is State.HALF_OPEN else "open"
        yield warning(
            "breaker", f"{breaker.name} is {state}{why}",
            "mend what it stands before; it closes by itself after a few good calls",
        )  # fmt: skip
    if seen.breakers and not shut:
        yield fine("breaker", "all are closed")
    elif not seen.breakers:
        yield absent("breaker", "none has counted a call")
