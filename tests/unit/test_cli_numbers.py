"""Numbers that commands take: which are refused, and in which words."""

from __future__ import annotations

from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from vibe_tasks.cli.main import cli
from vibe_tasks.cli.numbers import DAYS, LARGEST, Number, Whole


def options(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[str, str, str]]:
    """Command, option and kind of each option that is a number."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        words = (*path, name)
        if isinstance(command, click.Group):
            yield from options(command, words)
            continue
        for each in command.params:
            if isinstance(each.type, Number | Whole):
                yield " ".join(words), each.opts[0], type(each.type).__name__
            else:
                numbers = (click.types.IntParamType, click.types.FloatParamType)
                assert not isinstance(each.type, numbers), (words, each.opts)


NUMBERS = list(options(cli))


@pytest.mark.parametrize(("command", "option", "kind"), NUMBERS)
def test_no_option_takes_what_is_no_number(command: str, option: str, kind: str) -> None:
    """One line that says what to give, exit code 2, before anything is done."""
    what = {"Number": "number", "Whole": "whole number"}[kind]
    for text in ("nan", "inf", "-inf", "1e400", "many", "", "-1", "9" * 30):
        result = CliRunner().invoke(cli, [*command.split(), option, text], prog_name="vibe")
        assert (result.exit_code, result.stdout) == (2, ""), (text, result.output)
        (line,) = result.stderr.splitlines()
        assert line.startswith(f"vibe: Invalid value for '{option}': give a {what} "), line
        assert line.endswith(f", not {text!r} (vibe {command} --help)"), line


@pytest.mark.parametrize(
    ("kind", "text", "says"),
    [
        (DAYS, "36501", "give a number from 0 to 36500, not '36501'"),
        (Number(min=0, min_open=True), "0", "give a number above 0, not '0'"),
        (Number(min=0, min_open=True, max=9), "0", "give a number above 0, up to 9, not '0'"),
        (Whole(1), "0", "give a whole number of at least 1, not '0'"),
        (Whole(0, 3), "4", "give a whole number from 0 to 3, not '4'"),
        (Whole(), str(LARGEST + 1), f"give a whole number, not '{LARGEST + 1}'"),
    ],
)
def test_bounds_are_said(kind: click.ParamType, text: str, says: str) -> None:
    """As many as there are."""
    with pytest.raises(click.BadParameter) as refused:
        kind.convert(text, None, None)
    assert refused.value.message == says


def test_numbers_within_are_taken() -> None:
    """Bounds included, and defaults, which are numbers already."""
    assert DAYS.convert("0", None, None) == 0
    assert DAYS.convert(36_500.0, None, None) == 36_500
    assert Whole(0).convert(str(LARGEST), None, None) == LARGEST
    assert Whole(0, 3).convert(3, None, None) == 3
