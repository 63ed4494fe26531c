from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vibe_tasks.events import EventType
from vibe_tasks.pipeline import JobKind, Outcome, TaskStatus, step_after

LEGAL = {
    (JobKind.DEV, Outcome.DONE): JobKind.QA,
    (JobKind.FIX, Outcome.DONE): JobKind.QA,
    (JobKind.QA, Outcome.PASSED): JobKind.DEPLOY,
    (JobKind.QA, Outcome.REJECTED): JobKind.FIX,
    (JobKind.QA, Outcome.VOTING): JobKind.REVIEW,
    (JobKind.QA, Outcome.UNDECIDED): None,
    (JobKind.DEPLOY, Outcome.CONFLICT): JobKind.FIX,
    (JobKind.DEPLOY, Outcome.DONE): None,
}


@pytest.mark.parametrize("kind", list(JobKind))
@pytest.mark.parametrize("outcome", list(Outcome))
def test_each_end_has_one_next_job_or_is_refused(kind: JobKind, outcome: Outcome) -> None:
    """The whole table: what may end how, and what follows."""
    if outcome is Outcome.EXHAUSTED and kind is not JobKind.REVIEW:
        step = step_after(kind, outcome, fix_round=0, max_fix_rounds=3)
        assert (step.next_job, step.status) == (None, TaskStatus.DEAD)
        files = (EventType.FILE_FAILED,) if kind in {JobKind.DEV, JobKind.FIX} else ()
        assert step.happenings == (*files, EventType.JOB_DEAD, EventType.TASK_DEAD)
    elif (kind, outcome) in LEGAL:
        step = step_after(kind, outcome, fix_round=0, max_fix_rounds=3)
        assert step.next_job == LEGAL[kind, outcome]
    else:
        with pytest.raises(ValueError, match=f"a {kind} job cannot end as {outcome}"):
            step_after(kind, outcome, fix_round=0, max_fix_rounds=3)


@given(st.integers(0, 50), st.integers(0, 50))
def test_fix_rounds_end(fix_round: int, most: int) -> None:
    """A rejection begins one more round while there is one, then the task is dead."""
    step = step_after(JobKind.QA, Outcome.REJECTED, fix_round=fix_round, max_fix_rounds=most)
    if fix_round < most:
        assert (step.next_job, step.round) == (JobKind.FIX, fix_round + 1)
        assert step.status is TaskStatus.RUNNING
        assert not step.dead_letter
    else:
        assert (step.next_job, step.round) == (None, fix_round)
        assert step.status is TaskStatus.DEAD
        assert step.dead_letter
    assert step.happenings[0] is EventType.QA_FAILED


@given(st.lists(st.booleans(), max_size=30), st.integers(0, 5))
def test_every_task_comes_to_an_end(verdicts: list[bool], most: int) -> None:
    """Whatever qa and the merge say, a task takes at most so many jobs as its rounds allow."""
    answers = iter(verdicts)
    kind: JobKind | None = JobKind.DEV
    fix_round = taken = 0
    status = TaskStatus.RUNNING
    while kind is not None:
        good = next(answers, True)
        outcome = {
            JobKind.QA: Outcome.PASSED if good else Outcome.REJECTED,
            JobKind.DEPLOY: Outcome.DONE if good else Outcome.CONFLICT,
        }.get(kind, Outcome.DONE)
        step = step_after(kind, outcome, fix_round=fix_round, max_fix_rounds=most)
        assert fix_round <= step.round <= most
        kind, fix_round, status = step.next_job, step.round, step.status
        taken += 1
    assert status in {TaskStatus.DEPLOYED, TaskStatus.DEAD}
    assert taken <= 3 + 3 * most


def test_too_few_votes_end_with_a_person() -> None:
    """The qa job is the dead letter, whatever fix rounds are left."""
    step = step_after(JobKind.QA, Outcome.UNDECIDED, fix_round=0, max_fix_rounds=3)
    assert (step.next_job, step.status, step.dead_letter) == (None, TaskStatus.DEAD, True)
    assert step.happenings == (EventType.QA_UNDECIDED, EventType.TASK_DEAD)


def test_a_conflict_counts_as_a_fix_round() -> None:
    """Else two tasks that collide could go on for ever."""
    step = step_after(JobKind.DEPLOY, Outcome.CONFLICT, fix_round=3, max_fix_rounds=3)
    assert (step.status, step.dead_letter) == (TaskStatus.DEAD, True)
    assert step.happenings == (EventType.MERGE_CONFLICT, EventType.TASK_DEAD)
