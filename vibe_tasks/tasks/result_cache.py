"""`ResultCache`: results of users' own code, kept for all processes together."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, TypeVar, cast
from uuid import uuid4

from vibe_tasks.cache import RESULTS, content_key, size_of
from vibe_tasks.errors import InputError
from vibe_tasks.store import result_cache
from vibe_tasks.store.engine import Database, Transaction
from vibe_tasks.store.result_cache import Busy, Counts, Hit, Taken
from vibe_tasks.tasks import resources
from vibe_tasks.tasks.circuit_breaker import is_async

Result = TypeVar("Result")

FIRST_LOOK, LONGEST_LOOK = 0.05, 1.0
"""Seconds between two looks for what another is making, the first time and at most."""


class ResultCache:
    """Keeps results in the ledger's database under what decides them.

    Entries of one name are shared by all processes; each name has its own entries and figures.

    Args:
        ttl_seconds: Seconds for which a result is good. Above zero.
        max_size: Results kept at most; those not used for longest go first. At least 1.
        name: Which cache.
        making_seconds: How long others wait for one that makes a result. Above zero.
        ledger: An open ledger; the settings' by default.

    Raises:
        InputError: A number is out of its bounds.
    """

    def __init__(
        self,
        ttl_seconds: float = 3600.0,
        max_size: int = 1000,
        *,
        name: str = RESULTS,
        making_seconds: float = 600.0,
        ledger: Database | None = None,
    ) -> None:
        for what, value in (("ttl_seconds", ttl_seconds), ("making_seconds", making_seconds)):
            if not 0 < value < float("inf"):
                raise InputError(f"{what} must be above zero, got {value}")
        if max_size < 1:
            raise InputError(f"max_size must be 1 or more, got {max_size}")
        self.name = name
        self._ttl = float(ttl_seconds)
        self._most = max_size
        self._lease = float(making_seconds)
        self._own = ledger

    @property
    def ledger(self) -> Database:
        """Where the results are."""
        return self._own if self._own is not None else resources.ledger()

    def get(self, task_data: Any) -> Any | None:
        """What was stored for this, or None; a result that is None looks like none.

        Args:
            task_data: What decides the result: a JSON value.

        Raises:
            TypeError: It is no JSON value.
        """
        key = content_key(task_data)
        found = self._write(
            lambda connection: result_cache.look(connection, key, self._ttl, cache=self.name)
        )
        return None if found is None else found.value

    def set(self, task_data: Any, result: Any) -> None:
        """Store a result.

        Args:
            task_data: What decides it: a JSON value.
            result: A JSON value.

        Raises:
            TypeError: One of them is no JSON value.
        """
        self._put(content_key(task_data), None, result)

    def get_or_make(self, task_data: Any, make: Callable[[], Result]) -> Result:
        """What is stored for this, or what `make` returns: called by one of all processes, while
        the others wait. `await` it where `make` is `async`.

        When it fails, its exception goes to its own caller, and another one tries.

        Args:
            task_data: What decides the result: a JSON value.
            make: Makes it; a JSON value.

        Raises:
            TypeError: One of them is no JSON value.
        """
        key, holder = content_key(task_data), uuid4().hex
        if is_async(make):
            return cast("Result", self._await(key, holder, cast("Any", make)))
        waits = _waits()
        while True:
            found = self._take(key, holder)
            if isinstance(found, Hit):
                return cast("Result", found.value)
            if isinstance(found, Busy):
                resources.pause(min(next(waits), found.seconds))
                continue
            try:
                result = make()
                self._put(key, holder, result)
            except BaseException:
                self._give_up(key, holder)
                raise
            return result

    async def _await(self, key: str, holder: str, make: Callable[[], Awaitable[Any]]) -> Any:
        waits = _waits()
        while True:
            found = await asyncio.to_thread(self._take, key, holder)
            if isinstance(found, Hit):
                return found.value
            if isinstance(found, Busy):
                await asyncio.sleep(min(next(waits), found.seconds))
                continue
            try:
                result = await make()
                await asyncio.to_thread(self._put, key, holder, result)
            except BaseException:
                await asyncio.to_thread(self._give_up, key, holder)
                raise
            return result

    def clear(self) -> int:
        """Forget all results; how many. The figures of what happened stay."""
        return self._write(lambda connection: result_cache.clear(connection, cache=self.name))

    def get_stats(self) -> dict[str, Any]:
        """Results in it (`size`), `hits`, `misses`, `evictions` and the other figures; `hit_rate`
        is a percentage. Of all processes together.
        """

        def read(_unsure: bool) -> Counts:
            with self.ledger.read() as connection:
                return result_cache.counts(connection, cache=self.name)

        return resources.retries.call(read).to_json()

    def _take(self, key: str, holder: str) -> Taken:
        return self._write(
            lambda connection: result_cache.take(
                connection, key, holder, self._lease, None, self._ttl, cache=self.name
            )
        )

    def _put(self, key: str, holder: str | None, result: Any) -> None:
        size = size_of(result)
        self._write(
            lambda connection: result_cache.put(
                connection, key, holder, result, size, self._ttl, self._most, cache=self.name
            )
        )

    def _give_up(self, key: str, holder: str) -> None:
        self._write(
            lambda connection: result_cache.give_up(connection, key, holder, cache=self.name)
        )

    def _write(self, operation: Callable[[Transaction], Result]) -> Result:
        def write(_unsure: bool) -> Result:
            with self.ledger.begin() as connection:
                return operation(connection)

        return resources.retries.call(write)


def _waits() -> Iterator[float]:
    wait = FIRST_LOOK
    while True:
        yield wait
        wait = min(LONGEST_LOOK, 2 * wait)
