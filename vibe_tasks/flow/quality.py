"""QA jobs: the checks judge a commit, in a worktree of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from vibe_tasks.consensus import Verdict
from vibe_tasks.flow.reviewing import wants_votes
from vibe_tasks.flow.workplace import Bench, Following
from vibe_tasks.pipeline import Outcome
from vibe_tasks.workspace.checks import CheckResult, run_checks
from vibe_tasks.workspace.worktree import checkout


def judge(bench: Bench) -> tuple[Mapping[str, Any], Following]:
    """Run the task's checks on the commit; any failing one refuses it.

    Where the plan has reviewers, their votes follow. The job completes whatever the verdict; it
    fails only when it could not judge.

    Raises:
        AttemptError: A check could not be run at all.
        LeaseLostError: The attempt is no longer the job's current one.
    """
    checks: Sequence[str] = bench.spec["task"]["checks"]
    return conclude(bench, _run(bench, checks) if checks else ())


def conclude(bench: Bench, results: Sequence[CheckResult]) -> tuple[Mapping[str, Any], Following]:
    """Write what the checks came to, and what follows.

    Raises:
        LeaseLostError: The attempt is no longer the job's current one.
    """
    passed = all(result.passed for result in results)
    report = {
        "summary": summary_of(results),
        "commit": bench.commit,
        "checks": [asdict(result) for result in results],
    }
    verdict = Verdict.PASS if passed else Verdict.FAIL
    if wants_votes(bench.spec, passed=passed):
        open_result = {"verdict": Verdict.VOTING, "checked": verdict, **report}
        return bench.finish(open_result, Outcome.VOTING, commit=bench.commit, report=report)
    result = {"verdict": verdict, **report}
    return bench.finish(
        result,
        Outcome.PASSED if passed else Outcome.REJECTED,
        commit=bench.commit,
        report=None if passed else report,
    )


def checks_of(report: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    """The well-formed checks of a report; a consumer outside may have handed in anything."""
    found = report.get("checks")
    listed = found if isinstance(found, list) else []
    return tuple(
        each for each in listed if isinstance(each, dict) and isinstance(each.get("command"), str)
    )


def summary_of(results: Sequence[CheckResult]) -> str:
    """The verdict in one line, with the last thing that the first failed check said."""
    failed = [result for result in results if not result.passed]
    if not failed:
        return "1 check passed" if len(results) == 1 else f"{len(results)} checks passed"
    first = failed[0]
    how = first.why or f"exit code {first.exit_code}"
    more = f", and {len(failed) - 1} more" if len(failed) > 1 else ""
    said = [line.strip() for line in first.output.splitlines() if line.strip()]
    last = f": {said[-1][:LONGEST_LINE]}" if said else ""
    return f"check failed: {first.command} ({how}){more}{last}"


LONGEST_LINE = 200
"""Characters of a check's last line that are told; its whole output is in the report."""


def _run(bench: Bench, checks: Sequence[str]) -> tuple[CheckResult, ...]:
    with checkout(bench.repository, bench.commit, bench.worktree) as tree:
        return tuple(_check(bench, command, tree.path) for command in checks)


def _check(bench: Bench, command: str, path: Path) -> CheckResult:
    with bench.place.span("check", {"vibe.command": command}) as span:
        (result,) = run_checks(
            [command], cwd=path, held=bench.surrounded(bench.spec.get("surroundings", {})),
            timeout=bench.spec["qa_timeout"], log=bench.scratch / "checks.log",
        )  # fmt: skip
        if span is not None:
            span.set_attribute("vibe.passed", result.passed)
    return result
