from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vibe_tasks.errors import InputError, PermanentError, PlanError, TransientError
from vibe_tasks.failures import LONGEST_ERROR, FailureKind, bounded, classify, describe


@pytest.mark.parametrize(
    "error",
    [TimeoutError(), ConnectionRefusedError(), TransientError("busy"), RuntimeError(), ValueError(),
     TypeError(), MemoryError(), KeyError("x")],
)  # fmt: skip
def test_what_may_pass_is_retried(error: BaseException) -> None:
    """Unknown errors are retryable (R2)."""
    assert classify(error) is FailureKind.RETRYABLE


@pytest.mark.parametrize(
    "error",
    [PermanentError("no"), InputError("bad"), PlanError("bad"), PermissionError(),
     NotImplementedError()],
)  # fmt: skip
def test_what_cannot_pass_is_not(error: BaseException) -> None:
    """Bad input, missing rights and missing code fail the same way again."""
    assert classify(error) is FailureKind.PERMANENT


def test_an_error_is_described_by_type_and_message() -> None:
    """One without a message is named by its type alone, and ours by what it says."""
    assert describe(ValueError("boom")) == "ValueError: boom"
    assert describe(TransientError("the server is away")) == "the server is away"
    assert describe(PermanentError("")) == "PermanentError"
    assert describe(KeyboardInterrupt()) == "KeyboardInterrupt"


@given(st.text(st.characters(), max_size=200), st.integers(1, 200))
def test_a_text_is_bounded_and_can_be_stored(text: str, times: int) -> None:
    """Whatever an error says: no NUL, no lone surrogate, not much longer than the bound."""
    clean = bounded(text * times)
    assert "\x00" not in clean
    clean.encode("utf-8")
    assert len(clean) <= LONGEST_ERROR
    assert bounded(clean) == clean


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00")))
def test_a_short_clean_text_is_left_alone(text: str) -> None:
    """Nothing is lost without need."""
    assert bounded(text) == text


def test_both_ends_of_a_long_text_are_kept() -> None:
    """The beginning says what, the end says why; the gap says how much is missing."""
    text = "begin" + "x" * 20_000 + "end"
    clean = bounded(text)
    assert clean.startswith("begin")
    assert clean.endswith("end")
    assert "characters" in clean


@pytest.mark.parametrize("place", range(LONGEST_ERROR // 2 - 60, LONGEST_ERROR // 2 + 40, 7))
def test_no_word_is_cut_in_two(place: int) -> None:
    """Of a token that stands where the text is cut nothing is left that nobody would know."""
    token = "ghp_" + "a1B2" * 9
    from_the_end = "x " * 20_000 + token + " y" * (place // 2)
    for text in ("x " * (place // 2) + token + " y" * 20_000, from_the_end):
        assert bounded(text).count("a1B2") in {0, 9}
