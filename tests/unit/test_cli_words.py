"""Words that are printed to be acted on."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from vibe_tasks.cli.printing import counted
from vibe_tasks.cli.program import program
from vibe_tasks.cli.served_lanes import imported_lanes
from vibe_tasks.errors import SettingsError
from vibe_tasks.flow.quality import summary_of
from vibe_tasks.flow.report import last_words
from vibe_tasks.tasks import resources
from vibe_tasks.workspace.checks import CheckResult


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The script that this process was started by, in a virtual environment."""
    path = tmp_path / ".venv" / "bin" / "vibe"
    path.parent.mkdir(parents=True)
    path.touch(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(sys, "argv", [".venv/bin/vibe", "demo"])
    return path


def test_a_program_that_is_not_on_the_path_is_named_by_its_path(script: Path) -> None:
    """As it was typed, or so that it works after a change of the folder."""
    assert program() == ".venv/bin/vibe"
    assert program(anywhere=True) == str(script)


def test_a_program_on_the_path_is_named_by_its_name(
    script: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Unless the one that is found there is another."""
    monkeypatch.setenv("PATH", str(script.parent))
    assert program() == program(anywhere=True) == "vibe"
    other = tmp_path / "bin" / "vibe"
    other.parent.mkdir()
    other.touch(0o755)
    monkeypatch.setenv("PATH", str(other.parent))
    assert program() == ".venv/bin/vibe"


def result_of(output: str, *, passed: bool = False) -> CheckResult:
    """A check that said this."""
    return CheckResult(
        command="make test", passed=passed, exit_code=0 if passed else 2, timed_out=False,
        seconds=1.0, output=output,
    )  # fmt: skip


def test_a_failed_check_tells_its_last_line() -> None:
    """Where it said something; the line is cut, and of several checks the first is told."""
    said = summary_of([result_of("collecting\nNo module named pytest\n\n")])
    assert said == "check failed: make test (exit code 2): No module named pytest"
    assert summary_of([result_of(" \n")]) == "check failed: make test (exit code 2)"
    two = summary_of([result_of("one"), result_of("two")])
    assert two == "check failed: make test (exit code 2), and 1 more: one"
    assert len(summary_of([result_of("x" * 5_000)])) < 300
    assert summary_of([result_of("fine", passed=True)]) == "1 check passed"


def test_a_dead_verdict_tells_its_fix_rounds() -> None:
    """A job that failed tells its error; one that judged for the last time, what came before."""
    verdict = {"error": None, "round": 3, "result": {"summary": "check failed: x"}}
    assert last_words(verdict) == "after 3 fix rounds: check failed: x"
    assert last_words({**verdict, "round": 1}).startswith("after 1 fix round:")
    assert last_words({**verdict, "error": "Broken"}) == "Broken"


def test_words_are_counted() -> None:
    """One of them has no s, and not every plural is made by one."""
    assert counted(1, "task") == "1 task"
    assert counted(0, "task") == "0 tasks"
    assert counted(2, "process", "processes") == "2 processes"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("def (", "theirs.py:1: "),
        ("\n1 / 0", "theirs.py:2: ZeroDivisionError("),
        ("import no_such_module_at_all", "theirs.py:1: No module named 'no_such_module_at_all'"),
        (
            "from vibe_tasks import job\njob(require='gpu')",
            "theirs.py:2: @job has no option",
        ),
        (None, "No module named 'theirs'"),
    ],
)
def test_a_module_that_cannot_be_imported_is_named_with_its_line(
    text: str | None, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever its code raises: one line, and no traceback."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.setenv("VIBE_IMPORTS", "theirs")
    if text is not None:
        (tmp_path / "theirs.py").write_text(text)
    resources.settings_with_sources.cache_clear()
    importlib.invalidate_caches()
    try:
        with pytest.raises(SettingsError) as caught:
            imported_lanes()
    finally:
        sys.modules.pop("theirs", None)
        resources.settings_with_sources.cache_clear()
    assert str(caught.value).startswith(f"VIBE_IMPORTS: cannot import theirs: {said}")
