"""Plans with reviewers in a ledger, for tests of how votes move them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.ledgers import claim, middle
from tests.plan_jobs import job_of, prepared
from vibe_tasks.flow import attempts
from vibe_tasks.flow.attempts import Ending
from vibe_tasks.flow.quality import conclude
from vibe_tasks.flow.submission import submit_plan
from vibe_tasks.flow.workplace import Bench, Workplace, set_up
from vibe_tasks.pipeline import Outcome
from vibe_tasks.store import jobs, plans
from vibe_tasks.store.engine import Database
from vibe_tasks.workspace.checks import CheckResult

ONE_TASK = [{"id": "a", "prompt": "Write a.txt", "max_fix_rounds": 1}]


def sh(script: str) -> dict[str, Any]:
    """An agent that is a line of shell."""
    return {"type": "command", "argv": ["sh", "-c", script], "timeout": 30}


def check_of(code: int) -> CheckResult:
    """What is known of a check that ended with this code."""
    return CheckResult(
        command=f"exit {code}", passed=code == 0, exit_code=code, timed_out=False, seconds=0.1,
        output="",
    )  # fmt: skip


AGENTS = {"sh": sh("true"), "r1": sh("true"), "r2": sh("true"), "r3": sh("true")}


class Panel:
    """A task of one plan, its work done, whose three reviewers are to vote.

    Args:
        ledger: An empty ledger.
        folder: For the repository.
        checks: Exit codes of the plan's checks.
        qa: More of the plan's `qa`.
        agents: Agents beside those of `AGENTS`.
    """

    def __init__(
        self,
        ledger: Database,
        folder: Path,
        *,
        checks: tuple[int, ...] = (0,),
        agents: dict[str, Any] | None = None,
        **qa: Any,
    ) -> None:
        self.ledger, self.folder = ledger, folder
        reviewers = {"reviewers": ["r1", "r2", "r3"], **qa}
        ready = prepared(folder, tasks=ONE_TASK, qa=reviewers, agents=AGENTS | (agents or {}))
        self.plan_id = submit_plan(ledger, ready).plan_id
        self.base = ready.base_commit
        self.do("dev", self.base)
        conclude(self.bench(job_of(ledger, "a", "qa")), [check_of(code) for code in checks])

    def do(self, kind: str, commit: str) -> None:
        """Do the task's latest job of this kind, with this commit."""
        bench = self.bench(job_of(self.ledger, "a", kind))
        bench.finish({"commit": commit, "cache_key": "made"}, Outcome.DONE, commit=commit)

    def bench(self, job_id: str) -> Bench:
        """An attempt at the job, set up."""
        place = Workplace(ledger=self.ledger, home=self.folder / "home", environ={})
        return set_up(place, claim(self.ledger, job_id))

    def seats(self) -> list[dict[str, Any]]:
        """The reviews' rows of the latest round, by seat."""
        with self.ledger.read() as connection:
            found = jobs.list_jobs(connection, where={"plan_id": self.plan_id, "kind": "review"})
        last = max((row["round"] for row in found), default=0)
        rows = [row for row in found if row["round"] == last]
        return sorted(rows, key=lambda row: row["args"]["kwargs"]["seat"])

    def seat(self, number: int) -> dict[str, Any]:
        """The review's row of this seat, counted from 1."""
        return self.seats()[number - 1]

    def cast(self, number: int, verdict: str, *findings: str) -> None:
        """This seat votes."""
        self.bench(self.seat(number)["id"]).finish(
            {"verdict": verdict, "findings": list(findings)}, Outcome.DONE, commit=self.base
        )

    def end(self, number: int, kind: Any, text: str, *, wait: float | None = None) -> None:
        """An attempt of this seat ends otherwise."""
        taken = self.bench(self.seat(number)["id"]).claim
        ending = Ending(kind=kind, text=text, wait=wait, away=kind == "snooze")
        attempts.settle(self.ledger, taken, ending, uniform=middle)

    def make_due(self, number: int) -> None:
        """This seat's wait is over."""
        with self.ledger.begin() as connection:
            connection.exec_driver_sql(
                f"UPDATE jobs SET backoff_until = NULL WHERE id = '{self.seat(number)['id']}'"  # noqa: S608
            )

    def qa(self) -> dict[str, Any]:
        """The latest qa job's row."""
        with self.ledger.read() as connection:
            return jobs.find_job(connection, job_of(self.ledger, "a", "qa"))

    def verdict(self) -> str:
        """What the latest qa job says."""
        return str(self.qa()["result"]["verdict"])

    def task(self) -> dict[str, Any]:
        """The task's row."""
        with self.ledger.read() as connection:
            return plans.find_task(connection, self.plan_id, "a")

    def live(self) -> list[str]:
        """Kinds of the jobs that are to be done."""
        with self.ledger.read() as connection:
            return sorted(job["kind"] for job in plans.live_jobs(connection, self.plan_id))

    def events(self) -> list[str]:
        """Types of the plan's events since the work was done, oldest first."""
        with self.ledger.read() as connection:
            rows = connection.exec_driver_sql("SELECT hook_event_type FROM events ORDER BY id")
            kinds = [row[0] for row in rows]
        return kinds[kinds.index("FILE_COMPLETED") + 1 :]

    def dead_letters(self) -> list[str]:
        """Kinds of the dead letters."""
        with self.ledger.read() as connection:
            return [row["kind"] for row in jobs.list_jobs(connection, dead=True)]
