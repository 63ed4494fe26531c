"""Keys made of a call's arguments: `@job(concurrency_key="repo-{repo}")`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from inspect import signature
from string import Formatter
from typing import Any

from vibe_tasks.errors import InputError
from vibe_tasks.suggestion import did_you_mean


class KeyPattern:
    """A text with places for arguments, each named as the function names it.

    Args:
        text: The pattern. `{{` and `}}` stand for braces.
        function: Whose calls have these arguments.

    Raises:
        InputError: It names something else than an argument, or more than its name.
    """

    def __init__(self, text: str, function: Callable[..., Any]) -> None:
        self._text = text
        self._function = function
        try:
            parts = list(Formatter().parse(text))
        except ValueError as error:
            raise InputError(f"concurrency_key {text!r}: {error}") from error
        self._named = [name for _, name, _, _ in parts if name is not None]
        parameters = signature(function).parameters
        for name, detail, conversion in ((part[1], part[2], part[3]) for part in parts):
            if name is not None and (name not in parameters or detail or conversion):
                raise InputError(
                    f"concurrency_key {text!r}: {{{name}}} is no argument of the job"
                    f"{did_you_mean(name, parameters)}"
                )

    def key(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
        """The key of a call with these arguments.

        Raises:
            InputError: The arguments do not fit the function.
        """
        if not self._named:
            return self._text.format()
        try:
            bound = signature(self._function).bind(*args, **kwargs)
        except TypeError as error:
            raise InputError(f"concurrency_key {self._text!r}: {error}") from error
        bound.apply_defaults()
        return self._text.format(**{name: bound.arguments[name] for name in self._named})
