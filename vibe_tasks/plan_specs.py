"""The parts of a plan: agents, QA, deployment, defaults and tasks, each sound by itself."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, model_validator

from vibe_tasks.plan_fields import (
    Amount,
    Count,
    Effort,
    FilledText,
    Label,
    Labels,
    Lane,
    Name,
    PathInside,
    Points,
    Size,
    Text,
    Timeout,
    Turns,
    Variable,
    Wait,
    WebAddress,
    YesOrNo,
)


class Part(BaseModel):
    """A mapping of the plan file. A key without a value counts as not given."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _drop_empty(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        return {
            key: value
            for key, value in values.items()
            if value is not None or key not in cls.model_fields
        }


class Budget(Part):
    """What work may use at most; None is no limit.

    Attributes:
        usd: US dollars.
        tokens: Tokens read and written by language models.
        seconds: Seconds in which agents work, all together.
    """

    usd: Amount | None = None
    tokens: Size | None = None
    seconds: Amount | None = None

    @model_validator(mode="after")
    def _limits_something(self) -> Self:
        if self.usd is None and self.tokens is None and self.seconds is None:
            raise ValueError("needs `usd`, `tokens` or `seconds`")
        return self


class Limits(Part):
    """What the processes of one job may use; None is no limit.

    Attributes:
        cpu: Seconds of processor time, all its processes together.
        memory: Megabytes in memory, all its processes together.
        processes: Processes at a time.
        file_size: Megabytes of each file that is written.
        output: Megabytes of output; what says more is ended.
    """

    cpu: Timeout | None = None
    memory: Size | None = None
    processes: Size | None = None
    file_size: Size | None = None
    output: Size | None = None


class Price(Part):
    """What tokens cost, where the agent itself does not tell.

    Attributes:
        input: US dollars for a million tokens read.
        output: US dollars for a million tokens written.
    """

    input: Amount
    output: Amount


class Surroundings(Part):
    """What programs of a job are given and held to.

    Attributes:
        env: Names of environment variables that are handed on, beside a few harmless ones.
        limits: What they may use.
        sandbox: `strict`: no network, and nothing but the worktree can be written to.
    """

    env: tuple[Variable, ...] = ()
    limits: Limits = Limits()
    sandbox: Literal["none", "strict"] = "none"


class AgentPart(Surroundings):
    """What all agents have.

    Attributes:
        timeout: Seconds for one job.
        idle_timeout: Seconds without a word from the agent, after which it counts as hung.
        budget: What all its jobs in this plan may use together.
        price: Of its tokens.
        cache: Whether a change that it made before may be used again.
    """

    timeout: Timeout = 600.0
    idle_timeout: Timeout | None = None
    budget: Budget | None = None
    price: Price | None = None
    cache: YesOrNo = True

    @property
    def needs_plan_dir(self) -> bool:
        """Whether it cannot work on a host that lacks the plan file's folder."""
        return False


class CommandSpec(AgentPart):
    """An agent that is a program.

    Attributes:
        argv: Program and arguments; `{plan_dir}` stands for the plan file's folder.
        preset: Name of a known coding-agent program, instead of argv.
        model: Model that a preset's program is to use; its own choice when None.
        args: Further arguments for a preset's program.
    """

    type: Literal["command"] = "command"
    argv: tuple[Text, ...] | None = None
    preset: Literal["claude", "codex", "gemini", "aider", "opencode", "mini-swe-agent"] | None = (
        None
    )
    model: FilledText | None = None
    args: tuple[Text, ...] = ()

    @model_validator(mode="after")
    def _one_way_to_start(self) -> Self:
        if (self.argv is None) == (self.preset is None):
            raise ValueError("needs `argv` or `preset`, and not both")
        if self.argv is not None and not (self.argv and self.argv[0].strip()):
            raise ValueError("`argv` must begin with a program")
        if self.preset is None and (self.model is not None or self.args):
            raise ValueError("`model` and `args` belong to a `preset`")
        return self

    @property
    def needs_plan_dir(self) -> bool:
        """Whether its command line names the plan file's folder."""
        return any("{plan_dir}" in part for part in (*(self.argv or ()), *self.args))


class ChatSpec(AgentPart):
    """An agent that is a language model behind HTTP.

    Attributes:
        model: Provider and model, such as `openai:qwen2.5-coder`.
        base_url: Where it answers; the provider's own address when None.
        api_key_env: Name of the environment variable that holds the key.
        max_turns: Answers of the model that one job may take.
    """

    type: Literal["chat"] = "chat"
    model: FilledText
    base_url: WebAddress | None = None
    api_key_env: Variable | None = None
    max_turns: Turns = 50


class RecordedSpec(AgentPart):
    """An agent that answers from recordings.

    Attributes:
        path: Folder of the recordings, relative to the plan file's folder.
    """

    type: Literal["recorded"] = "recorded"
    path: FilledText

    @property
    def needs_plan_dir(self) -> bool:
        """Whether its recordings are there."""
        return not self.path.startswith("/")


AgentSpec: TypeAlias = Annotated[CommandSpec | ChatSpec | RecordedSpec, Field(discriminator="type")]


class QaSpec(Surroundings):
    """How work is judged; the surroundings are those of the checks.

    Attributes:
        checks: Shell command lines; each must exit 0.
        reviewers: Names of agents that vote; one may vote more than once.
        rule: How many of the votes must be for it.
        review: Whether reviewers vote on work that the checks refuse too.
        timeout: Seconds for one check.
    """

    checks: tuple[FilledText, ...] = ()
    reviewers: tuple[Text, ...] = ()
    rule: Literal["majority", "unanimous"] = "majority"
    review: Literal["always", "passed"] = "always"
    timeout: Timeout = 300.0


class DeploySpec(Part):
    """What happens with work that passed.

    Attributes:
        approval: Whether the merge waits for a person.
        command: Shell command line that runs after the merge.
        env: Names of environment variables that it is given, beside a few harmless ones.
    """

    approval: Literal["auto", "manual"] = "auto"
    command: FilledText | None = None
    env: tuple[Variable, ...] = ()


class Defaults(Part):
    """What a task has that does not say otherwise; fields as in `TaskSpec`."""

    lane: Lane = "code"
    effort: Effort = 2
    max_retries: Count = 3
    max_fix_rounds: Count = 3
    retry_base: Wait = 1.0
    labels: dict[Label, Points] = Field(default_factory=dict)
    required: Labels = ()


class TaskSpec(Part):
    """One task as the file has it; None where it says nothing.

    Attributes:
        id: Unique in the plan, also when case is ignored.
        title: One line for people.
        prompt: What the agent is asked; at least one of title and prompt is given.
        files: Paths in the repository that the task is about.
        needs: Ids of tasks that must be deployed first.
        priority: One of the names, or `auto`: by the files.
        effort: From 1 (trivial) to 5 (hard).
        agent: Name of the agent for dev and fix jobs.
        lane: Lane of the dev and fix jobs.
        checks: Shell command lines, instead of the plan's.
        max_retries: A job's failure of this number, counted from 1, is its last.
        max_fix_rounds: Failed QA is mended at most this often.
        retry_base: Seconds; after failure n the job waits about `retry_base * 2**n`.
        budget: What the task's jobs may use together.
        labels: Points that a worker with this label is worth more to its dev, fix and qa jobs.
        required: Labels that a worker must have to run them.
    """

    id: Name
    title: Text = ""
    prompt: Text = ""
    files: tuple[PathInside, ...] = ()
    needs: tuple[Text, ...] = ()
    priority: Literal["auto", "critical", "high", "normal", "low"] = "auto"
    effort: Effort | None = None
    agent: Text | None = None
    lane: Lane | None = None
    checks: tuple[FilledText, ...] | None = None
    max_retries: Count | None = None
    max_fix_rounds: Count | None = None
    retry_base: Wait | None = None
    budget: Budget | None = None
    labels: dict[Label, Points] | None = None
    required: Labels | None = None

    @model_validator(mode="after")
    def _says_what(self) -> Self:
        if not (self.title.strip() or self.prompt.strip()):
            raise ValueError("a task needs a `title` or a `prompt`")
        return self


KEYS = {
    "tasks": TaskSpec.model_fields,
    "qa": QaSpec.model_fields,
    "deploy": DeploySpec.model_fields,
    "defaults": Defaults.model_fields,
    "command": CommandSpec.model_fields,
    "chat": ChatSpec.model_fields,
    "recorded": RecordedSpec.model_fields,
    "budget": Budget.model_fields,
    "limits": Limits.model_fields,
    "price": Price.model_fields,
}
"""The keys of each section of a plan and of each type of agent, for near misses."""
