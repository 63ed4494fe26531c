"""`CircuitBreaker`: calls to something that may fail for a while, for all processes together."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from inspect import isawaitable, iscoroutinefunction
from typing import Any, ParamSpec, TypeVar, cast
from uuid import uuid4

from vibe_tasks.breaker import Change, CircuitBreakerConfig, State
from vibe_tasks.errors import Cancel, CircuitBreakerOpenError, InputError, Snooze
from vibe_tasks.events import EventType
from vibe_tasks.store import breakers, events, jobs
from vibe_tasks.store.breakers import Breaker
from vibe_tasks.store.engine import DATABASE_ERRORS, Database, Transaction
from vibe_tasks.store.retries import reason
from vibe_tasks.tasks import resources

log = logging.getLogger(__name__)

P = ParamSpec("P")
Result = TypeVar("Result")
Callback = Callable[["CircuitBreaker"], object]

SHOWN = ("error_rate", "calls", "failures", "times_opened", "successes", "trials", "reason")
"""Figures of `get_stats` that are called the same in the store."""

EVENTS: Mapping[Change, EventType] = {
    "opened": EventType.BREAKER_OPENED,
    "closed": EventType.BREAKER_CLOSED,
}


class CircuitBreaker:
    """Keeps calls away from what fails too often; all breakers of one name are one breaker.

    An exception of the call is a failure, except `Snooze` and `Cancel`, which say nothing about the
    other side. In a job a `CircuitBreakerOpenError` runs the job later and counts no failure.

    Args:
        name: What it stands before.
        config: When it opens and closes; the settings' rules by default.
        trial_seconds: A call that tries whether the other side is back keeps its place for so long
            where it does not come to an end. Above zero.
        ledger: An open ledger; the settings' by default.

    Raises:
        InputError: `trial_seconds` is not above zero, or there is no name.
    """

    def __init__(
        self,
        name: str,
        config: CircuitBreakerConfig | None = None,
        *,
        trial_seconds: float = 600.0,
        ledger: Database | None = None,
    ) -> None:
        if not name:
            raise InputError("a circuit breaker needs a name")
        if not 0 < trial_seconds < float("inf"):
            raise InputError(f"trial_seconds must be above zero, got {trial_seconds}")
        self.name = name
        self.config = config or CircuitBreakerConfig.of(resources.settings())
        self._trial_seconds = trial_seconds
        self._own = ledger
        self._callbacks: dict[Change, list[Callback]] = {"opened": [], "closed": []}

    def __repr__(self) -> str:
        return f"<CircuitBreaker {self.name}>"

    @property
    def ledger(self) -> Database:
        """Where its state is."""
        return self._own if self._own is not None else resources.ledger()

    # --- calls ---

    def call(self, function: Callable[P, Result], *args: P.args, **kwargs: P.kwargs) -> Result:
        """Call the function if the breaker lets it through; `await` it where it is `async`.

        Raises:
            CircuitBreakerOpenError: It was not called; the error says when it is worth a try.
        """
        if is_async(function):
            return cast("Result", self._ask_and_await(function, args, kwargs))
        holder = self._admit()
        try:
            result = function(*args, **kwargs)
        except BaseException as error:
            self._tell(self._settle(holder, _verdict(error)))
            raise
        if isawaitable(result):
            return cast("Result", self._await(holder, result))
        self._tell(self._settle(holder, ok=True))
        return result

    async def _ask_and_await(
        self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        holder = await asyncio.to_thread(self._admit)
        return await self._await(holder, function(*args, **kwargs))

    async def _await(self, holder: str, result: Awaitable[Any]) -> Any:
        try:
            value = await result
        except BaseException as error:
            self._tell(await asyncio.to_thread(self._settle, holder, _verdict(error)))
            raise
        self._tell(await asyncio.to_thread(self._settle, holder, ok=True))
        return value

    def _admit(self) -> str:
        holder = uuid4().hex

        def ask(_unsure: bool) -> float:
            with self.ledger.read() as connection:
                if breakers.is_closed(connection, self.name):
                    return 0.0
            with self.ledger.begin() as connection:
                return breakers.admit(
                    connection, self.name, self.config, holder, self._trial_seconds
                )

        wait = resources.retries.call(ask)
        if wait > 0:
            raise CircuitBreakerOpenError(self.name, wait)
        return holder

    def _settle(self, holder: str, ok: bool | None) -> Change | None:
        """Count the call; a ledger that is away does not spoil what came of it."""

        def write(_unsure: bool) -> Change | None:
            with self.ledger.begin() as connection:
                change = breakers.settle(connection, self.name, self.config, holder, ok)
                self._record(connection, change)
                return change

        try:
            return resources.retries.call(write)
        except DATABASE_ERRORS as error:
            log.warning("breaker %s: a call was not counted: %s", self.name, reason(error))
            return None

    # --- what it does beside ---

    def on_open(self, callback: Callback) -> Callback:
        """Call this when a call or `trip` of this object opens it; the argument is this object.

        For what other processes do there are the events `BREAKER_OPENED` and `BREAKER_CLOSED`.
        """
        self._callbacks["opened"].append(callback)
        return callback

    def on_close(self, callback: Callback) -> Callback:
        """Call this when a call or `reset` of this object closes it, as in `on_open`."""
        self._callbacks["closed"].append(callback)
        return callback

    def trip(self, seconds: float, why: str) -> None:
        """Open it for at least so many seconds, as the other side has asked for."""

        def write(_unsure: bool) -> Change | None:
            with self.ledger.begin() as connection:
                change = breakers.trip(connection, self.name, seconds, why)
                self._record(connection, change)
                return change

        self._tell(resources.retries.call(write))

    def reset(self) -> None:
        """Close it and forget its calls."""

        def write(_unsure: bool) -> Change | None:
            with self.ledger.begin() as connection:
                change: Change | None = "closed" if breakers.close(connection, self.name) else None
                self._record(connection, change)
                jobs.wake(connection, CircuitBreakerOpenError.text(self.name))
                return change

        self._tell(resources.retries.call(write))

    # --- how it stands ---

    @property
    def state(self) -> State:
        """Closed, open or half open, at this moment."""
        return self.look().state

    def is_open(self) -> bool:
        """Whether no call goes through; half open is not open."""
        return self.state is State.OPEN

    def get_stats(self) -> dict[str, Any]:
        """State, failed calls as a percentage (`error_rate`), and the other figures."""
        found = self.look()
        values = {name: getattr(found, name) for name in SHOWN}
        return values | {"state": str(found.state), "wait_seconds": found.wait}

    def look(self) -> Breaker:
        """All that is known of it."""

        def read(_unsure: bool) -> tuple[Breaker, ...]:
            with self.ledger.read() as connection:
                return breakers.states(
                    connection, name=self.name, window=self.config.window_seconds
                )

        found = resources.retries.call(read)
        return found[0] if found else Breaker(name=self.name)

    def _record(self, connection: Transaction, change: Change | None) -> None:
        if change is not None:
            events.record(
                connection, EVENTS[change], session=self.name, payload={"breaker": self.name},
                summary=f"breaker {self.name} {change}",
            )  # fmt: skip

    def _tell(self, change: Change | None) -> None:
        for callback in self._callbacks[change] if change is not None else ():
            callback(self)


def is_async(function: Callable[..., object]) -> bool:
    """Whether calling it makes a coroutine."""
    return iscoroutinefunction(function) or iscoroutinefunction(
        getattr(function, "__call__", None)  # noqa: B004  it is callable, this asks in what way
    )


def _verdict(error: BaseException) -> bool | None:
    """What an exception says of the other side; nothing where somebody has ended the call."""
    return False if isinstance(error, Exception) and not isinstance(error, _NEUTRAL) else None


_NEUTRAL = (Snooze, Cancel)
