"""Review jobs: an agent judges a commit, in a worktree of its own, and votes."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from vibe_tasks.agents.agent import Answer
from vibe_tasks.agents.review import review_prompt
from vibe_tasks.errors import TransientError
from vibe_tasks.failures import bounded
from vibe_tasks.flow.engagement import engage, prepare
from vibe_tasks.flow.quality import checks_of
from vibe_tasks.flow.recall import hold, key_of_step, making, note_cached, remember
from vibe_tasks.flow.workplace import Bench, Following
from vibe_tasks.pipeline import Outcome
from vibe_tasks.workspace.change import change_of
from vibe_tasks.workspace.patch import content_of
from vibe_tasks.workspace.worktree import checkout

MOST_FINDINGS = 20
"""Findings kept of one review: they go into the prompt of the fix."""

LONGEST_FINDING = 1_000
"""Characters kept of each, and of a summary."""


def vote(bench: Bench) -> tuple[Mapping[str, Any], Following]:
    """Ask the reviewer of this job's seat about the commit; what it alters is discarded.

    What it said before of the same change under the same conditions is its vote again.

    Raises:
        AttemptError: The reviewer failed, or gave no verdict.
        Snooze: It cannot be had now, or another attempt asks it the same.
        LeaseLostError: The attempt is no longer the job's current one.
    """
    number = int(bench.claim.kwargs["seat"])
    reviewer = bench.spec["reviewers"][number - 1]
    key = _key(bench, reviewer, number)
    with making(bench, key) as known:
        if known is not None:
            answer = known.answer
            note_cached(bench, reviewer["agent"])
        else:
            prepare(bench, agent=reviewer["agent"], spec=reviewer["spec"])
            answer = _ask(bench, reviewer, key)
    result = {"seat": number, "agent": reviewer["agent"], **_result(answer, bench.commit)}
    result |= {"cache_key": key, "cached": known is not None}
    return bench.finish(result, Outcome.DONE, commit=bench.commit)


def _ask(bench: Bench, reviewer: Mapping[str, Any], key: str | None) -> Answer:
    report, task = bench.claim.kwargs["report"], bench.spec["task"]
    prompt = review_prompt(
        task=task["prompt"] or task["title"], checks=_checks(bench),
        change=change_of(bench.repository, onto=bench.tip(), commit=bench.commit),
    )  # fmt: skip
    with checkout(bench.repository, bench.commit, bench.worktree) as tree:
        answer = engage(
            bench, tree, agent=reviewer["agent"], spec=reviewer["spec"], prompt=prompt,
            report=report, stay=None if key is None else partial(hold, bench, key),
        )  # fmt: skip
    if answer.verdict is None:
        said = f": {answer.summary[:LONGEST_FINDING]}" if answer.summary else ""
        raise TransientError(f"the reviewer gave no verdict{said}")
    if key is not None:
        remember(bench, key, answer)
    return answer


def _checks(bench: Bench) -> tuple[Mapping[str, Any], ...]:
    """What the checks said."""
    return checks_of(bench.claim.kwargs["report"])


def _key(bench: Bench, reviewer: Mapping[str, Any], number: int) -> str | None:
    """What the vote can be found under again; None where it is not to be.

    The very content that is judged is in it. Two seats of one reviewer are two opinions.
    """
    spec = reviewer["spec"]
    if not spec.get("cache", True) or not bench.place.cache_entries:
        return None
    facts = [(each.get("command"), each.get("exit_code")) for each in _checks(bench)]
    base = bench.repository.merge_base(bench.tip(), bench.commit)
    change = content_of(bench.repository, base, bench.commit) if base else bench.commit
    judged = {"seat": number, "checks": facts, "change": change}
    return key_of_step(bench, agent=reviewer["agent"], spec=spec, judged=judged)


def _result(answer: Answer, commit: str) -> dict[str, Any]:
    findings = answer.findings
    if answer.verdict == "fail" and not findings and answer.summary:
        findings = (answer.summary,)  # whoever mends it must know what to mend
    return {
        "verdict": answer.verdict,
        "commit": commit,
        "summary": bounded(answer.summary, longest=LONGEST_FINDING),
        "findings": [bounded(each, longest=LONGEST_FINDING) for each in findings[:MOST_FINDINGS]],
        "model": answer.model,
        "input_tokens": answer.input_tokens,
        "output_tokens": answer.output_tokens,
        "cost_usd": answer.cost_usd,
    }
