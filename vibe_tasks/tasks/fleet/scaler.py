"""One look at a lane's fleet: what there is, what there should be, and making it so.

Three short transactions with the provisioner in between, so that nothing is locked while somebody
else answers. Whoever is killed on the way leaves a lease that runs out and a decision that is
marked as interrupted; the next look starts from what the provisioner says there is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, TypeVar

from vibe_tasks.events import EventType
from vibe_tasks.failures import bounded
from vibe_tasks.fleet import FleetLane
from vibe_tasks.flow.scaling import (
    HEALTHY,
    Choice,
    choose,
    is_news,
    noted,
    state_after,
    state_failed,
)
from vibe_tasks.retry import RetryPolicy
from vibe_tasks.scaling import Decision, Load, Memory
from vibe_tasks.settings import Settings
from vibe_tasks.store import events, scale_decisions
from vibe_tasks.store.engine import Database, server_time
from vibe_tasks.store.scale_decisions import Entry, Kept
from vibe_tasks.tasks.fleet.provisioners.patience import bounded_call
from vibe_tasks.tasks.fleet.provisioners.provisioner import (
    Found,
    Order,
    Provisioner,
    ProvisionerError,
)

Result = TypeVar("Result")

LEASE = 120.0
"""Seconds after which another process may decide for a lane whose decider is silent; more than
three provisioner's answers and a locked ledger take together."""

PAUSES = RetryPolicy(max_retries=1000, base=5.0, factor=2.0, cap=600.0, jitter=0.0)
"""Waits of 10, 20, 40 … 600 s after a provisioner that failed."""

LEFT_ALONE = "waits after an error"
"""The reason of a look that asked nothing of a provisioner which failed just now."""

SESSION = "fleet"
"""What events on scaling belong to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a look at a lane came to.

    Attributes:
        lane: The lane.
        provisioner: What scales it.
        before: Workers there were; None where nobody could say.
        target: Workers there should be.
        applied: Workers there are or are about to be now; None where nothing was applied.
        reason: Why, for people.
        error: What went wrong; None for nothing.
        load: What it was decided upon; None where it came to no decision.
    """

    lane: str
    provisioner: str
    before: int | None = None
    target: int | None = None
    applied: int | None = None
    reason: str = ""
    error: str | None = None
    load: Load | None = None


class Scaler:
    """Decides for lanes, and has it carried out.

    Args:
        ledger: The ledger.
        settings: The settings.
        provisioners: By their names.
    """

    def __init__(
        self, ledger: Database, settings: Settings, provisioners: Mapping[str, Provisioner]
    ) -> None:
        self._ledger = ledger
        self._settings = settings
        self._provisioners = provisioners
        self._leases: dict[str, float] = {}

    def look(self, lane: FleetLane) -> Verdict:
        """What would be decided now; changes nothing."""
        with self._ledger.read() as connection:
            kept = scale_decisions.kept(connection, lane.lane)
        try:
            found = self._found(lane, kept)
        except ProvisionerError as error:
            return _verdict(lane, reason="the provisioner failed", error=str(error))
        now = server_time(self._ledger)
        with self._ledger.read() as connection:
            choice = choose(
                connection, lane, self._settings, kept.state, size=found.size,
                starting=found.starting, idle=found.idle, now=now,
            )  # fmt: skip
        return _verdict(
            lane, before=found.size, target=choice.decision.target, reason=choice.why,
            error=found.trouble, load=choice.load,
        )  # fmt: skip

    def scale(self, lane: FleetLane) -> Verdict:
        """Decide now, and carry it out; nothing where another process is at it."""
        kept = self._taken(lane)
        if kept is None:
            return _verdict(lane, reason="another process decides for this lane now")
        now = server_time(self._ledger)
        if now < float(kept.state.get("retry_at", 0.0)) <= now + PAUSES.cap:
            error = str(kept.state.get("error") or "")
            return self._released(_verdict(lane, reason=LEFT_ALONE, error=error))
        provisioner = self._provisioners[lane.provisioner]
        try:
            found = self._found(lane, kept)
            self._bounded(lambda: provisioner.tend(lane))
        except ProvisionerError as error:
            return self._failed(lane, kept, error, now)
        number, choice = self._decided(lane, kept, found, now)
        if number is not None:
            return self._carried_out(lane, number, found.size, choice, now)
        return self._released(
            _verdict(
                lane, before=found.size, target=found.size, applied=found.size,
                reason=choice.why, error=found.trouble, load=choice.load,
            )
        )  # fmt: skip

    def release(self, lane: FleetLane) -> Verdict | None:
        """Let all workers end of a lane that is under this control no longer; None without any."""
        kept = self._taken(lane)
        if kept is None:
            return None
        now = server_time(self._ledger)
        found = self._found(lane, kept)
        decision = Decision(
            target=0, change=-found.size, reason="no longer under the fleet's control",
            memory=Memory(),
        )  # fmt: skip
        choice = Choice(decision=decision, load=Load(waiting=0, oldest_age=0.0, busy=0, slots=0))
        if not found.size:
            self._bounded(lambda: self._provisioners[lane.provisioner].tend(lane))
            self._released(_verdict(lane))
            return None
        with self._ledger.begin() as connection:
            entry = _entry(
                lane, choice, size=found.size, state={**kept.state, "size": 0, "provisioner": None}
            )
            number = scale_decisions.write(connection, entry)
        return self._carried_out(lane, number, found.size, choice, now)

    def _taken(self, lane: FleetLane) -> Kept | None:
        with self._ledger.begin() as connection:
            until = scale_decisions.take(connection, lane.lane, seconds=LEASE)
            if until is None:
                return None
            self._leases[lane.lane] = until
            return scale_decisions.kept(connection, lane.lane)

    def _found(self, lane: FleetLane, kept: Kept) -> Found:
        mine = kept.state.get("provisioner") == lane.provisioner
        last = kept.state.get("known") if mine else None
        provisioner = self._provisioners[lane.provisioner]
        return self._bounded(lambda: provisioner.look(lane, last=last))

    def _decided(
        self, lane: FleetLane, kept: Kept, found: Found, now: float
    ) -> tuple[int | None, Choice]:
        """Decide and write it down; the decision's number where there is something to do."""
        with self._ledger.begin() as connection:
            scale_decisions.lock_lanes(connection)
            choice = choose(
                connection, lane, self._settings, kept.state, size=found.size,
                starting=found.starting, idle=found.idle, now=now,
            )  # fmt: skip
            state = state_after(connection, lane, kept.state, choice, size=found.size, now=now)
            entry = _entry(lane, choice, size=found.size, state=state)
            if choice.decision.change:
                return scale_decisions.write(connection, entry), choice
            said = found.trouble or choice.refused
            if said is not None and is_news(kept.state, said, now):
                error = found.trouble or "refused"
                told = replace(entry, reason=said, error=error, state=noted(state, said, now))
                scale_decisions.write(connection, told)
            elif kept.id is None:
                first = replace(entry, reason="came under the fleet's control")
                number = scale_decisions.write(connection, first)
                scale_decisions.settle(connection, number, applied=found.size)
            else:
                scale_decisions.keep(connection, kept.id, state)
        return None, choice

    def _carried_out(
        self, lane: FleetLane, number: int, before: int, choice: Choice, now: float
    ) -> Verdict:
        target, reason = choice.decision.target, choice.decision.reason
        order = Order(number=number, before=before, target=target, reason=reason)
        provisioner = self._provisioners[lane.provisioner]
        try:
            applied = self._bounded(lambda: provisioner.scale(lane, order))
        except ProvisionerError as error:
            with self._ledger.read() as connection:
                kept = scale_decisions.kept(connection, lane.lane)
            return self._failed(lane, kept, error, now, order=order)
        with self._ledger.begin() as connection:
            state = scale_decisions.kept(connection, lane.lane).state
            scale_decisions.settle(connection, number, applied=applied)
            scale_decisions.keep(
                connection, number, {**state, **HEALTHY, "size": applied, "known": applied}
            )
            events.record(
                connection, EventType.SCALED, session=SESSION,
                payload={"lane": lane.lane, "provisioner": lane.provisioner, "before": before,
                         "target": target, "applied": applied, "why": reason},
                summary=f"lane {lane.lane}: from {before} to {applied} workers",
            )  # fmt: skip
            scale_decisions.let_go(connection, lane.lane, self._leases[lane.lane])
        return _verdict(
            lane, before=before, target=target, applied=applied, reason=reason, load=choice.load
        )

    def _failed(
        self, lane: FleetLane, kept: Kept, error: ProvisionerError, now: float,
        *, order: Order | None = None,
    ) -> Verdict:  # fmt: skip
        """Write an error down, and when to try again."""
        said = bounded(str(error))
        failures = int(kept.state.get("failures", 0)) + 1
        pause = PAUSES.wait_after(failures, uniform=lambda low, _high: low)
        size = order.before if order else int(kept.state.get("size", 0))
        state = state_failed(
            kept.state, size=size, error=said, failures=failures,
            retry_at=now + max(pause, min(error.retry_after or 0.0, PAUSES.cap)),
        )  # fmt: skip
        reason = order.reason if order else "the provisioner failed"
        with self._ledger.begin() as connection:
            if order is not None:
                scale_decisions.settle(connection, order.number, applied=size, error=said)
                scale_decisions.keep(connection, order.number, state)
            elif kept.id is None or is_news(kept.state, said, now):
                entry = Entry(
                    lane=lane.lane, provisioner=lane.provisioner, before=size, target=size,
                    reason=reason, figures={}, state=noted(state, said, now), error=said,
                )  # fmt: skip
                scale_decisions.write(connection, entry)
            else:
                scale_decisions.keep(connection, kept.id, state)
            scale_decisions.let_go(connection, lane.lane, self._leases[lane.lane])
        target = order.target if order else size
        return _verdict(lane, before=size, target=target, error=said, reason=reason)

    def _released(self, verdict: Verdict) -> Verdict:
        with self._ledger.begin() as connection:
            scale_decisions.let_go(connection, verdict.lane, self._leases[verdict.lane])
        return verdict

    def _bounded(self, call: Callable[[], Result]) -> Result:
        return bounded_call(call, seconds=1.5 * self._settings.fleet_timeout)


def _entry(lane: FleetLane, choice: Choice, *, size: int, state: Mapping[str, Any]) -> Entry:
    return Entry(
        lane=lane.lane, provisioner=lane.provisioner, before=size, target=choice.decision.target,
        reason=choice.decision.reason, figures=asdict(choice.load), state=state,
    )  # fmt: skip


def _verdict(lane: FleetLane, **values: Any) -> Verdict:
    return Verdict(lane=lane.lane, provisioner=lane.provisioner, **values)
