"""What a ledger takes out of the texts that it is given: its redaction travels with its engine."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection

from vibe_tasks.failures import bounded
from vibe_tasks.redaction import Redaction
from vibe_tasks.store.engine import REDACTION, Database


def redaction_of(connection: Connection) -> Redaction | None:
    """What this ledger takes out; None: nothing."""
    found: Redaction | None = connection.get_execution_options().get(REDACTION)
    return found


def redacted(connection: Connection, value: Any) -> Any:
    """A JSON value, such as a text, without what is secret in it."""
    found = redaction_of(connection)
    return value if found is None else found.value(value)


def kept_text(connection: Connection, text: str) -> str:
    """What the ledger keeps of an error or a reason: bounded, without what is secret in it."""
    found = redaction_of(connection)
    return bounded(text if found is None else found.text(text))


def kept_value(ledger: Database, value: Any) -> Any:
    """As `redacted`, before there is a transaction."""
    found: Redaction | None = ledger.engine.get_execution_options().get(REDACTION)
    return value if found is None else found.value(value)
