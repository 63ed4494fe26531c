"""A version of the program that is yet to come: a copy of this one, changed."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from shutil import copytree, ignore_patterns

from vibe_tasks.store.version import SCHEMA_VERSION

ROOT = Path(__file__).parents[1]
STOPS = "NEXT_VERSION_STOPS"
"""Variable with the name of a file: the migration writes it when it is half done, and waits."""

MIGRATION = """
import os
import signal
from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision, down_revision, branch_labels, depends_on = "{version:04d}", "{before:04d}", None, None
oldest_program = {oldest}


def upgrade():
    op.add_column("jobs", sa.Column("{column}", sa.Text(), nullable=True))
    if stop := os.environ.get("{stops}"):
        Path(stop).touch()
        signal.pause()
    op.execute(
        "INSERT INTO ledger_facts (name, value) VALUES ('oldest_program.{version:04d}', '{oldest}')"
    )


def downgrade():
    op.execute("DELETE FROM ledger_facts WHERE name = 'oldest_program.{version:04d}'")
    op.drop_column("jobs", "{column}")
"""

EXPANDS = (
    # It has a column more, and fills it.
    ("store/schema.py", '    Column("dead_at", Double),\n', '    Column("ended_by", Text),\n'),
    (
        "store/jobs.py",
        "_COMPLETE = _attempts_own(JobStatus.COMPLETED, ",
        '\n    ended_by=literal_column("\'the next version\'"), ',
    ),
    # It says more in its messages, and keeps more for them.
    ("tasks/publisher.py", "            LANE: job.queue,\n", '            "next": {},\n'),
    ("tasks/options.py", "        if name in CANVAS and value is not None\n    }\n",
     '    found["next_field"] = {"deep": [1]}\n'),
    ("store/listening.py", "    fields: dict[str, Any] = {\n", '        "next_field": 1,\n'),
)  # fmt: skip
"""File, a piece of it, and what comes after that in the next version."""


class Version:
    """A version of the program, in a folder of its own.

    Attributes:
        number: Its schema version.
        folder: What stands in `PYTHONPATH` for it.
    """

    def __init__(self, folder: Path, number: int, source: Path) -> None:
        self.folder, self.number = folder, number
        # What is compiled comes along: to compile it all again takes longer than a start.
        copytree(source / "vibe_tasks", folder / "vibe_tasks", ignore=ignore_patterns("static"))

    def after(self, file: str, piece: str, added: str) -> None:
        """Add something behind a piece of a file."""
        path = self.folder / "vibe_tasks" / file
        text = path.read_text(encoding="utf-8")
        assert text.count(piece) == 1, f"{file}: {piece!r}"
        path.write_text(text.replace(piece, piece + added), encoding="utf-8")

    def migrates(self, *, column: str, oldest: int) -> None:
        """Give it the migration that adds this column."""
        versions = self.folder / "vibe_tasks" / "store" / "migrations" / "versions"
        text = MIGRATION.format(
            version=self.number, before=self.number - 1, column=column, oldest=oldest, stops=STOPS
        )
        (versions / f"{self.number:04d}_{column}.py").write_text(text, encoding="utf-8")
        path = self.folder / "vibe_tasks" / "store" / "version.py"
        text = path.read_text(encoding="utf-8")
        for name, value in (("SCHEMA_VERSION", self.number), ("OLDEST_PROGRAM", oldest)):
            text, changed = re.subn(
                rf"^{name} = \d+$", f"{name} = {value}", text, flags=re.MULTILINE
            )
            assert changed == 1, name
        path.write_text(text, encoding="utf-8")

    def environ(self, usual: Mapping[str, str]) -> dict[str, str]:
        """This environment for a process of this version."""
        return {**usual, "PYTHONPATH": os.pathsep.join([str(self.folder), usual["PYTHONPATH"]])}


def next_version(folder: Path) -> Version:
    """The next version, which only adds: this version's workers may run beside it."""
    made = Version(folder, SCHEMA_VERSION + 1, ROOT)
    for file, piece, added in EXPANDS:
        made.after(file, piece, added)
    made.migrates(column="ended_by", oldest=SCHEMA_VERSION)
    return made


def version_after(folder: Path, before: Version) -> Version:
    """The one after that, which this version's workers cannot work with."""
    made = Version(folder, before.number + 1, before.folder)
    made.migrates(column="more", oldest=before.number)
    return made


def vibe(*words: str) -> list[str]:
    """The command, in whatever version the environment names."""
    return [sys.executable, "-m", "vibe_tasks.cli.main", *words]
