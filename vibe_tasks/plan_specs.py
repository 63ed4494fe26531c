"""The parts of a plan: agents, QA, deployment, defaults and tasks, each sound by itself."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, model_validator

from vibe_tasks.plan_fields import (
    Count,
    Effort,
    FilledText,
    Name,
    PathInside,
    Text,
    Timeout,
    Variable,
    Wait,
    WebAddress,
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


class CommandSpec(Part):
    """An agent that is a program.

    Attributes:
        argv: Program and arguments; `{plan_dir}` stands for the plan file's folder.
        preset: Name of a known coding-agent program, instead of argv.
        timeout: Seconds for one job.
    """

    type: Literal["command"] = "command"
    argv: tuple[Text, ...] | None = None
    preset: Literal["claude", "codex", "gemini", "aider", "opencode", "mini-swe-agent"] | None = (
        None
    )
    timeout: Timeout = 600.0

    @model_validator(mode="after")
    def _one_way_to_start(self) -> Self:
        if (self.argv is None) == (self.preset is None):
            raise ValueError("needs `argv` or `preset`, and not both")
        if self.argv is not None and not (self.argv and self.argv[0].strip()):
            raise ValueError("`argv` must begin with a program")
        return self


class ChatSpec(Part):
    """An agent that is a language model behind HTTP.

    Attributes:
        model: Provider and model, such as `openai:qwen2.5-coder`.
        base_url: Where it answers; the provider's own address when None.
        api_key_env: Name of the environment variable that holds the key.
        timeout: Seconds for one job.
    """

    type: Literal["chat"] = "chat"
    model: FilledText
    base_url: WebAddress | None = None
    api_key_env: Variable | None = None
    timeout: Timeout = 600.0


class RecordedSpec(Part):
    """An agent that answers from recordings.

    Attributes:
        path: Folder of the recordings, relative to the plan file's folder.
        timeout: Seconds for one job.
    """

    type: Literal["recorded"] = "recorded"
    path: FilledText
    timeout: Timeout = 600.0


AgentSpec: TypeAlias = Annotated[CommandSpec | ChatSpec | RecordedSpec, Field(discriminator="type")]


class QaSpec(Part):
    """How work is judged.

    Attributes:
        checks: Shell command lines; each must exit 0.
        reviewers: Names of agents that vote; one may vote more than once.
        timeout: Seconds for one check.
    """

    checks: tuple[FilledText, ...] = ()
    reviewers: tuple[Text, ...] = ()
    timeout: Timeout = 300.0


class DeploySpec(Part):
    """What happens with work that passed.

    Attributes:
        approval: Whether the merge waits for a person.
        command: Shell command line that runs after the merge.
    """

    approval: Literal["auto", "manual"] = "auto"
    command: FilledText | None = None


class Defaults(Part):
    """What a task has that does not say otherwise; fields as in `TaskSpec`."""

    lane: Name = "code"
    effort: Effort = 2
    max_retries: Count = 3
    max_fix_rounds: Count = 3
    retry_base: Wait = 1.0


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
    """

    id: Name
    title: Text = ""
    prompt: Text = ""
    files: tuple[PathInside, ...] = ()
    needs: tuple[Text, ...] = ()
    priority: Literal["auto", "critical", "high", "normal", "low"] = "auto"
    effort: Effort | None = None
    agent: Text | None = None
    lane: Name | None = None
    checks: tuple[FilledText, ...] | None = None
    max_retries: Count | None = None
    max_fix_rounds: Count | None = None
    retry_base: Wait | None = None

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
}
"""The keys of each section of a plan and of each type of agent, for near misses."""
