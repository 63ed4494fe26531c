"""The autoscaler of a worker: its pool grows and shrinks by what waits in its lanes.

Celery's own looks at what the worker has already taken from the broker, and takes as much as the
largest pool could run: with one process it would sit on the jobs of six, and an idle pool does not
shrink. This one asks the ledger what waits, and for how long, and lets Celery's consumer take no
more than there are processes.

A thread of its own asks, so that a ledger that hangs holds nothing up; the event loop decides by
the pure policy and carries it out. Without news from the ledger nothing changes but what somebody
has ordered. Sources: docs/decisions; celery#3240, #2559, #8943, #10345.
"""

from __future__ import annotations

import atexit
import logging
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from celery.worker import autoscale

from vibe_tasks.pool_load import LaneLoad, pool_load
from vibe_tasks.scaling import Decision, Load, Memory, decide
from vibe_tasks.store.engine import DATABASE_ERRORS
from vibe_tasks.store.load import lane_loads, serving, startable, within_reach
from vibe_tasks.store.retries import reason
from vibe_tasks.store.scaling_rules import Rules, policy_of, rules_of
from vibe_tasks.tasks import resources
from vibe_tasks.tasks.labels import worker_labels
from vibe_tasks.tasks.pool import prefork
from vibe_tasks.tasks.pool.drain import drain
from vibe_tasks.tasks.pool.room import stopping
from vibe_tasks.tasks.routing.own_queue import lanes_of

log = logging.getLogger(__name__)

TURN = 0.5
"""Seconds between two turns of the event loop in which the pool may change."""

SLOW_START = 1.0
"""Seconds. After a process that took so long to start the others wait for the next turn: the event
loop has leases, time limits and messages to see to."""

NOTHING = Load(waiting=0, oldest_age=0.0, busy=0, slots=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """What the ledger says about the lanes of this worker.

    Attributes:
        loads: What may start, by lane.
        rules: What was set for a lane.
        workers: Who serves a lane.
    """

    loads: Mapping[str, Load]
    rules: Mapping[str, Rules]
    workers: Mapping[str, tuple[str, ...]]


class Autoscaler(autoscale.Autoscaler):
    """What `worker_autoscaler` names; Celery makes one for `--autoscale`.

    Args:
        pool: Celery's pool.
        max_concurrency: Most processes.
        min_concurrency: Fewest processes; at least one there must be.
        worker: Celery's worker.
    """

    max_concurrency: int
    min_concurrency: int

    def __init__(
        self, pool: Any, max_concurrency: int, min_concurrency: int = 1, worker: Any = None,
        **options: Any,
    ) -> None:  # fmt: skip
        least = max(1, min_concurrency)
        super().__init__(
            pool, max(least, max_concurrency), least, worker=worker,
            **{**options, "keepalive": TURN},
        )  # fmt: skip
        self.override = Rules()
        self.scale_up_count = 0
        self.scale_down_count = 0
        self.last_reason = "it has just started"
        self._policy = policy_of(resources.settings())
        self._memory = Memory()
        self._lane_rules: Mapping[str, Rules] = {}
        self._lookout = Lookout(worker)
        self._able = prefork.can_change(worker)
        if not self._able:
            log.warning("--autoscale: only a prefork pool grows and shrinks; this one stays")
        self._let_take()

    # --- what Celery calls ---

    def body(self) -> None:
        """A turn of Celery's thread, for pools without an event loop: nothing is done in it."""
        resources.pause(TURN)

    def maybe_scale(self, req: Any = None) -> None:
        """A turn of the event loop, or the arrival of a message, which changes nothing by itself.

        Args:
            req: The message's request; None for a turn.
        """
        if req is not None or not self._able or stopping():
            return
        self._lookout.start()
        size = self.processes
        news = self._lookout.take()
        if news is not None:
            self._lane_rules = news.rules
        decision = self._decide(news, size)
        if decision is not None:
            self._memory, self.last_reason = decision.memory, decision.reason
            self._change(size, decision.target, decision.reason)
        self._let_take()

    def update(self, max: int | None = None, min: int | None = None) -> tuple[int, int]:  # noqa: A002
        """Other bounds from now on; Celery's remote-control command `autoscale`.

        Returns:
            Most and fewest processes.

        Raises:
            ValueError: There are to be fewer at most than at least, or none.
        """
        most = self.max_concurrency if max is None else max
        least = self.min_concurrency if min is None else min
        if not 1 <= least <= most:
            raise ValueError(f"need 1 <= min <= max, got min {least} and max {most}")
        log.info("the pool has from now on %d to %d processes", least, most)
        self.max_concurrency, self.min_concurrency = most, least
        self._let_take()
        return most, least

    def info(self) -> dict[str, Any]:
        """What `inspect stats` shows; the first four are Celery's names."""
        return {
            "max": self.max_concurrency, "min": self.min_concurrency,
            "current": self.processes, "qty": self.qty, **self.get_scaling_stats(),
        }  # fmt: skip

    # --- what we add ---

    def get_scaling_stats(self) -> dict[str, int]:
        """Bounds, processes, and how often the pool grew and shrank; the names of
        phase-1.6-components.
        """
        return {
            "min_workers": self.min_concurrency,
            "max_workers": self.max_concurrency,
            "current_workers": self.processes,
            "scale_up_count": self.scale_up_count,
            "scale_down_count": self.scale_down_count,
        }

    def scaling(self) -> dict[str, Any]:
        """The same, with the thresholds of this worker, those that were set for its lanes, and the
        reason of the last decision.
        """
        policy = self.override.applied_to(self._policy)
        names = ("up_depth", "down_depth", "up_age", "up_cooldown", "down_after", "down_cooldown")
        return {
            **self.get_scaling_stats(),
            "thresholds": {name: asdict(policy)[name] for name in names},
            "lanes": {lane: _set(rules) for lane, rules in self._lane_rules.items()},
            "last_reason": self.last_reason,
        }

    def set_scaling(self, changes: Mapping[str, float | None]) -> None:
        """Other thresholds for this worker, over those of its lanes; None: theirs again.

        Raises:
            ValueError: One is out of bounds.
        """
        self.override = replace(self.override, **changes)  # type: ignore[arg-type]

    @property
    def processes(self) -> int:
        """Processes of the pool, those that end not counted."""
        return prefork.size(self.pool)

    def _decide(self, news: News | None, size: int) -> Decision | None:
        bounded = replace(
            self.override.applied_to(self._policy),
            min_size=self.min_concurrency, max_size=self.max_concurrency,
        )  # fmt: skip
        busy = self.qty
        if news is None:
            if self.min_concurrency <= size <= self.max_concurrency:
                return None
            load, policy = replace(NOTHING, busy=busy, slots=size), bounded
        else:
            lanes = [
                LaneLoad(
                    load=load, workers=news.workers.get(lane, ()),
                    policy=self.override.applied_to(_rules(news, lane).applied_to(self._policy)),
                )
                for lane, load in news.loads.items()
            ]  # fmt: skip
            load, policy = pool_load(
                lanes, bounded, worker=self.worker.hostname, busy=busy, slots=size
            )
        return decide(load, policy, self._memory, now=resources.monotonic(), size=size)

    def _change(self, size: int, target: int, why: str) -> None:
        if target > size and not drain.asked:
            self._scale_up(target - size)
        elif target < size:
            # A message may be on its way that was asked for while there was room for it: room for
            # one is left, unless there are more processes than there may be.
            room = size - self.qty - (size <= self.max_concurrency)
            prefork.end_idle(self.pool, self.worker.hub, min(size - target, room))
        now = self.processes
        if now != size:
            self.scale_up_count += now > size
            self.scale_down_count += now < size
            log.info("the pool goes from %d to %d processes: %s", size, now, why)

    def _scale_up(self, number: int) -> None:
        for _ in range(number):
            began = resources.monotonic()
            if not prefork.grow(self.pool) or resources.monotonic() - began > SLOW_START:
                return

    def _let_take(self) -> None:
        """Let Celery's consumer take as many messages as there are processes, and no more."""
        if not self._able:
            self.worker.max_concurrency = None
            return
        started = getattr(self.pool, "_pool", None) is not None
        now = self.processes if started else self.min_concurrency
        self.worker.max_concurrency = min(now, self.max_concurrency)


def _set(rules: Rules) -> dict[str, float]:
    return {name: value for name, value in asdict(rules).items() if value is not None}


def _rules(news: News, lane: str) -> Rules:
    """Without the bounds, which are for the workers of the lane and not for their processes."""
    return replace(news.rules.get(lane, Rules()), min_size=None, max_size=None)


class Lookout:
    """The thread that asks the ledger, every `scale_check_seconds`.

    Args:
        worker: Celery's worker.
    """

    def __init__(self, worker: Any) -> None:
        self._worker = worker
        self._news: News | None = None
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="autoscaler", daemon=True)

    def start(self) -> None:
        """Look from now on; begun only once."""
        if self._thread.ident is None:
            self._thread.start()
            atexit.register(self.stop)

    def stop(self) -> None:
        """Begin no further look."""
        self._stopped.set()
        self._thread.join(timeout=1)

    def take(self) -> News | None:
        """What was found since it was taken last; None for nothing."""
        news, self._news = self._news, None
        return news

    def _run(self) -> None:
        every = resources.settings().scale_check_seconds
        while not self._stopped.is_set():
            try:
                self._news = self._look()
            except DATABASE_ERRORS as error:
                log.info("the pool stays as it is, the ledger is away: %s", reason(error))
            except Exception:  # the edge of a thread that must outlive what it meets
                log.exception("the autoscaler failed, and goes on")
            self._stopped.wait(every)

    def _look(self) -> News:
        lanes = lanes_of(self._worker.app)
        lease = resources.settings().lease_seconds
        with resources.ledger().read() as connection:
            reached = within_reach(connection, lane_loads(connection, lanes), worker_labels())
            return News(
                loads=startable(connection, reached),
                rules=rules_of(connection, lanes),
                workers=serving(connection, lanes, seconds=lease),
            )
