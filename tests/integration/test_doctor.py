"""`vibe doctor`: each finding provoked, on a real ledger and a real broker.

`test_diagnosis` has the figures from which on something is wrong.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner

from tests.brokers import running_broker
from tests.homes import forget, own_home
from tests.ledgers import backdate, claim, middle, new_job, put_into, submit
from tests.plan_jobs import prepared
from tests.processes import until
from vibe_tasks import diagnosis
from vibe_tasks.cli.main import cli
from vibe_tasks.finding import Finding
from vibe_tasks.flow.submission import submit_plan
from vibe_tasks.jobs import LANES, JobStatus
from vibe_tasks.store import breakers, held, jobs, lanes, upkeep, vacuum, version, workers
from vibe_tasks.store.copying import change_log
from vibe_tasks.store.copying.facts import COPY_TO, keep
from vibe_tasks.store.engine import Database, open_database
from vibe_tasks.store.in_use import Patience
from vibe_tasks.store.version import SCHEMA_VERSION
from vibe_tasks.tasks import resources
from vibe_tasks.tasks.checkup import machine, servers
from vibe_tasks.tasks.processes import program_version

MINE = program_version() or "1.0"
GONE = "redis://127.0.0.1:1/0"
HOUR = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Here:
    """A deployment in which all is well.

    Attributes:
        ledger: Its ledger, in its home.
        client: Of its broker.
        folder: Where the home is.
        patch: What the test changes besides.
    """

    ledger: Database
    client: Any
    folder: Path
    patch: pytest.MonkeyPatch

    def sql(self, statement: str) -> None:
        """Change the ledger behind its back."""
        with self.ledger.begin() as connection:
            connection.exec_driver_sql(statement)

    def env(self, **values: str) -> None:
        """Other settings."""
        for name, value in values.items():
            self.patch.setenv(f"VIBE_{name.upper()}", value)
        forget()


@pytest.fixture(scope="module")
def broker() -> Iterator[tuple[str, Any]]:
    """For all tests of this module."""
    with running_broker() as found:
        yield found


@pytest.fixture
def here(
    broker: tuple[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Here]:
    """A worker for all lanes, a beat, and nothing to do."""
    url, client = broker
    options = {"maxmemory-policy": "noeviction", "maxmemory": "0", "save": "3600 1"}
    for name, value in options.items():
        client.config_set(name, value)
    with own_home(tmp_path, monkeypatch):
        monkeypatch.setenv("VIBE_BROKER_URL", url)
        monkeypatch.setenv("VIBE_LEASE_SECONDS", "60")  # a busy machine loses none of that
        ledger = resources.ledger()
        make_well(ledger)
        yield Here(ledger=ledger, client=client, folder=tmp_path, patch=monkeypatch)
        ledger.close()


def register(ledger: Database, name: str, *lanes_of: str, **values: Any) -> None:
    """A worker."""
    known = workers.Registered(worker=name, host="h", process=name)
    with ledger.begin() as connection:
        workers.register(connection, known, lanes_of, tier="standard", capacity=4, **values)


def make_well(ledger: Database) -> None:
    """Somebody is at work there."""
    register(ledger, "w@h", *LANES, version=MINE)
    with ledger.begin() as connection:
        moment = upkeep.moment(connection) + HOUR
        upkeep.keep_look(connection, upkeep.DISPATCH, at=moment, patient_until=moment)


def examined() -> tuple[int, list[dict[str, Any]]]:
    """The exit code, and the findings that have a mend."""
    result = CliRunner().invoke(cli, ["doctor", "--json"], prog_name="vibe")
    assert result.exit_code in {0, 1}, result.output
    return result.exit_code, [each for each in json.loads(result.stdout) if each["mend"]]


def test_of_a_sound_deployment_it_finds_nothing(here: Here) -> None:
    """Every line is fine, and the exit code says so."""
    submit(here.ledger, new_job(), published=True)
    here.env(imports="json,tests.ledgers")
    assert examined() == (0, [])
    shown = CliRunner().invoke(cli, ["doctor"], prog_name="vibe").stdout
    assert "ok   imports     json, tests.ledgers\n" in shown
    assert "ok   clock       as that of the broker\n" in shown


def full_disk(here: Here) -> None:
    """It has room for little more."""
    found = SimpleNamespace(free=200 * diagnosis.MEBIBYTE, total=10**12)
    here.patch.setattr(machine.shutil, "disk_usage", lambda _folder: found)


def network_home(here: Here) -> None:
    """The ledger is in a folder of its own, which another machine has."""
    there = here.folder / "there"
    there.mkdir()
    mounts = here.folder / "mounts"
    mounts.write_text(f"/dev/sda1 / ext4 rw 0 0\nserver:/x {there} nfs4 rw 0 0\n")
    here.patch.setattr(machine, "MOUNTS", mounts)
    here.env(database_url=f"sqlite:///{there}/ledger.db")
    make_well(resources.ledger())


def no_git(here: Here) -> None:
    """Nothing is on the PATH."""
    here.patch.setenv("PATH", str(here.folder))


def out_of_memory(here: Here) -> None:
    """The broker may have no more than it has."""
    here.client.config_set("maxmemory", here.client.info("memory")["used_memory"] + 1)


def late_clock(here: Here) -> None:
    """This machine's clock is ten seconds ahead of the broker's."""
    clock = resources.wall_clock
    here.patch.setattr(resources, "wall_clock", lambda: clock() + 10)


def schema(number: int, *, oldest: int | None = None) -> Callable[[Here], None]:
    """The ledger has this version; programs from `oldest` on may work on it."""

    def change(here: Here) -> None:
        here.sql(f"UPDATE alembic_version SET version_num = '{number:04d}'")  # noqa: S608
        if oldest is not None:
            here.sql(f"INSERT INTO ledger_facts VALUES ('oldest_program.{number:04d}', '{oldest}')")  # noqa: S608
        forget()

    return change


def lost_key(here: Here) -> None:
    """The ledger is sealed with a key that this process does not have."""
    here.sql("INSERT INTO ledger_facts VALUES ('sealed_with', '0a1b2c3d')")
    forget()


def long_log(here: Here) -> None:
    """SQLite's log was never emptied; what it does not know is zeros."""
    os.truncate(here.folder / "home" / "ledger.db-wal", diagnosis.WAL_BYTES)


def free_pages(here: Here) -> None:
    """The file is mostly free, as far as such a small one can be."""
    here.patch.setattr(vacuum, "BLOATED_BYTES", 1)
    here.sql("CREATE TABLE filling AS SELECT zeroblob(4000000) AS bytes")
    here.sql("DROP TABLE filling")


def old_history(here: Here) -> None:
    """Nobody has archived it for a month."""
    put_into(here.ledger, JobStatus.COMPLETED)
    here.sql("UPDATE job_history SET timestamp = timestamp - 40 * 86400.0")


def left_copy(here: Here) -> None:
    """A copy was begun, and nobody carries over what changes."""
    here.patch.setattr(diagnosis, "COPY_CHANGES", 2)
    change_log.begin(here.ledger, Patience())
    with here.ledger.begin() as connection:
        keep(connection, COPY_TO, "postgresql://db/vibe")
    submit(here.ledger, new_job(id="x"), new_job(id="y"))


def unsent(here: Here) -> None:
    """A job that nobody has sent for a minute."""
    submit(here.ledger, new_job(id="x"))
    backdate(here.ledger, "x", ["status_updated_at"], 60)


def backlog(here: Here) -> None:
    """More unsent jobs than a dispatcher lets come together."""
    here.patch.setattr(diagnosis, "UNSENT", 1)
    submit(here.ledger, new_job(id="x"), new_job(id="y"))
    for name in "xy":
        backdate(here.ledger, name, ["status_updated_at"], -HOUR)


def other_worker(**values: str) -> Callable[[Here], None]:
    """A second worker, whose row has these values."""

    def change(here: Here) -> None:
        register(here.ledger, "v@h", "code", version=MINE)
        given = ", ".join(f"{name} = {value}" for name, value in values.items())
        if given:
            here.sql(f"UPDATE worker_health SET {given} WHERE worker_id = 'v@h'")  # noqa: S608

    return change


def lacking(here: Here) -> None:
    """A job that requires what no worker has."""
    submit(here.ledger, new_job(id="x", required=("gpu",)))
    with here.ledger.begin() as connection:
        held.hold_for_worker(connection, ["x"])


def paused(here: Here) -> None:
    """A job of a lane that somebody paused an hour ago and forgot."""
    submit(here.ledger, new_job(id="x"))
    with here.ledger.begin() as connection:
        lanes.pause(connection, "code")
        assert jobs.claim(connection, "x", worker="w@h", lease=9) is None
    backdate(here.ledger, "x", ["held_at"], 3600)


def dying(here: Here) -> None:
    """More dead letters within a day than bad luck makes."""
    submit(here.ledger, *(new_job(id=f"d{number}", max_retries=1) for number in range(11)))
    for number in range(11):
        claim(here.ledger, f"d{number}")
        with here.ledger.begin() as connection:
            jobs.fail_job(connection, f"d{number}", 1, "boom", uniform=middle)


def tripped(here: Here) -> None:
    """What an agent needs is away."""
    with here.ledger.begin() as connection:
        breakers.trip(connection, "agent:claude", 60.0, "usage limit reached")


def half_open(here: Here) -> None:
    """A few calls may try again."""
    tripped(here)
    here.sql("UPDATE breakers SET open_until = open_until - 120")


def agentless(here: Here) -> None:
    """A running plan whose agent is not on this machine."""
    agents = {"sh": {"type": "command", "argv": ["no-such-agent"]}}
    submit_plan(here.ledger, prepared(here.folder, agents=agents))
    here.sql("DELETE FROM jobs")


def env(**values: str) -> Callable[[Here], None]:
    """These settings."""
    return lambda here: here.env(**values)


def sql(statement: str) -> Callable[[Here], None]:
    """The ledger after this statement."""
    return lambda here: here.sql(statement)


WRONG = [
    (env(lease_seconds="0"), "settings", "VIBE_LEASE_SECONDS"),
    (env(imports="json,no_such_module"), "imports", "no_such_module"),
    (env(agent="sh -c 'true"), "agents", "No closing quotation"),
    (env(web_url="http://127.0.0.1:1"), "events", "no web server at http://127.0.0.1:1"),
    (env(broker_url=GONE), "broker", "does not answer"),
    (env(home="/proc/nowhere"), "home", "/proc"),
    (no_git, "git", "git"),
    (full_disk, "disk", "200 MiB free"),
    (lambda here: here.client.config_set("maxmemory-policy", "allkeys-lru"), "broker", "drops"),
    (out_of_memory, "broker memory", "MiB of the"),
    (late_clock, "clock", "that of the broker is"),
    (schema(SCHEMA_VERSION - 1), "ledger", "run `vibe db upgrade`"),
    (schema(SCHEMA_VERSION + 1), "ledger", "upgrade vibe_tasks"),
    (lost_key, "keys", "VIBE_PAYLOAD_KEYS is not set"),
    (network_home, "ledger", "on a network file system (nfs4)"),
    (other_worker(last_seen="last_seen + 3600"), "clock", "the last heartbeat of v@h"),
    (sql("DELETE FROM worker_health WHERE lane = 'qa'"), "workers", "lane qa: nobody"),
    (
        lambda here: submit(here.ledger, new_job(lane="art"), published=True),
        "lanes",
        "lane art: 1 job due",
    ),
    (unsent, "dispatcher", "a job is due and unsent since"),
    (sql("UPDATE upkeep SET looked_at = looked_at - 7200"), "beat", "was last done"),
]

WARNINGS = [
    (env(lease_seconds="2", broker_url=""), "lease", "shorter than three heartbeats"),
    (env(lease_seconds="120"), "lease", "that a worker has to stop"),
    (env(agent="no-such-agent --fast"), "agents", "VIBE_AGENT: no program 'no-such-agent'"),
    (lambda here: here.client.config_set("save", ""), "broker", "keeps nothing over a restart"),
    (schema(SCHEMA_VERSION + 1, oldest=SCHEMA_VERSION), "ledger", "newer than this program's"),
    (long_log, "ledger log", "the write-ahead log has 256 MiB"),
    (free_pages, "bloat", "MB free beside"),
    (old_history, "archive", "40 days back and is kept for 7"),
    (left_copy, "copy", "changes wait for a copy to postgresql://db/vibe"),
    (other_worker(last_seen="last_seen - 3600"), "silent", "not heard of for a lease: v@h"),
    (other_worker(last_seen="last_seen - 46"), "silent", "heartbeats come late for a lease of 60"),
    (other_worker(version="'0.0.1'"), "versions", "0.0.1: v@h"),
    (sql("DELETE FROM upkeep"), "beat", "nothing that it sends was ever done"),
    (backlog, "dispatcher", "2 due jobs are unsent"),
    (lacking, "labels", "1 job waiting: no worker of lane code has gpu"),
    (paused, "held", "waiting for the lane to be resumed, for 1:00 h"),
    (dying, "dead letters", "11 within a day, 11 in all"),
    (tripped, "breaker", "agent:claude is open: usage limit reached"),
    (half_open, "breaker", "agent:claude is half open"),
    (agentless, "agents", "no program 'no-such-agent'"),
]


@pytest.mark.parametrize(("provoke", "check", "text"), WRONG)
def test_what_is_wrong_is_found(
    here: Here, provoke: Callable[[Here], object], check: str, text: str
) -> None:
    """By its own check and no other, with a mend; the exit code is 1."""
    provoke(here)
    code, found = examined()
    bad = [each for each in found if not each["ok"]]
    assert (code, {each["check"] for each in bad}) == (1, {check}), found
    assert any(text in each["text"] for each in bad), bad


@pytest.mark.parametrize(("provoke", "check", "text"), WARNINGS)
def test_what_somebody_should_look_at_is_found(
    here: Here, provoke: Callable[[Here], object], check: str, text: str
) -> None:
    """By its own check and no other, with a mend; as work goes on the exit code is 0."""
    provoke(here)
    code, found = examined()
    assert (code, {each["check"] for each in found}) == (0, {check}), found
    assert text in found[0]["text"]


@pytest.mark.postgres
def test_a_server_that_is_short_of_connections_or_waits_for_locks(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who holds the lock is named; when nobody does any more, nothing is said."""
    ledger = open_database(postgres_url)
    version.create(ledger)
    monkeypatch.setattr(diagnosis, "LOCK_SECONDS", 0.0)

    def found() -> dict[str, Finding]:
        return {each.check: each for each in servers.ledger(ledger) if each.mend}

    assert found() == {}
    plain = postgres_url.replace("postgresql+psycopg:", "postgresql:")
    with closing(psycopg.connect(plain, application_name="holder")) as holder:
        holder.execute("LOCK TABLE lanes")

        def wait() -> None:
            with suppress(psycopg.Error), closing(psycopg.connect(plain)) as waiter:
                waiter.execute("LOCK TABLE lanes")

        thread = threading.Thread(target=wait)
        thread.start()
        until(lambda: "locks" in found())
        locks = found()["locks"]
        holder.rollback()
        thread.join(60)
    assert not locks.ok
    assert "1 session of the ledger's server waiting for locks" in locks.text
    assert "holder idle in transaction" in locks.text
    monkeypatch.setattr(diagnosis, "CONNECTIONS_SHARE", 0.0)
    assert "are in use" in found()["connections"].text
    assert set(servers.clocks(ledger, None)) == {"the ledger's server"}
    ledger.close()
