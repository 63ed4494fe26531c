"""What is told of reviewers, and of changes that are used again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.ledgers import claim
from tests.plan_jobs import job_of, prepared
from tests.reviews import Panel
from vibe_tasks.cli.live import detail
from vibe_tasks.cli.main import cli
from vibe_tasks.cli.plain import told
from vibe_tasks.flow.development import USED_AGAIN
from vibe_tasks.flow.recall import note_cached
from vibe_tasks.flow.submission import submit_plan
from vibe_tasks.flow.workplace import Workplace, set_up
from vibe_tasks.pipeline import Outcome
from vibe_tasks.store import usage
from vibe_tasks.store.engine import Database
from vibe_tasks.store.watching import Mark, plan_board, plan_news
from vibe_tasks.tasks import resources

CACHES = (resources.settings_with_sources, resources.database, resources.ledger)


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Database]:
    """The ledger of the commands."""
    monkeypatch.setenv("VIBE_HOME", str(tmp_path / "home"))
    for cache in CACHES:
        cache.cache_clear()
    yield resources.ledger()
    resources.database().close()
    for cache in CACHES:
        cache.cache_clear()


def vibe(*words: str) -> str:
    """What the command prints."""
    result = CliRunner().invoke(cli, list(words), prog_name="vibe")
    assert result.exit_code == 0, result.output
    return result.stdout


def lines(ledger: Database, plan_id: str) -> list[str]:
    """All of a plan's progress, as plain lines."""
    with ledger.read() as connection:
        news, _ = plan_news(connection, plan_id, Mark(history=0, event=0))
    return [text for each in news if (text := told(each))]


def test_reviews_are_told_by_their_reviewers(ledger: Database, tmp_path: Path) -> None:
    """In listings, at the qa job with what became of each vote, and the dead letter is the job that
    a plan's table names.
    """
    panel = Panel(ledger, tmp_path)
    assert "todo/a review (r1)" in vibe("jobs", "list", "--kind", "review")
    panel.cast(1, "pass")
    panel.end(2, "permanent", "wrong key")
    qa, seats = panel.qa()["id"], [row["id"] for row in panel.seats()]
    shown = vibe("jobs", "show", qa)
    for number, said in enumerate(
        ("r1: pass", "r2: no vote: wrong key", "r3: no vote: yet to come"), start=1
    ):
        assert f"  {number}  {seats[number - 1][:8]}  {said}\n" in shown
    panel.end(3, "permanent", "no such model")
    reviews = json.loads(vibe("jobs", "show", qa, "--json"))["reviews"]
    assert reviews[2] == {
        "seat": 3, "agent": "r3", "verdict": None, "why": "no such model", "job_id": seats[2],
    }  # fmt: skip
    assert [each["verdict"] for each in reviews] == ["pass", None, None]
    assert "reviews" not in json.loads(vibe("jobs", "show", seats[0], "--json"))
    (line,) = (each for each in vibe("plans", "show", "todo").splitlines() if "undecided:" in each
               and each.startswith("a "))  # fmt: skip
    assert qa[:8] in line


def test_progress_names_reviewers(database: Database, tmp_path: Path) -> None:
    """Each seat's start has its agent."""
    panel = Panel(database, tmp_path)
    panel.cast(2, "pass")
    assert "review by r2 started" in lines(database, panel.plan_id)


def test_a_change_that_is_used_again_says_so(database: Database, tmp_path: Path) -> None:
    """In the plain lines and on the board, until an agent has made another."""
    plan_id = submit_plan(database, prepared(tmp_path)).plan_id
    place = Workplace(ledger=database, home=tmp_path / "home", environ={})
    bench = set_up(place, claim(database, job_of(database, "a", "dev")))
    note_cached(bench, "sh")
    bench.finish({"cached": True}, Outcome.DONE, commit=bench.tip(), report=USED_AGAIN)
    assert "committed (used again)" in lines(database, plan_id)
    with database.read() as connection:
        first, second = plan_board(connection, plan_id)
    assert detail(first) == "committed (used again)"
    assert (first.reused, second.reused) == (True, False)
    with database.begin() as connection:
        usage.record(
            connection, job_id="later", attempt=1, plan_id=plan_id, task_id="a", agent="sh",
            kind="fix",
        )  # fmt: skip
    with database.read() as connection:
        assert not plan_board(connection, plan_id)[0].reused
