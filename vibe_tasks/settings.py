"""Every setting: its name, unit, default and bounds.

A setting comes from an environment variable `VIBE_<NAME>`, else from `vibe.toml`, else from its
default here. Unknown names and wrong values are refused with one line that names the source.
"""

from __future__ import annotations

import shlex
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from vibe_tasks.errors import SettingsError
from vibe_tasks.masking import shown
from vibe_tasks.suggestion import did_you_mean

PREFIX = "VIBE_"

AGENT_VARIABLES = frozenset(
    {"JOB_ID", "PLAN", "TASK_ID", "KIND", "ATTEMPT", "FIX_ROUND", "TASK_FILE"}
)
"""Variables that we hand to agents; an agent that calls us must not be refused for them."""

Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Settings(BaseModel):
    """The effective settings of one process; never changed after they were read."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    home: str = Field(
        default=".vibe",
        min_length=1,
        description="Folder of the ledger, logs and worktrees.",
    )
    database_url: str = Field(
        default="",
        description="URL of the ledger; empty: SQLite at `$VIBE_HOME/ledger.db`.",
    )
    broker_url: str = Field(
        default="",
        description="URL of Redis or Valkey; empty: the embedded one of this home.",
    )
    imports: tuple[str, ...] = Field(
        default=(),
        description="Modules with jobs that workers import, comma-separated.",
    )
    lease_seconds: Seconds = Field(
        default=8.0,
        description="Seconds a worker keeps a job without a heartbeat, four of which fit in.",
    )
    deaf_seconds: Seconds = Field(
        default=10.0,
        description="Seconds a worker with room may receive nothing while its lanes have messages.",
    )
    dispatch_seconds: Seconds = Field(
        default=0.5,
        le=60,
        description="Seconds between two looks of the dispatcher for due jobs.",
    )
    republish_seconds: Seconds = Field(
        default=5.0,
        description="Seconds a sent job may wait unclaimed while its queue lacks it.",
    )
    poll_seconds: Seconds = Field(
        default=10.0,
        le=3600,
        description="Seconds between two looks of a consumer that no notification woke.",
    )
    publish_timeout: Seconds = Field(
        default=2.0,
        description="Seconds to try to reach the broker; the ledger has the job anyway.",
    )
    beat_lock_seconds: Seconds = Field(
        default=20.0,
        description="Seconds of a leading beat's silence after which another one takes over.",
    )
    retry_base: float = Field(
        default=1.0,
        ge=0,
        le=600,
        allow_inf_nan=False,
        description="Seconds; after failure n a job waits about `retry_base * 2**n`, at most 600.",
    )
    max_retries: int = Field(
        default=3,
        ge=1,
        le=1000,
        description="The failure of this number is a job's last.",
    )
    worker_tier: Literal["standard", "senior"] = Field(
        default="standard",
        description="Tier that this worker registers with.",
    )
    worker_capacity: int = Field(
        default=0,
        ge=0,
        le=10_000,
        description="Jobs this worker takes at once; 0: its concurrency.",
    )
    agent: str = Field(
        default="",
        description="Command line of the agent for `dev.delay()` calls that name none.",
    )
    agent_env: tuple[str, ...] = Field(
        default=(),
        description="Variables that all agents and checks of this machine get, comma-separated.",
    )
    escalation_webhook: str = Field(
        default="",
        description="URL that gets a POST about what needs a person; empty: none.",
    )
    escalation_secret: str = Field(
        default="",
        description="Secret that those requests are signed with; empty: they are not.",
    )
    escalation_command: str = Field(
        default="",
        description="Program and arguments, run without a shell, that get the same as JSON on "
        "standard input; empty: none.",
    )
    escalation_timeout: Seconds = Field(
        default=10.0,
        le=60,
        description="Seconds that the webhook or the command may take.",
    )
    cache_ttl_seconds: Seconds = Field(
        default=3600.0,
        description="Seconds for which an agent's change may be used again.",
    )
    cache_max_entries: int = Field(
        default=1000,
        ge=1,
        le=1_000_000,
        description="Changes of agents that are kept; those not used for longest go first.",
    )
    breaker_failure_threshold: float = Field(
        default=0.5,
        gt=0,
        le=1,
        allow_inf_nan=False,
        description="Share of an agent's failed calls at which its circuit breaker opens.",
    )
    breaker_window_seconds: float = Field(
        default=300.0,
        ge=1,
        le=86_400,
        allow_inf_nan=False,
        description="Seconds whose calls count for that share.",
    )
    breaker_minimum_calls: int = Field(
        default=5,
        ge=1,
        description="Fewer calls of an agent in that time open nothing.",
    )
    breaker_timeout_seconds: Seconds = Field(
        default=30.0,
        description="Seconds that a circuit breaker stays open before a few calls may try.",
    )
    breaker_half_open_calls: int = Field(
        default=3,
        ge=1,
        description="How many may try at a time.",
    )
    breaker_success_threshold: int = Field(
        default=3,
        ge=1,
        description="Successes in a row that close a circuit breaker again.",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        default="INFO",
        description="Least severe log line that is written.",
    )

    @field_validator("imports", "agent_env", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("database_url")
    @classmethod
    def _known_database(cls, value: str) -> str:
        if not value:
            return value
        scheme = urlsplit(value).scheme
        if scheme in {"postgresql", "postgres", "postgresql+psycopg"}:
            return "postgresql+psycopg" + value[len(scheme) :]
        if scheme == "sqlite":
            if value.startswith("sqlite:///") and value not in {"sqlite:///", "sqlite:///:memory:"}:
                return value
            raise ValueError("a ledger in memory is shared with nobody; use sqlite:///PATH")
        raise ValueError("use sqlite:///PATH or postgresql://USER:PASSWORD@HOST/NAME")

    @field_validator("broker_url")
    @classmethod
    def _known_broker(cls, value: str) -> str:
        schemes = {"redis", "rediss", "redis+socket", "sentinel", "memory"}
        if value and urlsplit(value).scheme not in schemes:
            raise ValueError(
                "use redis://HOST:PORT/0, rediss://…, redis+socket://PATH or sentinel://…"
            )
        return value

    @field_validator("escalation_webhook")
    @classmethod
    def _known_webhook(cls, value: str) -> str:
        try:
            parts = urlsplit(value)
            sound = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
        except ValueError:
            sound = False
        if value and (not sound or "@" in parts.netloc or any(not "!" <= c <= "~" for c in value)):
            raise ValueError("use https://HOST/PATH or http://HOST/PATH")
        return value

    @field_validator("escalation_command")
    @classmethod
    def _sound_command(cls, value: str) -> str:
        try:
            shlex.split(value)
        except ValueError as error:
            raise ValueError(f"not a command line: {error}") from error
        return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Sourced:
    """One effective setting.

    Attributes:
        name: Field name, such as `home`.
        value: As the program uses it, secrets masked.
        source: `default`, the file's name, or the variable's name.
    """

    name: str
    value: Any
    source: str


def read_settings(
    environ: Mapping[str, str], toml: Mapping[str, Any], *, file: str = "vibe.toml"
) -> tuple[Settings, tuple[Sourced, ...]]:
    """The settings of these sources, and where each came from.

    Args:
        environ: Environment variables; only those with the prefix are looked at.
        toml: The parsed settings file, empty where there is none.
        file: Name of that file, for messages.

    Raises:
        SettingsError: A name is unknown or a value is wrong.
    """
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for key, value in toml.items():
        _known(key, Settings.model_fields, where=f"{file}: ")
        values[key], sources[key] = value, file
    variables = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}
    for variable, text in environ.items():
        name = variable.removeprefix(PREFIX)
        if name == variable or name in AGENT_VARIABLES:
            continue
        _known(variable, variables, where="")
        values[name.lower()], sources[name.lower()] = text, variable
    try:
        settings = Settings(**values)
    except ValidationError as error:
        raise SettingsError(_first_line(error, sources)) from error
    listing = tuple(
        Sourced(name=name, value=shown(name, value), source=sources.get(name, "default"))
        for name, value in settings
    )
    return settings, listing


def _known(name: str, names: Collection[str], *, where: str) -> None:
    if name not in names:
        raise SettingsError(f"{where}{name}: unknown setting{did_you_mean(name, names)}")


def _first_line(error: ValidationError, sources: Mapping[str, str]) -> str:
    first = error.errors()[0]
    name = str(first["loc"][0]) if first["loc"] else ""
    message = first["msg"].removeprefix("Value error, ")
    given = shown(name, first.get("input"))
    return f"{sources.get(name, name)}: {message}, got {given!r}"
