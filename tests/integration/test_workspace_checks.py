"""Running the checks of a worktree."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from vibe_tasks.errors import PermanentError
from vibe_tasks.workspace.bounds import Bounds
from vibe_tasks.workspace.checks import run_checks
from vibe_tasks.workspace.surroundings import Surrounded


def test_every_check_is_run_and_judged(tmp_path: Path) -> None:
    """One that fails or hangs does not keep the next from being judged."""
    commands = ("echo ok && true", "echo bad >&2; exit 7", "sleep 600", "test -d .")
    log = tmp_path / "logs" / "checks.log"
    results = run_checks(
        commands, cwd=tmp_path, held=Surrounded(env=dict(os.environ)), timeout=0.7, log=log
    )
    assert [result.command for result in results] == list(commands)
    assert [result.passed for result in results] == [True, False, False, True]
    assert [result.exit_code for result in results] == [0, 7, None, 0]
    assert [result.timed_out for result in results] == [False, False, True, False]
    assert [result.output for result in results][:2] == ["ok\n", "bad\n"]
    assert log.read_text().startswith("$ echo ok && true\nok\n$ echo bad")


def test_the_end_of_long_output_is_kept(tmp_path: Path) -> None:
    """A report carries the last 4,000 characters, where the errors are."""
    (result,) = run_checks(
        ["seq 100000; echo the end"],
        cwd=tmp_path,
        held=Surrounded(env=dict(os.environ)),
        timeout=60,
        log=tmp_path / "log",
    )
    assert len(result.output) == 4_000
    assert result.output.endswith("the end\n")


def test_without_a_worktree_nothing_can_be_judged(tmp_path: Path) -> None:
    """A missing folder is an error, not a failed check."""
    with pytest.raises(PermanentError, match="does not exist"):
        run_checks(
            ["true"],
            cwd=tmp_path / "gone",
            held=Surrounded(env={}),
            timeout=1,
            log=tmp_path / "log",
        )


def test_no_checks_no_results(tmp_path: Path) -> None:
    """A plan without checks gets an empty report."""
    assert (
        run_checks([], cwd=tmp_path, held=Surrounded(env={}), timeout=1, log=tmp_path / "log") == ()
    )


def test_a_check_that_takes_too_much_has_failed_and_says_why(tmp_path: Path) -> None:
    """Limits hold for checks, and a check that is to stop is ended: the report has the reason."""
    held = Surrounded(env=dict(os.environ), limits=Bounds(output=1_000_000))
    log = tmp_path / "log"
    (noisy,) = run_checks(["yes"], cwd=tmp_path, held=held, timeout=60, log=log)
    assert (noisy.passed, noisy.exit_code, noisy.why) == (False, None, "said more than 1 MB")
    (ended,) = run_checks(
        ["sleep 600"], cwd=tmp_path, held=held, timeout=60, log=log, stop=lambda: "no time left"
    )
    assert (ended.passed, ended.timed_out, ended.why) == (False, False, "no time left")
