"""One look at the broker: whether it answers, and whether it may forget messages."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlsplit

from redis import Redis
from redis.exceptions import RedisError

from vibe_tasks.errors import UnavailableError
from vibe_tasks.masking import masked
from vibe_tasks.tasks import resources

Answer = TypeVar("Answer")

PATIENCE = 2.0
"""Seconds for the broker's answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Broker:
    """What the broker says of itself.

    Attributes:
        name: `Redis` or `Valkey`, and its version.
        policy: Its `maxmemory-policy`; None where it does not tell, as a managed one may not.
        limit: Bytes that it may use, 0 for no limit; None where it does not tell.
        used: Bytes that it uses; 0 where it does not tell.
        persists: Whether it keeps what it has over a restart; None where it does not tell.
        ahead: Seconds by which its clock is ahead of ours; None where it does not tell.
    """

    name: str
    policy: str | None
    limit: int | None
    used: int = 0
    persists: bool | None = None
    ahead: float | None = None

    @property
    def forgets(self) -> bool:
        """Whether it drops messages when its memory is full."""
        return self.policy not in {None, "noeviction"}


def probe(url: str) -> Broker:
    """Ask the broker of this URL what it is.

    Raises:
        UnavailableError: It does not answer; the message names it without a password.
    """
    return asked(url, _described)


def asked(url: str, question: Callable[[Redis], Answer]) -> Answer:
    """What the broker of this URL answers.

    Args:
        url: The broker's.
        question: Asks; it gets a client whose patience is short.

    Raises:
        UnavailableError: It does not answer; the message names it without a password.
    """
    scheme = urlsplit(url).scheme
    if scheme == "memory":
        raise UnavailableError("the broker memory:// is seen by no other process; use redis://…")
    # Of several sentinels the first that answers will do: they all know the master.
    addresses = url.split(";") if scheme == "sentinel" else [url]
    failure: Exception | None = None
    for address in addresses:
        try:
            with _client(address) as client:
                client.ping()
                return question(client)
        except (RedisError, OSError, ValueError) as error:
            failure = error
    reason = " ".join(str(failure).split())
    raise UnavailableError(f"the broker {masked(url)} does not answer: {reason}") from failure


def _client(address: str) -> Redis:
    options: dict[str, Any] = {"socket_timeout": PATIENCE, "socket_connect_timeout": PATIENCE}
    if address.startswith("redis+socket://"):
        return Redis.from_url(address.replace("redis+socket", "unix", 1), **options)
    return Redis.from_url(address.replace("sentinel:", "redis:", 1), **options)


def _described(client: Redis) -> Broker:
    info: Any = _told(lambda: client.info("server")) or {}
    memory: Any = _told(lambda: client.info("memory")) or {}
    number = info.get("valkey_version") or info.get("redis_version") or "of unknown version"
    kind = "Valkey" if "valkey_version" in info else "Redis"
    policy: Any = _told(lambda: client.config_get("maxmemory*")) or {}
    limit = policy.get("maxmemory", memory.get("maxmemory"))
    return Broker(
        name=f"{kind} {number}",
        policy=policy.get("maxmemory-policy", memory.get("maxmemory_policy")),
        limit=None if limit is None else int(limit),
        used=int(memory.get("used_memory", 0)),
        persists=_persists(client),
        ahead=_ahead(client),
    )


def _persists(client: Redis) -> bool | None:
    """Whether it writes a log of commands, or snapshots now and then."""
    rules: Any = _told(lambda: client.config_get("appendonly", "save"))
    if not rules:
        return None
    return rules.get("appendonly") == "yes" or bool(rules.get("save"))


def _ahead(client: Redis) -> float | None:
    before = resources.wall_clock()
    found: Any = _told(client.time)
    if found is None:
        return None
    # Halfway through the question, as the answer was on its way for about as long.
    return float(found[0] + found[1] / 1e6 - (before + resources.wall_clock()) / 2)


def _told(question: Callable[[], Any]) -> Any:
    """The answer, None where the server has it forbidden to us."""
    try:
        return question()
    except RedisError:
        return None
