"""From an agent's description in a plan to the agent itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from vibe_tasks.agents.agent import Agent
from vibe_tasks.agents.chat import ChatAgent
from vibe_tasks.agents.command import CommandAgent
from vibe_tasks.agents.known import PRESETS
from vibe_tasks.agents.preset_agent import PresetAgent, middle
from vibe_tasks.agents.program import surroundings_of
from vibe_tasks.agents.recorded import RecordedAgent
from vibe_tasks.agents.recording import RecordingAgent
from vibe_tasks.plan import AgentSpec, ChatSpec, CommandSpec, RecordedSpec


def build_agent(
    spec: AgentSpec,
    *,
    plan_dir: Path,
    record_to: Path | None = None,
    now: Callable[[], float] | None = None,
    uniform: Callable[[float, float], float] = middle,
) -> Agent:
    """The agent that a plan describes.

    Args:
        spec: Its description.
        plan_dir: Folder of the plan file; the paths of the description start there.
        record_to: Folder to record each step in, or None for no recording.
        now: Epoch seconds, to understand until when a provider refuses.
        uniform: Draws a number between its two arguments, so that not all come back together.
    """
    agent = BUILDERS[spec.type](spec, plan_dir)
    if isinstance(agent, PresetAgent):
        agent = replace(agent, now=now, uniform=uniform)
    elif isinstance(agent, ChatAgent):
        agent = replace(agent, uniform=uniform)
    return agent if record_to is None else RecordingAgent(agent, record_to)


def _command(spec: CommandSpec, _plan_dir: Path) -> Agent:
    if spec.argv is not None:
        return CommandAgent(tuple(spec.argv), surroundings_of(spec))
    return PresetAgent(
        preset=PRESETS[str(spec.preset)],
        model=spec.model,
        args=spec.args,
        surroundings=surroundings_of(spec),
    )


def _chat(spec: ChatSpec, _plan_dir: Path) -> Agent:
    return ChatAgent(spec)


def _recorded(spec: RecordedSpec, plan_dir: Path) -> Agent:
    return RecordedAgent(plan_dir / spec.path)


BUILDERS: Mapping[str, Callable[[Any, Path], Agent]] = {
    "chat": _chat,
    "command": _command,
    "recorded": _recorded,
}
"""By the type in the plan; a new kind of agent is one more line here."""
