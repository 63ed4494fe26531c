"""What is wrong with a plan: a place in it and a sentence."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from vibe_tasks.suggestion import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

KeyPath: TypeAlias = tuple[str | int, ...]
"""Where a value stands: keys and list positions from the top, as `("tasks", 2, "needs")`."""

UNKNOWN_KEY = "unknown key"
"""What is said of a key that has no place; it may explain why another one is missing."""

_PLAIN_KEY = re.compile(r"[A-Za-z0-9_-]{1,100}")
_LONGEST_SHOWN = 60  # characters of a value in a message


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing that is wrong.

    Attributes:
        path: Where it is.
        message: What it is, in one line, to be read after the path.
        word: A refused word, where a near miss may be what was meant.
        choices: What the word could have been.
    """

    path: KeyPath
    message: str
    word: str = ""
    choices: Iterable[str] = ()

    def sentence(self) -> str:
        """Return the message with the near miss; looked for here, as it takes a while."""
        return self.message + (did_you_mean(self.word, self.choices) if self.word else "")


class PlanProblems(ValueError):
    """The problems of a plan whose parts are each well formed."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        first = self.problems[0]
        super().__init__(f"{key_path(first.path)}: {first.sentence()}")


def key_path(path: KeyPath) -> str:
    """Return the path as users write it: `tasks[2].needs`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif _PLAIN_KEY.fullmatch(part):
            text += f".{part}" if text else part
        else:
            text += f"[{shown(part)}]"
    return text


def shown(value: object) -> str:
    """Return how a value is shown in a message: short, and on one line."""
    if value is None:
        return "nothing"
    if isinstance(value, str):
        if len(value) > _LONGEST_SHOWN:
            return f"{value[:_LONGEST_SHOWN]!r}…"
        return repr(value)
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    return repr(value)[:_LONGEST_SHOWN]


def explain(error: ValidationError, *, keys: Mapping[str, Iterable[str]]) -> tuple[Problem, ...]:
    """Return what pydantic found, in our words.

    Args:
        error: From validating a plan.
        keys: The keys that may stand in the top level (""), in each of its sections
            ("tasks", "qa", …) and in each type of agent ("command", …).
    """
    problems: list[Problem] = []
    for detail in error.errors(include_url=False):
        cause = detail.get("ctx", {}).get("error")
        if isinstance(cause, PlanProblems):
            problems.extend(cause.problems)
        else:
            problems.append(_problem(detail, keys))
    return tuple(problems)


def _located(loc: KeyPath) -> tuple[KeyPath, str]:
    """Return the path in the file, and the section whose keys apply there."""
    if loc[-1:] == ("[key]",):  # pydantic's mark for the key of a mapping, not its value
        loc = loc[:-1]
    if loc[:1] == ("agents",) and len(loc) > 2:
        return loc[:2] + loc[3:], str(loc[2])
    return loc, str(loc[0]) if len(loc) > 1 else ""


def _problem(detail: ErrorDetails, keys: Mapping[str, Iterable[str]]) -> Problem:
    kind, ctx = detail["type"], detail.get("ctx", {})
    path, section = _located(detail["loc"])
    if len(path) > 2 and path[-2] in keys:  # such as `budget` in a task
        section = str(path[-2])
    if kind == "extra_forbidden":
        word = str(path[-1])
        return Problem(path=path, message=UNKNOWN_KEY, word=word, choices=keys.get(section, ()))
    if kind == "union_tag_invalid":
        return _not_a_choice((*path, "type"), ctx["tag"], ctx["expected_tags"])
    if kind == "literal_error":
        return _not_a_choice(path, detail["input"], ctx["expected"])
    if kind == "union_tag_not_found" and isinstance(detail["input"], dict):
        return Problem(path=(*path, "type"), message="is missing; one of command, chat, recorded")
    return Problem(path=path, message=_message(detail))


def _message(detail: ErrorDetails) -> str:
    kind, ctx = detail["type"], detail.get("ctx", {})
    if kind == "missing":
        return "is missing"
    if kind == "value_error":
        return str(ctx["error"])
    wording = _WORDING.get(kind)
    if wording is None:  # a kind of error that no field of ours is known to give
        wanted = detail["msg"][:1].lower() + detail["msg"][1:]
    else:
        wanted = wording.format_map(ctx)
    return f"{wanted}, got {shown(detail['input'])}"


def _not_a_choice(path: KeyPath, value: object, expected: str) -> Problem:
    choices = re.findall(r"'([^']*)'", expected)
    return Problem(
        path=path,
        message=f"must be one of {', '.join(choices)}, got {shown(value)}",
        word=value if isinstance(value, str) else "",
        choices=choices,
    )


# By pydantic's name of the error; the fields are its context.
_WORDING = {
    "string_type": "must be text",
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "tuple_type": "must be a list",
    "dict_type": "must be a mapping",
    "model_type": "must be a mapping",
    "model_attributes_type": "must be a mapping",
    "union_tag_not_found": "must be a mapping",
    "greater_than_equal": "must be {ge} or more",
    "greater_than": "must be more than {gt}",
    "less_than_equal": "must be {le} or less",
}
