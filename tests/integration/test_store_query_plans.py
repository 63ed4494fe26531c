from __future__ import annotations

import json
import re
from typing import Any

from sqlalchemy import select, text

from tests.ledgers import new_job, submit
from vibe_tasks.store import (
    claims,
    counts,
    deadlines,
    event_query,
    held,
    key_lines,
    lanes,
    leases,
    next_job,
    outbox,
    submissions,
    watching,
    worker_line,
)
from vibe_tasks.store.engine import Database
from vibe_tasks.store.statement import DIALECTS, Statement

ROWS = 3_000

TAKER = {"by": "w", "lease": 30.0, "routing": None}

QUERIES: dict[str, tuple[Any, dict[str, object], str]] = {
    "claim by id": (claims._CLAIM, {"job": "x7", **TAKER}, "id"),
    "claim next": (
        next_job._CLAIM_NEXT,
        {"of": "code", "labels": "[]", **TAKER},
        "idx_jobs_ready",
    ),
    "waiting for a worker": (
        worker_line._FIRST,
        {"most": 100, "priority": -1, "seq": 0},
        "idx_jobs_held_worker",
    ),
    "promote": (claims._PROMOTE, {"most": 100}, "idx_backoff_ready"),
    "next due": (outbox._NEXT_DUE, {}, "idx_backoff_ready"),
    "outbox": (outbox._TAKE, {"most": 100}, "idx_jobs_outbox"),
    "expired leases": (leases._EXPIRED, {"most": 100}, "idx_jobs_running"),
    "running of a lane": (lanes._RUNNING, {"of": "code"}, "idx_jobs_running"),
    "past their deadline": (deadlines._ALL_LATE, {"most": 100}, "idx_jobs_start_by"),
    "busy key": (claims._IS_BUSY, {"key": "c7"}, "idx_jobs_busy_key"),
    "lanes with held jobs": (held._LANES, {}, "idx_jobs_held"),
    "turns of a lane": (held._TURNS, {"of": "held", "most": 3, "publish": 1}, "idx_jobs_held"),
    "first of each key": (
        key_lines.FIRST_OF_KEYS,
        {"most": 100, "jumps": 900},
        "idx_jobs_held_key",
    ),
    "first of a key": (key_lines.FIRST_OF_KEY, {"of": "c7"}, "idx_jobs_held_key"),
    "holder of a key": (submissions._HOLDER, {"unique_key": "k7"}, "idx_jobs_unique"),
}

FIGURES: dict[str, tuple[Any, str]] = {
    "live jobs by lane": (select(counts.LIVE), "idx_jobs_ready"),
    "ended jobs by lane": (counts.ENDED, "idx_jobs_ended"),
    "oldest unsent": (watching._UNSENT, "idx_jobs_outbox"),
}
"""What `vibe status` asks for, each second with `--watch`."""

WHOLE = 'SCAN jobs(?! USING (COVERING )?INDEX)|"Seq Scan"[^{}]*"Relation Name": "jobs"'
"""Signs of a plan that reads all jobs."""


def plan_of(database: Database, statement: Any, values: dict[str, object]) -> str:
    """What the database says how it will run this."""
    dialect = database.engine.dialect.name
    if isinstance(statement, Statement):
        query = statement.text(dialect)
    else:
        compiled = statement.compile(dialect=DIALECTS[dialect])
        query, values = str(compiled), compiled.params | values
    with database.begin() as connection:
        cursor = connection.connection.dbapi_connection.cursor()
        if database.is_sqlite:
            cursor.execute(f"EXPLAIN QUERY PLAN {query}", values)
            return "\n".join(str(row[3]) for row in cursor.fetchall())
        # As on the fifth run of a prepared statement: one plan for all values.
        cursor.execute("SET LOCAL plan_cache_mode = force_generic_plan")
        # Joins that read all of a table are only chosen while the table is as small as here.
        cursor.execute("SET LOCAL enable_hashjoin = off")
        cursor.execute("SET LOCAL enable_mergejoin = off")
        cursor.execute(f"EXPLAIN (FORMAT JSON) {query}", values, prepare=True)
        return json.dumps(cursor.fetchone()[0])


def fill(database: Database) -> None:
    """Thousands of jobs of all kinds, of which each statement wants few."""
    submit(
        database,
        *(new_job(id=f"r{n}", priority=n % 5) for n in range(ROWS)),
        *(new_job(id=f"x{n}", delay=600 + n) for n in range(ROWS)),
        *(new_job(id=f"k{n}", unique_key=f"k{n}", blocked=True) for n in range(200)),
        *(new_job(id=f"h{n}", lane="held") for n in range(ROWS)),
        *(new_job(id=f"c{n}", concurrency_key=f"c{n % 9}") for n in range(ROWS)),
        *(new_job(id=f"s{n}", start_within=600 + n) for n in range(200)),
    )
    with database.begin() as connection:
        connection.execute(
            text("UPDATE jobs SET status = 'completed', published_at = 1 WHERE seq % 4 > 0")
        )
        connection.execute(
            text(
                "UPDATE jobs SET status = 'processing', lease_until = 9e12 WHERE seq % 40 = 0 "
                "AND concurrency_key IS NULL"
            )
        )
        for name, what in (("held", "lane"), ("code", "key")):
            connection.execute(
                text(
                    f"UPDATE jobs SET held_at = 1, held_for = '{what}', status = 'pending' "  # noqa: S608
                    f"WHERE lane = '{name}' AND id LIKE '{'h' if what == 'lane' else 'c'}%'"
                )
            )
        connection.execute(text("ANALYZE"))


def test_the_hot_statements_use_their_index(database: Database) -> None:
    """L6: each statement finds its few jobs by its index; none reads them all."""
    fill(database)
    for name, (statement, values, index) in QUERIES.items():
        plan = plan_of(database, statement, values)
        assert index in plan, name
        assert re.search(WHOLE, plan) is None, f"{name}: {plan}"


def test_the_figures_of_a_queue_leave_the_ended_jobs_alone(database: Database) -> None:
    """Of a ledger in which most jobs have ended, as they do, only the live ones are read; the
    others are counted in their index.
    """
    fill(database)
    with database.begin() as connection:
        connection.execute(
            text(
                "UPDATE jobs SET status = 'completed', backoff_until = NULL, held_for = NULL, "
                "held_at = NULL WHERE seq % 200 > 0"
            )
        )
    with database.engine.connect() as connection:
        alone = connection.execution_options(isolation_level="AUTOCOMMIT")
        alone.execute(text("ANALYZE" if database.is_sqlite else "VACUUM ANALYZE jobs"))
    for name, (statement, index) in FIGURES.items():
        plan = plan_of(database, statement, {})
        assert index in plan, f"{name}: {plan}"
        assert re.search(WHOLE, plan) is None, f"{name}: {plan}"


def test_events_are_found_by_their_index(database: Database) -> None:
    """The newest of each level, of all, of a session and of a type; those after an id; and the
    names, of which each is looked up past all rows that have the same.
    """
    events = (
        "INSERT INTO events (source_app, session_id, hook_event_type, payload, timestamp, priority)"
        " WITH RECURSIVE n (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM n WHERE n < 5000)"
        " SELECT 'a', 's' || (n % 40), 'T' || (n % 30), '{}', n,"
        " CASE WHEN n % 20 = 0 THEN 1 ELSE 0 END FROM n"
    )
    with database.begin() as connection:
        connection.execute(text(events))
        connection.execute(text("ANALYZE"))
    newest = {"until": 10**9, "grave": 100, "regular": 200, "name": "s1"}
    later = {"last_seen": 4_000, "until": 10**9, "least": 0, "limit": 100, "session": "s1"}
    levels = (0, 1, 2, 3)
    queries: dict[str, tuple[Statement, dict[str, object]]] = {
        "idx_events_priority": (event_query._newest(levels, None, of_types=False), newest),
        "idx_events_session_priority": (
            event_query._newest(levels, "session", of_types=False), newest,
        ),
        "idx_events_type_priority": (event_query._newest(levels, "type", of_types=False), newest),
        "idx_events_source": (event_query._OPTIONS["source_app"], {}),
    }  # fmt: skip
    whole = WHOLE.replace("jobs", "events")
    of_session = "idx_events_session_priority" if database.is_sqlite else "idx_events_session"
    for index, (statement, values) in (
        *queries.items(), (of_session, (event_query._AFTER_OF_SESSION, later))
    ):  # fmt: skip
        plan = plan_of(database, statement, values)
        assert re.search(rf"\b{index}\b", plan), plan
        assert re.search(whole, plan) is None, f"{index}: {plan}"
