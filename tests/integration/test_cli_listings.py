"""Commands that look into the ledger and change it, on a real one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tests.homes import own_home
from tests.ledgers import claim, middle, new_job, row, submit
from vibe_tasks.cli.main import cli
from vibe_tasks.store import jobs
from vibe_tasks.store.engine import Database
from vibe_tasks.tasks import resources

LONG = "0d782c4c-14a4-49ac-ae5c-433397eb1a72"
SIMILAR = "0d782c4c-ffff-49ac-ae5c-433397eb1a72"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home of its own for this process, which otherwise reads its settings once."""
    with own_home(tmp_path, monkeypatch):
        yield tmp_path / "home"


@pytest.fixture
def ledger(home: Path) -> Database:
    """The home's ledger."""
    assert not home.exists()
    return resources.ledger()


def vibe(*arguments: str) -> Result:
    """Run the command in this process."""
    return CliRunner().invoke(cli, list(arguments), prog_name="vibe")


def told(*arguments: str) -> Any:
    """What the command prints with `--json`, which is nothing but JSON."""
    result = vibe(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def refused(*arguments: str) -> str:
    """The one line with which the command is refused."""
    result = vibe(*arguments)
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert result.stderr.startswith("vibe: ")
    assert len(result.stderr.splitlines()) == 1
    return result.stderr


def kill(database: Database, job_id: str) -> None:
    """Let this job fail for the last time."""
    taken = claim(database, job_id)
    with database.begin() as connection:
        jobs.fail_job(
            connection, job_id, taken.attempt, "Broken: glass", uniform=middle, permanent=True
        )


def test_jobs_are_listed_newest_first_and_chosen(ledger: Database) -> None:
    """By lane, by status, a page at a time."""
    submit(ledger, new_job(id="a"), new_job(id="b", lane="qa"), new_job(id="c"))
    claim(ledger, "a")
    assert [each["id"] for each in told("jobs", "list")] == ["c", "b", "a"]
    assert [each["id"] for each in told("jobs", "list", "--lane", "qa")] == ["b"]
    assert [each["id"] for each in told("jobs", "list", "--status", "processing")] == ["a"]
    page = told("jobs", "list", "--limit", "2")
    rest = told("jobs", "list", "--before", str(page[-1]["seq"]))
    assert [each["id"] for each in rest] == ["a"]
    assert "test.add" in vibe("jobs", "list").stdout


@pytest.mark.usefixtures("ledger")
def test_empty_listings_say_so() -> None:
    """An empty list for programs, a word for people."""
    for words in (("jobs", "list"), ("dlq", "list"), ("plans", "list"), ("workers", "list")):
        assert told(*words) == []
        assert vibe(*words).stdout.startswith("no ")
    assert told("status")["lanes"] == {}


def test_a_job_is_shown_with_its_history(ledger: Database) -> None:
    """Each transition, and the error of each attempt."""
    submit(ledger, new_job(id="a", args=(1, "two")))
    kill(ledger, "a")
    shown = told("jobs", "show", "a")
    assert [each["status"] for each in shown["history"]] == ["pending", "processing", "failed"]
    assert shown["history"][-1]["details"] == "Broken: glass"
    assert "Broken: glass" in vibe("jobs", "show", "a").stdout


def test_the_beginning_of_an_id_is_enough(ledger: Database) -> None:
    """As listings print it; where it is not unique nothing is guessed."""
    submit(ledger, new_job(id=LONG))
    assert LONG[:8] in vibe("jobs", "list").stdout
    assert told("jobs", "show", LONG[:8])["id"] == LONG
    submit(ledger, new_job(id=SIMILAR), new_job(id=LONG[:10]))
    assert "more than one" in refused("jobs", "show", LONG[:8])
    assert told("jobs", "show", LONG[:10])["id"] == LONG[:10]
    assert "no job 0e" in refused("jobs", "show", "0e")


def test_a_job_is_cancelled_and_retried(ledger: Database) -> None:
    """A second cancel is refused; a retry gives the attempts back."""
    submit(ledger, new_job(id="a"))
    assert told("jobs", "cancel", "a", "--reason", "no need") == {"cancelled": ["a"]}
    assert (row(ledger, "a")["status"], row(ledger, "a")["error"]) == ("cancelled", "no need")
    assert "is cancelled" in refused("jobs", "cancel", "a")
    assert told("jobs", "retry", "a") == {"retried": ["a"]}
    assert (row(ledger, "a")["status"], row(ledger, "a")["published_at"]) == ("pending", None)
    assert "is pending" in refused("jobs", "retry", "a")


def test_dead_letters_are_retried_and_discarded(ledger: Database) -> None:
    """One by one or all; what is off the list is refused."""
    submit(ledger, *(new_job(id=name) for name in "abc"))
    for name in "abc":
        kill(ledger, name)
    listed = told("dlq", "list")
    assert [(each["id"], each["error"]) for each in listed] == [
        (name, "Broken: glass") for name in "cba"
    ]
    assert told("dlq", "retry", "a") == {"retried": ["a"]}
    assert told("dlq", "discard", "--all") == {"discarded": ["c", "b"]}
    assert told("dlq", "list") == []
    assert "no dead letter" in refused("dlq", "retry", "b")
    assert "no dead letter" in refused("dlq", "discard", "a")
    assert row(ledger, "a")["status"] == "pending"


def test_one_wrong_id_among_several_and_nothing_is_done(ledger: Database) -> None:
    """Unknown, or of a job that is not as it must be; each job counts once."""
    submit(ledger, *(new_job(id=name) for name in "abc"))
    kill(ledger, "a")
    kill(ledger, "b")
    for words in (("jobs", "retry"), ("jobs", "cancel"), ("dlq", "retry"), ("dlq", "discard")):
        assert "no job zz" in refused(*words, "a", "zz")
    for words in (("jobs", "retry"), ("dlq", "retry"), ("dlq", "discard")):
        assert "job c is pending" in refused(*words, "a", "c", "b", "--json")
    assert [row(ledger, name)["status"] for name in "abc"] == ["failed", "failed", "pending"]
    assert vibe("dlq", "retry", "a", "b", "a").stdout == "retried a\nretried b\n"
    assert told("jobs", "cancel", "c", "a") == {"cancelled": ["c", "a"]}
    assert "cannot become cancelled" in refused("jobs", "cancel", "b", "a")
    assert row(ledger, "b")["status"] == "pending"


def test_dead_letters_are_not_retried_by_accident(ledger: Database) -> None:
    """Neither no id nor ids and `--all` together do anything."""
    submit(ledger, new_job(id="a"))
    kill(ledger, "a")
    for words in ((), ("a", "--all")):
        assert vibe("dlq", "retry", *words).exit_code == 2
    assert row(ledger, "a")["status"] == "failed"


def test_status_counts(ledger: Database) -> None:
    """Every status of every lane with jobs, the age of the oldest, and the dead letters."""
    submit(ledger, *(new_job(id=name) for name in "abc"))
    kill(ledger, "a")
    found = told("status")
    assert found["lanes"]["code"]["pending"] == 2
    assert found["lanes"]["code"]["oldest_pending_seconds"] >= 0
    assert (found["by_status"]["failed"], found["dead_letters"]) == (1, 1)
    assert "dead letters: 1" in vibe("status").stdout


@pytest.mark.usefixtures("ledger")
def test_what_is_not_there_is_refused() -> None:
    """One line, exit code 2."""
    assert "no plan x" in refused("plans", "show", "x")
    assert "no plan x" in refused("plans", "cancel", "x")
    assert "no plan x" in refused("plans", "approve", "x")
    assert "no plan x" in refused("jobs", "list", "--plan", "x")


@pytest.mark.usefixtures("home")
def test_the_schema_goes_up_and_down() -> None:
    """With figures of what was done, and a question before everything is removed."""
    assert told("db", "upgrade")["before"] == 0
    assert told("db", "upgrade")["before"] > 0
    assert told("db", "check")["differences"] == []
    assert CliRunner().invoke(cli, ["db", "downgrade", "--to", "0"], input="n\n").exit_code != 0
    assert told("db", "check")["differences"] == []
    assert told("db", "downgrade", "--to", "0", "--yes")["after"] == 0
    assert "vibe db upgrade" in refused("db", "check")


def test_history_is_archived(ledger: Database) -> None:
    """Rows move, none is lost."""
    submit(ledger, new_job(id="a"))
    kill(ledger, "a")
    for days, moved in ((1, 0), (0, 3)):
        done = told("db", "archive", "--days", str(days))
        figures = {name: done[name] for name in ("moved", "history", "archive")}
        assert figures == {"moved": moved, "history": 3 - moved, "archive": moved}
    assert len(told("jobs", "show", "a")["history"]) == 3


@pytest.mark.usefixtures("home")
def test_settings_are_shown_with_their_source(monkeypatch: pytest.MonkeyPatch) -> None:
    """Variable, file or default; a password is never shown."""
    Path("vibe.toml").write_text("lease_seconds = 60\n")
    monkeypatch.setenv("VIBE_BROKER_URL", "redis://me:hunter2@broker:6379/0")
    found = {each["name"]: each for each in told("config")["settings"]}
    assert found["lease_seconds"] == {"name": "lease_seconds", "value": 60.0, "source": "vibe.toml"}
    assert found["broker_url"]["source"] == "VIBE_BROKER_URL"
    assert found["max_retries"]["source"] == "default"
    assert "hunter2" not in vibe("config").stdout + vibe("config", "--json").stdout


@pytest.mark.usefixtures("home")
def test_the_doctor_finds_nothing_wrong_with_a_new_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stack that does not run is no fault, nor is a machine without sandboxes; that is told."""
    monkeypatch.setattr("vibe_tasks.tasks.checkup.machine.unavailable", lambda: "bwrap is missing")
    result = vibe("doctor")
    assert result.exit_code == 0, result.output
    assert "BAD" not in result.stdout
    (line,) = (each for each in result.stdout.splitlines() if " sandbox " in each)
    assert "none: bwrap is missing" in line
    assert line.startswith("- ")


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize(
    ("name", "value", "check"),
    [
        ("VIBE_LEASE_SECONDS", "0", "settings"),
        ("VIBE_HOME", "/proc/nowhere", "home"),
        ("VIBE_BROKER_URL", "redis://127.0.0.1:1/0", "broker"),
        ("VIBE_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none", "ledger"),
    ],
)
def test_the_doctor_names_what_is_wrong_and_the_mend(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, check: str
) -> None:
    """Exit code 1, and a mend for each finding."""
    monkeypatch.setenv(name, value)
    result = vibe("doctor", "--json")
    assert result.exit_code == 1
    bad = [each for each in json.loads(result.stdout) if not each["ok"]]
    assert [each["check"] for each in bad] == [check]
    assert all(each["mend"] for each in bad)
