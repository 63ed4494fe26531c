"""Exit codes, prompts and the words of a report."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.assignments import assignment
from vibe_tasks.agents.agent import PERMANENT_EXITS, check_exit
from vibe_tasks.agents.report import LONGEST_OUTPUT, rendered
from vibe_tasks.errors import PermanentError, TransientError

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


def test_exit_code_zero_is_success():
    """An agent that exits with 0 has done its work."""
    check_exit(0, "whatever it said")


@pytest.mark.parametrize("code", [64, 65, 77, 78])
def test_permanent_exit_codes(code):
    """64, 65, 77 and 78 are not tried again, and the text says which one it was."""
    with pytest.raises(PermanentError, match=f"exited with {code} .*: no such model"):
        check_exit(code, "no such model")


@given(st.integers(1, 255).filter(lambda code: code not in PERMANENT_EXITS))
def test_every_other_exit_code_is_retryable(code):
    """75 and all unknown codes may be tried again."""
    with pytest.raises(TransientError, match=f"exited with {code}"):
        check_exit(code, "")


def test_a_signal_is_named():
    """A program ended by a signal says which, so that a killed agent is recognised."""
    with pytest.raises(TransientError, match=r"137 \(SIGKILL\)"):
        check_exit(137, "")


def test_dev_prompt_is_the_task_prompt(tmp_path: Path):
    """Without a report the agent reads the task's prompt and nothing else."""
    assert assignment(tmp_path, prompt="Do it.\n").full_prompt == "Do it.\n"


def test_fix_prompt_has_the_failed_check_and_what_it_said(tmp_path: Path):
    """A fix reads the prompt, then each failed check with its output, and which ones passed."""
    report = {
        "checks": [
            {"command": "make lint", "passed": True, "exit_code": 0, "output": "fine"},
            {"command": "make test", "passed": False, "exit_code": 2, "output": "1 != 2\n"},
            {"command": "make slow", "passed": False, "timed_out": True, "seconds": 300.2},
        ]
    }
    prompt = assignment(tmp_path, kind="fix", fix_round=1, report=report).full_prompt
    assert prompt.startswith("Write store.py.\n\n")
    assert "This check failed with exit code 2: make test\n    1 != 2\n" in prompt
    assert "This check passed: make lint\n" in prompt
    assert "fine" not in prompt
    assert "This check did not end in time (300 s): make slow\n" in prompt


def test_a_merge_conflict_is_rendered_by_its_keys():
    """Whatever else a report has is told under its own name, one path on each line."""
    text = rendered({"conflict_paths": ["a.py", "b.py"], "base": "main moved", "checks": []})
    assert "Conflict paths:\n    - a.py\n    - b.py\n" in text
    assert "Base: main moved" in text


def test_a_long_output_keeps_its_end():
    """A check that prints megabytes does not flood the prompt, and its last line stays."""
    output = "x" * 1_000_000 + "\nlast line"
    check = {"command": "c", "passed": False, "exit_code": 1, "output": output}
    text = rendered({"checks": [check]})
    assert "last line" in text
    assert len(text) < LONGEST_OUTPUT + 500


@settings(max_examples=40)
@given(st.dictionaries(st.text(), JSON, max_size=4))
def test_any_report_can_be_rendered(report):
    """No report, however odd, stops a fix from starting."""
    assert rendered(report).endswith("\n")


@settings(max_examples=40)
@given(JSON)
def test_any_list_of_checks_can_be_rendered(value):
    """Checks of an unexpected shape are shown as they are."""
    assert rendered({"checks": value}).endswith("\n")
