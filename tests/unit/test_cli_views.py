from __future__ import annotations

from io import StringIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from vibe_tasks.cli.live import detail, draw, stage, timing
from vibe_tasks.cli.plain import told
from vibe_tasks.cli.printing import one_line, short_id, span
from vibe_tasks.pipeline import TaskStatus
from vibe_tasks.store.watching import News, TaskView


def task(name: str = "store", **fields: object) -> TaskView:
    """A task whose first dev runs since a second; any field may be given."""
    values: dict[str, object] = {
        "id": name, "title": "Store items", "status": "running", "fix_round": 0, "error": None,
        "job_id": "j", "kind": "dev", "job_status": "processing", "attempt": 1, "elapsed": 1.0,
        "wait": None, "job_error": None,
    }  # fmt: skip
    return TaskView(**(values | fields))  # type: ignore[arg-type]


def drawn(*board: TaskView, height: int = 24, width: int = 80) -> list[str]:
    """The lines of the view."""
    console = Console(file=StringIO(), width=width, height=height)
    with console.capture() as capture:
        console.print(draw("todo", board, elapsed=3.0, height=height))
    return capture.get().splitlines()


boards = st.lists(
    st.builds(
        task,
        name=st.text(max_size=60),
        title=st.text(max_size=200),
        status=st.sampled_from([str(each) for each in TaskStatus]),
        job_status=st.sampled_from([None, "blocked", "pending", "processing", "completed"]),
        kind=st.sampled_from(["dev", "qa", "fix", "deploy"]),
        wait=st.none() | st.floats(0, 1000),
        error=st.none() | st.text(max_size=50),
    ),
    max_size=60,
)


@given(board=boards, height=st.integers(6, 50), width=st.integers(50, 200))
def test_the_view_always_fits_the_terminal(board: list[TaskView], height: int, width: int) -> None:
    """No plan and no text makes it scroll: the cursor could not go back to its first line."""
    lines = drawn(*board, height=height, width=width)
    assert len(lines) < height
    assert all(line.isprintable() for line in lines)


def test_what_runs_is_shown_first() -> None:
    """Where not everything fits, what happens now is what one wants to see."""
    done = [task(f"done{n}", status="deployed") for n in range(20)]
    queued = task("queued", job_status="pending")
    lines = drawn(*done, queued, task("busy"), height=8)
    assert "busy" in lines[1]
    assert "queued" in lines[2]
    assert lines[-1].strip() == "… and 19 more"


def test_the_head_counts() -> None:
    """The first line says how far the plan is."""
    head = drawn(task(), task("b", status="deployed"), task("c", status="waiting"))[0]
    assert "todo" in head
    assert "1 of 3 deployed · 1 running · 1 waiting · 3.0 s" in head


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, ("dev", "1.0 s")),
        ({"attempt": 2}, ("dev, attempt 2", "1.0 s")),
        ({"kind": "fix", "fix_round": 1}, ("fix 1", "1.0 s")),
        ({"job_status": "pending", "attempt": 0}, ("dev", "queued")),
        ({"job_status": "pending", "wait": 4.0}, ("dev", "again in 4.0 s")),
        ({"kind": "deploy", "job_status": "blocked"}, ("approval", "waits")),
        ({"job_status": "blocked"}, ("waits for you", "waits")),
        ({"kind": "review", "seats": 3, "votes": 1}, ("review, 1 of 3 voted", "1.0 s")),
        ({"status": "dead"}, ("dead", "")),
    ],
)
def test_a_task_says_where_it_stands(fields: dict[str, object], words: tuple[str, str]) -> None:
    """Stage, attempt and time, as the table of `vibe plans show` has them too."""
    assert (stage(task(**fields)), timing(task(**fields))) == words


def test_a_change_from_the_cache_is_told() -> None:
    """Once it is committed, and not in place of an error."""
    assert detail(task(reused=True)) == "Store items", "a fix under way is another change"
    assert detail(task(reused=True, kind="qa")) == "committed (used again): Store items"
    assert detail(task(reused=True, kind="qa", job_error="no")) == "no"


@pytest.mark.parametrize(
    ("news", "words"),
    [
        (News(at=0, task="a", kind="dev", status="pending"), ""),
        (News(at=0, task="a", kind="dev", before="pending", status="processing", attempt=1),
         "dev started"),
        (News(at=0, task="a", kind="fix", round=2, before="pending", status="processing",
              attempt=3), "fix 2 started, attempt 3"),
        (News(at=0, task="a", kind="dev", before="processing", status="pending", attempt=1,
              why="Timeout:\nlate"), "dev goes back to be tried again: Timeout: late"),
        (News(at=0, task="a", kind="dev", before="blocked", status="cancelled", why="by hand"),
         "dev cancelled: by hand"),
        (News(at=0, task="a", event="QA_FAILED", why="tests"), "qa failed: tests"),
        (News(at=0, task="a", kind="review", before="processing", status="failed", attempt=2,
              why="no verdict"), "review, attempt 2 failed: no verdict"),
        (News(at=0, task="a", kind="review", before="pending", status="processing", attempt=1,
              agent="r1"), "review by r1 started"),
        (News(at=0, task="a", event="FILE_COMPLETED"), "committed"),
        (News(at=0, task="a", event="FILE_COMPLETED", why="used again"),
         "committed (used again)"),
        (News(at=0, task="a", event="QA_DEGRADED", why="2 of 3"), "qa degraded: 2 of 3"),
        (News(at=0, task="a", event="DEPLOYED"), "deployed"),
        (News(at=0, task="a", event="SOMETHING_NEW"), ""),
    ],
)  # fmt: skip
def test_plain_lines_tell_what_happened(news: News, words: str) -> None:
    """One line for each start, setback and outcome; the rest is silence."""
    assert told(news) == words


@given(st.text(max_size=2000))
def test_one_line_cannot_steer_a_terminal(text: str) -> None:
    """Agents' words lose their control characters and their length."""
    line = one_line(text)
    assert line.isprintable()
    assert len(line) <= 300


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(-1, "0.0 s"), (0.04, "0.0 s"), (59.9, "59.9 s"), (61, "1:01 min"), (3600, "1:00 h"),
     (5 * 86400, "5 days")],
)  # fmt: skip
def test_spans_are_said_as_people_say_them(seconds: float, words: str) -> None:
    """From tenths of a second to days."""
    assert span(seconds) == words


def test_only_uuids_are_shortened() -> None:
    """An id that a producer chose stays whole."""
    assert short_id("0d782c4c-14a4-49ac-ae5c-433397eb1a72") == "0d782c4c"
    assert short_id("thumbnail-of-the-first-page") == "thumbnail-of-the-first-page"
