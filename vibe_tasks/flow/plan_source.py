"""Where plans come from: a file, or a single call."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

from vibe_tasks.agents.chat import unusable
from vibe_tasks.errors import InputError
from vibe_tasks.plan import ChatSpec, Plan, parse_plan, refusal
from vibe_tasks.plan_check import not_confinable, not_runnable, not_sendable
from vibe_tasks.plan_problems import Problem
from vibe_tasks.plan_text import read_document
from vibe_tasks.workspace.environment import child_environment
from vibe_tasks.workspace.remote import is_address

SENT = "plan"
"""What messages call a plan that came without a file."""


def read_plan(
    path: Path,
    *,
    agent: str | None = None,
    has_program: Callable[[str], bool] = lambda _program: True,
    no_sandbox: Callable[[], str | None] = lambda: None,
    no_chat: Callable[[ChatSpec], tuple[str, str] | None] = lambda _spec: None,
) -> Plan:
    """The plan in this file, which this version can run.

    Args:
        path: The file.
        agent: Another default agent.
        has_program: Whether agents find a program of this name; `on_path` where they run on this
            machine, with this environment.
        no_sandbox: Why programs cannot be confined; `unavailable` where they run on this machine.
        no_chat: What stands against a chat agent; `no_model` where they work on this machine, with
            this environment.

    Raises:
        InputError: It cannot be read.
        PlanError: It is not a sound plan, or asks for what is not available.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text") from error
    plan = _parsed(text, str(path), agent)
    problems = (
        *not_runnable(plan, has_program=has_program, no_chat=no_chat),
        *not_confinable(plan, no_sandbox=no_sandbox),
    )
    _refuse(problems, text, str(path))
    return plan


def sent_plan(text: str, *, agent: str | None = None) -> Plan:
    """The plan in this text, which came without a file.

    Args:
        text: YAML or JSON.
        agent: Another default agent.

    Raises:
        PlanError: It is not a sound plan, or rests on the folder of a file.
    """
    plan = _parsed(text, SENT, agent)
    problems = (
        *not_sendable(plan, is_address=is_address),
        *not_runnable(plan, has_program=lambda _program: True),
    )
    _refuse(problems, text, SENT)
    return plan


def _parsed(text: str, file: str, agent: str | None) -> Plan:
    plan = parse_plan(text, file=file)
    return plan if agent is None else plan.with_agent(agent)


def _refuse(problems: tuple[Problem, ...], text: str, file: str) -> None:
    if problems:
        raise refusal(problems, document=read_document(text, file=file), file=file)


def on_path(program: str) -> bool:
    """Whether an agent that this process starts would find the program."""
    return shutil.which(program, path=child_environment(os.environ, extra={})["PATH"]) is not None


def no_model(spec: ChatSpec) -> tuple[str, str] | None:
    """The key of a chat agent that an agent of this process could not do with, and why."""
    return unusable(spec, os.environ)


def plan_of_one(
    *,
    agent: Mapping[str, Any] | Sequence[str],
    title: str = "",
    prompt: str = "",
    files: Sequence[str] = (),
    repo: str = ".",
    base: str | None = None,
    checks: Sequence[str] = (),
    priority: str = "auto",
    **task: Any,
) -> Plan:
    """A plan with a single task, for work that comes without a plan file.

    Args:
        agent: An agent as in a plan file, or the argument list of a command.
        title: One line for people.
        prompt: What the agent is asked.
        files: Paths that the task is about.
        repo: Path of the repository.
        base: Branch or commit to start from.
        checks: Shell command lines that judge the result.
        priority: `auto` or a priority's name.
        task: Other fields of a task in a plan file.

    Raises:
        PlanError: A value is wrong.
    """
    known = agent if isinstance(agent, Mapping) else {"type": "command", "argv": list(agent)}
    words = re.sub(r"[^a-z0-9]+", "-", (title or prompt).lower())[:40].strip("-")
    document = {
        "version": 1,
        "name": f"{words or 'task'}-{uuid4().hex[:8]}",
        "repo": repo,
        "base": base,
        "agent": "given",
        "agents": {"given": known},
        "tasks": [
            {"id": "task", "title": title, "prompt": prompt, "files": list(files),
             "checks": list(checks), "priority": priority, **task}
        ],
    }  # fmt: skip
    return parse_plan(json.dumps(document, ensure_ascii=False), file="dev()")
