"""A ledger in which there is something to see: an hour of jobs, workers in every state, lanes,
breakers, decisions. Its rows are backdated, so that nobody has to wait for an hour.
"""

from __future__ import annotations

from math import sin
from random import Random
from typing import Any

from sqlalchemy import Table, delete, insert

from vibe_tasks.protocol import NewEvent
from vibe_tasks.store import breakers, events, scale_decisions, usage
from vibe_tasks.store.agent_tables import agent_usage
from vibe_tasks.store.engine import Database, Transaction
from vibe_tasks.store.event_rules import of_settings
from vibe_tasks.store.scaling_tables import scale_decisions as decisions
from vibe_tasks.store.schema import job_history, jobs, lanes, plans, tasks, worker_health
from vibe_tasks.tasks import resources

MINUTES = 60
"""So long ago the first of its jobs was."""

LEASE = 7200.0
"""Setting `lease_seconds` with which its workers are there: nobody beats for them."""

WORKERS = (
    ("celery@build-1", ("code",), "online", 4, 4, ()),
    ("celery@build-2", ("code", "qa"), "online", 2, 4, ()),
    ("celery@build-3", ("code",), "draining", 1, 4, ()),
    ("celery@build-4", ("code",), "online", 2, 4, ()),  # silent for longer than LEASE: lost
    ("celery@gpu-1", ("code", "deploy"), "online", 1, 2, ("gpu",)),
    ("celery@build-0", ("code",), "offline", 0, 4, ()),
)

DECISIONS = (
    (2, 4, "31 jobs wait, the oldest for 64 s", None),
    (4, 6, "18 jobs wait, the oldest for 41 s", None),
    (6, 6, "breaker agent:claude is open", "refused"),
    (6, 4, "fewer were enough for 300 s", None),
)

SAID = (
    ("PreToolUse", {"tool_name": "Bash", "tool_input": {"command": "python -m pytest -q"}}),
    ("PostToolUse", {"tool_name": "Edit", "tool_input": {"file_path": "todo/store.py"}}),
    ("UserPromptSubmit", {"prompt": "Store to-do items in SQLite, with tests"}),
    ("PreToolUse", {"tool_name": "Read", "tool_input": {"file_path": "todo/api.py"}}),
    ("SubagentStart", {"message": "Looking for callers of add_item"}),
    ("PostToolUse", {"tool_name": "Grep", "tool_input": {"pattern": "def add_item"}}),
    ("Notification", {"message": "May I run the migrations?"}),
    ("SubagentStop", {"message": "Three callers, all in todo/api.py"}),
    ("Stop", {"message": "The store is done; 14 tests pass"}),
)


def enliven(ledger: Database, now: float) -> None:
    """Fill an empty ledger.

    Args:
        ledger: The ledger.
        now: Epoch seconds; all of it was before.
    """
    chance = Random(6)
    with ledger.begin() as connection:
        _plans(connection, now)
        _jobs(connection, now, chance)
        _workers(connection, now)
        _many(
            connection,
            lanes,
            [
                {
                    "lane": "deploy",
                    "paused_at": now - 300,
                    "concurrency_limit": 1,
                    "rate_limit": None,
                    "tokens": 0.0,
                    "tokens_at": now - 300,
                }
            ],
        )
        breakers.trip(connection, "agent:claude", 2400, "429: too many requests")
        _decide(connection, now)
        usage.set_budget(connection, "todo-api", "plan", "todo-api", 5.0, None, None)
        say(connection, 60, now, chance)


def say(connection: Transaction, number: int, now: float, chance: Random) -> None:
    """Let agents say so much in the last minutes."""
    new = []
    for each in range(number):
        kind, payload = SAID[each % len(SAID)]
        session = chance.choice(("9f31c0de", "b774a2e1", "4d20ff18")) + "-0000-4000-8000-000000000"
        new.append(
            NewEvent(
                source_app=chance.choice(("todo-api", "billing")),
                session_id=session,
                hook_event_type=kind,
                payload=payload,
                timestamp=int((now - 3 * (number - each)) * 1000),
            )
        )
    events.ingest(connection, new, of_settings(resources.settings()))


def _plans(connection: Transaction, now: float) -> None:
    for name, status, stands in (
        ("todo-api", "running", "deployed deployed running running waiting"),
        ("billing", "completed", "deployed deployed deployed"),
        ("search", "failed", "deployed dead blocked"),
    ):
        _many(
            connection,
            plans,
            [
                {
                    "id": name,
                    "name": name,
                    "status": status,
                    "digest": "",
                    "source": "{}",
                    "plan_dir": "/srv/plans",
                    "repo": "/srv/todo",
                    "remote": None,
                    "base_commit": "0" * 40,
                    "branch": f"vibe/{name}",
                    "spec": {},
                    "created_at": now - 3000,
                    "ended_at": None if status == "running" else now - 60,
                }
            ],
        )
        _many(
            connection,
            tasks,
            [
                {
                    "plan_id": name,
                    "id": f"task-{place}",
                    "position": place,
                    "title": f"Part {place}",
                    "status": stand,
                    "stage": None,
                    "spec": {},
                    "waiting_on": 0,
                    "fix_round": 0,
                    "max_fix_rounds": 3,
                    "commit_id": None,
                    "error": None,
                    "status_updated_at": now - 60,
                }
                for place, stand in enumerate(stands.split())
            ],
        )


def _jobs(connection: Transaction, now: float, chance: Random) -> None:
    rows, moves = [], []
    for minute in range(MINUTES):
        for part in range(int(7 + 5 * sin(minute / 7) + chance.random() * 3)):
            made = now - 60 * (MINUTES - minute) + part
            taken = made + 1 + chance.expovariate(0.4)
            status = "failed" if chance.random() < 0.03 else "completed"
            times = (made, taken, taken + 20)
            job = _job(len(rows), "qa" if part % 3 else "code", status, times)
            rows.append(job)
            for before, after, at in (
                (None, "pending", made),
                ("pending", "processing", taken),
                ("processing", status, min(taken + 20, now)),
            ):
                moves.append(
                    {
                        "job_id": job["id"],
                        "from_status": before,
                        "status": after,
                        "attempt": 0 if before is None else 1,
                        "timestamp": at,
                    }
                )
    for lane, status, number in (
        ("code", "processing", 7),
        ("qa", "processing", 2),
        ("code", "pending", 18),
        ("deploy", "pending", 2),
        ("review", "pending", 4),
        ("code", "blocked", 5),
    ):
        first = len(rows)
        rows += [
            _job(first + n, lane, status, (now - 64 + n, now - 40, now - 40)) for n in range(number)
        ]
    _many(connection, jobs, rows)
    connection.execute(delete(job_history))  # the ledger notes that they came, just now
    _many(connection, job_history, moves)
    _many(
        connection,
        agent_usage,
        [
            {
                "job_id": job["id"],
                "attempt": 1,
                "plan_id": ("todo-api", "billing")[place % 2],
                "agent": "claude",
                "kind": "dev",
                "input_tokens": 41_000,
                "output_tokens": 1_900,
                "cost_usd": 0.09,
                "seconds": 40.0,
                "cached": 0,
                "updated_at": now,
            }
            for place, job in enumerate(rows[:60])
        ],
    )


def _job(number: int, lane: str, status: str, times: tuple[float, float, float]) -> dict[str, Any]:
    made, taken, ended = times
    done = status in {"completed", "failed"}
    began = done or status == "processing"
    return {
        "id": f"00000000-0000-4000-8000-{number:012}",
        "name": "vibe.dev",
        "kind": "task",
        "lane": lane,
        "priority": 2,
        "effort": 2,
        "status": status,
        "args": [],
        "retry_count": 0,
        "max_retries": 3,
        "retry_base": 1.0,
        "attempt": int(began),
        "published_at": made,
        "round": 0,
        "created_at": made,
        "started_at": taken if began else None,
        "status_updated_at": ended if done else taken,
        "dead_at": ended if status == "failed" else None,
        "error": "AssertionError: 2 tests failed" if status == "failed" else None,
        "worker": "celery@build-1" if status == "processing" else None,
        "lease_until": ended + 3600 if status == "processing" else None,
    }


def _workers(connection: Transaction, now: float) -> None:
    _many(
        connection,
        worker_health,
        [
            {
                "worker_id": name,
                "lane": lane,
                "tier": "standard",
                "active_tasks": busy,
                "capacity_limit": most,
                "status": status,
                "last_seen": now - (9000 if name == "celery@build-4" else 2),
                "host": name.partition("@")[2],
                "version": "0.1.0",
                "labels": list(labels),
                "started_at": now - 7200,
                "draining_at": now - 20 if status == "draining" else None,
            }
            for name, served, status, busy, most, labels in WORKERS
            for lane in served
        ],
    )


def _decide(connection: Transaction, now: float) -> None:
    for place, (before, target, reason, error) in enumerate(DECISIONS):
        number = scale_decisions.write(
            connection,
            scale_decisions.Entry(
                lane="code",
                provisioner="local",
                before=before,
                target=target,
                reason=reason,
                figures={},
                state={},
                error=error,
            ),
        )
        when = now - 400 * (len(DECISIONS) - place)
        connection.execute(decisions.update().where(decisions.c.id == number).values(at=when))
        if error is None:
            scale_decisions.settle(connection, number, applied=target)


def _many(connection: Transaction, table: Table, rows: list[dict[str, Any]]) -> None:
    """Rows that name the same columns: SQL wants that of rows written together."""
    connection.execute(insert(table), rows)
