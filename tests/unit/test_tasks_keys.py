"""Keys made of arguments."""

from __future__ import annotations

import pytest

from vibe_tasks.errors import InputError
from vibe_tasks.tasks.keys import KeyPattern


def tidy(repo: str, deep: bool = False, *more: int) -> None:
    """A job's function."""


@pytest.mark.parametrize(
    ("text", "args", "kwargs", "key"),
    [
        ("repo-{repo}", ("a",), {}, "repo-a"),
        ("repo-{repo}", (), {"repo": "a"}, "repo-a"),
        ("{repo}/{deep}", ("a",), {}, "a/False"),
        ("{more}", ("a", True, 1, 2), {}, "(1, 2)"),
        ("all", ("a",), {}, "all"),
        ("{{repo}}", ("a",), {}, "{repo}"),
        ("{repo}", ("{deep}",), {}, "{deep}"),
    ],
)
def test_a_key_is_made_of_the_arguments(
    text: str, args: tuple[object, ...], kwargs: dict[str, object], key: str
) -> None:
    """By position, by name, or by default; what an argument contains is not read as a pattern."""
    assert KeyPattern(text, tidy).key(args, kwargs) == key


@pytest.mark.parametrize(
    "text",
    ["{rep}", "{}", "{0}", "{repo.__class__}", "{repo[0]}", "{repo!r}", "{repo:>9}", "{", "a}"],
)
def test_a_pattern_names_arguments_and_nothing_else(text: str) -> None:
    """No attributes, no items, no formats: it is refused when the job is defined."""
    with pytest.raises(InputError, match="concurrency_key"):
        KeyPattern(text, tidy)


def test_arguments_that_do_not_fit_are_an_input_error() -> None:
    """For jobs whose signature nobody checks."""
    with pytest.raises(InputError, match="missing a required argument"):
        KeyPattern("{repo}", tidy).key((), {})
