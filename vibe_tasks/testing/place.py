"""Where tests have their ledger: in a folder of their own, whatever the surroundings say."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vibe_tasks.store.engine import Database, open_database
from vibe_tasks.store.version import create
from vibe_tasks.tasks.elsewhere import NOBODY, elsewhere

UNHEARD = {
    "api_token": "", "api_tokens": "", "alive_file": "", "escalation_command": "",
    "escalation_webhook": "", "fleet": "", "fleet_webhook": "", "traces": "none", "web_url": "",
}  # fmt: skip
"""What a `vibe.toml` may say for the deployment, and a test must never do: call people, start
machines, send spans."""


def make_empty(path: Path) -> Path:
    """An empty ledger in this file, to be copied: its tables take ten times as long to make."""
    made = open_database(f"sqlite:///{path}")
    try:
        create(made)
    finally:
        made.close()
    return path


@contextmanager
def own_ledger(
    home: Path, settings: Mapping[str, Any], *, empty: Path | None = None, broker: str = NOBODY
) -> Iterator[Database]:
    """A new ledger on SQLite in this folder, where this process works until the end of the `with`.

    Args:
        home: The folder; made where it is missing.
        settings: Settings of the test, by name.
        empty: A file of `make_empty`.
        broker: The broker's URL; empty: that of an embedded stack in the folder.

    Raises:
        SettingsError: A setting is unknown or wrong.
    """
    if empty is not None:
        home.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(empty, home / "ledger.db")
    place = {"home": str(home), "database_url": "", "broker_url": broker}
    texts = {name: text_of(value) for name, value in settings.items()}
    with elsewhere({**UNHEARD, "retry_base": "0.05", **texts, **place}) as database:
        yield database


def text_of(value: object) -> str:
    """A setting's value as a variable has it."""
    if isinstance(value, (tuple, list)):
        return ",".join(map(str, value))
    return "" if value is None else str(value)
