"""From an agent's description in a plan to the agent itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from vibe_tasks.agents.agent import Agent
from vibe_tasks.agents.command import CommandAgent
from vibe_tasks.agents.recorded import RecordedAgent
from vibe_tasks.agents.recording import RecordingAgent
from vibe_tasks.errors import InputError
from vibe_tasks.plan import AgentSpec, CommandSpec, RecordedSpec


def build_agent(
    name: str, spec: AgentSpec, *, plan_dir: Path, record_to: Path | None = None
) -> Agent:
    """The agent that a plan describes.

    Args:
        name: What the plan calls it; for error texts.
        spec: Its description.
        plan_dir: Folder of the plan file; the paths of the description start there.
        record_to: Folder to record each step in, or None for no recording.

    Raises:
        InputError: Its type or preset is not available.
    """
    build = BUILDERS.get(spec.type)
    if build is None:
        raise InputError(f"agent {name!r}: type {spec.type} is not available in this version")
    agent = build(name, spec, plan_dir)
    return agent if record_to is None else RecordingAgent(agent, record_to)


def _command(name: str, spec: CommandSpec, _plan_dir: Path) -> Agent:
    if spec.argv is None:
        raise InputError(f"agent {name!r}: preset {spec.preset} is not available in this version")
    return CommandAgent(tuple(spec.argv))


def _recorded(_name: str, spec: RecordedSpec, plan_dir: Path) -> Agent:
    return RecordedAgent(plan_dir / spec.path)


BUILDERS: Mapping[str, Callable[[str, Any, Path], Agent]] = {
    "command": _command,
    "recorded": _recorded,
}
"""By the type in the plan; a new kind of agent is one more line here."""
