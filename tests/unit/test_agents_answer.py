"""What is read from the last line of an agent's output."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vibe_tasks.agents.agent import Answer
from vibe_tasks.agents.answer import LONGEST_SUMMARY, MOST_FINDINGS, read_answer
from vibe_tasks.agents.command import CommandAgent

KEYS = ("summary", "input_tokens", "output_tokens", "cost_usd", "verdict", "findings")
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


def test_the_last_line_is_the_answer():
    """Everything before the last line is the agent's talk."""
    said = {
        "summary": "done",
        "input_tokens": 10,
        "output_tokens": 2,
        "cost_usd": 0.25,
        "verdict": "fail",
        "findings": ["no tests"],
    }
    text = f'thinking\n{{"summary": "not this one"}}\n{json.dumps(said)}\n\n'
    assert read_answer(text) == Answer(
        summary="done",
        input_tokens=10,
        output_tokens=2,
        cost_usd=0.25,
        verdict="fail",
        findings=("no tests",),
    )


@pytest.mark.parametrize(
    "text",
    ["", "\n", "all done", "[1, 2]", "3", "null", "{", '{"summary": ', '{"a":' * 100_000],
)
def test_anything_else_is_no_answer(text):
    """Output without such a line is no error: the worktree is what counts."""
    assert read_answer(text) == Answer()


def test_line_separators_inside_a_text_do_not_split_the_line():
    """Only a newline ends a line; other separators may stand raw inside a JSON text."""
    assert read_answer('{"summary": "one\u2028two"}').summary == "one\u2028two"


@given(st.fixed_dictionaries(dict.fromkeys(KEYS, VALUES)))
def test_wrong_values_count_as_not_given(said):
    """Whatever an agent claims, the answer is sound: bounded texts, finite numbers above zero."""
    answer = read_answer(json.dumps(said))
    assert len(answer.summary) <= LONGEST_SUMMARY
    assert 0 <= answer.input_tokens <= 2**53
    assert 0 <= answer.output_tokens <= 2**53
    assert math.isfinite(answer.cost_usd)
    assert answer.cost_usd >= 0
    assert answer.verdict in {None, "pass", "fail"}
    assert all(isinstance(text, str) for text in answer.findings)


def test_long_answers_are_cut():
    """An agent cannot fill the ledger with its words."""
    answer = read_answer(json.dumps({"summary": "x" * 10**6, "findings": ["y" * 10**4] * 1000}))
    assert len(answer.summary) == LONGEST_SUMMARY
    assert len(answer.findings) == MOST_FINDINGS
    assert len(answer.findings[0]) == LONGEST_SUMMARY


def test_texts_that_no_database_takes_are_cleaned():
    """NUL and half characters, which JSON can express, do not reach the ledger."""
    answer = read_answer(r'{"summary": "a\u0000b\ud800c", "findings": ["\u0000"]}')
    answer.summary.encode()
    assert "\0" not in answer.summary + "".join(answer.findings)


def test_a_command_needs_a_program():
    """An empty argument list is refused when the agent is made."""
    with pytest.raises(ValueError, match="argv"):
        CommandAgent(())
