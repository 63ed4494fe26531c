"""The router's score and choice."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vibe_tasks.priority import Priority
from vibe_tasks.routing import (
    Wish,
    WorkerState,
    calculate_worker_score,
    choose,
    preference,
    score,
)
from vibe_tasks.weights import Weights, weights_of

LABELS = ("gpu", "lang:rust", "repo:0a1b2c3d", "host:b1")

some_labels = st.frozensets(st.sampled_from(LABELS))
states = st.builds(
    WorkerState,
    worker_id=st.uuids().map("celery@{}".format),
    tier=st.sampled_from(["senior", "standard"]),
    capacity_limit=st.integers(1, 8),
    active_tasks=st.integers(0, 9),
    labels=some_labels,
)
lanes = st.lists(states, max_size=8, unique_by=lambda each: each.worker_id)
wishes = st.builds(
    Wish,
    effort=st.integers(1, 5),
    priority=st.sampled_from(Priority),
    labels=st.dictionaries(st.sampled_from(LABELS), st.integers(-50, 50)),
    required=some_labels,
)


@pytest.mark.parametrize(
    ("worker", "effort", "priority", "points"),
    [
        ({"capacity_limit": 4, "active_tasks": 1, "tier": "standard"}, 2, "normal", 30),
        ({"capacity_limit": 4, "active_tasks": 1, "tier": "standard"}, 3, "LOW", 30),
        ({"capacity_limit": 4, "active_tasks": 1, "tier": "standard"}, 4, "normal", 10),
        ({"capacity_limit": 4, "active_tasks": 1, "tier": "senior"}, 3, "normal", 30),
        ({"capacity_limit": 4, "active_tasks": 1, "tier": "senior"}, 4, "critical", 110),
        ({"capacity_limit": 4, "active_tasks": 4, "tier": "senior"}, 5, Priority.HIGH, 65),
        ({"capacity_limit": 4, "active_tasks": 5, "tier": "standard"}, 1, 1, 20),
        (WorkerState(worker_id="w", tier="senior", capacity_limit=2), 4, 0, 70),
    ],
)
def test_the_score_is_the_designs(
    worker: object, effort: int, priority: str | int, points: int
) -> None:
    """Free slots x 10; effort from 4: senior +50, others -20; critical +30, high +15."""
    assert calculate_worker_score(worker, effort, priority) == points


def test_an_unknown_priority_is_refused() -> None:
    """The message names the near miss."""
    worker = WorkerState(worker_id="w")
    with pytest.raises(ValueError, match="critical"):
        calculate_worker_score(worker, 2, "critcal")


@given(states, wishes)
def test_the_terms_add_up_and_are_the_designs_without_labels(
    worker: WorkerState, wish: Wish
) -> None:
    """A label's points count for workers that have it, and are a term of their own."""
    found = score(worker, wish)
    assert found.total == sum(found.terms.values())
    labels = {name: points for name, points in found.terms.items() if name.startswith("label ")}
    assert labels == {f"label {n}": wish.labels[n] for n in wish.labels.keys() & worker.labels}
    design = calculate_worker_score(worker, wish.effort, wish.priority)
    assert found.total - sum(labels.values()) == design
    assert preference(worker, wish) == found.terms["tier"] + sum(labels.values())


@given(lanes, wishes, st.text(max_size=5))
def test_the_choice_has_room_what_is_required_and_the_best_score(
    lane: list[WorkerState], wish: Wish, draw: str
) -> None:
    """Of equal scores the least busy; nobody where nobody has room; the same for the same."""
    decision = choose(lane, wish, draw=draw)
    assert choose(reversed(lane), wish, draw=draw) == decision
    may = [each for each in lane if each.free > 0 and set(wish.required) <= each.labels]
    if not may:
        assert decision.choice is None
        assert not decision.candidates
        return
    totals = {each.worker_id: score(each, wish).total for each in may}
    best = max(totals.values())
    assert decision.choice in totals
    assert totals[decision.choice] == best
    busy = {each.worker_id: each.active_tasks for each in may if totals[each.worker_id] == best}
    assert busy[decision.choice] == min(busy.values())
    told = [each.worker.worker_id for each in decision.candidates]
    assert told[0] == decision.choice
    assert len(set(told)) == len(told) == min(5, len(may))


@pytest.mark.parametrize(
    ("lane", "required", "why"),
    [
        ([], (), "no worker of the lane is known"),
        ([{}], ("gpu",), "no worker with gpu"),
        ([{}], ("gpu", "host:b1"), "no worker with gpu and host:b1"),
        ([{"active_tasks": 1}], (), "the only worker is full"),
        ([{"active_tasks": 1}] * 2, (), "all 2 workers are full"),
        (
            [{"active_tasks": 1, "labels": {"gpu"}}, {}],
            ("gpu",),
            "the only worker with gpu is full",
        ),
        ([{}, {"active_tasks": 1}], (), "the only worker with a free slot"),
        ([{"capacity_limit": 2}, {}], (), "the best score of 2 workers with a free slot"),
        ([{}, {}], (), "drawn among 2 equal workers"),
        (
            [{"capacity_limit": 3, "active_tasks": 2}, {}],
            (),
            "the least busy of 2 workers with the best score",
        ),
    ],
)
def test_the_reason_is_in_words(
    lane: list[dict[str, object]], required: tuple[str, ...], why: str
) -> None:
    """Each way to a choice, and to none."""
    made = [
        WorkerState(worker_id=f"w{number}", **{**each, "labels": frozenset(each.get("labels", ()))})  # type: ignore[arg-type]
        for number, each in enumerate(lane)
    ]
    assert choose(made, Wish(required=required)).why == why


def test_many_producers_spread_what_they_see_alike() -> None:
    """1,000 jobs drawn among three equal idle workers by as many processes: max/min <= 1.2."""
    lane = [WorkerState(worker_id=f"code@pod-{number}") for number in range(3)]
    drawn = [choose(lane, Wish(), draw=f"job-{number}").choice for number in range(1000)]
    shares = [drawn.count(each.worker_id) for each in lane]
    assert max(shares) / min(shares) <= 1.2, shares


def test_weights_are_read_from_a_setting() -> None:
    """What is not named keeps the design's value, and the weights are what is scored with."""
    weights = weights_of(" senior = 80 ,slot=2.5,hard=3")
    assert weights == Weights(senior=80, slot=2.5, hard=3)
    assert weights_of("") == Weights()
    worker = WorkerState(worker_id="w", tier="senior", capacity_limit=2)
    assert calculate_worker_score(worker, 3, "normal", weights=weights) == 85


@pytest.mark.parametrize(
    "text", ["seniors=1", "senior=many", "senior", f"slot={inf}", "high=1e308", "=1"]
)
def test_wrong_weights_are_refused(text: str) -> None:
    """An unknown name, and what is no number that can be added up."""
    with pytest.raises(ValueError, match=r"weight|number"):
        weights_of(text)


@pytest.mark.parametrize(
    ("functions", "choice"),
    [
        ({"a": {"nap"}, "b": {"run"}}, "a"),
        ({"a": {"run"}, "b": None}, "b"),
        ({"a": None, "b": {"run"}}, "a"),
        ({"a": {"run"}, "b": {"walk"}}, "any"),
    ],
)
def test_who_does_not_know_a_function_is_passed_over(
    functions: dict[str, set[str] | None], choice: str
) -> None:
    """Whoever knows it, or may, is chosen; where nobody does, one of them, who is to say so."""
    lane = [
        WorkerState(worker_id=name, functions=None if known is None else frozenset(known))
        for name, known in functions.items()
    ]
    chosen = {choose(lane, Wish(function="nap"), draw=str(number)).choice for number in range(50)}
    assert chosen == ({"a", "b"} if choice == "any" else {choice})
