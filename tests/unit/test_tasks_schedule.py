"""Settings of beats that share one schedule."""

from __future__ import annotations

from typing import Any

import pytest
from redis import Redis

from vibe_tasks.settings import Settings
from vibe_tasks.tasks.schedule import shared_beat

LEDGER = "sqlite:////srv/vibe/ledger.db"


def settings_of(broker: str, *, database: str = LEDGER, lock: float = 20.0) -> dict[str, Any]:
    """The settings for this broker."""
    return shared_beat(broker, database, lock=lock, timeout=2.0)


@pytest.mark.parametrize(
    ("broker", "expected"),
    [
        ("redis://h:6380/3", {"host": "h", "port": 6380, "db": 3}),
        ("redis://u:p%40ss@h/0", {"host": "h", "db": 0, "username": "u", "password": "p@ss"}),
        ("redis+socket:///run/a%20b.sock", {"path": "/run/a b.sock"}),
        ("redis+socket:///run/b.sock?virtual_host=/2", {"path": "/run/b.sock", "db": 2}),
        ("rediss://h/1?ssl_cert_reqs=CERT_NONE", {"host": "h", "ssl_cert_reqs": "none"}),
    ],
)
def test_redis_py_reads_the_brokers_url(broker: str, expected: dict[str, Any]) -> None:
    """Kombu's spelling is translated; the address is the broker's."""
    client = Redis.from_url(settings_of(broker)["redbeat_redis_url"])
    given = client.connection_pool.connection_kwargs
    assert {name: given.get(name) for name in expected} == expected


def test_sentinels_are_named() -> None:
    """All of them, with the master's name, password and database."""
    broker = "sentinel://:secret@a:26379/2?master_name=jobs;sentinel://b:26380"
    made = settings_of(broker)
    options = made["redbeat_redis_options"]
    assert made["redbeat_redis_url"].startswith("redis-sentinel")
    assert options["sentinels"] == [("a", 26379), ("b", 26380)]
    assert (options["service_name"], options["password"], options["db"]) == ("jobs", "secret", 2)


def test_a_broker_in_memory_is_shared_with_nobody() -> None:
    """Celery's own scheduler does."""
    assert settings_of("memory://") == {}


def test_another_beat_leads_within_thirty_seconds() -> None:
    """At the default settings: the lock runs out, and a beat that stands by looks often enough."""
    lock = Settings().beat_lock_seconds
    made = settings_of("redis://h/0", lock=lock)
    assert lock + lock / 10 + made["beat_max_loop_interval"] < 30
    assert made["beat_max_loop_interval"] <= lock / 4


def test_beats_of_one_ledger_share_a_schedule() -> None:
    """Whatever user they are; beats of another ledger have their own."""
    url = "redis://h/0"
    keys = {
        settings_of(url, database=database)["redbeat_key_prefix"]
        for database in ("postgresql+psycopg://a:1@db/vibe", "postgresql+psycopg://b:2@db/vibe")
    }
    assert len(keys) == 1
    assert settings_of(url, database=LEDGER)["redbeat_key_prefix"] not in keys
