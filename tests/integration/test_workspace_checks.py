"""Running the checks of a worktree."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from vibe_tasks.errors import PermanentError
from vibe_tasks.workspace.checks import run_checks


def test_every_check_is_run_and_judged(tmp_path: Path) -> None:
    """One that fails or hangs does not keep the next from being judged."""
    commands = ("echo ok && true", "echo bad >&2; exit 7", "sleep 600", "test -d .")
    log = tmp_path / "logs" / "checks.log"
    results = run_checks(commands, cwd=tmp_path, env=dict(os.environ), timeout=0.7, log=log)
    assert [result.command for result in results] == list(commands)
    assert [result.passed for result in results] == [True, False, False, True]
    assert [result.exit_code for result in results] == [0, 7, None, 0]
    assert [result.timed_out for result in results] == [False, False, True, False]
    assert [result.output for result in results][:2] == ["ok\n", "bad\n"]
    assert log.read_text().startswith("$ echo ok && true\nok\n$ echo bad")


def test_the_end_of_long_output_is_kept(tmp_path: Path) -> None:
    """A report carries the last 4,000 characters, where the errors are."""
    (result,) = run_checks(
        ["seq 100000; echo the end"], cwd=tmp_path, env=dict(os.environ), timeout=60,
        log=tmp_path / "log",
    )  # fmt: skip
    assert len(result.output) == 4_000
    assert result.output.endswith("the end\n")


def test_without_a_worktree_nothing_can_be_judged(tmp_path: Path) -> None:
    """A missing folder is an error, not a failed check."""
    with pytest.raises(PermanentError, match="does not exist"):
        run_checks(["true"], cwd=tmp_path / "gone", env={}, timeout=1, log=tmp_path / "log")


def test_no_checks_no_results(tmp_path: Path) -> None:
    """A plan without checks gets an empty report."""
    assert run_checks([], cwd=tmp_path, env={}, timeout=1, log=tmp_path / "log") == ()
