"""The plan: what somebody wants done, as checked values.

`parse_plan` is the only way from a file's text to a `Plan`. A plan that exists is
sound: ids are unique, needs are known and without cycles, every task has an agent.
Source: the plan file's page in the documents.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from typing import TYPE_CHECKING, Annotated, Self, TypeVar

from pydantic import AfterValidator, Field, ValidationError, model_validator

from vibe_tasks import plan_graph
from vibe_tasks.errors import InputError, PlanError
from vibe_tasks.plan_check import problems_between, unknown_agent
from vibe_tasks.plan_fields import GitWord, Name, PlanName, Text, Version
from vibe_tasks.plan_problems import UNKNOWN_KEY, PlanProblems, explain, key_path
from vibe_tasks.plan_specs import (
    KEYS,
    AgentSpec,
    Budget,
    ChatSpec,
    CommandSpec,
    Defaults,
    DeploySpec,
    Part,
    QaSpec,
    RecordedSpec,
    TaskSpec,
)
from vibe_tasks.plan_text import read_document
from vibe_tasks.priority import Priority, explain_priority, priority_of_task

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vibe_tasks.plan_problems import Problem
    from vibe_tasks.plan_text import Document

__all__ = [
    "AgentSpec",
    "Budget",
    "ChatSpec",
    "CommandSpec",
    "Defaults",
    "DeploySpec",
    "Plan",
    "QaSpec",
    "RecordedSpec",
    "ResolvedTask",
    "TaskSpec",
    "parse_plan",
    "refusal",
]

MOST_TOLD = 30
"""Mistakes that are told one by one; a plan that has more was made by a broken program."""

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedTask:
    """A task with everything filled in; fields as in `TaskSpec`."""

    id: str
    title: str
    prompt: str
    files: tuple[str, ...]
    needs: tuple[str, ...]
    priority: Priority
    effort: int
    agent: str
    lane: str
    checks: tuple[str, ...]
    max_retries: int
    max_fix_rounds: int
    retry_base: float
    labels: Mapping[str, float]
    required: tuple[str, ...]

    def to_json(self) -> dict[str, object]:
        """Return JSON values; the priority by its lower-case name."""
        values: dict[str, object] = {name: getattr(self, name) for name in self.__slots__}
        lists = {name: list(value) for name, value in values.items() if isinstance(value, tuple)}
        return values | lists | {"priority": self.priority.name.lower()}


def _at_least_one(tasks: tuple[TaskSpec, ...]) -> tuple[TaskSpec, ...]:
    # pydantic's min_length counts only the well-formed ones, and would hide what is wrong.
    if not tasks:
        raise ValueError("must hold at least one task")
    return tasks


class Plan(Part):
    """A sound plan.

    Attributes:
        version: Of the file format.
        name: The result is the branch `vibe/<name>`.
        repo: Path relative to the plan file, or a git URL.
        base: Branch or commit to start from; the repository's current branch when None.
        agent: Default agent for dev and fix jobs.
        agents: By name.
        budget: What all of it may use together.
        tasks: In the file's order.
    """

    version: Version
    name: PlanName
    repo: GitWord = "."
    base: GitWord | None = None
    agent: Text | None = None
    agents: dict[Name, AgentSpec] = Field(default_factory=dict)
    budget: Budget | None = None
    qa: QaSpec = QaSpec()
    deploy: DeploySpec = DeploySpec()
    defaults: Defaults = Defaults()
    tasks: Annotated[tuple[TaskSpec, ...], AfterValidator(_at_least_one)]

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        if problems := problems_between(self):
            raise PlanProblems(problems)
        return self

    def task(self, task_id: str) -> TaskSpec:
        """Return the task of that id; KeyError when there is none."""
        return self._by_id[task_id]

    def agent_of(self, task: TaskSpec) -> AgentSpec:
        """Return the agent for the task's dev and fix jobs."""
        return self.agents[self._agent_name(task)]

    def resolved(self, task: TaskSpec) -> ResolvedTask:
        """Return the task with the plan's defaults filled in."""
        default = self.defaults
        return ResolvedTask(
            id=task.id,
            title=task.title,
            prompt=task.prompt,
            files=task.files,
            needs=task.needs,
            priority=priority_of_task(
                task.files, stated=task.priority, critical=task.id in self._critical
            ),
            effort=self._efforts[task.id],
            agent=self._agent_name(task),
            lane=_given(task.lane, default.lane),
            checks=_given(task.checks, self.qa.checks),
            max_retries=_given(task.max_retries, default.max_retries),
            max_fix_rounds=_given(task.max_fix_rounds, default.max_fix_rounds),
            retry_base=_given(task.retry_base, default.retry_base),
            labels=_given(task.labels, default.labels),
            required=_given(task.required, default.required),
        )

    def with_agent(self, name: str) -> Plan:
        """Return the plan with another default agent; tasks that name their own keep it.

        Raises:
            InputError: The plan defines no such agent.
        """
        if name not in self.agents:
            raise InputError(unknown_agent(("agent",), name, self.agents).sentence())
        return self.model_copy(update={"agent": name})

    def order(self) -> tuple[TaskSpec, ...]:
        """Return the tasks so that each comes after its needs; else in the file's order."""
        return tuple(self._by_id[task_id] for task_id in plan_graph.order(self._graph))

    def chain_effort(self, task: TaskSpec) -> int:
        """Return the effort of the heaviest chain from this task on, itself included."""
        return self._chains[task.id]

    def explain_priority(self, task: TaskSpec) -> str:
        """Return why the task has its priority, in words."""
        return explain_priority(
            task.files,
            stated=task.priority,
            critical=task.id in self._critical,
            ahead=self._chains[task.id] - self._efforts[task.id],
        )

    def digest(self) -> str:
        """Return 64 hex digits that change when anything that the plan says changes."""
        # Without defaults: a newer version with more keys takes the same file for the same plan.
        said = self.model_dump(mode="json", exclude_defaults=True)
        canonical = json.dumps(said, sort_keys=True, separators=(",", ":"))
        return sha256(canonical.encode()).hexdigest()

    @cached_property
    def _by_id(self) -> Mapping[str, TaskSpec]:
        return {task.id: task for task in self.tasks}

    @cached_property
    def _efforts(self) -> Mapping[str, int]:
        return {task.id: _given(task.effort, self.defaults.effort) for task in self.tasks}

    @cached_property
    def _chains(self) -> Mapping[str, int]:
        return plan_graph.chain_weights(self._graph, self._efforts)

    @cached_property
    def _critical(self) -> frozenset[str]:
        return plan_graph.critical_path(self._graph, self._efforts)

    @cached_property
    def _graph(self) -> Mapping[str, tuple[str, ...]]:
        return {task.id: task.needs for task in self.tasks}

    def _agent_name(self, task: TaskSpec) -> str:
        name = task.agent or self.agent
        if name is None:  # a sound plan has an agent for each of its tasks
            raise InputError(f"task {task.id!r} has no agent")
        return name


def parse_plan(text: str, *, file: str) -> Plan:
    """Return the plan that the text of a file describes, YAML or JSON.

    Args:
        text: What the file holds.
        file: The file as the user named it, for messages.

    Raises:
        PlanError: Everything that is wrong, a line each: unknown keys first, as a misspelt key
            is missing under its right name, then by line.
    """
    document = read_document(text, file=file)
    if not isinstance(document.value, dict):
        raise PlanError("must be a mapping with version, name and tasks", file=file, line=1)
    try:
        return Plan.model_validate(document.value)
    except ValidationError as error:
        problems = explain(error, keys={"": Plan.model_fields, **KEYS})
        raise refusal(problems, document=document, file=file) from error


def refusal(problems: Sequence[Problem], *, document: Document, file: str) -> PlanError:
    """The error that tells all of these.

    Args:
        problems: At least one.
        document: The file's text, which knows the lines.
        file: The file as the user named it.
    """
    ranked = sorted(
        problems, key=lambda each: (each.message != UNKNOWN_KEY, document.line_of(each.path))
    )
    first, *rest = ranked[:MOST_TOLD]
    others = [
        f"{file}:{document.line_of(each.path)}: {key_path(each.path)}: {each.sentence()}"
        for each in rest
    ]
    if len(ranked) > MOST_TOLD:
        others.append(f"{file}: and {len(ranked) - MOST_TOLD} more")
    return PlanError(
        first.sentence(),
        file=file,
        line=document.line_of(first.path),
        key=key_path(first.path),
        others=tuple(others),
    )


def _given(value: _T | None, default: _T) -> _T:
    return default if value is None else value
