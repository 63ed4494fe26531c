"""Every setting: its name, unit, default and bounds."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from vibe_tasks.fleet import parse_fleet
from vibe_tasks.setting_kinds import (
    BrokerUrl,
    CommandLine,
    DatabaseUrl,
    FleetText,
    Labels,
    Origins,
    Patterns,
    PayloadKeys,
    PrioritiesText,
    Seconds,
    Secret,
    Tokens,
    WebAddress,
    WeightsText,
    Words,
)


class Settings(BaseModel):
    """The effective settings of one process; never changed after they were read."""

    # An input may be a secret, and a traceback is read by many.
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    home: str = Field(
        default=".vibe",
        min_length=1,
        description="Folder of the ledger, logs and worktrees.",
    )
    database_url: DatabaseUrl = Field(
        default="",
        description="URL of the ledger; empty: SQLite at `$VIBE_HOME/ledger.db`.",
    )
    broker_url: BrokerUrl = Field(
        default="",
        description="URL of Redis or Valkey; empty: the embedded one of this home.",
    )
    imports: Words = Field(
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
    worker_labels: Labels = Field(
        default=(),
        description="Labels of this worker for jobs that ask for them, such as gpu,lang:rust.",
    )
    router_weights: WeightsText = Field(
        default="",
        description="Points of the router's terms that are not as designed, such as "
        "senior=80,slot=5.",
    )
    agent: str = Field(
        default="",
        description="Command line of the agent for `dev.delay()` calls that name none.",
    )
    agent_env: Words = Field(
        default=(),
        description="Variables that all agents and checks of this machine get, comma-separated.",
    )
    escalation_webhook: WebAddress = Field(
        default="",
        description="URL that gets a POST about what needs a person; empty: none.",
    )
    escalation_secret: str = Field(
        default="",
        description="Secret that those requests are signed with; empty: they are not.",
    )
    escalation_command: CommandLine = Field(
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
    scale_check_seconds: Seconds = Field(
        default=2.0,
        le=3600,
        description="Seconds between two looks of a worker's autoscaler at its lanes.",
    )
    scale_up_depth: int = Field(
        default=10,
        ge=0,
        description="More waiting jobs of a lane than this are a reason to grow.",
    )
    scale_down_depth: int = Field(
        default=2,
        ge=1,
        validate_default=True,
        description="As long as so many jobs wait, nothing shrinks.",
    )
    scale_up_age: float = Field(
        default=5.0,
        ge=0,
        allow_inf_nan=False,
        description="Seconds that a due job may wait before that is a reason to grow.",
    )
    scale_up_cooldown: float = Field(
        default=5.0,
        ge=0,
        allow_inf_nan=False,
        description="Least seconds from one growth to the next.",
    )
    scale_down_after: Seconds = Field(
        default=60.0,
        description="Seconds for which fewer must have been enough before anything shrinks.",
    )
    scale_down_cooldown: Seconds = Field(
        default=30.0,
        description="Seconds from each step down of one calm to the next.",
    )
    scale_seconds: Seconds = Field(
        default=10.0,
        le=3600,
        description="Seconds between two looks at the size of the fleet.",
    )
    max_auto_scale_workers: int = Field(
        default=20,
        ge=0,
        description="Workers that scaling the fleet may have at once, over all lanes.",
    )
    fleet_start_seconds: Seconds = Field(
        default=120.0,
        description="Seconds that a worker of the fleet may take from its order to its first sign.",
    )
    fleet_timeout: Seconds = Field(
        default=10.0,
        le=20,
        description="Seconds that a provisioner may take for one answer.",
    )
    fleet_namespace: str = Field(
        default="",
        description="Namespace of the fleet's Deployments; empty: this pod's, else `default`.",
    )
    fleet_webhook: WebAddress = Field(
        default="",
        description="URL that the provisioner `webhook` asks for workers; empty: none.",
    )
    fleet_secret: str = Field(
        default="",
        description="Secret that those requests are signed with; empty: they are not.",
    )
    fleet: FleetText = Field(
        default=(),
        validate_default=True,
        description="Lanes whose workers are scaled, comma-separated, each as "
        "`LANE=PROVISIONER[/TARGET]:MIN:MAX[:SLOTS]`, such as `code=process:1:8`.",
    )
    web_host: str = Field(
        default="127.0.0.1",
        min_length=1,
        description="Address that the web server listens on; beyond this machine it needs a token.",
    )
    web_port: int = Field(
        default=4000,
        ge=0,
        le=65_535,
        description="Port of the web server; 0: any free one.",
    )
    web_url: str = Field(
        default="",
        description="Address of the web server from which commands hear of events; empty: the one "
        "that runs in this home.",
    )
    web_origins: Origins = Field(
        default=(),
        description="Origins of other pages that may use the web server from a browser, "
        "comma-separated, such as http://localhost:5173.",
    )
    web_max_body: int = Field(
        default=1_000_000,
        ge=1_000,
        le=100_000_000,
        description="Bytes that the body of a request may have.",
    )
    web_patience: Seconds = Field(
        default=10.0,
        le=3600,
        description="Seconds in which the head of a request must have arrived, and then its body.",
    )
    web_rate: float = Field(
        default=1000.0,
        ge=0,
        allow_inf_nan=False,
        description="Requests a second that one token may send, or one address without a token, "
        "events apart; 0: any number.",
    )
    api_token: Secret = Field(
        default="",
        repr=False,
        description="Token that may do everything over HTTP; empty: none.",
    )
    api_tokens: Tokens = Field(
        default=(),
        repr=False,
        description="More tokens, comma-separated, each as `ROLE:NAME:SECRET` with a role of read, "
        "operate or admin.",
    )
    events_priorities: PrioritiesText = Field(
        default="",
        description="Priorities of event types that are not as designed, such as Stop=0,MyHook=2.",
    )
    events_priority_limit: int = Field(
        default=100,
        ge=0,
        le=10_000,
        description="Events of the priorities 1 to 3 that a view of the stream begins with.",
    )
    events_regular_limit: int = Field(
        default=200,
        ge=0,
        le=10_000,
        description="Events of priority 0 that it begins with.",
    )
    events_priority_keep: int = Field(
        default=1_000_000,
        ge=0,
        le=1_000_000_000,
        description="Newest events of the priorities 1 to 3 that the ledger keeps; 0: no bound.",
    )
    events_regular_keep: int = Field(
        default=1_000_000,
        ge=0,
        le=1_000_000_000,
        description="Newest events of priority 0 that it keeps; 0: no bound.",
    )
    events_priority_days: float = Field(
        default=90.0,
        ge=0,
        le=36_500,
        allow_inf_nan=False,
        description="Days after which events of the priorities 1 to 3 are deleted; 0: never.",
    )
    events_regular_days: float = Field(
        default=7.0,
        ge=0,
        le=36_500,
        allow_inf_nan=False,
        description="Days after which events of priority 0 are deleted; 0: never.",
    )
    alive_file: str = Field(
        default="",
        description="File that a worker's heartbeat, beat and the dispatcher touch at each turn, "
        "whatever they reach, for liveness probes; empty: none.",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        default="INFO",
        description="Least severe log line that is written.",
    )
    log_format: Literal["text", "json"] = Field(
        default="text",
        description="How log lines are written; json: each is one JSON object.",
    )
    job_log_days: float = Field(
        default=30.0,
        ge=0,
        le=36_500,
        allow_inf_nan=False,
        description="Days after which what a job has said is deleted; 0: never.",
    )
    history_days: float = Field(
        default=7.0,
        ge=0,
        le=36_500,
        allow_inf_nan=False,
        description="Days after which rows of jobs' history go to the archive; 0: never.",
    )
    history_keep: int = Field(
        default=10_000_000,
        ge=0,
        le=1_000_000_000,
        description="Newest rows of the history that do not go there for their number; 0: all.",
    )
    jobs_days: float = Field(
        default=30.0,
        ge=0,
        le=36_500,
        allow_inf_nan=False,
        description="Days after its end from which a job goes to the archive; 0: never.",
    )
    jobs_keep: int = Field(
        default=0,
        ge=0,
        le=1_000_000_000,
        description="Newest ended jobs that do not go there for their number; 0: all.",
    )
    archive_days: float = Field(
        default=0.0,
        ge=0,
        le=36_500,
        allow_inf_nan=False,
        description="Days after which archived history and jobs are deleted; 0: never.",
    )
    archive_keep: int = Field(
        default=0,
        ge=0,
        le=1_000_000_000,
        description="Newest rows of each of the two archives that are kept; 0: all.",
    )
    attempts_days: float = Field(
        default=30.0,
        ge=0,
        le=36_500,
        allow_inf_nan=False,
        description="Days after which the files of ended jobs' attempts are deleted from a host's "
        "home; 0: never.",
    )
    usage_days: float = Field(
        default=365.0,
        ge=0,
        le=36_500,
        allow_inf_nan=False,
        description="Days after which what agents used is kept as sums alone; 0: never.",
    )
    scale_days: float = Field(
        default=90.0,
        ge=0,
        le=36_500,
        allow_inf_nan=False,
        description="Days after which decisions on the size of the fleet are deleted; 0: never.",
    )
    payload_keys: PayloadKeys = Field(
        default=(),
        repr=False,
        description="Keys that arguments, plans and results are sealed with in the ledger and the "
        "broker, comma-separated: 32 bytes in URL-safe base64, or `file:/PATH`; the first seals, "
        "all open; `none` as the first: nothing is sealed any more.",
    )
    redact: Patterns = Field(
        default="",
        description="Regular expressions, separated by spaces, for what is taken out of logs, "
        "events and errors; secrets of settings and tokens of known shapes are in any case.",
    )
    audit_days: float = Field(
        default=365.0,
        ge=0,
        le=36_500,
        allow_inf_nan=False,
        description="Days after which entries of the audit trail are deleted; 0: never.",
    )
    traces: Literal["none", "otlp", "console"] = Field(
        default="none",
        description="Where spans go; otlp: to the collector of OTEL_EXPORTER_OTLP_ENDPOINT.",
    )

    @field_validator("scale_down_depth")
    @classmethod
    def _below_the_depth_to_grow(cls, value: int, info: ValidationInfo) -> int:
        if value > info.data.get("scale_up_depth", value) + 1:
            raise ValueError("must be at most VIBE_SCALE_UP_DEPTH + 1, or what waits would do both")
        return value

    @field_validator("fleet")
    @classmethod
    def _has_its_webhook(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        used = {each.provisioner for each in parse_fleet(value)}
        if "webhook" in used and not info.data.get("fleet_webhook"):
            raise ValueError("the provisioner webhook needs VIBE_FLEET_WEBHOOK, which is not set")
        return value
