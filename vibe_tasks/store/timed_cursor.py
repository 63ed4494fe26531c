"""A PostgreSQL cursor that leaves the session's idle timer running.

Imported only where the ledger is on PostgreSQL: SQLite needs no psycopg.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import psycopg
from psycopg.abc import Params, Query
from psycopg.pq import TransactionStatus


class TimedCursor(psycopg.Cursor[Any]):
    """A cursor after whose every call `idle_in_transaction_session_timeout` counts.

    The server starts that timer when it reports that it is ready, and stops it at the next message
    of any kind. psycopg ends `executemany` with a Flush after the Sync: the server has nothing to
    report, so the timer stays off, and a process that is stopped there would keep its locks for
    ever (seen with psycopg 3.3 and PostgreSQL 18). An empty statement makes the server ready
    once more; it costs a round trip.
    """

    def executemany(
        self, query: Query, params_seq: Iterable[Params], *, returning: bool = False
    ) -> None:
        """Run the statement for each of these parameters, as psycopg does."""
        super().executemany(query, params_seq, returning=returning)
        if self.connection.info.transaction_status is TransactionStatus.INTRANS:
            self.connection.execute("")
