"""A process that brings a ledger up to date and kills itself on the way.

Run as `python -m tests.migration.killed_upgrade URL TEXT`: it dies by SIGKILL right after the
statement that has this text in it.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

from sqlalchemy import event

from vibe_tasks.store.engine import open_database
from vibe_tasks.store.upgrade import upgrade


def main() -> None:
    """Begin, and die."""
    _, url, fatal = sys.argv
    database = open_database(url)

    @event.listens_for(database.engine, "after_cursor_execute")
    def die(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if fatal in statement:
            os.kill(os.getpid(), signal.SIGKILL)

    upgrade(database)


if __name__ == "__main__":
    main()
