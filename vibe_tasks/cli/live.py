"""Progress on a terminal: a bar for the plan and a line for each task that fits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from vibe_tasks.cli.printing import one_line, span
from vibe_tasks.jobs import JobStatus
from vibe_tasks.pipeline import JobKind, TaskStatus
from vibe_tasks.store.engine import Database
from vibe_tasks.store.watching import TaskView, plan_board
from vibe_tasks.tasks import resources

ORDER = {
    TaskStatus.RUNNING: 0, TaskStatus.DEAD: 1, TaskStatus.WAITING: 2, TaskStatus.BLOCKED: 3,
    TaskStatus.CANCELLED: 4, TaskStatus.DEPLOYED: 5,
}  # fmt: skip
"""Which tasks are shown first where not all of them fit."""

LOOKS = {
    TaskStatus.RUNNING: ("●", "cyan"), TaskStatus.DEAD: ("✗", "red"),
    TaskStatus.WAITING: ("○", "dim"), TaskStatus.BLOCKED: ("⊘", "yellow"),
    TaskStatus.CANCELLED: ("-", "yellow"), TaskStatus.DEPLOYED: ("✓", "green"),
}  # fmt: skip

MARGIN = 4
"""Lines for the bar, for what was left out, and for the cursor."""

BAR = 20
"""Characters of the plan's bar."""

LONGEST_ID = 24
"""Characters of a task's id that are shown."""


class LiveView:
    """The view; a context manager.

    Args:
        console: The terminal.
        plan_id: The plan.
        name: Its name.
    """

    def __init__(self, console: Console, plan_id: str, name: str) -> None:
        self._console = console
        self._plan_id = plan_id
        self._name = name
        self._began = resources.monotonic()
        self._live = Live(console=console, auto_refresh=False, vertical_overflow="crop")

    def look(self, ledger: Database) -> None:
        """Read the plan's tasks and draw them."""
        with ledger.read() as connection:
            board = plan_board(connection, self._plan_id)
        elapsed = resources.monotonic() - self._began
        drawn = draw(self._name, board, elapsed=elapsed, height=self._console.height)
        self._live.update(drawn, refresh=True)

    def say(self, text: str) -> None:
        """Print a line above the view."""
        self._console.print(Text(text))

    def ask(self, text: str) -> None:
        """Print a line above the view."""
        self.say(text)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._live.stop()


def draw(name: str, board: Sequence[TaskView], *, elapsed: float, height: int) -> Group:
    """The whole view.

    Args:
        name: The plan's name.
        board: Its tasks in the plan's order.
        elapsed: Seconds since we began to watch.
        height: Lines of the terminal.
    """
    ranked = sorted(board, key=rank)  # a stable order: the plan's within each rank
    room = max(1, height - MARGIN)
    shown = ranked if len(ranked) <= room else ranked[: room - 1]
    table = Table.grid(padding=(0, 1))
    for ratio in (None, None, None, None, 1):
        table.add_column(ratio=ratio, no_wrap=True, overflow="ellipsis")
    for task in shown:
        sign, style = LOOKS[TaskStatus(task.status)]
        table.add_row(
            Text(sign, style), Text(one_line(task.id, most=LONGEST_ID)), Text(stage(task), style),
            Text(timing(task), "dim"), Text(detail(task), "dim"),
        )  # fmt: skip
    parts: list[Table | Text] = [_head(name, board, elapsed), table]
    if len(shown) < len(ranked):
        parts.append(Text(f"  … and {len(ranked) - len(shown)} more", "dim"))
    return Group(*parts)


def rank(task: TaskView) -> tuple[int, int]:
    """Where a task stands in the view: what runs this moment comes first."""
    at_work = task.job_status == JobStatus.PROCESSING
    return ORDER[TaskStatus(task.status)], 0 if at_work else 1


def stage(task: TaskView) -> str:
    """Where the task is on its way."""
    if task.status != TaskStatus.RUNNING:
        return task.status
    what = f"fix {task.fix_round}" if task.kind == JobKind.FIX else str(task.kind)
    if task.kind == JobKind.DEPLOY and task.job_status == JobStatus.BLOCKED:
        return "approval"
    if task.job_status == JobStatus.BLOCKED:
        return "waits for you"
    if task.kind == JobKind.REVIEW and task.seats:
        return f"review, {task.votes} of {task.seats} voted"
    if task.attempt is not None and task.attempt > 1:
        return f"{what}, attempt {task.attempt}"
    return what


def timing(task: TaskView) -> str:
    """How long its attempt has been running, or has to wait."""
    if task.status != TaskStatus.RUNNING:
        return ""
    if task.job_status == JobStatus.PROCESSING:
        return span(task.elapsed or 0.0)
    if task.wait is not None:
        return f"again in {span(task.wait)}"
    return "waits" if task.job_status == JobStatus.BLOCKED else "queued"


def detail(task: TaskView) -> str:
    """The error that it met, else what it is about, and whether its change came from the cache."""
    error = task.error or (task.job_error if task.status == TaskStatus.RUNNING else None)
    if error:
        return one_line(error)
    if task.reused and task.kind not in {JobKind.DEV, JobKind.FIX}:
        about = f": {task.title}" if task.title else ""
        return one_line(f"committed (used again){about}")
    return one_line(task.title)


def _head(name: str, board: Sequence[TaskView], elapsed: float) -> Text:
    counts = Counter(task.status for task in board)
    done = counts.get(TaskStatus.DEPLOYED, 0)
    words = [f"{done} of {len(board)} deployed"]
    words += [f"{counts[status]} {status}" for status in ORDER if status in _NAMED & counts.keys()]
    filled = BAR * done // max(1, len(board))
    return Text.assemble(
        (one_line(name, most=LONGEST_ID), "bold"), " ",
        ("━" * filled, "green"), ("─" * (BAR - filled), "dim"), " ",
        " · ".join([*words, span(elapsed)]),
        no_wrap=True, overflow="ellipsis",
    )  # fmt: skip


_NAMED = frozenset(ORDER) - {TaskStatus.DEPLOYED}
