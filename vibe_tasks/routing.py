"""Which worker a job is for: points for each worker that has room, and the choice among them.

The priority's points are the same for every worker of one job: they order jobs, not workers, and
are in the score because the design says so.
Source: design document, feature 14, "Weighted Scoring Router"; requirement W3.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from heapq import nsmallest
from typing import Any, TypeAlias

from vibe_tasks.priority import Priority, parse_priority
from vibe_tasks.weights import Weights

SENIOR = "senior"
OUTSIDE = "outside"
"""Tier of programs that take jobs by themselves and that no message reaches."""

VIRTUAL = "@"
"""How the name of a worker begins that is registered and does not run."""

MOST_TOLD = 5
"""Candidates that a decision tells of."""

DESIGNED = Weights()

Place: TypeAlias = "tuple[float, int, str, WorkerState]"
"""Of a worker among others, the best first: points below zero, active jobs, name, itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerState:
    """A worker as the router knows it.

    Attributes:
        worker_id: Its name.
        tier: `senior`, `standard` or `outside`.
        capacity_limit: Jobs it takes at once.
        active_tasks: Jobs that it has, as far as is known.
        labels: What it has that jobs may ask for.
        host: Where it runs; None where that is not known.
        functions: The functions that it knows; None where that is not known.
    """

    worker_id: str
    tier: str = "standard"
    capacity_limit: int = 1
    active_tasks: int = 0
    labels: frozenset[str] = frozenset()
    host: str | None = None
    functions: frozenset[str] | None = None

    @property
    def free(self) -> int:
        """Slots without a job; below zero where it has more than it should."""
        return self.capacity_limit - self.active_tasks

    @property
    def has_queue(self) -> bool:
        """Whether messages can be sent to it alone."""
        return self.tier != OUTSIDE and not self.worker_id.startswith(VIRTUAL)

    def with_active(self, active: int) -> WorkerState:
        """The same worker with so many jobs, at least none."""
        return WorkerState(
            worker_id=self.worker_id, tier=self.tier, capacity_limit=self.capacity_limit,
            active_tasks=max(0, active), labels=self.labels, host=self.host,
            functions=self.functions,
        )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a job says about the worker that is to run it.

    Attributes:
        effort: From 1 (trivial) to 5 (hard).
        priority: How urgent.
        labels: Points that a worker with this label is worth more to it.
        required: Labels that a worker must have.
        function: The name of its function; empty where that does not matter.
    """

    effort: int = 2
    priority: Priority = Priority.NORMAL
    labels: Mapping[str, float] = field(default_factory=dict)
    required: Collection[str] = ()
    function: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """What a worker is worth to a job.

    Attributes:
        total: The sum of the terms, in points.
        terms: `free slots`, `tier` and `priority`, and `label NAME` for each that it has.
    """

    total: float
    terms: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A worker with room and what it is worth."""

    worker: WorkerState
    score: Score


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Where a job is to go.

    Attributes:
        worker: The choice; None: nobody has room, so the job waits in its lane.
        why: In words.
        best: The best ones, the choice first.
        wish: What the job said.
        weights: The points of each term.
    """

    worker: WorkerState | None
    why: str
    best: tuple[WorkerState, ...] = ()
    wish: Wish = field(default_factory=Wish)
    weights: Weights = DESIGNED

    @property
    def choice(self) -> str | None:
        """The chosen worker's name."""
        return None if self.worker is None else self.worker.worker_id

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """The best ones with their scores, the choice first."""
        return tuple(
            Candidate(worker=each, score=score(each, self.wish, self.weights)) for each in self.best
        )

    def compact(self) -> dict[str, Any]:
        """As JSON values, for a message and a column."""
        told: list[list[Any]] = []
        for each in self.best:
            terms = _terms(each, self.wish, self.weights)
            told.append([each.worker_id, sum(terms.values()), terms])
        return {"choice": self.choice, "why": self.why, "candidates": told}


def calculate_worker_score(
    worker: Any, task_effort: int, task_priority: str | int, *, weights: Weights = DESIGNED
) -> float:
    """What a worker is worth to a task, in points: the design's formula, labels left out.

    Args:
        worker: A mapping, or an object, with `capacity_limit`, `active_tasks` and `tier`.
        task_effort: From 1 (trivial) to 5 (hard).
        task_priority: A name, our number, or a `Priority`.
        weights: The points of each term.

    Raises:
        ValueError: There is no such priority.
    """
    names = ("capacity_limit", "active_tasks", "tier")
    if isinstance(worker, Mapping) or not hasattr(worker, "tier"):  # such as a database's row
        capacity, active, tier = (worker[name] for name in names)
    else:
        capacity, active, tier = (getattr(worker, name) for name in names)
    points: float = (capacity - active) * weights.slot
    points += _of_tier(tier, task_effort, weights)
    return points + _of_priority(parse_priority(task_priority), weights)


def score(worker: WorkerState, wish: Wish, weights: Weights = DESIGNED) -> Score:
    """What a worker is worth to a job, term by term."""
    terms = _terms(worker, wish, weights)
    return Score(total=sum(terms.values()), terms=terms)


def _terms(worker: WorkerState, wish: Wish, weights: Weights) -> dict[str, float]:
    terms = {
        "free slots": worker.free * weights.slot,
        "tier": _of_tier(worker.tier, wish.effort, weights),
        "priority": _of_priority(wish.priority, weights),
    }
    for label, points in wish.labels.items():
        if label in worker.labels:
            terms[f"label {label}"] = points
    return terms


def preference(worker: WorkerState, wish: Wish, weights: Weights = DESIGNED) -> float:
    """What a worker is worth to a job however busy it is: its tier and labels, in points."""
    points = _of_tier(worker.tier, wish.effort, weights)
    for label, more in wish.labels.items():
        if label in worker.labels:
            points += more
    return points


def able(workers: Sequence[WorkerState], wish: Wish) -> Sequence[WorkerState]:
    """Those that have what the job requires and know its function.

    Where none of them knows it, all: one of them is to say so.
    """
    labels, name = frozenset(wish.required), wish.function
    fitting = [each for each in workers if labels <= each.labels] if labels else workers
    if not name:
        return fitting
    return [each for each in fitting if each.functions is None or name in each.functions] or fitting


def choose(
    workers: Iterable[WorkerState], wish: Wish, weights: Weights = DESIGNED, *, draw: str = ""
) -> Decision:
    """The worker with room that is worth most; of equal ones the least busy one.

    Args:
        workers: Those of the job's lane.
        wish: What the job says.
        weights: The points of each term.
        draw: The job's id: equal ones that are equally busy are drawn by it, so that many producers
            that see the same workers spread their jobs.
    """
    lane = list(workers)
    fitting = able(lane, wish)
    free = _places(fitting, wish, weights)
    if not free:
        return Decision(worker=None, why=_why_nobody(lane, fitting, wish))
    ranked = sorted(free) if len(free) <= MOST_TOLD else nsmallest(MOST_TOLD, free)
    points, active, *_ = ranked[0]
    same = [place for place in free if place[0] == points]
    equal = [place for place in same if place[1] == active]
    chosen = equal[0] if len(equal) == 1 else sorted(equal)[_drawn(draw, len(equal))]
    others = [place[3] for place in ranked if place is not chosen]
    return Decision(
        worker=chosen[3], why=_why(len(free), len(same), len(equal)), wish=wish, weights=weights,
        best=(chosen[3], *others[: MOST_TOLD - 1]),
    )  # fmt: skip


def _places(workers: Iterable[WorkerState], wish: Wish, weights: Weights) -> list[Place]:
    """The places of those with a free slot."""
    hard = wish.effort >= weights.hard
    senior, other = (weights.senior, weights.other) if hard else (0, 0)
    found = []
    for each in workers:
        free = each.capacity_limit - each.active_tasks
        if free > 0:
            points = free * weights.slot + (senior if each.tier == SENIOR else other)
            for label, more in wish.labels.items():
                if label in each.labels:
                    points += more
            found.append((-points, each.active_tasks, each.worker_id, each))
    return found


def _drawn(draw: str, number: int) -> int:
    """One of so many, the same for the same text."""
    return int.from_bytes(blake2b(draw.encode(), digest_size=8).digest()) % number


def _of_tier(tier: object, effort: int, weights: Weights) -> float:
    if effort < weights.hard:
        return 0
    return weights.senior if tier == SENIOR else weights.other


def _of_priority(priority: Priority, weights: Weights) -> float:
    if priority is Priority.CRITICAL:
        return weights.critical
    return weights.high if priority is Priority.HIGH else 0


def _why(free: int, same: int, equal: int) -> str:
    if free == 1:
        return "the only worker with a free slot"
    if same == 1:
        return f"the best score of {free} workers with a free slot"
    if equal == 1:
        return f"the least busy of {same} workers with the best score"
    return f"drawn among {equal} equal workers"


def _why_nobody(lane: Sequence[WorkerState], fitting: Sequence[WorkerState], wish: Wish) -> str:
    if not lane:
        return "no worker of the lane is known"
    wanted = f" with {_listed(sorted(wish.required))}" if wish.required else ""
    if not fitting:
        return f"no worker{wanted}"
    number = "the only worker" if len(fitting) == 1 else f"all {len(fitting)} workers"
    return f"{number}{wanted} {'is' if len(fitting) == 1 else 'are'} full"


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
