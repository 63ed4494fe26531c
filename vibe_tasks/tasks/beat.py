"""Several beats, one schedule: who holds the lock in Redis sends, the others stand by.

redbeat keeps the schedule and the time of each entry's last run in Redis, so a successor goes on
where its predecessor was killed. This scheduler adds what redbeat leaves to an operator: its beat
waits for a lock that another one holds without blocking, ends with an error when the lock is gone
or Redis is away, and writes its entries at its start alone, so that a broker that was emptied
would leave it with nothing to do for ever. Here all three mend themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from celery.utils.log import get_logger
from redbeat.schedulers import (  # type: ignore[import-untyped]  # it carries none
    RedBeatScheduler,
    get_redis,
)
from redis.exceptions import LockError, RedisError

from vibe_tasks.tasks import alive
from vibe_tasks.tasks.publisher import BROKER_ERRORS

log = get_logger("celery.beat")  # with beat's own lines

LOOKS_PER_LOCK = 10
"""Looks of a beat that stands by while a lock runs out."""


class SharedScheduler(RedBeatScheduler):
    """redbeat's scheduler, healing.

    A beat looks for the lock before each of its looks at the schedule: one that was stopped for
    longer than the lock lives finds that it leads no longer, and sends nothing.
    """

    lock_key: str | None
    max_interval: float

    def __init__(self, app: Any, **options: Any) -> None:
        self._lock: Any = None
        self._standing_by = False
        self._last_runs: dict[str, datetime] = {}
        super().__init__(app, **options)
        # redbeat takes the lock that is named here when beat starts, and waits for it.
        self._lock_name, self.lock_key = self.lock_key, None
        self._pause = self.lock_timeout / LOOKS_PER_LOCK
        self.max_interval = min(self.max_interval, self.lock_timeout / 4)

    def setup_schedule(self) -> None:
        """Nothing yet: who leads writes the schedule, when Redis answers."""

    def tick(self, **options: Any) -> float:
        """Send what is due, as the leader; seconds to sleep."""
        alive.sign()
        try:
            if not self._leads():
                return self._pause
            if forgotten := self._forgotten():
                self._write_schedule(forgotten)
            return float(super().tick(**options))
        except BROKER_ERRORS as error:
            log.warning("beat: Redis away, looking again in %.1f s: %s", self._pause, error)
            return self._pause

    def reserve(self, entry: Any) -> Any:
        """Note that the entry runs now."""
        following = super().reserve(entry)
        self._last_runs[entry.name] = following.last_run_at
        return following

    def close(self) -> None:
        """Let another beat take over at once."""
        if self._lock is not None:
            try:
                self._lock.release()
                log.info("beat: released the lock")
            except RedisError as error:
                log.warning("beat: could not release the lock: %s", error)
            self._lock = None
        super().close()

    @property
    def info(self) -> str:
        """Lines of beat's banner."""
        return f"{super().info}\n       . lock -> `{self._lock_name}` ({self.lock_timeout} s)"

    def _leads(self) -> bool:
        """Extend the lock, or take it; whether it is ours."""
        if self._lock is not None:
            try:
                self._lock.extend(self.lock_timeout, replace_ttl=True)
                return True
            except LockError:
                log.warning("beat: lost the lock")
                self._lock = None
        lock = get_redis(self.app).lock(
            self._lock_name, timeout=self.lock_timeout, thread_local=False
        )
        if not lock.acquire(blocking=False):
            if not self._standing_by:
                log.info("beat: standing by, another beat leads")
            self._standing_by = True
            return False
        self._lock, self._standing_by = lock, False
        log.info("beat: leading")
        self._write_schedule(self._forgotten())  # definitions may have changed, too
        return True

    def _forgotten(self) -> list[str]:
        """Entries that Redis lacks: new ones, or it was emptied, restarted, or short of memory."""
        config = self.app.redbeat_conf
        names = list(config.schedule)
        keys = [self.Entry.generate_key(self.app, name) for name in names]
        times = get_redis(self.app).zmscore(config.schedule_key, keys) if keys else []
        return [name for name, time in zip(names, times, strict=True) if time is None]

    def _write_schedule(self, forgotten: Sequence[str]) -> None:
        """Write the schedule; what Redis forgot goes on from the last run that we remember."""
        super().setup_schedule()
        for name in forgotten:
            if last_run := self._last_runs.get(name):
                key = self.Entry.generate_key(self.app, name)
                self.Entry.from_key(key, app=self.app).reschedule(last_run)
