"""Progress as plain lines: one for each thing that happens, for logs and pipes."""

from __future__ import annotations

from vibe_tasks.cli.printing import clock, note, one_line
from vibe_tasks.events import EventType
from vibe_tasks.jobs import JobStatus
from vibe_tasks.pipeline import JobKind
from vibe_tasks.store.engine import Database
from vibe_tasks.store.watching import Mark, News, plan_news
from vibe_tasks.tasks import resources

EVENTS = {
    EventType.FILE_COMPLETED: "committed",
    EventType.QA_PASSED: "qa passed",
    EventType.QA_FAILED: "qa failed",
    EventType.QA_DEGRADED: "qa degraded",
    EventType.QA_UNDECIDED: "qa undecided",
    EventType.MERGE_CONFLICT: "does not merge",
    EventType.DEPLOYED: "deployed",
    EventType.ROLLED_BACK: "merge taken back",
    EventType.TASK_DEAD: "dead",
    EventType.TASK_BLOCKED: "blocked by a task that it needs",
}
"""What is said of an event; the others are told by a job's move or by the report."""


class PlainView:
    """Lines on standard error.

    Args:
        plan_id: The plan.
        mark: From where on its news are told.
    """

    def __init__(self, plan_id: str, mark: Mark) -> None:
        self._plan_id = plan_id
        self._mark = mark

    def look(self, ledger: Database) -> None:
        """Print what is new."""
        with ledger.read() as connection:
            news, self._mark = plan_news(connection, self._plan_id, self._mark)
        for each in news:
            text = told(each)
            if text:
                note(f"{clock(each.at)} {each.task}: {text}")

    def say(self, text: str) -> None:
        """Print this line."""
        note(f"{clock(resources.wall_clock())} {text}")

    def ask(self, text: str) -> None:
        """Print this line."""
        self.say(text)


class QuietView:
    """Nothing but what a person has to do, for `--json` where nobody watches."""

    def look(self, ledger: Database) -> None:
        """Show nothing."""

    def say(self, text: str) -> None:
        """Say nothing."""

    def ask(self, text: str) -> None:
        """Print this line on standard error: without a person the plan would wait for ever."""
        note(text)


def told(news: News) -> str:
    """The news in words, empty for what is not worth a line."""
    if news.event is not None:
        words = EVENTS.get(EventType(news.event)) if news.event in set(EventType) else None
        if words and news.why and news.event == EventType.FILE_COMPLETED:
            return f"{words} ({one_line(news.why)})"
        return "" if words is None else _because(words, news.why)
    what = f"fix {news.round}" if news.kind == JobKind.FIX else news.kind
    if news.agent:
        what = f"{what} by {news.agent}"
    again = f", attempt {news.attempt}" if news.attempt > 1 else ""
    if news.status == JobStatus.PROCESSING:
        return f"{what} started{again}"
    if news.before == JobStatus.PROCESSING and news.status == JobStatus.PENDING:
        return _because(f"{what}{again} goes back to be tried again", news.why)
    if news.before == JobStatus.PROCESSING and news.status == JobStatus.BLOCKED:
        return _because(f"{what} waits for a person", news.why)
    ends = {JobStatus.CANCELLED.value: f"{what} cancelled"}
    if news.kind == JobKind.REVIEW:  # of other jobs an event tells it
        ends[JobStatus.FAILED] = f"{what}{again} failed"
    return _because(ends[news.status], news.why) if news.status in ends else ""


def _because(words: str, why: str) -> str:
    return f"{words}: {one_line(why, most=300)}" if why else words
