from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from vibe_tasks.cli.commands import Command
from vibe_tasks.cli.main import cli

HEAVY = {"sqlalchemy", "celery", "kombu", "redis", "pydantic", "rich", "alembic"}


def every_command(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The words of each command, groups left out."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from every_command(command, (*path, name))
        else:
            yield (*path, name)


COMMANDS = list(every_command(cli))


def test_all_promised_commands_are_there() -> None:
    """Scripts rely on these names."""
    promised = (
        "run, demo, up, web, submit, status, jobs list, jobs show, jobs explain, jobs retry, "
        "jobs cancel, jobs claim, jobs heartbeat, jobs complete, jobs fail, "
        "dlq list, dlq retry, dlq discard, "
        "plans list, plans show, plans cancel, plans approve, plans budget, "
        "lanes list, lanes pause, lanes resume, lanes limit, cache stats, cache clear, "
        "scale history, scale check, workers list, workers drain, events handlers, "
        "events forget, events rules, events tail, jobs log, "
        "db vacuum, db backup, db restore, db restored, db copy, "
        "audit list, db reseal, "
        "db upgrade, db downgrade, db check, db archive, db export, config, doctor, "
        "health worker, health beat, health dispatcher, health ledger, health broker"
    )
    assert {" ".join(words) for words in COMMANDS} == set(promised.split(", "))


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_explains_itself_with_an_example(words: tuple[str, ...]) -> None:
    """The help says what the command does and shows a command line of just this command."""
    result = CliRunner().invoke(cli, [*words, "--help"])
    assert result.exit_code == 0, result.output
    _, _, example = result.output.partition("\nExample:\n")
    assert f"vibe {' '.join(words)}" in example


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_listings_and_reports_have_json(words: tuple[str, ...]) -> None:
    """Whatever prints a result can print it for programs; `up` and `web` run until stopped."""
    command: click.Command = cli
    for word in words:
        assert isinstance(command, click.Group)
        found = command.get_command(click.Context(command), word)
        assert found is not None
        command = found
    assert isinstance(command, Command)
    names = {option for parameter in command.params for option in parameter.opts}
    assert "--json" in names or words in {("up",), ("web",)}


def test_the_main_help_lists_the_commands() -> None:
    """`vibe --help` is where people begin."""
    result = CliRunner().invoke(cli, ["--help"])
    assert result.exit_code == 0
    for words in COMMANDS:
        assert f"\n  {words[0]} " in result.output
    assert "vibe demo" in result.output


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["jbos"]])
def test_a_short_answer_is_quick(arguments: list[str]) -> None:
    """Help, the version and a mistyped command come without the ledger, Celery or pydantic."""
    code = (
        "import sys\nfrom vibe_tasks.cli.main import cli\n"
        f"try: cli({arguments!r}, prog_name='vibe')\n"
        "except SystemExit: pass\n"
        "print(sorted({name.partition('.')[0] for name in sys.modules}), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = done.stderr.splitlines()[-1]
    assert not {name for name in HEAVY if repr(name) in loaded}


def test_a_mistyped_command_is_refused_with_the_near_miss() -> None:
    """Exit code 2, and the word that was probably meant."""
    result = CliRunner().invoke(cli, ["jbos", "list"])
    assert result.exit_code == 2
    assert "did you mean 'jobs'?" in result.output


def test_the_version_is_printed() -> None:
    """One line for bug reports."""
    result = CliRunner().invoke(cli, ["--version"])
    assert result.exit_code == 0
    assert result.output.startswith("vibe ")
