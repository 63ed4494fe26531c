"""Payloads are sealed at rest and in the broker, and nobody notices who has the key."""

from __future__ import annotations

import json
import os
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Text, cast, delete, insert, select, text, update

from tests.ledgers import backdate, claim, new_job, row, submit
from tests.plan_jobs import job_of, prepared
from vibe_tasks.errors import SettingsError
from vibe_tasks.flow.submission import submit_plan
from vibe_tasks.jobs import JobStatus
from vibe_tasks.log_buffer import LogBuffer
from vibe_tasks.payload_keys import parse_keys
from vibe_tasks.store import chords, consensus, job_archival, job_logs, jobs, plans, result_cache
from vibe_tasks.store.engine import Database, open_database
from vibe_tasks.store.job_archive import job_anywhere
from vibe_tasks.store.operation_tables import ledger_facts
from vibe_tasks.store.outbox import publications
from vibe_tasks.store.resealing import PLACES, reseal
from vibe_tasks.store.schema import jobs as job_table
from vibe_tasks.store.sealing import SEALED, Sealing, is_sealed, problem, require_keys
from vibe_tasks.store.watching import newest, plan_board, plan_news, priorities_of

HUSH = "hush-hush"
OLD, NEW, OTHER = (urlsafe_b64encode(bytes([each]) * 32).decode() for each in (1, 2, 3))


def sealing_with(*entries: str) -> Sealing:
    """What a process with these entries of VIBE_PAYLOAD_KEYS has."""
    return Sealing(parse_keys(entries), random_bytes=os.urandom)


class Opened:
    """Opens a ledger with several keys, and closes all at the end."""

    def __init__(self, database: Database) -> None:
        self.url = database.engine.url.render_as_string(hide_password=False)
        self.all: list[Database] = []

    def __call__(self, *entries: str) -> Database:
        """The ledger as a process with these keys has it."""
        made = open_database(self.url, sealing=sealing_with(*entries))
        self.all.append(made)
        return made


@pytest.fixture
def opened(database: Database) -> Iterator[Opened]:
    """The ledger, `database`, is without a key."""
    opener = Opened(database)
    yield opener
    for each in opener.all:
        each.close()


def raw_texts(database: Database) -> list[tuple[str, str]]:
    """Table and text of every value that is to be sealed, as it stands in the database."""
    found = []
    with database.read() as connection:
        for table, columns in PLACES.items():
            for name in columns:
                values = connection.execute(select(cast(table.c[name], Text))).scalars()
                found += [(f"{table.name}.{name}", each) for each in values if each is not None]
    return found


def fill(ledger: Database, folder: Path) -> str:
    """Some of everything that is sealed, HUSH in each; the plan's id."""
    ended = [new_job(id=f"ended-{each}", args=(HUSH,)) for each in "ab"]
    submit(
        ledger, new_job(id="call", args=(HUSH, 1), kwargs={"é": [HUSH]}, canvas={"chain": [HUSH]}),
        *ended,
    )  # fmt: skip
    claim(ledger, "ended-a")
    buffer = LogBuffer()
    buffer.add({"at": 1.0, "level": "info", "logger": "x", "text": HUSH})
    plan = prepared(folder, tasks=[{"id": "a", "prompt": HUSH}])
    with ledger.begin() as connection:
        jobs.complete_job(connection, "ended-a", 1, {"said": HUSH, "number": 2**60, "one": 1.0})
        job_logs.write(connection, "ended-a", 1, buffer.take())
        result_cache.put(connection, "k", None, {"patch": HUSH}, 5, 3600.0, 10)
        chords.open_chord(
            connection, group_id="g", body_id="call", members=["m"], takes_results=True
        )
        chords.keep_result(connection, "g", "m", HUSH)
        votes = [
            consensus.Seat(
                id="v", number=1, agent="me", status=JobStatus.COMPLETED, waits=False,
                result={"summary": HUSH}, error=None, ended_at=1.0,
            )
        ]  # fmt: skip
        consensus.keep_run(
            connection, spec_id="p/a", stage="qa", ok=True, degraded=False,
            synthesis={"why": HUSH}, votes=votes,
        )  # fmt: skip
    return submit_plan(ledger, plan).plan_id


def look(ledger: Database, plan_id: str) -> dict[str, Any]:
    """All of that as a reader with the key finds it."""
    with ledger.read() as connection:
        (run,) = consensus.runs_of(connection, ["p/a"])
        (piece,) = job_logs.pieces_of(connection, "ended-a", 1, limit=5)
        (message,) = publications(connection, ["call"])
        found = {
            "call": jobs.find_job(connection, "call")["args"],
            "canvas": message.canvas, "shown": message.shown,
            "result": jobs.results_of(connection, ["ended-a"])["ended-a"].result,
            "log": piece["lines"][0]["text"], "synthesis": run["synthesis"],
            "vote": json.loads(run["outputs"][0]["content"]),
            "chord": chords.results(connection, chords.find_chord(connection, "g")),
            "prompt": plans.task_spec(connection, plan_id, "a")["task"]["prompt"],
            "plan": plans.find_plan(connection, plan_id)["spec"]["tasks"][0]["prompt"],
            "why": priorities_of(connection, plan_id)["a"], "effort": plan_board(
                connection, plan_id)[0].effort,
        }  # fmt: skip
    with ledger.begin() as connection:
        hit = result_cache.look(connection, "k", 3600.0)
    assert hit is not None
    return found | {"cached": hit.value}


def test_everything_is_sealed_and_read_as_ever(
    database: Database, opened: Opened, tmp_path: Path
) -> None:
    """Not a word of arguments, prompts, results, logs and votes stands in the database; whoever has
    the key reads all of it as if it were plain, numbers and all. What is looked for by statements
    stays in the open.
    """
    ledger = opened(OLD)
    plan_id = fill(ledger, tmp_path)
    texts = raw_texts(database)
    assert {name.partition(".")[0] for name, _ in texts} == {
        table.name for table in PLACES if table.name != "jobs_archive"
    }
    assert [name for name, each in texts if HUSH in each or not each.startswith("{")] == []
    found = look(ledger, plan_id)
    assert found["call"] == {"args": [HUSH, 1], "kwargs": {"é": [HUSH]}}
    assert (found["canvas"], found["chord"]) == ({"chain": [HUSH]}, [HUSH])
    assert found["result"] == {"said": HUSH, "number": 2**60, "one": 1.0}
    assert isinstance(found["result"]["one"], float)
    assert (found["log"], found["vote"], found["synthesis"]) == (
        HUSH, {"summary": HUSH}, {"why": HUSH})  # fmt: skip
    assert (found["prompt"], found["plan"], found["cached"]) == (HUSH, HUSH, {"patch": HUSH})
    assert found["why"]["priority"] == "normal"
    assert found["effort"] is not None
    taken = claim(ledger, "call")
    assert (taken.args, dict(taken.kwargs)) == ((HUSH, 1), {"é": [HUSH]})


def test_sealed_and_plain_stand_side_by_side(database: Database, opened: Opened) -> None:
    """What was written before is read as before; a value of a user's that looks sealed is his."""
    odd = {SEALED: "not ours"}
    submit(database, new_job(id="before", args=(odd, {SEALED: "v1.x"})))
    ledger = opened(OLD)
    submit(ledger, new_job(id="after", args=(odd,)))
    assert row(ledger, "before")["args"]["args"] == [odd, {SEALED: "v1.x"}]
    assert row(ledger, "after")["args"]["args"] == [odd]
    assert claim(ledger, "before").args == (odd, {SEALED: "v1.x"})
    with database.begin() as connection:
        connection.execute(
            update(job_table).where(job_table.c.id == "after").values(error='{"$sealed" broken')
        )
    assert row(ledger, "after")["error"] == '{"$sealed" broken'


def test_who_lacks_the_key_loses_no_job(database: Database, opened: Opened) -> None:
    """Its attempt goes back without counting a failure, the job says why and waits for a worker
    that can; listings go on. So it is with a value that somebody has tampered with.
    """
    ours, theirs = opened(NEW, OLD), opened(OLD)
    submit(ours, new_job(id="one", args=(HUSH,)))
    submit(ours, new_job(id="next", lane="poll", args=(HUSH,)))
    submit(ours, new_job(id="keyed", lane="keys", concurrency_key="k", args=(HUSH,)))
    for ledger in (database, theirs):
        with ledger.write_once() as connection:
            assert jobs.claim(connection, "one", worker="w", lease=30) is None
            assert jobs.claim_next_job(connection, "poll", worker="w", lease=30) is None
            assert jobs.claim_next_job(connection, "keys", worker="w", lease=30) is None
            for job_id in ("one", "next", "keyed"):
                found = jobs.find_job(connection, job_id)
                assert is_sealed(found["args"])
                assert (found["status"], found["retry_count"]) == ("pending", 0)
                assert found["error"].endswith("none of its VIBE_PAYLOAD_KEYS")
                assert found["backoff_until"] > found["status_updated_at"]
            connection.execute(update(job_table).values(backoff_until=None))
    taken = claim(ours, "one", worker="other")
    assert (taken.args, taken.attempt) == ((HUSH,), 3)
    with ours.write_once() as connection:
        assert jobs.claim_next_job(connection, "keys", worker="w", lease=30) is not None
    seal = sealing_with(NEW).seal('{"args": [], "kwargs": {}}')[SEALED]
    broken = {SEALED: seal[:-6] + "AAAAA="}
    with database.begin() as connection:
        connection.execute(update(job_table).where(job_table.c.id == "next").values(args=broken))
    assert row(ours, "next")["args"] == broken
    with ours.write_once() as connection:
        assert jobs.claim(connection, "next", worker="w", lease=30) is None


@pytest.mark.parametrize(("age", "wait"), [(0, 10.0), (2_000, 200.0), (86_400, 600.0)])
def test_what_nobody_can_open_is_offered_less_and_less_often(
    database: Database, opened: Opened, age: float, wait: float
) -> None:
    """A tenth of its age: its history must not grow for ever at one pace."""
    submit(opened(NEW), new_job(id="one", args=(HUSH,)))
    backdate(database, "one", ["created_at"], age)
    with database.write_once() as connection:
        assert jobs.claim(connection, "one", worker="w", lease=30) is None
    found = row(database, "one")
    assert found["backoff_until"] - found["status_updated_at"] == pytest.approx(wait, abs=2)


def test_a_process_without_the_key_is_refused(database: Database, opened: Opened) -> None:
    """The first that seals writes so into the ledger; from then on others do not start, in one line
    that names the key's fingerprint and not the key.
    """
    require_keys(database)
    require_keys(opened(OLD))
    with database.begin():  # who only starts need not wait for who writes
        require_keys(opened(NEW, OLD))
    require_keys(opened("none", OLD))
    name = sealing_with(OLD).keys.known.keys()
    for ledger, why in ((database, "is not set"), (opened(OTHER), "has other keys")):
        with pytest.raises(SettingsError, match=f"sealed with key {next(iter(name))}, .* {why}"):
            require_keys(ledger)
        with ledger.read() as connection:
            assert "sealed with" in str(problem(connection))
    with database.begin() as connection:
        connection.execute(text("DROP TABLE ledger_facts"))
    require_keys(database)  # an older schema has no such table


def test_keys_are_rotated_and_taken_away(
    database: Database, opened: Opened, tmp_path: Path
) -> None:
    """From plain to sealed, to another key and back; each value is as it was, the old key opens
    nothing any more, and the ledger says which one does. Twice changes nothing.
    """
    plan_id = fill(database, tmp_path)
    before = look(database, plan_id)
    plain = raw_texts(database)
    for entries in ((OLD,), (NEW, OLD), ("none", NEW)):
        keys = sealing_with(*entries)
        done = reseal(database, keys)
        first = keys.keys.first
        assert (done.written, done.left) == (len(plain), {})
        assert done.key == (None if first is None else first.name)
        assert look(opened(*entries), plan_id) == before
        assert reseal(database, keys).written == 0
        with database.read() as connection:
            facts = connection.execute(
                select(ledger_facts.c.value).where(ledger_facts.c.name == "sealed_with")
            ).scalars().all()  # fmt: skip
        assert facts == ([] if first is None else [first.name])
        hidden = [HUSH not in each for _, each in raw_texts(database)]
        assert all(hidden) if first is not None else not any(hidden[:3])
    assert [(name, json.loads(each)) for name, each in raw_texts(database)] == [
        (name, json.loads(each)) for name, each in plain
    ]


def test_what_no_key_opens_is_told_and_left(database: Database, opened: Opened) -> None:
    """The ledger goes on saying which key it needs; nothing is lost."""
    submit(opened(OTHER), new_job(id="lost", args=(HUSH,)), new_job(id="lost-2"))
    submit(opened(OLD), new_job(id="known", args=(HUSH,)))
    require_keys(opened(OLD))
    done = reseal(database, sealing_with(NEW, OLD))
    assert (done.written, done.left) == (1, {"jobs": 2})
    with database.read() as connection:
        assert problem(connection) is not None
    assert row(opened(OTHER), "lost")["args"]["args"] == [HUSH]
    assert row(opened(NEW), "known")["args"]["args"] == [HUSH]


def test_others_write_while_it_is_sealed_anew(database: Database, opened: Opened) -> None:
    """A value that changed since it was read is not overwritten; it has its turn in the next pass,
    and what was deleted stays deleted.
    """
    submit(database, *(new_job(id=f"busy-{each}", args=(each,)) for each in range(250)))
    turns = iter(range(100))

    def meanwhile() -> None:
        turn = next(turns)
        with database.begin() as connection:
            connection.execute(
                update(job_table).where(job_table.c.id == "busy-7")
                .values(args={"args": [f"turn {turn}"], "kwargs": {}})
            )  # fmt: skip
            if turn == 0:
                connection.execute(delete(job_table).where(job_table.c.id == "busy-200"))
                connection.execute(
                    insert(job_table).from_select(
                        ["id", *(each for each in job_table.c.keys() if each not in {"id", "seq"})],  # noqa: SIM118
                        select(text("'late'"), *(
                            each for each in job_table.c if each.name not in {"id", "seq"}
                        )).where(job_table.c.id == "busy-8"),
                    )
                )  # fmt: skip

    done = reseal(database, sealing_with(OLD), pause=meanwhile)
    ledger = opened(OLD)
    assert done.written >= 250
    assert row(ledger, "busy-7")["args"]["args"][0].startswith("turn ")
    assert row(ledger, "late")["args"]["args"] == [8]
    with ledger.read() as connection:
        assert connection.execute(select(text("count(*)")).select_from(job_table)).scalar() == 250


def test_archived_jobs_stay_sealed(database: Database, opened: Opened) -> None:
    """The whole row is sealed in the archive, and read from there with the key."""
    ledger = opened(OLD)
    submit(ledger, new_job(id="archived-1", args=(HUSH,)), new_job(id="a-newer-one"))
    claim(ledger, "archived-1")
    with ledger.begin() as connection:
        jobs.complete_job(connection, "archived-1", 1, HUSH)
    with ledger.begin() as connection:
        walk = job_archival.many_jobs(connection, 0)
        found = walk.look(connection, None, 10)
        assert walk.act(connection, found) == 1
    ((_, archived),) = (each for each in raw_texts(database) if each[0] == "jobs_archive.row")
    assert HUSH not in archived
    with ledger.read() as connection:
        whole = job_anywhere(connection, "archived-1")
    assert (whole["args"]["args"], whole["result"]) == ([HUSH], HUSH)


def test_news_of_sealed_reviews(opened: Opened, tmp_path: Path) -> None:
    """Who follows a plan is told as ever."""
    ledger = opened(OLD)
    with ledger.read() as connection:
        mark = newest(connection)
    plan_id = fill(ledger, tmp_path)
    with ledger.begin() as connection:
        review = new_job(
            id="rev", kind="review", plan_id=plan_id, task_id="a", kwargs={"agent": "critic"}
        )
        jobs.submit(connection, [review])
    with ledger.read() as connection:
        news, _ = plan_news(connection, plan_id, mark)
    assert {each.agent for each in news if each.kind == "review"} == {"critic"}
    assert job_of(ledger, "a", "dev")
