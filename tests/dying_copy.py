"""A process that copies a ledger and kills itself on the way.

Run as `python -m tests.dying_copy FROM TO NUMBER`: it dies by SIGKILL in the middle of the
transaction that writes its NUMBER-th batch of rows.
"""

from __future__ import annotations

import os
import signal
import sys
from itertools import count
from typing import Any
from uuid import uuid4

from sqlalchemy import event

from vibe_tasks.store.copying.copier import Copier
from vibe_tasks.store.engine import open_database
from vibe_tasks.store.in_use import Patience


def main() -> None:
    """Begin, and die."""
    _, source, to, fatal = sys.argv
    copy = open_database(to)
    batches = count(1)

    @event.listens_for(copy.engine, "after_cursor_execute")
    def die(_connection: Any, _cursor: Any, statement: str, values: Any, *_: Any) -> None:
        position = "copy.position." in str(values) and statement.startswith("INSERT")
        if position and next(batches) == int(fatal):
            os.kill(os.getpid(), signal.SIGKILL)

    copier = Copier(open_database(source), copy, name=uuid4().hex, patience=Patience())
    copier.begin()
    copier.copy_rows()


if __name__ == "__main__":
    main()
