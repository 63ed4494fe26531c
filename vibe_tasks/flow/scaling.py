"""Deciding on the size of a lane's fleet: the pure policy, fed from the ledger.

What holds a lane up other than a lack of workers is an obstacle to any growth: the lane is paused,
its limits leave no start, or jobs of it wait for a circuit breaker that is not closed, which a
provider's usage limit opens too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from vibe_tasks.fleet import FleetLane, parse_fleet
from vibe_tasks.scaling import Decision, Load, Memory, ScalingPolicy, decide
from vibe_tasks.settings import Settings
from vibe_tasks.store import fleet, scale_decisions
from vibe_tasks.store.engine import Transaction
from vibe_tasks.store.load import lane_loads, within_reach
from vibe_tasks.store.pace import job_seconds
from vibe_tasks.store.scaling_rules import policy_of, rules_of

UNLIMITED = 1_000_000

QUIET = 600.0
"""Seconds for which a refusal or an error that was written down is not written again."""

START_UP = {"virtual": 0.0, "process": 5.0, "kubernetes": 60.0, "webhook": 60.0}
"""Seconds from the order of a worker to its first job, about."""

OURS = frozenset({"virtual", "process"})
"""Provisioners whose workers have the labels that we give them."""

HEALTHY: Mapping[str, Any] = {"failures": 0, "retry_at": 0.0, "error": None}
"""What a state has where the provisioner does what it is asked."""

_REFUSED = "refused: "


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A decision and what it was made of.

    Attributes:
        decision: The decision.
        load: What it was decided upon.
        refused: What would have been decided, and what was in the way; None where nothing was.
    """

    decision: Decision
    load: Load
    refused: str | None = None

    @property
    def why(self) -> str:
        """The reason, for people."""
        return self.refused if self.refused and not self.decision.change else self.decision.reason


def choose(
    connection: Transaction,
    lane: FleetLane,
    settings: Settings,
    state: Mapping[str, Any],
    *,
    size: int,
    starting: int | None,
    idle: int | None,
    now: float,
) -> Choice:
    """How many workers a lane should have.

    Args:
        connection: A connection.
        lane: The lane.
        settings: The settings.
        state: What the last decision said to keep, by `state_after`.
        size: Workers that there are or are about to be.
        starting: Those of them that have not registered; None where that is not known.
        idle: Those of them that have nothing in hand; None where that is not known.
        now: Epoch seconds of the ledger.
    """
    if starting is None:
        starting = _starting(connection, lane, state, now, settings.fleet_start_seconds)
    load = _load(connection, lane, settings, starting=min(starting, size), idle=idle)
    policy = _policy(connection, lane, settings)
    room = _room(connection, lane, settings)
    bound = replace(
        policy, max_size=min(policy.max_size, room), min_size=min(policy.min_size, room)
    )
    memory = Memory.of_json(state.get("memory"))
    decision = decide(load, bound, memory, now=now, size=size)
    # The same as if nothing were in the way: what is refused is to be told.
    free = replace(policy, max_size=UNLIMITED)
    wish = decide(replace(load, obstacle=None), free, memory, now=now, size=size)
    refused = None
    if wish.change > 0 and wish.target > decision.target:
        refused = f"{wish.reason}; {_REFUSED}{load.obstacle or _limit(policy, settings, room)}"
    return Choice(decision=decision, load=load, refused=refused)


def state_after(
    connection: Transaction, lane: FleetLane, before: Mapping[str, Any], choice: Choice,
    *, size: int, now: float,
) -> dict[str, Any]:  # fmt: skip
    """What to keep with a decision that is about to be carried out.

    `size` counts for the bound over all lanes, `known` is what a provisioner has confirmed.
    """
    state = {
        **before, "size": size, "memory": choice.decision.memory.as_json(),
        "provisioner": lane.provisioner,
    }  # fmt: skip
    if not choice.decision.change:
        state |= HEALTHY
    if choice.decision.change > 0:
        state |= {
            "size": choice.decision.target,
            "asked_at": now,
            "online": fleet.up(connection, lane.lane),
            "coming": choice.load.starting + choice.decision.change,
        }
    return state


def state_failed(
    before: Mapping[str, Any], *, size: int, error: str, retry_at: float, failures: int
) -> dict[str, Any]:
    """What to keep where a provisioner failed: nothing was changed, and nobody comes."""
    memory = {**(before.get("memory") or {}), "last_up": None}
    return {
        **before, "size": size, "memory": memory, "coming": 0, "failures": failures,
        "retry_at": retry_at, "error": error,
    }  # fmt: skip


def noted(state: Mapping[str, Any], said: str, now: float) -> dict[str, Any]:
    """The state, and that this was written down."""
    return {**state, "noted": _kind(said), "noted_at": now}


def is_news(state: Mapping[str, Any], said: str, now: float) -> bool:
    """Whether this was not written down just now; the figures in a refusal change at each look."""
    same = state.get("noted") == _kind(said)
    return not same or not 0 <= now - float(state.get("noted_at", 0.0)) < QUIET


def check_saturation(connection: Transaction, lane: str) -> bool:
    """Whether jobs of this lane wait, all slots are at work, and more workers would help.

    Source: design document, feature 15.

    Args:
        connection: A connection.
        lane: The lane.
    """
    load = lane_loads(connection, [lane]).get(lane)
    if load is None or not load.waiting or load.busy < load.slots:
        return False
    return fleet.obstacle(connection, lane)[0] is None


def _kind(said: str) -> str:
    return said.rpartition(_REFUSED)[2]


def _limit(policy: ScalingPolicy, settings: Settings, room: int) -> str:
    if room < policy.max_size:
        return f"at most {settings.max_auto_scale_workers} workers over all lanes"
    return f"at most {policy.max_size} workers for this lane"


def _room(connection: Transaction, lane: FleetLane, settings: Settings) -> int:
    """Workers that the bound over all lanes leaves this one."""
    others = {each.lane for each in parse_fleet(settings.fleet)} - {lane.lane}
    sizes = scale_decisions.sizes(connection)
    return max(0, settings.max_auto_scale_workers - sum(sizes.get(name, 0) for name in others))


def _policy(connection: Transaction, lane: FleetLane, settings: Settings) -> ScalingPolicy:
    policy = replace(
        policy_of(settings), min_size=lane.least, max_size=lane.most, unit=lane.slots,
        start_up=min(START_UP[lane.provisioner], settings.fleet_start_seconds),
    )  # fmt: skip
    rules = rules_of(connection, [lane.lane]).get(lane.lane)
    return policy if rules is None else rules.applied_to(policy)


def _starting(
    connection: Transaction, lane: FleetLane, state: Mapping[str, Any], now: float,
    patience: float,
) -> int:  # fmt: skip
    """Of the workers that were asked for, those that have not come and still may."""
    if not 0 <= now - float(state.get("asked_at", 0.0)) < patience:
        return 0
    come = max(0, fleet.up(connection, lane.lane) - int(state.get("online", 0)))
    return max(0, int(state.get("coming", 0)) - come)


def _load(
    connection: Transaction, lane: FleetLane, settings: Settings, *,
    starting: int, idle: int | None,
) -> Load:  # fmt: skip
    found = lane_loads(connection, [lane.lane])
    if lane.provisioner in OURS:  # what other workers have, nobody but they know
        labels = settings.worker_labels if lane.provisioner == "process" else ()
        found = within_reach(connection, found, labels)
    load = found.get(lane.lane, Load(waiting=0, oldest_age=0.0, busy=0, slots=0))
    hindered, starts = fleet.obstacle(connection, lane.lane)
    return replace(
        load,
        # Where something is in the way, what waits is kept: it is told what it kept from starting.
        waiting=load.waiting if starts is None or hindered else min(load.waiting, starts),
        obstacle=hindered,
        busy=max(0, load.busy - fleet.busy_elsewhere(connection, lane.lane)),
        starting=starting,
        job_seconds=job_seconds(connection, lane.lane),
        idle=idle,
    )
