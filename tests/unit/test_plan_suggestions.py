"""Near misses."""

from __future__ import annotations

from vibe_tasks.suggestion import did_you_mean


def test_the_closest_choice_is_named():
    """A slip of a finger is found, whatever the case."""
    assert did_you_mean("PROMT", ["title", "prompt"]) == ", did you mean 'prompt'?"
    assert did_you_mean("prompt", ["Prompt"]) == ", did you mean 'Prompt'?"


def test_nothing_is_named_where_nothing_is_close():
    """A word that is like no other gets no advice, nor does one that is no word."""
    assert did_you_mean("colour", ["title", "prompt"]) == ""
    assert did_you_mean("title" * 100, ["title" * 100]) == ""
    assert did_you_mean("title", []) == ""


def test_a_thousand_choices_are_enough():
    """Looking stays quick among any number of choices."""
    choices = (str(number) for number in range(10**9))
    assert did_you_mean("title", choices) == ""
