"""Which reason is told of a job that waits, of all that are true at once."""

from __future__ import annotations

from typing import Any

import pytest

from tests.documents import text_of
from vibe_tasks.reasons import Reason, Why
from vibe_tasks.waiting import Crew, Facts, Message, why_ended, why_pending, why_running

FREE = Crew(worker="w@h")
FULL = Crew(worker="f@h", full=True)
HELD = Reason(why=Why.PAUSED, text="lane code is paused", mend="resume it")
HERE = Message(answers=True, queue="code", ahead=3)
NOWHERE = Message(answers=True)
AWAY = Message(answers=False)

PENDING: list[tuple[Why, str, dict[str, Any]]] = [
    (Why.LATE, "had to start by @90; the dispatcher", {"start_by": 90.0, "due_at": 200.0}),
    (Why.COUNTDOWN, "until @200, for which", {"due_at": 200.0, "start_by": 150.0, "held": HELD}),
    (Why.BACKOFF, "until @200, 1 failure of 3 so far: boom",
     {"due_at": 200.0, "attempt": 1, "failures": 1, "most": 3, "error": "boom"}),
    (Why.SNOOZED, "until @200: later", {"due_at": 200.0, "attempt": 1, "error": "later"}),
    (Why.BREAKER, "for circuit breaker a, which lets a few calls try in 9.0 s",
     {"due_at": 200.0, "attempt": 1, "failures": 1, "breaker": ("a", 9.0)}),
    (Why.BREAKER, "a, which tries again", {"due_at": 200.0, "attempt": 1, "breaker": ("a", 0.0)}),
    (Why.PAUSED, "lane code is paused", {"held": HELD, "due_at": 99.0, "crew": ()}),
    (Why.NOBODY, "no worker serves lane code", {"crew": (), "message": AWAY}),
    (Why.DRAINING, "drain: w@h", {"crew": (Crew(worker="w@h", draining=True),)}),
    (Why.LABELS, "has gpu, ssd", {"crew": (Crew(worker="w@h", able=False),),
                                  "required": ("gpu", "ssd")}),
    (Why.FUNCTION, "knows function f", {"crew": (Crew(worker="w@h", knows=False),)}),
    (Why.BROKER, "the broker does not answer", {"message": AWAY}),
    (Why.DISPATCHER, "unsent since 11.0 s", {"unsent": 11.0, "message": NOWHERE}),
    (Why.UNSENT, "with the dispatcher's next look", {"unsent": 9.0, "message": NOWHERE}),
    (Why.OWN_QUEUE, "own queue of worker w@h",
     {"published_at": 99.0, "message": Message(answers=True, queue="w@h", own=True)}),
    (Why.LOST, "sent again from @100", {"published_at": 90.0, "message": NOWHERE}),
    (Why.READY, "a worker is about to", {"published_at": 95.0, "message": NOWHERE}),
    (Why.FULL, "the only worker of lane code is full, behind 3 messages of its priority",
     {"published_at": 99.0, "message": HERE, "crew": (FULL,)}),
    (Why.FULL, "all 2 workers of lane code are full",
     {"published_at": 99.0, "crew": (FULL, FULL, Crew(worker="d@h", draining=True))}),
    (Why.IN_LINE, "for a free worker, behind 3", {"published_at": 99.0, "message": HERE}),
    (Why.IN_LINE, "for a free worker", {"published_at": 90.0, "crew": (FREE, FULL),
                                        "message": Message(answers=True, sure=False)}),
]  # fmt: skip

LEDGERS = {Why.NEEDS, Why.NEED_IS_DEAD, Why.APPROVAL, Why.BUDGET, Why.MEMBERS, Why.OTHER_WORK,
           Why.LIMIT, Why.RATE, Why.KEY, Why.LABELS_BUSY, Why.TURN}  # fmt: skip
"""Reasons that the ledger itself names; see the integration tests."""

ENDED: list[tuple[Why, str, dict[str, Any]]] = [
    (Why.DONE, "is done: since @90 by w@h", {"status": "completed", "by": "w@h"}),
    (Why.DONE, "it is in the archive", {"status": "completed", "archived": True}),
    (Why.DEAD, "is dead: since @90: no; `vibe dlq retry it`",
     {"status": "failed", "error": "no", "dead": True}),
    (Why.DEAD, "is dead: since @90", {"status": "completed", "dead": True}),
    (Why.DEAD, "`vibe jobs retry it`", {"status": "failed"}),
    (Why.CANCELLED, "was cancelled: at @90 by me@h: wrong branch; `vibe jobs retry it`",
     {"status": "cancelled", "by": "me@h", "error": "wrong branch"}),
]  # fmt: skip


def at(moment: float) -> str:
    """A moment in words."""
    return f"@{moment:.0f}"


@pytest.mark.parametrize(("why", "text", "known"), PENDING)
def test_the_first_true_reason_is_told(why: Why, text: str, known: dict[str, Any]) -> None:
    """What somebody has to do before what passes by itself, what is sure before what is likely."""
    facts = Facts(**({"now": 100.0, "lane": "code", "function": "f", "crew": (FREE,)} | known))
    found = why_pending(facts, when=at)
    assert (found.why, text in found.text) == (why, True), found.text
    assert found.sentence("job").startswith("job waits: ")


@pytest.mark.parametrize(("why", "text", "known"), ENDED)
def test_what_became_of_a_job_is_told(why: Why, text: str, known: dict[str, Any]) -> None:
    """Who did it and when; how it comes back, unless it is archived."""
    facts = {
        "job": "it",
        "at": 90.0,
        "by": None,
        "error": None,
        "dead": False,
        "archived": False,
    } | known
    found = why_ended(**facts, when=at)
    assert (found.why, text in found.sentence("job")) == (why, True), found.sentence("job")
    assert not (facts["archived"] and found.mend)


@pytest.mark.parametrize(
    ("lease_until", "why", "text"),
    [
        (100.0, Why.RUNS, "job runs: attempt 2 on w@h since @80"),
        (95.0, Why.LEASE_OVER, "not heard of for 5.0 s beyond its lease; the dispatcher takes"),
    ],
)
def test_who_runs_it_is_told(lease_until: float, why: Why, text: str) -> None:
    """And whether that one is still heard of."""
    found = why_running(
        worker="w@h", attempt=2, started_at=80.0, lease_until=lease_until, now=100.0, when=at
    )
    assert (found.why, text in found.sentence("job")) == (why, True), found.sentence("job")


def test_every_reason_is_provoked() -> None:
    """A new one has its row above, or its test on a real ledger."""
    provoked = {why for why, *_ in (*PENDING, *ENDED)} | {Why.RUNS, Why.LEASE_OVER}
    assert provoked | LEDGERS == set(Why)


def test_every_reason_is_explained_to_people() -> None:
    """In the page that one opens when a job does not run."""
    page = text_of("docs/troubleshooting.md")
    assert [why for why in Why if f"`{why}`" not in page] == []
