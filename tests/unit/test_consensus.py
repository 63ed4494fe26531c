"""How votes become a verdict: a pure decision, all of it."""

from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vibe_tasks.consensus import (
    Decision,
    Rule,
    Verdict,
    Vote,
    decide,
    findings_of,
    in_words,
    quorum,
)

seats = st.integers(1, 9)
ballots = st.lists(st.booleans(), max_size=9)
rules = st.sampled_from(get_args(Rule))


def votes_of(*passes: bool) -> list[Vote]:
    """A vote for each of these; whoever refuses has found something."""
    return [
        Vote(agent=f"r{at}", passes=good, findings=() if good else (f"bug {at}",))
        for at, good in enumerate(passes, start=1)
    ]


def decided(
    *passes: bool, seats: int = 3, rule: Rule = "majority", checks: bool = True
) -> Decision:
    """What these votes come to."""
    return decide(votes_of(*passes), seats=seats, rule=rule, checks_passed=checks)


@pytest.mark.parametrize(
    ("passes", "majority", "unanimous"),
    [
        ((True, True, True), "pass", "pass"),
        ((True, True, False), "pass", "fail"),
        ((True, False, False), "fail", "fail"),
        ((True, True), "pass", "pass"),
        ((True, False), "fail", "fail"),  # a tie of two of three refuses
        ((True,), "undecided", "undecided"),
        ((), "undecided", "undecided"),
    ],
)
def test_three_seats(passes: tuple[bool, ...], majority: str, unanimous: str) -> None:
    """The whole table of three reviewers, two of whom are enough."""
    assert decided(*passes).verdict == majority
    assert decided(*passes, rule="unanimous").verdict == unanimous
    assert decided(*passes).degraded == (len(passes) < 3)


@given(ballots, seats, rules)
def test_a_failed_check_refuses_whatever_is_said(passes: list[bool], n: int, rule: Rule) -> None:
    """Checks are facts: no vote and no missing vote changes them."""
    n = max(n, len(passes))
    assert decided(*passes, seats=n, rule=rule, checks=False).verdict == Verdict.FAIL


@given(ballots, seats, rules)
def test_a_verdict_needs_a_quorum_and_more_votes_for_it(
    passes: list[bool], n: int, rule: Rule
) -> None:
    """Undecided exactly below the quorum; what passes has more votes for it than against; what is
    unanimous passes by majority too; one more vote for it never turns a pass into a fail.
    """
    n = max(n, len(passes))
    found = decided(*passes, seats=n, rule=rule)
    assert (found.verdict == Verdict.UNDECIDED) == (2 * len(passes) <= n)
    if found.verdict == Verdict.PASS:
        assert passes.count(True) > passes.count(False)
        assert decided(*passes, seats=n).verdict == Verdict.PASS
        assert decided(*passes, True, seats=max(n, len(passes) + 1), rule=rule).verdict in {
            Verdict.PASS, Verdict.UNDECIDED,
        }  # fmt: skip
    assert (found.votes, found.passing) == (len(passes), passes.count(True))


@given(seats)
def test_two_quorums_always_meet(n: int) -> None:
    """Else two halves of the reviewers could decide differently."""
    assert 2 * quorum(n) > n
    assert quorum(n) <= n


@pytest.mark.parametrize("n", [0, 1])
def test_more_votes_than_seats_are_refused(n: int) -> None:
    """So is a run without seats."""
    with pytest.raises(ValueError, match="one seat for each vote"):
        decided(True, True, seats=n)


@pytest.mark.parametrize(
    ("passes", "checks", "words"),
    [
        ((True, True, False), True, "2 checks passed; 2 of 3 reviewers for it"),
        ((True, True), True,
         "2 checks passed; 2 of 2 reviewers for it, 2 of 3 reviewers voted"),
        ((True, False, False), True, "refused by 2 of 3 reviewers: r2: bug 2"),
        ((True, True, True), False, "2 checks passed; 3 of 3 reviewers for it"),
        ((False,), True, "undecided: 1 of 3 reviewers voted"),
    ],
)  # fmt: skip
def test_a_decision_is_told_in_one_line(passes: tuple[bool, ...], checks: bool, words: str) -> None:
    """What the checks said, how many voted, and the first thing that was found."""
    found = decided(*passes, checks=checks)
    said = "2 checks passed"
    assert in_words(found, votes_of(*passes), checks=said, checks_passed=checks) == words
    if found.verdict == Verdict.PASS:
        assert "reviewers for it" in in_words(found, [], checks="", checks_passed=True)


def test_findings_say_whose_they_are() -> None:
    """Those of who refuses the work come first."""
    votes = [
        Vote(agent="kind", passes=True, findings=("a typo",)),
        Vote(agent="strict", passes=False, findings=("a bug", "a gap")),
    ]
    assert findings_of(votes) == ["strict: a bug", "strict: a gap", "kind: a typo"]
