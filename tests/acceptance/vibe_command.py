"""The `vibe` command as a user runs it: a process with a home and a folder of its own."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil
from psutil import Process

from tests.processes import descendants, runs, unmeasured, until

ROOT = Path(__file__).parents[2]
MARK = "ACCEPTANCE_MARK"
"""A variable that every process of one test inherits, so that none of them is overlooked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """What a command did.

    Attributes:
        code: Its exit code.
        out: Standard output.
        err: Standard error.
    """

    code: int
    out: str
    err: str

    @property
    def report(self) -> dict[str, Any]:
        """The run report, which `--json` prints and nothing else."""
        try:
            report: dict[str, Any] = json.loads(self.out)
        except ValueError as error:
            raise AssertionError(f"no report ({self.code}): {self.out!r} {self.err!r}") from error
        return report


@dataclass(frozen=True, slots=True, kw_only=True)
class Vibe:
    """One user's place.

    Attributes:
        folder: Where commands are run.
        mark: Marks all their processes.
        environ: Settings beyond the home.
        measured: Whether coverage is measured in them.
    """

    folder: Path
    mark: str = field(default_factory=lambda: uuid4().hex)
    environ: Mapping[str, str] = field(default_factory=dict)
    measured: bool = False

    @property
    def home(self) -> Path:
        """`VIBE_HOME` of all commands."""
        return self.folder / ".vibe"

    def run(self, *arguments: str | Path, seconds: float = 120, **settings: str) -> Finished:
        """Run the command to its end."""
        with self.started(*arguments, **settings) as command:
            try:
                out, err = command.communicate(timeout=seconds)
            except subprocess.TimeoutExpired:
                command.send_signal(signal.SIGINT)
                out, err = command.communicate(timeout=60)
                raise AssertionError(f"not within {seconds} s: {arguments}: {out} {err}") from None
        return Finished(code=command.returncode, out=out, err=err)

    @contextmanager
    def started(self, *arguments: str | Path, **settings: str) -> Iterator[subprocess.Popen[str]]:
        """Start the command; it is killed at the end if it still runs."""
        command = subprocess.Popen(
            [sys.executable, "-m", "vibe_tasks.cli.main", *map(str, arguments)],
            cwd=self.folder, env=self._environment(settings), text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        try:
            yield command
        finally:
            if command.poll() is None:
                command.kill()
            command.wait(60)
            for pipe in (command.stdout, command.stderr):
                if pipe is not None:
                    pipe.close()

    def kill_everything(self, command: subprocess.Popen[str]) -> int:
        """SIGKILL to the command and all its descendants, as a machine that goes down; how many."""
        root = Process(command.pid)
        root.suspend()  # it must not start anything again meanwhile
        victims = [root, *descendants(root)]
        for process in victims:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        command.wait(60)
        until(lambda: not self.strays())
        return len(victims)

    def strays(self) -> list[Process]:
        """Every process of this test that still runs, whoever its parent is."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                if process.environ().get(MARK) == self.mark and runs(process):
                    found.append(process)
        return found

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """What the ledger answers; nothing where there is none yet."""
        file = self.home / "ledger.db"
        if not file.exists():
            return []
        connection = sqlite3.connect(file, timeout=60)
        try:
            return connection.execute(query, values).fetchall()
        except sqlite3.OperationalError as error:
            if "no such table" in str(error):
                return []
            raise
        finally:
            connection.close()

    def _environment(self, settings: Mapping[str, str]) -> dict[str, str]:
        base = os.environ if self.measured else unmeasured(os.environ)
        kept = {name: value for name, value in base.items() if not name.startswith("VIBE_")}
        return {
            **kept,
            "PYTHONPATH": str(ROOT),
            "VIBE_HOME": str(self.home),
            MARK: self.mark,
            "VIBE_AGENT_ENV": MARK,  # agents and checks are to be found by it too
            **self.environ,
            **settings,
        }
