"""Where settings come from: the environment, files of secrets, the settings file, defaults.

A setting comes from an environment variable `VIBE_<NAME>`, or from the file that `VIBE_<NAME>_FILE`
names, else from `vibe.toml`, else from its default. Unknown names and wrong values are refused with
one line that names the source.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from vibe_tasks.errors import SettingsError
from vibe_tasks.masking import shown
from vibe_tasks.settings import Settings
from vibe_tasks.suggestion import did_you_mean

PREFIX = "VIBE_"

FILE = "_FILE"
"""A variable that ends so names a file with the value, as containers are given their secrets."""

AGENT_VARIABLES = frozenset(
    {"JOB_ID", "PLAN", "TASK_ID", "KIND", "ATTEMPT", "FIX_ROUND", "TASK_FILE"}
)
"""Variables that we hand to agents; an agent that calls us must not be refused for them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sourced:
    """One effective setting.

    Attributes:
        name: Field name, such as `home`.
        value: As the program uses it, secrets masked.
        source: `default`, the file's name, or the variable's name.
    """

    name: str
    value: Any
    source: str


def _no_files(path: str) -> str:
    raise OSError(f"no files are read here, {path} neither")


def read_settings(
    environ: Mapping[str, str],
    toml: Mapping[str, Any],
    *,
    file: str = "vibe.toml",
    read: Callable[[str], str] = _no_files,
) -> tuple[Settings, tuple[Sourced, ...]]:
    """The settings of these sources, and where each came from.

    Args:
        environ: Environment variables; only those with the prefix are looked at.
        toml: The parsed settings file, empty where there is none.
        file: Name of that file, for messages.
        read: Gives the text of the file that a `VIBE_<NAME>_FILE` names, or raises OSError or
            ValueError. White space around the value is not part of it.

    Raises:
        SettingsError: A name is unknown, a value is wrong, or its file cannot be read.
    """
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for key, value in toml.items():
        _known(key, Settings.model_fields, where=f"{file}: ")
        values[key], sources[key] = value, file
    variables = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}
    for variable, text in environ.items():
        name = variable.removeprefix(PREFIX)
        if name == variable or name in AGENT_VARIABLES:
            continue
        plain = variable.removesuffix(FILE)
        if variable not in variables and plain in variables:
            if plain in environ:
                raise SettingsError(f"{variable}: {plain} is set too; which one is meant?")
            name, value = plain.removeprefix(PREFIX), _from_file(variable, text, read)
        else:
            names = {*variables, *(f"{each}{FILE}" for each in variables)}
            _known(variable, names if plain != variable else variables, where="")
            value = text
        values[name.lower()], sources[name.lower()] = value, variable
    try:
        settings = Settings(**values)
    except ValidationError as error:
        raise SettingsError(_first_line(error, sources)) from error
    listing = tuple(
        Sourced(name=name, value=shown(name, value), source=sources.get(name, "default"))
        for name, value in settings
    )
    return settings, listing


def _from_file(variable: str, path: str, read: Callable[[str], str]) -> str:
    if not path.strip():
        raise SettingsError(f"{variable}: must name a file that holds the value, got {path!r}")
    try:
        return read(path).strip()
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise SettingsError(f"{variable}: cannot read {path}: {why}") from error


def _known(name: str, names: Collection[str], *, where: str) -> None:
    if name not in names:
        raise SettingsError(f"{where}{name}: unknown setting{did_you_mean(name, names)}")


def _first_line(error: ValidationError, sources: Mapping[str, str]) -> str:
    first = error.errors()[0]
    name = str(first["loc"][0]) if first["loc"] else ""
    message = first["msg"].removeprefix("Value error, ")
    source = sources.get(name, name)
    where = f"{source}: {name}" if source.endswith(".toml") else source
    if first["type"] == "value_error" and ("'" in message or ", got " in message):
        return f"{where}: {message}"  # which has told what was given
    given = shown(name, first.get("input"))
    return f"{where}: {message}, got {given!r}"
