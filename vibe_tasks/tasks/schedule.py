"""What runs when, and how several beats share it.

Beat reads the schedule through `vibe_tasks.app` and through `beat_schedule` alike. The embedded
stack needs no beat: its dispatcher is a process of its own.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Any
from urllib.parse import parse_qs, parse_qsl, unquote, urlencode, urlsplit, urlunsplit

from redis.backoff import NoBackoff
from redis.retry import Retry

CONTROL: dict[str, Any] = {"queue": "control", "routing_key": "control", "expires": 5}
"""Maintenance goes to its own lane. A tick that waited longer than this is not worth running:
the next one does the same work."""

SCHEDULE: dict[str, dict[str, Any]] = {
    "dispatch": {"task": "vibe.dispatch", "schedule": 1.0, "options": CONTROL},
    "scale": {"task": "vibe.scale", "schedule": 10.0, "options": CONTROL},
    "trim_events": {
        "task": "vibe.trim_events",
        "schedule": 60.0,
        "options": {**CONTROL, "expires": 30},
    },
    "trim_job_logs": {
        "task": "vibe.trim_job_logs",
        "schedule": 3_600.0,
        "options": {**CONTROL, "expires": 600},
    },
    "trim_audit": {
        "task": "vibe.trim_audit",
        "schedule": 3_600.0,
        "options": {**CONTROL, "expires": 600},
    },
    "vacuum": {
        "task": "vibe.vacuum",
        "schedule": 3_600.0,
        "options": {**CONTROL, "expires": 600},
    },
    "archive": {
        "task": "vibe.archive",
        "schedule": 60.0,
        "options": {**CONTROL, "expires": 30},
    },
    "trim_attempts": {
        "task": "vibe.trim_attempts",
        "schedule": 3_600.0,
        "options": {**CONTROL, "expires": 600},
    },
}


def schedule_of(*, scale_seconds: float) -> dict[str, dict[str, Any]]:
    """What runs when, with the settings that say how often.

    Args:
        scale_seconds: Seconds between two looks at the size of the fleet.
    """
    expires = max(CONTROL["expires"], scale_seconds / 2)
    scale = {"schedule": scale_seconds, "options": {**CONTROL, "expires": expires}}
    return {**SCHEDULE, "scale": {**SCHEDULE["scale"], **scale}}


LONGEST_SLEEP = 5.0
"""Seconds that beat sleeps at most; the lock must live through several sleeps."""


def shared_beat(broker: str, database: str, *, lock: float, timeout: float) -> dict[str, Any]:
    """Celery's settings for beats that share one schedule through the broker's Redis.

    Args:
        broker: The broker's URL. With `memory://` there is nothing to share: no settings.
        database: The ledger's URL; beats of one ledger share one schedule.
        lock: Seconds after which another beat takes over from one that is silent.
        timeout: Seconds to wait for Redis.
    """
    scheme = urlsplit(broker).scheme
    if scheme == "memory":
        return {}
    options: dict[str, Any] = {"socket_timeout": timeout}
    if scheme == "sentinel":
        url = "redis-sentinel://"
        options.update(_sentinel(broker))
    else:
        url = _redis_url(broker)
        # The next look is the retry; one at once, as the connection may be of a broker before.
        options.update(socket_connect_timeout=timeout, retry=Retry(NoBackoff(), 1))
    return {
        "beat_scheduler": "vibe_tasks.tasks.beat:SharedScheduler",
        "beat_max_loop_interval": min(LONGEST_SLEEP, lock / 4),
        "redbeat_redis_url": url,
        "redbeat_redis_options": options,
        "redbeat_key_prefix": f"vibe-beat:{_ledger_name(database)}:",
        "redbeat_lock_timeout": lock,
    }


def _redis_url(broker: str) -> str:
    """The broker's URL as redis-py reads it; kombu has spellings of its own."""
    parts = urlsplit(broker)
    query = dict(parse_qsl(parts.query))
    if parts.scheme == "redis+socket":
        if database := query.pop("virtual_host", ""):
            query["db"] = database.strip("/")
        # urlunsplit() would drop the slashes of an address without a host.
        return f"unix://{parts.netloc}{parts.path}?{urlencode(query)}".rstrip("?")
    if "ssl_cert_reqs" in query:
        query["ssl_cert_reqs"] = query["ssl_cert_reqs"].lower().removeprefix("cert_")
    return urlunsplit(parts._replace(query=urlencode(query)))


def _sentinel(broker: str) -> dict[str, Any]:
    """The sentinels' addresses; name of the master, password and database are the first URL's."""
    urls = [urlsplit(url) for url in broker.split(";")]
    first = urls[0]
    return {
        "service_name": dict(parse_qsl(first.query)).get("master_name", "mymaster"),
        "sentinels": [(url.hostname or "localhost", url.port or 26_379) for url in urls],
        "username": unquote(first.username) if first.username else None,
        "password": unquote(first.password) if first.password else None,
        "db": int(first.path.strip("/") or 0),
    }


def _ledger_name(database: str) -> str:
    """The same for all who reach the ledger, whatever user they are."""
    parts = urlsplit(database)
    host = parts.netloc.rpartition("@")[2] or "".join(parse_qs(parts.query).get("host", []))
    return sha256(f"{host}{parts.path}".encode()).hexdigest()[:12]
