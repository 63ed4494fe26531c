"""`vibe db upgrade` and `downgrade`, as somebody types them while workers are online."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import click
import pytest
from click.testing import CliRunner, Result

from tests.archives import JOBS, ended, tidied
from tests.homes import forget, own_home
from vibe_tasks.cli.main import cli
from vibe_tasks.store import audit, version, workers
from vibe_tasks.store.version import SCHEMA_VERSION
from vibe_tasks.store.workers import Registered
from vibe_tasks.tasks import resources


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home with a ledger, on which a worker of this version is online."""
    with own_home(tmp_path, monkeypatch) as folder:
        monkeypatch.setenv("VIBE_LEASE_SECONDS", "3600")
        with resources.ledger().begin() as connection:
            registered = Registered(worker="w1@build", host=None, process="7")
            workers.register(connection, registered, ["code"], tier="any", capacity=1)
        yield folder


def vibe(*words: str) -> Result:
    """A command, as in a process of its own."""
    resources.database().close()
    forget()
    return CliRunner().invoke(cli, ["db", *words], prog_name="vibe")


def moved(result: Result) -> tuple[int, int]:
    """From which version to which."""
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    return told["before"], told["after"]


@pytest.mark.usefixtures("home")
def test_workers_that_could_not_go_on_are_asked_for() -> None:
    """Down is refused under this version's workers, and up again under those of another that the
    schema is not for; --force is for who knows better; exit code 2, and one line.
    """
    older = str(version.OLDEST_PROGRAM - 1)
    result = vibe("downgrade", "--to", older, "--yes")
    assert (result.exit_code, result.stdout) == (2, "")
    (line,) = result.stderr.splitlines()
    assert line == (
        f"vibe: online: w1@build (schema {SCHEMA_VERSION}); schema {older} is for programs of "
        f"schema {older}: stop them first, or give --force where they are gone"
    )
    forced = vibe("downgrade", "--to", older, "--yes", "--force", "--wait", "0", "--json")
    assert moved(forced) == (SCHEMA_VERSION, int(older))
    result = vibe("upgrade")  # the registry says nothing of it any more: one of that schema
    assert result.exit_code == 2, result.output
    assert f"online: w1@build (schema {older})" in result.stderr
    assert moved(vibe("upgrade", "--force", "--json")) == (int(older), SCHEMA_VERSION)
    assert vibe("upgrade").stdout == f"schema {SCHEMA_VERSION}, nothing to do\n"


@pytest.mark.usefixtures("home")
def test_what_a_downgrade_takes_away_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Archived jobs and the audit trail, where there are any, and how to keep them."""
    asked: list[str] = []
    terminal = SimpleNamespace(stdin=SimpleNamespace(isatty=lambda: True))
    monkeypatch.setattr("vibe_tasks.cli.database.sys", terminal)
    monkeypatch.setattr(click, "confirm", lambda text, **_: asked.append(text))
    plain = "This removes what newer versions have added. Go on?"
    assert vibe("downgrade", "--to", "5").exit_code == 1
    by = audit.By(actor="ann", source="cli", origin="desk")
    audit.note_apart(resources.database(), by, "lane.pause", "code")
    assert vibe("downgrade", "--to", "5").exit_code == 1
    ended(resources.ledger(), "old-1", "old-2", days=100)
    ended(resources.ledger(), "newest", days=0)
    tidied(resources.ledger(), JOBS)
    assert vibe("downgrade", "--to", "5").exit_code == 1
    added = "This removes what newer versions have added, and with it"
    kept = "(`vibe db export` keeps them). Go on?"
    assert asked == [
        plain, f"{added} the audit trail of 1 entry {kept}",
        f"{added} 2 archived jobs and the audit trail of 1 entry {kept}",
    ]  # fmt: skip


def test_a_ledger_of_the_next_version_is_told_from_our_own(home: Path) -> None:
    """`vibe db check` names the schema that is there."""
    own = f"schema {SCHEMA_VERSION}, as it should be\n"
    assert vibe("check").stdout == own
    following = SCHEMA_VERSION + 1
    resources.database().close()
    with sqlite3.connect(home / "ledger.db") as raw:
        raw.execute("ALTER TABLE jobs ADD COLUMN mood TEXT")
        raw.execute("UPDATE alembic_version SET version_num = ?", (f"{following:04d}",))
        fact = (version.oldest_program_fact(following), str(SCHEMA_VERSION))
        raw.execute("INSERT INTO ledger_facts VALUES (?, ?)", fact)
    raw.close()
    assert vibe("check").stdout == (
        f"schema {following}, with all that this program's schema {SCHEMA_VERSION} has\n"
    )
    assert json.loads(vibe("check", "--json").stdout) == {"version": following, "differences": []}
