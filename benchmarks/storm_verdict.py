"""What became of a storm's jobs: read from the ledger and from the traces of the runs."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from report import percentile
from storm_jobs import MEANT_TO_DIE

from vibe_tasks.jobs import ENDED, JobStatus
from vibe_tasks.store.engine import Database

JOBS = "SELECT id, name, status, attempt FROM jobs"
HISTORY = (
    "SELECT job_id, from_status, status, attempt, timestamp, details FROM job_history ORDER BY id"
)


RUNNING = frozenset({JobStatus.PROCESSING})


@dataclass(slots=True)
class Run:
    """One run of a job, as the process that ran it wrote it down.

    Attributes:
        job: The job.
        attempt: Its attempt.
        pid: The process.
        began: Monotonic seconds.
        ended: Monotonic seconds; None where it left no last line.
        how: `written`, `refused` or `raised`; None where it left no last line.
        seconds: How long the job takes by itself.
    """

    job: str
    attempt: int
    pid: int
    began: float
    ended: float | None
    how: str | None
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Mischief:
    """One thing that was done to the deployment.

    Attributes:
        kind: Its name.
        mono: When it began, in monotonic seconds.
        wall: The same in epoch seconds.
        pids: Processes that were killed.
    """

    kind: str
    mono: float
    wall: float
    pids: tuple[int, ...] = ()


@dataclass(slots=True)
class Verdict:
    """The figures. Those of `MUST_BE_ZERO` decide."""

    submitted: int = 0
    refused_calls: int = 0
    unanswered: int = 0
    completed: int = 0
    dead: int = 0
    cancelled: int = 0
    lost: int = 0
    dead_by_mistake: int = 0
    doubled: int = 0
    overlapping: int = 0
    forged: int = 0
    runs: int = 0
    overlapping_without_lease: int = 0
    refused_writes: int = 0
    examples: dict[str, list[str]] = field(default_factory=dict)

    def blame(self, what: str, job: str) -> None:
        """Count it, and remember the first few."""
        setattr(self, what, getattr(self, what) + 1)
        known = self.examples.setdefault(what, [])
        known += [job] * (len(known) < 5)

    @property
    def sound(self) -> bool:
        """Whether nothing happened that must not."""
        return not any(getattr(self, name) for name in MUST_BE_ZERO)

    def told(self) -> dict[str, Any]:
        """All figures, for JSON."""
        return asdict(self)


MUST_BE_ZERO = ("lost", "dead_by_mistake", "doubled", "overlapping", "forged")
"""Jobs that never ended or are not in the ledger; dead letters of jobs that were not meant to die;
jobs that completed twice; runs of one job at the same time whose leases both held; and runs that
could write although their attempt was over."""


def runs_of(folder: Path, died: Sequence[tuple[int, float]]) -> list[Run]:
    """All runs; one that was killed ends when its process was seen to be gone."""
    found = []
    for path in folder.glob("*.jsonl"):
        current: Run | None = None
        for line in map(json.loads, path.read_text(encoding="utf-8").splitlines()):
            if line["what"] == "start":
                current = Run(
                    line["job"], line["attempt"], line["pid"], line["mono"], None, None,
                    line["seconds"],
                )  # fmt: skip
                found.append(current)
            elif current is not None:
                current.ended, current.how = line["mono"], line["what"]
    for run in found:
        deaths = [at for pid, at in died if pid == run.pid and at > run.began]
        if run.ended is None and deaths:
            run.ended = min(deaths)
    return found


class Ledger:
    """The ledger's jobs and their history, read once."""

    def __init__(self, database: Database) -> None:
        with database.read() as connection:
            self.jobs = {row.id: row for row in connection.exec_driver_sql(JOBS)}
            self.history: dict[str, list[Any]] = defaultdict(list)
            for row in connection.exec_driver_sql(HISTORY):
                self.history[row.job_id].append(row)
        self.completions = sorted(
            row.timestamp for rows in self.history.values() for row in rows
            if row.status == "completed"
        )  # fmt: skip

    def end_of(self, job: str, attempt: int) -> Any:
        """The history row that ended this attempt, None while it goes on."""
        rows = self.history[job]
        return next(
            (r for r in rows if r.attempt == attempt and r.from_status == "processing"), None
        )

    def after(self, job: str, wall: float, statuses: frozenset[JobStatus]) -> float | None:
        """Seconds until the job came into one of these statuses; None where it did not."""
        rows = (row for row in self.history[job] if row.timestamp >= wall)
        return next((row.timestamp - wall for row in rows if row.status in statuses), None)


def judge(ledger: Ledger, calls: Path, runs: Sequence[Run]) -> Verdict:
    """Compare what the producer was told, what the ledger says and what ran."""
    verdict = Verdict(runs=len(runs))
    told: set[str] = set()
    for line in map(json.loads, calls.read_text(encoding="utf-8").splitlines()):
        told |= {line["job"]} if "job" in line else set()
        verdict.refused_calls += "refused" in line
    verdict.submitted = len(told)
    verdict.unanswered = len(ledger.jobs.keys() - told)
    for job in told | ledger.jobs.keys():
        row = ledger.jobs.get(job)
        if row is None or row.status not in ENDED:
            verdict.blame("lost", job)
            continue
        verdict.completed += row.status == "completed"
        verdict.cancelled += row.status == "cancelled"
        if row.status == "failed":
            verdict.dead += 1
            if row.name.rpartition(".")[2] not in MEANT_TO_DIE:
                verdict.blame("dead_by_mistake", job)
        if sum(each.status == "completed" for each in ledger.history[job]) > 1:
            verdict.blame("doubled", job)
    _judge_runs(verdict, ledger, runs)
    return verdict


def _judge_runs(verdict: Verdict, ledger: Ledger, runs: Sequence[Run]) -> None:
    by_job: dict[str, list[Run]] = defaultdict(list)
    for run in sorted(runs, key=lambda each: each.began):
        by_job[run.job].append(run)
        verdict.refused_writes += run.how == "refused"
    for job, each in by_job.items():
        for run in each:
            end = ledger.end_of(job, run.attempt)
            if run.how == "written" and (end is None or end.status != "completed"):
                verdict.blame("forged", job)
        for earlier, later in _overlaps(each):
            if _lease_was_taken(ledger, earlier, later):
                verdict.overlapping_without_lease += 1
            else:
                verdict.blame("overlapping", job)


def _overlaps(runs: Sequence[Run]) -> Iterator[tuple[Run, Run]]:
    """Pairs of runs of one job that went on at the same time, by when they began."""
    for number, earlier in enumerate(runs):
        # One that left no last line and was not our victim ended by somebody's doing, at an
        # unknown time; it cannot have worked for longer than it takes.
        ended = earlier.ended if earlier.ended is not None else earlier.began + earlier.seconds
        for later in runs[number + 1 :]:
            if later.began < ended:
                yield earlier, later


def _lease_was_taken(ledger: Ledger, earlier: Run, later: Run) -> bool:
    """Whether the earlier run was out of its lease, or cancelled, and could not write any more."""
    end = ledger.end_of(earlier.job, earlier.attempt)
    if earlier.attempt >= later.attempt or earlier.how == "written" or end is None:
        return False
    return end.status == "cancelled" or "lease expired" in (end.details or "")


def recoveries(
    ledger: Ledger, runs: Sequence[Run], mischiefs: Sequence[Mischief]
) -> dict[str, dict[str, list[float]]]:
    """Seconds by kind of mischief: to the next completion, and for each attempt that was cut off
    to its job's next start and to its job's end.
    """
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for mischief in mischiefs:
        times = found[mischief.kind]
        times["count"].append(1.0)
        place = bisect_right(ledger.completions, mischief.wall)
        if place < len(ledger.completions):
            times["completion"].append(ledger.completions[place] - mischief.wall)
        for run in runs:
            if run.how is None and run.pid in mischief.pids and run.began <= mischief.mono + 0.5:
                _add(times["start"], ledger.after(run.job, mischief.wall, RUNNING))
                _add(times["end"], ledger.after(run.job, mischief.wall, ENDED))
    return found


def _add(values: list[float], value: float | None) -> None:
    if value is not None:
        values.append(value)


def rows(found: Mapping[str, Mapping[str, list[float]]]) -> list[list[str]]:
    """A table's lines: median / p95 / max of the recoveries of each kind."""
    return [
        [kind, str(len(times["count"])), _spread(times.get("completion", [])),
         str(len(times.get("start", []))), _spread(times.get("start", [])),
         _spread(times.get("end", []))]
        for kind, times in sorted(found.items())
    ]  # fmt: skip


def _spread(values: Sequence[float]) -> str:
    if not values:
        return "-"
    return " / ".join(f"{percentile(values, share):.1f}" for share in (0.5, 0.95, 1.0))


def count_kinds(mischiefs: Sequence[Mischief]) -> dict[str, int]:
    """How often each kind was done."""
    return dict(sorted(Counter(each.kind for each in mischiefs).items()))
