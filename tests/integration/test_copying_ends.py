"""How a move ends when the other side falls silent, and what the command says of it all."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import event
from sqlalchemy.exc import OperationalError

from tests.copies import copied, run
from tests.homes import own_home
from tests.ledgers import new_job, submit
from tests.migration.test_upgrade import with_another
from vibe_tasks.cli.main import cli
from vibe_tasks.errors import InputError, MovedError, UnavailableError
from vibe_tasks.store import audit, version
from vibe_tasks.store.copying import fence, switch
from vibe_tasks.store.copying.copier import Copier
from vibe_tasks.store.copying.target import Target
from vibe_tasks.store.engine import Database, open_database
from vibe_tasks.store.in_use import Patience
from vibe_tasks.store.upgrade import downgrade, upgrade

PATIENCE = Patience(rest=0.01)
AWAY = OperationalError("COMMIT", None, OSError("the line is dead"))


class Unheard(Target):
    """A copy whose answer to its release is lost."""

    done, silent = True, False

    def release(self) -> None:
        """Do it, or do not; nobody hears which."""
        if self.done:
            super().release()
        self.releasing = True
        if self.silent:
            event.listen(self.database.engine, "before_cursor_execute", _away)
        raise AWAY


def _away(*_: Any) -> None:
    raise AWAY


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Database, Database]]:
    """A ledger with a job, and an empty database."""
    source, copy = (open_database(f"sqlite:///{tmp_path / name}") for name in ("a.db", "b.db"))
    version.create(source)
    submit(source, new_job())
    yield source, copy
    source.close()
    copy.close()


def unheard(source: Database, copy: Database) -> tuple[Copier, Unheard]:
    """A copy that is ready to be switched to."""
    copier = copied(source, copy)
    copier.target = target = Unheard(copy, holder=copier.name)
    return copier, target


def test_a_release_whose_answer_is_lost_counts_if_it_was_done(
    pair: tuple[Database, Database],
) -> None:
    """There is always exactly one ledger to work on."""
    source, copy = pair
    copier, target = unheard(source, copy)
    target.done = False
    with pytest.raises(OperationalError):
        switch.switch(copier)
    version.require_current(source)
    submit(source, new_job())
    with pytest.raises(MovedError):
        version.require_current(copy)

    copier, _ = unheard(source, copy)
    assert switch.switch(copier).count == 0
    version.require_current(copy)
    with pytest.raises(MovedError):
        version.require_current(source)


def test_a_ledger_stays_closed_while_nobody_knows(pair: tuple[Database, Database]) -> None:
    """The copy may have been released, and does not answer: neither side goes on by itself. Only
    who says that the copy is gone for good opens the ledger again.
    """
    source, copy = pair
    copier, target = unheard(source, copy)
    target.done, target.silent = False, True
    with pytest.raises(UnavailableError, match="may have been released"):
        switch.switch(copier)
    assert switch.closed_for(source)
    with pytest.raises(UnavailableError, match="was it released"):
        switch.undo(source, copy, PATIENCE)
    assert switch.undo(source, copy, PATIENCE, force=True)
    version.require_current(source)


def test_an_interrupted_switch_opens_the_ledger_again(pair: tuple[Database, Database]) -> None:
    """Ctrl-C before the release: work goes on in the old ledger."""
    source, copy = pair
    copier = copied(source, copy)
    heard: list[str] = []

    def interrupt(line: str) -> None:
        heard.append(line)
        if line == "comparing":
            raise KeyboardInterrupt

    copier.tell = interrupt
    with pytest.raises(KeyboardInterrupt):
        switch.switch(copier)
    assert heard[-1] == "opening the ledger again"
    submit(source, new_job())
    version.require_current(source)


def test_a_table_in_use_is_waited_for(pair: tuple[Database, Database]) -> None:
    """The fence waits for who writes just now, says so, and gives up in the end."""
    source, _ = pair
    said: list[str] = []
    short = Patience(rest=0.01, tries=2, sleep=lambda _seconds: None, tell=said.append)
    other = open_database(source.url)
    other.engine.dispose()
    with other.begin(), source.read() as connection:
        connection.exec_driver_sql("PRAGMA busy_timeout = 1")
        with pytest.raises(UnavailableError, match="another program writes to the file"):
            fence.put_up(source, "sqlite:///elsewhere", short, by="me")
    assert len(said) == 1
    assert switch.closed_for(source) is None
    other.close()


def vibe(*arguments: str) -> Result:
    """Run the command in this process."""
    return CliRunner().invoke(cli, ["db", "copy", *arguments], prog_name="vibe")


def test_the_command_copies_compares_switches_and_takes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pair: tuple[Database, Database]
) -> None:
    """Its lines and its JSON say what was done; exit code 1 where a row differs, 2 with one line
    where nothing can be done.
    """
    source, copy = (each.url for each in pair)
    with own_home(tmp_path, monkeypatch):
        foreign = f"sqlite:///{tmp_path / 'foreign.db'}"
        with closing(sqlite3.connect(tmp_path / "foreign.db")) as raw:
            raw.execute("CREATE TABLE mine (x)")
        assert "no copy of this ledger" in vibe(source, copy, "--undo").stdout
        done = vibe(source, copy)
        assert done.exit_code == 0, done.output
        assert "0 mismatches" in done.stdout
        assert "--switch moves, --undo ends it" in done.stdout
        run(pair[1], "UPDATE jobs SET priority = 4")
        bad = vibe(source, copy, "--compare-only", "--json")
        assert bad.exit_code == 1
        found = json.loads(bad.stdout)
        (row,) = found["mismatches"]
        assert (row["table"], row["key"], row["columns"]) == ("jobs", [1], ["priority"])
        refused = vibe(source, copy, "--switch")
        assert refused.exit_code == 1
        assert "jobs 1: priority" in refused.stdout
        run(pair[1], "UPDATE jobs SET priority = (SELECT 3)")

        target = pair[1].engine.url
        fence.put_up(pair[0], str(target), PATIENCE, by="a process that died")
        stopped = vibe(source, copy)
        assert (stopped.exit_code, stopped.stdout) == (2, "")
        assert "--switch goes on with it, --undo takes it back" in stopped.stderr
        undone = vibe(source, copy, "--undo", "--json")
        assert json.loads(undone.stdout) == {"undone": True}

        new = f"sqlite:///{tmp_path / 'c.db'}"
        moved = json.loads(vibe(source, new, "--switch", "--json").stdout)
        assert (moved["switched"], moved["mismatch_count"]) == (True, 0)
        assert vibe(new, f"sqlite:///{tmp_path / 'b.db'}", "--switch").exit_code == 2  # not empty
        there = open_database(new)
        for side in (pair[0], there):  # the second time was refused: it is not among them
            with side.read() as connection:
                actions = [each["action"] for each in audit.entries(connection)]
            assert actions == ["db.switch", "db.copy.undo", "db.switch", "db.copy"]
        there.close()
        again = vibe(source, new, "--switch")
        assert (again.exit_code, "already" in again.stdout) == (0, True)
        nowhere = f"sqlite:///{tmp_path / 'nowhere.db'}"
        for arguments, said in (
            ((source, new, "--force"), "--force goes with --undo"),
            ((nowhere, new), f"FROM: there is no file {tmp_path / 'nowhere.db'}"),
            ((new, nowhere, "--compare-only"), "TO: there is no file"),
            ((foreign, new), "foreign.db is no ledger of vibe_tasks"),
            (("mysql://me:secret@h/x", new), "mysql://me:***@h/x: use sqlite:///PATH"),
            ((source, new, "--undo", "--switch"), "exclude each other"),
            ((source, f"sqlite:///{tmp_path / 'd.db'}"), "this ledger has moved to"),
            ((new, "-"), "folder does not exist"),
        ):
            refused = vibe(*arguments)
            assert refused.exit_code == 2, refused.output
            assert said in refused.stderr
            assert refused.stderr.count("\n") == 1
        assert "is no ledger" in vibe(foreign, new, "--undo").stderr
        assert not (tmp_path / "nowhere.db").exists()


def test_a_copy_that_is_gone_is_no_copy_that_was_not_released(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pair: tuple[Database, Database]
) -> None:
    """A file that is not there is like a server that does not answer, and is not made anew."""
    source, copy = pair
    copied(source, copy)
    copy.close()
    file = tmp_path / "b.db"
    file.unlink()
    with own_home(tmp_path, monkeypatch):
        wrong = vibe(source.url, f"sqlite:///{tmp_path / 'typo.db'}", "--undo", "--force")
        assert (wrong.exit_code, "is being copied to sqlite:///" in wrong.stderr) == (2, True)
        refused = vibe(source.url, copy.url, "--undo")
        assert (refused.exit_code, "does not answer" in refused.stderr) == (2, True)
        assert "the ledger as before" in vibe(source.url, copy.url, "--undo", "--force").stdout
    assert not file.exists()
    submit(source, new_job())


def test_a_copy_that_was_emptied_was_not_released(
    tmp_path: Path, pair: tuple[Database, Database]
) -> None:
    """It answers, and says that nobody works there."""
    source, copy = pair
    copied(source, copy)
    copy.close()
    (tmp_path / "b.db").unlink()
    (tmp_path / "b.db").touch()
    assert switch.undo(source, copy, PATIENCE)
    submit(source, new_job())


def test_a_ledger_that_is_being_copied_keeps_its_schema(
    tmp_path: Path, pair: tuple[Database, Database]
) -> None:
    """Its triggers know the tables as they are, and the other side would be of another version."""
    source, copy = pair
    versions = with_another(tmp_path / "versions")
    copied(source, copy)
    says = "`vibe db copy --undo FROM TO` ends the copy"
    with pytest.raises(InputError, match=says):
        upgrade(source, to=version.SCHEMA_VERSION + 1, versions=versions)
    with pytest.raises(InputError, match=says):
        downgrade(source, to=version.SCHEMA_VERSION - 1)
    with pytest.raises(InputError, match="a copy of a ledger that is not finished"):
        downgrade(copy, to=0)
    assert upgrade(source).after == version.SCHEMA_VERSION  # it has that already
    assert switch.undo(source, copy, PATIENCE)
    assert (
        upgrade(source, to=version.SCHEMA_VERSION + 1, versions=versions).before
        == version.SCHEMA_VERSION
    )
