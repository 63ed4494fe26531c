"""The generated parts of the documents: the table of settings, the references of commands and of
the HTTP API.

`make docs` writes them; a test compares them with what is written.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from vibe_tasks.cli.main import cli
from vibe_tasks.setting_sources import PREFIX
from vibe_tasks.settings import Settings
from vibe_tasks.web.api.routers import document

HERE = Path(__file__).parent
WIDTH = 96  # characters of a help text; the documents' lines are not longer


def settings_table() -> str:
    """Every setting with its default, bounds and meaning."""
    properties = Settings.model_json_schema()["properties"]
    rows = ["| variable | default | values | meaning |", "| --- | --- | --- | --- |"]
    for name, field in Settings.model_fields.items():
        default = _shown(field.default)
        values = _bounds(properties[name])
        rows.append(f"| `{PREFIX}{name.upper()}` | {default} | {values} | {field.description} |")
    return "\n".join(rows)


def command_reference() -> str:
    """What `--help` says of every command."""
    parts = []
    for context in commands():
        said = context.command.get_help(context).splitlines()
        text = "\n".join(line.rstrip() for line in said)
        parts.append(f"## {context.command_path}\n\n```text\n{text}\n```")
    return "\n\n".join(parts)


def http_reference() -> str:
    """Every operation of the HTTP API, by what it is about."""
    found: dict[str, list[str]] = {}
    described = document()
    for path, methods in described["paths"].items():
        for method, told in methods.items():
            words = " ".join(told["description"].split()).partition(". ")[0].rstrip(".")
            role = told["x-role"]
            row = f"| `{method.upper()} {path.removeprefix('/api/v1')}` | {role} | {words} |"
            found.setdefault(told["tags"][0], []).append(row)
    parts = []
    for tag in described["tags"]:
        head = ["| operation | role | |", "| --- | --- | --- |"]
        table = "\n".join([*head, *found[tag["name"]]])
        parts.append(f"**{tag['name'].capitalize()}.** {tag['description']}\n\n{table}")
    return "\n\n".join(parts)


def commands(
    command: click.Command = cli, name: str = "vibe", parent: click.Context | None = None
) -> Iterator[click.Context]:
    """Every command of the tree, in its context, groups before their commands."""
    settings = {**command.context_settings, "terminal_width": WIDTH, "max_content_width": WIDTH}
    context = click.Context(command, info_name=name, parent=parent, **settings)
    yield context
    if isinstance(command, click.Group):
        for each in command.list_commands(context):
            found = command.get_command(context, each)
            if found is not None and not found.hidden:
                yield from commands(found, each, context)


PARTS: Mapping[str, Callable[[], str]] = {
    "settings.md": settings_table,
    "cli.md": command_reference,
    "http.md": http_reference,
}
"""What stands between the marks of each page."""

_MARKED = re.compile(r"(?<=<!-- made by `make docs` -->\n).*(?=<!-- end -->)", re.DOTALL)


def page(name: str) -> str:
    """The whole page as it should be."""
    text = (HERE / name).read_text(encoding="utf-8")
    return _MARKED.sub(lambda _: f"\n{PARTS[name]()}\n\n", text)


def _shown(default: Any) -> str:
    if default in ("", ()):
        return "empty"
    return f"`{default:g}`" if isinstance(default, float) else f"`{default}`"


def _bounds(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if schema["type"] not in {"integer", "number"}:
        return "text" if schema["type"] == "string" else "list"
    least = f"at least {schema['minimum']:g}" if "minimum" in schema else "above 0"
    return f"{least}, at most {schema['maximum']:g}" if "maximum" in schema else least


if __name__ == "__main__":
    for each in PARTS:
        (HERE / each).write_text(page(each), encoding="utf-8")
