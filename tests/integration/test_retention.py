"""What is deleted where the settings say so, and what never is."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest
from sqlalchemy import text

from tests.archives import DAY, age, ended, left, plan, tidied
from tests.homes import own_home
from tests.ledgers import claim, middle, new_job, submit
from vibe_tasks.flow import archiving
from vibe_tasks.retention import BREATH, FEWEST, Keeping, keeping, next_size, rest_after
from vibe_tasks.settings import Settings
from vibe_tasks.store import chords, jobs, metric_sums, metric_totals, scale_decisions, usage
from vibe_tasks.store.batches import first_since
from vibe_tasks.store.engine import Database
from vibe_tasks.store.history import count_history, old_archive
from vibe_tasks.store.job_archive import count_jobs
from vibe_tasks.store.retention import SELDOM
from vibe_tasks.store.scale_decisions import Entry
from vibe_tasks.store.schema import job_history
from vibe_tasks.tasks import resources, upkeep
from vibe_tasks.tasks.archiving import BATCHES, EVERY, FIRST, ArchivingTurns
from vibe_tasks.tasks.schedule import SCHEDULE


def test_batches_take_about_as_long_as_they_may() -> None:
    """Slower ones shrink at once, faster ones grow to twice their size; all have a rest after."""
    assert next_size(1_000, 0.02) == 500
    assert next_size(1_000, 60.0) == 500
    assert next_size(FEWEST + 1, 60.0) == FEWEST
    assert next_size(100, 0.0001) == 200
    assert next_size(100, 0.0) == 200
    assert next_size(100, 0.0, most=150) == 150
    assert rest_after(0.0) == BREATH
    assert rest_after(0.1) > 0.2


def test_nothing_in_the_settings_is_for_ever() -> None:
    """0 is no bound there; a bound below 0 is refused, and said which."""
    kept = keeping(Settings(history_days=0, jobs_days=3, archive_keep=5))
    assert (kept.history_days, kept.jobs_days, kept.archive_keep) == (None, 3, 5)
    assert kept.deletes_archive
    assert not keeping(Settings()).deletes_archive
    assert kept.but(history_days=0, jobs_days=None) == Keeping(
        **{name: getattr(kept, name) for name in Keeping.__slots__} | {"history_days": 0}
    )
    with pytest.raises(ValueError, match="archive_days must be zero or more, got -1"):
        Keeping(archive_days=-1)


def test_the_key_of_a_moment_is_found_by_halves(database: Database) -> None:
    """Wherever it is, and where there are gaps; of an empty table there is none."""
    table = job_history
    given = (table, table.c.id, table.c.timestamp)
    with database.read() as connection:
        assert first_since(connection, *given, 1.0) == 0
    submit(database, *(new_job() for _ in range(9)))
    with database.begin() as connection:
        connection.execute(text("DELETE FROM job_history WHERE id % 3 = 0"))
        connection.execute(text('UPDATE job_history SET "timestamp" = id * 10'))
        ids = list(connection.execute(text("SELECT id FROM job_history ORDER BY id")).scalars())
        for each in ids:
            assert each - 1 <= first_since(connection, *given, each * 10.0) <= each
            assert each < first_since(connection, *given, each * 10.0 + 1) <= each + 2
        assert first_since(connection, *given, 1e9) == ids[-1] + 1


def test_the_archives_are_deleted_by_age_and_by_number(database: Database) -> None:
    """Where that is set, and only what counters have; a plan goes with the last of its jobs."""
    plan(database, "old", days=100)
    ended(database, "of-plan", days=100, plan_id="old", task_id="a")
    ended(database, "a", days=100)
    ended(database, "b", "c", days=40)
    ended(database, "newest", days=0)
    assert tidied(database, Keeping())["jobs", "archived"] == 4
    assert tidied(database, Keeping(archive_days=60)) == {
        ("job_history_archive", "deleted"): 6, ("jobs_archive", "deleted"): 2,
        ("plans", "deleted"): 1,
    }  # fmt: skip
    with database.read() as connection:
        assert count_jobs(connection) == (1, 2)
        assert metric_sums.decided(connection) == {"passed": 1}
        for table in ("plans", "tasks", "consensus_runs"):
            assert connection.execute(text(f"SELECT count(*) FROM {table}")).scalar() == 0  # noqa: S608
    assert tidied(database, Keeping(archive_keep=1)) == {
        ("job_history_archive", "deleted"): 5, ("jobs_archive", "deleted"): 1,
    }  # fmt: skip
    assert count_history(database) == (3, 1)
    assert tidied(database, Keeping(archive_keep=1)) == {}
    with database.read() as connection:
        assert metric_totals.unsummed(connection) == 0


def test_history_that_no_counter_has_is_not_deleted(database: Database) -> None:
    """However old it is, and however many there are: the sums' mark is the bound."""
    ended(database, "a", days=100)
    tidied(database, Keeping())
    with database.begin() as connection:
        first = connection.execute(text("SELECT min(id) FROM job_history_archive")).scalar_one()
        connection.execute(
            text("INSERT INTO metric_marks (source, position) VALUES ('job_history', :first)"),
            {"first": first},
        )
        for walk in (old_archive(connection, before=1e10), old_archive(connection, keep=0)):
            assert [row.id for row in walk.look(connection, None, 10)] == [first]


def test_usage_is_kept_as_sums(database: Database) -> None:
    """Counters do not fall, twice as little as once; what a plan that runs has used stays."""
    plan(database, "runs", status="running")
    with database.begin() as connection:
        for number, plan_id in ((1, None), (2, None), (3, "runs")):
            usage.record(
                connection, job_id="job", attempt=number, plan_id=plan_id, task_id=None, agent="x",
                kind="dev", input_tokens=10, output_tokens=1, cost_usd=0.25,
            )  # fmt: skip
        connection.execute(text("UPDATE agent_usage SET updated_at = 1"))
    with database.read() as connection:
        before = metric_sums.used(connection)
    kept = Keeping(history_days=None, jobs_days=None, usage_days=365)
    assert tidied(database, kept) == {("agent_usage", "deleted"): 2}
    assert tidied(database, kept) == {}
    with database.read() as connection:
        assert metric_sums.used(connection) == before


def test_decisions_go_but_for_each_lanes_newest(database: Database) -> None:
    """What a scaler has in mind is with its newest decision."""
    entry = {"provisioner": "virtual", "before": 1, "target": 2, "reason": "", "figures": {}}
    with database.begin() as connection:
        for lane in ("code", "code", "qa"):
            scale_decisions.write(connection, Entry(lane=lane, state={}, **entry))
        connection.execute(text("UPDATE scale_decisions SET at = 1"))
    kept = Keeping(history_days=None, jobs_days=None, scale_days=90)
    assert tidied(database, kept) == {("scale_decisions", "deleted"): 1}


def test_a_chord_that_failed_goes_with_its_jobs(database: Database) -> None:
    """Not while a member is a dead letter: once that has completed, the body starts after all."""
    submit(database, new_job(id="dead", max_retries=1))
    claim(database, "dead")
    for name, members in (("gone", ["m"]), ("waits", ["dead", "n"])):
        ended(database, members[-1])
        submit(database, new_job(id=f"{name}-body", blocked=True))
        with database.begin() as connection:
            chords.open_chord(
                connection, name, body_id=f"{name}-body", members=members, takes_results=True
            )
            jobs.cancel_job(connection, f"{name}-body", f"{jobs.CHORD_ERROR}boom")
        age(database, (f"{name}-body",), 31)
    with database.begin() as connection:
        jobs.fail_job(connection, "dead", 1, "boom", uniform=middle)
    age(database, ("dead",), 31)
    submit(database, new_job(id="newest"))
    kept = Keeping(history_days=None)
    assert tidied(database, kept) == {("chords", "deleted"): 1, ("jobs", "archived"): 2}
    assert left(database) == {"dead", "n", "waits-body", "newest"}
    with database.begin() as connection:
        jobs.revive_job(connection, "dead")
    assert tidied(database, kept) == {}
    claim(database, "dead")
    assert tidied(database, kept) == {}


def test_a_whole_table_is_looked_through_once_an_hour(database: Database) -> None:
    """By who looks each minute, once it came to its end; by hand it is done at any time."""
    few = Keeping(history_days=None, history_keep=300, jobs_days=None, usage_days=1)

    def minute(seconds: float | None = None) -> archiving.Tidied:
        return archiving.tidy(
            database, few, monotonic=ticking(3.0), pause=lambda _: None, seconds=seconds,
            seldom=SELDOM,
        )  # fmt: skip

    submit(database, *(new_job() for _ in range(700)))
    assert minute(5.0).archived == {"job_history": 200}
    assert minute().archived == {"job_history": 200}
    submit(database, *(new_job() for _ in range(50)))
    assert minute().archived == {}
    assert tidied(database, few) == {("job_history", "archived"): 50}
    submit(database, *(new_job() for _ in range(50)))
    with database.begin() as connection:
        connection.execute(text("UPDATE upkeep SET looked_at = looked_at - 3600"))
    assert minute().archived == {"job_history": 50}


def home_with(tmp_path: Path, *names: str) -> Path:
    """A home with a file of an attempt of each of these jobs, written 31 days ago."""
    home = tmp_path / "home"
    for name in names:
        folder = home / "attempts" / name / "1"
        folder.mkdir(parents=True)
        (folder / "check.log").write_text("ok")
        for each in (folder / "check.log", folder, folder.parent):
            long_ago = each.stat().st_mtime - 31 * DAY
            os.utime(each, (long_ago, long_ago))
    return home


def test_files_of_attempts_go_with_their_age(database: Database, tmp_path: Path) -> None:
    """But for those of living jobs and dead letters; what is no folder of a job is left alone."""
    home = home_with(tmp_path, "done", "unknown", "waits", "dead", "young")
    (home / "attempts" / "note.txt").write_text("mine")
    (home / "attempts" / "young" / "1" / "check.log").write_text("again")
    ended(database, "done", days=0)
    submit(database, new_job(id="waits"), new_job(id="dead", max_retries=1))
    claim(database, "dead")
    with database.begin() as connection:
        jobs.fail_job(connection, "dead", 1, "boom", uniform=middle)
    assert archiving.remove_old_attempts(database, home, 0) == 0
    assert archiving.remove_old_attempts(database, tmp_path / "nowhere", 30) == 0
    assert archiving.remove_old_attempts(database, home, 30, most=0) == 0
    assert archiving.remove_old_attempts(database, home, 30, most=1) == 2
    assert {each.name for each in (home / "attempts").iterdir()} == {
        "waits", "dead", "young", "note.txt",
    }  # fmt: skip


def test_a_file_that_goes_away_meanwhile_is_no_harm(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job that runs deletes files of its own: its folder is left for the next time."""
    home = home_with(tmp_path, "runs", "gone")
    iterdir = Path.iterdir

    def gone(place: Path) -> Iterator[Path]:
        if place.parent.name == "runs":
            yield place / "deleted"
        yield from iterdir(place)

    monkeypatch.setattr(Path, "iterdir", gone)
    assert archiving.remove_old_attempts(database, home, 30) == 1
    assert (home / "attempts" / "runs").exists()


def ticking(step: float) -> Callable[[], float]:
    """A clock that goes on by so many seconds with each look."""
    looks = count()
    return lambda: next(looks) * step


def test_a_tick_ends_in_time_and_the_next_goes_on(database: Database) -> None:
    """Beat's worker has other things to do; what is left is said."""
    submit(database, *(new_job() for _ in range(500)))
    with database.begin() as connection:
        connection.execute(text('UPDATE job_history SET "timestamp" = id'))
    rests: list[float] = []
    kept = Keeping(jobs_days=None)
    first = archiving.tidy(database, kept, monotonic=ticking(3.0), pause=rests.append, seconds=5.0)
    assert first.more
    assert first.archived["job_history"] == 200
    assert rests == []
    second = archiving.tidy(database, kept, monotonic=ticking(0.0), pause=rests.append)
    assert (second.more, second.archived["job_history"]) == (False, 300)
    assert len(rests) >= 1
    told = archiving.figures(database, second, folders=2)
    assert (told["moved"], told["history"], told["archive"], told["folders"]) == (300, 0, 500, 2)


@pytest.mark.filterwarnings("ignore::celery.exceptions.CDeprecationWarning")
def test_beat_archives_and_deletes_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its tasks tell what they did; the schedule names both."""
    with own_home(tmp_path, monkeypatch):
        home_with(tmp_path, "gone")
        ended(resources.ledger(), "old", days=31)
        ended(resources.ledger(), "newest", days=0)
        done = upkeep.archive()
        assert done["archived"] == {"job_history": 3, "jobs": 1}
        assert done["more"] is False
        assert (upkeep.trim_old_attempts(), upkeep.trim_old_attempts()) == (1, 0)
    named = {each["task"] for each in SCHEDULE.values()}
    assert {upkeep.archive.name, upkeep.trim_old_attempts.name} <= named


def test_the_dispatcher_takes_its_turns(database: Database, tmp_path: Path) -> None:
    """A little between two looks, at once again while there is more, then not for a while; files of
    attempts at the end of a pass.
    """
    home = home_with(tmp_path, "gone")
    submit(database, *(new_job() for _ in range(3_000)))
    with database.begin() as connection:
        connection.execute(text('UPDATE job_history SET "timestamp" = id'))
    now = [0.0]
    turns = ArchivingTurns(
        database, Settings(jobs_days=0), home=home, monotonic=lambda: now[0], pause=lambda _: None
    )
    assert not turns.take()
    now[0] = FIRST
    assert turns.take()
    moved = count_history(database)[1]
    assert 0 < moved < 3_000
    assert moved == sum(200 * 2**number for number in range(BATCHES))
    assert (home / "attempts" / "gone").exists()
    while (home / "attempts" / "gone").exists():
        assert turns.take()
    assert count_history(database) == (0, 3_000)
    assert not turns.take()
    now[0] += EVERY
    assert turns.take()
