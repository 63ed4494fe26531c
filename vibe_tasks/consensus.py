"""QA by consensus: what the votes of several reviewers come to.

Checks are facts: where one fails, the work is refused, whatever reviewers say. Otherwise the votes
decide, once more than half of the seats have voted; fewer are no verdict. With fewer votes than
seats the run is degraded, and says so.
Source: requirements P6 and R2 (a voter that fails is retried once, then two of three decide).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

Rule = Literal["majority", "unanimous"]

FAILURES = 2
"""The failure of this number is a reviewer's last: it is retried once."""


class Verdict(StrEnum):
    """What became of a commit in QA."""

    PASS = "pass"  # noqa: S105  the word of interfaces, no secret
    FAIL = "fail"
    VOTING = "voting"  #: the checks have run, reviewers are at work
    UNDECIDED = "undecided"  #: too few of them voted


@dataclass(frozen=True, slots=True, kw_only=True)
class Vote:
    """What one reviewer said.

    Attributes:
        agent: What the plan calls the reviewer.
        passes: Whether the reviewer is for the commit.
        findings: What it found, each a text.
    """

    agent: str
    passes: bool
    findings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What the votes come to.

    Attributes:
        verdict: `pass`, `fail` or `undecided`.
        seats: Votes that were asked for.
        votes: Votes that were cast.
        passing: Votes for the commit.
    """

    verdict: Verdict
    seats: int
    votes: int
    passing: int

    @property
    def degraded(self) -> bool:
        """Whether fewer voted than were asked."""
        return self.votes < self.seats


def quorum(seats: int) -> int:
    """The fewest votes that decide: more than half of the seats."""
    return seats // 2 + 1


def decide(votes: Sequence[Vote], *, seats: int, rule: Rule, checks_passed: bool) -> Decision:
    """What these votes come to.

    Args:
        votes: Those that were cast.
        seats: Votes that were asked for. At least as many, and at least 1.
        rule: `majority`: more than half of the votes cast are for it, so that a tie refuses;
            `unanimous`: all of them.
        checks_passed: Whether every check passed.
    """
    if not 1 <= seats >= len(votes):
        raise ValueError(f"need one seat for each vote, got {len(votes)} votes and {seats} seats")
    passing = sum(vote.passes for vote in votes)
    if not checks_passed:
        verdict = Verdict.FAIL
    elif len(votes) < quorum(seats):
        verdict = Verdict.UNDECIDED
    else:
        enough = passing == len(votes) if rule == "unanimous" else 2 * passing > len(votes)
        verdict = Verdict.PASS if enough else Verdict.FAIL
    return Decision(verdict=verdict, seats=seats, votes=len(votes), passing=passing)


def in_words(decision: Decision, votes: Sequence[Vote], *, checks: str, checks_passed: bool) -> str:
    """The decision in one line.

    Args:
        decision: What the votes came to.
        votes: The votes.
        checks: What the checks came to, in one line; empty where there were none.
        checks_passed: Whether every check passed.
    """
    counted = f"{decision.votes} of {decision.seats} reviewers voted"
    if decision.verdict is Verdict.UNDECIDED:
        return f"undecided: {counted}"
    if decision.verdict is Verdict.FAIL and checks_passed:
        against = decision.votes - decision.passing
        first = next((vote for vote in votes if not vote.passes and vote.findings), None)
        why = f": {first.agent}: {first.findings[0]}" if first else ""
        return f"refused by {against} of {decision.votes} reviewers{why}"
    words = f"{decision.passing} of {decision.votes} reviewers for it"
    words = f"{words}, {counted}" if decision.degraded else words
    return f"{checks}; {words}" if checks else words


def findings_of(votes: Sequence[Vote]) -> list[str]:
    """What was found, with who found it; those who refuse the work come first."""
    ranked = sorted(votes, key=lambda vote: vote.passes)
    return [f"{vote.agent}: {finding}" for vote in ranked for finding in vote.findings]
